#include "wire/cursor.h"

#include "base/test.h"

static struct cursor_entry entry(uint8_t topic, uint32_t partition, int64_t next_offset)
{
	return (struct cursor_entry){
		.topic = {topic, 2, 3, 4, 5, 6, 7, 8},
		.partition = partition,
		.leader_epoch = 3,
		.next_offset = next_offset,
	};
}

TEST(cursor__comes_back)
{
	struct cursor_entry entries[3] = {entry(1, 0, 0), entry(1, INT32_MAX, INT64_MAX),
	                                  entry(2, 1, 7)};
	struct buf text = BUF_INIT(2048);
	struct cursor c;

	assert_true(cursor_encode(entries, 3, false, &text));
	assert_int_equal(cursor_decode(buf_slice(&text), &c), OK);
	assert_int_equal(c.count, 3);
	for (size_t i = 0; i < 3; i++) {
		const struct cursor_entry *found =
			cursor_find(&c, entries[i].topic, entries[i].partition);

		assert_ptr_equal(found, &c.entries[i]);
		assert_true(found->next_offset == entries[i].next_offset);
		assert_int_equal(found->leader_epoch, 3);
	}
	assert_null(cursor_find(&c, entries[2].topic, 0));
	buf_fini(&text);
}

TEST(cursor__of_one_topic_is_short)
{
	struct cursor_entry e = entry(9, 0, 1000000);
	struct buf text = BUF_INIT(2048);

	assert_true(cursor_encode(&e, 1, false, &text));
	assert_in_range(text.len, 1, 26);
	buf_fini(&text);
}

TEST(cursor__of_a_partition_read_alone_says_so)
{
	struct cursor_entry e = entry(9, 2, 5);
	struct buf text = BUF_INIT(2048), other = BUF_INIT(2048);
	struct cursor c;

	assert_true(cursor_encode(&e, 1, true, &text));
	assert_true(cursor_encode(&e, 1, false, &other));
	assert_int_equal(cursor_decode(buf_slice(&text), &c), OK);
	assert_true(c.is_alone);
	assert_int_equal(c.entries[0].partition, 2);
	assert_int_equal(cursor_decode(buf_slice(&other), &c), OK);
	assert_false(c.is_alone);
	buf_fini(&text);
	buf_fini(&other);
}

TEST(cursor_decode__one_changed_character_anywhere_is_noticed)
{
	struct cursor_entry entries[2] = {entry(1, 0, 123456789), entry(2, 3, 4)};
	struct buf text = BUF_INIT(2048);
	struct cursor c;

	assert_true(cursor_encode(entries, 2, false, &text));
	for (size_t i = 0; i < text.len; i++) {
		uint8_t kept = text.ptr[i];

		text.ptr[i] = kept == 'A' ? 'B' : 'A';
		assert_int_equal(cursor_decode(buf_slice(&text), &c), ERR_BAD_CURSOR);
		text.ptr[i] = kept;
		assert_int_equal(cursor_decode(slice_of(text.ptr, i), &c), ERR_BAD_CURSOR);
	}
	assert_int_equal(cursor_decode(SLICE_NONE, &c), ERR_BAD_CURSOR);
	assert_int_equal(cursor_decode(SLICE_LIT("not a cursor"), &c), ERR_BAD_CURSOR);
	buf_fini(&text);
}

TEST(cursor_encode__what_is_too_much_is_not_written)
{
	struct cursor_entry entries[CURSOR_ENTRIES_MAX + 1];
	struct buf text = BUF_INIT(4096);
	struct cursor c;

	for (size_t i = 0; i <= CURSOR_ENTRIES_MAX; i++)
		entries[i] = entry(1, (uint32_t)i, 5);
	assert_false(cursor_encode(entries, 0, false, &text));
	assert_false(cursor_encode(entries, CURSOR_ENTRIES_MAX + 1, false, &text));
	assert_int_equal(text.len, 0);
	assert_true(cursor_encode(entries, CURSOR_ENTRIES_MAX, false, &text));
	assert_in_range(text.len, 1, CURSOR_TEXT_BYTES_MAX);
	assert_int_equal(cursor_decode(buf_slice(&text), &c), OK);
	assert_int_equal(c.count, CURSOR_ENTRIES_MAX);
	buf_clear(&text);
	for (size_t i = 0; i < CURSOR_ENTRIES_MAX; i++)
		entries[i].next_offset = INT64_MAX;
	assert_false(cursor_encode(entries, CURSOR_ENTRIES_MAX, false, &text));
	assert_int_equal(text.len, 0);
	buf_fini(&text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(cursor__comes_back),
		cmocka_unit_test(cursor__of_one_topic_is_short),
		cmocka_unit_test(cursor__of_a_partition_read_alone_says_so),
		cmocka_unit_test(cursor_decode__one_changed_character_anywhere_is_noticed),
		cmocka_unit_test(cursor_encode__what_is_too_much_is_not_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
