#include "store/verify/cut.h"

#include "base/test.h"
#include "io/disk.h"
#include "io/testing/disk_poke.h"
#include "store/chunklog/engine.h"
#include "store/testing/disk_power.h"
#include "store/testing/event_log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { DISK_BYTES = 64 << 20, PATH_BYTES = 256, SAVED = 12, LOGGED = 20, EVENT_BYTES = 300 };

struct fixture {
	struct disk_power power;
	struct disk *disk;
	struct store_rig rig;
	struct verify_config config;
	struct verify_totals totals;
	char segment[PATH_BYTES];
};

static void found(void *arg __attribute__((unused)),
                  const struct verify_finding *finding __attribute__((unused)))
{
}

static bool progress(void *arg __attribute__((unused)), int64_t done __attribute__((unused)),
                     int64_t all __attribute__((unused)))
{
	return true;
}

static void open_store(struct fixture *x)
{
	struct fault f = {0};

	if (rig_try_open(&x->rig, &f))
		fail_msg("%s", f.where);
}

static struct store_partition *partition(struct fixture *x)
{
	const struct store_topic *t = rig_find(&x->rig, "t");

	assert_non_null(t);
	return t->partitions[0];
}

/* Twelve events in a segment and eight in the WAL behind it; then it was killed. */
static void make(struct fixture *x, const struct store_ops *ops, uint64_t seed)
{
	struct store_partition *p;
	char topic[UUID_TEXT_LEN + 1];

	disk_power_init(&x->power, seed, DISK_BYTES);
	x->power.kills = true;
	x->disk = &x->power.base;
	x->config = (struct verify_config){.path = "/d",
	                                   .disk = x->disk,
	                                   .clock = clock_system(),
	                                   .found = found,
	                                   .progress = progress};
	rig_init(&x->rig, ops, 1, x->disk, "/d", seed);
	open_store(x);
	p = rig_topic(&x->rig, "t", 1)->partitions[0];
	assert_int_equal(event_log_append(&x->rig, p, 0, SAVED, EVENT_BYTES), OK);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	for (int64_t i = SAVED; i < LOGGED; i++)
		assert_int_equal(event_log_append(&x->rig, p, i, i + 1, EVENT_BYTES), OK);
	snprintf(x->segment, sizeof(x->segment), "/d/topics/%s/0/%020d.seg",
	         uuid_format(&p->topic, topic), 0);
	disk_power_on(&x->power, 1, false);
	rig_shut(&x->rig);
	disk_power_on(&x->power, UINT_MAX, true);
	x->power.kills = false;
}

static void destroy(struct fixture *x)
{
	rig_fini(&x->rig);
	disk_power_fini(&x->power);
}

static void flip(struct fixture *x, const char *path, int64_t at)
{
	disk_poke_flip(x->disk, path, at * 8 + 2);
}

static enum err verify_and_cut(struct fixture *x)
{
	struct verify_plan plan = {0};
	struct fault f;
	enum err err;

	x->config.plan = &plan;
	err = verify_run(&x->config, &x->totals, &f);
	if (!err && !verify_plan_is_empty(&plan))
		err = verify_cut(&x->config, &plan, &f);
	verify_plan_fini(&plan);
	x->config.plan = NULL;
	return err;
}

/* What is below the damage is there, and the partition takes writes from there on. */
static void check_ends_at(struct fixture *x, int64_t end)
{
	struct store_partition *p;
	struct fault f;

	assert_int_equal(verify_run(&x->config, &x->totals, &f), OK);
	assert_int_equal(x->totals.damages, 0);
	open_store(x);
	p = partition(x);
	assert_int_equal(p->state.fenced.code, OK);
	assert_int_equal(p->state.log_end, end);
	assert_true(event_log_is_whole(&x->rig, p, end));
	assert_int_equal(event_log_append(&x->rig, p, end, end + 5, EVENT_BYTES), OK);
	rig_shut(&x->rig);
	open_store(x);
	assert_true(event_log_is_whole(&x->rig, partition(x), end + 5));
	rig_shut(&x->rig);
	assert_int_equal(verify_run(&x->config, &x->totals, &f), OK);
	assert_int_equal(x->totals.damages, 0);
}

/* The power goes at every call of a cut in turn, until there is one that it does not reach. */
static void check_whenever_it_dies(const struct store_ops *ops, int64_t at_of_segment, int64_t end)
{
	bool whole = false;

	for (unsigned calls = 1; !whole; calls++) {
		struct fixture x = {0};

		assert_true(calls < 200);
		make(&x, ops, calls);
		flip(&x, x.segment, at_of_segment);
		disk_power_on(&x.power, calls, calls % 2);
		whole = verify_and_cut(&x) == OK && !disk_power_is_off(&x.power);
		disk_power_on(&x.power, UINT_MAX, true);
		assert_int_equal(verify_and_cut(&x), OK);
		check_ends_at(&x, end);
		destroy(&x);
	}
}

TEST(verify_cut__in_the_first_batch_is_done_whenever_it_dies)
{
	check_whenever_it_dies(&store_memory, 4096 + 100, 0);
	check_whenever_it_dies(&store_log, 4096 + 100, 0);
}

TEST(verify_cut__further_on_is_done_whenever_it_dies)
{
	check_whenever_it_dies(&store_memory, 4096 + 3 * 380, 3);
	check_whenever_it_dies(&store_log, 4096 + 3 * 380, 3);
}

TEST(verify_cut__of_a_plan_that_is_old_is_refused)
{
	struct verify_plan plan = {0};
	struct fixture x = {0};
	struct fault f;

	make(&x, &store_log, 1);
	flip(&x, x.segment, 4096 + 100);
	x.config.plan = &plan;
	assert_int_equal(verify_run(&x.config, &x.totals, &f), OK);
	open_store(&x);
	rig_shut(&x.rig);
	assert_int_equal(verify_cut(&x.config, &plan, &f), ERR_BUSY);
	verify_plan_fini(&plan);
	destroy(&x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verify_cut__in_the_first_batch_is_done_whenever_it_dies),
		cmocka_unit_test(verify_cut__further_on_is_done_whenever_it_dies),
		cmocka_unit_test(verify_cut__of_a_plan_that_is_old_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
