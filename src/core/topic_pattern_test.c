#include "core/topic_pattern.h"

#include "base/test.h"
#include "core/topic.h"

#include <stdlib.h>

static bool matches(const char *pattern, const char *name)
{
	return topic_pattern_matches(slice_str(pattern), slice_str(name));
}

TEST(topic_pattern__is_a_text_with_a_star)
{
	assert_true(topic_pattern_is(slice_str("*")));
	assert_true(topic_pattern_is(slice_str("a.*.b")));
	assert_false(topic_pattern_is(slice_str("a.b")));
	assert_false(topic_pattern_is(slice_str("")));
	assert_false(topic_pattern_is(SLICE_NONE));
}

TEST(topic_pattern__has_a_names_characters_and_stars)
{
	char longest[TOPIC_NAME_BYTES_MAX + 2];
	struct fault fault;

	memset(longest, '*', sizeof(longest));
	assert_int_equal(topic_pattern_check(slice_str("Az09._-*"), &fault), OK);
	assert_int_equal(topic_pattern_check(slice_of(longest, 249), &fault), OK);
	assert_int_equal(topic_pattern_check(slice_of(longest, 250), &fault), ERR_BAD_TOPIC);
	assert_int_equal(topic_pattern_check(SLICE_NONE, &fault), ERR_BAD_TOPIC);
	assert_int_equal(topic_pattern_check(slice_str("a*?"), &fault), ERR_BAD_TOPIC);
	assert_non_null(strstr(fault.where, "0x3f at 2"));
}

TEST(topic_pattern__matches)
{
	assert_true(matches("*", "a"));
	assert_true(matches("**", "a.b"));
	assert_true(matches("a.*", "a.b.c"));
	assert_true(matches("a*", "a"));
	assert_true(matches("*.c", "a.b.c"));
	assert_true(matches("a*c*e", "abcde"));
	assert_true(matches("*ab", "aab"));
	assert_true(matches("ab", "ab"));
	assert_false(matches("a.*", "a"));
	assert_false(matches("a.*", "b.a.c"));
	assert_false(matches("A*", "a"));
	assert_false(matches("ab*bc", "abc"));
	assert_false(matches("*b*b*", "abc"));
	assert_false(matches("ab", "abc"));
}

static bool naive(const char *pattern, const char *name)
{
	if (*pattern == '*')
		return naive(pattern + 1, name) || (*name && naive(pattern, name + 1));
	if (*pattern != *name)
		return false;
	return *pattern == '\0' || naive(pattern + 1, name + 1);
}

static void fill(char *text, unsigned cap, const char *letters)
{
	unsigned len = (unsigned)rand() % cap;

	for (unsigned i = 0; i < len; i++)
		text[i] = letters[(unsigned)rand() % strlen(letters)];
	text[len] = '\0';
}

TEST(topic_pattern__agrees_with_a_naive_one)
{
	unsigned agreed = 0;

	srand(3);
	for (int i = 0; i < 200000; i++) {
		char pattern[9];
		char name[12];

		fill(pattern, sizeof(pattern), "ab*");
		fill(name, sizeof(name), "ab");
		if (matches(pattern, name) != naive(pattern, name))
			fail_msg("'%s' and '%s'", pattern, name);
		agreed += naive(pattern, name);
	}
	assert_true(agreed > 20000);
}

/* Would never end if every star were tried at every place. */
TEST(topic_pattern__many_stars_do_not_multiply)
{
	char pattern[TOPIC_NAME_BYTES_MAX + 1] = "";
	char name[TOPIC_NAME_BYTES_MAX + 1] = "";

	for (unsigned i = 0; i + 2 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 2);
	memset(name, 'a', sizeof(name) - 1);
	pattern[sizeof(pattern) - 2] = 'b';
	for (int i = 0; i < 10000; i++)
		assert_false(matches(pattern, name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topic_pattern__is_a_text_with_a_star),
		cmocka_unit_test(topic_pattern__has_a_names_characters_and_stars),
		cmocka_unit_test(topic_pattern__matches),
		cmocka_unit_test(topic_pattern__agrees_with_a_naive_one),
		cmocka_unit_test(topic_pattern__many_stars_do_not_multiply),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
