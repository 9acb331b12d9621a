#include "store/chunklog/segment.h"

#include "base/test.h"
#include "io/disk.h"
#include "store/chunklog/segment_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

enum { DISK_BYTES = 64 << 20 };

static const struct uuid store_id = {{1}}, topic = {{2}};

struct fixture {
	struct disk_sim *sim;
	struct disk_fault *faults;
	struct segment_home home;
	struct segment segment;
	unsigned appends;
	struct buf expected; /* all that was appended */
	struct buf found;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	struct fault f;

	x->sim = disk_sim_new(3, DISK_BYTES);
	x->faults = disk_fault_new(disk_sim_disk(x->sim));
	x->home = (struct segment_home){.disk = disk_fault_disk(x->faults),
	                                .root = "/d",
	                                .store_id = &store_id,
	                                .topic = &topic};
	x->expected = BUF_INIT(DISK_BYTES);
	x->found = BUF_INIT(DISK_BYTES);
	assert_int_equal(disk_make_dir(x->home.disk, "/d", &f), OK);
	assert_int_equal(disk_make_dir(x->home.disk, "/d/topics", &f), OK);
	assert_int_equal(segment_make_dir(&x->home, &f), OK);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	buf_fini(&x->expected);
	buf_fini(&x->found);
	disk_fault_free(x->faults);
	disk_sim_free(x->sim);
	free(x);
	return 0;
}

#define FIXTURE_TEST(name) static void name(void **state)

/* One batch of one event of `bytes` bytes. */
static void add_batch(struct fixture *x, int64_t offset, size_t bytes)
{
	uint8_t *value = calloc(1, bytes);
	struct record r = {.value = slice_of(value, bytes)};
	size_t start = x->expected.len;
	struct batch_builder b;

	batch_begin(&b, &x->expected);
	batch_add(&b, &r);
	assert_non_null(batch_finish(&b).ptr);
	batch_assign(x->expected.ptr + start, offset, 0);
	free(value);
}

/* A run of `count` batches, as two stretches of memory; every other one past the page cache. */
static enum err append(struct fixture *x, uint32_t count, size_t bytes, struct fault *f)
{
	bool direct = x->appends++ % 2 == 0;
	int64_t end_offset = x->segment.end_offset + count;
	size_t start = x->expected.len, half = start;
	struct iovec iov[2];
	enum err err;
	int fd;

	for (int64_t offset = x->segment.end_offset; offset < end_offset; offset++) {
		add_batch(x, offset, bytes);
		if (offset == x->segment.end_offset)
			half = x->expected.len;
	}
	half -= start;
	iov[0] = (struct iovec){x->expected.ptr + start, half};
	iov[1] = (struct iovec){x->expected.ptr + start + half, x->expected.len - start - half};
	err = segment_append(&x->home, &x->segment, direct, iov, 2, end_offset, &fd, f);
	if (!err)
		x->home.disk->ops->close(x->home.disk, fd);
	return err;
}

static void take(void *arg, struct slice batch, int32_t leader_epoch, size_t more_bytes)
{
	struct fixture *x = arg;

	(void)leader_epoch, (void)more_bytes;
	buf_append_slice(&x->found, batch);
}

static void assert_loads(struct fixture *x)
{
	struct segment s = x->segment;
	struct fault f;

	buf_clear(&x->found);
	assert_int_equal(segment_load(&x->home, &s, take, x, &f), OK);
	assert_int_equal(s.end_offset, x->segment.end_offset);
	assert_int_equal(s.bytes, x->segment.bytes);
	assert_true(slice_eq(buf_slice(&x->found), buf_slice(&x->expected)));
}

/* Runs below, at and above the size of one write, and a file that ends with its last byte. */
FIXTURE_TEST(segment_append__runs_of_any_size_load_again)
{
	static const size_t sizes[] = {1, 1000, 4096 - 70, 4096, 300000, 1 << 20, (1 << 20) + 1};
	struct fixture *x = *state;
	struct fault f;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(append(x, (uint32_t)(1 + i % 3), sizes[i], &f), OK);
		assert_loads(x);
	}
	x->segment.bytes = INT64_MAX; /* as far as the file goes */
	x->segment.end_offset = INT64_MAX;
	assert_int_equal(segment_load(&x->home, &x->segment, take, x, &f), OK);
}

FIXTURE_TEST(segment_append__does_without_direct_writes)
{
	struct fixture *x = *state;
	struct fault f;

	disk_fault_arm(x->faults, DISK_OPEN, 1, EINVAL, 0, false);
	assert_int_equal(append(x, 3, 5000, &f), OK);
	x->appends = 0;
	disk_fault_arm(x->faults, DISK_PWRITEV, 1, EINVAL, 0, false);
	assert_int_equal(append(x, 3, 5000, &f), OK);
	assert_loads(x);
}

FIXTURE_TEST(segment_append__that_failed_can_be_tried_again)
{
	static const enum disk_call calls[] = {DISK_OPEN, DISK_PWRITEV, DISK_TRUNCATE};
	struct fixture *x = *state;
	struct fault f;

	for (unsigned i = 0; i < 2 * ARRAY_COUNT(calls); i++) {
		size_t before = x->expected.len;

		x->appends = i;
		disk_fault_arm(x->faults, calls[i / 2], 1, EIO, 4096, false);
		assert_int_equal(append(x, 2, 9000, &f), ERR_IO);
		x->expected.len = before;
		assert_int_equal(append(x, 1, 3000, &f), OK);
		assert_loads(x);
	}
}

/* --- a file that a backup has too ------------------------------------------------------------- */

static void link_segment(struct fixture *x)
{
	struct disk *d = x->home.disk;
	char path[SEGMENT_PATH_BYTES];

	segment_path(&x->home, &x->segment, path);
	assert_false(segment_is_shared(&x->home, &x->segment));
	assert_int_equal(disk_link(d, path, "/d/other", x->segment.bytes, NULL), OK);
	assert_true(segment_is_shared(&x->home, &x->segment));
}

static void read_other(struct fixture *x, struct buf *into)
{
	*into = BUF_INIT(DISK_BYTES);
	assert_int_equal(disk_read_file(x->home.disk, "/d/other", into, NULL), OK);
}

static void assert_other_is(struct fixture *x, struct buf *before)
{
	struct buf now;

	read_other(x, &now);
	assert_true(slice_eq(buf_slice(&now), buf_slice(before)));
	buf_fini(&now);
	buf_fini(before);
	assert_false(segment_is_shared(&x->home, &x->segment));
}

FIXTURE_TEST(segment_append__a_new_one_leaves_a_second_name_of_its_forerunner_alone)
{
	struct fixture *x = *state;
	struct buf before;
	struct fault f;

	assert_int_equal(append(x, 3, 2000, &f), OK);
	link_segment(x);
	read_other(x, &before);
	x->segment = (struct segment){0};
	buf_clear(&x->expected);
	assert_int_equal(append(x, 1, 100, &f), OK);
	assert_loads(x);
	assert_other_is(x, &before);
}

FIXTURE_TEST(segment_tidy__leaves_a_second_name_alone)
{
	struct fixture *x = *state;
	struct segment counts;
	struct buf before;
	struct fault f;

	assert_int_equal(append(x, 3, 2000, &f), OK);
	counts = x->segment;
	assert_int_equal(append(x, 2, 2000, &f), OK);
	link_segment(x);
	read_other(x, &before);
	assert_int_equal(segment_tidy(&x->home, &counts, 1, &f), OK);
	x->segment = counts;
	x->expected.len = (size_t)(counts.bytes - SEGMENT_HEADER_BYTES);
	assert_loads(x);
	assert_other_is(x, &before);
}

FIXTURE_TEST(segment_index_write__leaves_a_second_name_alone)
{
	struct fixture *x = *state;
	struct segment_index index = {0};
	struct disk *d = x->home.disk;
	char path[SEGMENT_PATH_BYTES];
	struct fault f;
	int fd;

	assert_int_equal(append(x, 3, 2000, &f), OK);
	segment_index_path(&x->home, &(struct segment){0}, path);
	assert_int_equal(disk_replace_file(d, "/d", "other", SLICE_LIT("rotten"), &f), OK);
	assert_int_equal(d->ops->link(d, "/d/other", path), 0);
	index.next_offset = x->segment.end_offset;
	assert_int_equal(segment_index_write(&x->home, &x->segment, &index, &f), OK);
	fd = d->ops->open(d, "/d/other", O_RDONLY);
	assert_int_equal(d->ops->size(d, fd), strlen("rotten"));
	d->ops->close(d, fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(segment_append__runs_of_any_size_load_again),
		T(segment_append__does_without_direct_writes),
		T(segment_append__that_failed_can_be_tried_again),
		T(segment_append__a_new_one_leaves_a_second_name_of_its_forerunner_alone),
		T(segment_tidy__leaves_a_second_name_alone),
		T(segment_index_write__leaves_a_second_name_alone),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
