#include "wire/http_write.h"

#include "base/err.h"
#include "base/test.h"

TEST(http_write__a_whole_answer)
{
	struct buf out = BUF_INIT(1 << 12);
	char date[HTTP_DATE_LEN + 1];

	http_head_begin(&out, 201);
	http_head_date(&out, http_date_format(784111777000, date));
	http_head_field(&out, "Content-Type", SLICE_LIT("text/plain"));
	http_head_field_int(&out, "Event-Offset", -7);
	http_head_end_length(&out, 2);
	assert_true(slice_eq(buf_slice(&out), SLICE_LIT("HTTP/1.1 201 Created\r\n"
	                                                "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
	                                                "Content-Type: text/plain\r\n"
	                                                "Event-Offset: -7\r\n"
	                                                "Content-Length: 2\r\n\r\n")));
	buf_fini(&out);
}

TEST(http_write__no_chunks_and_their_end)
{
	struct buf out = BUF_INIT(1 << 12);

	http_head_end_chunked(&out);
	http_chunk_end(&out);
	assert_true(slice_eq(buf_slice(&out),
	                     SLICE_LIT("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")));
	buf_fini(&out);
}

TEST(http_write__every_status_of_the_error_table_has_a_reason)
{
	for (enum err e = OK; e < ERR_COUNT; e++)
		assert_string_not_equal(http_reason(err_http_status(e)), "Unknown");
	assert_string_equal(http_reason(299), "Unknown");
}

TEST(http_field_ok__line_breaks_and_odd_names_are_not)
{
	assert_true(http_field_value_ok(SLICE_LIT("a\tb \xc3\xa9")));
	assert_false(http_field_value_ok(SLICE_LIT("a\r\nb")));
	assert_false(http_field_value_ok(SLICE_LIT("a\0b")));
	assert_true(http_field_name_ok(SLICE_LIT("x-A_1")));
	assert_false(http_field_name_ok(SLICE_LIT("")));
	assert_false(http_field_name_ok(SLICE_LIT("a b")));
	assert_false(http_field_name_ok(SLICE_LIT("a:")));
	assert_false(http_field_name_ok(SLICE_LIT("a\0")));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_write__a_whole_answer),
		cmocka_unit_test(http_write__no_chunks_and_their_end),
		cmocka_unit_test(http_write__every_status_of_the_error_table_has_a_reason),
		cmocka_unit_test(http_field_ok__line_breaks_and_odd_names_are_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
