#include "io/testing/disk_trace.h"

#include "base/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct disk_trace *trace_of(struct disk *d)
{
	return CONTAINER_OF(d, struct disk_trace, base);
}

static struct disk *inner(struct disk *d)
{
	return trace_of(d)->inner;
}

/* --- writing down ---------------------------------------------------------------------------- */

static struct disk *enter(struct disk *d)
{
	pthread_mutex_lock(&trace_of(d)->mutex);
	return inner(d);
}

static int64_t leave(struct disk *d, int64_t got)
{
	pthread_mutex_unlock(&trace_of(d)->mutex);
	return got;
}

/* Valid until the next. */
static struct trace_step *add(struct disk_trace *t, int call)
{
	if (t->count == t->cap) {
		t->cap = t->cap ? 2 * t->cap : 256;
		t->steps = realloc(t->steps, t->cap * sizeof(*t->steps));
		CHECK(t->steps);
	}
	t->steps[t->count] = (struct trace_step){.call = call, .fd = -1};
	return &t->steps[t->count++];
}

static char *copy_text(const char *text)
{
	char *copy = strdup(text);

	CHECK(copy);
	return copy;
}

static int64_t leave_path(struct disk *d, int call, const char *path, int64_t got)
{
	if (got >= 0)
		add(trace_of(d), call)->path = copy_text(path);
	return leave(d, got);
}

static int64_t leave_fd(struct disk *d, int call, int fd, int64_t got)
{
	if (got >= 0)
		add(trace_of(d), call)->fd = fd;
	return leave(d, got);
}

static void add_write(struct disk_trace *t, int fd, const struct iovec *iov, int64_t at, size_t len)
{
	struct trace_step *s = add(t, DISK_PWRITEV);
	size_t done = 0;

	s->fd = fd;
	s->at = at;
	s->len = len;
	s->bytes = malloc(len);
	CHECK(s->bytes);
	for (; done < len; iov++) {
		size_t part = iov->iov_len < len - done ? iov->iov_len : len - done;

		memcpy(s->bytes + done, iov->iov_base, part);
		done += part;
	}
}

static void add_range_sync(struct disk_trace *t, int fd, int64_t at, size_t len)
{
	struct trace_step *s = add(t, DISK_PWRITEV_SYNC);

	s->fd = fd;
	s->at = at;
	s->len = len;
}

/* --- the table ------------------------------------------------------------------------------- */

static int trace_open(struct disk *d, const char *path, int flags)
{
	struct disk *to = enter(d);
	int fd = to->ops->open(to, path, flags);

	CHECK(!(flags & (O_DSYNC | O_APPEND))); /* not understood by disk_states */
	if (fd >= 0) {
		struct trace_step *s = add(trace_of(d), DISK_OPEN);

		s->fd = fd;
		s->flags = flags;
		s->path = copy_text(path);
	}
	return (int)leave(d, fd);
}

static int trace_close(struct disk *d, int fd)
{
	struct disk *to = enter(d);

	return (int)leave_fd(d, DISK_CLOSE, fd, to->ops->close(to, fd));
}

static ssize_t trace_pread(struct disk *d, int fd, void *into, size_t len, int64_t at)
{
	return inner(d)->ops->pread(inner(d), fd, into, len, at);
}

static int trace_will_read(struct disk *d, int fd, int64_t at, int64_t len)
{
	return inner(d)->ops->will_read(inner(d), fd, at, len);
}

static ssize_t trace_pwritev(struct disk *d, int fd, const struct iovec *iov, int count, int64_t at)
{
	struct disk *to = enter(d);
	ssize_t got = to->ops->pwritev(to, fd, iov, count, at);

	if (got > 0)
		add_write(trace_of(d), fd, iov, at, (size_t)got);
	return leave(d, got);
}

static ssize_t trace_pwritev_sync(struct disk *d, int fd, const struct iovec *iov, int count,
                                  int64_t at)
{
	struct disk *to = enter(d);
	ssize_t got = to->ops->pwritev_sync(to, fd, iov, count, at);

	if (got > 0) {
		add_write(trace_of(d), fd, iov, at, (size_t)got);
		add_range_sync(trace_of(d), fd, at, (size_t)got);
	}
	return leave(d, got);
}

static int trace_sync(struct disk *d, int fd)
{
	struct disk *to = enter(d);

	return (int)leave_fd(d, DISK_SYNC, fd, to->ops->sync(to, fd));
}

static int trace_sync_dir(struct disk *d, const char *path)
{
	struct disk *to = enter(d);

	return (int)leave_path(d, DISK_SYNC_DIR, path, to->ops->sync_dir(to, path));
}

static int trace_sync_all(struct disk *d, int fd)
{
	struct disk *to = enter(d);

	return (int)leave_fd(d, DISK_SYNC_ALL, fd, to->ops->sync_all(to, fd));
}

static int trace_truncate(struct disk *d, int fd, int64_t len)
{
	struct disk *to = enter(d);
	int got = to->ops->truncate(to, fd, len);

	if (got >= 0) {
		struct trace_step *s = add(trace_of(d), DISK_TRUNCATE);

		s->fd = fd;
		s->at = len;
	}
	return (int)leave(d, got);
}

static int64_t trace_size(struct disk *d, int fd)
{
	return inner(d)->ops->size(inner(d), fd);
}

static int leave_names(struct disk *d, int call, const char *from, const char *to, int got)
{
	if (got >= 0) {
		struct trace_step *s = add(trace_of(d), call);

		s->path = copy_text(from);
		s->to = copy_text(to);
	}
	return (int)leave(d, got);
}

static int trace_rename(struct disk *d, const char *from, const char *to_path)
{
	struct disk *to = enter(d);

	return leave_names(d, DISK_RENAME, from, to_path, to->ops->rename(to, from, to_path));
}

static int trace_link(struct disk *d, const char *from, const char *to_path)
{
	struct disk *to = enter(d);

	return leave_names(d, DISK_LINK, from, to_path, to->ops->link(to, from, to_path));
}

static int trace_links(struct disk *d, int fd)
{
	return inner(d)->ops->links(inner(d), fd);
}

static int trace_unlink(struct disk *d, const char *path)
{
	struct disk *to = enter(d);

	return (int)leave_path(d, DISK_UNLINK, path, to->ops->unlink(to, path));
}

static int trace_mkdir(struct disk *d, const char *path)
{
	struct disk *to = enter(d);

	return (int)leave_path(d, DISK_MKDIR, path, to->ops->mkdir(to, path));
}

static int trace_rmdir(struct disk *d, const char *path)
{
	struct disk *to = enter(d);

	return (int)leave_path(d, DISK_RMDIR, path, to->ops->rmdir(to, path));
}

static int trace_list(struct disk *d, const char *path, disk_list_cb *each, void *arg)
{
	return inner(d)->ops->list(inner(d), path, each, arg);
}

static int trace_lock(struct disk *d, int fd)
{
	return inner(d)->ops->lock(inner(d), fd);
}

static int64_t trace_space(struct disk *d, const char *path)
{
	return inner(d)->ops->space(inner(d), path);
}

/* --- life ------------------------------------------------------------------------------------ */

void disk_trace_init(struct disk_trace *t, struct disk *inner_disk)
{
	static const struct disk_ops ops = {
		.open = trace_open,
		.close = trace_close,
		.pread = trace_pread,
		.will_read = trace_will_read,
		.pwritev = trace_pwritev,
		.pwritev_sync = trace_pwritev_sync,
		.sync = trace_sync,
		.sync_dir = trace_sync_dir,
		.sync_all = trace_sync_all,
		.truncate = trace_truncate,
		.size = trace_size,
		.rename = trace_rename,
		.link = trace_link,
		.links = trace_links,
		.unlink = trace_unlink,
		.mkdir = trace_mkdir,
		.rmdir = trace_rmdir,
		.list = trace_list,
		.lock = trace_lock,
		.space = trace_space,
	};

	*t = (struct disk_trace){.base = {&ops}, .inner = inner_disk};
	pthread_mutex_init(&t->mutex, NULL);
}

void disk_trace_fini(struct disk_trace *t)
{
	for (size_t i = 0; i < t->count; i++) {
		free(t->steps[i].bytes);
		free(t->steps[i].path);
		free(t->steps[i].to);
	}
	free(t->steps);
	pthread_mutex_destroy(&t->mutex);
}

void disk_trace_mark(struct disk_trace *t)
{
	pthread_mutex_lock(&t->mutex);
	add(t, TRACE_MARK);
	pthread_mutex_unlock(&t->mutex);
}

const char *trace_step_text(const struct trace_step *s, char *into, size_t cap)
{
	static const char *const names[] = {
		[DISK_OPEN] = "open",         [DISK_CLOSE] = "close",
		[DISK_PWRITEV] = "pwritev",   [DISK_PWRITEV_SYNC] = "range sync",
		[DISK_SYNC] = "sync",         [DISK_SYNC_DIR] = "sync dir",
		[DISK_TRUNCATE] = "truncate", [DISK_RENAME] = "rename",
		[DISK_LINK] = "link",         [DISK_UNLINK] = "unlink",
		[DISK_MKDIR] = "mkdir",       [DISK_RMDIR] = "rmdir",
		[DISK_SYNC_ALL] = "sync all", [TRACE_MARK] = "mark",
	};

	snprintf(into, cap, "%s fd %d at %lld, %zu bytes %s%s%s", names[s->call], s->fd,
	         (long long)s->at, s->len, s->path ? s->path : "", s->to ? " to " : "",
	         s->to ? s->to : "");
	return into;
}
