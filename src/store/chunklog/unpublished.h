/* unpublished: what the segments of the running broker have beyond the manifest: files to be
 * flushed before the next one is written, files to be removed after it.
 *
 * Each file to be flushed is held open by the descriptor it was written with. Who has none when the
 * kernel fails to write a page back may never hear of it: the page is then clean, and forgotten
 * like any other. From UNPUBLISHED_FILES_MAX files on one flush of the file system serves all of
 * them, and none is held: the lock file, which has been open since the start, hears of every error.
 *
 * One thread at a time; at a checkpoint it moves from the spills' hands into those of the worker
 * that publishes. */
#ifndef BOURN_STORE_CHUNKLOG_UNPUBLISHED_H
#define BOURN_STORE_CHUNKLOG_UNPUBLISHED_H

#include "base/err.h"
#include "base/uuid.h"

#include <stdbool.h>
#include <stdint.h>

struct cold;
struct datadir;
struct disk;
struct segment;
struct segment_home;

enum { UNPUBLISHED_FILES_MAX = 32 };

/* A segment, also of a topic that is gone meanwhile. */
struct segment_name {
	struct uuid topic;
	uint32_t partition;
	uint32_t generation;
	int64_t base_offset;
};

struct written_file {
	struct segment_name name;
	int fd;
	bool is_new; /* its directory entry has to last too */
};

/* Zeroed it is empty. */
struct unpublished {
	bool changed;  /* what partitions have as `saved` is not what the manifest says */
	int64_t bytes; /* written to segments */
	bool is_many;  /* of files: none is held */
	unsigned written_count;
	struct written_file written[UNPUBLISHED_FILES_MAX];
	struct segment_name *outdated; /* owned */
	uint32_t outdated_count;
};

bool unpublished_is_empty(const struct unpublished *u);

/* A run was appended to it with `fd`, which is owned from here on. */
void unpublished_add(struct unpublished *u, const struct segment_home *h, const struct segment *s,
                     int fd, bool is_new);

/* It is in no state that may still be published. */
void unpublished_outdate(struct unpublished *u, const struct segment_home *h,
                         const struct segment *s);

/* All of `from` moves. */
void unpublished_move(struct unpublished *into, struct unpublished *from, struct disk *disk);

/* Blocking. Files and names are on disk when it is OK, and are forgotten. After an error nobody
 * knows which bytes are, nor will a later flush tell: but for ERR_BUSY, when there was no
 * descriptor to begin with. */
enum err unpublished_flush(struct unpublished *u, struct disk *disk, const struct datadir *dir,
                           struct fault *f) MUST_CHECK;

/* Blocking; after the manifest. A file that stays costs space only: `f` says which, if any. `cold`:
 * NULL under `memory`. */
enum err unpublished_remove(struct unpublished *u, struct disk *disk, const struct datadir *dir,
                            struct cold *cold, struct fault *f) MUST_CHECK;

void unpublished_fini(struct unpublished *u, struct disk *disk);

#endif
