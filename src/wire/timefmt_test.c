#include "wire/timefmt.h"

#include "base/check.h"
#include "base/test.h"

#include <time.h>

TEST(time_parse__forms_of_the_rfc)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"1985-04-12T23:20:50.52Z", 482196050520},
		{"1996-12-19T16:39:57-08:00", 851042397000},
		{"1990-12-31T23:59:60Z", 662688000000},
		{"2024-02-29t10:00:00.1239999z", 1709200800123},
		{"2024-02-29 12:00:00+02:00", 1709200800000},
		{"1969-12-31T23:59:59.999Z", -1},
		{"0000-01-01T00:00:00Z", -62167219200000},
		{"9999-12-31T23:59:59.999Z", 253402300799999},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		int64_t ms = 1;

		assert_true(time_parse(slice_str(rows[i].text), &ms));
		assert_true(ms == rows[i].ms);
	}
}

TEST(time_parse__what_is_no_time_is_refused)
{
	static const char *const bad[] = {
		"",
		"2024",
		"2024-02-29",
		"2023-02-29T00:00:00Z",
		"1900-02-29T00:00:00Z",
		"2024-13-01T00:00:00Z",
		"2024-00-01T00:00:00Z",
		"2024-04-31T00:00:00Z",
		"2024-01-00T00:00:00Z",
		"2024-01-01T24:00:00Z",
		"2024-01-01T00:60:00Z",
		"2024-01-01T00:00:61Z",
		"2024-01-01T00:00:00",
		"2024-01-01T00:00:00.Z",
		"2024-01-01T00:00:00+24:00",
		"2024-01-01T00:00:00+0100",
		"2024-01-01T00:00:00Zx",
		"2024-1-01T00:00:00Z",
		"+024-01-01T00:00:00Z",
		"2024-01-01X00:00:00Z",
	};
	int64_t ms;

	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_false(time_parse(slice_str(bad[i]), &ms));
}

TEST(time_format__comes_back_and_agrees_with_libc)
{
	for (int64_t ms = -62167219200000; ms <= 253402300799999;
	     ms += 86400000ll * 37 + 12345678) {
		time_t seconds = (time_t)((ms - (ms % 1000 + 1000) % 1000) / 1000);
		char text[TIME_TEXT_LEN + 1], expected[40];
		struct civil c = civil_from_ms(ms);
		struct tm tm;
		int64_t back;

		time_format(ms, text);
		assert_true(time_parse(slice_str(text), &back));
		assert_true(back == ms);
		gmtime_r(&seconds, &tm);
		strftime(expected, sizeof(expected), "-%m-%dT%H:%M:%S", &tm);
		assert_memory_equal(text + 4, expected, strlen(expected));
		assert_int_equal(c.weekday, tm.tm_wday);
		assert_int_equal(c.year, tm.tm_year + 1900);
	}
}

TEST(time_format__beyond_the_calendar_is_clamped)
{
	char text[TIME_TEXT_LEN + 1];

	assert_string_equal(time_format(INT64_MIN, text), "0000-01-01T00:00:00.000Z");
	assert_string_equal(time_format(INT64_MAX, text), "9999-12-31T23:59:59.999Z");
}

struct row {
	const char *text;
	int64_t value; /* -1: refused */
};

static void assert_rows(bool (*parse)(struct slice, int64_t *), const struct row *rows,
                        size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int64_t value = -1;

		if (parse(slice_str(rows[i].text), &value) != (rows[i].value >= 0) ||
		    value != rows[i].value)
			fail_msg("%s: %lld", rows[i].text, (long long)value);
	}
}

TEST(duration_parse__units_and_overflow)
{
	static const struct row rows[] = {
		{"0", 0},
		{"5", 5000},
		{"1.5", 1500},
		{"500ms", 500},
		{"5s", 5000},
		{"2m", 120000},
		{"1h", 3600000},
		{"7d", 604800000},
		{"0.5h", 1800000},
		{"0.0019", 1},
		{"1.5ms", 1},
		{"9223372036854775s", 9223372036854775000},
		{"", -1},
		{"s", -1},
		{"-1s", -1},
		{"1.s", -1},
		{".5s", -1},
		{"1 s", -1},
		{"1w", -1},
		{"5ss", -1},
		{"+5", -1},
		{"1e3", -1},
		{"9223372036854776s", -1},
		{"99999999999999999999", -1},
	};

	assert_rows(duration_parse, rows, ARRAY_COUNT(rows));
}

TEST(bytes_parse__units_and_overflow)
{
	static const struct row rows[] = {
		{"0", 0},
		{"100", 100},
		{"1b", 1},
		{"64KiB", 65536},
		{"64 kib", 65536},
		{"1MiB", 1 << 20},
		{"1.5GiB", 3ll << 29},
		{"2TiB", 2ll << 40},
		{"100KB", 100000},
		{"1MB", 1000000},
		{"1GB", 1000000000},
		{"0.5TB", 500000000000},
		{"8388607TiB", 8388607ll << 40},
		{"8388608TiB", -1},
		{"", -1},
		{"KiB", -1},
		{"-1", -1},
		{"1k", -1},
		{"1  KB", -1},
		{"1 ", -1},
		{"1KiBx", -1},
	};

	assert_rows(bytes_parse, rows, ARRAY_COUNT(rows));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(time_parse__forms_of_the_rfc),
		cmocka_unit_test(time_parse__what_is_no_time_is_refused),
		cmocka_unit_test(time_format__comes_back_and_agrees_with_libc),
		cmocka_unit_test(time_format__beyond_the_calendar_is_clamped),
		cmocka_unit_test(duration_parse__units_and_overflow),
		cmocka_unit_test(bytes_parse__units_and_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
