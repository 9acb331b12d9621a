#include "cli/units.h"

#include "base/test.h"

TEST(units_bytes__has_three_digits)
{
	char text[UNITS_TEXT_BYTES];

	assert_string_equal(units_bytes(0, text), "0 B");
	assert_string_equal(units_bytes(1023, text), "1023 B");
	assert_string_equal(units_bytes(1024, text), "1 KiB");
	assert_string_equal(units_bytes(1114112, text), "1.06 MiB");
	assert_string_equal(units_bytes(500.0 * (1 << 30), text), "500 GiB");
	assert_string_equal(units_bytes(1e18, text), "909495 TiB");
}

TEST(units_duration__has_the_largest_unit)
{
	char text[UNITS_TEXT_BYTES];

	assert_string_equal(units_duration(999, text), "999 ms");
	assert_string_equal(units_duration(90000, text), "1.5 min");
	assert_string_equal(units_duration(86400000, text), "1 d");
	assert_string_equal(units_duration(366LL * 86400000, text), "366 d");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_bytes__has_three_digits),
		cmocka_unit_test(units_duration__has_the_largest_unit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
