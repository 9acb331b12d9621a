#include "store/chunklog/manifest.h"

#include "base/test.h"
#include "io/disk.h"

#include <errno.h>

static const struct uuid store_id = {{7}};

static enum err write_epoch(struct disk *d, int32_t epoch, struct fault *f)
{
	const struct manifest m = {.leader_epoch = epoch};
	struct buf bytes = BUF_INIT(MANIFEST_BYTES_MAX);
	enum err err;

	manifest_begin(&bytes, &m, &store_id);
	manifest_finish(&bytes);
	err = manifest_write(d, "/", buf_slice(&bytes), f);
	buf_fini(&bytes);
	return err;
}

static enum err no_partition(void *arg, const struct uuid *topic, uint32_t partition,
                             const struct saved *saved, struct fault *f)
{
	(void)arg, (void)topic, (void)partition, (void)saved;
	return fault_set(f, ERR_CORRUPT, 0, "a partition");
}

/* -1: there is no whole manifest of this name. */
static int32_t epoch_in(struct disk *d, const char *path)
{
	struct buf bytes = BUF_INIT(MANIFEST_BYTES_MAX);
	struct manifest m = {.leader_epoch = -1};
	struct fault f;

	if (!disk_read_file(d, path, &bytes, &f))
		(void)!manifest_decode(buf_slice(&bytes), &store_id, &m, no_partition, NULL, &f);
	buf_fini(&bytes);
	return m.leader_epoch;
}

TEST(manifest_write__keeps_the_one_before)
{
	struct disk_sim *ds = disk_sim_new(1, 1 << 20);
	struct disk *d = disk_sim_disk(ds);
	struct fault f;

	for (int32_t epoch = 0; epoch < 4; epoch++) {
		assert_int_equal(write_epoch(d, epoch, &f), OK);
		disk_sim_crash(ds);
		assert_int_equal(epoch_in(d, "/manifest"), epoch);
		assert_int_equal(epoch_in(d, "/manifest.prev"), epoch - 1);
	}
	disk_sim_free(ds);
}

TEST(manifest_write__needs_no_space_but_that_of_the_one_before)
{
	struct disk_sim *ds = disk_sim_new(1, 1 << 20);
	struct disk *d = disk_sim_disk(ds);
	struct fault f;

	assert_int_equal(write_epoch(d, 0, &f), OK);
	disk_sim_set_capacity(ds, 0);
	assert_int_equal(write_epoch(d, 1, &f), ERR_DISK_FULL);
	assert_int_equal(epoch_in(d, "/manifest"), 0);

	disk_sim_set_capacity(ds, 1 << 20);
	assert_int_equal(write_epoch(d, 1, &f), OK);
	disk_sim_set_capacity(ds, 0);
	assert_int_equal(write_epoch(d, 2, &f), OK);
	assert_int_equal(write_epoch(d, 3, &f), OK);
	assert_int_equal(epoch_in(d, "/manifest"), 3);
	assert_int_equal(epoch_in(d, "/manifest.prev"), 2);
	disk_sim_free(ds);
}

TEST(manifest_write__one_that_fails_leaves_a_whole_one)
{
	for (unsigned n = 1; n <= 4; n++) {
		struct disk_sim *ds = disk_sim_new(n, 1 << 20);
		struct disk_fault *df = disk_fault_new(disk_sim_disk(ds));
		struct disk *d = disk_fault_disk(df);
		const enum disk_call calls[] = {DISK_PWRITEV, DISK_TRUNCATE, DISK_SYNC,
		                                DISK_SYNC_DIR, DISK_RENAME};
		struct fault f;

		for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
			assert_int_equal(write_epoch(d, 1, &f), OK);
			assert_int_equal(write_epoch(d, 2, &f), OK);
			disk_fault_arm(df, calls[i], n, EIO, 0, false);
			if (write_epoch(d, 3, &f)) {
				assert_int_equal(f.code, ERR_IO);
				disk_sim_crash(ds);
			}
			disk_fault_disarm(df);
			assert_true(epoch_in(d, "/manifest") >= 2 ||
			            (epoch_in(d, "/manifest") == -1 &&
			             epoch_in(d, "/manifest.prev") == 2));
			assert_int_equal(write_epoch(d, 4, &f), OK);
			assert_int_equal(epoch_in(d, "/manifest"), 4);
		}
		disk_fault_free(df);
		disk_sim_free(ds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(manifest_write__keeps_the_one_before),
		cmocka_unit_test(manifest_write__needs_no_space_but_that_of_the_one_before),
		cmocka_unit_test(manifest_write__one_that_fails_leaves_a_whole_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
