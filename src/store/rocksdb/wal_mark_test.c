#include "store/rocksdb/wal_mark.h"

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/test.h"
#include "io/disk.h"

#include <stdlib.h>
#include <string.h>

enum {
	BLOCK_BYTES = 32 << 10,
	HEAD_BYTES = 7,
	WHOLE = 1,
	MIDDLE = 3,
	PAYLOAD_BYTES = 200,
	CAPACITY = 1 << 20,
};

static const struct uuid store = {{1, 2, 3}};
static const struct uuid another = {{3, 2, 1}};

/* One file of a WAL, as RocksDB writes it, in a directory of a disk in memory. */
struct wal {
	struct disk_sim *sim;
	struct disk *disk;
	uint8_t bytes[2 * BLOCK_BYTES];
	size_t len;
};

static int setup(void **state)
{
	struct wal *w = calloc(1, sizeof(*w));
	struct fault f;

	w->sim = disk_sim_new(1, CAPACITY);
	w->disk = disk_sim_disk(w->sim);
	assert_int_equal(disk_make_dir(w->disk, "d", &f), OK);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct wal *w = *state;

	disk_sim_free(w->sim);
	free(w);
	return 0;
}

/* A record of two writes in one fragment of that kind, with a mark of `id`; returns where it
 * stands. */
static size_t add(struct wal *w, uint8_t kind, uint64_t number, const struct uuid *id,
                  uint64_t flushed)
{
	uint8_t *at = w->bytes + w->len, *payload = at + HEAD_BYTES;
	uint32_t crc;

	store_le64(payload, number);
	store_le32(payload + 8, 2);
	payload[12] = 3;
	payload[13] = WAL_MARK_BYTES;
	wal_mark_encode(id, flushed, payload + 14);
	at[4] = PAYLOAD_BYTES;
	at[6] = kind;
	crc = crc32c(0, at + 6, PAYLOAD_BYTES + 1);
	store_le32(at, ((crc >> 15) | (crc << 17)) + 0xa282ead8);
	w->len += HEAD_BYTES + PAYLOAD_BYTES;
	return (size_t)(at - w->bytes);
}

static struct wal_marks marks_of(struct wal *w)
{
	struct wal_marks marks;
	struct fault f;

	assert_int_equal(
		disk_replace_file(w->disk, "d", "000007.log", slice_of(w->bytes, w->len), &f), OK);
	assert_int_equal(wal_marks_read(w->disk, "d", &store, &marks, &f), OK);
	return marks;
}

TEST(wal_marks__tell_the_highest)
{
	struct wal *w = *state;

	assert_int_equal(marks_of(w).flushed, 0);
	add(w, WHOLE, 10, &store, 5);
	add(w, WHOLE, 12, &store, 11);
	assert_int_equal(marks_of(w).flushed, 11);
	assert_int_equal(marks_of(w).last, 13);
}

TEST(wal_marks__are_found_behind_damage)
{
	struct wal *w = *state;
	size_t hit = add(w, WHOLE, 10, &store, 5);

	add(w, WHOLE, 12, &store, 11); /* in the same block, not where the damaged length says */
	w->bytes[hit + 4] ^= 1;
	assert_int_equal(marks_of(w).flushed, 11);
	w->len = BLOCK_BYTES;
	add(w, WHOLE, 14, &store, 13);
	memset(w->bytes, 0, BLOCK_BYTES);
	assert_int_equal(marks_of(w).flushed, 13);
	assert_int_equal(marks_of(w).last, 15);
}

TEST(wal_marks__tell_whether_records_follow_damage)
{
	struct wal *w = *state;
	size_t second, third;

	add(w, WHOLE, 1, &store, 0);
	second = add(w, WHOLE, 3, &store, 2);
	third = add(w, WHOLE, 5, &store, 4);
	assert_false(marks_of(w).goes_on);
	w->bytes[third + 5] ^= 0x20; /* its length: beyond the file */
	assert_false(marks_of(w).goes_on);
	w->bytes[third + 5] ^= 0x20;
	w->bytes[second + 5] ^= 0x20;
	assert_true(marks_of(w).goes_on);
}

TEST(wal_marks__that_are_none_are_not_taken)
{
	struct wal *w = *state;
	size_t hit;

	add(w, WHOLE, 10, &another, 5);
	add(w, MIDDLE, 12, &store, 11);
	hit = add(w, WHOLE, 14, &store, 13);
	w->bytes[hit + HEAD_BYTES + 20] ^= 1;
	add(w, WHOLE, 16, &store, 15);
	w->len -= 1; /* cut off */
	assert_int_equal(marks_of(w).flushed, 0);
	assert_int_equal(marks_of(w).last, 11);
}

TEST(wal_file_count__counts_its_files_only)
{
	struct wal *w = *state;
	struct fault f;

	assert_int_equal(wal_file_count(w->disk, "d"), 0);
	marks_of(w);
	assert_int_equal(disk_replace_file(w->disk, "d", "LOG", SLICE_NONE, &f), OK);
	assert_int_equal(disk_replace_file(w->disk, "d", "000007.sst", SLICE_NONE, &f), OK);
	assert_int_equal(wal_file_count(w->disk, "d"), 1);
}

int main(void)
{
#define WITH_WAL(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_WAL(wal_marks__tell_the_highest),
		WITH_WAL(wal_marks__are_found_behind_damage),
		WITH_WAL(wal_marks__tell_whether_records_follow_damage),
		WITH_WAL(wal_marks__that_are_none_are_not_taken),
		WITH_WAL(wal_file_count__counts_its_files_only),
	};
#undef WITH_WAL

	return cmocka_run_group_tests(tests, NULL, NULL);
}
