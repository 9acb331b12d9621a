#include "core/topic.h"

#include "base/check.h"
#include "base/test.h"

#include <stdio.h>

static enum err check(const char *name)
{
	return topic_name_check(slice_str(name), NULL);
}

TEST(topic_name__what_is_allowed)
{
	char longest[TOPIC_NAME_BYTES_MAX + 2];

	memset(longest, 'n', sizeof(longest));
	assert_int_equal(check("a"), OK);
	assert_int_equal(check("Orders_2024.v1-eu"), OK);
	assert_int_equal(check("..."), OK);
	assert_int_equal(topic_name_check(slice_of(longest, TOPIC_NAME_BYTES_MAX), NULL), OK);
	assert_int_equal(topic_name_check(slice_of(longest, TOPIC_NAME_BYTES_MAX + 1), NULL),
	                 ERR_BAD_TOPIC);
}

TEST(topic_name__what_is_refused_and_why)
{
	static const char *const bad[] = {"",    ".",   "..",       "a/b", "../x",
	                                  "a b", "%2e", "\xc3\xa4", "a*"};
	struct fault f;

	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_int_equal(check(bad[i]), ERR_BAD_TOPIC);
	assert_int_equal(topic_name_check(SLICE_LIT("a\0b"), &f), ERR_BAD_TOPIC);
	assert_string_equal(f.where, "byte 0x00 at 1; allowed are A-Z a-z 0-9 . _ -");
}

TEST(durability__names_round_trip)
{
	enum durability d;

	for (int i = DURABILITY_NONE; i <= DURABILITY_COMMIT; i++) {
		assert_true(durability_parse(slice_str(durability_name((enum durability)i)), &d));
		assert_int_equal(d, i);
	}
	assert_false(durability_parse(SLICE_LIT("Commit"), &d));
	assert_false(durability_parse(SLICE_LIT(""), &d));
}

static enum err set(struct topic_settings *s, const char *name, const char *value, struct fault *f)
{
	return topic_setting_set(s, slice_str(name), slice_str(value), f);
}

TEST(topic_setting_set__each_setting_shows_in_the_json)
{
	struct topic_settings s = topic_settings_default(DURABILITY_COMMIT);
	struct buf json = BUF_INIT(4096);

	assert_int_equal(set(&s, "retention.bytes", "1073741824", NULL), OK);
	assert_int_equal(set(&s, "retention.count", "1", NULL), OK);
	assert_int_equal(set(&s, "retention.ms", "604800000", NULL), OK);
	assert_int_equal(set(&s, "segment.bytes", "2147483648", NULL), OK);
	assert_int_equal(set(&s, "segment.ms", "-1", NULL), OK);
	assert_int_equal(set(&s, "max.message.bytes", "65536", NULL), OK);
	assert_int_equal(set(&s, "delete.retention.ms", "0", NULL), OK);
	assert_int_equal(set(&s, "min.compaction.lag.ms", "60000", NULL), OK);
	assert_int_equal(set(&s, "max.compaction.lag.ms", "70000", NULL), OK);
	assert_int_equal(set(&s, "min.cleanable.dirty.ratio", "0.05", NULL), OK);
	assert_int_equal(set(&s, "cleanup.policy", "delete,compact", NULL), OK);
	assert_int_equal(set(&s, "durability", "os", NULL), OK);
	topic_settings_json(&s, &json);
	assert_true(slice_eq(buf_slice(&json),
	                     SLICE_LIT("\"retention.bytes\":1073741824,\"retention.count\":1,"
	                               "\"retention.ms\":604800000,"
	                               "\"segment.bytes\":2147483648,\"segment.ms\":-1,"
	                               "\"delete.retention.ms\":0,"
	                               "\"min.compaction.lag.ms\":60000,"
	                               "\"max.compaction.lag.ms\":70000,"
	                               "\"max.message.bytes\":65536,"
	                               "\"min.cleanable.dirty.ratio\":0.05,"
	                               "\"cleanup.policy\":\"compact,delete\","
	                               "\"durability\":\"os\"")));
	buf_fini(&json);
}

TEST(topic_setting_set__a_ratio_is_read_and_written_exactly)
{
	static const char *const ratios[][2] = {
		{"0", "0"},       {"1", "1"},       {"1.0", "1"},
		{"0.5", "0.5"},   {"0.25", "0.25"}, {"0.000001", "0.000001"},
		{"0.100", "0.1"},
	};
	static const char *const bad[] = {"", ".", "2", "-1", "1.1", "0.1234567", "0.x", "half"};
	struct topic_settings s = topic_settings_default(DURABILITY_COMMIT);

	for (size_t i = 0; i < ARRAY_COUNT(ratios); i++) {
		struct buf json = BUF_INIT(4096);
		char text[64];

		assert_int_equal(set(&s, "min.cleanable.dirty.ratio", ratios[i][0], NULL), OK);
		topic_settings_json(&s, &json);
		buf_append(&json, "", 1);
		snprintf(text, sizeof(text), "dirty.ratio\":%s,", ratios[i][1]);
		assert_non_null(strstr((const char *)json.ptr, text));
		buf_fini(&json);
	}
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_int_equal(set(&s, "min.cleanable.dirty.ratio", bad[i], NULL),
		                 ERR_BAD_SETTING);
}

TEST(topic_settings_eq__sees_each_of_them)
{
	static const char *const others[][2] = {
		{"retention.bytes", "7"},       {"retention.count", "7"},
		{"retention.ms", "7"},          {"segment.ms", "7"},
		{"segment.bytes", "7000000"},   {"max.message.bytes", "7000"},
		{"delete.retention.ms", "7"},   {"min.compaction.lag.ms", "7"},
		{"max.compaction.lag.ms", "7"}, {"min.cleanable.dirty.ratio", "0.7"},
		{"cleanup.policy", "compact"},  {"durability", "os"},
	};
	const struct topic_settings s = topic_settings_default(DURABILITY_COMMIT);

	assert_true(topic_settings_eq(&s, &s));
	for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
		struct topic_settings other = s;

		assert_int_equal(set(&other, others[i][0], others[i][1], NULL), OK);
		assert_false(topic_settings_eq(&s, &other));
	}
}

TEST(topic_settings_merge__changes_of_two_come_together)
{
	struct topic_settings from = topic_settings_default(DURABILITY_COMMIT);
	struct topic_settings one = from, other = from, now = from;

	one.retention_ms = 5;
	one.max_message_bytes = 2000;
	other.durability = DURABILITY_OS;
	other.segment_ms = -1;
	one.cleanup_policy = CLEANUP_COMPACT;
	other.dirty_ratio_ppm = 7;
	topic_settings_merge(&now, &from, &one);
	topic_settings_merge(&now, &from, &other);
	assert_int_equal(now.retention_ms, 5);
	assert_int_equal(now.max_message_bytes, 2000);
	assert_int_equal(now.durability, DURABILITY_OS);
	assert_int_equal(now.segment_ms, -1);
	assert_int_equal(now.cleanup_policy, CLEANUP_COMPACT);
	assert_int_equal(now.dirty_ratio_ppm, 7);
	assert_int_equal(now.retention_bytes, from.retention_bytes);
	topic_settings_merge(&now, &one, &from);
	assert_int_equal(now.retention_ms, from.retention_ms);
	assert_int_equal(now.durability, DURABILITY_OS);
}

TEST(topic_setting_set__a_refusal_changes_nothing_and_names_the_range)
{
	static const struct {
		const char *name;
		const char *value;
		const char *why;
	} bad[] = {
		{"max.message.bytes", "16777217",
	         "max.message.bytes: 16777217 is not a whole number from 1024 to 16777216"},
		{"max.message.bytes", "-1",
	         "max.message.bytes: -1 is not a whole number from 1024 to 16777216"},
		{"retention.ms", "0",
	         "retention.ms: 0 is not a whole number from 1 to 9223372036854775807, "
	         "or -1 for no limit"},
		{"retention.count", "1.5",
	         "retention.count: 1.5 is not a whole number from 1 to 9223372036854775807, "
	         "or -1 for no limit"},
		{"segment.bytes", "1000",
	         "segment.bytes: 1000 is not a whole number from 1048576 to 2147483648"},
		{"durability", "fsync",
	         "durability: fsync is not one of none, os, interval, commit"},
		{"cleanup.policy", "compress",
	         "cleanup.policy: compress is not one of delete, compact, \"compact,delete\""},
		{"min.cleanable.dirty.ratio", "1.5",
	         "min.cleanable.dirty.ratio: 1.5 is not a number from 0 to 1, as in 0.5"},
		{"retention.byte", "1",
	         "there is no setting retention.byte; did you mean retention.bytes?"},
	};
	struct topic_settings s = topic_settings_default(DURABILITY_COMMIT);
	struct fault f;

	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		assert_int_equal(set(&s, bad[i].name, bad[i].value, &f), ERR_BAD_SETTING);
		assert_string_equal(f.where, bad[i].why);
	}
	assert_int_equal(set(&s, "compression", "", &f), ERR_BAD_SETTING);
	assert_int_equal(set(&s, "message.timestamp.type", "x", &f), ERR_NOT_IMPLEMENTED);
	assert_int_equal(s.max_message_bytes, BATCH_BYTES_MAX_DEFAULT);
	assert_int_equal(s.retention_ms, -1);
	assert_int_equal(s.retention_count, -1);
	assert_int_equal(s.durability, DURABILITY_COMMIT);
}

static struct topic_spec spec(void)
{
	struct topic_spec t = {
		.name = "orders",
		.uuid = {{1, 2, 3, 4, 5, 6, 0x47, 8, 0x89, 10, 11, 12, 13, 14, 15, 16}},
		.partition_count = 3,
		.created_at_ms = 1700000000000,
		.settings = topic_settings_default(DURABILITY_INTERVAL),
		.engine = "memory",
	};

	t.settings.retention_bytes = 1000;
	t.settings.retention_count = 2000;
	t.settings.retention_ms = 3000;
	t.settings.segment_bytes = 4000000;
	t.settings.segment_ms = 5000;
	t.settings.delete_retention_ms = 6000;
	t.settings.compaction_lag_ms_min = 7000;
	t.settings.compaction_lag_ms_max = 8000;
	t.settings.dirty_ratio_ppm = 90000;
	t.settings.cleanup_policy = CLEANUP_COMPACT;
	return t;
}

/* Field by field: padding may differ. */
static void assert_same(const struct topic_spec *a, const struct topic_spec *b)
{
	assert_string_equal(a->name, b->name);
	assert_string_equal(a->engine, b->engine);
	assert_true(uuid_eq(&a->uuid, &b->uuid));
	assert_int_equal(a->partition_count, b->partition_count);
	assert_int_equal(a->created_at_ms, b->created_at_ms);
	assert_int_equal(a->settings.retention_bytes, b->settings.retention_bytes);
	assert_int_equal(a->settings.retention_count, b->settings.retention_count);
	assert_int_equal(a->settings.retention_ms, b->settings.retention_ms);
	assert_int_equal(a->settings.segment_bytes, b->settings.segment_bytes);
	assert_int_equal(a->settings.segment_ms, b->settings.segment_ms);
	assert_int_equal(a->settings.max_message_bytes, b->settings.max_message_bytes);
	assert_true(topic_settings_eq(&a->settings, &b->settings));
}

TEST(topic_spec__round_trips_and_ends_where_the_next_begins)
{
	struct topic_spec first = spec();
	struct topic_spec second = spec();
	struct topic_spec out;
	struct buf bytes = BUF_INIT(4096);
	struct slice rest;

	memset(second.name, 'n', TOPIC_NAME_BYTES_MAX);
	strcpy(second.engine, "fifteen-letters");
	topic_spec_encode(&first, &bytes);
	topic_spec_encode(&second, &bytes);
	rest = buf_slice(&bytes);
	assert_int_equal(topic_spec_decode(&rest, &out, NULL), OK);
	assert_same(&out, &first);
	assert_int_equal(topic_spec_decode(&rest, &out, NULL), OK);
	assert_same(&out, &second);
	assert_int_equal(rest.len, 0);
	buf_fini(&bytes);
}

/* Each way the bytes can lie: a byte to change, and the answer. */
TEST(topic_spec__damage_is_refused_and_nothing_is_taken)
{
	static const struct {
		size_t at;
		uint8_t byte;
		enum err err;
	} damage[] = {
		{0, 0, ERR_CORRUPT},     /* version 0 */
		{0, 1, ERR_CORRUPT},     /* an earlier version, which is shorter */
		{0, 2, ERR_CORRUPT},     /* … the next one */
		{0, 4, ERR_DIR_NEWER},   /* a later version */
		{2, 0, ERR_CORRUPT},     /* shorter than its fixed part */
		{2, 122, ERR_CORRUPT},   /* longer than the bytes at hand */
		{28, 0, ERR_CORRUPT},    /* no partition */
		{29, 5, ERR_CORRUPT},    /* more than 1024 */
		{34, 0, ERR_CORRUPT},    /* max message bytes 0 */
		{47, 0x80, ERR_CORRUPT}, /* retention < -1 */
		{64, 4, ERR_CORRUPT},    /* durability */
		{65, 7, ERR_CORRUPT},    /* name one longer than there is room */
		{66, 0, ERR_CORRUPT},    /* engine shorter than its place */
		{69, 0, ERR_CORRUPT},    /* segment bytes below 1 MiB */
		{82, 0x80, ERR_CORRUPT}, /* segment ms < -1 */
		{110, 1, ERR_CORRUPT},   /* dirty ratio above 1 */
		{111, 0, ERR_CORRUPT},   /* no cleanup policy */
		{111, 4, ERR_CORRUPT},   /* … and one of which nothing is known */
		{112, '/', ERR_CORRUPT}, /* name */
		{118, 0, ERR_CORRUPT},   /* engine name */
	};
	struct topic_spec t = spec();
	struct topic_spec out;
	struct fault f;

	for (size_t i = 0; i < ARRAY_COUNT(damage); i++) {
		struct buf bytes = BUF_INIT(4096);
		struct slice rest;

		topic_spec_encode(&t, &bytes);
		bytes.ptr[damage[i].at] = damage[i].byte;
		rest = buf_slice(&bytes);
		assert_int_equal(topic_spec_decode(&rest, &out, &f), damage[i].err);
		assert_int_equal(f.code, damage[i].err);
		assert_int_equal(rest.len, bytes.len);
		buf_fini(&bytes);
	}
}

TEST(topic_spec__every_shorter_prefix_is_refused)
{
	struct topic_spec t = spec();
	struct topic_spec out;
	struct buf bytes = BUF_INIT(4096);

	topic_spec_encode(&t, &bytes);
	for (size_t len = 0; len < bytes.len; len++) {
		struct slice rest = slice_of(bytes.ptr, len);

		assert_int_equal(topic_spec_decode(&rest, &out, NULL), ERR_CORRUPT);
	}
	buf_fini(&bytes);
}

/* As an earlier format had it: names at `at`. */
static void decode_earlier(uint8_t version, size_t at, const struct topic_spec *t,
                           struct topic_spec *out)
{
	enum { NAMES_AT = 112 };
	struct buf bytes = BUF_INIT(4096);
	struct slice rest;

	topic_spec_encode(t, &bytes);
	memmove(bytes.ptr + at, bytes.ptr + NAMES_AT, bytes.len - NAMES_AT);
	bytes.len -= NAMES_AT - at;
	bytes.ptr[0] = version;
	bytes.ptr[2] = (uint8_t)(bytes.len - 4);
	rest = buf_slice(&bytes);
	assert_int_equal(topic_spec_decode(&rest, out, NULL), OK);
	assert_int_equal(rest.len, 0);
	buf_fini(&bytes);
}

TEST(topic_spec__earlier_versions_are_read_and_have_the_defaults_of_what_they_lack)
{
	const struct topic_settings defaults = topic_settings_default(DURABILITY_COMMIT);
	struct topic_spec t = spec(), out;

	t.settings.delete_retention_ms = defaults.delete_retention_ms;
	t.settings.compaction_lag_ms_min = defaults.compaction_lag_ms_min;
	t.settings.compaction_lag_ms_max = defaults.compaction_lag_ms_max;
	t.settings.dirty_ratio_ppm = defaults.dirty_ratio_ppm;
	t.settings.cleanup_policy = CLEANUP_DELETE;
	decode_earlier(2, 83, &t, &out);
	assert_same(&out, &t);
	decode_earlier(1, 67, &t, &out);
	t.settings.segment_bytes = SEGMENT_BYTES_DEFAULT;
	t.settings.segment_ms = 7 * 24 * 3600 * 1000;
	assert_same(&out, &t);
}

/* What Apache Kafka's own UtilsTest expects of murmur2. */
TEST(partition_for_key__is_where_the_java_client_sends_it)
{
	static const struct {
		const char *key;
		int32_t murmur2;
	} known[] = {
		{"21", -973932308},
		{"foobar", -790332482},
		{"a-little-bit-long-string", -985981536},
		{"a-little-bit-longer-string", -1486304829},
		{"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
		{"abc", 479470107},
	};

	for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
		uint32_t positive = (uint32_t)known[i].murmur2 & 0x7fffffff;

		assert_int_equal(partition_for_key(slice_str(known[i].key), 1u << 31), positive);
		assert_int_equal(partition_for_key(slice_str(known[i].key), 12), positive % 12);
	}
	assert_int_equal(partition_for_key(SLICE_LIT(""), 1), 0);
}

TEST(partition_shard__a_topic_goes_round_and_topics_spread)
{
	unsigned topics_on[4] = {0};

	for (unsigned i = 0; i < 1000; i++) {
		uint8_t random[16] = {(uint8_t)i, (uint8_t)(i >> 8)};
		struct uuid uuid;
		unsigned first;

		uuid_from_random(&uuid, random);
		first = partition_shard(&uuid, 0, 4);
		topics_on[first]++;
		for (uint32_t partition = 0; partition < 8; partition++)
			assert_int_equal(partition_shard(&uuid, partition, 4),
			                 (first + partition) % 4);
		assert_int_equal(partition_shard(&uuid, 1023, 1), 0);
	}
	for (unsigned shard = 0; shard < 4; shard++)
		assert_in_range(topics_on[shard], 150, 350);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topic_name__what_is_allowed),
		cmocka_unit_test(topic_name__what_is_refused_and_why),
		cmocka_unit_test(durability__names_round_trip),
		cmocka_unit_test(topic_setting_set__each_setting_shows_in_the_json),
		cmocka_unit_test(topic_setting_set__a_ratio_is_read_and_written_exactly),
		cmocka_unit_test(topic_settings_eq__sees_each_of_them),
		cmocka_unit_test(topic_settings_merge__changes_of_two_come_together),
		cmocka_unit_test(topic_setting_set__a_refusal_changes_nothing_and_names_the_range),
		cmocka_unit_test(topic_spec__round_trips_and_ends_where_the_next_begins),
		cmocka_unit_test(topic_spec__damage_is_refused_and_nothing_is_taken),
		cmocka_unit_test(topic_spec__every_shorter_prefix_is_refused),
		cmocka_unit_test(
			topic_spec__earlier_versions_are_read_and_have_the_defaults_of_what_they_lack),
		cmocka_unit_test(partition_for_key__is_where_the_java_client_sends_it),
		cmocka_unit_test(partition_shard__a_topic_goes_round_and_topics_spread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
