#include "wire/sse.h"

#include "base/check.h"
#include "base/test.h"

static void assert_data(struct slice text, struct slice expected)
{
	struct buf out = BUF_INIT(1024);

	sse_append_data(&out, text);
	assert_true(slice_eq(buf_slice(&out), expected));
	buf_fini(&out);
}

TEST(sse_append_data__a_line_for_each_line)
{
	assert_data(SLICE_LIT("hello"), SLICE_LIT("data: hello\n"));
	assert_data(SLICE_LIT("a\nb"), SLICE_LIT("data: a\ndata: b\n"));
	assert_data(SLICE_LIT("a\n\nb"), SLICE_LIT("data: a\ndata: \ndata: b\n"));
}

TEST(sse_append_data__line_feeds_at_either_end_are_kept)
{
	assert_data(SLICE_LIT("a\n"), SLICE_LIT("data: a\ndata: \n"));
	assert_data(SLICE_LIT("\na"), SLICE_LIT("data: \ndata: a\n"));
	assert_data(SLICE_LIT("\n"), SLICE_LIT("data: \ndata: \n"));
}

TEST(sse_append_data__an_empty_text_is_one_empty_line)
{
	assert_data(SLICE_LIT(""), SLICE_LIT("data: \n"));
	assert_data(SLICE_NONE, SLICE_LIT("data: \n"));
}

TEST(sse_append_data__what_looks_like_a_field_is_text)
{
	assert_data(SLICE_LIT(" a\n: b\nid: 3\n\xef\xbb\xbf"),
	            SLICE_LIT("data:  a\ndata: : b\ndata: id: 3\ndata: \xef\xbb\xbf\n"));
}

TEST(sse_append_data__a_full_buffer_fails_as_a_whole)
{
	struct buf out = BUF_INIT(16);

	sse_append_data(&out, SLICE_LIT("a\nb\nc"));
	assert_true(out.failed);
	buf_fini(&out);
}

TEST(sse_text_ok__refuses_what_would_become_another_line_end)
{
	assert_true(sse_text_ok(SLICE_NONE));
	assert_true(sse_text_ok(SLICE_LIT("a\nb")));
	assert_true(sse_text_ok(SLICE_LIT("a\0b")));
	assert_false(sse_text_ok(SLICE_LIT("a\r\nb")));
	assert_false(sse_text_ok(SLICE_LIT("\r")));
}

TEST(sse__an_event_of_all_fields)
{
	struct buf out = BUF_INIT(1024);

	sse_append_field(&out, "event", SLICE_LIT("binary"));
	sse_append_field(&out, "id", SLICE_LIT("17"));
	sse_append_data(&out, SLICE_LIT("Zg=="));
	sse_append_end(&out);
	assert_true(slice_eq(buf_slice(&out), SLICE_LIT("event: binary\nid: 17\ndata: Zg==\n\n")));
	buf_fini(&out);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sse_append_data__a_line_for_each_line),
		cmocka_unit_test(sse_append_data__line_feeds_at_either_end_are_kept),
		cmocka_unit_test(sse_append_data__an_empty_text_is_one_empty_line),
		cmocka_unit_test(sse_append_data__what_looks_like_a_field_is_text),
		cmocka_unit_test(sse_append_data__a_full_buffer_fails_as_a_whole),
		cmocka_unit_test(sse_text_ok__refuses_what_would_become_another_line_end),
		cmocka_unit_test(sse__an_event_of_all_fields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
