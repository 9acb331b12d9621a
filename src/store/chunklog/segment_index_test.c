#include "store/chunklog/segment_index.h"

#include "base/test.h"
#include "io/disk.h"
#include "io/testing/disk_poke.h"
#include "store/chunklog/segment_reader.h"

#include <stdlib.h>

enum { BATCHES_MAX = 64, BATCH_BYTES_LIMIT = 1 << 20 };

static const struct uuid store_id = {{1}}, topic = {{2}};

/* Batches of one event each: event n has offset n and time n. */
struct fixture {
	struct buf batches[BATCHES_MAX];
	uint32_t count;
	struct segment_index index;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	segment_index_init(&x->index, 0, SEGMENT_HEADER_BYTES);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	for (uint32_t i = 0; i < x->count; i++)
		buf_fini(&x->batches[i]);
	segment_index_fini(&x->index);
	free(x);
	return 0;
}

#define FIXTURE_TEST(name) static void name(void **state)

static struct iovec make_batch(struct fixture *x, size_t value_bytes)
{
	struct buf *out = &x->batches[x->count];
	uint8_t *value = calloc(1, value_bytes);
	struct record r = {.timestamp = x->count, .value = slice_of(value, value_bytes)};
	struct batch_builder b;
	struct slice made;

	*out = BUF_INIT(BATCH_BYTES_LIMIT);
	batch_begin(&b, out);
	batch_add(&b, &r);
	made = batch_finish(&b);
	assert_non_null(made.ptr);
	batch_assign(out->ptr, x->count++, 0);
	free(value);
	return (struct iovec){out->ptr, made.len};
}

/* `count` batches of so many bytes, appended as a checkpoint does. */
static void add_run(struct fixture *x, int count, size_t value_bytes)
{
	struct segment_index run;
	struct iovec iov[BATCHES_MAX];

	segment_index_init(&run, x->index.next_offset, segment_block_round(x->index.at));
	for (int i = 0; i < count; i++)
		iov[i] = make_batch(x, value_bytes);
	segment_index_add_run(&run, iov, count);
	segment_index_join(&x->index, &run);
	segment_index_fini(&run);
}

FIXTURE_TEST(segment_index__every_run_begins_with_a_mark)
{
	struct fixture *x = *state;
	const struct segment_mark *m;

	add_run(x, 3, 100);
	add_run(x, 5, 10000);
	add_run(x, 1, 50000);
	m = x->index.marks;
	assert_int_equal(x->index.count, 5); /* 3 | 2, 2, 1 | 1 batches */
	assert_int_equal(m[0].at, SEGMENT_HEADER_BYTES);
	assert_int_equal(m[1].at, 2 * SEGMENT_HEADER_BYTES);
	assert_int_equal(m[1].base_offset, 3);
	assert_int_equal(m[1].at + m[1].bytes, m[2].at);
	assert_int_equal(m[2].at + m[2].bytes, m[3].at);
	assert_true(m[3].at + m[3].bytes < m[4].at);
	assert_int_equal(m[4].at % SEGMENT_BLOCK_BYTES, 0);
	assert_int_equal(m[4].at + m[4].bytes, x->index.at);
	assert_int_equal(m[2].max_timestamp, 6);
	assert_int_equal(x->index.next_offset, 9);
}

FIXTURE_TEST(segment_index__finds_offsets_and_times)
{
	struct fixture *x = *state;

	add_run(x, 40, 10000);
	for (int64_t n = 0; n < 40; n++) {
		assert_int_equal(segment_index_place(&x->index, n).base_offset, n / 2 * 2);
		assert_int_equal(segment_index_time(&x->index, 0, n).base_offset, n / 2 * 2);
	}
	assert_int_equal(segment_index_time(&x->index, 21, 3).base_offset, 20);
	assert_int_equal(segment_index_place(&x->index, 40).bytes, 0);
	assert_int_equal(segment_index_time(&x->index, 0, 40).base_offset, 40);
}

FIXTURE_TEST(segment_index_join__takes_only_what_goes_on)
{
	struct fixture *x = *state;
	struct segment_index behind;
	struct iovec iov;

	add_run(x, 3, 100);
	segment_index_init(&behind, 5, 2 * SEGMENT_HEADER_BYTES);
	x->count = 5;
	iov = make_batch(x, 100);
	segment_index_add_run(&behind, &iov, 1);
	segment_index_join(&x->index, &behind);
	assert_int_equal(x->index.next_offset, 3);
	segment_index_fini(&behind);
}

FIXTURE_TEST(segment_index_read__refuses_every_flipped_byte)
{
	struct fixture *x = *state;
	struct disk_sim *sim = disk_sim_new(3, 1 << 20);
	const struct segment_home home = {
		.disk = disk_sim_disk(sim), .root = "/d", .store_id = &store_id, .topic = &topic};
	char path[SEGMENT_PATH_BYTES];
	struct segment_index found;
	struct segment s = {.leader_epoch = 7};
	struct fault f;

	assert_int_equal(disk_make_dir(home.disk, "/d", &f), OK);
	assert_int_equal(disk_make_dir(home.disk, "/d/topics", &f), OK);
	assert_int_equal(segment_make_dir(&home, &f), OK);
	add_run(x, 9, 10000);
	s.end_offset = x->index.next_offset;
	s.bytes = x->index.at;
	assert_int_equal(segment_index_write(&home, &s, &x->index, &f), OK);
	segment_index_path(&home, &s, path);
	segment_index_init(&found, 0, SEGMENT_HEADER_BYTES);
	for (int64_t at = 0; at < 80 + 5 * 32 + 4; at++) {
		disk_poke_flip(home.disk, path, at * 8 + 4);
		assert_int_equal(segment_index_read(&home, &s, &found, &f), ERR_CORRUPT);
		disk_poke_flip(home.disk, path, at * 8 + 4);
	}
	assert_int_equal(found.count, 0);
	assert_int_equal(segment_index_read(&home, &s, &found, &f), OK);
	assert_int_equal(found.count, x->index.count);
	assert_memory_equal(found.marks, x->index.marks, found.count * sizeof(*found.marks));
	segment_index_fini(&found);
	disk_sim_free(sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(segment_index__every_run_begins_with_a_mark),
		T(segment_index__finds_offsets_and_times),
		T(segment_index_join__takes_only_what_goes_on),
		T(segment_index_read__refuses_every_flipped_byte),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
