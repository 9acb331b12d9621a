#include "server/config_table.h"

#include "base/check.h"
#include "base/suggest.h"
#include "wire/timefmt.h"

#include <assert.h>
#include <stdlib.h>

#define AT(field) offsetof(struct config, field)

static const char *const log_levels[] = {"debug", "info", "warn", "error", "off", NULL};
static const char *const log_formats[] = {"text", "json", NULL};
static const char *const engine_aliases[] = {"in_memory", "memory", NULL};
static const char *const durabilities[] = {"none", "os", "interval", "commit", NULL};

static const char *const codecs[] = {"none", "snappy", "lz4", "zstd", NULL};

static const int64_t day_ms = 86400000;
static const int64_t gib = 1ll << 30;

enum { MIB = 1 << 20, KIB = 1 << 10 };

/* clang-format off */
const struct config_row config_rows[] = {
	{"server", "host", NULL, CONFIG_TEXT, AT(server.host), 0, 0, "localhost", NULL,
	 "address to listen on; localhost is 127.0.0.1 and ::1"},
	{"server", "port", NULL, CONFIG_NUMBER, AT(server.port), 0, 65535, "3030", NULL,
	 "0: any free one, printed at start"},
	{"server", "shards", NULL, CONFIG_AUTO, AT(server.shards), 1, 256, "auto", NULL,
	 "event loops; auto: one a core"},
	{"server", "allowed_hosts", NULL, CONFIG_LIST, AT(server.allowed_hosts), 0, 0, NULL, NULL,
	 "names that a request's Host may bear, besides addresses, localhost and server.host"},
	{"server", "allowed_origins", NULL, CONFIG_LIST, AT(server.allowed_origins), 0, 0, NULL, NULL,
	 "web pages that may use the broker, as https://app.example.com"},
	{"log", "level", NULL, CONFIG_CHOICE, AT(log.level), 0, 0, "info", log_levels,
	 "debug info warn error off"},
	{"log", "format", NULL, CONFIG_CHOICE, AT(log.format), 0, 0, "text", log_formats,
	 "text or json"},
	{"broker", "default_topic_partitions", NULL, CONFIG_NUMBER, AT(broker.default_topic_partitions),
	 1, TOPIC_PARTITIONS_MAX, "1", NULL, "of a topic created without saying how many"},
	{"broker", "auto_create_topics", NULL, CONFIG_BOOL, AT(broker.auto_create_topics), 0, 0, "true",
	 NULL, "create a topic when the first event for it comes"},
	{"broker", "replication_factor", NULL, CONFIG_IGNORED, 0, 0, 0, NULL, NULL, NULL},
	{"storage", "type", "storage_type", CONFIG_TEXT, AT(storage.type), 0, 0, "log",
	 engine_aliases, "engine: log memory rocksdb"},
	{"storage", "path", NULL, CONFIG_TEXT, AT(storage.path), 0, 0, "./data", NULL,
	 "data directory; made when it is not there"},
	{"storage", "durability", NULL, CONFIG_CHOICE, AT(storage.durability), 0, 0, "commit",
	 durabilities, "of topics created without saying: commit interval os none"},
	{"storage", "flush", NULL, CONFIG_DURATION, AT(storage.flush_ms), 1, 60000, "50ms", NULL,
	 "how often the class interval is flushed"},
	{"storage", "memory", NULL, CONFIG_BYTES, AT(storage.memory_bytes), MIB, 1024 * gib, "256MiB",
	 NULL, "engine log: so much of the newest events is kept in memory"},
	{"storage", "snapshot_size", NULL, CONFIG_BYTES, AT(storage.snapshot_bytes), MIB, 1024 * gib,
	 "256MiB", NULL, "a snapshot starts when the write-ahead log holds this much"},
	{"storage", "snapshot_age", NULL, CONFIG_DURATION, AT(storage.snapshot_ms), 100, day_ms, "60s",
	 NULL, "... or when its oldest event has waited this long"},
	{"storage", "rocksdb.block_cache", NULL, CONFIG_BYTES, AT(storage.rocksdb.block_cache_bytes), MIB,
	 1024 * gib, "64MiB", NULL, "memory for what was read"},
	{"storage", "rocksdb.write_buffer", NULL, CONFIG_BYTES, AT(storage.rocksdb.write_buffer_bytes),
	 MIB, 4 * gib, "64MiB", NULL, "gathered for one file; up to three in memory"},
	{"storage", "rocksdb.compression", NULL, CONFIG_CHOICE, AT(storage.rocksdb.compression), 0, 0,
	 "lz4", codecs, "of files: none snappy lz4 zstd"},
	{"storage", "rocksdb.blob_files", NULL, CONFIG_BOOL, AT(storage.rocksdb.blob_files), 0, 0,
	 "false", NULL, "keep large batches in files of their own"},
	{"storage", "rocksdb.blob_size", NULL, CONFIG_BYTES, AT(storage.rocksdb.blob_bytes_min), 1, gib,
	 "4KiB", NULL, "... those of this size at least"},
	{"limits", "connections", NULL, CONFIG_NUMBER, AT(limits.connections), 1, 1000000, "20000", NULL,
	 "open at once"},
	{"limits", "connections_per_address", NULL, CONFIG_NUMBER, AT(limits.connections_per_address), 1,
	 1000000, "1000", NULL, "loopback is exempt"},
	{"limits", "body", NULL, CONFIG_BYTES, AT(limits.body_bytes), KIB, gib, "16MiB", NULL,
	 "of one request"},
	{"limits", "output", NULL, CONFIG_BYTES, AT(limits.output_bytes), 64 * KIB, gib, "1MiB", NULL,
	 "waiting for one connection"},
	{"limits", "header_timeout", NULL, CONFIG_DURATION, AT(limits.header_ms), 50, day_ms, "10s", NULL,
	 "from a request's first byte to the end of its header fields"},
	{"limits", "idle_timeout", NULL, CONFIG_DURATION, AT(limits.idle_ms), 50, day_ms, "75s", NULL,
	 "of a connection between two requests"},
	{"limits", "body_rate", NULL, CONFIG_BYTES, AT(limits.body_bytes_per_s), 1, gib, "256", NULL,
	 "bytes per second that a body must make, over any 20 s"},
	{"limits", "ping_interval", NULL, CONFIG_DURATION, AT(limits.ping_ms), 50, day_ms, "20s", NULL,
	 "a silent WebSocket is pinged"},
	{"limits", "pong_timeout", NULL, CONFIG_DURATION, AT(limits.pong_ms), 50, day_ms, "10s", NULL,
	 "... and closed without an answer"},
	{"limits", "stalled_timeout", NULL, CONFIG_DURATION, AT(limits.stalled_ms), 50, day_ms, "60s",
	 NULL, "a connection that takes no byte is closed"},
	{"hooks", "", NULL, CONFIG_HOOKS, AT(hooks), 0, 0, NULL, NULL, NULL},
};
/* clang-format on */

const size_t config_row_count = ARRAY_COUNT(config_rows);

static_assert(ARRAY_COUNT(config_rows) <= CONFIG_ROWS_MAX, "raise CONFIG_ROWS_MAX");

const struct config_row *config_row_find(struct slice section, struct slice key)
{
	for (size_t i = 0; i < config_row_count; i++) {
		const struct config_row *row = &config_rows[i];

		if (!slice_eq(section, slice_str(row->section)))
			continue;
		if (slice_eq(key, slice_str(row->key)))
			return row;
		if (row->alias && slice_eq(key, slice_str(row->alias)))
			return row;
	}
	return NULL;
}

bool config_section_exists(struct slice section)
{
	for (size_t i = 0; i < config_row_count; i++)
		if (slice_eq(section, slice_str(config_rows[i].section)))
			return true;
	return false;
}

bool config_group_exists(struct slice section, struct slice group)
{
	for (size_t i = 0; i < config_row_count; i++) {
		struct slice key = slice_str(config_rows[i].key);

		if (slice_eq(section, slice_str(config_rows[i].section)) &&
		    slice_eq(group, slice_cut(&key, '.')) && key.ptr)
			return true;
	}
	return false;
}

const char *config_suggest_section(struct slice word)
{
	const char *names[ARRAY_COUNT(config_rows)];

	for (size_t i = 0; i < config_row_count; i++)
		names[i] = config_rows[i].section;
	return suggest(word, names, config_row_count);
}

const char *config_suggest_key(struct slice section, struct slice word)
{
	const char *names[ARRAY_COUNT(config_rows)];
	size_t count = 0;

	for (size_t i = 0; i < config_row_count; i++)
		if (slice_eq(section, slice_str(config_rows[i].section)))
			names[count++] = config_rows[i].key;
	return suggest(word, names, count);
}

void config_append_duration(int64_t ms, struct buf *out)
{
	if (ms % day_ms == 0)
		buf_printf(out, "%lldd", (long long)(ms / day_ms));
	else if (ms % 1000 == 0)
		buf_printf(out, "%llds", (long long)(ms / 1000));
	else
		buf_printf(out, "%lldms", (long long)ms);
}

void config_append_bytes(int64_t bytes, struct buf *out)
{
	static const char *const units[] = {"", "KiB", "MiB", "GiB"};
	size_t unit = 0;

	while (bytes > 0 && bytes % KIB == 0 && unit + 1 < ARRAY_COUNT(units)) {
		bytes /= KIB;
		unit++;
	}
	buf_printf(out, "%lld%s", (long long)bytes, units[unit]);
}

static enum err set_text(char **field, const struct config_row *row, struct slice value,
                         struct fault *f)
{
	char *copy;

	for (const char *const *pair = row->choices; pair && *pair; pair += 2)
		if (slice_eq(value, slice_str(pair[0])))
			value = slice_str(pair[1]);

	if (value.len == 0)
		return fault_set(f, ERR_CONFIG, 0, "it must not be empty");
	copy = strndup((const char *)value.ptr, value.len);
	if (!copy)
		return fault_set(f, ERR_NO_MEMORY, 0, "configuration");
	free(*field);
	*field = copy;
	return OK;
}

static enum err set_number(int64_t *field, const struct config_row *row, struct slice value,
                           struct fault *f)
{
	int64_t number;

	if (row->kind == CONFIG_AUTO && slice_eq(value, SLICE_LIT("auto"))) {
		*field = 0;
		return OK;
	}
	if (!slice_to_int64(value, &number) || number < row->min || number > row->max)
		return fault_set(f, ERR_CONFIG, 0, "'%.*s' is not %sa number from %lld to %lld",
		                 SLICE_FMT(value), row->kind == CONFIG_AUTO ? "auto or " : "",
		                 (long long)row->min, (long long)row->max);
	*field = number;
	return OK;
}

static enum err set_bool(bool *field, struct slice value, struct fault *f)
{
	if (slice_eq(value, SLICE_LIT("true")))
		*field = true;
	else if (slice_eq(value, SLICE_LIT("false")))
		*field = false;
	else
		return fault_set(f, ERR_CONFIG, 0, "'%.*s' is neither true nor false",
		                 SLICE_FMT(value));
	return OK;
}

static enum err set_choice(int64_t *field, const struct config_row *row, struct slice value,
                           struct fault *f)
{
	struct buf all = BUF_INIT(256);
	const char *near;
	size_t count = 0;

	while (row->choices[count]) {
		if (slice_eq(value, slice_str(row->choices[count]))) {
			*field = (int64_t)count;
			buf_fini(&all);
			return OK;
		}
		buf_printf(&all, "%s%s", count ? ", " : "", row->choices[count]);
		count++;
	}
	near = suggest(value, row->choices, count);
	fault_set(f, ERR_CONFIG, 0, "'%.*s' is not one of: %.*s%s%s%s", SLICE_FMT(value),
	          SLICE_FMT(buf_slice(&all)), near ? "; did you mean '" : "", near ? near : "",
	          near ? "'?" : "");
	buf_fini(&all);
	return ERR_CONFIG;
}

static enum err out_of_range(const struct config_row *row, struct slice value,
                             void append(int64_t number, struct buf *out), struct fault *f)
{
	uint8_t memory[64];
	struct buf range = BUF_IN(memory);

	append(row->min, &range);
	buf_append_lit(&range, " to ");
	append(row->max, &range);
	return fault_set(f, ERR_CONFIG, 0, "'%.*s' is not from %.*s", SLICE_FMT(value),
	                 SLICE_FMT(buf_slice(&range)));
}

static enum err set_duration(int64_t *field, const struct config_row *row, struct slice value,
                             struct fault *f)
{
	int64_t ms;

	if (!duration_parse(value, &ms))
		return fault_set(f, ERR_CONFIG, 0, "'%.*s' is not a duration like 500ms, 5s or 2m",
		                 SLICE_FMT(value));
	if (ms < row->min || ms > row->max)
		return out_of_range(row, value, config_append_duration, f);
	*field = ms;
	return OK;
}

static enum err set_bytes(int64_t *field, const struct config_row *row, struct slice value,
                          struct fault *f)
{
	int64_t bytes;

	if (!bytes_parse(value, &bytes))
		return fault_set(f, ERR_CONFIG, 0, "'%.*s' is not a size like 4096, 64KiB or 1GiB",
		                 SLICE_FMT(value));
	if (bytes < row->min || bytes > row->max)
		return out_of_range(row, value, config_append_bytes, f);
	*field = bytes;
	return OK;
}

static size_t list_bytes(const struct config_list *list)
{
	size_t bytes = 0;

	for (size_t i = 0; i < list->count; i++)
		bytes += strlen(list->texts + bytes) + 1;
	return bytes;
}

static enum err append_to_list(struct config_list *list, struct slice value, struct fault *f)
{
	size_t used = list_bytes(list);
	char *grown;

	if (value.len == 0)
		return fault_set(f, ERR_CONFIG, 0, "an entry must not be empty");
	if (used + value.len + 1 > CONFIG_TEXT_BYTES_MAX)
		return fault_set(f, ERR_CONFIG, 0, "the list is longer than %d bytes",
		                 CONFIG_TEXT_BYTES_MAX);
	grown = realloc(list->texts, used + value.len + 1);
	if (!grown)
		return fault_set(f, ERR_NO_MEMORY, 0, "configuration");
	memcpy(grown + used, value.ptr, value.len);
	grown[used + value.len] = '\0';
	list->texts = grown;
	list->count++;
	return OK;
}

enum err config_row_set(struct config *c, const struct config_row *row, struct slice value,
                        struct fault *f)
{
	void *field = (char *)c + row->offset;

	if (value.len > CONFIG_TEXT_BYTES_MAX || memchr(value.ptr, '\0', value.len))
		return fault_set(f, ERR_CONFIG, 0, "longer than %d bytes, or holds a NUL",
		                 CONFIG_TEXT_BYTES_MAX);
	switch (row->kind) {
	case CONFIG_TEXT: return set_text(field, row, value, f);
	case CONFIG_NUMBER:
	case CONFIG_AUTO: return set_number(field, row, value, f);
	case CONFIG_BOOL: return set_bool(field, value, f);
	case CONFIG_CHOICE: return set_choice(field, row, value, f);
	case CONFIG_DURATION: return set_duration(field, row, value, f);
	case CONFIG_BYTES: return set_bytes(field, row, value, f);
	case CONFIG_LIST: return append_to_list(field, value, f);
	case CONFIG_IGNORED: return OK;
	case CONFIG_HOOKS: return fault_set(f, ERR_CONFIG, 0, "can be set in a file only");
	}
	UNREACHABLE();
}

void config_row_clear(struct config *c, const struct config_row *row)
{
	struct config_list *list = (void *)((char *)c + row->offset);

	CHECK(row->kind == CONFIG_LIST);
	free(list->texts);
	*list = (struct config_list){NULL, 0};
}
