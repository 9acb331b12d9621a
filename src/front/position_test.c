#include "front/position.h"

#include "base/test.h"

static struct position at;
static struct cursor decoded;
static struct fault fault;

static enum err parse(const char *offset, const char *cursor)
{
	return position_parse(offset ? slice_str(offset) : SLICE_NONE,
	                      cursor ? slice_str(cursor) : SLICE_NONE, POSITION_END, 1000000, &at,
	                      &decoded, &fault);
}

static void expect(const char *offset, enum position_kind kind, int64_t value)
{
	assert_int_equal(parse(offset, NULL), OK);
	assert_int_equal(at.kind, kind);
	assert_int_equal(at.value, value);
}

TEST(position__every_form_of_offset)
{
	expect(NULL, POSITION_END, 0);
	expect("earliest", POSITION_EARLIEST, 0);
	expect("last", POSITION_LAST, 0);
	expect("end", POSITION_END, 0);
	expect("latest", POSITION_END, 0);
	expect("0", POSITION_OFFSET, 0);
	expect("9223372036854775807", POSITION_OFFSET, INT64_MAX);
	expect("1970-01-01T00:00:02Z", POSITION_TIME, 2000);
	expect("-10s", POSITION_TIME, 990000);
	expect("-1m", POSITION_TIME, 940000);
	expect("-7d", POSITION_TIME, 0);
}

TEST(position__what_is_no_offset)
{
	static const char *const wrong[] = {
		"", "soon", "-", "-x", "-1", "1.5", "0x1", "9223372036854775808", "Earliest"};

	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
		assert_int_equal(parse(wrong[i], NULL), ERR_BAD_PARAMETER);
}

TEST(position__a_cursor_beats_an_offset)
{
	assert_int_equal(parse("earliest", "12"), OK);
	assert_int_equal(at.kind, POSITION_NUMBER);
	assert_int_equal(at.value, 12);
	assert_int_equal(parse("earliest", "x"), ERR_BAD_CURSOR);
	assert_int_equal(parse("earliest", ""), ERR_BAD_CURSOR);
	assert_int_equal(parse("earliest", "-1"), ERR_BAD_CURSOR);
}

TEST(position__borrows_the_entries_of_an_opaque_cursor)
{
	struct cursor_entry entry = {.partition = 3, .leader_epoch = 2, .next_offset = 9};
	struct buf text = BUF_INIT(CURSOR_TEXT_BYTES_MAX + 1);

	assert_true(cursor_encode(&entry, 1, false, &text));
	buf_append(&text, "", 1);
	assert_int_equal(parse("earliest", (const char *)text.ptr), OK);
	assert_int_equal(at.kind, POSITION_CURSOR);
	assert_ptr_equal(at.entries, decoded.entries);
	assert_int_equal(at.entry_count, 1);
	assert_int_equal(at.entries[0].next_offset, 9);
	buf_fini(&text);
	assert_int_equal(parse("earliest", NULL), OK);
	assert_int_equal(at.entry_count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(position__every_form_of_offset),
		cmocka_unit_test(position__what_is_no_offset),
		cmocka_unit_test(position__a_cursor_beats_an_offset),
		cmocka_unit_test(position__borrows_the_entries_of_an_opaque_cursor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
