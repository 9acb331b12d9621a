#include "base/suggest.h"

#include "base/check.h"
#include "base/test.h"

static const char *const keys[] = {"host",        "port", "shards", "storage", "retention.bytes",
                                   "retention.ms"};

static const char *meant(const char *word)
{
	return suggest(slice_str(word), keys, ARRAY_COUNT(keys));
}

TEST(suggest__finds_each_kind_of_slip)
{
	assert_string_equal(meant("hosst"), "host");
	assert_string_equal(meant("prt"), "port");
	assert_string_equal(meant("pork"), "port");
	assert_string_equal(meant("shadrs"), "shards");
	assert_string_equal(meant("Storage"), "storage");
	assert_string_equal(meant("retention_byte"), "retention.bytes");
}

TEST(suggest__prefers_the_nearest)
{
	assert_string_equal(meant("retention.m"), "retention.ms");
	assert_string_equal(meant("retention.bites"), "retention.bytes");
}

TEST(suggest__says_nothing_about_strangers)
{
	assert_null(meant("xyz"));
	assert_null(meant("replication"));
	assert_null(meant(""));
	assert_null(suggest(slice_str("host"), NULL, 0));
}

TEST(suggest__a_word_longer_than_its_table_is_left_alone)
{
	char word[4096];

	memset(word, 'a', sizeof(word));
	assert_null(suggest(slice_of(word, sizeof(word)), keys, ARRAY_COUNT(keys)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(suggest__finds_each_kind_of_slip),
		cmocka_unit_test(suggest__prefers_the_nearest),
		cmocka_unit_test(suggest__says_nothing_about_strangers),
		cmocka_unit_test(suggest__a_word_longer_than_its_table_is_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
