#include "core/topic.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/suggest.h"

/* --- names ----------------------------------------------------------------------------------- */

bool topic_name_has(uint8_t byte)
{
	return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
	       (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == '-';
}

enum err topic_name_check(struct slice name, struct fault *f)
{
	if (name.len == 0 || name.len > TOPIC_NAME_BYTES_MAX)
		return fault_set(f, ERR_BAD_TOPIC, 0, "a name has 1 to %d characters, this one %zu",
		                 TOPIC_NAME_BYTES_MAX, name.len);
	for (size_t i = 0; i < name.len; i++) {
		if (!topic_name_has(name.ptr[i]))
			return fault_set(f, ERR_BAD_TOPIC, 0,
			                 "byte 0x%02x at %zu; allowed are A-Z a-z 0-9 . _ -",
			                 name.ptr[i], i);
	}
	if (slice_eq(name, SLICE_LIT(".")) || slice_eq(name, SLICE_LIT("..")))
		return fault_set(f, ERR_BAD_TOPIC, 0, "\".\" and \"..\" are not names");
	return OK;
}

/* --- durability ------------------------------------------------------------------------------ */

static const char *const durability_names[] = {
	[DURABILITY_NONE] = "none",
	[DURABILITY_OS] = "os",
	[DURABILITY_INTERVAL] = "interval",
	[DURABILITY_COMMIT] = "commit",
};

const char *durability_name(enum durability d)
{
	CHECK((unsigned)d < ARRAY_COUNT(durability_names));
	return durability_names[d];
}

bool durability_parse(struct slice name, enum durability *out)
{
	for (unsigned i = 0; i < ARRAY_COUNT(durability_names); i++) {
		if (slice_eq(name, slice_str(durability_names[i]))) {
			*out = (enum durability)i;
			return true;
		}
	}
	return false;
}

/* --- settings -------------------------------------------------------------------------------- */

enum {
	SEGMENT_MS_DEFAULT = 7 * 24 * 3600 * 1000,
	DELETE_RETENTION_MS_DEFAULT = 24 * 3600 * 1000,
	DIRTY_RATIO_PPM_DEFAULT = 500000,
	RATIO_ONE = 1000000,
	RATIO_DIGITS = 6,
};

/* The settings that are numbers: `least` to `most`, or -1 where that means "no limit". */
static const struct number {
	const char *name;
	size_t at; /* in struct topic_settings */
	size_t bytes;
	int64_t least;
	int64_t most;
	bool may_be_unlimited;
} numbers[] = {
	{"retention.bytes", offsetof(struct topic_settings, retention_bytes), 8, 1, INT64_MAX,
         true},
	{"retention.count", offsetof(struct topic_settings, retention_count), 8, 1, INT64_MAX,
         true},
	{"retention.ms", offsetof(struct topic_settings, retention_ms), 8, 1, INT64_MAX, true},
	{"segment.bytes", offsetof(struct topic_settings, segment_bytes), 8, SEGMENT_BYTES_LEAST,
         (int64_t)2 << 30, false},
	{"segment.ms", offsetof(struct topic_settings, segment_ms), 8, 1, INT64_MAX, true},
	{"delete.retention.ms", offsetof(struct topic_settings, delete_retention_ms), 8, 0,
         INT64_MAX, false},
	{"min.compaction.lag.ms", offsetof(struct topic_settings, compaction_lag_ms_min), 8, 0,
         INT64_MAX, false},
	{"max.compaction.lag.ms", offsetof(struct topic_settings, compaction_lag_ms_max), 8, 1,
         INT64_MAX, true},
	{"max.message.bytes", offsetof(struct topic_settings, max_message_bytes), 4,
         BATCH_BYTES_MAX_LEAST, BATCH_BYTES_MAX_MOST, false},
};

static const char dirty_ratio_name[] = "min.cleanable.dirty.ratio";

static const struct {
	const char *name;
	uint8_t policy;
} policies[] = {
	{"delete", CLEANUP_DELETE},
	{"compact", CLEANUP_COMPACT},
	{"compact,delete", CLEANUP_COMPACT | CLEANUP_DELETE},
	{"delete,compact", CLEANUP_COMPACT | CLEANUP_DELETE},
};

static const char *const setting_names[] = {
	"retention.bytes", "retention.count",       "retention.ms",          "segment.bytes",
	"segment.ms",      "max.message.bytes",     "cleanup.policy",        "delete.retention.ms",
	dirty_ratio_name,  "min.compaction.lag.ms", "max.compaction.lag.ms", "durability",
};

static const char *const planned_names[] = {
	"message.timestamp.type",
};

struct topic_settings topic_settings_default(enum durability durability)
{
	return (struct topic_settings){
		.retention_bytes = -1,
		.retention_count = -1,
		.retention_ms = -1,
		.segment_bytes = SEGMENT_BYTES_DEFAULT,
		.segment_ms = SEGMENT_MS_DEFAULT,
		.delete_retention_ms = DELETE_RETENTION_MS_DEFAULT,
		.compaction_lag_ms_max = -1,
		.max_message_bytes = BATCH_BYTES_MAX_DEFAULT,
		.dirty_ratio_ppm = DIRTY_RATIO_PPM_DEFAULT,
		.cleanup_policy = CLEANUP_DELETE,
		.durability = durability,
	};
}

static bool number_fits(const struct number *n, int64_t value)
{
	return (value >= n->least && value <= n->most) || (n->may_be_unlimited && value == -1);
}

static int64_t number_get(const struct number *n, const struct topic_settings *s)
{
	const char *at = (const char *)s + n->at;

	return n->bytes == 8 ? *(const int64_t *)at : *(const int32_t *)at;
}

static void number_put(const struct number *n, struct topic_settings *s, int64_t value)
{
	char *at = (char *)s + n->at;

	if (n->bytes == 8)
		*(int64_t *)at = value;
	else
		*(int32_t *)at = (int32_t)value;
}

bool topic_settings_eq(const struct topic_settings *a, const struct topic_settings *b)
{
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
		if (number_get(&numbers[i], a) != number_get(&numbers[i], b))
			return false;
	return a->dirty_ratio_ppm == b->dirty_ratio_ppm && a->cleanup_policy == b->cleanup_policy &&
	       a->durability == b->durability;
}

void topic_settings_merge(struct topic_settings *s, const struct topic_settings *from,
                          const struct topic_settings *to)
{
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		const struct number *n = &numbers[i];

		if (number_get(n, to) != number_get(n, from))
			number_put(n, s, number_get(n, to));
	}
	if (to->dirty_ratio_ppm != from->dirty_ratio_ppm)
		s->dirty_ratio_ppm = to->dirty_ratio_ppm;
	if (to->cleanup_policy != from->cleanup_policy)
		s->cleanup_policy = to->cleanup_policy;
	if (to->durability != from->durability)
		s->durability = to->durability;
}

static enum err number_set(const struct number *n, struct topic_settings *s, struct slice text,
                           struct fault *f)
{
	int64_t value;

	if (!slice_to_int64(text, &value) || !number_fits(n, value))
		return fault_set(f, ERR_BAD_SETTING, 0,
		                 "%s: %.*s is not a whole number from %lld to %lld%s", n->name,
		                 SLICE_FMT(text), (long long)n->least, (long long)n->most,
		                 n->may_be_unlimited ? ", or -1 for no limit" : "");
	number_put(n, s, value);
	return OK;
}

static enum err unknown_setting(struct slice name, struct fault *f)
{
	const char *meant = suggest(name, setting_names, ARRAY_COUNT(setting_names));

	for (size_t i = 0; i < ARRAY_COUNT(planned_names); i++) {
		if (slice_eq(name, slice_str(planned_names[i])))
			return fault_set(f, ERR_NOT_IMPLEMENTED, 0, "topic setting %s",
			                 planned_names[i]);
	}
	if (meant)
		return fault_set(f, ERR_BAD_SETTING, 0,
		                 "there is no setting %.*s; did you mean %s?", SLICE_FMT(name),
		                 meant);
	return fault_set(f, ERR_BAD_SETTING, 0,
	                 "there is no setting %.*s; there are retention.*, segment.*, "
	                 "max.message.bytes, cleanup.policy, those of compaction, and durability",
	                 SLICE_FMT(name));
}

/* "0", "1", "0.5": to millionths. */
static bool ratio_parse(struct slice text, int32_t *ppm)
{
	struct slice whole = slice_cut(&text, '.');
	int64_t value, scale = RATIO_ONE / 10;

	if (!slice_to_int64(whole, &value) || value < 0 || value > 1 || text.len > RATIO_DIGITS)
		return false;
	value *= RATIO_ONE;
	for (size_t i = 0; i < text.len; i++, scale /= 10) {
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
		value += (text.ptr[i] - '0') * scale;
	}
	if (value > RATIO_ONE)
		return false;
	*ppm = (int32_t)value;
	return true;
}

static enum err ratio_set(struct topic_settings *s, struct slice text, struct fault *f)
{
	if (ratio_parse(text, &s->dirty_ratio_ppm))
		return OK;
	return fault_set(f, ERR_BAD_SETTING, 0, "%s: %.*s is not a number from 0 to 1, as in 0.5",
	                 dirty_ratio_name, SLICE_FMT(text));
}

static enum err policy_set(struct topic_settings *s, struct slice text, struct fault *f)
{
	for (size_t i = 0; i < ARRAY_COUNT(policies); i++) {
		if (slice_eq(text, slice_str(policies[i].name))) {
			s->cleanup_policy = policies[i].policy;
			return OK;
		}
	}
	return fault_set(f, ERR_BAD_SETTING, 0,
	                 "cleanup.policy: %.*s is not one of delete, compact, \"compact,delete\"",
	                 SLICE_FMT(text));
}

static const char *policy_name(uint8_t policy)
{
	size_t i = 0;

	while (policies[i].policy != policy)
		i++;
	return policies[i].name;
}

enum err topic_setting_set(struct topic_settings *s, struct slice name, struct slice value,
                           struct fault *f)
{
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		if (slice_eq(name, slice_str(numbers[i].name)))
			return number_set(&numbers[i], s, value, f);
	}
	if (slice_eq(name, slice_str(dirty_ratio_name)))
		return ratio_set(s, value, f);
	if (slice_eq(name, SLICE_LIT("cleanup.policy")))
		return policy_set(s, value, f);
	if (!slice_eq(name, SLICE_LIT("durability")))
		return unknown_setting(name, f);
	if (!durability_parse(value, &s->durability))
		return fault_set(f, ERR_BAD_SETTING, 0,
		                 "durability: %.*s is not one of none, os, interval, commit",
		                 SLICE_FMT(value));
	return OK;
}

/* Millionths without zeros at the end. */
static void ratio_json(int32_t ppm, struct buf *out)
{
	int digits = RATIO_DIGITS;

	buf_printf(out, "\"%s\":%d", dirty_ratio_name, ppm / RATIO_ONE);
	ppm %= RATIO_ONE;
	if (ppm > 0) {
		for (; ppm % 10 == 0; digits--)
			ppm /= 10;
		buf_printf(out, ".%0*d", digits, ppm);
	}
	buf_append_lit(out, ",");
}

void topic_settings_json(const struct topic_settings *s, struct buf *out)
{
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++)
		buf_printf(out, "\"%s\":%lld,", numbers[i].name,
		           (long long)number_get(&numbers[i], s));
	ratio_json(s->dirty_ratio_ppm, out);
	buf_printf(out, "\"cleanup.policy\":\"%s\",", policy_name(s->cleanup_policy));
	buf_printf(out, "\"durability\":\"%s\"", durability_name(s->durability));
}

/* --- on disk --------------------------------------------------------------------------------- */

enum {
	SPEC_VERSION = 3,
	SPEC_PREFIX_BYTES = 4,
	SPEC_FIXED_BYTES_1 = 67, /* in version 1 */
	SPEC_FIXED_BYTES_2 = 83, /* … and 2 */
	SPEC_FIXED_BYTES = 112,
	SPEC_BYTES_MAX = SPEC_FIXED_BYTES + TOPIC_NAME_BYTES_MAX + 15,
};

void topic_spec_encode(const struct topic_spec *t, struct buf *out)
{
	size_t name_len = strlen(t->name);
	size_t engine_len = strlen(t->engine);
	size_t bytes = SPEC_FIXED_BYTES + name_len + engine_len;
	uint8_t spec[SPEC_BYTES_MAX] = {0};

	CHECK(bytes <= sizeof(spec));
	store_le16(spec, SPEC_VERSION);
	store_le16(spec + 2, (uint16_t)(bytes - SPEC_PREFIX_BYTES));
	memcpy(spec + 4, t->uuid.bytes, sizeof(t->uuid.bytes));
	store_le64(spec + 20, (uint64_t)t->created_at_ms);
	store_le32(spec + 28, t->partition_count);
	store_le32(spec + 32, (uint32_t)t->settings.max_message_bytes);
	store_le64(spec + 40, (uint64_t)t->settings.retention_bytes);
	store_le64(spec + 48, (uint64_t)t->settings.retention_count);
	store_le64(spec + 56, (uint64_t)t->settings.retention_ms);
	spec[64] = (uint8_t)t->settings.durability;
	spec[65] = (uint8_t)name_len;
	spec[66] = (uint8_t)engine_len;
	store_le64(spec + 67, (uint64_t)t->settings.segment_bytes);
	store_le64(spec + 75, (uint64_t)t->settings.segment_ms);
	store_le64(spec + 83, (uint64_t)t->settings.delete_retention_ms);
	store_le64(spec + 91, (uint64_t)t->settings.compaction_lag_ms_min);
	store_le64(spec + 99, (uint64_t)t->settings.compaction_lag_ms_max);
	store_le32(spec + 107, (uint32_t)t->settings.dirty_ratio_ppm);
	spec[111] = t->settings.cleanup_policy;
	memcpy(spec + SPEC_FIXED_BYTES, t->name, name_len);
	memcpy(spec + SPEC_FIXED_BYTES + name_len, t->engine, engine_len);
	buf_append(out, spec, bytes);
}

static bool settings_ok(const struct topic_settings *s)
{
	for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
		if (!number_fits(&numbers[i], number_get(&numbers[i], s)))
			return false;
	}
	return (unsigned)s->durability < ARRAY_COUNT(durability_names) && s->dirty_ratio_ppm >= 0 &&
	       s->dirty_ratio_ppm <= RATIO_ONE && s->cleanup_policy >= CLEANUP_DELETE &&
	       s->cleanup_policy <= (CLEANUP_DELETE | CLEANUP_COMPACT);
}

static bool engine_ok(struct slice engine)
{
	for (size_t i = 0; i < engine.len; i++) {
		if (!topic_name_has(engine.ptr[i]))
			return false;
	}
	return engine.len > 0 && engine.len < sizeof(((struct topic_spec *)NULL)->engine);
}

static size_t fixed_bytes(unsigned version)
{
	return version == 1   ? SPEC_FIXED_BYTES_1
	       : version == 2 ? SPEC_FIXED_BYTES_2
	                      : SPEC_FIXED_BYTES;
}

static struct topic_settings settings_decode(const uint8_t *at, unsigned version)
{
	struct topic_settings s = topic_settings_default((enum durability)at[64]);

	s.max_message_bytes = (int32_t)load_le32(at + 32);
	s.retention_bytes = (int64_t)load_le64(at + 40);
	s.retention_count = (int64_t)load_le64(at + 48);
	s.retention_ms = (int64_t)load_le64(at + 56);
	if (version > 1) {
		s.segment_bytes = (int64_t)load_le64(at + 67);
		s.segment_ms = (int64_t)load_le64(at + 75);
	}
	if (version > 2) {
		s.delete_retention_ms = (int64_t)load_le64(at + 83);
		s.compaction_lag_ms_min = (int64_t)load_le64(at + 91);
		s.compaction_lag_ms_max = (int64_t)load_le64(at + 99);
		s.dirty_ratio_ppm = (int32_t)load_le32(at + 107);
		s.cleanup_policy = at[111];
	}
	return s;
}

static enum err decode_version(unsigned version, struct slice spec, struct topic_spec *out,
                               struct fault *f)
{
	const uint8_t *at = spec.ptr;
	struct topic_spec t = {.partition_count = load_le32(at + 28),
	                       .created_at_ms = (int64_t)load_le64(at + 20),
	                       .settings = settings_decode(at, version)};
	struct slice name = slice_of(at + fixed_bytes(version), at[65]);
	struct slice engine = slice_of(name.ptr + name.len, at[66]);
	enum err err;

	if (spec.len != fixed_bytes(version) + name.len + engine.len)
		return fault_set(f, ERR_CORRUPT, 0, "topic: %zu bytes, but names of %zu and %zu",
		                 spec.len, name.len, engine.len);
	err = topic_name_check(name, f);
	if (err)
		return fault_set(f, ERR_CORRUPT, 0, "topic: its name is not allowed");
	memcpy(t.name, name.ptr, name.len);
	memcpy(t.uuid.bytes, at + 4, sizeof(t.uuid.bytes));
	if (uuid_is_none(&t.uuid))
		return fault_set(f, ERR_CORRUPT, 0, "topic %s: no uuid", t.name);
	if (t.partition_count == 0 || t.partition_count > TOPIC_PARTITIONS_MAX)
		return fault_set(f, ERR_CORRUPT, 0, "topic %s: %u partitions", t.name,
		                 t.partition_count);
	if (!settings_ok(&t.settings))
		return fault_set(f, ERR_CORRUPT, 0, "topic %s: a setting is out of range", t.name);
	if (!engine_ok(engine))
		return fault_set(f, ERR_CORRUPT, 0, "topic %s: its engine has no name", t.name);
	memcpy(t.engine, engine.ptr, engine.len);
	*out = t;
	return OK;
}

enum err topic_spec_decode(struct slice *from, struct topic_spec *out, struct fault *f)
{
	unsigned version;
	size_t bytes;
	enum err err;

	if (from->len < SPEC_PREFIX_BYTES)
		return fault_set(f, ERR_CORRUPT, 0, "topic: cut off after %zu bytes", from->len);
	version = load_le16(from->ptr);
	bytes = SPEC_PREFIX_BYTES + (size_t)load_le16(from->ptr + 2);
	if (version > SPEC_VERSION)
		return fault_set(f, ERR_DIR_NEWER, 0, "topic: version %u", version);
	if (version == 0 || bytes < fixed_bytes(version) || bytes > from->len)
		return fault_set(f, ERR_CORRUPT, 0, "topic: version %u, %zu bytes of %zu", version,
		                 bytes, from->len);
	err = decode_version(version, slice_of(from->ptr, bytes), out, f);
	if (err)
		return err;
	*from = slice_of(from->ptr + bytes, from->len - bytes);
	return OK;
}

/* --- partitioning ---------------------------------------------------------------------------- */

/* Austin Appleby's MurmurHash2, with the seed that Kafka's clients agree on. */
static uint32_t murmur2(struct slice key)
{
	const uint32_t m = 0x5bd1e995;
	const uint8_t *at = key.ptr;
	size_t left = key.len;
	uint32_t hash = 0x9747b28c ^ (uint32_t)key.len;

	for (; left >= 4; left -= 4, at += 4) {
		uint32_t k = load_le32(at) * m;

		hash = (hash * m) ^ ((k ^ k >> 24) * m);
	}
	if (left == 3)
		hash ^= (uint32_t)at[2] << 16;
	if (left >= 2)
		hash ^= (uint32_t)at[1] << 8;
	if (left >= 1)
		hash = (hash ^ at[0]) * m;
	hash = (hash ^ hash >> 13) * m;
	return hash ^ hash >> 15;
}

uint32_t partition_for_key(struct slice key, uint32_t partition_count)
{
	CHECK(partition_count > 0);
	return (murmur2(key) & INT32_MAX) % partition_count;
}

unsigned partition_shard(const struct uuid *topic, uint32_t partition, unsigned shard_count)
{
	CHECK(shard_count > 0);
	return (unsigned)(((uint64_t)crc32c(0, topic->bytes, sizeof(topic->bytes)) + partition) %
	                  shard_count);
}
