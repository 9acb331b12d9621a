/* catalog: which topics there are, and which there were while files of them may still exist.
 *
 * It has a WAL of its own (kind "ctlg", every change flushed and marked before it is answered) and
 * a snapshot that replaces what that WAL held when it has grown. All in memory: by UUID and by
 * name.
 *
 *   a change, payload of one WAL frame
 *     0  1  version = 1
 *     1  1  1 created, 2 altered, 3 deleted
 *     2  2  zero
 *     4     topic spec (core/topic.h); deleted: UUID, 16
 *
 * A tombstone is kept until catalog_forget, so that bytes of a deleted topic are told from bytes of
 * a topic that a damaged catalog lost. A damaged catalog refuses to open.
 *
 * Home loop only; open and close with no loop running. */
#ifndef BOURN_STORE_CATALOG_H
#define BOURN_STORE_CATALOG_H

#include "base/buf.h"
#include "core/topic.h"
#include "io/loop.h"
#include "store/wal.h"

struct catalog;
struct clock;
struct disk;
struct entropy;
struct log;

struct catalog_config {
	const char *dir; /* borrowed during open; made when not there */
	struct uuid store_id;
	struct disk *disk; /* borrowed until close, as are the next four */
	struct clock *clock;
	struct entropy *entropy;
	struct log *log;
	struct loop *loop; /* home */
};

/* Blocks. ERR_CORRUPT (with the remedy), ERR_DIR_FOREIGN, ERR_DIR_NEWER, ERR_IO, ERR_DISK_FULL. */
enum err catalog_open(const struct catalog_config *config, struct catalog **out,
                      struct fault *f) MUST_CHECK;

/* Read what is there and leave it as it is: for who looks at a directory that no broker serves. No
 * changes; home is not needed. `found` is what its WAL holds, for wal_found_fini (wal_recover.h).
 *
 * Errors as catalog_open, but for damage in the WAL, which `found` tells. */
struct wal_found;
enum err catalog_examine(const struct catalog_config *config, struct catalog **out,
                         struct wal_found *found, struct fault *f) MUST_CHECK;

/* All that is in it and on disk, for catalog_make; `out` (empty) may fail. */
void catalog_copy(const struct catalog *c, struct buf *out);

/* Blocks; any thread. Make `config->dir` a catalog that holds this copy, and nothing else; `loop`
 * is not needed. It lasts when this returns. Errors as catalog_open. */
enum err catalog_make(const struct catalog_config *config, struct slice copy,
                      struct fault *f) MUST_CHECK;

/* Blocks. Only when idle. */
void catalog_close(struct catalog *c);

/* False while a change or a snapshot is under way. */
bool catalog_is_idle(const struct catalog *c);

enum catalog_state {
	CATALOG_UNKNOWN,
	CATALOG_LIVE,
	CATALOG_DELETED,
};
enum catalog_state catalog_state(const struct catalog *c, const struct uuid *topic);

typedef void catalog_each_cb(void *arg, const struct topic_spec *spec);
/* Every live topic; `state` CATALOG_DELETED: every tombstone (only spec->uuid is valid). */
void catalog_each(const struct catalog *c, enum catalog_state state, catalog_each_cb *each,
                  void *arg);
size_t catalog_count(const struct catalog *c, enum catalog_state state);

/* Nothing of this deleted topic exists any more, in no file. */
void catalog_forget(struct catalog *c, const struct uuid *topic);

enum catalog_verb { CATALOG_CREATE = 1, CATALOG_ALTER = 2, CATALOG_DELETE = 3 };

/* One change, durable when done. The struct is the catalog's until then. */
struct catalog_change {
	enum catalog_verb verb;
	struct topic_spec
		spec; /* create: all, the UUID new; alter: of a live topic, only settings and
				   partition_count (not below the present) are taken; delete: only the UUID, of a live topic */
	void (*done)(
		struct catalog_change *change); /* on the home loop, never from inside the call */
	struct fault fault;      /* out: TOPIC_EXISTS TOPIC_UNKNOWN TOO_MANY DISK_FULL IO */
	struct catalog *catalog; /* the catalog's own, as are the rest */
	struct wal_write write;
	struct task refuse;
	struct buf record;
};
void catalog_change(struct catalog *c, struct catalog_change *change);

#endif
