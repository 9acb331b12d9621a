/* compact_run: one partition's compaction, as far as its files go: in slices of about 256 KiB read,
 * so that whoever carries it out may rest between them.
 *
 *   map       the keys of the segments that are not compacted yet, until all are seen or the map is full
 *   rewrite   segments one after the other, from the first on, into one new file as long as they go
 *             into it; a *group*: that file, and those it stands for
 *   … the group is put in force, and the next one rewritten, up to where the map knows
 *
 * A group has segments of one leader epoch that lie behind each other. Every batch that is read is
 * verified. Nothing here touches a partition; what it needs of one is copied in.
 *
 * Blocking: a worker's thread, one at a time. */
#ifndef BOURN_STORE_CHUNKLOG_COMPACT_RUN_H
#define BOURN_STORE_CHUNKLOG_COMPACT_RUN_H

#include "store/chunklog/compact_file.h"
#include "store/chunklog/segment_reader.h"
#include "store/compact/compact_rewrite.h"

enum {
	COMPACT_GROUP_BYTES_MAX = 1 << 30, /* that go into one, if more than segment.bytes */
};

struct compact_job {
	struct segment_home home; /* what it borrows stays until the run's end */
	struct siphash_key key;   /* random */
	int64_t segment_bytes;
	int64_t log_start;
	int64_t compacted; /* all below is */
	int64_t now_ms;
	int64_t horizon_ms; /* for tombstones: compact_rewrite.h */
	size_t map_bytes;   /* at most; COMPACT_MAP_BYTES */
	bool in_memory;     /* what comes out is wanted in chunks too */
};

/* Where it reads. */
struct compact_source {
	struct segment_reader reader;
	char path[SEGMENT_PATH_BYTES];
	int fd;
	bool is_open;
};

struct compact_run {
	struct compact_job job;
	struct segment *segments; /* owned; those that may be compacted, rising */
	uint32_t count;
	uint32_t at; /* which is read */
	struct compact_source source;
	struct compact_map map;
	int64_t upto; /* the map knows all that is below, from `compacted` on */

	uint32_t first; /* of the group; the next begins at `at` */
	int64_t group_bytes;
	bool in_group;
	struct compact_rewrite rewrite;
	struct compact_file file;
	struct segment made;   /* the group's, when it is finished … */
	bool has_made;         /* … and not in force: whoever puts it there clears this */
	struct chunk **chunks; /* owned, each one reference: its content, if in_memory */
	uint32_t chunk_count;

	int64_t bytes_in; /* read to be rewritten, all groups */
	int64_t bytes_out;
};

/* Copies `segments`. NULL: there is no memory. */
struct compact_run *compact_run_new(const struct compact_job *job, const struct segment *segments,
                                    uint32_t count);

/* What is not in force is removed. Blocking. */
void compact_run_free(struct compact_run *r);

/* A slice of mapping; `*done`: it is through. ERR_CORRUPT, ERR_IO, ERR_NO_MEMORY. */
enum err compact_run_map(struct compact_run *r, bool *done, struct fault *f) MUST_CHECK;

/* Is there another group? */
bool compact_run_has_group(const struct compact_run *r);

/* A slice of rewriting; `*done`: the group is finished, as `made`, which stands for segments from
 * `first` to `at` (not included). Errors also ERR_DISK_FULL. */
enum err compact_run_rewrite(struct compact_run *r, bool *done, struct fault *f) MUST_CHECK;

/* The group is in force: its files count. What is compacted then: */
int64_t compact_run_compacted(const struct compact_run *r);

#endif
