#include "core/age.h"

#include "base/test.h"

enum { RUN_WALL_MS = 1000000000, LIMIT_MS = 600000 };

TEST(age__what_is_old_goes_and_no_more)
{
	struct age a = {0};

	assert_int_equal(age_end_before(&a, INT64_MAX), -1);
	for (int i = 1; i <= 5; i++)
		age_note(&a, i * 10, i * 100);
	assert_int_equal(age_end(&a), 50);
	assert_int_equal(age_end_before(&a, 100), -1);
	assert_int_equal(age_end_before(&a, 101), 10);
	assert_int_equal(age_end_before(&a, 301), 30);
	assert_int_equal(age_end_before(&a, 10000), 50);
	age_trim(&a, 29);
	assert_int_equal(age_end_before(&a, 301), 30);
	age_trim(&a, 30);
	assert_int_equal(age_end_before(&a, 301), -1);
	age_trim(&a, 1000);
	assert_int_equal(age_end(&a), -1);
	age_fini(&a);
}

TEST(age__a_young_record_keeps_those_before_it)
{
	struct age a = {0};

	age_note(&a, 10, 100);
	age_note(&a, 20, 900);
	age_note(&a, 30, 200);
	assert_int_equal(age_end_before(&a, 500), 10);
	assert_int_equal(age_end_before(&a, 901), 30);
	age_fini(&a);
}

/* Whatever the pace: never too early, and too late by a fifteenth at most. */
static void check_pace(int64_t step_ms)
{
	struct age a = {0};
	int64_t log_start = 0, offset = 0;

	for (int64_t now = 0; now < 20 * LIMIT_MS; now += step_ms) {
		int64_t end;

		age_note(&a, ++offset, now);
		assert_true(a.count <= AGE_MARKS_MAX);
		end = age_end_before(&a, now - LIMIT_MS);
		if (end > log_start)
			log_start = end;
		age_trim(&a, log_start);
		/* Record n was born at n * step_ms. */
		assert_true(log_start == 0 || now - (log_start - 1) * step_ms > LIMIT_MS);
		if (now > 4 * LIMIT_MS)
			assert_true(now - log_start * step_ms <=
			            LIMIT_MS + LIMIT_MS / 15 + 2 * step_ms);
	}
	age_fini(&a);
}

TEST(age__is_exact_to_a_fifteenth)
{
	check_pace(1);
	check_pace(37);
	check_pace(9000);
	check_pace(LIMIT_MS * 3);
}

TEST(age__a_clock_that_jumps_deletes_nothing)
{
	const int64_t hour = 3600000, before_run = INT64_MIN;

	/* In its time, of this run or another. */
	assert_int_equal(age_born(RUN_WALL_MS + 50, RUN_WALL_MS, 50), 50);
	assert_int_equal(age_born(RUN_WALL_MS - hour, RUN_WALL_MS, before_run), -hour);
	/* The wall clock fell back an hour, or the producer says an old time: arrival counts. */
	assert_int_equal(age_born(RUN_WALL_MS + 50 - hour, RUN_WALL_MS, 50), 50);
	/* It jumped ahead: younger. */
	assert_int_equal(age_born(RUN_WALL_MS + 50 + hour, RUN_WALL_MS, 50), 50 + hour);
	/* Any number may stand in a batch. */
	assert_true(age_born(INT64_MAX, RUN_WALL_MS, before_run) > 0);
	assert_true(age_born(INT64_MIN, RUN_WALL_MS, before_run) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(age__what_is_old_goes_and_no_more),
		cmocka_unit_test(age__a_young_record_keeps_those_before_it),
		cmocka_unit_test(age__is_exact_to_a_fifteenth),
		cmocka_unit_test(age__a_clock_that_jumps_deletes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
