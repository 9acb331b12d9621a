/* wal_files: the files that the WAL's writer works with: one that is written, older ones that are
 * still needed, a few spare ones to recycle; the WAL's own. For the writer thread alone.
 *
 * The order on disk, so that a power cut at any point is one that recovery understands: a file is
 * created or renamed, its header written, then come frames. Before a frame counts as flushed, so
 * are all files that are still needed, with their headers, and the directory. Where all was flushed
 * when a file is begun, it is synced before its first frame. A spare one that was renamed and still
 * bears its old header is told by the number in it, as is one whose new name was forgotten; what
 * holds nothing after a crash is not used again. One that is made ahead is `next.tmp` until it is
 * begun; what a crash leaves of it is removed. */
#ifndef BOURN_STORE_WAL_FILES_H
#define BOURN_STORE_WAL_FILES_H

#include "base/list.h"
#include "store/wal_recover.h"

#include <limits.h>
#include <sys/uio.h>

struct wal_file {
	struct list node;
	uint64_t number;
	uint64_t last_sequence; /* 0: no frame that is needed */
	int64_t size;
	int64_t bytes;    /* in frames, with padding */
	int64_t since_ms; /* wall clock: first frame but marks; 0: none */
	int fd;           /* of a sealed one that is not flushed; else -1 */
};

struct wal_files {
	const struct wal_config *config; /* borrowed */
	uint64_t next_number;
	struct list sealed; /* of wal_file, oldest first */
	struct list spares; /* those of full size first */
	unsigned spare_count;
	unsigned unflushed_count; /* sealed ones that are not flushed */
	bool names_unflushed;     /* so is the directory: a file was begun meanwhile */
	int ahead_fd;             /* of a full-size file that is being made; -1: none is */
	int64_t ahead_size;       /* how many zeros are in it */
	bool ahead_ready;         /* it is whole, and synced */
	bool ahead_failed;        /* not tried again before the next file is begun */
	struct wal_file *active;  /* owned; NULL: there was no space to begin one */
	int fd;
	int direct_fd; /* the same file past the page cache; -1: the file system has no O_DIRECT */
	char path[PATH_MAX]; /* of the active file, for what is said of faults */
	uint64_t generation;
	int64_t at;     /* where the next group begins: a block */
	int64_t grown;  /* pre-written and synced up to here */
	uint8_t *zeros; /* owned, aligned: what files grow by */
};

bool wal_files_init(struct wal_files *fs, const struct wal_config *config);

/* Closes, forgets; leaves everything on disk as it is. */
void wal_files_fini(struct wal_files *fs);

/* Take over what recovery found: cut the torn tail. What holds nothing is sealed, to be removed
 * when a file is begun. */
enum err wal_files_adopt(struct wal_files *fs, const struct wal_found *found,
                         struct fault *f) MUST_CHECK;

/* Seal the active file and begin the next. Where all before `first_sequence` is flushed, what
 * begins lasts; else neither does before wal_files_flush, and of sixteen sealed files that do not
 * last the oldest is flushed first. ERR_DISK_FULL: nothing changed, the active file goes
 * on. Any other error is final. */
enum err wal_files_begin(struct wal_files *fs, uint64_t first_sequence, uint64_t durable_through,
                         struct fault *f) MUST_CHECK;

/* What was written lasts, in all files. An error is final. */
enum err wal_files_flush(struct wal_files *fs, struct fault *f) MUST_CHECK;

/* Write whole blocks at byte `at` of the active file. `direct`: past the page cache if that can be;
 * then every piece is aligned to WAL_BLOCK_BYTES, in memory too. */
enum err wal_files_write(struct wal_files *fs, const struct iovec *iov, int count, int64_t at,
                         bool direct, struct fault *f) MUST_CHECK;

/* Pre-write the active file up to `to`; `lasting`: past the page cache, and sync it. Then nothing
 * in it may be unflushed: a sync that fails for want of space is known to have hit zeros only.
 * Errors as wal_files_begin. */
enum err wal_files_grow(struct wal_files *fs, int64_t to, bool lasting, struct fault *f) MUST_CHECK;

/* What the next file will have when it is begun, without growing; 0: nothing. */
int64_t wal_files_next_size(const struct wal_files *fs);

/* Write `bytes` more zeros into a file that is to be the next. Without space it is given up, and
 * the next one grows. Errors are final. */
enum err wal_files_make_ahead(struct wal_files *fs, int64_t bytes, struct fault *f) MUST_CHECK;

/* Give back what is being made; true: there was something. */
bool wal_files_drop_ahead(struct wal_files *fs);

/* Sealed files without a frame beyond `sequence` become spares, or go; flushed or not, as nobody
 * needs what is in them. */
void wal_files_free_through(struct wal_files *fs, uint64_t sequence);

/* Give the unused end of the active file back, and flush it. */
enum err wal_files_trim(struct wal_files *fs, struct fault *f) MUST_CHECK;

#endif
