/* config: every setting of the broker in one table: its name, kind, range, default and help.
 *
 * Four sources in rising order: default, `bourn.yaml`, environment (BOURN_SERVER_PORT for
 * server.port), flag. One function sets a setting from text, whichever source it came from, so that
 * all refuse the same things in the same words. */
#ifndef BOURN_SERVER_CONFIG_H
#define BOURN_SERVER_CONFIG_H

#include "base/buf.h"
#include "base/err.h"
#include "core/topic.h"
#include "hook/spec.h"
#include "io/log.h"

enum { CONFIG_TEXT_BYTES_MAX = 4096, CONFIG_FILE_BYTES_MAX = 1 << 20 };

/* `count` texts, each ended by a NUL byte. Owned. */
struct config_list {
	char *texts;
	size_t count;
};

struct config {
	struct {
		char *host; /* owned, as every char * here */
		int64_t port;
		int64_t shards; /* 0: auto, one a core */
		struct config_list allowed_hosts;
		struct config_list allowed_origins;
	} server;
	struct {
		int64_t level;  /* enum log_level */
		int64_t format; /* 0 text, 1 json */
	} log;
	struct {
		int64_t default_topic_partitions;
		bool auto_create_topics;
	} broker;
	struct {
		char *type;
		char *path;
		int64_t durability; /* enum durability */
		int64_t flush_ms;
		int64_t memory_bytes;
		int64_t snapshot_bytes;
		int64_t snapshot_ms;
		struct {
			int64_t block_cache_bytes;
			int64_t write_buffer_bytes;
			int64_t compression; /* 0 none, 1 snappy, 2 lz4, 3 zstd */
			bool blob_files;
			int64_t blob_bytes_min;
		} rocksdb;
	} storage;
	struct {
		int64_t connections;
		int64_t connections_per_address;
		int64_t body_bytes;
		int64_t output_bytes;
		int64_t header_ms;
		int64_t idle_ms;
		int64_t body_bytes_per_s;
		int64_t ping_ms;
		int64_t pong_ms;
		int64_t stalled_ms;
	} limits;
	struct config_hooks {
		struct hook_spec *specs; /* owned, each too */
		size_t count;
	} hooks;
};

/* Told of what is read but has no effect, with its place; one line, for a person. */
typedef void config_warn_cb(void *arg, const char *text);

void config_init(struct config *c); /* the defaults */
void config_fini(struct config *c);

/* Text of a file named `name` (for messages). ERR_CONFIG says "name:line:column: …". */
enum err config_read_yaml(struct config *c, struct slice text, const char *name,
                          config_warn_cb *warn, void *arg, struct fault *f) MUST_CHECK;

/* The same from a file; ERR_CONFIG also when it cannot be read. */
enum err config_read_file(struct config *c, const char *path, config_warn_cb *warn, void *arg,
                          struct fault *f) MUST_CHECK;

/* Every BOURN_<SECTION>_<KEY> in `environment` ("NAME=value", NULL at the end); an unknown KEY of a
 * known section is refused, other names are not ours to judge. Lists are separated by commas. */
enum err config_read_environment(struct config *c, const char *const *environment,
                                 struct fault *f) MUST_CHECK;

/* One setting by its dotted name, as flags do. Lists are separated by commas. */
enum err config_set(struct config *c, const char *name, const char *value,
                    struct fault *f) MUST_CHECK;

/* The whole of it as YAML that config_read_yaml takes back; `help`: with a comment a line. */
void config_show(const struct config *c, bool help, struct buf *out);

/* Iterates a list: the text after `at` (NULL: the first); NULL at the end. */
const char *config_list_next(const struct config_list *list, const char *at);

#endif
