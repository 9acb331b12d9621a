#include "store/rocksdb/row.h"

#include "base/check.h"
#include "base/test.h"

static const struct row_home home = {.topic = {{1, 2, [15] = 0xff}}, .partition = 7};

static int compare(const void *a, size_t a_len, const void *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order ? order : (a_len > b_len) - (a_len < b_len);
}

TEST(row_key__sorts_by_offset_and_gives_it_back)
{
	static const int64_t offsets[] = {0, 1, 255, 256, 1 << 20, INT64_MAX};
	int64_t back;

	for (size_t i = 0; i < ARRAY_COUNT(offsets); i++) {
		struct row_key key = row_key(&home, offsets[i]);

		assert_true(row_key_offset(slice_of(key.bytes, sizeof(key.bytes)), &home, &back));
		assert_int_equal(back, offsets[i]);
		if (i > 0) {
			struct row_key before = row_key(&home, offsets[i - 1]);

			assert_true(memcmp(before.bytes, key.bytes, sizeof(key.bytes)) < 0);
		}
	}
}

TEST(row_key__of_another_partition_is_not_taken)
{
	struct row_home other = home;
	struct row_key key = row_key(&home, 5);
	int64_t offset;

	other.partition++;
	assert_false(row_key_offset(slice_of(key.bytes, sizeof(key.bytes)), &other, &offset));
	assert_false(row_key_offset(slice_of(key.bytes, sizeof(key.bytes) - 1), &home, &offset));
}

TEST(row_topic_range__holds_all_of_a_topic_and_nothing_of_the_next)
{
	struct row_topic_range r = row_topic_range(&home.topic);
	struct row_home next = {.topic = home.topic};
	struct row_key first = row_key(&(struct row_home){.topic = home.topic}, 0);
	struct row_home last_home = {.topic = home.topic, .partition = UINT32_MAX};
	struct row_key last = row_key(&last_home, INT64_MAX);
	struct row_key behind;

	next.topic.bytes[15] = 0;
	next.topic.bytes[14] = 1;
	behind = row_key(&next, 0);
	assert_true(compare(r.from, r.len, first.bytes, sizeof(first.bytes)) <= 0);
	assert_true(compare(last.bytes, sizeof(last.bytes), r.to, r.len) < 0);
	assert_true(compare(r.to, r.len, behind.bytes, sizeof(behind.bytes)) <= 0);
}

TEST(row_meta_topic_range__holds_its_marks)
{
	struct row_topic_range r = row_meta_topic_range(&home.topic);
	struct row_meta_key mark = row_mark_key(&home, INT64_MAX);
	int64_t end;

	assert_true(compare(r.from, r.len, mark.bytes, mark.len) < 0);
	assert_true(compare(mark.bytes, mark.len, r.to, r.len) < 0);
	assert_true(row_mark_key_offset(slice_of(mark.bytes, mark.len), &home, &end));
	assert_int_equal(end, INT64_MAX);
}

TEST(row_store__is_read_back_and_a_later_version_is_not)
{
	struct row_store s = {.leader_epoch = 9, .clean = true, .id = home.topic};
	struct row_store back = {0};
	uint8_t bytes[ROW_STORE_BYTES];
	uint32_t version;

	row_store_encode(&s, bytes);
	assert_true(row_store_decode(slice_of(bytes, sizeof(bytes)), &back, &version));
	assert_int_equal(back.leader_epoch, 9);
	assert_true(back.clean);
	assert_true(uuid_eq(&back.id, &s.id));
	bytes[0]++;
	assert_false(row_store_decode(slice_of(bytes, sizeof(bytes)), &back, &version));
	assert_int_equal(version, ROW_VERSION + 1);
	assert_false(row_store_decode(slice_of(bytes, 3), &back, &version));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(row_key__sorts_by_offset_and_gives_it_back),
		cmocka_unit_test(row_key__of_another_partition_is_not_taken),
		cmocka_unit_test(row_topic_range__holds_all_of_a_topic_and_nothing_of_the_next),
		cmocka_unit_test(row_meta_topic_range__holds_its_marks),
		cmocka_unit_test(row_store__is_read_back_and_a_later_version_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
