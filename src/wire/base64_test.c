#include "wire/base64.h"

#include "base/check.h"
#include "base/test.h"

TEST(base64_encode__the_vectors_of_the_rfc)
{
	static const char *const rows[][3] = {
		{"", "", ""},
		{"f", "Zg==", "Zg"},
		{"fo", "Zm8=", "Zm8"},
		{"foo", "Zm9v", "Zm9v"},
		{"foob", "Zm9vYg==", "Zm9vYg"},
		{"\xfb\xff", "+/8=", "-_8"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		for (size_t alphabet = 0; alphabet < 2; alphabet++) {
			struct buf out = BUF_INIT(64), back = BUF_INIT(64);
			struct slice expected = slice_str(rows[i][1 + alphabet]);

			base64_encode((enum base64_alphabet)alphabet, slice_str(rows[i][0]), &out);
			assert_true(slice_eq(buf_slice(&out), expected));
			assert_true(base64_decode((enum base64_alphabet)alphabet, expected, &back));
			assert_true(slice_eq(buf_slice(&back), slice_str(rows[i][0])));
			buf_fini(&out);
			buf_fini(&back);
		}
	}
}

TEST(base64_decode__only_what_encode_writes)
{
	static const char *const bad_std[] = {
		"Z", "Zg",   "Zg=",  "Zg===",    "Zh==", "Zm9=", "Zm9v=",
		"=", "====", "Z===", "Zg==Zg==", "-_8=", "Zg =", "Zm\n9"};
	static const char *const bad_url[] = {"Z", "Zg==", "Zh", "Zm9", "+/8", "Zm9vY", "Zm 9"};
	struct buf out = BUF_INIT(64);

	for (size_t i = 0; i < ARRAY_COUNT(bad_std); i++)
		assert_false(base64_decode(BASE64_STD, slice_str(bad_std[i]), &out));
	for (size_t i = 0; i < ARRAY_COUNT(bad_url); i++)
		assert_false(base64_decode(BASE64_URL, slice_str(bad_url[i]), &out));
	assert_int_equal(out.len, 0);
	assert_false(out.failed);
	buf_fini(&out);
}

TEST(base64__every_byte_at_every_length_comes_back)
{
	uint8_t bytes[256];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167 + 13);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		struct buf out = BUF_INIT(1024), back = BUF_INIT(len ? len : 1);

		base64_encode(BASE64_STD, slice_of(bytes, len), &out);
		assert_int_equal(out.len, base64_encoded_size(BASE64_STD, len));
		assert_true(base64_decode(BASE64_STD, buf_slice(&out), &back));
		assert_true(slice_eq(buf_slice(&back), slice_of(bytes, len)));
		buf_fini(&out);
		buf_fini(&back);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(base64_encode__the_vectors_of_the_rfc),
		cmocka_unit_test(base64_decode__only_what_encode_writes),
		cmocka_unit_test(base64__every_byte_at_every_length_comes_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
