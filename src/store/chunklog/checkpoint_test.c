/* A checkpoint of many topics: one flush for all of them, and as safe as one for each. */
#include "base/test.h"
#include "io/disk.h"
#include "store/chunklog/engine.h"
#include "store/testing/disk_power.h"
#include "store/testing/event_log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { DISK_BYTES = 256 << 20, TOPICS = 40 };

struct fixture {
	struct disk_power power;
	struct disk_fault *faults; /* of the power's; counts calls */
	struct store_rig rig;
	struct store_partition *partitions[TOPICS];
};

static void open_store(struct fixture *x)
{
	struct fault f = {0};

	if (rig_try_open(&x->rig, &f))
		fail_msg("%s", f.where);
	for (int i = 0; i < TOPICS; i++) {
		char name[16];
		const struct store_topic *t;

		snprintf(name, sizeof(name), "t%d", i);
		t = rig_find(&x->rig, name);
		x->partitions[i] = t ? t->partitions[0] : NULL;
	}
	for (int i = 0; i < TOPICS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "t%d", i);
		if (!x->partitions[i])
			x->partitions[i] = rig_topic(&x->rig, name, 1)->partitions[0];
	}
}

static int set_up(void **state, uint64_t seed)
{
	struct fixture *x = calloc(1, sizeof(*x));

	disk_power_init(&x->power, seed, DISK_BYTES);
	x->faults = disk_fault_new(&x->power.base);
	rig_init(&x->rig, &store_log, 2, disk_fault_disk(x->faults), "/data", seed);
	x->rig.memory_bytes = 1;
	open_store(x);
	*state = x;
	return 0;
}

static int setup(void **state)
{
	return set_up(state, 3);
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	disk_fault_disarm(x->faults);
	rig_fini(&x->rig);
	disk_fault_free(x->faults);
	disk_power_fini(&x->power);
	free(x);
	return 0;
}

#define FIXTURE_TEST(name) static void name(void **state)

static void append_to_all(struct fixture *x, int64_t from, int64_t to)
{
	for (int i = 0; i < TOPICS; i++)
		assert_int_equal(event_log_append(&x->rig, x->partitions[i], from, to, 500), OK);
}

static void check_all(struct fixture *x, int64_t end)
{
	for (int i = 0; i < TOPICS; i++)
		assert_true(event_log_is_whole(&x->rig, x->partitions[i], end));
}

static unsigned flushes(struct fixture *x)
{
	return disk_fault_calls(x->faults, DISK_SYNC) + disk_fault_calls(x->faults, DISK_SYNC_DIR) +
	       disk_fault_calls(x->faults, DISK_SYNC_ALL);
}

FIXTURE_TEST(checkpoint__flushes_many_topics_at_once)
{
	struct fixture *x = *state;
	unsigned before;

	for (int64_t n = 0; n < 2; n++) {
		append_to_all(x, n, n + 1);
		before = flushes(x);
		assert_int_equal(rig_checkpoint(&x->rig), OK);
		assert_in_range(flushes(x) - before, 1, 10); /* with the WAL's and the manifest's */
	}
	check_all(x, 2);
}

/* The power goes at call `n` of a checkpoint, and what was not flushed goes with it. */
static void cut_power_at(struct fixture *x, unsigned n, int64_t end)
{
	append_to_all(x, end - 1, end);
	disk_power_on(&x->power, n, n % 2);
	(void)!rig_checkpoint(&x->rig);
	(void)disk_power_is_off(&x->power);
	disk_power_on(&x->power, 1, false);
	rig_shut(&x->rig);
	disk_power_on(&x->power, UINT_MAX, true);
	open_store(x);
	check_all(x, end);
}

FIXTURE_TEST(checkpoint__of_many_topics_survives_a_power_cut_at_any_call)
{
	int64_t end = 0;

	for (unsigned n = 1; n < 400; n += 9 * TEST_STEP(4))
		cut_power_at(*state, n, ++end);
}

/* By no later one either: which bytes are on disk is found out by a restart. */
FIXTURE_TEST(checkpoint__that_cannot_flush_all_is_not_done)
{
	struct fixture *x = *state;

	x->rig.memory_bytes = DISK_BYTES; /* it goes on until that is full */
	rig_shut(&x->rig);
	open_store(x);
	append_to_all(x, 0, 1);
	disk_fault_arm(x->faults, DISK_SYNC_ALL, 1, EIO, 0, false);
	assert_int_equal(rig_checkpoint(&x->rig), ERR_IO);
	append_to_all(x, 1, 2);
	assert_int_equal(rig_checkpoint(&x->rig), ERR_IO);
	check_all(x, 2);
	disk_power_on(&x->power, 1, false);
	rig_shut(&x->rig);
	disk_power_on(&x->power, UINT_MAX, true);
	open_store(x);
	check_all(x, 2);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(checkpoint__flushes_many_topics_at_once),
		T(checkpoint__of_many_topics_survives_a_power_cut_at_any_call),
		T(checkpoint__that_cannot_flush_all_is_not_done),
	};

	return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}
