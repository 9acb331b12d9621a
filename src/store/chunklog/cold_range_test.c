/* Ranges of segment files, on a simulated disk. */
#include "base/test.h"
#include "store/chunklog/cold.h"
#include "store/chunklog/engine.h"
#include "store/chunklog/segment_index.h"
#include "store/testing/event_log.h"
#include "store/testing/sim_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { DISK_BYTES = 1 << 30, PATH_BYTES = 256, ALL = 1 << 30 };

struct got {
	struct store_range range;
	struct slice batches;
	struct shared *holder;
};

static void open_engine(struct sim_store *x, const struct store_ops *ops)
{
	sim_store_init(x, ops, 1, 3, DISK_BYTES);
	x->rig.memory_bytes = 1;
	sim_store_open(x);
}

static int setup(void **state)
{
	struct sim_store *x = calloc(1, sizeof(*x));

	open_engine(x, &store_log);
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

/* Events `from` to `to` - 1, a batch each, are in a run of their own. */
static void save(struct sim_store *x, int64_t from, int64_t to)
{
	assert_int_equal(event_log_append(&x->rig, x->p, from, to, 500), OK);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
}

static struct got get(struct sim_store *x, struct store_partition *p, int64_t offset,
                      int64_t bytes_max)
{
	struct got g;

	assert_int_equal(
		rig_read_range(&x->rig, p, offset, bytes_max, &g.range, &g.batches, &g.holder), OK);
	return g;
}

static void assert_range(struct sim_store *x, int64_t offset, int64_t bytes_max,
                         int64_t base_offset, int64_t next_offset)
{
	struct got g = get(x, x->p, offset, bytes_max);

	assert_true(g.range.bytes > 0);
	assert_int_equal(g.range.base_offset, base_offset);
	assert_int_equal(g.range.next_offset, next_offset);
	shared_put(g.holder);
}

static void assert_no_range(struct sim_store *x, int64_t offset, int64_t bytes_max)
{
	struct got g = get(x, x->p, offset, bytes_max);

	assert_int_equal(g.range.bytes, 0);
	assert_true(g.batches.len > 0);
	shared_put(g.holder);
}

static unsigned open_files(struct sim_store *x)
{
	return disk_fault_calls(x->faults, DISK_OPEN) - disk_fault_calls(x->faults, DISK_CLOSE);
}

static int open_segment(struct sim_store *x, int64_t base)
{
	char topic[UUID_TEXT_LEN + 1], path[PATH_BYTES];
	int fd;

	snprintf(path, sizeof(path), "/data/topics/%s/0/%020lld.seg",
	         uuid_format(&x->p->topic, topic), (long long)base);
	fd = x->disk->ops->open(x->disk, path, O_RDWR);
	assert_true(fd >= 0);
	return fd;
}

/* --- where it begins and ends ----------------------------------------------------------------- */

FIXTURE_TEST(range__is_a_run_from_the_batch_asked_for_on)
{
	struct sim_store *x = *state;

	save(x, 0, 200);
	save(x, 200, 300);
	assert_range(x, 0, ALL, 0, 200); /* zeros follow */
	assert_range(x, 57, ALL, 57, 200);
	assert_range(x, 199, ALL, 199, 200);
	assert_range(x, 200, ALL, 200, 300);
}

FIXTURE_TEST(range__goes_on_where_one_ended)
{
	struct sim_store *x = *state;
	int64_t offset = 0;
	unsigned count = 0;

	save(x, 0, 500);
	while (offset < 500) {
		struct got g = get(x, x->p, offset, 40000);

		assert_in_range(g.range.bytes, 40000 - (2 * SEGMENT_STRETCH_BYTES), 40000);
		assert_int_equal(g.range.base_offset, offset);
		offset = g.range.next_offset;
		shared_put(g.holder);
		count++;
	}
	assert_int_equal(offset, 500);
	assert_in_range(count, 500 * 500 / 40000, 20);
}

FIXTURE_TEST(range__that_would_be_larger_comes_as_batches)
{
	struct sim_store *x = *state;

	save(x, 0, 200);
	assert_no_range(x, 0, 100);
	assert_no_range(x, 0, SEGMENT_STRETCH_BYTES - 1);
}

FIXTURE_TEST(range__is_only_of_what_a_manifest_has)
{
	struct sim_store *x = *state;

	save(x, 0, 100);
	assert_int_equal(event_log_append(&x->rig, x->p, 100, 150, 500), OK);
	assert_range(x, 0, ALL, 0, 100);
	assert_no_range(x, 100, ALL);
}

FIXTURE_TEST(range__needs_an_index_which_readers_make)
{
	struct sim_store *x = *state;

	save(x, 0, 200);
	rig_shut(&x->rig);
	sim_store_open(x); /* the segment grows, so its index is not on disk */
	assert_no_range(x, 0, ALL);
	assert_true(event_log_is_whole(&x->rig, x->p, 200));
	assert_range(x, 0, ALL, 0, 200);
}

FIXTURE_TEST(range__never_comes_from_memory)
{
	struct sim_store *x = *state;

	sim_store_fini(x);
	open_engine(x, &store_memory);
	save(x, 0, 200);
	assert_no_range(x, 0, ALL);
}

/* --- its file --------------------------------------------------------------------------------- */

FIXTURE_TEST(range__outlives_the_segment)
{
	struct sim_store *x = *state;
	unsigned before = open_files(x);
	struct fault f;
	struct got g;
	uint8_t *bytes;

	save(x, 0, 200);
	g = get(x, x->p, 0, ALL);
	bytes = malloc((size_t)g.range.bytes);
	assert_int_equal(rig_trim(&x->rig, x->p, -1), OK);
	assert_int_equal(event_log_append(&x->rig, x->p, 200, 201, 500), OK);
	assert_int_equal(rig_checkpoint(&x->rig), OK); /* removes it */
	assert_int_equal(open_files(x), before + 1);
	assert_int_equal(disk_read_all(x->disk, g.range.fd, bytes, (size_t)g.range.bytes,
	                               g.range.at, "range", &f),
	                 OK);
	shared_put(g.holder);
	assert_int_equal(open_files(x), before);
	free(bytes);
}

FIXTURE_TEST(range__files_stay_open_however_many)
{
	enum { TOPICS = COLD_FILES_MAX + 50 };
	struct sim_store *x = *state;
	const struct store_topic *t = rig_topic(&x->rig, "many", TOPICS);
	struct got held[TOPICS];
	unsigned before, after;
	uint8_t byte;

	for (uint32_t i = 0; i < TOPICS; i++)
		assert_int_equal(event_log_append(&x->rig, t->partitions[i], 0, 50, 500), OK);
	assert_int_equal(rig_checkpoint(&x->rig), OK);
	before = open_files(x);
	for (uint32_t i = 0; i < TOPICS; i++)
		held[i] = get(x, t->partitions[i], 0, ALL);
	after = open_files(x); /* a file of the WAL may have been closed meanwhile */
	assert_in_range(after, before + TOPICS - 1, before + TOPICS);
	for (uint32_t i = 0; i < TOPICS; i++) {
		assert_int_equal(
			x->disk->ops->pread(x->disk, held[i].range.fd, &byte, 1, held[i].range.at),
			1);
		shared_put(held[i].holder);
	}
	assert_int_equal(open_files(x), after - TOPICS + COLD_FILES_MAX);
}

/* --- damage ----------------------------------------------------------------------------------- */

static void assert_corrupt(struct sim_store *x, int64_t offset)
{
	struct got g;

	assert_int_equal(
		rig_read_range(&x->rig, x->p, offset, ALL, &g.range, &g.batches, &g.holder),
		ERR_CORRUPT);
}

FIXTURE_TEST(range__does_not_begin_where_no_batch_does)
{
	const struct iovec iov = {(uint8_t[]){0xff}, 1};
	struct sim_store *x = *state;
	int fd;

	save(x, 0, 200);
	fd = open_segment(x, 0);
	assert_int_equal(x->disk->ops->pwritev(x->disk, fd, &iov, 1, SEGMENT_HEADER_BYTES), 1);
	x->disk->ops->close(x->disk, fd);
	assert_corrupt(x, 0);
}

FIXTURE_TEST(range__does_not_reach_beyond_the_file)
{
	struct sim_store *x = *state;
	int fd;

	save(x, 0, 200);
	fd = open_segment(x, 0);
	assert_int_equal(x->disk->ops->truncate(x->disk, fd, SEGMENT_HEADER_BYTES + 60000), 0);
	x->disk->ops->close(x->disk, fd);
	assert_no_range(x, 0, ALL);
	assert_corrupt(x, 199);
}

FIXTURE_TEST(range__stops_before_damage)
{
	const struct iovec iov = {(uint8_t[]){0xff}, 1};
	struct sim_store *x = *state;
	struct got g;
	enum err why;
	int fd;

	save(x, 0, 200);
	fd = open_segment(x, 0);
	assert_int_equal(x->disk->ops->pwritev(x->disk, fd, &iov, 1, SEGMENT_HEADER_BYTES + 60000),
	                 1);
	x->disk->ops->close(x->disk, fd);
	event_log_read(&x->rig, x->p, 0, &why); /* finds it */
	assert_int_equal(why, ERR_CORRUPT);
	g = get(x, x->p, 0, ALL);
	assert_true(g.range.bytes == 0 || g.range.bytes <= 60000);
	shared_put(g.holder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(range__is_a_run_from_the_batch_asked_for_on),
		T(range__goes_on_where_one_ended),
		T(range__that_would_be_larger_comes_as_batches),
		T(range__is_only_of_what_a_manifest_has),
		T(range__needs_an_index_which_readers_make),
		T(range__never_comes_from_memory),
		T(range__outlives_the_segment),
		T(range__files_stay_open_however_many),
		T(range__does_not_begin_where_no_batch_does),
		T(range__does_not_reach_beyond_the_file),
		T(range__stops_before_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
