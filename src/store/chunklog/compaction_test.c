/* Compaction as a whole, under both engines: what is left of a partition is held against a
 * model. */
#include "base/check.h"
#include "base/test.h"
#include "io/disk.h"
#include "io/testing/disk_poke.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/engine.h"
#include "store/testing/compact_model.h"
#include "store/testing/sim_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	DISK_BYTES = 1 << 30,
	MIB = 1 << 20,
	KEYS = MODEL_KEYS,
	READ_BYTES = 256 << 10,
	TURNS = 50000, /* of 1 ms, at most */
};

struct fixture {
	struct sim_store store; /* its topic "a" is compacted */
	struct compact_model model;
};

#define FIXTURE_TEST(name) static void name(void **state)

static void set_policy(struct fixture *x, uint8_t policy, int64_t delete_retention_ms)
{
	const struct store_topic *t;
	struct topic_spec spec = {.uuid = x->store.p->topic, .settings = x->store.p->settings};

	spec.settings.cleanup_policy = policy;
	spec.settings.delete_retention_ms = delete_retention_ms;
	assert_int_equal(rig_alter(&x->store.rig, &spec, &t, NULL), OK);
}

static void compact_topic(struct fixture *x)
{
	const struct store_topic *t;
	struct topic_spec spec = {.uuid = x->store.p->topic, .settings = x->store.p->settings};

	spec.settings.durability = DURABILITY_COMMIT;
	spec.settings.segment_bytes = SEGMENT_BYTES_LEAST;
	spec.settings.cleanup_policy = CLEANUP_COMPACT;
	spec.settings.dirty_ratio_ppm = 0;
	assert_int_equal(rig_alter(&x->store.rig, &spec, &t, NULL), OK);
}

static struct fixture *fixture_new(const struct store_ops *ops)
{
	struct fixture *x = calloc(1, sizeof(*x));

	assert_non_null(x);
	sim_store_init(&x->store, ops, 2, 3, DISK_BYTES);
	sim_store_open(&x->store);
	compact_topic(x);
	return x;
}

static int setup_log(void **state)
{
	*state = fixture_new(&store_log);
	return 0;
}

static int setup_memory(void **state)
{
	*state = fixture_new(&store_memory);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	sim_store_fini(&x->store);
	free(x);
	return 0;
}

/* --- the log and its model -------------------------------------------------------------------- */

static void append(struct fixture *x, int64_t count)
{
	compact_model_append(&x->model, &x->store.rig, x->store.p, count);
}

static int64_t check(struct fixture *x, bool lacks_tombstones)
{
	return compact_model_check(&x->model, &x->store.rig, x->store.p, lacks_tombstones);
}

static void checkpoint(struct fixture *x)
{
	assert_int_equal(rig_checkpoint(&x->store.rig), OK);
}

/* So many segments, the last one is not finished; checkpoints on the way. */
static void fill(struct fixture *x, int mib)
{
	for (int i = 0; i < mib * 4; i++) {
		append(x, 256);
		if (i % 2)
			checkpoint(x);
	}
	checkpoint(x);
}

static struct chunklog *log_of(const struct fixture *x)
{
	return chunklog_of(x->store.rig.store);
}

static void turn(struct fixture *x)
{
	const bool never = false;

	for (unsigned i = 0; i < x->store.rig.shard_count; i++)
		loop_run_until(x->store.rig.loops[i], &never, 1);
}

/* Below, no key has two records. */
static int64_t clean_end(struct fixture *x)
{
	return partition_of(x->store.p)->saved.compacted;
}

static bool is_compacted(struct fixture *x)
{
	const struct saved *s = &partition_of(x->store.p)->saved;

	return s->segment_count < 2 || s->segments[s->segment_count - 2].end_offset <= s->compacted;
}

/* Until nothing is left to be compacted. */
static void compact(struct fixture *x)
{
	compaction_look(log_of(x));
	for (int i = 0; i < TURNS; i++) {
		if (is_compacted(x) && compaction_is_idle(log_of(x)) &&
		    checkpoint_is_idle(log_of(x)))
			return;
		turn(x);
	}
	fail_msg("it is not compacted");
}

static void die(struct fixture *x)
{
	disk_fault_arm(x->store.faults, DISK_OPEN, 1, EIO, 0, true);
	rig_shut(&x->store.rig);
	disk_fault_disarm(x->store.faults);
}

static void kill_and_start(struct fixture *x)
{
	die(x);
	disk_sim_kill(x->store.sim);
	sim_store_open(&x->store);
}

static void lose_power_and_start(struct fixture *x)
{
	die(x);
	disk_sim_crash(x->store.sim);
	sim_store_open(&x->store);
}

struct counting {
	const char *suffix;
	unsigned count;
};

static int count_one(void *arg, const char *name)
{
	struct counting *c = arg;
	const char *dot = strchr(name, '.');

	c->count += dot && strcmp(dot, c->suffix) == 0;
	return 0;
}

/* None begins while it is filled. */
static void fill_only(struct fixture *x, int mib)
{
	log_of(x)->compaction.stopping = true;
	fill(x, mib);
	log_of(x)->compaction.stopping = false;
}

/* It is to be compacted, and `turns` were made since. */
static void begin_to_compact(struct fixture *x, unsigned turns)
{
	while (!log_of(x)->compaction.looking)
		turn(x);
	compaction_look(log_of(x));
	while (turns-- > 0)
		turn(x);
}

static void until_idle(struct fixture *x)
{
	for (int i = 0; i < TURNS && !compaction_is_idle(log_of(x)); i++)
		turn(x);
	assert_true(compaction_is_idle(log_of(x)));
}

/* Of the partition. */
static unsigned count_files(struct fixture *x, const char *suffix)
{
	char path[256], topic[UUID_TEXT_LEN + 1];
	struct counting c = {.suffix = suffix};

	snprintf(path, sizeof(path), "/data/topics/%s/%u", uuid_format(&x->store.p->topic, topic),
	         x->store.p->index);
	assert_true(x->store.rig.disk->ops->list(x->store.rig.disk, path, count_one, &c) >= 0);
	return c.count;
}

static void reopen(struct fixture *x)
{
	rig_shut(&x->store.rig);
	sim_store_open(&x->store);
}

/* --- tests ------------------------------------------------------------------------------------ */

FIXTURE_TEST(compaction__the_last_record_of_each_key_stays)
{
	struct fixture *x = *state;
	int64_t left;

	fill(x, 6);
	compact(x);
	left = check(x, false);
	assert_true(clean_end(x) > x->model.end / 2);
	assert_in_range(left, x->model.end - clean_end(x), x->model.end - clean_end(x) + KEYS);
	reopen(x);
	assert_int_equal(check(x, false), left);
	kill_and_start(x);
	assert_int_equal(check(x, false), left);
}

FIXTURE_TEST(compaction__goes_on_where_it_was)
{
	struct fixture *x = *state;

	for (int i = 0; i < 4; i++) {
		int64_t before = clean_end(x);

		fill(x, 4);
		compact(x);
		assert_true(clean_end(x) > before);
		assert_in_range(check(x, false), 1, x->model.end - clean_end(x) + KEYS);
		if (i % 2)
			reopen(x);
	}
}

FIXTURE_TEST(compaction__old_files_go_when_the_manifest_knows_the_new_ones)
{
	struct fixture *x = *state;

	fill_only(x, 6);
	assert_true(count_files(x, ".seg") > 4);
	compact(x);
	assert_int_equal(count_files(x, ".seg"), partition_of(x->store.p)->saved.segment_count);
	assert_int_equal(count_files(x, ".seg"), 2);
	assert_int_equal(count_files(x, ".seg.new"), 0);
	assert_int_equal(x->store.p->state.segments, 2);
}

FIXTURE_TEST(compaction__who_reads_an_old_file_reads_on)
{
	struct fixture *x = *state;
	struct store_range range;
	struct shared *holder;
	struct slice batches;
	uint8_t byte;

	if (!chunklog_is_tiered(log_of(x)))
		return; /* memory is held by references */
	fill_only(x, 6);
	reopen(x);
	log_of(x)->compaction.stopping = true;
	assert_true(check(x, false) == x->model.end); /* which makes the indexes */
	assert_int_equal(
		rig_read_range(&x->store.rig, x->store.p, 0, MIB, &range, &batches, &holder), OK);
	assert_true(range.bytes > 0);
	log_of(x)->compaction.stopping = false;
	compact(x);
	assert_int_equal(x->store.rig.disk->ops->pread(x->store.rig.disk, range.fd, &byte, 1,
	                                               range.at + range.bytes - 1),
	                 1);
	shared_put(holder);
}

struct reading {
	struct store_read read;
	bool done;
};

static void read_done(struct store_read *r)
{
	CONTAINER_OF(r, struct reading, read)->done = true;
}

/* It was on its way when the file went. */
FIXTURE_TEST(compaction__who_finds_an_old_file_gone_reads_the_new_one)
{
	struct fixture *x = *state;
	struct reading r = {.read = {.bytes_max = READ_BYTES, .done = read_done}};

	if (!chunklog_is_tiered(log_of(x)))
		return;
	fill_only(x, 6);
	compact(x);
	reopen(x);
	/* The view of one shard that has not heard yet, and what the next manifest brought. */
	{
		struct partition *p = partition_of(x->store.p);
		struct segment now = p->sealed->segments[0];

		p->sealed->segments[0].generation = 0;
		r.read.partition = x->store.p;
		x->store.rig.store->ops->read(&r.read);
		p->sealed->segments[0] = now;
	}
	assert_true(rig_run(&x->store.rig, &r.done));
	assert_int_equal(r.read.fault.code, OK);
	assert_true(r.read.batches.len > 0);
	assert_int_equal(x->store.p->state.fenced.code, OK);
	shared_put(r.read.holder);
}

FIXTURE_TEST(compaction__cut_off_anywhere_it_leaves_a_log_that_is_right)
{
	static const enum disk_call kinds[] = {DISK_PWRITEV,  DISK_SYNC, DISK_SYNC_DIR, DISK_RENAME,
	                                       DISK_TRUNCATE, DISK_OPEN, DISK_UNLINK,   DISK_PREAD};
	struct fixture *x = *state;

	set_policy(x, CLEANUP_COMPACT, 86400000);
	for (unsigned n = 1; n <= 4; n += TEST_STEP(3)) {
		for (size_t k = 0; k < ARRAY_COUNT(kinds); k += TEST_STEP(2)) {
			fill_only(x, 2);
			disk_fault_arm(x->store.faults, kinds[k], n, EIO, 0, true);
			begin_to_compact(x, 20);
			if (n % 2)
				kill_and_start(x);
			else
				lose_power_and_start(x);
			assert_int_equal(count_files(x, ".seg.new"), 0);
			assert_true(check(x, false) <= x->model.end);
			assert_int_equal(x->store.p->state.fenced.code, OK);
		}
	}
	compact(x);
	assert_in_range(check(x, false), 1, x->model.end - clean_end(x) + KEYS * 2);
}

FIXTURE_TEST(compaction__a_full_disk_leaves_it_for_later)
{
	struct fixture *x = *state;

	fill_only(x, 4);
	disk_fault_arm(x->store.faults, DISK_PWRITEV, 1, ENOSPC, 0, true);
	begin_to_compact(x, 1);
	until_idle(x);
	assert_int_equal(clean_end(x), 0);
	disk_fault_disarm(x->store.faults);
	assert_int_equal(count_files(x, ".seg.new"), 0);
	log_of(x)->compaction.not_before_mono_us = 0; /* a minute has passed */
	compact(x);
	assert_in_range(check(x, false), 1, x->model.end - clean_end(x) + KEYS);
}

FIXTURE_TEST(compaction__tombstones_go_when_they_were_passed_long_enough)
{
	struct fixture *x = *state;

	set_policy(x, CLEANUP_COMPACT, 0);
	fill(x, 4);
	compact(x);
	assert_in_range(check(x, false), 1, x->model.end - clean_end(x) + KEYS);
	fill(x, 4); /* the next run finds their horizon passed */
	compact(x);
	assert_in_range(check(x, true), 1, x->model.end - clean_end(x) + KEYS);
}

FIXTURE_TEST(compaction__what_is_trimmed_meanwhile_is_gone)
{
	struct fixture *x = *state;

	for (unsigned turns = 0; turns < 8; turns++) {
		fill_only(x, 3);
		begin_to_compact(x, turns);
		assert_int_equal(rig_trim(&x->store.rig, x->store.p, x->model.end - 1500), OK);
		checkpoint(x);
		check(x, false);
		compact(x);
		check(x, false);
	}
	reopen(x);
	check(x, false);
}

FIXTURE_TEST(compaction__of_a_topic_that_is_deleted_ends)
{
	struct fixture *x = *state;

	for (unsigned turns = 0; turns < 8; turns++) {
		fill_only(x, 3);
		begin_to_compact(x, turns);
		assert_int_equal(rig_delete(&x->store.rig, rig_find(&x->store.rig, "a"), NULL), OK);
		until_idle(x);
		x->model.end = 0;
		reopen(x);
	}
}

FIXTURE_TEST(compaction__ends_when_the_policy_changes)
{
	struct fixture *x = *state;
	int64_t clean;

	for (unsigned turns = 0; turns < 6; turns++) {
		fill_only(x, 3);
		begin_to_compact(x, turns);
		set_policy(x, CLEANUP_DELETE, 0);
		until_idle(x);
		clean = clean_end(x);
		checkpoint(x);
		turn(x);
		assert_int_equal(clean_end(x), clean);
		check(x, false);
		set_policy(x, CLEANUP_COMPACT, 86400000);
	}
}

/* What the manifest before does not know is found by the files there are. */
FIXTURE_TEST(compaction__is_found_without_the_last_manifest)
{
	struct fixture *x = *state;
	struct fault f;
	int fd;

	for (int round = 0; round < 3; round++) {
		fill_only(x, 3);
		if (round < 2)
			compact(x);
		else
			begin_to_compact(x, 6);
		die(x);
		assert_int_equal(disk_open(x->store.rig.disk, "/data/manifest", O_RDWR, &fd, &f),
		                 OK);
		assert_int_equal(x->store.rig.disk->ops->truncate(x->store.rig.disk, fd, 60), 0);
		x->store.rig.disk->ops->close(x->store.rig.disk, fd);
		disk_sim_kill(x->store.sim);
		sim_store_open(&x->store);
		assert_int_equal(x->store.p->state.fenced.code, OK);
		check(x, false);
	}
	compact(x);
	assert_in_range(check(x, false), 1, x->model.end - clean_end(x) + 3 * KEYS);
}

FIXTURE_TEST(compaction__is_backed_up)
{
	struct fixture *x = *state;
	struct store_backup_op o;
	struct fixture *copy;

	for (unsigned turns = 0; turns < 8; turns++) {
		char name[16], dir[RIG_DIR_BYTES_MAX];

		fill_only(x, 2);
		begin_to_compact(x, turns);
		snprintf(name, sizeof(name), "b%u", turns);
		o = (struct store_backup_op){.verb = BACKUP_MAKE, .name = name};
		assert_int_equal(rig_backup(&x->store.rig, &o), OK);
		snprintf(dir, sizeof(dir), "%s/%s", o.root, name);
		free(o.backups);
		compact(x);

		copy = calloc(1, sizeof(*copy));
		copy->model = x->model;
		rig_init(&copy->store.rig, x->store.rig.ops, 1, x->store.rig.disk, dir, 3);
		sim_store_open(&copy->store);
		check(copy, false);
		rig_fini(&copy->store.rig);
		free(copy);
		check(x, false);
	}
}

int main(void)
{
#define T(name)                                                                                    \
	cmocka_unit_test_setup_teardown(name, setup_log, teardown),                                \
		cmocka_unit_test_setup_teardown(name, setup_memory, teardown)
	const struct CMUnitTest tests[] = {
		T(compaction__the_last_record_of_each_key_stays),
		T(compaction__goes_on_where_it_was),
		T(compaction__old_files_go_when_the_manifest_knows_the_new_ones),
		T(compaction__who_reads_an_old_file_reads_on),
		T(compaction__who_finds_an_old_file_gone_reads_the_new_one),
		T(compaction__cut_off_anywhere_it_leaves_a_log_that_is_right),
		T(compaction__a_full_disk_leaves_it_for_later),
		T(compaction__tombstones_go_when_they_were_passed_long_enough),
		T(compaction__what_is_trimmed_meanwhile_is_gone),
		T(compaction__of_a_topic_that_is_deleted_ends),
		T(compaction__ends_when_the_policy_changes),
		T(compaction__is_found_without_the_last_manifest),
		T(compaction__is_backed_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
