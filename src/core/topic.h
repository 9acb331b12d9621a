/* What a topic is: its name's rules, its settings, its partitioning. Pure. */
#ifndef BOURN_CORE_TOPIC_H
#define BOURN_CORE_TOPIC_H

#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"

enum {
	TOPIC_NAME_BYTES_MAX = 249,
	TOPIC_PARTITIONS_MAX = 1024,
	TOPIC_COUNT_MAX = 100000,
	EVENT_BYTES_MAX = 1 << 20,
	BATCH_BYTES_MAX_DEFAULT = (1 << 20) + (64 << 10),
	BATCH_BYTES_MAX_LEAST = 1 << 10, /* the range of max.message.bytes */
	BATCH_BYTES_MAX_MOST = 16 << 20,
	SEGMENT_BYTES_DEFAULT = 64 << 20,
	SEGMENT_BYTES_LEAST = 1 << 20, /* the range of segment.bytes, up to 2 GiB */
};

/* What an acknowledgement means; see the README's table. In order of strength. The numbers are on
 * disk. */
enum durability {
	DURABILITY_NONE = 0,
	DURABILITY_OS = 1,
	DURABILITY_INTERVAL = 2,
	DURABILITY_COMMIT = 3,
};

const char *durability_name(enum durability d); /* "none" "os" "interval" "commit" */
bool durability_parse(struct slice name, enum durability *out);

/* What becomes of old records: bits. The numbers are on disk. */
enum cleanup_policy {
	CLEANUP_DELETE = 1,  /* they go when retention.* say so */
	CLEANUP_COMPACT = 2, /* those go that a later one of the same key follows */
};

struct topic_settings {
	int64_t retention_bytes;     /* per partition; -1: no limit */
	int64_t retention_count;     /* records per partition; -1: no limit */
	int64_t retention_ms;        /* -1: no limit */
	int64_t segment_bytes;       /* a new file is begun rather than grow beyond */
	int64_t segment_ms;          /* … or once it was begun so long ago; -1: never for that */
	int64_t delete_retention_ms; /* a tombstone stays so long after it was compacted */
	int64_t compaction_lag_ms_min; /* what is younger is not compacted */
	int64_t compaction_lag_ms_max; /* what is older is, whatever there is of it; -1: no limit */
	int32_t max_message_bytes;     /* of one encoded batch */
	int32_t dirty_ratio_ppm; /* compacted when so many millionths of it are not compacted yet */
	uint8_t cleanup_policy;  /* enum cleanup_policy, at least one of them */
	enum durability durability;
};

struct topic_spec {
	char name[TOPIC_NAME_BYTES_MAX + 1];
	struct uuid uuid;
	uint32_t partition_count; /* 1 to TOPIC_PARTITIONS_MAX */
	int64_t created_at_ms;
	struct topic_settings settings;
	char engine[16]; /* registry name of the engine that keeps it */
};

/* `[A-Za-z0-9._-]{1,249}`, not "." or "..": else ERR_BAD_TOPIC, `f` says which rule. */
enum err topic_name_check(struct slice name, struct fault *f) MUST_CHECK;

/* One of the characters that names are made of. */
bool topic_name_has(uint8_t byte);

struct topic_settings topic_settings_default(enum durability durability);

static inline bool topic_is_compacted(const struct topic_settings *s)
{
	return s->cleanup_policy & CLEANUP_COMPACT;
}

/* `limit` is retention.bytes, retention.count or retention.ms of it: -1 where they do not apply. */
static inline int64_t topic_retention(const struct topic_settings *s, int64_t limit)
{
	return s->cleanup_policy & CLEANUP_DELETE ? limit : -1;
}

bool topic_settings_eq(const struct topic_settings *a, const struct topic_settings *b);

/* Change in `*s` what differs between `from` and `to`: so changes that were made from the same
 * settings at the same time do not undo each other. */
void topic_settings_merge(struct topic_settings *s, const struct topic_settings *from,
                          const struct topic_settings *to);

/* Set one by its public name: `retention.bytes retention.count retention.ms segment.bytes
 * segment.ms max.message.bytes cleanup.policy delete.retention.ms min.cleanable.dirty.ratio
 * min.compaction.lag.ms max.compaction.lag.ms durability`. `value` is the text of the JSON scalar
 * without quotes.
 *
 * Errors: ERR_BAD_SETTING      names the setting and its range, or the likely name for an unknown
 *                              one.
 *         ERR_NOT_IMPLEMENTED  a setting that is planned: `message.timestamp.type`. */
enum err topic_setting_set(struct topic_settings *s, struct slice name, struct slice value,
                           struct fault *f) MUST_CHECK;

/* `"retention.bytes":-1,…,"durability":"commit"`: the inside of a JSON object. */
void topic_settings_json(const struct topic_settings *s, struct buf *out);

/* To and from the bytes that the catalog and snapshots keep, little-endian:
 *
 *   off size                              off size
 *     0  2  version = 3                    65  1  length of name
 *     2  2  length after this field        66  1  length of engine
 *     4 16  uuid                           67  8  segment bytes
 *    20  8  created at, ms                 75  8  segment ms
 *    28  4  partition count                83  8  delete retention ms
 *    32  4  max message bytes              91  8  compaction lag ms, min
 *    36  4  0                              99  8  … max
 *    40  8  retention bytes               107  4  dirty ratio, millionths
 *    48  8  retention count               111  1  cleanup policy
 *    56  8  retention ms                  112     name, engine
 *    64  1  durability
 *
 * Version 1 has the names at 67, version 2 at 83; what they lack is as in the defaults.
 * No checksum: whoever stores it has one. Decode takes one from the front of `*from` and checks
 * everything: ERR_CORRUPT, or ERR_DIR_NEWER for a later version; `*from` and `*out` are then
 * untouched. */
void topic_spec_encode(const struct topic_spec *t, struct buf *out);
enum err topic_spec_decode(struct slice *from, struct topic_spec *out, struct fault *f) MUST_CHECK;

/* Where a keyed record goes: (murmur2(key) & 0x7fffffff) mod partitions, as Apache Kafka's Java
 * client has it. partition_count > 0. */
uint32_t partition_for_key(struct slice key, uint32_t partition_count);

/* Which shard owns a partition; never stored, so that any restart may use another count. The first
 * partition's shard follows from the topic's uuid, the others go round: a topic with as many
 * partitions as shards keeps all of them busy. */
unsigned partition_shard(const struct uuid *topic, uint32_t partition, unsigned shard_count);

#endif
