#include "wire/url.h"

#include "base/check.h"
#include "base/test.h"

static void assert_text(struct slice s, const char *expected)
{
	assert_true(slice_eq(s, slice_str(expected)));
}

TEST(url_decode__once_and_no_more)
{
	uint8_t out[64];
	size_t len;

	assert_true(url_decode(SLICE_LIT("a%2fb+c%25%32%35%c3%A9"), out, &len));
	assert_text(slice_of(out, len), "a/b+c%25\xc3\xa9");
	assert_true(url_decode(SLICE_NONE, out, &len));
	assert_int_equal(len, 0);
}

TEST(url_decode__bad_escapes_and_nul_are_refused)
{
	static const char *const bad[] = {"%", "%2", "a%2", "%g0", "%0g", "%00", "%%41", "%+1"};
	uint8_t out[64];
	size_t len;

	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_false(url_decode(slice_str(bad[i]), out, &len));
	assert_false(url_decode(SLICE_LIT("a\0b"), out, &len));
}

TEST(url_encode__comes_back)
{
	struct buf out = BUF_INIT(4096);
	uint8_t all[255], back[4096];
	size_t len;

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(i + 1);
	url_encode(slice_of(all, sizeof(all)), &out);
	assert_true(url_decode(buf_slice(&out), back, &len));
	assert_true(slice_eq(slice_of(back, len), slice_of(all, sizeof(all))));
	buf_clear(&out);
	url_encode(SLICE_LIT("a b/~"), &out);
	assert_text(buf_slice(&out), "a%20b%2F~");
	buf_fini(&out);
}

TEST(url_query__names_and_values_decoded_in_order)
{
	struct url_query q;

	assert_int_equal(
		url_query_parse(SLICE_LIT("a=1&&b&c=&%64=x%26y%3dz&a=2+3&e=f=g"), &q, NULL), OK);
	assert_int_equal(q.count, 6);
	assert_text(url_query_find(&q, "a")->value, "1");
	assert_null(url_query_find(&q, "b")->value.ptr);
	assert_non_null(url_query_find(&q, "c")->value.ptr);
	assert_text(url_query_find(&q, "d")->value, "x&y=z");
	assert_text(q.params[4].value, "2+3");
	assert_text(url_query_find(&q, "e")->value, "f=g");
	assert_null(url_query_find(&q, "f"));
	url_query_fini(&q);
	assert_int_equal(url_query_parse(SLICE_NONE, &q, NULL), OK);
	assert_int_equal(q.count, 0);
	url_query_fini(&q);
}

TEST(url_query__what_is_malformed_is_named)
{
	struct buf many = BUF_INIT(4096);
	struct url_query q;
	struct fault f;

	assert_int_equal(url_query_parse(SLICE_LIT("ok=%41&offset=%zz"), &q, &f),
	                 ERR_BAD_PARAMETER);
	assert_non_null(strstr(f.where, "offset"));
	assert_int_equal(url_query_parse(SLICE_LIT("=1"), &q, &f), ERR_BAD_PARAMETER);
	for (size_t i = 0; i <= URL_PARAMS_MAX; i++)
		buf_append_lit(&many, "a=b&");
	assert_int_equal(url_query_parse(buf_slice(&many), &q, &f), ERR_BAD_PARAMETER);
	buf_fini(&many);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(url_decode__once_and_no_more),
		cmocka_unit_test(url_decode__bad_escapes_and_nul_are_refused),
		cmocka_unit_test(url_encode__comes_back),
		cmocka_unit_test(url_query__names_and_values_decoded_in_order),
		cmocka_unit_test(url_query__what_is_malformed_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
