/* The only way to files: a table with three implementations.
 *
 * real:  the system.
 * fault: wraps any other; the n-th call of a kind fails with an errno, or writes short.
 * sim:   a disk in memory that keeps, apart, what was written and what was synced; `crash` forgets
 *        what was not synced (a seeded choice of which unsynced 4 KiB blocks and names survive).
 *
 * Every op returns >= 0, or -errno. EINTR never comes out. Blocking: call from the writer thread or
 * a worker, or at start before the loops run; never from a loop. */
#ifndef BOURN_IO_DISK_H
#define BOURN_IO_DISK_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

#include <sys/types.h>
#include <sys/uio.h>

enum disk_call {
	DISK_OPEN,
	DISK_CLOSE,
	DISK_PREAD,
	DISK_WILL_READ,
	DISK_PWRITEV,
	DISK_PWRITEV_SYNC,
	DISK_SYNC,     /* fdatasync */
	DISK_SYNC_DIR, /* open + fsync of a directory: makes names in it last */
	DISK_SYNC_ALL, /* syncfs */
	DISK_TRUNCATE,
	DISK_SIZE,
	DISK_RENAME,
	DISK_LINK,
	DISK_LINKS,
	DISK_UNLINK,
	DISK_MKDIR,
	DISK_RMDIR,
	DISK_LIST,
	DISK_LOCK,
	DISK_SPACE,
	DISK_CALL_COUNT,
};

/* Called for each name in a directory but "." and ".."; a negative answer stops the listing. */
typedef int disk_list_cb(void *arg, const char *name);

struct disk {
	const struct disk_ops *ops;
};

struct disk_ops {
	int (*open)(struct disk *d, const char *path, int flags); /* O_*; new files get mode 0600 */
	int (*close)(struct disk *d, int fd);
	ssize_t (*pread)(struct disk *d, int fd, void *into, size_t len, int64_t at);
	/* A hint: all of this will be read in order; the disk may fetch it meanwhile. */
	int (*will_read)(struct disk *d, int fd, int64_t at, int64_t len);
	ssize_t (*pwritev)(struct disk *d, int fd, const struct iovec *iov, int count, int64_t at);
	/* The same, and when it returns the bytes it took are on the device (RWF_DSYNC). */
	ssize_t (*pwritev_sync)(struct disk *d, int fd, const struct iovec *iov, int count,
	                        int64_t at);
	int (*sync)(struct disk *d, int fd);
	int (*sync_dir)(struct disk *d, const char *path);
	/* Bytes and names of every file of the file system that `fd` is on. Fails once for each
	 * error of writing any of them back since `fd` was opened, also of files that are
	 * closed. */
	int (*sync_all)(struct disk *d, int fd);
	int (*truncate)(struct disk *d, int fd, int64_t len);
	int64_t (*size)(struct disk *d, int fd);
	int (*rename)(struct disk *d, const char *from, const char *to);
	int (*link)(struct disk *d, const char *from,
	            const char *to);          /* a second name; a file's only */
	int (*links)(struct disk *d, int fd); /* how many names it has */
	int (*unlink)(struct disk *d, const char *path);
	int (*mkdir)(struct disk *d, const char *path); /* mode 0700 */
	int (*rmdir)(struct disk *d, const char *path);
	int (*list)(struct disk *d, const char *path, disk_list_cb *each, void *arg);
	int (*lock)(struct disk *d, int fd); /* exclusive, held until close; -EWOULDBLOCK */
	int64_t (*space)(struct disk *d, const char *path); /* free bytes for us */
};

/* The real one; static storage. */
struct disk *disk_real(void);

/* Whole-operation helpers over any table: they go on after short counts and turn -errno into a
 * fault that names `what` and the path (ENOSPC and EDQUOT: ERR_DISK_FULL, else ERR_IO). */
enum err disk_open(struct disk *d, const char *path, int flags, int *fd,
                   struct fault *f) MUST_CHECK;
enum err disk_write_all(struct disk *d, int fd, const struct iovec *iov, int count, int64_t at,
                        const char *path, struct fault *f) MUST_CHECK;
enum err disk_write_all_sync(struct disk *d, int fd, const struct iovec *iov, int count, int64_t at,
                             const char *path, struct fault *f) MUST_CHECK;
/* ERR_CORRUPT when the file ends before `len` bytes. */
enum err disk_read_all(struct disk *d, int fd, void *into, size_t len, int64_t at, const char *path,
                       struct fault *f) MUST_CHECK;
enum err disk_sync(struct disk *d, int fd, const char *path, struct fault *f) MUST_CHECK;
enum err disk_sync_dir(struct disk *d, const char *path, struct fault *f) MUST_CHECK;
enum err disk_rename(struct disk *d, const char *from, const char *to, struct fault *f) MUST_CHECK;
enum err disk_sync_all(struct disk *d, int fd, const char *path, struct fault *f) MUST_CHECK;
/* mkdir that is content with an existing directory; does not sync the parent. */
enum err disk_make_dir(struct disk *d, const char *path, struct fault *f) MUST_CHECK;
/* Replace `dir`/`name` by `bytes` so that after a crash it is the old or the new content, whole:
 * write `name`.tmp, sync, rename, sync the directory. */
enum err disk_replace_file(struct disk *d, const char *dir, const char *name, struct slice bytes,
                           struct fault *f) MUST_CHECK;
/* Append a whole file to `into`. ERR_NOT_FOUND: there is none; ERR_TOO_LARGE: beyond its limit. */
enum err disk_read_file(struct disk *d, const char *path, struct buf *into,
                        struct fault *f) MUST_CHECK;
/* `len` bytes of `from`, from byte `at` on, become the content of the empty file `to`, synced.
 * `path` is for what is said of faults. */
enum err disk_copy(struct disk *d, int from, int to, int64_t at, int64_t len, const char *path,
                   struct fault *f) MUST_CHECK;
/* Give `from` the second name `to`, which does not last before its directory is synced. Where the
 * file system cannot, `to` is a copy of its first `len` bytes, as far as there are so many, synced.
 * ERR_NOT_FOUND: there is no `from`. */
enum err disk_link(struct disk *d, const char *from, const char *to, int64_t len,
                   struct fault *f) MUST_CHECK;
/* The file at `path`, open as `fd`, ends after `len` bytes, for good. One that has other names is
 * replaced by a copy: under those it stays what it was. */
enum err disk_cut(struct disk *d, int fd, const char *path, int64_t len,
                  struct fault *f) MUST_CHECK;
/* A file, or a directory with all there is in it; OK when there is none. Syncs nothing. */
enum err disk_remove_tree(struct disk *d, const char *path, struct fault *f) MUST_CHECK;

/* --- for tests ----------------------------------------------------------------------- */

/* Fails chosen calls of another disk. Any thread. */
struct disk_fault;
struct disk_fault *disk_fault_new(struct disk *inner); /* inner borrowed until free */
void disk_fault_free(struct disk_fault *df);
struct disk *disk_fault_disk(struct disk_fault *df);
/* The n-th call (from 1) of `call` from now on fails with `os_errno`; for PWRITEV and PWRITEV_SYNC,
 * the first `partial_bytes` are written before it fails. `sticky`: all later ones of that kind fail
 * too. One such wish a kind: a later one replaces it. */
void disk_fault_arm(struct disk_fault *df, enum disk_call call, unsigned n, int os_errno,
                    size_t partial_bytes, bool sticky);
/* Each PREAD, PWRITEV and PWRITEV_SYNC is cut short with probability `percent`, under `seed`
 * (F7). */
void disk_fault_shorten(struct disk_fault *df, unsigned percent, uint64_t seed);
/* Each SYNC and PWRITEV_SYNC takes this long longer (F16). */
void disk_fault_slow_sync(struct disk_fault *df, unsigned ms);
/* Nothing fails, is short or slow any more. */
void disk_fault_disarm(struct disk_fault *df);
unsigned disk_fault_calls(struct disk_fault *df, enum disk_call call); /* so far */

/* A disk in memory. Any thread. Every path starts at its one empty root; ".." is not understood, a
 * rename stays within its directory (-EXDEV), O_DIRECT is ignored, descriptors are never reused. */
struct disk_sim;
struct disk_sim *disk_sim_new(uint64_t seed, int64_t capacity_bytes);
void disk_sim_free(struct disk_sim *ds);
struct disk *disk_sim_disk(struct disk_sim *ds);
/* kill -9: every descriptor and lock is gone, every write stays. */
void disk_sim_kill(struct disk_sim *ds);
/* Power cut: as kill, and by the seed of what was not synced
 * - a file's length is the old, the new or one between by whole blocks; each 4 KiB block is the new
 *   one, the last synced one, torn between the two at a sector, or zeros;
 * - of a directory's changes (create, rename, unlink …) some first part has happened, in order;
 *   syncing a file does not make its name last.
 * What is found afterwards counts as synced. */
void disk_sim_crash(struct disk_sim *ds);
void disk_sim_set_capacity(struct disk_sim *ds, int64_t capacity_bytes);

#endif
