#include "io/disk.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COPY_BYTES = 1 << 20 };

typedef ssize_t pwritev_op(struct disk *d, int fd, const struct iovec *iov, int count, int64_t at);

/* `got` is what an op returned: a negative errno. */
static enum err disk_fault(struct fault *f, int64_t got, const char *what, const char *path)
{
	int os_errno = (int)-got;
	bool full = os_errno == ENOSPC || os_errno == EDQUOT;

	return fault_set(f, full ? ERR_DISK_FULL : ERR_IO, os_errno, "%s %s", what, path);
}

enum err disk_open(struct disk *d, const char *path, int flags, int *fd, struct fault *f)
{
	int got = d->ops->open(d, path, flags);

	if (got < 0)
		return disk_fault(f, got, flags & O_CREAT ? "create" : "open", path);
	*fd = got;
	return OK;
}

/* After a short count the rest of that one vector is written alone, so `iov` need not be copied. */
static enum err write_all(struct disk *d, pwritev_op *op, int fd, const struct iovec *iov,
                          int count, int64_t at, const char *path, struct fault *f)
{
	size_t skip = 0; /* bytes of iov[0] that are written */

	while (count > 0) {
		struct iovec rest = {(char *)iov->iov_base + skip, iov->iov_len - skip};
		ssize_t got = skip == 0 ? op(d, fd, iov, count < IOV_MAX ? count : IOV_MAX, at)
		                        : op(d, fd, &rest, 1, at);

		if (got < 0)
			return disk_fault(f, got, "write", path);
		at += got;
		skip += (size_t)got;
		while (count > 0 && skip >= iov->iov_len) {
			skip -= iov->iov_len;
			iov++;
			count--;
		}
		if (got == 0 && count > 0)
			return disk_fault(f, -EIO, "write", path);
	}
	return OK;
}

enum err disk_write_all(struct disk *d, int fd, const struct iovec *iov, int count, int64_t at,
                        const char *path, struct fault *f)
{
	return write_all(d, d->ops->pwritev, fd, iov, count, at, path, f);
}

enum err disk_write_all_sync(struct disk *d, int fd, const struct iovec *iov, int count, int64_t at,
                             const char *path, struct fault *f)
{
	return write_all(d, d->ops->pwritev_sync, fd, iov, count, at, path, f);
}

enum err disk_read_all(struct disk *d, int fd, void *into, size_t len, int64_t at, const char *path,
                       struct fault *f)
{
	size_t done = 0;

	while (done < len) {
		ssize_t got =
			d->ops->pread(d, fd, (char *)into + done, len - done, at + (int64_t)done);

		if (got < 0)
			return disk_fault(f, got, "read", path);
		if (got == 0)
			return fault_set(f, ERR_CORRUPT, 0, "%s ends at %lld, %zu bytes early",
			                 path, (long long)at + (long long)done, len - done);
		done += (size_t)got;
	}
	return OK;
}

enum err disk_sync(struct disk *d, int fd, const char *path, struct fault *f)
{
	int got = d->ops->sync(d, fd);

	return got < 0 ? disk_fault(f, got, "sync", path) : OK;
}

enum err disk_sync_dir(struct disk *d, const char *path, struct fault *f)
{
	int got = d->ops->sync_dir(d, path);

	return got < 0 ? disk_fault(f, got, "sync directory", path) : OK;
}

enum err disk_rename(struct disk *d, const char *from, const char *to, struct fault *f)
{
	int got = d->ops->rename(d, from, to);

	return got < 0 ? disk_fault(f, got, "rename to", to) : OK;
}

enum err disk_sync_all(struct disk *d, int fd, const char *path, struct fault *f)
{
	int got = d->ops->sync_all(d, fd);

	return got < 0 ? disk_fault(f, got, "sync the file system of", path) : OK;
}

enum err disk_make_dir(struct disk *d, const char *path, struct fault *f)
{
	int got = d->ops->mkdir(d, path);

	return got < 0 && got != -EEXIST ? disk_fault(f, got, "make directory", path) : OK;
}

static enum err write_new_file(struct disk *d, const char *path, struct slice bytes,
                               struct fault *f)
{
	struct iovec iov = {(void *)(uintptr_t)bytes.ptr, bytes.len};
	int fd = d->ops->open(d, path, O_WRONLY | O_CREAT | O_TRUNC);
	enum err err = OK;
	int closed;

	if (fd < 0)
		return disk_fault(f, fd, "create", path);
	if (bytes.len > 0)
		err = disk_write_all(d, fd, &iov, 1, 0, path, f);
	if (!err)
		err = disk_sync(d, fd, path, f);
	closed = d->ops->close(d, fd);
	if (!err && closed < 0)
		err = disk_fault(f, closed, "close", path);
	return err;
}

enum err disk_replace_file(struct disk *d, const char *dir, const char *name, struct slice bytes,
                           struct fault *f)
{
	char path[PATH_MAX], tmp[PATH_MAX];
	enum err err;

	if (snprintf(tmp, sizeof(tmp), "%s/%s.tmp", dir, name) >= (int)sizeof(tmp))
		return disk_fault(f, -ENAMETOOLONG, "create", name);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	err = write_new_file(d, tmp, bytes, f);
	if (err)
		goto unlink_tmp;
	err = disk_rename(d, tmp, path, f);
	if (err)
		goto unlink_tmp;
	return disk_sync_dir(d, dir, f);

unlink_tmp:
	d->ops->unlink(d, tmp);
	return err;
}

enum err disk_read_file(struct disk *d, const char *path, struct buf *into, struct fault *f)
{
	int fd = d->ops->open(d, path, O_RDONLY);
	enum err err = OK;
	int64_t size;

	if (fd == -ENOENT)
		return fault_set(f, ERR_NOT_FOUND, ENOENT, "open %s", path);
	if (fd < 0)
		return disk_fault(f, fd, "open", path);
	size = d->ops->size(d, fd);
	if (size < 0)
		err = disk_fault(f, size, "measure", path);
	else if (!buf_reserve(into, (size_t)size))
		err = fault_set(f, buf_err(into), 0, "%s has %lld bytes; at most %zu", path,
		                (long long)size, into->limit);
	else
		err = disk_read_all(d, fd, into->ptr + into->len, (size_t)size, 0, path, f);
	if (!err)
		into->len += (size_t)size;
	d->ops->close(d, fd);
	return err;
}

/* --- whole files ------------------------------------------------------------------------------ */

enum err disk_copy(struct disk *d, int from, int to, int64_t at, int64_t len, const char *path,
                   struct fault *f)
{
	uint8_t *buffer = malloc(COPY_BYTES);
	enum err err = OK;

	if (!buffer)
		return fault_set(f, ERR_NO_MEMORY, 0, "copy %s", path);
	for (int64_t done = 0; done < len && !err;) {
		size_t part = len - done < COPY_BYTES ? (size_t)(len - done) : COPY_BYTES;
		struct iovec iov = {buffer, part};

		err = disk_read_all(d, from, buffer, part, at + done, path, f);
		if (!err)
			err = disk_write_all(d, to, &iov, 1, done, path, f);
		done += (int64_t)part;
	}
	free(buffer);
	return err ? err : disk_sync(d, to, path, f);
}

static enum err copy_start(struct disk *d, int from, int64_t len, const char *to, struct fault *f)
{
	enum err err;
	int fd, closed;

	err = disk_open(d, to, O_WRONLY | O_CREAT | O_TRUNC, &fd, f);
	if (err)
		return err;
	err = disk_copy(d, from, fd, 0, len, to, f);
	closed = d->ops->close(d, fd);
	if (!err && closed < 0)
		err = disk_fault(f, closed, "close", to);
	return err;
}

static bool cannot_link(int got)
{
	return got == -EPERM || got == -EXDEV || got == -EMLINK || got == -EOPNOTSUPP ||
	       got == -ENOSYS;
}

enum err disk_link(struct disk *d, const char *from, const char *to, int64_t len, struct fault *f)
{
	int got = d->ops->link(d, from, to);
	int64_t size;
	enum err err;
	int fd;

	if (got >= 0)
		return OK;
	fd = cannot_link(got) ? d->ops->open(d, from, O_RDONLY) : got;
	if (fd == -ENOENT)
		return fault_set(f, ERR_NOT_FOUND, ENOENT, "link %s", from);
	if (fd < 0)
		return disk_fault(f, fd, "link", to);
	size = d->ops->size(d, fd);
	err = size < 0 ? disk_fault(f, size, "measure", from)
	               : copy_start(d, fd, len < size ? len : size, to, f);
	d->ops->close(d, fd);
	return err;
}

static enum err sync_parent(struct disk *d, const char *path, struct fault *f)
{
	const char *slash = strrchr(path, '/');
	char parent[PATH_MAX];

	if (!slash)
		return disk_sync_dir(d, ".", f);
	snprintf(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	return disk_sync_dir(d, parent, f);
}

static enum err replace_by_start(struct disk *d, int fd, const char *path, int64_t len,
                                 struct fault *f)
{
	char tmp[PATH_MAX];
	enum err err;

	if (snprintf(tmp, sizeof(tmp), "%s.tmp", path) >= (int)sizeof(tmp))
		return disk_fault(f, -ENAMETOOLONG, "create", path);
	err = copy_start(d, fd, len, tmp, f);
	if (!err)
		err = disk_rename(d, tmp, path, f);
	if (err)
		d->ops->unlink(d, tmp);
	return err ? err : sync_parent(d, path, f);
}

enum err disk_cut(struct disk *d, int fd, const char *path, int64_t len, struct fault *f)
{
	int got = d->ops->links(d, fd);

	if (got < 0)
		return disk_fault(f, got, "count names of", path);
	if (got > 1)
		return replace_by_start(d, fd, path, len, f);
	got = d->ops->truncate(d, fd, len);
	return got < 0 ? disk_fault(f, got, "truncate", path) : disk_sync(d, fd, path, f);
}

struct removal {
	struct disk *d;
	size_t len; /* of `path` */
	char path[PATH_MAX];
};

static int remove_all(struct removal *r);

static int remove_entry(void *arg, const char *name)
{
	struct removal *r = arg;
	size_t before = r->len, room = sizeof(r->path) - before;
	int len = snprintf(r->path + before, room, "/%s", name);
	int got = -ENAMETOOLONG;

	if ((size_t)len < room) {
		r->len += (size_t)len;
		got = remove_all(r);
	}
	r->len = before;
	r->path[before] = '\0';
	return got == -ENOENT ? 0 : got; /* somebody else removed it */
}

static int remove_all(struct removal *r)
{
	int got = r->d->ops->unlink(r->d, r->path);

	if (got != -EISDIR)
		return got;
	got = r->d->ops->list(r->d, r->path, remove_entry, r);
	return got < 0 ? got : r->d->ops->rmdir(r->d, r->path);
}

enum err disk_remove_tree(struct disk *d, const char *path, struct fault *f)
{
	struct removal r = {.d = d};
	int len = snprintf(r.path, sizeof(r.path), "%s", path);
	int got = -ENAMETOOLONG;

	if ((size_t)len < sizeof(r.path)) {
		r.len = (size_t)len;
		got = remove_all(&r);
	}
	if (got == -ENOMEM) /* of ours, to list */
		return fault_set(f, ERR_NO_MEMORY, 0, "remove %s", path);
	return got < 0 && got != -ENOENT ? disk_fault(f, got, "remove", path) : OK;
}
