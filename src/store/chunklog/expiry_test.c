/* Retention by age under clocks that a test moves. */
#include "base/test.h"
#include "store/chunklog/engine.h"
#include "store/chunklog/partition.h"
#include "store/testing/disk_power.h"
#include "store/testing/store_rig.h"

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { DISK_BYTES = 64 << 20, MINUTE_MS = 60000, HOUR_MS = 60 * MINUTE_MS };

/* The system's, and so much ahead. */
struct ahead_clock {
	struct clock base;
	_Atomic int64_t wall_ms;
	_Atomic int64_t mono_us;
};

struct fixture {
	struct ahead_clock clock;
	struct disk_power power;
	struct store_rig rig;
};

static struct now ahead_now(struct clock *c)
{
	struct ahead_clock *ahead = CONTAINER_OF(c, struct ahead_clock, base);
	struct now now = clock_system()->now(clock_system());

	now.wall_ms += ahead->wall_ms;
	now.mono_us += ahead->mono_us;
	return now;
}

static int64_t wall_ms(struct fixture *x)
{
	return ahead_now(&x->clock.base).wall_ms;
}

/* Time passes: on both clocks. */
static void pass(struct fixture *x, int64_t ms)
{
	x->clock.wall_ms += ms;
	x->clock.mono_us += ms * 1000;
}

/* Somebody sets the wall clock. */
static void jump(struct fixture *x, int64_t ms)
{
	x->clock.wall_ms += ms;
}

static void open_store(struct fixture *x)
{
	struct fault f = {0};

	if (rig_try_open(&x->rig, &f))
		fail_msg("%s", f.where);
}

static int setup(void **state, const struct store_ops *ops)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->clock.base.now = ahead_now;
	disk_power_init(&x->power, 3, DISK_BYTES);
	x->power.kills = true;
	rig_init(&x->rig, ops, 2, &x->power.base, "/d", 3);
	x->rig.clock = &x->clock.base;
	x->rig.memory_bytes = 1;
	open_store(x);
	*state = x;
	return 0;
}

static int setup_memory(void **state)
{
	return setup(state, &store_memory);
}

static int setup_log(void **state)
{
	return setup(state, &store_log);
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	rig_fini(&x->rig);
	disk_power_fini(&x->power);
	free(x);
	return 0;
}

static struct store_partition *make_topic(struct fixture *x, enum durability durability)
{
	struct topic_spec spec = rig_spec(&x->rig, "t", 1);
	const struct store_topic *topic;

	spec.settings.durability = durability;
	spec.settings.retention_ms = HOUR_MS;
	assert_int_equal(rig_create(&x->rig, &spec, &topic, NULL), OK);
	return topic->partitions[0];
}

static void append_at(struct fixture *x, struct store_partition *p, int64_t timestamp_ms)
{
	struct buf batch = BUF_INIT(4096);
	int64_t offset;

	assert_int_equal(rig_append(&x->rig, p, rig_batch(&batch, "v", &timestamp_ms, 1), &offset),
	                 OK);
	buf_fini(&batch);
}

static void append(struct fixture *x, struct store_partition *p)
{
	append_at(x, p, wall_ms(x));
}

/* The timers that are due have fired, and what they began is done. */
static void settle(struct fixture *x)
{
	const bool never = false;

	x->clock.mono_us += 2000000;
	for (int i = 0; i < 50; i++)
		for (unsigned s = 0; s < x->rig.shard_count; s++)
			loop_run_until(x->rig.loops[s], &never, 1);
}

static struct store_partition *restart(struct fixture *x, bool is_kill)
{
	const struct store_topic *t;

	if (is_kill)
		disk_power_on(&x->power, 1, false);
	rig_shut(&x->rig);
	disk_power_on(&x->power, UINT_MAX, true);
	open_store(x);
	t = rig_find(&x->rig, "t");
	assert_non_null(t);
	return t->partitions[0];
}

#define FIXTURE_TEST(name) static void name(void **state)

FIXTURE_TEST(expiry__what_is_older_than_the_limit_goes_by_itself)
{
	struct fixture *x = *state;
	struct store_partition *p = make_topic(x, DURABILITY_COMMIT);

	append(x, p);
	append(x, p);
	pass(x, 40 * MINUTE_MS);
	append(x, p);
	settle(x);
	assert_int_equal(p->state.log_start, 0);
	pass(x, 25 * MINUTE_MS);
	settle(x);
	assert_int_equal(p->state.log_start, 2);
	pass(x, 40 * MINUTE_MS);
	settle(x);
	assert_int_equal(p->state.log_start, 3); /* also the newest */
	assert_int_equal(p->state.bytes, 0);
	append(x, p);
	assert_int_equal(p->state.log_end, 4);
}

FIXTURE_TEST(expiry__a_wall_clock_that_jumps_deletes_nothing)
{
	struct fixture *x = *state;
	struct store_partition *p = make_topic(x, DURABILITY_OS);

	append(x, p);
	jump(x, 2 * HOUR_MS);
	append(x, p);
	settle(x);
	assert_int_equal(p->state.log_start, 0);
	jump(x, -5 * HOUR_MS);
	append(x, p);
	settle(x);
	assert_int_equal(p->state.log_start, 0);
	/* Nor does it keep what is old by the clock that cannot jump. */
	pass(x, 61 * MINUTE_MS);
	settle(x);
	assert_int_equal(p->state.log_start, 1);
	pass(x, 2 * HOUR_MS);
	settle(x);
	assert_int_equal(p->state.log_start, 3);
}

FIXTURE_TEST(checkpoint__a_wall_clock_set_back_puts_none_off)
{
	struct fixture *x = *state;
	struct store_partition *p = make_topic(x, DURABILITY_COMMIT);
	_Atomic int64_t *done = &x->rig.metrics[0].values[METRIC_CHECKPOINTS];
	int64_t before = atomic_load(done);

	append(x, p);
	jump(x, -HOUR_MS);
	pass(x, MINUTE_MS);
	for (int i = 0; i < 200 && atomic_load(done) == before; i++)
		settle(x); /* a thread of its own makes it */
	assert_int_equal(atomic_load(done), before + 1);
}

FIXTURE_TEST(expiry__an_old_timestamp_of_a_new_event_does_not_count)
{
	struct fixture *x = *state;
	struct store_partition *p = make_topic(x, DURABILITY_OS);

	append_at(x, p, wall_ms(x) - 100LL * HOUR_MS);
	settle(x);
	assert_int_equal(p->state.log_start, 0);
}

FIXTURE_TEST(expiry__after_a_restart_timestamps_count)
{
	struct fixture *x = *state;
	struct store_partition *p = make_topic(x, DURABILITY_COMMIT);

	append(x, p);
	pass(x, 30 * MINUTE_MS);
	append(x, p);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	append(x, p);
	p = restart(x, true);
	settle(x);
	assert_int_equal(p->state.log_start, 0);
	pass(x, 31 * MINUTE_MS);
	settle(x);
	assert_int_equal(p->state.log_start, 1);
	p = restart(x, false);
	assert_int_equal(p->state.log_start, 1);
	rig_shut(&x->rig);
	pass(x, HOUR_MS); /* nobody is there meanwhile */
	open_store(x);
	p = rig_find(&x->rig, "t")->partitions[0];
	settle(x);
	assert_int_equal(p->state.log_start, 3);
}

FIXTURE_TEST(expiry__what_is_gone_does_not_come_back_after_a_kill)
{
	struct fixture *x = *state;
	struct store_partition *p = make_topic(x, DURABILITY_COMMIT);

	append(x, p);
	pass(x, 2 * HOUR_MS);
	settle(x);
	assert_int_equal(p->state.log_start, 1);
	jump(x, -2 * HOUR_MS); /* so that its timestamp is young again */
	p = restart(x, true);
	assert_int_equal(p->state.log_start, 1);
	assert_int_equal(p->state.log_end, 1);
}

FIXTURE_TEST(expiry__a_limit_set_later_counts_for_what_is_there)
{
	struct fixture *x = *state;
	struct topic_spec spec = rig_spec(&x->rig, "t", 1);
	const struct store_topic *topic;
	struct store_partition *p;

	assert_int_equal(rig_create(&x->rig, &spec, &topic, NULL), OK);
	p = topic->partitions[0];
	append(x, p);
	pass(x, 2 * HOUR_MS);
	append(x, p);
	settle(x);
	assert_int_equal(p->state.log_start, 0);
	spec = topic->spec;
	spec.settings.retention_ms = HOUR_MS;
	assert_int_equal(rig_alter(&x->rig, &spec, NULL, NULL), OK);
	settle(x);
	assert_int_equal(p->state.log_start, 1);
}

FIXTURE_TEST(expiry__a_topic_may_be_deleted_meanwhile)
{
	struct fixture *x = *state;

	for (int i = 0; i < 5; i++) {
		struct store_partition *p = make_topic(x, DURABILITY_COMMIT);
		const struct store_topic *topic = rig_find(&x->rig, "t");

		append(x, p);
		pass(x, 2 * HOUR_MS);
		append(x, p); /* finds the first one old, and trims */
		assert_int_equal(rig_delete(&x->rig, topic, NULL), OK);
	}
}

/* --- segments --------------------------------------------------------------------------------- */

static void checkpoint(struct fixture *x)
{
	assert_int_equal(rig_checkpoint(&x->rig), OK);
}

static uint32_t segment_count(const struct store_partition *p)
{
	return partition_of((struct store_partition *)(uintptr_t)p)->sealed->count;
}

static void set_segment_ms(struct fixture *x, const struct store_partition *p, int64_t ms)
{
	struct topic_spec spec = {.uuid = p->topic, .settings = p->settings};

	spec.settings.segment_ms = ms;
	assert_int_equal(rig_alter(&x->rig, &spec, NULL, NULL), OK);
}

FIXTURE_TEST(segments__a_new_one_is_begun_when_the_last_is_old)
{
	struct fixture *x = *state;
	struct store_partition *p = make_topic(x, DURABILITY_COMMIT);

	set_segment_ms(x, p, 10 * MINUTE_MS);
	append(x, p);
	checkpoint(x);
	pass(x, 9 * MINUTE_MS);
	append(x, p);
	checkpoint(x);
	assert_int_equal(segment_count(p), 1);
	p = restart(x, false); /* when it was begun is remembered */
	pass(x, 2 * MINUTE_MS);
	append(x, p);
	checkpoint(x);
	assert_int_equal(segment_count(p), 2);
	set_segment_ms(x, p, -1);
	pass(x, 20LL * 24 * HOUR_MS);
	append(x, p);
	checkpoint(x);
	assert_in_range(segment_count(p), 1, 2);
	assert_int_equal(p->state.log_end, 4);
}

/* After a start, what is in segments only is as old as the youngest event of its segment. */
FIXTURE_TEST(segments__their_age_counts_across_a_restart)
{
	struct fixture *x = *state;
	struct store_partition *p = make_topic(x, DURABILITY_COMMIT);

	set_segment_ms(x, p, 30 * MINUTE_MS);
	append(x, p);
	append_at(x, p, wall_ms(x) - HOUR_MS); /* an older one behind it changes nothing */
	checkpoint(x);
	pass(x, 30 * MINUTE_MS);
	append(x, p);
	pass(x, 10 * MINUTE_MS);
	append(x, p);
	checkpoint(x);
	assert_int_equal(segment_count(p), 2);
	p = restart(x, true);
	settle(x);
	assert_int_equal(p->state.log_start, 0);
	pass(x, 21 * MINUTE_MS);
	settle(x);
	assert_int_equal(p->state.log_start, 2);
	pass(x, 30 * MINUTE_MS);
	settle(x);
	assert_int_equal(p->state.log_start, 2); /* the one at 40 keeps the one at 30 */
	jump(x, 3 * HOUR_MS);
	settle(x);
	assert_int_equal(p->state.log_start, 2);
	pass(x, 10 * MINUTE_MS);
	settle(x);
	assert_int_equal(p->state.log_start, 4);
}

#define ON(engine, name) cmocka_unit_test_setup_teardown(name, setup_##engine, teardown)
#define T(name)          ON(memory, name), ON(log, name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(expiry__what_is_older_than_the_limit_goes_by_itself),
		T(expiry__a_wall_clock_that_jumps_deletes_nothing),
		T(checkpoint__a_wall_clock_set_back_puts_none_off),
		T(expiry__an_old_timestamp_of_a_new_event_does_not_count),
		ON(memory, expiry__after_a_restart_timestamps_count),
		T(expiry__what_is_gone_does_not_come_back_after_a_kill),
		T(expiry__a_limit_set_later_counts_for_what_is_there),
		T(expiry__a_topic_may_be_deleted_meanwhile),
		ON(log, segments__a_new_one_is_begun_when_the_last_is_old),
		ON(log, segments__their_age_counts_across_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
