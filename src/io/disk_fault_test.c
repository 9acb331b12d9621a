#include "base/test.h"
#include "io/clock.h"
#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

struct fixture {
	struct disk_sim *sim;
	struct disk_fault *fault;
	struct disk *d;
	int fd;
};

static struct iovec text = {"0123456789", 10};

static void set_up(struct fixture *fx)
{
	fx->sim = disk_sim_new(1, 1 << 20);
	fx->fault = disk_fault_new(disk_sim_disk(fx->sim));
	fx->d = disk_fault_disk(fx->fault);
	fx->fd = fx->d->ops->open(fx->d, "a", O_RDWR | O_CREAT);
	assert_true(fx->fd >= 0);
}

static void tear_down(struct fixture *fx)
{
	disk_fault_free(fx->fault);
	disk_sim_free(fx->sim);
}

static ssize_t write_once(struct fixture *fx)
{
	return fx->d->ops->pwritev(fx->d, fx->fd, &text, 1, 0);
}

TEST(disk_fault__the_nth_call_fails_and_only_that)
{
	struct fixture fx;

	set_up(&fx);
	assert_int_equal(write_once(&fx), 10);
	disk_fault_arm(fx.fault, DISK_PWRITEV, 3, EIO, 0, false);
	assert_int_equal(write_once(&fx), 10);
	assert_int_equal(fx.d->ops->sync(fx.d, fx.fd), 0);
	assert_int_equal(write_once(&fx), 10);
	assert_int_equal(write_once(&fx), -EIO);
	assert_int_equal(write_once(&fx), 10);
	assert_int_equal(disk_fault_calls(fx.fault, DISK_PWRITEV), 5);
	assert_int_equal(disk_fault_calls(fx.fault, DISK_SYNC), 1);
	tear_down(&fx);
}

TEST(disk_fault__a_sticky_one_fails_until_disarmed)
{
	struct fixture fx;

	set_up(&fx);
	disk_fault_arm(fx.fault, DISK_SYNC, 1, EIO, 0, true);
	assert_int_equal(fx.d->ops->sync(fx.d, fx.fd), -EIO);
	assert_int_equal(fx.d->ops->sync(fx.d, fx.fd), -EIO);
	disk_fault_disarm(fx.fault);
	assert_int_equal(fx.d->ops->sync(fx.d, fx.fd), 0);
	tear_down(&fx);
}

TEST(disk_fault__part_of_a_failed_write_is_there)
{
	struct fixture fx;
	char got[10];

	set_up(&fx);
	disk_fault_arm(fx.fault, DISK_PWRITEV, 1, ENOSPC, 4, false);
	assert_int_equal(write_once(&fx), -ENOSPC);
	assert_int_equal(fx.d->ops->pread(fx.d, fx.fd, got, 10, 0), 4);
	assert_memory_equal(got, "0123", 4);
	tear_down(&fx);
}

TEST(disk_fault__every_kind_can_fail)
{
	struct fixture fx;
	struct disk *d;
	char byte;

	set_up(&fx);
	d = fx.d;
	for (enum disk_call call = 0; call < DISK_CALL_COUNT; call++)
		disk_fault_arm(fx.fault, call, 1, EIO, 0, true);
	assert_int_equal(d->ops->open(d, "a", O_RDONLY), -EIO);
	assert_int_equal(d->ops->pread(d, fx.fd, &byte, 1, 0), -EIO);
	assert_int_equal(d->ops->will_read(d, fx.fd, 0, 1), -EIO);
	assert_int_equal(d->ops->pwritev(d, fx.fd, &text, 1, 0), -EIO);
	assert_int_equal(d->ops->pwritev_sync(d, fx.fd, &text, 1, 0), -EIO);
	assert_int_equal(d->ops->sync(d, fx.fd), -EIO);
	assert_int_equal(d->ops->sync_dir(d, "/"), -EIO);
	assert_int_equal(d->ops->sync_all(d, fx.fd), -EIO);
	assert_int_equal(d->ops->truncate(d, fx.fd, 0), -EIO);
	assert_int_equal(d->ops->size(d, fx.fd), -EIO);
	assert_int_equal(d->ops->rename(d, "a", "b"), -EIO);
	assert_int_equal(d->ops->link(d, "a", "b"), -EIO);
	assert_int_equal(d->ops->links(d, fx.fd), -EIO);
	assert_int_equal(d->ops->unlink(d, "a"), -EIO);
	assert_int_equal(d->ops->mkdir(d, "b"), -EIO);
	assert_int_equal(d->ops->rmdir(d, "b"), -EIO);
	assert_int_equal(d->ops->list(d, "/", NULL, NULL), -EIO);
	assert_int_equal(d->ops->lock(d, fx.fd), -EIO);
	assert_int_equal(d->ops->space(d, "/"), -EIO);
	assert_int_equal(d->ops->close(d, fx.fd), -EIO);
	disk_fault_disarm(fx.fault);
	assert_int_equal(d->ops->close(d, fx.fd), -EBADF); /* it had closed */
	for (enum disk_call call = 0; call < DISK_CALL_COUNT; call++)
		assert_true(disk_fault_calls(fx.fault, call) > 0);
	tear_down(&fx);
}

TEST(disk_fault__shortens_some_and_aligned_ones_where_aligned)
{
	static char aligned[8 * 4096];
	struct iovec iov = {aligned, sizeof(aligned)};
	struct fixture fx;
	unsigned whole = 0, cut = 0;

	set_up(&fx);
	disk_fault_shorten(fx.fault, 30, 7);
	for (unsigned i = 0; i < 200; i++) {
		ssize_t got = fx.d->ops->pwritev(fx.d, fx.fd, &iov, 1, 4096);

		assert_true(got > 0);
		assert_int_equal(got % 4096, 0);
		whole += got == sizeof(aligned);
		cut += got < (ssize_t)sizeof(aligned);
		assert_in_range(write_once(&fx), 1, 10);
	}
	assert_in_range(cut, 20, 120);
	assert_int_equal(whole + cut, 200);
	tear_down(&fx);
}

TEST(disk_fault__slow_syncs_take_longer)
{
	struct clock *clock = clock_system();
	struct fixture fx;
	int64_t start_us;

	set_up(&fx);
	disk_fault_slow_sync(fx.fault, 20);
	start_us = clock->now(clock).mono_us;
	assert_int_equal(fx.d->ops->sync(fx.d, fx.fd), 0);
	assert_true(clock->now(clock).mono_us - start_us >= 20000);
	tear_down(&fx);
}

TEST(disk_helpers__a_full_disk_is_not_a_broken_one)
{
	struct fixture fx;
	struct fault f;

	set_up(&fx);
	disk_fault_arm(fx.fault, DISK_PWRITEV, 1, EDQUOT, 0, false);
	assert_int_equal(disk_write_all(fx.d, fx.fd, &text, 1, 0, "d/a", &f), ERR_DISK_FULL);
	assert_string_equal(f.where, "write d/a");
	disk_fault_arm(fx.fault, DISK_SYNC, 1, EIO, 0, false);
	assert_int_equal(disk_sync(fx.d, fx.fd, "d/a", &f), ERR_IO);
	assert_int_equal(f.os_errno, EIO);
	tear_down(&fx);
}

/* Whatever call fails, the old or the new content is there, and success means the new. */
TEST(disk_replace_file__fails_at_every_call_without_harm)
{
	static const enum disk_call calls[] = {DISK_OPEN,  DISK_PWRITEV, DISK_SYNC,
	                                       DISK_CLOSE, DISK_RENAME,  DISK_SYNC_DIR};

	for (unsigned i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		struct fixture fx;
		struct buf content = BUF_INIT(64);
		enum err err;

		set_up(&fx);
		assert_int_equal(disk_replace_file(fx.d, "/", "b", SLICE_LIT("old"), NULL), OK);
		disk_fault_arm(fx.fault, calls[i], 1, EIO, 2, false);
		err = disk_replace_file(fx.d, "/", "b", SLICE_LIT("new!"), NULL);
		assert_int_equal(err, ERR_IO);
		disk_fault_disarm(fx.fault);
		assert_int_equal(disk_read_file(fx.d, "b", &content, NULL), OK);
		assert_true(slice_eq(buf_slice(&content), calls[i] == DISK_SYNC_DIR
		                                                  ? SLICE_LIT("new!")
		                                                  : SLICE_LIT("old")));
		assert_int_equal(fx.d->ops->open(fx.d, "b.tmp", O_RDONLY), -ENOENT);
		buf_fini(&content);
		tear_down(&fx);
	}
}

/* Not every file system has hard links. */
TEST(disk_link__copies_where_it_cannot_link)
{
	static const int cannot[] = {EPERM, EXDEV, EMLINK, EOPNOTSUPP, ENOSYS};
	struct fixture fx;

	set_up(&fx);
	assert_int_equal(write_once(&fx), 10);
	for (unsigned i = 0; i < sizeof(cannot) / sizeof(cannot[0]); i++) {
		struct buf content = BUF_INIT(64);

		disk_fault_arm(fx.fault, DISK_LINK, 1, cannot[i], 0, false);
		assert_int_equal(disk_link(fx.d, "a", "b", 7, NULL), OK);
		assert_int_equal(disk_read_file(fx.d, "b", &content, NULL), OK);
		assert_true(slice_eq(buf_slice(&content), SLICE_LIT("0123456")));
		assert_int_equal(fx.d->ops->links(fx.d, fx.fd), 1);
		assert_int_equal(fx.d->ops->unlink(fx.d, "b"), 0);
		buf_fini(&content);
	}
	disk_fault_arm(fx.fault, DISK_LINK, 1, ENOSPC, 0, false);
	assert_int_equal(disk_link(fx.d, "a", "b", 7, NULL), ERR_DISK_FULL);
	assert_int_equal(disk_link(fx.d, "none", "b", 7, NULL), ERR_NOT_FOUND);
	tear_down(&fx);
}

/* A file that is cut under one of two names is whole under the other, whatever fails. */
TEST(disk_cut__fails_at_every_call_without_harm)
{
	for (enum disk_call call = 0; call < DISK_CALL_COUNT; call++) {
		struct buf one = BUF_INIT(64), other = BUF_INIT(64);
		struct fixture fx;
		enum err err;

		set_up(&fx);
		assert_int_equal(write_once(&fx), 10);
		assert_int_equal(disk_link(fx.d, "a", "b", 10, NULL), OK);
		disk_fault_arm(fx.fault, call, 1, EIO, 2, false);
		err = disk_cut(fx.d, fx.fd, "a", 4, NULL);
		disk_fault_disarm(fx.fault);
		assert_int_equal(disk_read_file(fx.d, "a", &one, NULL), OK);
		assert_int_equal(disk_read_file(fx.d, "b", &other, NULL), OK);
		assert_true(slice_eq(buf_slice(&other), SLICE_LIT("0123456789")));
		assert_int_equal(one.len, err && call != DISK_SYNC_DIR ? 10 : 4);
		buf_fini(&one);
		buf_fini(&other);
		tear_down(&fx);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(disk_fault__the_nth_call_fails_and_only_that),
		cmocka_unit_test(disk_fault__a_sticky_one_fails_until_disarmed),
		cmocka_unit_test(disk_fault__part_of_a_failed_write_is_there),
		cmocka_unit_test(disk_fault__every_kind_can_fail),
		cmocka_unit_test(disk_fault__shortens_some_and_aligned_ones_where_aligned),
		cmocka_unit_test(disk_fault__slow_syncs_take_longer),
		cmocka_unit_test(disk_helpers__a_full_disk_is_not_a_broken_one),
		cmocka_unit_test(disk_link__copies_where_it_cannot_link),
		cmocka_unit_test(disk_cut__fails_at_every_call_without_harm),
		cmocka_unit_test(disk_replace_file__fails_at_every_call_without_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
