#include "store/verify/verify.h"

#include "base/test.h"
#include "io/disk.h"
#include "io/testing/disk_poke.h"
#include "store/chunklog/engine.h"
#include "store/testing/disk_power.h"
#include "store/testing/event_log.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { DISK_BYTES = 64 << 20, PATH_BYTES = 256, EVENTS = 12, EVENT_BYTES = 300 };

struct fixture {
	struct disk_power power;
	struct disk *disk;
	struct store_rig rig;
	struct verify_totals totals;
	struct verify_finding first; /* its texts are gone */
	char first_file[PATH_BYTES];
	unsigned findings;
	unsigned progress_left; /* calls of progress until it says stop */
};

static struct store_partition *fill(struct fixture *x, int64_t from, int64_t to)
{
	const struct store_topic *t = rig_find(&x->rig, "t");

	if (!t)
		t = rig_topic(&x->rig, "t", 1);
	assert_int_equal(event_log_append(&x->rig, t->partitions[0], from, to, EVENT_BYTES), OK);
	return t->partitions[0];
}

static int setup(void **state, const struct store_ops *ops)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct fault f;

	disk_power_init(&x->power, 5, DISK_BYTES);
	x->power.kills = true;
	x->disk = &x->power.base;
	x->progress_left = UINT32_MAX;
	rig_init(&x->rig, ops, 1, x->disk, "/d", 5);
	assert_int_equal(rig_try_open(&x->rig, &f), OK);
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

/* As kill -9 does. */
static void kill_store(struct fixture *x)
{
	disk_power_on(&x->power, 1, false);
	rig_shut(&x->rig);
	disk_power_on(&x->power, UINT_MAX, true);
}

static void found(void *arg, const struct verify_finding *finding)
{
	struct fixture *x = arg;

	assert_true(finding->what[0] && finding->remedy[0] && finding->file[0]);
	if (x->findings++ > 0)
		return;
	x->first = *finding;
	snprintf(x->first_file, sizeof(x->first_file), "%s", finding->file);
}

static bool progress(void *arg, int64_t done_bytes, int64_t all_bytes)
{
	struct fixture *x = arg;

	assert_in_range(done_bytes, 1, all_bytes);
	return x->progress_left-- > 0;
}

static enum err verify(struct fixture *x)
{
	const struct verify_config config = {
		.path = "/d",
		.disk = x->disk,
		.clock = clock_system(),
		.found = found,
		.progress = progress,
		.arg = x,
	};
	struct fault f;

	x->findings = 0;
	return verify_run(&config, &x->totals, &f);
}

static void segment_path(struct store_partition *p, char into[PATH_BYTES])
{
	char topic[UUID_TEXT_LEN + 1];

	snprintf(into, PATH_BYTES, "/d/topics/%s/0/%020d.seg", uuid_format(&p->topic, topic), 0);
}

/* One bit of that byte, not always the same. */
static void flip(struct fixture *x, const char *path, int64_t at)
{
	disk_poke_flip(x->disk, path, at * 8 + at % 8);
}

#define FIXTURE_TEST(name) static void name(void **state)

FIXTURE_TEST(verify__a_clean_directory_is_counted)
{
	struct fixture *x = *state;

	fill(x, 0, EVENTS);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	fill(x, EVENTS, EVENTS + 5);
	kill_store(x);
	assert_int_equal(verify(x), OK);
	assert_int_equal(x->findings, 0);
	assert_int_equal(x->totals.topics, 1);
	assert_int_equal(x->totals.partitions, 1);
	assert_int_equal(x->totals.segments, 1);
	assert_int_equal(x->totals.events, EVENTS + 5);
}

FIXTURE_TEST(verify__a_directory_in_use_is_refused)
{
	struct fixture *x = *state;

	assert_int_equal(verify(x), ERR_DIR_LOCKED);
}

FIXTURE_TEST(verify__every_byte_of_a_segment_counts)
{
	struct fixture *x = *state;
	char path[PATH_BYTES];
	int64_t size;

	fill(x, 0, EVENTS);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	segment_path(fill(x, EVENTS, EVENTS + 3), path);
	rig_shut(&x->rig);
	size = disk_poke_size(x->disk, path);
	for (int64_t at = 0; at < size; at += at < 4000 ? 97 : 1) {
		flip(x, path, at);
		assert_int_equal(verify(x), OK);
		if (x->totals.damages == 0)
			fail_msg("byte %lld of %s was not looked at", (long long)at, path);
		assert_string_equal(x->first_file, path);
		assert_true(x->first.at <= at);
		flip(x, path, at);
	}
}

static void check_every_byte(struct fixture *x, const char *path, int64_t from, int64_t to)
{
	for (int64_t at = from; at < to; at++) {
		flip(x, path, at);
		assert_int_equal(verify(x), OK);
		if (x->totals.damages == 0)
			fail_msg("byte %lld of %s was not looked at", (long long)at, path);
		flip(x, path, at);
	}
}

/* Of the version field one flip makes it newer, which is refused: not here. */
FIXTURE_TEST(verify__every_byte_of_a_manifest_counts)
{
	struct fixture *x = *state;

	fill(x, 0, EVENTS);
	rig_shut(&x->rig);
	check_every_byte(x, "/d/manifest", 0, disk_poke_size(x->disk, "/d/manifest"));
	check_every_byte(x, "/d/manifest.prev", 0, disk_poke_size(x->disk, "/d/manifest.prev"));
}

/* The last frame cannot be told from one that was being written; a flushed one before it can. */
FIXTURE_TEST(verify__every_byte_of_a_flushed_frame_counts)
{
	struct fixture *x = *state;

	fill(x, 0, 1);
	fill(x, 1, 2);
	kill_store(x);
	check_every_byte(x, "/d/wal/1.wal", 4096, 4096 + 88 + EVENT_BYTES);
	check_every_byte(x, "/d/wal/1.wal", 0, 60);
	assert_int_equal(verify(x), OK);
	assert_int_equal(x->totals.damages, 0);
}

FIXTURE_TEST(verify__an_end_that_never_was_flushed_is_no_damage)
{
	struct fixture *x = *state;

	fill(x, 0, 1);
	kill_store(x);
	flip(x, "/d/wal/1.wal", 4096 + 100);
	assert_int_equal(verify(x), OK);
	assert_int_equal(x->totals.damages, 0);
	assert_int_equal(x->findings, 1);
	assert_true(x->totals.torn_bytes > 0);
	assert_int_equal(x->first.at, 4096);
}

FIXTURE_TEST(verify__a_catalog_that_lost_a_topic_is_found)
{
	struct fixture *x = *state;
	char path[PATH_BYTES];

	segment_path(fill(x, 0, EVENTS), path);
	rig_shut(&x->rig);
	assert_int_equal(x->disk->ops->unlink(x->disk, "/d/catalog/1.wal"), 0);
	assert_int_equal(verify(x), OK);
	assert_true(x->totals.damages > 0);
}

FIXTURE_TEST(verify__stops_when_told)
{
	struct fixture *x = *state;
	const struct store_topic *t = rig_topic(&x->rig, "t", 1);

	assert_int_equal(event_log_append(&x->rig, t->partitions[0], 0, 40, 60000), OK);
	rig_shut(&x->rig);
	assert_int_equal(verify(x), OK);
	x->progress_left = 1;
	assert_int_equal(verify(x), ERR_SHUTTING_DOWN);
}

/* A new epoch begins a new segment; who reads the old one makes its index. */
FIXTURE_TEST(verify__a_bad_index_is_a_note)
{
	struct fixture *x = *state;
	char path[PATH_BYTES];
	struct fault f;

	fill(x, 0, EVENTS);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	kill_store(x);
	assert_int_equal(rig_try_open(&x->rig, &f), OK);
	fill(x, EVENTS, EVENTS + 3);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	segment_path(fill(x, EVENTS + 3, EVENTS + 4), path);
	kill_store(x);
	assert_int_equal(rig_try_open(&x->rig, &f), OK);
	assert_true(event_log_is_whole(&x->rig, rig_find(&x->rig, "t")->partitions[0], EVENTS + 4));
	rig_shut(&x->rig);
	assert_int_equal(verify(x), OK);
	assert_int_equal(x->findings, 0);
	memcpy(strrchr(path, '.'), ".idx", 4);
	for (int64_t at = 0; at < disk_poke_size(x->disk, path); at++) {
		flip(x, path, at);
		assert_int_equal(verify(x), OK);
		assert_int_equal(x->findings, 1);
		assert_int_equal(x->totals.damages, 0);
		assert_string_equal(x->first_file, path);
		flip(x, path, at);
	}
	assert_int_equal(x->disk->ops->unlink(x->disk, path), 0);
	assert_int_equal(verify(x), OK);
	assert_int_equal(x->findings, 0);
}

#define ON(engine, name) cmocka_unit_test_setup_teardown(name, setup_##engine, teardown)
#define T(name)          ON(memory, name), ON(log, name)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(verify__a_clean_directory_is_counted),
		T(verify__a_directory_in_use_is_refused),
		T(verify__every_byte_of_a_segment_counts),
		T(verify__every_byte_of_a_manifest_counts),
		T(verify__every_byte_of_a_flushed_frame_counts),
		T(verify__an_end_that_never_was_flushed_is_no_damage),
		T(verify__a_catalog_that_lost_a_topic_is_found),
		T(verify__stops_when_told),
		ON(log, verify__a_bad_index_is_a_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
