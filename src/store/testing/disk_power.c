#include "store/testing/disk_power.h"

#include "base/check.h"

#include <errno.h>
#include <limits.h>

static struct disk_power *power_of(struct disk *d)
{
	return CONTAINER_OF(d, struct disk_power, base);
}

static struct disk *inner(struct disk *d)
{
	return disk_sim_disk(power_of(d)->sim);
}

enum fate { FORWARD, FORWARD_THEN_CUT, CUT, OFF };

static enum fate count_call(struct disk *d)
{
	struct disk_power *p = power_of(d);
	unsigned left = atomic_load(&p->calls_left);

	if (left == 0)
		return OFF;
	if (left != UINT_MAX)
		atomic_store(&p->calls_left, left - 1);
	if (left > 1)
		return FORWARD;
	return p->last_call_counts ? FORWARD_THEN_CUT : CUT;
}

static void cut(struct disk_power *p)
{
	if (p->kills)
		disk_sim_kill(p->sim);
	else
		disk_sim_crash(p->sim);
}

/* `call` is made as its fate wants; in a cut nobody hears how it went. */
#define COUNTED(d, call)                                                                           \
	do {                                                                                       \
		struct disk_power *p = power_of(d);                                                \
		ssize_t got = -EIO;                                                                \
		enum fate fate;                                                                    \
                                                                                                   \
		pthread_mutex_lock(&p->turn);                                                      \
		fate = count_call(d);                                                              \
		if (fate == FORWARD || fate == FORWARD_THEN_CUT)                                   \
			got = (call);                                                              \
		if (fate == CUT || fate == FORWARD_THEN_CUT)                                       \
			cut(p);                                                                    \
		pthread_mutex_unlock(&p->turn);                                                    \
		return fate == FORWARD ? (int)got : -EIO;                                          \
	} while (0)

#define LOOKED(d, call) return disk_power_is_off(power_of(d)) ? -EIO : (call)

static int power_open(struct disk *d, const char *path, int flags)
{
	COUNTED(d, inner(d)->ops->open(inner(d), path, flags));
}

static int power_close(struct disk *d, int fd)
{
	LOOKED(d, inner(d)->ops->close(inner(d), fd));
}

static ssize_t power_pread(struct disk *d, int fd, void *into, size_t len, int64_t at)
{
	LOOKED(d, inner(d)->ops->pread(inner(d), fd, into, len, at));
}

static int power_will_read(struct disk *d, int fd, int64_t at, int64_t len)
{
	LOOKED(d, inner(d)->ops->will_read(inner(d), fd, at, len));
}

static ssize_t power_pwritev(struct disk *d, int fd, const struct iovec *iov, int count, int64_t at)
{
	COUNTED(d, inner(d)->ops->pwritev(inner(d), fd, iov, count, at));
}

static ssize_t power_pwritev_sync(struct disk *d, int fd, const struct iovec *iov, int count,
                                  int64_t at)
{
	COUNTED(d, inner(d)->ops->pwritev_sync(inner(d), fd, iov, count, at));
}

static int power_sync(struct disk *d, int fd)
{
	COUNTED(d, inner(d)->ops->sync(inner(d), fd));
}

static int power_sync_dir(struct disk *d, const char *path)
{
	COUNTED(d, inner(d)->ops->sync_dir(inner(d), path));
}

static int power_sync_all(struct disk *d, int fd)
{
	COUNTED(d, inner(d)->ops->sync_all(inner(d), fd));
}

static int power_truncate(struct disk *d, int fd, int64_t len)
{
	COUNTED(d, inner(d)->ops->truncate(inner(d), fd, len));
}

static int64_t power_size(struct disk *d, int fd)
{
	LOOKED(d, inner(d)->ops->size(inner(d), fd));
}

static int power_rename(struct disk *d, const char *from, const char *to)
{
	COUNTED(d, inner(d)->ops->rename(inner(d), from, to));
}

static int power_link(struct disk *d, const char *from, const char *to)
{
	COUNTED(d, inner(d)->ops->link(inner(d), from, to));
}

static int power_links(struct disk *d, int fd)
{
	LOOKED(d, inner(d)->ops->links(inner(d), fd));
}

static int power_unlink(struct disk *d, const char *path)
{
	COUNTED(d, inner(d)->ops->unlink(inner(d), path));
}

static int power_mkdir(struct disk *d, const char *path)
{
	COUNTED(d, inner(d)->ops->mkdir(inner(d), path));
}

static int power_rmdir(struct disk *d, const char *path)
{
	COUNTED(d, inner(d)->ops->rmdir(inner(d), path));
}

static int power_list(struct disk *d, const char *path, disk_list_cb *each, void *arg)
{
	LOOKED(d, inner(d)->ops->list(inner(d), path, each, arg));
}

static int power_lock(struct disk *d, int fd)
{
	LOOKED(d, inner(d)->ops->lock(inner(d), fd));
}

static int64_t power_space(struct disk *d, const char *path)
{
	LOOKED(d, inner(d)->ops->space(inner(d), path));
}

static const struct disk_ops power_ops = {
	.open = power_open,
	.close = power_close,
	.pread = power_pread,
	.will_read = power_will_read,
	.pwritev = power_pwritev,
	.pwritev_sync = power_pwritev_sync,
	.sync = power_sync,
	.sync_dir = power_sync_dir,
	.sync_all = power_sync_all,
	.truncate = power_truncate,
	.size = power_size,
	.rename = power_rename,
	.link = power_link,
	.links = power_links,
	.unlink = power_unlink,
	.mkdir = power_mkdir,
	.rmdir = power_rmdir,
	.list = power_list,
	.lock = power_lock,
	.space = power_space,
};

void disk_power_init(struct disk_power *p, uint64_t seed, int64_t capacity_bytes)
{
	*p = (struct disk_power){.base = {&power_ops}, .sim = disk_sim_new(seed, capacity_bytes)};
	pthread_mutex_init(&p->turn, NULL);
	atomic_store(&p->calls_left, UINT_MAX);
}

void disk_power_fini(struct disk_power *p)
{
	pthread_mutex_destroy(&p->turn);
	disk_sim_free(p->sim);
}

void disk_power_on(struct disk_power *p, unsigned calls, bool last_call_counts)
{
	CHECK(calls > 0);
	p->last_call_counts = last_call_counts;
	atomic_store(&p->calls_left, calls);
}

bool disk_power_keep(struct disk_power *p)
{
	bool is_on;

	pthread_mutex_lock(&p->turn);
	is_on = !disk_power_is_off(p);
	if (is_on)
		atomic_store(&p->calls_left, UINT_MAX);
	pthread_mutex_unlock(&p->turn);
	return is_on;
}
