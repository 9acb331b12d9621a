#include "wire/utf8.h"

#include "base/check.h"
#include "base/test.h"

/* RFC 3629 by arithmetic: decode, then ask for the shortest form of a scalar value. */
static bool naive_valid(const uint8_t *at, size_t len)
{
	while (len > 0) {
		static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
		size_t n = *at < 0x80 ? 1 : *at < 0xc0 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : 4;
		uint32_t code = n == 1 ? *at : *at & (0x7fu >> n);

		if (n == 0 || n > len || *at > 0xf7)
			return false;
		for (size_t i = 1; i < n; i++) {
			if ((at[i] & 0xc0) != 0x80)
				return false;
			code = code << 6 | (at[i] & 0x3f);
		}
		if (code < least[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
			return false;
		at += n;
		len -= n;
	}
	return true;
}

TEST(utf8_valid__agrees_with_arithmetic_on_all_that_begins_a_character)
{
	static const uint8_t seconds[] = {0x00, 0x7f, 0x80, 0x8f, 0x90,
	                                  0x9f, 0xa0, 0xbf, 0xc0, 0xff};

	for (unsigned lead = 0; lead < 256; lead++) {
		for (size_t second = 0; second < ARRAY_COUNT(seconds); second++) {
			for (size_t len = 1; len <= 5; len++) {
				uint8_t text[5] = {(uint8_t)lead, seconds[second], 0x80, 0xbf, 'a'};

				assert_int_equal(utf8_valid(slice_of(text, len)),
				                 naive_valid(text, len));
			}
		}
	}
}

TEST(utf8_feed__a_character_may_be_cut_anywhere)
{
	struct slice text =
		SLICE_LIT("plain ascii \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 end of it");

	for (size_t cut = 0; cut <= text.len; cut++) {
		struct utf8_state utf8 = {0};

		assert_true(utf8_feed(&utf8, slice_of(text.ptr, cut)));
		assert_int_equal(utf8_complete(&utf8), utf8_valid(slice_of(text.ptr, cut)));
		assert_true(utf8_feed(&utf8, slice_of(text.ptr + cut, text.len - cut)));
		assert_true(utf8_complete(&utf8));
	}
}

TEST(utf8_valid__a_bad_byte_is_found_at_any_place)
{
	for (size_t at = 0; at < 24; at++) {
		uint8_t text[24];

		memset(text, 'x', sizeof(text));
		text[at] = 0xff;
		assert_false(utf8_valid(slice_of(text, sizeof(text))));
	}
	assert_true(utf8_valid(SLICE_NONE));
}

TEST(utf8_encode__is_valid_for_every_character)
{
	for (uint32_t code = 0; code <= 0x10ffff; code += 61) {
		uint8_t text[4];

		if (code < 0xd800 || code > 0xdfff)
			assert_true(utf8_valid(slice_of(text, utf8_encode(code, text))));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf8_valid__agrees_with_arithmetic_on_all_that_begins_a_character),
		cmocka_unit_test(utf8_feed__a_character_may_be_cut_anywhere),
		cmocka_unit_test(utf8_valid__a_bad_byte_is_found_at_any_place),
		cmocka_unit_test(utf8_encode__is_valid_for_every_character),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
