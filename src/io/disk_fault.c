/* The table that fails, cuts short or delays calls of another one. */
#include "io/disk.h"

#include "base/check.h"
#include "io/clock.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ALIGNMENT = 4096 }; /* of O_DIRECT */

struct arm {
	unsigned at; /* the count of calls at which it fails; 0: it does not */
	int os_errno;
	size_t partial_bytes;
	bool sticky;
};

struct disk_fault {
	struct disk base;
	struct disk *inner; /* borrowed */
	pthread_mutex_t mutex;
	unsigned calls[DISK_CALL_COUNT]; /* so far */
	struct arm arms[DISK_CALL_COUNT];
	unsigned shorten_percent;
	struct entropy_seeded random;
	unsigned slow_sync_ms;
};

static struct disk_fault *fault_of(struct disk *d)
{
	return CONTAINER_OF(d, struct disk_fault, base);
}

/* Count a call; -errno when it is to fail, after `*partial` bytes. */
static int count_call(struct disk_fault *df, enum disk_call call, size_t *partial)
{
	struct arm *arm = &df->arms[call];
	int got = 0;

	pthread_mutex_lock(&df->mutex);
	df->calls[call]++;
	if (arm->at > 0 &&
	    (df->calls[call] == arm->at || (arm->sticky && df->calls[call] > arm->at))) {
		got = -arm->os_errno;
		*partial = arm->partial_bytes;
	}
	pthread_mutex_unlock(&df->mutex);
	return got;
}

static int enter(struct disk_fault *df, enum disk_call call)
{
	size_t partial;

	return count_call(df, call, &partial);
}

/* How much of `len` bytes a call may move: all, or by chance less, but never nothing. What is
 * aligned is cut at an aligned place, as the system does under O_DIRECT. */
static size_t shorten(struct disk_fault *df, size_t len, int64_t at)
{
	size_t unit = len % ALIGNMENT == 0 && at % ALIGNMENT == 0 ? ALIGNMENT : 1;
	struct {
		uint32_t percent;
		uint32_t units;
	} random;

	pthread_mutex_lock(&df->mutex);
	df->random.base.fill(&df->random.base, &random, sizeof(random));
	if (random.percent % 100 < df->shorten_percent && len / unit > 1)
		len = (1 + random.units % (len / unit - 1)) * unit;
	pthread_mutex_unlock(&df->mutex);
	return len;
}

static void delay_sync(struct disk_fault *df)
{
	struct timespec delay;

	pthread_mutex_lock(&df->mutex);
	delay.tv_sec = df->slow_sync_ms / 1000;
	delay.tv_nsec = df->slow_sync_ms % 1000 * 1000000l;
	pthread_mutex_unlock(&df->mutex);
	if (delay.tv_sec > 0 || delay.tv_nsec > 0)
		nanosleep(&delay, NULL);
}

static int fault_open(struct disk *d, const char *path, int flags)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_OPEN);

	return got ? got : df->inner->ops->open(df->inner, path, flags);
}

/* A close that fails has closed, as close(2) does. */
static int fault_close(struct disk *d, int fd)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_CLOSE);
	int closed = df->inner->ops->close(df->inner, fd);

	return got ? got : closed;
}

static ssize_t fault_pread(struct disk *d, int fd, void *into, size_t len, int64_t at)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_PREAD);

	return got ? got : df->inner->ops->pread(df->inner, fd, into, shorten(df, len, at), at);
}

typedef ssize_t pwritev_op(struct disk *d, int fd, const struct iovec *iov, int count, int64_t at);

static size_t iov_len(const struct iovec *iov, int count)
{
	size_t len = 0;

	for (int i = 0; i < count; i++)
		len += iov[i].iov_len;
	return len;
}

static ssize_t write_part(struct disk *inner, pwritev_op *op, int fd, const struct iovec *iov,
                          int count, int64_t at, size_t len)
{
	struct iovec part[IOV_MAX];
	int parts = 0;

	CHECK(count <= IOV_MAX);
	for (; parts < count && len > 0; parts++) {
		part[parts] = iov[parts];
		if (part[parts].iov_len > len)
			part[parts].iov_len = len;
		len -= part[parts].iov_len;
	}
	return op(inner, fd, part, parts, at);
}

static ssize_t fault_write(struct disk_fault *df, enum disk_call call, pwritev_op *op, int fd,
                           const struct iovec *iov, int count, int64_t at)
{
	size_t len = iov_len(iov, count), partial = 0;
	int failure = count_call(df, call, &partial);
	size_t part = shorten(df, len, at);

	if (failure) {
		if (partial > 0)
			write_part(df->inner, op, fd, iov, count, at, partial);
		return failure;
	}
	if (part == len)
		return op(df->inner, fd, iov, count, at);
	return write_part(df->inner, op, fd, iov, count, at, part);
}

static int fault_will_read(struct disk *d, int fd, int64_t at, int64_t len)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_WILL_READ);

	return got ? got : df->inner->ops->will_read(df->inner, fd, at, len);
}

static ssize_t fault_pwritev(struct disk *d, int fd, const struct iovec *iov, int count, int64_t at)
{
	struct disk_fault *df = fault_of(d);

	return fault_write(df, DISK_PWRITEV, df->inner->ops->pwritev, fd, iov, count, at);
}

static ssize_t fault_pwritev_sync(struct disk *d, int fd, const struct iovec *iov, int count,
                                  int64_t at)
{
	struct disk_fault *df = fault_of(d);

	delay_sync(df);
	return fault_write(df, DISK_PWRITEV_SYNC, df->inner->ops->pwritev_sync, fd, iov, count, at);
}

static int fault_sync(struct disk *d, int fd)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_SYNC);

	delay_sync(df);
	return got ? got : df->inner->ops->sync(df->inner, fd);
}

static int fault_sync_dir(struct disk *d, const char *path)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_SYNC_DIR);

	return got ? got : df->inner->ops->sync_dir(df->inner, path);
}

static int fault_sync_all(struct disk *d, int fd)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_SYNC_ALL);

	delay_sync(df);
	return got ? got : df->inner->ops->sync_all(df->inner, fd);
}

static int fault_truncate(struct disk *d, int fd, int64_t len)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_TRUNCATE);

	return got ? got : df->inner->ops->truncate(df->inner, fd, len);
}

static int64_t fault_size(struct disk *d, int fd)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_SIZE);

	return got ? got : df->inner->ops->size(df->inner, fd);
}

static int fault_rename(struct disk *d, const char *from, const char *to)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_RENAME);

	return got ? got : df->inner->ops->rename(df->inner, from, to);
}

static int fault_link(struct disk *d, const char *from, const char *to)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_LINK);

	return got ? got : df->inner->ops->link(df->inner, from, to);
}

static int fault_links(struct disk *d, int fd)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_LINKS);

	return got ? got : df->inner->ops->links(df->inner, fd);
}

static int fault_unlink(struct disk *d, const char *path)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_UNLINK);

	return got ? got : df->inner->ops->unlink(df->inner, path);
}

static int fault_mkdir(struct disk *d, const char *path)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_MKDIR);

	return got ? got : df->inner->ops->mkdir(df->inner, path);
}

static int fault_rmdir(struct disk *d, const char *path)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_RMDIR);

	return got ? got : df->inner->ops->rmdir(df->inner, path);
}

static int fault_list(struct disk *d, const char *path, disk_list_cb *each, void *arg)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_LIST);

	return got ? got : df->inner->ops->list(df->inner, path, each, arg);
}

static int fault_lock(struct disk *d, int fd)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_LOCK);

	return got ? got : df->inner->ops->lock(df->inner, fd);
}

static int64_t fault_space(struct disk *d, const char *path)
{
	struct disk_fault *df = fault_of(d);
	int got = enter(df, DISK_SPACE);

	return got ? got : df->inner->ops->space(df->inner, path);
}

struct disk_fault *disk_fault_new(struct disk *inner)
{
	static const struct disk_ops ops = {
		.open = fault_open,
		.close = fault_close,
		.pread = fault_pread,
		.will_read = fault_will_read,
		.pwritev = fault_pwritev,
		.pwritev_sync = fault_pwritev_sync,
		.sync = fault_sync,
		.sync_dir = fault_sync_dir,
		.sync_all = fault_sync_all,
		.truncate = fault_truncate,
		.size = fault_size,
		.rename = fault_rename,
		.link = fault_link,
		.links = fault_links,
		.unlink = fault_unlink,
		.mkdir = fault_mkdir,
		.rmdir = fault_rmdir,
		.list = fault_list,
		.lock = fault_lock,
		.space = fault_space,
	};
	struct disk_fault *df = calloc(1, sizeof(*df));

	CHECK(df);
	df->base.ops = &ops;
	df->inner = inner;
	pthread_mutex_init(&df->mutex, NULL);
	entropy_seeded_init(&df->random, 0);
	return df;
}

void disk_fault_free(struct disk_fault *df)
{
	pthread_mutex_destroy(&df->mutex);
	free(df);
}

struct disk *disk_fault_disk(struct disk_fault *df)
{
	return &df->base;
}

void disk_fault_arm(struct disk_fault *df, enum disk_call call, unsigned n, int os_errno,
                    size_t partial_bytes, bool sticky)
{
	CHECK(n > 0);
	pthread_mutex_lock(&df->mutex);
	df->arms[call] = (struct arm){
		.at = df->calls[call] + n,
		.os_errno = os_errno,
		.partial_bytes = partial_bytes,
		.sticky = sticky,
	};
	pthread_mutex_unlock(&df->mutex);
}

void disk_fault_shorten(struct disk_fault *df, unsigned percent, uint64_t seed)
{
	pthread_mutex_lock(&df->mutex);
	df->shorten_percent = percent;
	entropy_seeded_init(&df->random, seed);
	pthread_mutex_unlock(&df->mutex);
}

void disk_fault_slow_sync(struct disk_fault *df, unsigned ms)
{
	pthread_mutex_lock(&df->mutex);
	df->slow_sync_ms = ms;
	pthread_mutex_unlock(&df->mutex);
}

void disk_fault_disarm(struct disk_fault *df)
{
	pthread_mutex_lock(&df->mutex);
	memset(df->arms, 0, sizeof(df->arms));
	df->shorten_percent = 0;
	df->slow_sync_ms = 0;
	pthread_mutex_unlock(&df->mutex);
}

unsigned disk_fault_calls(struct disk_fault *df, enum disk_call call)
{
	unsigned calls;

	pthread_mutex_lock(&df->mutex);
	calls = df->calls[call];
	pthread_mutex_unlock(&df->mutex);
	return calls;
}
