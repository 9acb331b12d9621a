/* cold_files: the segment files that are read, with their indexes.
 *
 * At most `files_max` of them are kept open; the one not read for longest is closed first, and none
 * that somebody reads. These descriptors are for reading only; whoever writes a segment has one of
 * his own and has synced it before he closes it.
 *
 * An index lives as long as its file is open, since the next reader finds it beside the segment. A
 * segment that grows has none there yet: what checkpoints noted of it is kept until it is finished.
 *
 * Any thread. */
#ifndef BOURN_STORE_CHUNKLOG_COLD_FILES_H
#define BOURN_STORE_CHUNKLOG_COLD_FILES_H

#include "base/hash.h"
#include "base/list.h"
#include "store/chunklog/cold.h"
#include "store/chunklog/segment_index.h"

#include <pthread.h>

/* Compared as bytes: no padding in it. */
struct cold_key {
	struct uuid topic;
	int64_t base_offset;
	uint32_t generation;
	uint32_t partition;
};
_Static_assert(sizeof(struct cold_key) == 32, "no padding");

struct cold_file {
	struct cold_key key;
	UT_hash_handle hh;
	struct list node; /* in `recent`: read since it was opened; then a descriptor may be open */
	unsigned users;
	bool is_kept;      /* it grows: its index is nowhere else */
	bool is_forgotten; /* out of the table, freed by its last user */

	pthread_mutex_t lock; /* of what follows */
	struct disk *disk;    /* borrowed; NULL: not open */
	int fd;
	int32_t leader_epoch;
	struct segment_index index;
	bool has_index_file; /* or making one failed: it is not tried again */
};

struct cold {
	pthread_mutex_t lock;    /* of the table, and in each file of what stands before its lock */
	struct cold_file *files; /* by key */
	struct list recent;      /* … the one longest not used first */
	unsigned recent_count;
	unsigned files_max;
};

/* A use of it, until cold_file_put: it stays open once it is. NULL: there is no memory. */
struct cold_file *cold_file_get(struct cold *c, const struct cold_source *s);
void cold_file_put(struct cold *c, struct cold_file *file);

/* Open it, its header checked, with the index that lies beside it; under its lock. */
enum err cold_file_open(struct cold_file *file, const struct cold_source *s,
                        struct fault *f) MUST_CHECK;

/* All of it is in its index: have that beside it, once. Under its lock. */
void cold_file_keep_index(struct cold_file *file, const struct cold_source *s);

#endif
