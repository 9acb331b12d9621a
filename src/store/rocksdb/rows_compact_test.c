/* Compaction under this engine: what is left of a partition is held against a model. */
#include "base/test.h"
#include "io/disk.h"
#include "store/chunk.h"
#include "store/rocksdb/engine.h"
#include "store/rocksdb/rocks.h"
#include "store/rocksdb/rows_compact.h"
#include "store/testing/compact_model.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	MIB = 1 << 20,
	BATCH_EVENTS = 64,
	MIB_BATCHES = 22, /* some more than a MiB */
	TURNS = 20000,
	HOUR_MS = 3600000,
};

/* The system's disk with as much space as is said, and its clock so much ahead: other threads
 * ask. */
struct fixture {
	struct store_rig rig;
	struct disk disk;
	struct disk_ops ops;
	_Atomic int64_t space; /* -1: as much as there is */
	struct clock clock;
	_Atomic int64_t ahead_ms;
	struct store_partition *p; /* of topic "a" */
	struct compact_model model;
};

static int64_t space(struct disk *d, const char *path)
{
	int64_t said = CONTAINER_OF(d, struct fixture, disk)->space;

	return said < 0 ? disk_real()->ops->space(disk_real(), path) : said;
}

static struct now now(struct clock *c)
{
	struct fixture *x = CONTAINER_OF(c, struct fixture, clock);
	struct now at = clock_system()->now(clock_system());
	int64_t ahead_ms = x->ahead_ms;

	at.wall_ms += ahead_ms;
	at.mono_us += ahead_ms * 1000;
	return at;
}

static void find_topic(struct fixture *x)
{
	const struct store_topic *t = rig_find(&x->rig, "a");
	struct topic_spec spec;

	if (!t) {
		spec = rig_spec(&x->rig, "a", 1);
		spec.settings.segment_bytes = SEGMENT_BYTES_LEAST;
		spec.settings.cleanup_policy = CLEANUP_COMPACT;
		spec.settings.dirty_ratio_ppm = 0;
		spec.settings.durability = DURABILITY_OS;
		assert_int_equal(rig_create(&x->rig, &spec, &t, NULL), OK);
	}
	x->p = t->partitions[0];
}

static void reopen(struct fixture *x)
{
	rig_reopen(&x->rig);
	find_topic(x);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	x->space = -1;
	x->ops = *disk_real()->ops;
	x->ops.space = space;
	x->disk.ops = &x->ops;
	x->clock.now = now;
	rig_open(&x->rig, &store_rocksdb, 2, false, 11);
	rig_shut(&x->rig);
	x->rig.disk = &x->disk;
	x->rig.clock = &x->clock;
	log_set_level(x->rig.log, LOG_OFF);
	reopen(x);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	rig_close(&x->rig);
	free(x);
	return 0;
}

/* --- the log and its model ------------------------------------------------------------------- */

static void append(struct fixture *x, int64_t count)
{
	compact_model_append(&x->model, &x->rig, x->p, count);
}

static int64_t check(struct fixture *x, bool lacks_tombstones)
{
	return compact_model_check(&x->model, &x->rig, x->p, lacks_tombstones);
}

static struct rocks_partition *part(const struct fixture *x)
{
	return rocks_partition_of(x->p);
}

static struct rocks_compaction *compaction(const struct fixture *x)
{
	return &part(x)->shard->compaction;
}

/* None begins meanwhile. */
static void fill(struct fixture *x, int mib)
{
	compaction(x)->stopping = true;
	for (int i = 0; i < mib * MIB_BATCHES; i++)
		append(x, BATCH_EVENTS);
	compaction(x)->stopping = false;
}

static void turn(struct fixture *x)
{
	for (unsigned i = 0; i < x->rig.shard_count; i++)
		loop_turn(x->rig.loops[i], 1);
}

static void until_idle(struct fixture *x)
{
	for (int i = 0; i < TURNS && compaction(x)->state != COMPACTING_NONE; i++)
		turn(x);
	assert_int_equal(compaction(x)->state, COMPACTING_NONE);
}

/* It has begun, and `turns` were made since. */
static void begin_to_compact(struct fixture *x, unsigned turns)
{
	compaction(x)->not_before_mono_us = 0;
	rocks_compaction_look(part(x)->shard);
	assert_int_not_equal(compaction(x)->state, COMPACTING_NONE);
	while (turns-- > 0)
		turn(x);
}

static void compact(struct fixture *x)
{
	begin_to_compact(x, 0);
	until_idle(x);
	assert_int_equal(part(x)->compacted.clean, part(x)->finished);
}

/* As many as there may be: all that is not finished, and of each key one (two, where runs were cut
 * off at different places). */
static int64_t left_max(const struct fixture *x, int runs)
{
	return x->model.end - part(x)->compacted.clean + (int64_t)runs * MODEL_KEYS;
}

/* It has batches as they came. */
static void drop_tail(struct fixture *x)
{
	if (part(x)->tail)
		chunk_put(part(x)->tail);
	part(x)->tail = NULL;
}

/* What the state says against what a reader gets. */
static void check_bytes(struct fixture *x)
{
	int64_t at = x->p->state.log_start, bytes = 0;

	compaction(x)->stopping = true;
	until_idle(x);
	drop_tail(x);
	while (at < x->p->state.high_watermark) {
		struct slice rest;
		struct shared *holder;
		struct batch b = {0};

		assert_int_equal(rig_read(&x->rig, x->p, at, 1, &rest, &holder), OK);
		assert_int_equal(batch_parse(rest, &b, NULL), OK);
		bytes += (int64_t)b.bytes.len;
		at = b.last_offset + 1;
		shared_put(holder);
	}
	assert_int_equal(x->p->state.bytes, bytes);
	compaction(x)->stopping = false;
}

static void kill_and_start(struct fixture *x)
{
	rig_kill(&x->rig);
	reopen(x);
}

static void set_policy(struct fixture *x, uint8_t policy, int64_t delete_retention_ms)
{
	const struct store_topic *t;
	struct topic_spec spec = {.uuid = x->p->topic, .settings = x->p->settings};

	spec.settings.cleanup_policy = policy;
	spec.settings.delete_retention_ms = delete_retention_ms;
	assert_int_equal(rig_alter(&x->rig, &spec, &t, NULL), OK);
}

/* --- tests ----------------------------------------------------------------------------------- */

TEST(compaction__the_last_record_of_each_key_stays)
{
	struct fixture *x = *state;
	int64_t left;

	fill(x, 6);
	compact(x);
	left = check(x, false);
	assert_true(part(x)->compacted.clean > x->model.end / 2);
	assert_in_range(left, x->model.end - part(x)->compacted.clean, left_max(x, 1));
	kill_and_start(x);
	assert_int_equal(check(x, false), left);
	check_bytes(x);
	reopen(x);
	assert_int_equal(check(x, false), left);
}

/* After a restart all there is is finished; so it is compacted to its very end, and bytes count on
 * from there. */
TEST(compaction__goes_on_where_it_was_and_bytes_are_exact)
{
	struct fixture *x = *state;

	for (int i = 0; i < 5; i++) {
		fill(x, 3);
		if (i % 2)
			reopen(x);
		compact(x);
		assert_in_range(check(x, false), 1, left_max(x, 1));
		check_bytes(x);
		append(x, 1);
		kill_and_start(x);
		check_bytes(x);
		check(x, false);
	}
}

/* One piece of those that there will be has taken its place. */
static void until_a_piece_is_put(struct fixture *x)
{
	const struct rocks_compaction *c = compaction(x);

	while (c->state == COMPACTING_MAP || c->run->bytes_in == 0)
		turn(x);
	assert_int_not_equal(c->state, COMPACTING_NONE);
}

TEST(compaction__cut_off_anywhere_it_leaves_a_log_that_is_right)
{
	struct fixture *x = *state;

	for (unsigned turns = 0; turns < 60; turns += 10) {
		fill(x, 5); /* two pieces */
		begin_to_compact(x, turns);
		if (turns % 20)
			until_a_piece_is_put(x);
		if (turns % 30)
			kill_and_start(x);
		else
			reopen(x);
		assert_int_equal(x->p->state.fenced.code, OK);
		check(x, false);
		until_idle(x);
		check_bytes(x);
	}
	fill(x, 1);
	compact(x);
	assert_in_range(check(x, false), 1, left_max(x, 1));
	check_bytes(x);
}

/* The map has room for 24 keys: it takes several runs, each of which goes a part of the way. */
TEST(compaction__more_keys_than_it_can_hold_take_several_runs)
{
	struct fixture *x = *state;
	const struct rows_compact_job whole = {.d = &part(x)->shard->store->database,
	                                       .home = &part(x)->home,
	                                       .limit = 2 * MIB_BATCHES * BATCH_EVENTS,
	                                       .map_bytes = 1024};
	struct rows_compact *r;
	struct fault f;
	bool done = false;

	fill(x, 2);
	r = rows_compact_new(&whole);
	while (!done)
		assert_int_equal(rows_compact_map(r, &done, &f), OK);
	assert_in_range(r->upto, 1, x->model.end - 1);
	rows_compact_move(r, 0);
	for (done = false; !done;)
		assert_int_equal(rows_compact_rewrite(r, &done, &f), OK);
	assert_true(r->piece.to >= r->upto); /* whole batches */
	assert_true(r->piece.bytes_out < r->piece.bytes_in);
	rows_compact_free(r);
}

TEST(compaction__a_full_disk_leaves_it_for_later)
{
	struct fixture *x = *state;

	fill(x, 4);
	x->space = 1 << 20;
	x->ahead_ms += 1000; /* the writer looks again */
	begin_to_compact(x, 0);
	until_idle(x);
	assert_int_equal(part(x)->compacted.clean, 0);
	assert_int_equal(x->p->state.fenced.code, OK);
	x->space = -1;
	x->ahead_ms += 1000;
	compact(x);
	assert_in_range(check(x, false), 1, left_max(x, 1));
}

TEST(compaction__tombstones_go_when_they_were_passed_long_enough)
{
	struct fixture *x = *state;

	set_policy(x, CLEANUP_COMPACT, HOUR_MS);
	fill(x, 4);
	compact(x);
	check(x, false);
	fill(x, 2);
	compact(x);
	check(x, false); /* an hour has not passed */
	x->ahead_ms += 2 * HOUR_MS;
	fill(x, 2);
	compact(x);
	assert_in_range(check(x, true), 1, left_max(x, 1));
}

TEST(compaction__what_is_trimmed_meanwhile_is_gone)
{
	struct fixture *x = *state;

	for (unsigned turns = 0; turns < 24; turns += 2) {
		fill(x, 2);
		begin_to_compact(x, turns);
		assert_int_equal(rig_trim(&x->rig, x->p, x->model.end - 100 - 60 * (int64_t)turns),
		                 OK);
		check(x, false);
		until_idle(x);
		assert_int_equal(x->p->state.fenced.code, OK);
		assert_false(part(x)->is_uncompactable);
		check(x, false);
		assert_int_equal(rig_trim(&x->rig, x->p, -1), OK);
		assert_int_equal(x->p->state.bytes, 0);
	}
	kill_and_start(x);
	assert_int_equal(x->p->state.bytes, 0);
	fill(x, 2);
	compact(x);
	check(x, false);
	check_bytes(x);
}

TEST(compaction__retention_by_bytes_counts_what_is_left)
{
	struct fixture *x = *state;
	const struct store_topic *t;
	struct topic_spec spec;

	fill(x, 6);
	compact(x);
	spec = (struct topic_spec){.uuid = x->p->topic, .settings = x->p->settings};
	spec.settings.cleanup_policy = CLEANUP_COMPACT | CLEANUP_DELETE;
	spec.settings.retention_bytes = 3 * MIB; /* six were appended */
	assert_int_equal(rig_alter(&x->rig, &spec, &t, NULL), OK);
	until_idle(x);
	assert_int_equal(x->p->state.log_start, 0);
	spec.settings.retention_bytes = x->p->state.bytes - 2000;
	assert_int_equal(rig_alter(&x->rig, &spec, &t, NULL), OK);
	for (int i = 0; i < TURNS && x->p->state.log_start == 0; i++)
		turn(x);
	assert_in_range(x->p->state.log_start, 1, part(x)->compacted.clean);
	assert_in_range(x->p->state.bytes, spec.settings.retention_bytes - 40000,
	                spec.settings.retention_bytes);
	check_bytes(x);
}

TEST(compaction__of_a_topic_that_is_deleted_ends)
{
	struct fixture *x = *state;

	for (unsigned turns = 0; turns < 16; turns++) {
		struct rocks_compaction *c = compaction(x);
		const struct store_topic *t = rig_find(&x->rig, "a");

		fill(x, 1);
		begin_to_compact(x, turns);
		assert_int_equal(rig_delete(&x->rig, t, NULL), OK);
		assert_int_equal(c->state, COMPACTING_NONE);
		x->model.end = 0;
		reopen(x);
	}
}

TEST(compaction__ends_when_the_policy_changes)
{
	struct fixture *x = *state;

	for (unsigned turns = 0; turns < 12; turns++) {
		int64_t clean;

		fill(x, 1);
		begin_to_compact(x, turns);
		set_policy(x, CLEANUP_DELETE, 0);
		until_idle(x);
		clean = part(x)->compacted.clean;
		rocks_compaction_look(part(x)->shard);
		assert_int_equal(compaction(x)->state, COMPACTING_NONE);
		assert_int_equal(part(x)->compacted.clean, clean);
		check(x, false);
		set_policy(x, CLEANUP_COMPACT, HOUR_MS);
	}
}

TEST(compaction__what_is_young_waits)
{
	struct fixture *x = *state;
	struct topic_spec spec = {.uuid = x->p->topic, .settings = x->p->settings};
	const struct store_topic *t;
	int64_t old;

	spec.settings.compaction_lag_ms_min = HOUR_MS;
	assert_int_equal(rig_alter(&x->rig, &spec, &t, NULL), OK);
	fill(x, 2);
	old = x->model.end;
	rocks_compaction_look(part(x)->shard);
	assert_int_equal(compaction(x)->state, COMPACTING_NONE);
	x->ahead_ms += HOUR_MS + HOUR_MS / 8;
	turn(x);
	until_idle(x);
	fill(x, 3);
	rocks_compaction_look(part(x)->shard);
	until_idle(x);
	assert_in_range(part(x)->compacted.clean, MIB_BATCHES * BATCH_EVENTS, old);
	check(x, false);
}

TEST(compaction__is_backed_up)
{
	struct fixture *x = *state;

	for (unsigned turns = 0; turns < 24; turns += 4) {
		struct store_backup_op o = {.verb = BACKUP_MAKE};
		struct fixture *copy = calloc(1, sizeof(*copy));
		char name[16], dir[256];

		fill(x, 1);
		begin_to_compact(x, turns);
		snprintf(name, sizeof(name), "b%u", turns);
		o.name = name;
		assert_int_equal(rig_backup(&x->rig, &o), OK);
		snprintf(dir, sizeof(dir), "%s/%s", o.root, name);
		free(o.backups);
		until_idle(x);

		copy->model = x->model;
		rig_init(&copy->rig, x->rig.ops, 1, x->rig.disk, dir, 3);
		assert_int_equal(rig_try_open(&copy->rig, NULL), OK);
		find_topic(copy);
		check(copy, false);
		rig_fini(&copy->rig);
		free(copy);
		check(x, false);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(compaction__the_last_record_of_each_key_stays),
		T(compaction__goes_on_where_it_was_and_bytes_are_exact),
		T(compaction__cut_off_anywhere_it_leaves_a_log_that_is_right),
		T(compaction__more_keys_than_it_can_hold_take_several_runs),
		T(compaction__a_full_disk_leaves_it_for_later),
		T(compaction__tombstones_go_when_they_were_passed_long_enough),
		T(compaction__what_is_trimmed_meanwhile_is_gone),
		T(compaction__retention_by_bytes_counts_what_is_left),
		T(compaction__of_a_topic_that_is_deleted_ends),
		T(compaction__ends_when_the_policy_changes),
		T(compaction__what_is_young_waits),
		T(compaction__is_backed_up),
	};
#undef T

	if (!rig_has_engine(&store_rocksdb))
		return 0;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
