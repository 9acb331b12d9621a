/* Both engines beyond the contract, `log` with next to no memory: restarts, limits, what it leaves
 * on disk and in memory. */
#include "base/test.h"
#include "io/disk.h"
#include "io/testing/disk_poke.h"
#include "store/chunklog/engine.h"
#include "store/testing/disk_power.h"
#include "store/testing/event_log.h"
#include "store/testing/resident.h"

#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

enum { DISK_BYTES = 512 << 20 };

struct fixture {
	struct disk_power power;
	struct disk *disk; /* the power's */
	struct store_rig rig;
};

static void open_store(struct fixture *x, unsigned shards)
{
	struct fault f = {0};

	x->rig.shard_count = shards;
	if (rig_try_open(&x->rig, &f))
		fail_msg("%s", f.where);
}

struct variant {
	const struct store_ops *ops;
	int64_t memory_bytes;
};

static int setup(void **state)
{
	const struct variant *v = *state;
	struct fixture *x = calloc(1, sizeof(*x));

	disk_power_init(&x->power, 7, DISK_BYTES);
	x->power.kills = true;
	x->disk = &x->power.base;
	rig_init(&x->rig, v->ops, 2, x->disk, "/data", 7);
	x->rig.memory_bytes = v->memory_bytes;
	open_store(x, 2);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	rig_fini(&x->rig);
	disk_power_fini(&x->power);
	free(x);
	return 0;
}

#define FIXTURE_TEST(name) static void name(void **state)

static struct store_partition *partition(struct fixture *x, const char *topic, uint32_t index)
{
	const struct store_topic *t = rig_find(&x->rig, topic);

	assert_non_null(t);
	return t->partitions[index];
}

static const struct store_topic *make_topic(struct fixture *x, const char *name,
                                            struct topic_settings settings)
{
	struct topic_spec spec = rig_spec(&x->rig, name, 1);
	const struct store_topic *topic;

	spec.settings = settings;
	assert_int_equal(rig_create(&x->rig, &spec, &topic, NULL), OK);
	return topic;
}

static void restart(struct fixture *x, unsigned shards)
{
	rig_shut(&x->rig);
	open_store(x, shards);
}

/* kill -9: what the old process still writes goes nowhere. */
static void kill_and_start(struct fixture *x, unsigned shards)
{
	disk_power_on(&x->power, 1, false);
	rig_shut(&x->rig);
	disk_power_on(&x->power, UINT_MAX, true);
	open_store(x, shards);
}

static int count_name(void *arg, const char *name __attribute__((unused)))
{
	++*(int *)arg;
	return 0;
}

static int count_names(struct fixture *x, const char *path)
{
	int count = 0;

	return x->disk->ops->list(x->disk, path, count_name, &count) < 0 ? 0 : count;
}

struct saved {
	struct disk *disk;
	char dir[PATH_MAX];
	int64_t bytes;
};

static int add_size(void *arg, const char *name)
{
	struct saved *s = arg;
	char path[PATH_MAX + NAME_MAX + 2];

	snprintf(path, sizeof(path), "%s/%s", s->dir, name);
	s->bytes += disk_poke_size(s->disk, path);
	return 0;
}

/* What the files of partition 0 hold. */
static int64_t saved_bytes(struct fixture *x, const struct store_topic *t)
{
	struct saved s = {.disk = x->disk};
	char uuid[UUID_TEXT_LEN + 1];

	snprintf(s.dir, sizeof(s.dir), "/data/topics/%s/0", uuid_format(&t->spec.uuid, uuid));
	assert_int_equal(x->disk->ops->list(x->disk, s.dir, add_size, &s), 0);
	return s.bytes;
}

/* --- restarts -------------------------------------------------------------------------------- */

FIXTURE_TEST(engine__any_number_of_shards_finds_everything)
{
	static const unsigned shards[] = {1, 2, 3, 1, 4};
	struct fixture *x = *state;
	int64_t end = 0;

	rig_topic(&x->rig, "a", 5);
	for (size_t round = 0; round < ARRAY_COUNT(shards); round++) {
		for (uint32_t i = 0; i < 5; i++)
			assert_int_equal(event_log_append(&x->rig, partition(x, "a", i), end,
			                                  end + 40, 100 * i),
			                 OK);
		end += 40;
		restart(x, shards[round]);
		for (uint32_t i = 0; i < 5; i++)
			assert_true(event_log_is_whole(&x->rig, partition(x, "a", i), end));
	}
}

FIXTURE_TEST(engine__only_an_unclean_end_raises_the_epoch)
{
	struct fixture *x = *state;

	rig_topic(&x->rig, "a", 1);
	assert_int_equal(event_log_append(&x->rig, partition(x, "a", 0), 0, 3, 10), OK);
	restart(x, 1);
	assert_int_equal(partition(x, "a", 0)->state.leader_epoch, 0);
	assert_int_equal(event_log_append(&x->rig, partition(x, "a", 0), 3, 6, 10), OK);
	kill_and_start(x, 2);
	assert_int_equal(partition(x, "a", 0)->state.leader_epoch, 1);
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), 6));
	assert_int_equal(event_log_append(&x->rig, partition(x, "a", 0), 6, 9, 10), OK);
	assert_int_equal(x->rig.ops->epoch_end(partition(x, "a", 0), 0), 6);
	restart(x, 1);
	assert_int_equal(partition(x, "a", 0)->state.leader_epoch, 1);
	assert_int_equal(x->rig.ops->epoch_end(partition(x, "a", 0), 0), 6);
	assert_int_equal(x->rig.ops->epoch_end(partition(x, "a", 0), 1), 9);
}

FIXTURE_TEST(engine__batches_of_every_size_come_back)
{
	static const size_t sizes[] = {0, 1, 4000, 70 << 10, 1000 << 10, 1 << 20, 3 << 20};
	struct fixture *x = *state;
	struct topic_settings settings = topic_settings_default(DURABILITY_COMMIT);
	int64_t end = 0;

	settings.max_message_bytes = 4 << 20;
	make_topic(x, "a", settings);
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++, end += 3)
		assert_int_equal(
			event_log_append(&x->rig, partition(x, "a", 0), end, end + 3, sizes[i]),
			OK);
	kill_and_start(x, 1); /* from the WAL */
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), end));
	restart(x, 1); /* from segments */
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), end));
}

FIXTURE_TEST(engine__a_second_process_is_refused)
{
	struct fixture *x = *state;
	struct store_rig other;
	struct fault f = {0};

	rig_init(&other, x->rig.ops, 1, x->disk, "/data", 8);
	assert_int_equal(rig_try_open(&other, &f), ERR_DIR_LOCKED);
	assert_non_null(strstr(f.where, "/data/lock"));
	rig_fini(&other);
}

/* --- checkpoints ----------------------------------------------------------------------------- */

FIXTURE_TEST(engine__a_checkpoint_writes_only_what_is_new)
{
	struct fixture *x = *state;
	const struct store_topic *t = rig_topic(&x->rig, "a", 1);
	struct store_partition *p = t->partitions[0];
	int64_t before;

	assert_int_equal(event_log_append(&x->rig, p, 0, 100, 10000), OK);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	before = saved_bytes(x, t);
	assert_in_range(before, 100 * 10000, 110 * 10000);
	assert_int_equal(event_log_append(&x->rig, p, 100, 101, 10), OK);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	assert_in_range(saved_bytes(x, t) - before, 10, 64 << 10);
	kill_and_start(x, 1);
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), 101));
}

FIXTURE_TEST(engine__class_none_keeps_what_a_checkpoint_saw)
{
	struct fixture *x = *state;
	struct store_partition *p =
		make_topic(x, "a", topic_settings_default(DURABILITY_NONE))->partitions[0];

	assert_int_equal(event_log_append(&x->rig, p, 0, 10, 10), OK);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	assert_int_equal(event_log_append(&x->rig, p, 10, 20, 10), OK);
	kill_and_start(x, 1);
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), 10));
}

/* --- retention ------------------------------------------------------------------------------- */

FIXTURE_TEST(engine__no_more_than_the_limit_is_kept)
{
	struct fixture *x = *state;
	struct topic_settings settings = topic_settings_default(DURABILITY_COMMIT);
	struct store_partition *p;

	settings.retention_count = 10;
	p = make_topic(x, "count", settings)->partitions[0];
	assert_int_equal(event_log_append(&x->rig, p, 0, 25, 10), OK);
	assert_int_equal(p->state.log_start, 15);

	settings = topic_settings_default(DURABILITY_COMMIT);
	settings.retention_bytes = 5000;
	p = make_topic(x, "bytes", settings)->partitions[0];
	assert_int_equal(event_log_append(&x->rig, p, 0, 25, 1000), OK);
	assert_int_equal(p->state.log_start, 21);
	assert_true(p->state.bytes <= 5000);
	assert_int_equal(event_log_append(&x->rig, p, 25, 26, 9000), OK);
	assert_int_equal(p->state.log_start, 25); /* the newest batch stays */

	restart(x, 1);
	assert_int_equal(partition(x, "count", 0)->state.log_start, 15);
	assert_int_equal(partition(x, "bytes", 0)->state.log_start, 25);
	assert_true(event_log_is_whole(&x->rig, partition(x, "count", 0), 25));
}

FIXTURE_TEST(engine__retention_frees_memory_and_files)
{
	struct fixture *x = *state;
	struct topic_settings settings = topic_settings_default(DURABILITY_NONE);
	struct disk *d = x->disk;
	struct store_partition *p;
	int64_t memory;
	int64_t space;

	settings.retention_bytes = 1 << 20;
	p = make_topic(x, "a", settings)->partitions[0];
	assert_int_equal(event_log_append(&x->rig, p, 0, 200, 50000), OK);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	memory = resident_bytes();
	space = d->ops->space(d, "/data");
	for (int64_t end = 200; end < 2000; end += 200) {
		assert_int_equal(event_log_append(&x->rig, p, end, end + 200, 50000), OK);
		assert_int_equal(rig_checkpoint(&x->rig), OK);
	}
	memory = resident_bytes() - memory;
	print_message("%lld KiB more\n", (long long)memory >> 10);
	/* of 90 MB appended: chunks that were freed, and this disk is memory too */
	assert_true(memory < 24 << 20);
	assert_true(space - d->ops->space(d, "/data") < 72 << 20);
}

/* --- topics ---------------------------------------------------------------------------------- */

FIXTURE_TEST(engine__a_deleted_topic_leaves_nothing)
{
	struct fixture *x = *state;
	const struct store_topic *t = rig_topic(&x->rig, "a", 3);

	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(event_log_append(&x->rig, t->partitions[i], 0, 5, 10), OK);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	assert_int_equal(count_names(x, "/data/topics"), 1);
	assert_int_equal(event_log_append(&x->rig, t->partitions[0], 5, 9, 10), OK);
	assert_int_equal(rig_delete(&x->rig, t, NULL), OK);
	assert_null(rig_find(&x->rig, "a"));
	kill_and_start(x, 1); /* frames of it are in the WAL still */
	assert_null(rig_find(&x->rig, "a"));
	assert_int_equal(count_names(x, "/data/topics"), 0);
	rig_topic(&x->rig, "a", 1);
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), 0));
	for (int i = 0; i < 4; i++) /* the tombstone goes, and nothing misses it */
		restart(x, 1);
}

FIXTURE_TEST(engine__files_of_an_unknown_topic_mean_a_damaged_catalog)
{
	static const char lost[] = "/data/topics/11111111-1111-4111-8111-111111111111";
	struct fixture *x = *state;
	struct disk *d = x->disk;
	struct fault f = {0};

	rig_shut(&x->rig);
	assert_int_equal(d->ops->mkdir(d, lost), 0);
	assert_int_equal(rig_try_open(&x->rig, &f), ERR_CORRUPT);
	assert_non_null(strstr(f.where, "catalog"));
	assert_int_equal(count_names(x, "/data/topics"), 1);
	assert_int_equal(d->ops->rmdir(d, lost), 0);
	open_store(x, 1);
}

struct creation {
	struct store_topic_op op;
	unsigned *left;
	bool *done;
};

static void created(struct store_topic_op *o)
{
	struct creation *c = CONTAINER_OF(o, struct creation, op);

	CHECK(o->fault.code == OK);
	*c->done = --*c->left == 0;
}

static void create_many(struct store_rig *r, unsigned from, unsigned count)
{
	struct creation *all = calloc(count, sizeof(*all));
	unsigned left = count;
	bool done = false;

	assert_non_null(all);
	for (unsigned i = 0; i < count; i++) {
		char name[32];

		snprintf(name, sizeof(name), "topic-%u", from + i);
		all[i] = (struct creation){.left = &left, .done = &done};
		all[i].op = (struct store_topic_op){
			.store = r->store, .spec = rig_spec(r, name, 1), .done = created};
		all[i].op.spec.settings.durability = DURABILITY_OS;
		r->store->ops->topic_create(&all[i].op);
	}
	assert_true(rig_run(r, &done));
	free(all);
}

static size_t heap_used(void)
{
	return mallinfo2().uordblks + mallinfo2().hblkhd;
}

/* Topics `from` to `from` + `count`, an event in each; what they take of memory, each. */
static size_t idle_topic_bytes(struct store_rig *r, unsigned from, unsigned count)
{
	size_t before = heap_used();
	const struct store_topic *const *topics;
	size_t there;

	create_many(r, from, count);
	topics = r->store->ops->topics(r->store, &there);
	assert_int_equal(there, from + count);
	for (size_t i = 0; i < there; i++)
		if (topics[i]->partitions[0]->state.log_end == 0)
			assert_int_equal(event_log_append(r, topics[i]->partitions[0], 0, 1, 100),
			                 OK);
	return (heap_used() - before) / count;
}

/* The WAL's buffer grows to its size in some round or other: the smallest round is the topics'. */
FIXTURE_TEST(engine__an_idle_topic_is_small)
{
	enum { TOPICS = 200, ROUNDS = 4, IDLE_BYTES_MAX = 4 << 10 };
	struct fixture *x = *state;
	struct store_rig r;
	size_t least = SIZE_MAX;

	/* On the real disk: the simulated one is memory too. */
	rig_open(&r, x->rig.ops, 1, false, 9);
	for (unsigned round = 0; round < ROUNDS; round++) {
		size_t bytes = idle_topic_bytes(&r, round * TOPICS, TOPICS);

		least = bytes < least ? bytes : least;
	}
	print_message("%zu bytes an idle topic\n", least);
	assert_true(least <= IDLE_BYTES_MAX);
	rig_close(&r);
}

static int run(struct variant v)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_prestate_setup_teardown(name, setup, teardown, &v)
		T(engine__any_number_of_shards_finds_everything),
		T(engine__only_an_unclean_end_raises_the_epoch),
		T(engine__batches_of_every_size_come_back),
		T(engine__a_second_process_is_refused),
		T(engine__a_checkpoint_writes_only_what_is_new),
		T(engine__class_none_keeps_what_a_checkpoint_saw),
		T(engine__no_more_than_the_limit_is_kept),
		T(engine__retention_frees_memory_and_files),
		T(engine__a_deleted_topic_leaves_nothing),
		T(engine__files_of_an_unknown_topic_mean_a_damaged_catalog),
		T(engine__an_idle_topic_is_small),
	};

	return cmocka_run_group_tests_name(v.ops->name, tests, NULL, NULL);
}

int main(void)
{
	return run((struct variant){&store_memory, 0}) + run((struct variant){&store_log, 1});
}
