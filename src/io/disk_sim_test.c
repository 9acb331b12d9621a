/* What disk_sim forgets in a crash, and what never: beyond the contract in disk_test.c. */
#include "base/test.h"
#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK = 4096, SEEDS = 300 };

static struct disk *new_disk(struct disk_sim **sim, uint64_t seed)
{
	*sim = disk_sim_new(seed, 1 << 20);
	return disk_sim_disk(*sim);
}

static int create(struct disk *d, const char *path)
{
	int fd = d->ops->open(d, path, O_RDWR | O_CREAT);

	assert_true(fd >= 0);
	return fd;
}

static void fill(struct disk *d, int fd, char letter, size_t len, int64_t at)
{
	char bytes[8 * BLOCK];
	struct iovec iov = {bytes, len};

	assert_true(len <= sizeof(bytes));
	memset(bytes, letter, len);
	assert_int_equal(d->ops->pwritev(d, fd, &iov, 1, at), len);
}

/* How the 512 byte sectors of one block read: all of one letter each. */
static void sectors(struct disk *d, int fd, int64_t at, char out[9])
{
	char bytes[BLOCK];

	assert_int_equal(d->ops->pread(d, fd, bytes, BLOCK, at), BLOCK);
	for (unsigned i = 0; i < 8; i++) {
		out[i] = bytes[i * 512] ? bytes[i * 512] : '0';
		for (unsigned j = 1; j < 512; j++)
			assert_int_equal(bytes[i * 512 + j], bytes[i * 512]);
	}
	out[8] = '\0';
}

static bool exists(struct disk *d, const char *path)
{
	int fd = d->ops->open(d, path, O_RDONLY);

	if (fd < 0)
		return false;
	d->ops->close(d, fd);
	return true;
}

TEST(disk_sim_crash__what_is_synced_survives_every_seed)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk_sim *sim;
		struct disk *d = new_disk(&sim, seed);
		char read[9];
		int fd = create(d, "a");

		fill(d, fd, 'x', 3 * BLOCK, 0);
		assert_int_equal(d->ops->sync(d, fd), 0);
		assert_int_equal(d->ops->sync_dir(d, "/"), 0);
		fill(d, fd, 'y', BLOCK, 3 * BLOCK);
		disk_sim_crash(sim);
		fd = d->ops->open(d, "a", O_RDONLY);
		for (int i = 0; i < 3; i++) {
			sectors(d, fd, i * BLOCK, read);
			assert_string_equal(read, "xxxxxxxx");
		}
		disk_sim_free(sim);
	}
}

TEST(disk_sim_crash__what_was_there_when_all_was_synced_stays)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk_sim *sim;
		struct disk *d = new_disk(&sim, seed);
		int fd = create(d, "a");
		char read[9];

		assert_int_equal(d->ops->mkdir(d, "in"), 0);
		fill(d, create(d, "in/b"), 'x', BLOCK, 0);
		assert_int_equal(d->ops->sync_all(d, fd), 0);
		disk_sim_crash(sim);
		fd = d->ops->open(d, "in/b", O_RDONLY);
		sectors(d, fd, 0, read);
		assert_string_equal(read, "xxxxxxxx");
		assert_true(d->ops->open(d, "a", O_RDONLY) >= 0);
		disk_sim_free(sim);
	}
}

TEST(disk_sim_crash__a_synced_file_without_a_synced_name_may_be_gone)
{
	unsigned kept = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk_sim *sim;
		struct disk *d = new_disk(&sim, seed);
		int fd = create(d, "a");

		assert_int_equal(d->ops->sync(d, fd), 0);
		disk_sim_crash(sim);
		kept += exists(d, "a");
		disk_sim_free(sim);
	}
	assert_in_range(kept, SEEDS / 4, SEEDS * 3 / 4);
}

TEST(disk_sim_crash__unsynced_blocks_come_new_old_torn_or_as_zeros)
{
	unsigned fresh = 0, old = 0, torn = 0, zeros = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk_sim *sim;
		struct disk *d = new_disk(&sim, seed);
		int fd = create(d, "a");
		char read[9];
		size_t news;

		fill(d, fd, 'x', 2 * BLOCK, 0);
		d->ops->sync(d, fd);
		d->ops->sync_dir(d, "/");
		fill(d, fd, 'y', BLOCK, 0);
		disk_sim_crash(sim);
		fd = d->ops->open(d, "a", O_RDONLY);
		sectors(d, fd, 0, read);
		news = strspn(read, "y");
		fresh += news == 8;
		torn += news > 0 && news < 8 && strspn(read + news, "x") == 8 - news;
		old += strcmp(read, "xxxxxxxx") == 0;
		zeros += strcmp(read, "00000000") == 0;
		sectors(d, fd, BLOCK, read);
		assert_string_equal(read, "xxxxxxxx");
		disk_sim_free(sim);
	}
	assert_int_equal(fresh + old + torn + zeros, SEEDS);
	assert_true(fresh > 10 && old > 10 && torn > 10 && zeros > 10);
}

TEST(disk_sim_crash__a_grown_file_may_be_short_or_hold_zeros)
{
	unsigned by_size[9] = {0}, zeros = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk_sim *sim;
		struct disk *d = new_disk(&sim, seed);
		int fd = create(d, "a");
		int64_t size;
		char read[9];

		d->ops->sync_dir(d, "/");
		fill(d, fd, 'y', 8 * BLOCK, 0);
		disk_sim_crash(sim);
		fd = d->ops->open(d, "a", O_RDONLY);
		size = d->ops->size(d, fd);
		assert_int_equal(size % BLOCK, 0);
		by_size[size / BLOCK]++;
		for (int64_t at = 0; at < size; at += BLOCK) {
			sectors(d, fd, at, read);
			zeros += strcmp(read, "00000000") == 0;
		}
		disk_sim_free(sim);
	}
	assert_true(by_size[0] > 10 && by_size[8] > 10);
	assert_true(by_size[0] + by_size[8] < SEEDS);
	assert_true(zeros > 10);
}

/* Five changes of one directory: after a crash the first few of them have happened. */
TEST(disk_sim_crash__names_change_in_order)
{
	static const char *const states[] = {"", "a", "ab", "abc", "bc", "bd"};
	unsigned seen[6] = {0};

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk_sim *sim;
		struct disk *d = new_disk(&sim, seed);
		char found[5] = "";

		create(d, "a");
		create(d, "b");
		create(d, "c");
		assert_int_equal(d->ops->unlink(d, "a"), 0);
		assert_int_equal(d->ops->rename(d, "c", "d"), 0);
		disk_sim_crash(sim);
		for (char name[2] = "a"; name[0] <= 'd'; name[0]++)
			if (exists(d, name))
				strcat(found, name);
		for (unsigned i = 0; i < 6; i++)
			seen[i] += strcmp(found, states[i]) == 0;
		disk_sim_free(sim);
	}
	for (unsigned i = 0; i < 6; i++)
		assert_true(seen[i] > 10);
	assert_int_equal(seen[0] + seen[1] + seen[2] + seen[3] + seen[4] + seen[5], SEEDS);
}

TEST(disk_sim_crash__a_removed_file_may_come_back_as_it_was_synced)
{
	unsigned back = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk_sim *sim;
		struct disk *d = new_disk(&sim, seed);
		int fd = create(d, "a");
		char read[9];

		fill(d, fd, 'x', BLOCK, 0);
		d->ops->sync(d, fd);
		d->ops->sync_dir(d, "/");
		d->ops->close(d, fd);
		assert_int_equal(d->ops->unlink(d, "a"), 0);
		assert_int_equal(d->ops->space(d, "/"), 1 << 20);
		disk_sim_crash(sim);
		if (exists(d, "a")) {
			back++;
			sectors(d, d->ops->open(d, "a", O_RDONLY), 0, read);
			assert_string_equal(read, "xxxxxxxx");
			assert_int_equal(d->ops->space(d, "/"), (1 << 20) - BLOCK);
		}
		disk_sim_free(sim);
	}
	assert_in_range(back, SEEDS / 4, SEEDS * 3 / 4);
}

TEST(disk_sim_crash__what_was_found_after_one_stays_in_the_next)
{
	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk_sim *sim;
		struct disk *d = new_disk(&sim, seed);
		int fd = create(d, "a");
		char first[9], second[9];
		int64_t size;

		d->ops->sync_dir(d, "/");
		fill(d, fd, 'x', BLOCK, 0);
		disk_sim_crash(sim);
		fd = d->ops->open(d, "a", O_RDONLY);
		size = d->ops->size(d, fd);
		if (size > 0)
			sectors(d, fd, 0, first);
		disk_sim_crash(sim);
		fd = d->ops->open(d, "a", O_RDONLY);
		assert_int_equal(d->ops->size(d, fd), size);
		if (size > 0) {
			sectors(d, fd, 0, second);
			assert_string_equal(first, second);
		}
		disk_sim_free(sim);
	}
}

TEST(disk_sim_crash__replace_file_leaves_the_old_or_the_new)
{
	unsigned old = 0, fresh = 0;

	for (uint64_t seed = 0; seed < SEEDS; seed++) {
		struct disk_sim *sim;
		struct disk *d = new_disk(&sim, seed);
		struct disk_fault *fault = disk_fault_new(d);
		struct disk *faulty = disk_fault_disk(fault);
		struct buf content = BUF_INIT(64);
		enum err err;

		assert_int_equal(disk_replace_file(d, "/", "b", SLICE_LIT("old"), NULL), OK);
		if (seed % 2)
			disk_fault_arm(fault, DISK_SYNC_DIR, 1, EIO, 0, false);
		err = disk_replace_file(faulty, "/", "b", SLICE_LIT("new!"), NULL);
		disk_sim_crash(sim);
		assert_int_equal(disk_read_file(d, "b", &content, NULL), OK);
		if (slice_eq(buf_slice(&content), SLICE_LIT("old"))) {
			assert_int_equal(err, ERR_IO);
			old++;
		} else {
			assert_true(slice_eq(buf_slice(&content), SLICE_LIT("new!")));
			fresh++;
		}
		buf_fini(&content);
		disk_fault_free(fault);
		disk_sim_free(sim);
	}
	assert_true(old > 10 && fresh > SEEDS / 2);
}

TEST(disk_sim_crash__the_same_seed_forgets_the_same)
{
	char reads[2][9];

	for (unsigned i = 0; i < 2; i++) {
		struct disk_sim *sim;
		struct disk *d = new_disk(&sim, 11);
		int fd = create(d, "a");

		fill(d, fd, 'x', BLOCK, 0);
		d->ops->sync(d, fd);
		d->ops->sync_dir(d, "/");
		fill(d, fd, 'y', BLOCK, 0);
		disk_sim_crash(sim);
		sectors(d, d->ops->open(d, "a", O_RDONLY), 0, reads[i]);
		disk_sim_free(sim);
	}
	assert_string_equal(reads[0], reads[1]);
}

TEST(disk_sim_kill__keeps_writes_and_drops_descriptors_and_locks)
{
	struct disk_sim *sim;
	struct disk *d = new_disk(&sim, 1);
	int fd = create(d, "a"), again;
	char read[9];

	fill(d, fd, 'x', BLOCK, 0);
	assert_int_equal(d->ops->lock(d, fd), 0);
	disk_sim_kill(sim);
	assert_int_equal(d->ops->sync(d, fd), -EBADF);
	again = d->ops->open(d, "a", O_RDWR);
	assert_int_not_equal(again, fd);
	assert_int_equal(d->ops->lock(d, again), 0);
	sectors(d, again, 0, read);
	assert_string_equal(read, "xxxxxxxx");
	disk_sim_free(sim);
}

TEST(disk_sim__is_full_at_its_capacity_and_not_after_a_removal)
{
	struct disk_sim *sim = disk_sim_new(1, 4 * BLOCK);
	struct disk *d = disk_sim_disk(sim);
	char bytes[BLOCK] = {0};
	struct iovec iov[2] = {{bytes, BLOCK}, {bytes, BLOCK}};
	int a = create(d, "a"), b = create(d, "b");

	fill(d, a, 'x', 3 * BLOCK, 0);
	assert_int_equal(d->ops->pwritev(d, b, iov, 2, 0), BLOCK);
	assert_int_equal(d->ops->pwritev(d, b, iov, 2, BLOCK), -ENOSPC);
	assert_int_equal(d->ops->pwritev(d, b, iov, 1, 0), BLOCK); /* no new block is needed */
	assert_int_equal(d->ops->space(d, "/"), 0);
	assert_int_equal(d->ops->unlink(d, "a"), 0);
	assert_int_equal(d->ops->pwritev(d, b, iov, 1, BLOCK), -ENOSPC); /* "a" is still open */
	d->ops->close(d, a);
	assert_int_equal(d->ops->pwritev(d, b, iov, 2, BLOCK), 2 * BLOCK);
	disk_sim_set_capacity(sim, 2 * BLOCK);
	assert_int_equal(d->ops->space(d, "/"), 0);
	disk_sim_free(sim);
}

static void *hammer(void *arg)
{
	struct disk *d = arg;
	char name[32];

	snprintf(name, sizeof(name), "%lx", (unsigned long)pthread_self());
	for (unsigned i = 0; i < 500; i++) {
		int fd = d->ops->open(d, name, O_RDWR | O_CREAT);
		struct iovec iov = {name, sizeof(name)};

		d->ops->pwritev_sync(d, fd, &iov, 1, i);
		d->ops->sync_dir(d, "/");
		d->ops->close(d, fd);
		d->ops->unlink(d, name);
	}
	return NULL;
}

TEST(disk_sim__serves_threads)
{
	struct disk_sim *sim;
	struct disk *d = new_disk(&sim, 1);
	pthread_t threads[3];

	for (unsigned i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, hammer, d);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(d->ops->space(d, "/"), 1 << 20);
	disk_sim_free(sim);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(disk_sim_crash__what_is_synced_survives_every_seed),
		cmocka_unit_test(disk_sim_crash__what_was_there_when_all_was_synced_stays),
		cmocka_unit_test(disk_sim_crash__a_synced_file_without_a_synced_name_may_be_gone),
		cmocka_unit_test(disk_sim_crash__unsynced_blocks_come_new_old_torn_or_as_zeros),
		cmocka_unit_test(disk_sim_crash__a_grown_file_may_be_short_or_hold_zeros),
		cmocka_unit_test(disk_sim_crash__names_change_in_order),
		cmocka_unit_test(disk_sim_crash__a_removed_file_may_come_back_as_it_was_synced),
		cmocka_unit_test(disk_sim_crash__what_was_found_after_one_stays_in_the_next),
		cmocka_unit_test(disk_sim_crash__replace_file_leaves_the_old_or_the_new),
		cmocka_unit_test(disk_sim_crash__the_same_seed_forgets_the_same),
		cmocka_unit_test(disk_sim_kill__keeps_writes_and_drops_descriptors_and_locks),
		cmocka_unit_test(disk_sim__is_full_at_its_capacity_and_not_after_a_removal),
		cmocka_unit_test(disk_sim__serves_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
