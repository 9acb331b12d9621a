/* The table over a disk in memory: paths and descriptors; what they lead to is in disk_sim_node. */
#include "base/hash.h"
#include "io/disk.h"

#include "base/check.h"
#include "io/disk_sim_node.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Far above what the system gives, so that one handed to a real call is refused. */
enum { FIRST_FD = 1 << 24 };

struct handle {
	int fd;                /* never given twice, so a stale one is refused */
	int flags;             /* O_* */
	struct sim_node *node; /* shared */
	UT_hash_handle hh;
};

struct disk_sim {
	struct disk base;
	pthread_mutex_t mutex; /* over all below */
	struct entropy_seeded random;
	struct sim_space space;
	struct sim_node *root;
	struct handle *handles; /* by fd */
	int next_fd;
};

/* Where a path leads. */
struct place {
	struct sim_node *dir;    /* NULL: `node` is the root */
	char name[NAME_MAX + 1]; /* in `dir` */
	struct sim_node *node;   /* NULL: there is none of this name */
};

static struct disk_sim *enter(struct disk *d)
{
	struct disk_sim *ds = CONTAINER_OF(d, struct disk_sim, base);

	pthread_mutex_lock(&ds->mutex);
	return ds;
}

static int64_t leave(struct disk_sim *ds, int64_t got)
{
	pthread_mutex_unlock(&ds->mutex);
	return got;
}

/* --- paths --------------------------------------------------------------------------- */

/* Relative or absolute, a path starts at the one root; ".." is not understood. */
static int find_place(struct disk_sim *ds, const char *path, struct place *out)
{
	*out = (struct place){.node = ds->root};
	for (;;) {
		size_t len;

		path += strspn(path, "/");
		len = strcspn(path, "/");
		if (len == 0)
			return 0;
		if (len > NAME_MAX)
			return -ENAMETOOLONG;
		if (!out->node)
			return -ENOENT;
		if (!out->node->is_dir)
			return -ENOTDIR;
		if (len > 1 || path[0] != '.') {
			out->dir = out->node;
			memcpy(out->name, path, len);
			out->name[len] = '\0';
			out->node = sim_dir_find(out->dir, out->name);
		}
		path += len;
	}
}

static int find_dir(struct disk_sim *ds, const char *path, struct sim_node **out)
{
	struct place place;
	int got = find_place(ds, path, &place);

	if (got < 0)
		return got;
	if (!place.node)
		return -ENOENT;
	if (!place.node->is_dir)
		return -ENOTDIR;
	*out = place.node;
	return 0;
}

static void add_new_node(struct disk_sim *ds, struct place *place, bool is_dir)
{
	place->node = sim_node_new(is_dir, &ds->space);
	sim_dir_change(place->dir, NULL, place->name, place->node);
	sim_node_put(place->node); /* its name holds it */
}

/* --- descriptors --------------------------------------------------------------------- */

static struct handle *find_handle(struct disk_sim *ds, int fd)
{
	struct handle *h;

	HASH_FIND_INT(ds->handles, &fd, h);
	return h;
}

static struct handle *find_writable(struct disk_sim *ds, int fd)
{
	struct handle *h = find_handle(ds, fd);

	return h && (h->flags & O_ACCMODE) != O_RDONLY ? h : NULL;
}

static void close_handle(struct disk_sim *ds, struct handle *h)
{
	if (h->node->locked_by == h)
		h->node->locked_by = NULL;
	h->node->opens--;
	sim_node_forget_if_gone(h->node);
	sim_node_put(h->node);
	HASH_DEL(ds->handles, h);
	free(h);
}

static int open_node(struct disk_sim *ds, struct sim_node *node, int flags)
{
	struct handle *h = calloc(1, sizeof(*h));

	CHECK(h);
	h->fd = ds->next_fd++;
	h->flags = flags;
	h->node = sim_node_get(node);
	node->opens++;
	HASH_ADD_INT(ds->handles, fd, h);
	CHECK(hash_took(&h->hh));
	return h->fd;
}

static int open_path(struct disk_sim *ds, const char *path, int flags)
{
	struct place place;
	int got = find_place(ds, path, &place);

	if (got < 0)
		return got;
	if (place.node && (flags & O_CREAT) && (flags & O_EXCL))
		return -EEXIST;
	if (place.node && place.node->is_dir)
		return -EISDIR;
	if (!place.node && !(flags & O_CREAT))
		return -ENOENT;
	if (!place.node)
		add_new_node(ds, &place, false);
	if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY)
		sim_file_resize(place.node, 0);
	return open_node(ds, place.node, flags);
}

static int sim_open(struct disk *d, const char *path, int flags)
{
	struct disk_sim *ds = enter(d);

	return (int)leave(ds, open_path(ds, path, flags));
}

static int sim_close(struct disk *d, int fd)
{
	struct disk_sim *ds = enter(d);
	struct handle *h = find_handle(ds, fd);

	if (!h)
		return (int)leave(ds, -EBADF);
	close_handle(ds, h);
	return (int)leave(ds, 0);
}

/* --- files --------------------------------------------------------------------------- */

static ssize_t sim_pread(struct disk *d, int fd, void *into, size_t len, int64_t at)
{
	struct disk_sim *ds = enter(d);
	struct handle *h = find_handle(ds, fd);

	if (!h || (h->flags & O_ACCMODE) == O_WRONLY)
		return leave(ds, -EBADF);
	if (at < 0)
		return leave(ds, -EINVAL);
	return leave(ds, (ssize_t)sim_file_read(h->node, into, len, at));
}

static int sim_will_read(struct disk *d, int fd, int64_t at, int64_t len)
{
	struct disk_sim *ds = enter(d);

	if (!find_handle(ds, fd))
		return (int)leave(ds, -EBADF);
	return (int)leave(ds, at < 0 || len < 0 ? -EINVAL : 0);
}

/* As pwritev: what was written before the disk became full counts. */
static ssize_t write_vectors(struct disk_sim *ds, int fd, const struct iovec *iov, int count,
                             int64_t at, bool sync)
{
	struct handle *h = find_writable(ds, fd);
	ssize_t done = 0;

	if (!h)
		return -EBADF;
	if (at < 0 || count > IOV_MAX)
		return -EINVAL;
	for (int i = 0; i < count; i++) {
		struct slice bytes = slice_of(iov[i].iov_base, iov[i].iov_len);
		ssize_t got = sim_file_write(h->node, bytes, at + done);

		if (got < 0 && done == 0)
			return got;
		done += got > 0 ? got : 0;
		if (got < (ssize_t)bytes.len)
			break;
	}
	if (sync || (h->flags & O_DSYNC))
		sim_file_sync(h->node);
	return done;
}

static ssize_t sim_pwritev(struct disk *d, int fd, const struct iovec *iov, int count, int64_t at)
{
	struct disk_sim *ds = enter(d);

	return leave(ds, write_vectors(ds, fd, iov, count, at, false));
}

static ssize_t sim_pwritev_sync(struct disk *d, int fd, const struct iovec *iov, int count,
                                int64_t at)
{
	struct disk_sim *ds = enter(d);

	return leave(ds, write_vectors(ds, fd, iov, count, at, true));
}

static int sim_sync(struct disk *d, int fd)
{
	struct disk_sim *ds = enter(d);
	struct handle *h = find_handle(ds, fd);

	if (!h)
		return (int)leave(ds, -EBADF);
	sim_file_sync(h->node);
	return (int)leave(ds, 0);
}

static int sim_truncate(struct disk *d, int fd, int64_t len)
{
	struct disk_sim *ds = enter(d);
	struct handle *h = find_writable(ds, fd);

	if (!h || len < 0)
		return (int)leave(ds, -EINVAL);
	sim_file_resize(h->node, len);
	return (int)leave(ds, 0);
}

static int64_t sim_size(struct disk *d, int fd)
{
	struct disk_sim *ds = enter(d);
	struct handle *h = find_handle(ds, fd);

	return leave(ds, h ? h->node->now.size : -EBADF);
}

static int sim_lock(struct disk *d, int fd)
{
	struct disk_sim *ds = enter(d);
	struct handle *h = find_handle(ds, fd);

	if (!h)
		return (int)leave(ds, -EBADF);
	if (h->node->locked_by && h->node->locked_by != h)
		return (int)leave(ds, -EWOULDBLOCK);
	h->node->locked_by = h;
	return (int)leave(ds, 0);
}

/* --- names --------------------------------------------------------------------------- */

static bool is_empty_dir(const struct sim_node *node)
{
	return node->is_dir && node->names_now.count == 0;
}

/* May `from` take the name of `to`? */
static int check_replace(const struct sim_node *from, const struct sim_node *to)
{
	if (from->is_dir && !to->is_dir)
		return -ENOTDIR;
	if (!from->is_dir && to->is_dir)
		return -EISDIR;
	return to->is_dir && !is_empty_dir(to) ? -ENOTEMPTY : 0;
}

static int rename_path(struct disk_sim *ds, const char *from_path, const char *to_path)
{
	struct place from, to;
	int got = find_place(ds, from_path, &from);

	if (got == 0)
		got = find_place(ds, to_path, &to);
	if (got < 0)
		return got;
	if (!from.node)
		return -ENOENT;
	if (from.dir != to.dir || !from.dir)
		return -EXDEV;
	if (from.node == to.node)
		return 0;
	got = to.node ? check_replace(from.node, to.node) : 0;
	if (got == 0)
		sim_dir_change(from.dir, from.name, to.name, from.node);
	return got;
}

static int sim_rename(struct disk *d, const char *from, const char *to)
{
	struct disk_sim *ds = enter(d);

	return (int)leave(ds, rename_path(ds, from, to));
}

static int link_path(struct disk_sim *ds, const char *from_path, const char *to_path)
{
	struct place from, to;
	int got = find_place(ds, from_path, &from);

	if (got == 0)
		got = find_place(ds, to_path, &to);
	if (got < 0)
		return got;
	if (!from.node)
		return -ENOENT;
	if (from.node->is_dir)
		return -EPERM;
	if (to.node)
		return -EEXIST;
	sim_dir_change(to.dir, NULL, to.name, from.node);
	return 0;
}

static int sim_link(struct disk *d, const char *from, const char *to)
{
	struct disk_sim *ds = enter(d);

	return (int)leave(ds, link_path(ds, from, to));
}

static int sim_links(struct disk *d, int fd)
{
	struct disk_sim *ds = enter(d);
	struct handle *h = find_handle(ds, fd);

	return (int)leave(ds, h ? (int)h->node->links : -EBADF);
}

static int sim_unlink(struct disk *d, const char *path)
{
	struct disk_sim *ds = enter(d);
	struct place place;
	int got = find_place(ds, path, &place);

	if (got == 0 && !place.node)
		got = -ENOENT;
	if (got == 0 && place.node->is_dir)
		got = -EISDIR;
	if (got == 0)
		sim_dir_change(place.dir, place.name, NULL, NULL);
	return (int)leave(ds, got);
}

static int sim_mkdir(struct disk *d, const char *path)
{
	struct disk_sim *ds = enter(d);
	struct place place;
	int got = find_place(ds, path, &place);

	if (got == 0 && place.node)
		got = -EEXIST;
	if (got == 0)
		add_new_node(ds, &place, true);
	return (int)leave(ds, got);
}

static int sim_rmdir(struct disk *d, const char *path)
{
	struct disk_sim *ds = enter(d);
	struct place place;
	int got = find_place(ds, path, &place);

	if (got == 0 && !place.node)
		got = -ENOENT;
	if (got == 0 && !place.node->is_dir)
		got = -ENOTDIR;
	if (got == 0 && !place.dir)
		got = -EBUSY;
	if (got == 0 && !is_empty_dir(place.node))
		got = -ENOTEMPTY;
	if (got == 0)
		sim_dir_change(place.dir, place.name, NULL, NULL);
	return (int)leave(ds, got);
}

static int sim_sync_dir(struct disk *d, const char *path)
{
	struct disk_sim *ds = enter(d);
	struct sim_node *dir;
	int got = find_dir(ds, path, &dir);

	if (got == 0)
		sim_dir_sync(dir);
	return (int)leave(ds, got);
}

static int sim_sync_all(struct disk *d, int fd)
{
	struct disk_sim *ds = enter(d);

	if (!find_handle(ds, fd))
		return (int)leave(ds, -EBADF);
	sim_tree_sync(ds->root);
	return (int)leave(ds, 0);
}

/* Of copies, so that `each` may use the disk. */
static int sim_list(struct disk *d, const char *path, disk_list_cb *each, void *arg)
{
	struct disk_sim *ds = enter(d);
	struct sim_node *dir;
	int got = find_dir(ds, path, &dir);
	size_t count = got == 0 ? dir->names_now.count : 0;
	char **names = calloc(count + 1, sizeof(*names));

	CHECK(names);
	for (size_t i = 0; i < count; i++) {
		names[i] = strdup(dir->names_now.list[i].name);
		CHECK(names[i]);
	}
	leave(ds, 0);
	for (size_t i = 0; i < count; i++) {
		if (got >= 0)
			got = each(arg, names[i]);
		free(names[i]);
	}
	free(names);
	return got < 0 ? got : 0;
}

static int64_t sim_space(struct disk *d, const char *path)
{
	struct disk_sim *ds = enter(d);
	struct sim_node *dir;
	int64_t free_bytes = ds->space.capacity - ds->space.used;
	int got = find_dir(ds, path, &dir);

	if (got < 0)
		return leave(ds, got);
	return leave(ds, free_bytes > 0 ? free_bytes : 0);
}

/* --- life ---------------------------------------------------------------------------- */

struct disk_sim *disk_sim_new(uint64_t seed, int64_t capacity_bytes)
{
	static const struct disk_ops ops = {
		.open = sim_open,
		.close = sim_close,
		.pread = sim_pread,
		.will_read = sim_will_read,
		.pwritev = sim_pwritev,
		.pwritev_sync = sim_pwritev_sync,
		.sync = sim_sync,
		.sync_dir = sim_sync_dir,
		.sync_all = sim_sync_all,
		.truncate = sim_truncate,
		.size = sim_size,
		.rename = sim_rename,
		.link = sim_link,
		.links = sim_links,
		.unlink = sim_unlink,
		.mkdir = sim_mkdir,
		.rmdir = sim_rmdir,
		.list = sim_list,
		.lock = sim_lock,
		.space = sim_space,
	};
	struct disk_sim *ds = calloc(1, sizeof(*ds));

	CHECK(ds);
	ds->base.ops = &ops;
	pthread_mutex_init(&ds->mutex, NULL);
	entropy_seeded_init(&ds->random, seed);
	ds->space.capacity = capacity_bytes;
	ds->root = sim_node_new(true, &ds->space);
	ds->next_fd = FIRST_FD;
	return ds;
}

static void close_all(struct disk_sim *ds)
{
	struct handle *h, *after;

	HASH_ITER (hh, ds->handles, h, after)
		close_handle(ds, h);
}

void disk_sim_free(struct disk_sim *ds)
{
	close_all(ds);
	sim_node_put(ds->root);
	CHECK(ds->space.used == 0);
	pthread_mutex_destroy(&ds->mutex);
	free(ds);
}

struct disk *disk_sim_disk(struct disk_sim *ds)
{
	return &ds->base;
}

void disk_sim_kill(struct disk_sim *ds)
{
	enter(&ds->base);
	close_all(ds);
	leave(ds, 0);
}

void disk_sim_crash(struct disk_sim *ds)
{
	enter(&ds->base);
	close_all(ds);
	sim_tree_crash(ds->root, &ds->random);
	leave(ds, 0);
}

void disk_sim_set_capacity(struct disk_sim *ds, int64_t capacity_bytes)
{
	enter(&ds->base);
	ds->space.capacity = capacity_bytes;
	leave(ds, 0);
}
