#include "wire/json.h"

#include "base/check.h"
#include "base/test.h"

#include <stdio.h>

static bool valid(const char *text)
{
	return json_validate(slice_str(text), JSON_DEPTH_MAX, NULL);
}

TEST(json_validate__what_the_rfc_allows)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"0",
		"-0",
		"-0.0e-0",
		"1E+9",
		"12.5",
		"true",
		"false",
		"null",
		"\"\"",
		" \t\r\n[ 1 , 2 ] \n",
		"{\"a\":{\"b\":[{},[]]},\"a\":null}",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
		"\"\\u00e9\\uD83D\\uDE00\\ud800\"",
		"\"\xc3\xa9 \xf0\x9f\x98\x80 \x7f\"",
		"{\"event\": \"Event Data\"}",
		"\"a string of more than eight bytes\"",
	};

	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		assert_true(valid(texts[i]));
}

TEST(json_validate__names_the_byte_that_cannot_be_right)
{
	static const struct {
		const char *text;
		size_t at;
	} rows[] = {
		{"", 0},
		{" ", 1},
		{"{", 1},
		{"[", 1},
		{"[1", 2},
		{"[1,]", 3},
		{"[,1]", 1},
		{"[1 2]", 3},
		{"{\"a\"}", 4},
		{"{\"a\":}", 5},
		{"{\"a\":1,}", 7},
		{"{a:1}", 1},
		{"{1:1}", 1},
		{"{]", 1},
		{"[}", 1},
		{"[1}", 2},
		{"{\"a\":1]", 6},
		{"01", 1},
		{"-", 1},
		{"+1", 0},
		{"1.", 2},
		{".5", 0},
		{"1e", 2},
		{"1e+", 3},
		{"tru", 3},
		{"truE", 3},
		{"nul", 3},
		{"True", 0},
		{"NaN", 0},
		{"1 1", 2},
		{"\"", 1},
		{"\"a", 2},
		{"\"\\\"", 3},
		{"\"\\x\"", 2},
		{"\"\\u12g4\"", 5},
		{"\"\\u12\"", 5},
		{"\"\n\"", 1},
		{"\"12345678\t\"", 9},
		{"\"\x80\"", 1},
		{"\"\xc3\"", 2},
		{"\"\xed\xa0\x80\"", 2},
		{"'a'", 0},
		{"[1]x", 3},
		{"\xef\xbb\xbf{}", 0},
		{"//", 0},
		{"{}}", 2},
		{"\v1", 0},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		size_t at = SIZE_MAX;

		assert_false(json_validate(slice_str(rows[i].text), JSON_DEPTH_MAX, &at));
		if (at != rows[i].at)
			fail_msg("%s: error at %zu, not %zu", rows[i].text, at, rows[i].at);
	}
	assert_false(json_validate(SLICE_LIT("\"a\0b\""), JSON_DEPTH_MAX, NULL));
	assert_false(json_validate(SLICE_NONE, JSON_DEPTH_MAX, NULL));
}

TEST(json_validate__every_special_byte_is_seen_at_every_place_of_a_word)
{
	for (unsigned byte = 0; byte < 256; byte++) {
		for (size_t at = 1; at < 20; at++) {
			uint8_t text[21];

			memset(text, 'x', sizeof(text));
			text[0] = text[20] = '"';
			text[at] = (uint8_t)byte;
			assert_int_equal(json_validate(slice_of(text, 21), 1, NULL),
			                 byte >= 0x20 && byte < 0x80 && byte != '"' &&
			                         byte != '\\');
		}
	}
}

TEST(json_validate__nesting_ends_at_the_limit)
{
	uint8_t text[2 * (JSON_DEPTH_MAX + 1)];

	for (size_t depth = 1; depth <= JSON_DEPTH_MAX + 1; depth++) {
		memset(text, '[', depth);
		memset(text + depth, ']', depth);
		assert_int_equal(json_validate(slice_of(text, 2 * depth), JSON_DEPTH_MAX, NULL),
		                 depth <= JSON_DEPTH_MAX);
	}
	assert_true(json_validate(SLICE_LIT("[[]]"), 2, NULL));
	assert_false(json_validate(SLICE_LIT("[[]]"), 1, NULL));
	assert_true(json_validate(SLICE_LIT("1"), 0, NULL));
}

TEST(json_iter__members_in_order_with_raw_values)
{
	static const struct {
		const char *key;
		enum json_kind kind;
		const char *raw;
	} members[] = {
		{"\"a\"", JSON_NUMBER, "1"},
		{"\"b]\"", JSON_ARRAY, "[ {\"]\":\"\\\"}\"} ]"},
		{"\"\"", JSON_STRING, "\"x,\\\\\""},
		{"\"c\"", JSON_OBJECT, "{}"},
		{"\"d\"", JSON_TRUE, "true"},
		{"\"e\"", JSON_FALSE, "false"},
		{"\"f\"", JSON_NULL, "null"},
	};
	struct slice text =
		SLICE_LIT(" { \"a\" : 1 , \"b]\":[ {\"]\":\"\\\"}\"} ],\"\":\"x,\\\\\",\n"
	                  "\"c\":{},\"d\":true,\"e\":false,\"f\":null } ");
	struct json_value value;
	struct json_iter it;
	struct slice key;

	assert_true(json_validate(text, JSON_DEPTH_MAX, NULL));
	json_iter_init(&it, json_root(text));
	for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
		assert_true(json_iter_next(&it, &key, &value));
		assert_true(slice_eq(key, slice_str(members[i].key)));
		assert_int_equal(value.kind, members[i].kind);
		assert_true(slice_eq(value.raw, slice_str(members[i].raw)));
	}
	assert_false(json_iter_next(&it, &key, &value));
}

TEST(json_iter__a_string_ends_at_the_quote_that_is_not_escaped)
{
	static const char *const strings[] = {
		"\"\"", "\"\\\"\"", "\"\\\\\"", "\"a\\\\\\\"b\"", "\"\\\\\\\\\"", "\",]}\"",
	};

	for (size_t i = 0; i < ARRAY_COUNT(strings); i++) {
		char text[64];
		struct json_iter it;
		struct json_value value;
		struct slice key;

		snprintf(text, sizeof(text), "[%s,7]", strings[i]);
		assert_true(json_validate(slice_str(text), JSON_DEPTH_MAX, NULL));
		json_iter_init(&it, json_root(slice_str(text)));
		assert_true(json_iter_next(&it, &key, &value));
		assert_true(slice_eq(value.raw, slice_str(strings[i])));
		assert_true(json_iter_next(&it, &key, &value));
		assert_true(slice_eq(value.raw, SLICE_LIT("7")));
		assert_false(json_iter_next(&it, &key, &value));
	}
}

TEST(json_iter__elements_have_no_key)
{
	struct json_value value;
	struct json_iter it;
	struct slice key;
	int64_t sum = 0, n;

	json_iter_init(&it, json_root(SLICE_LIT("[1, 20 ,300]")));
	while (json_iter_next(&it, &key, &value)) {
		assert_null(key.ptr);
		assert_true(json_to_int64(value, &n));
		sum += n;
	}
	assert_int_equal(sum, 321);
	json_iter_init(&it, json_root(SLICE_LIT("[ ]")));
	assert_false(json_iter_next(&it, &key, &value));
}

TEST(json_object_get__the_last_of_a_name_wins_escapes_undone)
{
	struct json_value root = json_root(SLICE_LIT("{\"a\":1,\"\\u0061\":2,\"b\":3}"));
	struct json_value value;
	int64_t n;

	assert_true(json_object_get(root, "a", &value));
	assert_true(json_to_int64(value, &n));
	assert_int_equal(n, 2);
	assert_false(json_object_get(root, "c", &value));
}

TEST(json_to_int64__only_integers_that_fit)
{
	int64_t n;

	assert_true(json_to_int64(json_root(SLICE_LIT("-9223372036854775808")), &n));
	assert_false(json_to_int64(json_root(SLICE_LIT("9223372036854775808")), &n));
	assert_false(json_to_int64(json_root(SLICE_LIT("1.0")), &n));
	assert_false(json_to_int64(json_root(SLICE_LIT("1e2")), &n));
	assert_false(json_to_int64(json_root(SLICE_LIT("\"1\"")), &n));
}

/* Validates a string of 40 bytes, all 'x' but the one at `at`. */
static bool validate_with(size_t at, uint8_t c, size_t *error_at)
{
	uint8_t text[42];

	memset(text, 'x', sizeof(text));
	text[0] = '"';
	text[sizeof(text) - 1] = '"';
	text[1 + at] = c;
	return json_validate(slice_of(text, sizeof(text)), 0, error_at);
}

TEST(json_validate__finds_a_special_byte_wherever_it_is)
{
	for (unsigned c = 0; c < 256; c++) {
		bool quoting = c == '"' || c == '\\';
		bool special = quoting || c < 0x20 || c >= 0x80;

		for (size_t at = 0; at < 39; at++) {
			size_t error_at;

			assert_int_equal(validate_with(at, (uint8_t)c, &error_at), !special);
			if (special && c < 0xc0)
				assert_int_equal(error_at, 1 + at + quoting);
		}
	}
}

TEST(json_string_decode__escapes_and_surrogates)
{
	struct buf out = BUF_INIT(256);

	assert_true(
		json_string_decode(SLICE_LIT("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\u00E9\\u20ac"
	                                     "\\ud83d\\ude00z\""),
	                           &out));
	assert_true(slice_eq(buf_slice(&out), SLICE_LIT("a\"\\/\b\f\n\r\t\0\xc3\xa9\xe2\x82\xac"
	                                                "\xf0\x9f\x98\x80z")));
	assert_false(json_string_decode(SLICE_LIT("\"\\ud83d\""), &out));
	assert_false(json_string_decode(SLICE_LIT("\"\\ud83dxxxxxxxx\""), &out));
	assert_false(json_string_decode(SLICE_LIT("\"\\ud83d\\u0041\""), &out));
	assert_false(json_string_decode(SLICE_LIT("\"\\ude00\\ud83d\""), &out));
	buf_fini(&out);
}

TEST(json_append_string__escapes_what_must_be)
{
	struct buf out = BUF_INIT(256);

	json_append_string(&out, SLICE_LIT("long enough \"\\/\b\f\n\r\t\v\0\x1f\x7f \xc3\xa9"));
	assert_true(
		slice_eq(buf_slice(&out),
	                 SLICE_LIT("\"long enough \\\"\\\\/\\b\\f\\n\\r\\t\\u000b\\u0000\\u001f\x7f"
	                           " \xc3\xa9\"")));
	buf_clear(&out);
	json_append_string(&out, SLICE_NONE);
	assert_true(slice_eq(buf_slice(&out), SLICE_LIT("\"\"")));
	buf_fini(&out);
}

TEST(json_append_bytes__is_text_where_it_can_be)
{
	struct buf out = BUF_INIT(256);

	assert_false(json_append_bytes(&out, SLICE_LIT("caf\xc3\xa9 \"")));
	assert_true(json_append_bytes(&out, SLICE_LIT("caf\xe9")));
	assert_true(slice_eq(buf_slice(&out), SLICE_LIT("\"caf\xc3\xa9 \\\"\"\"Y2Fm6Q==\"")));
	buf_fini(&out);
}

TEST(json_append_string__comes_back_for_every_ascii_byte)
{
	struct buf out = BUF_INIT(4096), back = BUF_INIT(4096);
	uint8_t all[128];

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	json_append_string(&out, slice_of(all, sizeof(all)));
	assert_true(json_validate(buf_slice(&out), 1, NULL));
	assert_true(json_string_decode(buf_slice(&out), &back));
	assert_true(slice_eq(buf_slice(&back), slice_of(all, sizeof(all))));
	buf_fini(&out);
	buf_fini(&back);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_validate__what_the_rfc_allows),
		cmocka_unit_test(json_validate__names_the_byte_that_cannot_be_right),
		cmocka_unit_test(
			json_validate__every_special_byte_is_seen_at_every_place_of_a_word),
		cmocka_unit_test(json_validate__nesting_ends_at_the_limit),
		cmocka_unit_test(json_iter__members_in_order_with_raw_values),
		cmocka_unit_test(json_iter__a_string_ends_at_the_quote_that_is_not_escaped),
		cmocka_unit_test(json_iter__elements_have_no_key),
		cmocka_unit_test(json_object_get__the_last_of_a_name_wins_escapes_undone),
		cmocka_unit_test(json_to_int64__only_integers_that_fit),
		cmocka_unit_test(json_validate__finds_a_special_byte_wherever_it_is),
		cmocka_unit_test(json_string_decode__escapes_and_surrogates),
		cmocka_unit_test(json_append_string__escapes_what_must_be),
		cmocka_unit_test(json_append_bytes__is_text_where_it_can_be),
		cmocka_unit_test(json_append_string__comes_back_for_every_ascii_byte),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
