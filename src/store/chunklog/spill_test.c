/* Events leave memory for segments without a flush: what holds until a checkpoint has flushed them,
 * and when that fails. */
#include "base/test.h"
#include "io/disk.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/engine.h"
#include "store/testing/disk_power.h"
#include "store/testing/event_log.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

enum {
	DISK_BYTES = 256 << 20,
	BUDGET = 1 << 20,
	EVENT_BYTES = 20000,
	REPLAYED_BYTES = 6 * BUDGET,
	STEP = 5,      /* more than what a start leaves behind that is cut off costs the next one */
	SYNCS_MAX = 6, /* of a checkpoint of one partition, with those of the WAL */
};

struct fixture {
	struct disk_power power;
	struct disk_fault *faults;
	struct store_rig rig;
	struct store_partition *p;
	struct clock_manual clock; /* of one test */
	int64_t end;               /* as many events were acknowledged */
};

static const struct store_topic *make_topic(struct fixture *x, enum durability durability)
{
	struct topic_spec spec = rig_spec(&x->rig, "a", 1);
	const struct store_topic *t;

	spec.settings.durability = durability;
	assert_int_equal(rig_create(&x->rig, &spec, &t, NULL), OK);
	x->p = t->partitions[0];
	return t;
}

static void open_store(struct fixture *x)
{
	struct fault f = {0};
	const struct store_topic *t;

	if (rig_try_open(&x->rig, &f))
		fail_msg("%s", f.where);
	t = rig_find(&x->rig, "a");
	x->p = t ? t->partitions[0] : NULL;
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	disk_power_init(&x->power, 11, DISK_BYTES);
	disk_power_on(&x->power, UINT_MAX, true);
	x->faults = disk_fault_new(&x->power.base);
	rig_init(&x->rig, &store_log, 2, disk_fault_disk(x->faults), "/data", 11);
	x->rig.memory_bytes = BUDGET;
	open_store(x);
	*state = x;
	return 0;
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

static int64_t count(struct fixture *x, enum metric metric)
{
	return atomic_load(&x->rig.metrics[0].values[metric]);
}

static void append_one(struct fixture *x)
{
	assert_int_equal(event_log_append(&x->rig, x->p, x->end, x->end + 1, EVENT_BYTES), OK);
	x->end++;
}

/* Appends until events were spilled once more, and one that was not. None meanwhile: however slow the
 * worker is, the next spill is not due at once. */
static void append_until_spilled(struct fixture *x)
{
	const struct chunklog *log = chunklog_of(x->rig.store);
	int64_t before = count(x, METRIC_SPILLS);

	while (count(x, METRIC_SPILLS) == before) {
		if (!log->checkpoint.spilling)
			append_one(x);
		for (unsigned i = 0; i < x->rig.shard_count; i++)
			loop_turn(x->rig.loops[i], 0);
	}
	append_one(x);
}

static int64_t warm_start(struct fixture *x)
{
	return partition_warm_start(partition_of(x->p));
}

/* By a power cut, or kill -9. */
static void end_run(struct fixture *x, bool kills)
{
	x->power.kills = kills;
	disk_power_on(&x->power, 1, false);
	rig_shut(&x->rig);
	disk_fault_disarm(x->faults);
	disk_power_on(&x->power, UINT_MAX, true);
}

static void crash(struct fixture *x, bool kills)
{
	end_run(x, kills);
	open_store(x);
}

static void check(struct fixture *x, int64_t end)
{
	assert_int_equal(x->p->state.fenced.code, OK);
	assert_true(event_log_is_whole(&x->rig, x->p, end));
}

static unsigned flushes(struct fixture *x)
{
	return disk_fault_calls(x->faults, DISK_SYNC) + disk_fault_calls(x->faults, DISK_SYNC_DIR) +
	       disk_fault_calls(x->faults, DISK_SYNC_ALL);
}

/* --- what it does ----------------------------------------------------------------------------- */

FIXTURE_TEST(spill__frees_memory_without_a_flush)
{
	struct fixture *x = *state;
	unsigned before;

	make_topic(x, DURABILITY_NONE);
	before = flushes(x);
	for (int i = 0; i < 4; i++)
		append_until_spilled(x);
	assert_true(flushes(x) - before <= 1); /* the catalog's or the WAL's, by its timer */
	assert_int_equal(count(x, METRIC_CHECKPOINTS), 0);
	assert_true(warm_start(x) > 0);
	assert_true((x->end - warm_start(x)) * EVENT_BYTES < 2 * BUDGET + CHUNK_BYTES_MAX);
	check(x, x->end);
}

FIXTURE_TEST(spill__survives_a_clean_stop)
{
	struct fixture *x = *state;

	make_topic(x, DURABILITY_NONE);
	append_until_spilled(x);
	rig_shut(&x->rig);
	open_store(x);
	check(x, x->end);
}

/* In a new file, then behind what a checkpoint published; each time the WAL brings it back. */
FIXTURE_TEST(spill__is_forgotten_by_a_crash_that_forgets_no_event)
{
	struct fixture *x = *state;

	make_topic(x, DURABILITY_COMMIT);
	for (int i = 0; i < 8; i++) {
		append_until_spilled(x);
		if (i % 4 > 1) {
			assert_int_equal(rig_checkpoint(&x->rig), OK);
			append_until_spilled(x);
		}
		crash(x, i % 2);
		check(x, x->end);
	}
}

FIXTURE_TEST(spill__of_class_none_is_lost_by_a_crash_before_a_checkpoint)
{
	struct fixture *x = *state;
	int64_t saved;

	make_topic(x, DURABILITY_NONE);
	append_until_spilled(x);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	saved = x->end;
	append_until_spilled(x);
	crash(x, true);
	check(x, saved);
}

/* Nothing but the segments has it. */
FIXTURE_TEST(spill__is_flushed_by_the_next_checkpoint)
{
	struct fixture *x = *state;

	make_topic(x, DURABILITY_NONE);
	for (int i = 0; i < 4; i++) {
		append_until_spilled(x);
		assert_int_equal(rig_checkpoint(&x->rig), OK);
		crash(x, false);
		check(x, x->end);
	}
}

/* How it was written is known when it has ended. */
FIXTURE_TEST(spill__is_copied_only_when_the_disk_would_be_too_slow)
{
	struct fixture *x = *state;
	const struct spill *spill;

	clock_manual_init(&x->clock, clock_system()->now(clock_system()));
	rig_shut(&x->rig);
	x->rig.clock = &x->clock.base;
	open_store(x);
	make_topic(x, DURABILITY_NONE);
	spill = &chunklog_of(x->rig.store)->spill;
	append_until_spilled(x);
	assert_true(spill->is_urgent); /* right after the start */
	clock_manual_advance(&x->clock, spill->write_us);
	append_until_spilled(x);
	assert_false(spill->is_urgent);
	assert_int_equal(spill->write_us, 0);
	append_until_spilled(x);
	assert_false(spill->is_urgent); /* nothing is quicker than that disk */
	check(x, x->end);
}

/* --- what happens before the checkpoint ------------------------------------------------------- */

FIXTURE_TEST(spill__of_a_topic_that_is_deleted_holds_up_no_checkpoint)
{
	struct fixture *x = *state;

	for (int i = 0; i < 3; i++) {
		const struct store_topic *t = make_topic(x, DURABILITY_OS);

		x->end = 0;
		append_until_spilled(x);
		assert_int_equal(rig_delete(&x->rig, t, NULL), OK);
		assert_int_equal(rig_checkpoint(&x->rig), OK);
	}
	crash(x, false);
	assert_null(x->p);
}

FIXTURE_TEST(spill__that_was_trimmed_stays_so)
{
	struct fixture *x = *state;
	int64_t start;

	make_topic(x, DURABILITY_COMMIT);
	append_until_spilled(x);
	start = x->end;
	append_until_spilled(x);
	assert_int_equal(rig_trim(&x->rig, x->p, start), OK);
	append_until_spilled(x);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	crash(x, false);
	assert_int_equal(x->p->state.log_start, start);
	check(x, x->end);
}

/* --- at the start ----------------------------------------------------------------------------- */

/* A run that had memory for all of it was killed; the next has less than the WAL holds. */
static void leave_in_wal(struct fixture *x, int64_t bytes)
{
	rig_shut(&x->rig);
	x->rig.memory_bytes = 4 * bytes;
	open_store(x);
	if (!x->p)
		make_topic(x, DURABILITY_COMMIT);
	while (x->end * EVENT_BYTES < bytes)
		append_one(x);
	assert_int_equal(count(x, METRIC_SPILLS), 0);
	end_run(x, true);
	x->rig.memory_bytes = BUDGET;
}

FIXTURE_TEST(spill__keeps_a_start_within_its_memory)
{
	struct fixture *x = *state;

	leave_in_wal(x, REPLAYED_BYTES);
	open_store(x);
	assert_in_range(count(x, METRIC_SPILLS), 2, REPLAYED_BYTES / BUDGET);
	assert_true((x->end - warm_start(x)) * EVENT_BYTES < 2 * BUDGET + CHUNK_BYTES_MAX);
	check(x, x->end);
	append_until_spilled(x);
	for (int i = 0; i < 4; i++) {
		crash(x, i % 2);
		check(x, x->end);
	}
}

/* Whenever it is cut off, the next one finds all of it. */
FIXTURE_TEST(spill__of_a_start_that_is_cut_off_loses_nothing)
{
	struct fixture *x = *state;
	struct fault f = {0};
	unsigned calls = 0;
	enum err err;

	leave_in_wal(x, REPLAYED_BYTES);
	do {
		calls += STEP;
		disk_power_on(&x->power, calls, calls % 2);
		err = rig_try_open(&x->rig, &f);
		if (!err) /* it was as far as it wanted to be */
			disk_power_keep(&x->power);
		rig_shut(&x->rig);
		disk_power_on(&x->power, UINT_MAX, true);
		x->power.kills = calls % 3 == 0;
	} while (err);
	assert_true(calls > REPLAYED_BYTES / BUDGET);
	open_store(x);
	check(x, x->end);
}

FIXTURE_TEST(spill__that_fails_at_the_start_leaves_all_in_memory)
{
	struct fixture *x = *state;
	struct fault f = {0};
	unsigned n = 0;

	leave_in_wal(x, REPLAYED_BYTES);
	do { /* the last directory made is the first segment's */
		rig_shut(&x->rig);
		disk_fault_arm(x->faults, DISK_MKDIR, ++n, ENOSPC, 0, false);
	} while (rig_try_open(&x->rig, &f));
	disk_fault_disarm(x->faults);
	x->p = rig_find(&x->rig, "a")->partitions[0];
	assert_int_equal(count(x, METRIC_SPILLS), 0);
	assert_int_equal(warm_start(x), 0);
	check(x, x->end);
	append_until_spilled(x);
	check(x, x->end);
}

/* --- faults ----------------------------------------------------------------------------------- */

/* What the kernel could not write it may have dropped: later flushes, which succeed, prove
 * nothing. */
FIXTURE_TEST(spill__that_could_not_be_flushed_is_never_published)
{
	struct fixture *x = *state;
	int64_t saved;
	enum err err;

	make_topic(x, DURABILITY_NONE);
	append_until_spilled(x);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	saved = x->end;
	append_until_spilled(x);
	disk_fault_arm(x->faults, DISK_SYNC, 1, EIO, 0, false);
	assert_int_equal(rig_checkpoint(&x->rig), ERR_IO);
	assert_int_equal(rig_checkpoint(&x->rig), ERR_IO);
	check(x, x->end);
	do {
		err = event_log_append(&x->rig, x->p, x->end, x->end + 1, EVENT_BYTES);
		x->end += !err;
	} while (!err);
	assert_int_equal(err, ERR_BUSY);
	check(x, x->end);
	crash(x, true);
	check(x, saved);
}

/* Of the WAL or of segments: the events are there, and after a restart all goes on. */
FIXTURE_TEST(spill__loses_nothing_whichever_flush_fails)
{
	struct fixture *x = *state;

	make_topic(x, DURABILITY_COMMIT);
	for (unsigned n = 1; n <= SYNCS_MAX; n++) {
		append_until_spilled(x);
		disk_fault_arm(x->faults, DISK_SYNC, n, EIO, 0, false);
		(void)!rig_checkpoint(&x->rig);
		assert_true(event_log_is_whole(&x->rig, x->p, x->end));
		crash(x, n % 2);
		check(x, x->end);
		assert_int_equal(rig_checkpoint(&x->rig), OK);
		crash(x, false);
		check(x, x->end);
	}
}

/* The manifest says nothing of it yet: it is tried again. */
FIXTURE_TEST(spill__is_published_when_the_manifest_can_be_written_again)
{
	struct fixture *x = *state;

	make_topic(x, DURABILITY_NONE);
	append_until_spilled(x);
	disk_fault_arm(x->faults, DISK_RENAME, 1, EIO, 0, true);
	assert_int_equal(rig_checkpoint(&x->rig), ERR_IO);
	disk_fault_disarm(x->faults);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	crash(x, false);
	check(x, x->end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(spill__frees_memory_without_a_flush),
		T(spill__is_copied_only_when_the_disk_would_be_too_slow),
		T(spill__survives_a_clean_stop),
		T(spill__is_forgotten_by_a_crash_that_forgets_no_event),
		T(spill__of_class_none_is_lost_by_a_crash_before_a_checkpoint),
		T(spill__is_flushed_by_the_next_checkpoint),
		T(spill__of_a_topic_that_is_deleted_holds_up_no_checkpoint),
		T(spill__that_was_trimmed_stays_so),
		T(spill__keeps_a_start_within_its_memory),
		T(spill__of_a_start_that_is_cut_off_loses_nothing),
		T(spill__that_fails_at_the_start_leaves_all_in_memory),
		T(spill__that_could_not_be_flushed_is_never_published),
		T(spill__loses_nothing_whichever_flush_fails),
		T(spill__is_published_when_the_manifest_can_be_written_again),
	};

	return cmocka_run_group_tests_name("spill", tests, NULL, NULL);
}
