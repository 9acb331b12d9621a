/* The table over the system. */
#include "io/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { HINT_BYTES = 256 << 10 };

/* `expr` again while a signal cuts it off; a failure as -errno. */
#define RETRY(expr)                                                                                \
	({                                                                                         \
		int64_t got_;                                                                      \
		do {                                                                               \
			got_ = (expr);                                                             \
		} while (got_ < 0 && errno == EINTR);                                              \
		got_ < 0 ? -errno : got_;                                                          \
	})

static int real_open(struct disk *d __attribute__((unused)), const char *path, int flags)
{
	return (int)RETRY(open(path, flags | O_CLOEXEC, 0600));
}

/* Not retried: on Linux the descriptor is gone after EINTR too. */
static int real_close(struct disk *d __attribute__((unused)), int fd)
{
	return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

static ssize_t real_pread(struct disk *d __attribute__((unused)), int fd, void *into, size_t len,
                          int64_t at)
{
	return (ssize_t)RETRY(pread(fd, into, len, at));
}

/* The kernel takes no more of one hint than the device takes in one request, or than it reads ahead
 * by itself, and forgets the rest: so it is told in pieces that are small enough. */
static int real_will_read(struct disk *d __attribute__((unused)), int fd, int64_t at, int64_t len)
{
	int got = 0;

	for (int64_t end = at + len; got == 0 && at < end; at += HINT_BYTES)
		got = -posix_fadvise(fd, at, HINT_BYTES, POSIX_FADV_WILLNEED);
	return got;
}

static ssize_t real_pwritev(struct disk *d __attribute__((unused)), int fd, const struct iovec *iov,
                            int count, int64_t at)
{
	return (ssize_t)RETRY(pwritev(fd, iov, count, at));
}

static int real_sync(struct disk *d __attribute__((unused)), int fd)
{
	return (int)RETRY(fdatasync(fd));
}

static ssize_t real_pwritev_sync(struct disk *d, int fd, const struct iovec *iov, int count,
                                 int64_t at)
{
	int64_t got = RETRY(pwritev2(fd, iov, count, at, RWF_DSYNC));
	int synced;

	if (got != -EOPNOTSUPP && got != -ENOSYS)
		return (ssize_t)got;
	got = real_pwritev(d, fd, iov, count, at);
	synced = got < 0 ? 0 : real_sync(d, fd);
	return synced < 0 ? synced : (ssize_t)got;
}

static int real_sync_dir(struct disk *d, const char *path)
{
	int fd = real_open(d, path, O_RDONLY | O_DIRECTORY);
	int got;

	if (fd < 0)
		return fd;
	got = (int)RETRY(fsync(fd));
	real_close(d, fd);
	return got;
}

static int real_sync_all(struct disk *d __attribute__((unused)), int fd)
{
	return (int)RETRY(syncfs(fd));
}

static int real_truncate(struct disk *d __attribute__((unused)), int fd, int64_t len)
{
	return (int)RETRY(ftruncate(fd, len));
}

static int64_t real_size(struct disk *d __attribute__((unused)), int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -errno : st.st_size;
}

static int real_rename(struct disk *d __attribute__((unused)), const char *from, const char *to)
{
	return (int)RETRY(rename(from, to));
}

static int real_link(struct disk *d __attribute__((unused)), const char *from, const char *to)
{
	return (int)RETRY(link(from, to));
}

static int real_links(struct disk *d __attribute__((unused)), int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? -errno : (int)st.st_nlink;
}

static int real_unlink(struct disk *d __attribute__((unused)), const char *path)
{
	return (int)RETRY(unlink(path));
}

static int real_mkdir(struct disk *d __attribute__((unused)), const char *path)
{
	return (int)RETRY(mkdir(path, 0700));
}

static int real_rmdir(struct disk *d __attribute__((unused)), const char *path)
{
	return (int)RETRY(rmdir(path));
}

static int real_list(struct disk *d __attribute__((unused)), const char *path, disk_list_cb *each,
                     void *arg)
{
	DIR *dir = opendir(path);
	struct dirent *entry;
	int got = 0;

	if (!dir)
		return -errno;
	while (got >= 0 && (errno = 0, entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			got = each(arg, entry->d_name);
	}
	if (got >= 0)
		got = -errno;
	closedir(dir);
	return got;
}

static int real_lock(struct disk *d __attribute__((unused)), int fd)
{
	return (int)RETRY(flock(fd, LOCK_EX | LOCK_NB));
}

static int64_t real_space(struct disk *d __attribute__((unused)), const char *path)
{
	struct statvfs fs;
	int64_t got = RETRY(statvfs(path, &fs));

	return got < 0 ? got : (int64_t)(fs.f_bavail * fs.f_frsize);
}

struct disk *disk_real(void)
{
	static const struct disk_ops ops = {
		.open = real_open,
		.close = real_close,
		.pread = real_pread,
		.will_read = real_will_read,
		.pwritev = real_pwritev,
		.pwritev_sync = real_pwritev_sync,
		.sync = real_sync,
		.sync_dir = real_sync_dir,
		.sync_all = real_sync_all,
		.truncate = real_truncate,
		.size = real_size,
		.rename = real_rename,
		.link = real_link,
		.links = real_links,
		.unlink = real_unlink,
		.mkdir = real_mkdir,
		.rmdir = real_rmdir,
		.list = real_list,
		.lock = real_lock,
		.space = real_space,
	};
	static struct disk real = {.ops = &ops};

	return &real;
}
