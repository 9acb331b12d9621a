/* The contract of the table, run over each implementation. */
#include "io/disk.h"

#include "base/check.h"
#include "base/test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
	struct disk *d;
	struct disk_sim *sim;     /* NULL: the system's disk is below */
	struct disk_fault *fault; /* NULL: nothing is in between */
	char dir[64];
	char paths[2][96];
};

static const char *path(struct fixture *fx, unsigned slot, const char *name)
{
	snprintf(fx->paths[slot], sizeof(fx->paths[slot]), "%s/%s", fx->dir, name);
	return fx->paths[slot];
}

static struct iovec vec(const char *text)
{
	return (struct iovec){(void *)(uintptr_t)text, strlen(text)};
}

static int open_file(struct fixture *fx, const char *name, int flags)
{
	return fx->d->ops->open(fx->d, path(fx, 0, name), flags);
}

static void close_file(struct fixture *fx, int fd)
{
	assert_int_equal(fx->d->ops->close(fx->d, fd), 0);
}

static void write_text(struct fixture *fx, int fd, const char *text, int64_t at)
{
	struct iovec iov = vec(text);

	assert_int_equal(disk_write_all(fx->d, fd, &iov, 1, at, "test", NULL), OK);
}

static void make_file(struct fixture *fx, const char *name, const char *text)
{
	int fd = open_file(fx, name, O_RDWR | O_CREAT | O_EXCL);

	assert_true(fd >= 0);
	write_text(fx, fd, text, 0);
	close_file(fx, fd);
}

static void expect_file(struct fixture *fx, const char *name, const char *text)
{
	struct buf content = BUF_INIT(1 << 20);

	assert_int_equal(disk_read_file(fx->d, path(fx, 0, name), &content, NULL), OK);
	assert_int_equal(content.len, strlen(text));
	assert_memory_equal(content.ptr ? content.ptr : (uint8_t *)"", text, content.len);
	buf_fini(&content);
}

static void remove_file(struct fixture *fx, const char *name)
{
	assert_int_equal(fx->d->ops->unlink(fx->d, path(fx, 0, name)), 0);
}

static void contract_open_flags(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(open_file(fx, "a", O_RDONLY), -ENOENT);
	make_file(fx, "a", "hello");
	assert_int_equal(open_file(fx, "a", O_RDWR | O_CREAT | O_EXCL), -EEXIST);
	close_file(fx, open_file(fx, "a", O_RDWR | O_CREAT));
	expect_file(fx, "a", "hello");
	close_file(fx, open_file(fx, "a", O_RDWR | O_TRUNC));
	expect_file(fx, "a", "");
	assert_int_equal(open_file(fx, "none/a", O_RDWR | O_CREAT), -ENOENT);
	assert_int_equal(open_file(fx, "a/b", O_RDONLY), -ENOTDIR);
	remove_file(fx, "a");
}

static void contract_descriptors(void **state)
{
	struct fixture *fx = *state;
	struct iovec iov = vec("x");
	char byte;
	int fd;

	make_file(fx, "a", "hello");
	fd = open_file(fx, "a", O_RDONLY);
	assert_int_equal(fx->d->ops->pwritev(fx->d, fd, &iov, 1, 0), -EBADF);
	close_file(fx, fd);
	assert_int_equal(fx->d->ops->pread(fx->d, fd, &byte, 1, 0), -EBADF);
	assert_int_equal(fx->d->ops->close(fx->d, fd), -EBADF);
	remove_file(fx, "a");
}

static void contract_holes_are_zeros(void **state)
{
	struct fixture *fx = *state;
	static const char zeros[9000];
	char got[9003];
	int fd = open_file(fx, "a", O_RDWR | O_CREAT);

	write_text(fx, fd, "end", 9000);
	assert_int_equal(fx->d->ops->size(fx->d, fd), 9003);
	assert_int_equal(disk_read_all(fx->d, fd, got, sizeof(got), 0, "a", NULL), OK);
	assert_memory_equal(got, zeros, 9000);
	assert_memory_equal(got + 9000, "end", 3);
	close_file(fx, fd);
	remove_file(fx, "a");
}

static void contract_truncate(void **state)
{
	struct fixture *fx = *state;
	static const char zeros[9995];
	char got[10000];
	int fd = open_file(fx, "a", O_RDWR | O_CREAT);

	write_text(fx, fd, "0123456789", 0);
	write_text(fx, fd, "x", 5000);
	assert_int_equal(fx->d->ops->truncate(fx->d, fd, 5), 0);
	assert_int_equal(fx->d->ops->size(fx->d, fd), 5);
	assert_int_equal(fx->d->ops->truncate(fx->d, fd, 10000), 0);
	assert_int_equal(disk_read_all(fx->d, fd, got, sizeof(got), 0, "a", NULL), OK);
	assert_memory_equal(got, "01234", 5);
	assert_memory_equal(got + 5, zeros,
	                    sizeof(zeros)); /* what was cut off does not come back */
	close_file(fx, fd);
	remove_file(fx, "a");
}

static void contract_many_vectors(void **state)
{
	struct fixture *fx = *state;
	enum { COUNT = 3000, EACH = 7 }; /* more vectors than one call takes */
	struct iovec *iov = calloc(COUNT, sizeof(*iov));
	char *bytes = malloc(COUNT * EACH), *got = malloc(COUNT * EACH);
	int fd = open_file(fx, "a", O_RDWR | O_CREAT);
	size_t len = 0;
	enum err (*const writes[])(struct disk *, int, const struct iovec *, int, int64_t,
	                           const char *,
	                           struct fault *) = {disk_write_all, disk_write_all_sync};

	for (int i = 0; i < COUNT * EACH; i++)
		bytes[i] = (char)(i * 31 + i / 256);
	for (int i = 0; i < COUNT; i++) {
		iov[i] = (struct iovec){bytes + len, i % 5 ? EACH : 0};
		len += iov[i].iov_len;
	}
	for (unsigned i = 0; i < ARRAY_COUNT(writes); i++) {
		assert_int_equal(writes[i](fx->d, fd, iov, COUNT, 11, "a", NULL), OK);
		assert_int_equal(fx->d->ops->size(fx->d, fd), 11 + len);
		assert_int_equal(disk_read_all(fx->d, fd, got, len, 11, "a", NULL), OK);
		assert_memory_equal(got, bytes, len);
		assert_int_equal(fx->d->ops->truncate(fx->d, fd, 0), 0);
	}
	close_file(fx, fd);
	remove_file(fx, "a");
	free(iov);
	free(bytes);
	free(got);
}

static void contract_end_of_file(void **state)
{
	struct fixture *fx = *state;
	struct fault f;
	char got[10];
	int fd;

	make_file(fx, "a", "hello");
	fd = open_file(fx, "a", O_RDONLY);
	assert_int_equal(fx->d->ops->pread(fx->d, fd, got, 10, 5), 0);
	assert_int_equal(disk_read_all(fx->d, fd, got, 10, 0, "a", &f), ERR_CORRUPT);
	assert_string_equal(f.where, "a ends at 5, 5 bytes early");
	close_file(fx, fd);
	remove_file(fx, "a");
}

static void contract_rename(void **state)
{
	struct fixture *fx = *state;
	struct disk *d = fx->d;

	make_file(fx, "a", "new");
	make_file(fx, "b", "old");
	assert_int_equal(d->ops->rename(d, path(fx, 0, "a"), path(fx, 1, "b")), 0);
	expect_file(fx, "b", "new");
	assert_int_equal(open_file(fx, "a", O_RDONLY), -ENOENT);
	assert_int_equal(d->ops->rename(d, path(fx, 0, "a"), path(fx, 1, "b")), -ENOENT);
	assert_int_equal(d->ops->rename(d, path(fx, 0, "b"), path(fx, 1, "b")), 0);
	expect_file(fx, "b", "new");
	remove_file(fx, "b");
}

static void contract_unlinked_while_open(void **state)
{
	struct fixture *fx = *state;
	char got[5];
	int fd;

	make_file(fx, "a", "hello");
	fd = open_file(fx, "a", O_RDWR);
	remove_file(fx, "a");
	make_file(fx, "a", "other");
	assert_int_equal(disk_read_all(fx->d, fd, got, 5, 0, "a", NULL), OK);
	assert_memory_equal(got, "hello", 5);
	close_file(fx, fd);
	expect_file(fx, "a", "other");
	remove_file(fx, "a");
	assert_int_equal(fx->d->ops->unlink(fx->d, path(fx, 0, "a")), -ENOENT);
}

static int count_name(void *arg, const char *name)
{
	unsigned *seen = arg;

	assert_true(strlen(name) == 1 && name[0] >= 'a' && name[0] <= 'c');
	seen[name[0] - 'a']++;
	return 0;
}

static int stop_listing(void *arg, const char *name __attribute__((unused)))
{
	++*(unsigned *)arg;
	return -ECANCELED;
}

static void contract_directories(void **state)
{
	struct fixture *fx = *state;
	struct disk *d = fx->d;
	unsigned seen[3] = {0}, calls = 0;

	assert_int_equal(disk_make_dir(d, path(fx, 0, "c"), NULL), OK);
	assert_int_equal(disk_make_dir(d, path(fx, 0, "c"), NULL), OK);
	assert_int_equal(d->ops->mkdir(d, path(fx, 0, "c")), -EEXIST);
	make_file(fx, "a", "");
	make_file(fx, "c/a", "");
	assert_int_equal(d->ops->list(d, fx->dir, count_name, seen), 0);
	assert_true(seen[0] == 1 && seen[1] == 0 && seen[2] == 1);
	assert_int_equal(d->ops->list(d, fx->dir, stop_listing, &calls), -ECANCELED);
	assert_int_equal(calls, 1);
	assert_int_equal(d->ops->list(d, path(fx, 0, "none"), stop_listing, &calls), -ENOENT);
	assert_int_equal(d->ops->list(d, path(fx, 0, "a"), stop_listing, &calls), -ENOTDIR);
	assert_int_equal(d->ops->rmdir(d, path(fx, 0, "c")), -ENOTEMPTY);
	assert_int_equal(d->ops->unlink(d, path(fx, 0, "c")), -EISDIR);
	assert_int_equal(d->ops->rmdir(d, path(fx, 0, "a")), -ENOTDIR);
	assert_int_equal(d->ops->sync_dir(d, path(fx, 0, "c")), 0);
	assert_int_equal(d->ops->sync_dir(d, path(fx, 0, "none")), -ENOENT);
	assert_int_equal(d->ops->sync_all(d, -1), -EBADF);
	assert_int_equal(d->ops->will_read(d, -1, 0, 1), -EBADF);
	remove_file(fx, "c/a");
	assert_int_equal(d->ops->rmdir(d, path(fx, 0, "c")), 0);
	assert_int_equal(d->ops->rmdir(d, path(fx, 0, "c")), -ENOENT);
	remove_file(fx, "a");
}

static void contract_lock(void **state)
{
	struct fixture *fx = *state;
	int first, second;

	make_file(fx, "a", "");
	first = open_file(fx, "a", O_RDWR);
	second = open_file(fx, "a", O_RDWR);
	assert_int_equal(fx->d->ops->lock(fx->d, first), 0);
	assert_int_equal(fx->d->ops->lock(fx->d, first), 0);
	assert_int_equal(fx->d->ops->lock(fx->d, second), -EWOULDBLOCK);
	close_file(fx, first);
	assert_int_equal(fx->d->ops->lock(fx->d, second), 0);
	close_file(fx, second);
	remove_file(fx, "a");
}

static int links_of(struct fixture *fx, const char *name)
{
	int fd = open_file(fx, name, O_RDONLY);
	int links = fx->d->ops->links(fx->d, fd);

	close_file(fx, fd);
	return links;
}

static void contract_link(void **state)
{
	struct fixture *fx = *state;
	struct disk *d = fx->d;
	int fd;

	make_file(fx, "a", "one");
	assert_int_equal(links_of(fx, "a"), 1);
	assert_int_equal(d->ops->link(d, path(fx, 0, "a"), path(fx, 1, "b")), 0);
	assert_int_equal(d->ops->link(d, path(fx, 0, "a"), path(fx, 1, "b")), -EEXIST);
	assert_int_equal(d->ops->link(d, path(fx, 0, "none"), path(fx, 1, "c")), -ENOENT);
	assert_int_equal(d->ops->link(d, fx->dir, path(fx, 1, "c")), -EPERM);
	assert_int_equal(links_of(fx, "b"), 2);
	fd = open_file(fx, "b", O_RDWR);
	write_text(fx, fd, "two", 0);
	close_file(fx, fd);
	expect_file(fx, "a", "two");
	remove_file(fx, "a");
	assert_int_equal(links_of(fx, "b"), 1);
	expect_file(fx, "b", "two");
	remove_file(fx, "b");
}

static void cut_file(struct fixture *fx, const char *name, int64_t len)
{
	int fd = open_file(fx, name, O_RDWR);

	assert_int_equal(disk_cut(fx->d, fd, path(fx, 0, name), len, NULL), OK);
	close_file(fx, fd);
}

static void contract_cut(void **state)
{
	struct fixture *fx = *state;

	make_file(fx, "a", "hello");
	cut_file(fx, "a", 4);
	expect_file(fx, "a", "hell");
	assert_int_equal(disk_link(fx->d, path(fx, 0, "a"), path(fx, 1, "b"), 4, NULL), OK);
	cut_file(fx, "a", 2);
	expect_file(fx, "a", "he");
	expect_file(fx, "b", "hell");
	assert_int_equal(links_of(fx, "b"), 1);
	assert_int_equal(open_file(fx, "a.tmp", O_RDONLY), -ENOENT);
	remove_file(fx, "a");
	remove_file(fx, "b");
}

static void contract_remove_tree(void **state)
{
	struct fixture *fx = *state;
	struct disk *d = fx->d;

	assert_int_equal(disk_make_dir(d, path(fx, 0, "c"), NULL), OK);
	assert_int_equal(disk_make_dir(d, path(fx, 0, "c/c"), NULL), OK);
	make_file(fx, "c/a", "");
	make_file(fx, "c/c/a", "");
	make_file(fx, "a", "");
	assert_int_equal(disk_remove_tree(d, path(fx, 0, "c"), NULL), OK);
	assert_int_equal(d->ops->rmdir(d, path(fx, 0, "c")), -ENOENT);
	assert_int_equal(disk_remove_tree(d, path(fx, 0, "c"), NULL), OK);
	assert_int_equal(disk_remove_tree(d, path(fx, 0, "a"), NULL), OK);
}

static void contract_replace_file(void **state)
{
	struct fixture *fx = *state;
	struct fault f;

	assert_int_equal(disk_replace_file(fx->d, fx->dir, "a", SLICE_LIT("one"), NULL), OK);
	expect_file(fx, "a", "one");
	assert_int_equal(disk_replace_file(fx->d, fx->dir, "a", SLICE_LIT("second"), NULL), OK);
	expect_file(fx, "a", "second");
	assert_int_equal(open_file(fx, "a.tmp", O_RDONLY), -ENOENT);
	assert_int_equal(disk_replace_file(fx->d, "none/x", "a", SLICE_LIT("one"), &f), ERR_IO);
	assert_int_equal(f.os_errno, ENOENT);
	remove_file(fx, "a");
}

static void contract_read_file(void **state)
{
	struct fixture *fx = *state;
	struct buf small = BUF_INIT(4);

	assert_int_equal(disk_read_file(fx->d, path(fx, 0, "a"), &small, NULL), ERR_NOT_FOUND);
	make_file(fx, "a", "hello");
	assert_int_equal(disk_read_file(fx->d, path(fx, 0, "a"), &small, NULL), ERR_TOO_LARGE);
	remove_file(fx, "a");
	buf_fini(&small);
}

static void contract_space(void **state)
{
	struct fixture *fx = *state;

	assert_true(fx->d->ops->space(fx->d, fx->dir) > 0);
	assert_int_equal(fx->d->ops->space(fx->d, path(fx, 0, "none")), -ENOENT);
}

static int set_up_real(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	fx->d = disk_real();
	strcpy(fx->dir, "/tmp/bourn-disk-XXXXXX");
	*state = fx;
	return mkdtemp(fx->dir) ? 0 : -1;
}

static int set_up_sim(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));

	fx->sim = disk_sim_new(1, 1 << 24);
	fx->d = disk_sim_disk(fx->sim);
	strcpy(fx->dir, "dir");
	*state = fx;
	return fx->d->ops->mkdir(fx->d, fx->dir);
}

static void put_fault_between(struct fixture *fx)
{
	fx->fault = disk_fault_new(fx->d);
	fx->d = disk_fault_disk(fx->fault);
	disk_fault_shorten(fx->fault, 30, 5);
}

static int set_up_short_real(void **state)
{
	int got = set_up_real(state);

	put_fault_between(*state);
	return got;
}

static int set_up_short_sim(void **state)
{
	int got = set_up_sim(state);

	put_fault_between(*state);
	return got;
}

static int tear_down(void **state)
{
	struct fixture *fx = *state;
	int got = fx->d->ops->rmdir(fx->d, fx->dir); /* fails when a test left a file */

	if (fx->fault)
		disk_fault_free(fx->fault);
	if (fx->sim)
		disk_sim_free(fx->sim);
	free(fx);
	return got;
}

int main(void)
{
	static const struct CMUnitTest contract[] = {
		cmocka_unit_test(contract_open_flags),
		cmocka_unit_test(contract_descriptors),
		cmocka_unit_test(contract_holes_are_zeros),
		cmocka_unit_test(contract_truncate),
		cmocka_unit_test(contract_many_vectors),
		cmocka_unit_test(contract_end_of_file),
		cmocka_unit_test(contract_rename),
		cmocka_unit_test(contract_unlinked_while_open),
		cmocka_unit_test(contract_directories),
		cmocka_unit_test(contract_lock),
		cmocka_unit_test(contract_link),
		cmocka_unit_test(contract_cut),
		cmocka_unit_test(contract_remove_tree),
		cmocka_unit_test(contract_replace_file),
		cmocka_unit_test(contract_read_file),
		cmocka_unit_test(contract_space),
	};
	int failed = 0;

	failed += cmocka_run_group_tests_name("real", contract, set_up_real, tear_down);
	failed += cmocka_run_group_tests_name("sim", contract, set_up_sim, tear_down);
	failed += cmocka_run_group_tests_name("short on real", contract, set_up_short_real,
	                                      tear_down);
	failed +=
		cmocka_run_group_tests_name("short on sim", contract, set_up_short_sim, tear_down);
	return failed;
}
