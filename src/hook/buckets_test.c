#include "hook/buckets.h"

#include "base/test.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>

static const struct slice me = SLICE_LIT("me");
static struct buckets *b;

static int init(void **state)
{
	(void)state;
	b = buckets_new();
	return b ? 0 : -1;
}

static int fini(void **state)
{
	(void)state;
	buckets_free(b);
	return 0;
}

static bool takes(struct slice key, double per_second, double burst, int64_t now_us)
{
	return fabs(buckets_take(b, key, per_second, burst, now_us)) < 1e-9;
}

TEST(buckets__so_many_at_once_then_as_time_goes)
{
	for (int i = 0; i < 3; i++)
		assert_true(takes(me, 2, 3, 1000));
	assert_true(fabs(buckets_take(b, me, 2, 3, 1000) - 0.5) < 1e-9);
	assert_true(fabs(buckets_take(b, me, 2, 3, 251000) - 0.25) < 1e-9);
	assert_true(takes(me, 2, 3, 501000));
	assert_false(takes(me, 2, 3, 501000));
	for (int i = 0; i < 3; i++)
		assert_true(takes(me, 2, 3, INT64_C(3600000000)));
	assert_false(takes(me, 2, 3, INT64_C(3600000000)));
}

TEST(buckets__each_has_its_own)
{
	assert_true(takes(me, 1, 1, 1));
	assert_true(takes(SLICE_LIT("you"), 1, 1, 1));
	assert_true(takes(SLICE_LIT(""), 1, 1, 1));
	assert_false(takes(me, 1, 1, 1));
}

TEST(buckets__whoever_was_not_heard_of_for_longest_is_forgotten)
{
	char key[16];

	assert_true(takes(me, 1, 1, 1));
	assert_true(takes(SLICE_LIT("old"), 1, 1, 1));
	assert_false(takes(me, 1, 1, 1));
	for (int i = 0; i < BUCKETS_MAX - 1; i++) {
		snprintf(key, sizeof(key), "%d", i);
		assert_true(takes(slice_str(key), 1, 1, 1));
	}
	assert_false(takes(me, 1, 1, 1));
	assert_true(takes(SLICE_LIT("old"), 1, 1, 1));
}

enum { THREADS = 4, TOKENS = 1000 };

static void *take_many(void *arg)
{
	int *taken = arg;

	for (int i = 0; i < TOKENS; i++)
		*taken += takes(me, 1, TOKENS, 1);
	return NULL;
}

TEST(buckets__the_limit_is_of_all_threads_together)
{
	pthread_t threads[THREADS];
	int taken[THREADS] = {0};
	int sum = 0;

	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_many, &taken[i]), 0);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		sum += taken[i];
	}
	assert_int_equal(sum, TOKENS);
}

#define LISTED(test) cmocka_unit_test_setup_teardown(test, init, fini)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LISTED(buckets__so_many_at_once_then_as_time_goes),
		LISTED(buckets__each_has_its_own),
		LISTED(buckets__whoever_was_not_heard_of_for_longest_is_forgotten),
		LISTED(buckets__the_limit_is_of_all_threads_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
