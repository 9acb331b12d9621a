#include "histogram.h"

#include "base/test.h"

#include <stdlib.h>

static int set_up(void **state)
{
	*state = calloc(1, sizeof(struct histogram));
	return *state ? 0 : -1;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static void histogram_quantile__of_nothing_is_zero(void **state)
{
	assert_int_equal(histogram_quantile(*state, 0.99), 0);
}

static void histogram_quantile__small_values_are_exact(void **state)
{
	struct histogram *h = *state;

	for (int64_t ns = 1; ns <= 1000; ns++)
		histogram_add(h, ns);
	assert_int_equal(histogram_quantile(h, 0.5), 500);
	assert_int_equal(histogram_quantile(h, 0.99), 990);
	assert_int_equal(histogram_quantile(h, 0.999), 999);
	assert_int_equal(histogram_quantile(h, 1), 1000);
}

/* Each value alone, and a larger one so that max_ns does not help. */
static void histogram_quantile__is_never_below_and_at_most_a_thousandth_above(void **state)
{
	struct histogram *h = *state;

	for (int64_t ns = 1; ns < INT64_C(1) << 39; ns += ns / 7 + 1) {
		int64_t found;

		*h = (struct histogram){0};
		histogram_add(h, ns);
		histogram_add(h, 2 * ns);
		found = histogram_quantile(h, 0.5);
		assert_true(found >= ns);
		assert_true(found <= ns + ns / 1000);
	}
}

static void histogram_quantile__a_rare_stall_shows_at_its_place(void **state)
{
	struct histogram *h = *state;

	for (int i = 0; i < 9990; i++)
		histogram_add(h, 100);
	for (int i = 0; i < 10; i++)
		histogram_add(h, 50000000);
	assert_int_equal(histogram_quantile(h, 0.999), 100);
	assert_int_equal(histogram_quantile(h, 0.9991), 50000000);
}

static void histogram_add__what_is_out_of_range_is_kept_in_the_last_cell(void **state)
{
	struct histogram *h = *state;

	histogram_add(h, -5);
	histogram_add(h, INT64_MAX);
	assert_int_equal(h->count, 2);
	assert_int_equal(h->cells[0], 1);
	assert_int_equal(h->cells[HISTOGRAM_CELLS - 1], 1);
	assert_true(h->max_ns == INT64_MAX);
}

#define HISTOGRAM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HISTOGRAM_TEST(histogram_quantile__of_nothing_is_zero),
		HISTOGRAM_TEST(histogram_quantile__small_values_are_exact),
		HISTOGRAM_TEST(histogram_quantile__is_never_below_and_at_most_a_thousandth_above),
		HISTOGRAM_TEST(histogram_quantile__a_rare_stall_shows_at_its_place),
		HISTOGRAM_TEST(histogram_add__what_is_out_of_range_is_kept_in_the_last_cell),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
