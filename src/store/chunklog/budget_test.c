/* Appends come faster than segments are written: they wait, and are refused when nothing is. */
#include "base/test.h"
#include "store/chunk.h"
#include "store/chunklog/budget.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/engine.h"
#include "store/testing/event_log.h"
#include "store/testing/sim_store.h"

#include <errno.h>
#include <stdlib.h>

enum {
	DISK_BYTES = 256 << 20,
	BUDGET = 4 << 20,
	EVENT_BYTES = 100000,
	FLOOD = 240, /* events at once: six times the budget, less than what may wait */
	/* One more chunk is begun before appends wait; what comes last needs none. */
	SPILLS_LEAST = FLOOD * EVENT_BYTES / (BUDGET + CHUNK_BYTES_MAX),
	CHECKPOINT = 2 << 20,
	WAL_BYTES = 3 * CHECKPOINT, /* then appends wait */
	IN_FLIGHT = 2 << 20,
	CHECKPOINTS_LEAST = FLOOD * EVENT_BYTES / WAL_BYTES - 1,
};

static int setup(void **state)
{
	struct sim_store *x = calloc(1, sizeof(*x));

	sim_store_init(x, &store_log, 2, 5, DISK_BYTES);
	x->rig.memory_bytes = BUDGET;
	sim_store_open(x);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct sim_store *x = *state;

	sim_store_fini(x);
	free(x);
	return 0;
}

#define FIXTURE_TEST(name) static void name(void **state)

static int64_t count(struct sim_store *x, enum metric metric)
{
	return atomic_load(&x->rig.metrics[0].values[metric]);
}

/* Where each append after the first budget's worth needs one, there are at least so many; and one
 * more checkpoint, before which all of them have ended, so are counted. */
static bool have_waited(struct sim_store *x)
{
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	return count(x, METRIC_SPILLS) + count(x, METRIC_CHECKPOINTS) > SPILLS_LEAST;
}

FIXTURE_TEST(budget__appends_wait_until_older_ones_are_in_segments)
{
	struct sim_store *x = *state;

	assert_int_equal(event_log_append(&x->rig, x->p, 0, FLOOD, EVENT_BYTES), OK);
	assert_true(have_waited(x));
	assert_true(event_log_is_whole(&x->rig, x->p, FLOOD));
}

FIXTURE_TEST(budget__what_is_not_in_the_wal_waits_too)
{
	struct sim_store *x = *state;
	struct topic_spec spec = rig_spec(&x->rig, "b", 1);
	const struct store_topic *t;

	spec.settings.durability = DURABILITY_NONE;
	assert_int_equal(rig_create(&x->rig, &spec, &t, NULL), OK);
	assert_int_equal(event_log_append(&x->rig, t->partitions[0], 0, FLOOD, EVENT_BYTES), OK);
	assert_true(have_waited(x));
	assert_true(event_log_is_whole(&x->rig, t->partitions[0], FLOOD));
}

static void refuse_then_go_on(struct sim_store *x, int os_errno, enum err refusal)
{
	const struct chunklog *log = chunklog_of(x->rig.store);
	struct topic_spec other = rig_spec(&x->rig, "b", 1);
	const struct store_topic *t;
	int64_t end;

	disk_fault_arm(x->faults, DISK_MKDIR, 1, os_errno, 0, true);
	assert_int_equal(event_log_append(&x->rig, x->p, 0, FLOOD, EVENT_BYTES), refusal);
	end = x->p->state.high_watermark;
	assert_in_range(end, 1, 2 * BUDGET / EVENT_BYTES);
	assert_true(budget_is_tight(log));
	assert_true(event_log_is_whole(&x->rig, x->p, end));
	assert_int_equal(x->p->state.fenced.code, OK);
	assert_int_equal(rig_create(&x->rig, &other, &t, NULL), OK);
	assert_int_equal(event_log_append(&x->rig, t->partitions[0], 0, 1, 10), refusal);
	assert_int_equal(rig_delete(&x->rig, t, NULL), OK);

	disk_fault_disarm(x->faults);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	assert_false(budget_is_tight(log));
	assert_int_equal(event_log_append(&x->rig, x->p, end, end + FLOOD, EVENT_BYTES), OK);
	assert_true(event_log_is_whole(&x->rig, x->p, end + FLOOD));
}

FIXTURE_TEST(budget__on_a_full_disk_appends_are_refused_when_memory_is_full)
{
	refuse_then_go_on(*state, ENOSPC, ERR_DISK_FULL);
}

FIXTURE_TEST(budget__on_a_failing_disk_appends_are_refused_when_memory_is_full)
{
	refuse_then_go_on(*state, EIO, ERR_BUSY);
}

/* --- the WAL ---------------------------------------------------------------------------------- */

static void reopen_with_small_checkpoints(struct sim_store *x)
{
	x->rig.memory_bytes = DISK_BYTES;
	x->rig.checkpoint_bytes = CHECKPOINT;
	rig_reopen(&x->rig);
	x->p = rig_find(&x->rig, "a")->partitions[0];
}

FIXTURE_TEST(budget__appends_wait_until_the_wal_may_shrink)
{
	struct sim_store *x = *state;

	reopen_with_small_checkpoints(x);
	assert_int_equal(event_log_append(&x->rig, x->p, 0, FLOOD, EVENT_BYTES), OK);
	assert_true(count(x, METRIC_CHECKPOINTS) >= CHECKPOINTS_LEAST);
	assert_true(event_log_is_whole(&x->rig, x->p, FLOOD));
}

FIXTURE_TEST(budget__appends_are_refused_when_the_wal_may_not_shrink)
{
	struct sim_store *x = *state;
	int64_t end;

	reopen_with_small_checkpoints(x);
	disk_fault_arm(x->faults, DISK_RENAME, 1, EIO, 0, true); /* of manifests */
	assert_int_equal(event_log_append(&x->rig, x->p, 0, FLOOD, EVENT_BYTES), ERR_BUSY);
	end = x->p->state.high_watermark;
	assert_in_range(end, WAL_BYTES / EVENT_BYTES - 1, (WAL_BYTES + IN_FLIGHT) / EVENT_BYTES);
	assert_true(event_log_is_whole(&x->rig, x->p, end));

	disk_fault_disarm(x->faults);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	assert_int_equal(event_log_append(&x->rig, x->p, end, end + FLOOD, EVENT_BYTES), OK);
	assert_true(event_log_is_whole(&x->rig, x->p, end + FLOOD));
}

/* What waits for a checkpoint when the WAL fails is not left waiting. */
FIXTURE_TEST(budget__a_failed_wal_answers_what_waits)
{
	struct sim_store *x = *state;

	disk_fault_arm(x->faults, DISK_PWRITEV, 12, EIO, 0, true);
	assert_int_not_equal(event_log_append(&x->rig, x->p, 0, FLOOD, EVENT_BYTES), OK);
	assert_true(event_log_is_whole(&x->rig, x->p, x->p->state.high_watermark));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(budget__appends_wait_until_older_ones_are_in_segments),
		T(budget__what_is_not_in_the_wal_waits_too),
		T(budget__on_a_full_disk_appends_are_refused_when_memory_is_full),
		T(budget__on_a_failing_disk_appends_are_refused_when_memory_is_full),
		T(budget__appends_wait_until_the_wal_may_shrink),
		T(budget__appends_are_refused_when_the_wal_may_not_shrink),
		T(budget__a_failed_wal_answers_what_waits),
	};

	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
