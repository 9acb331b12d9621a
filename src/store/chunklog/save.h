/* save: what one checkpoint writes of one partition. Made by the owning shard, carried out by a
 * worker, put in force (or dropped) at home. */
#ifndef BOURN_STORE_CHUNKLOG_SAVE_H
#define BOURN_STORE_CHUNKLOG_SAVE_H

#include "store/chunklog/partition.h"
#include "store/chunklog/segment_index.h"

/* Batches of one chunk. */
struct save_slice {
	struct chunk *chunk; /* shared; a reference */
	struct slice bytes;
	int64_t base_offset;
	int64_t end_offset;
};

/* What was appended to one segment. */
struct save_run {
	int64_t segment_base;
	struct segment_index index; /* of it alone */
};

struct save {
	struct save *next;
	struct partition *partition; /* borrowed */
	struct topic_settings settings;
	int64_t now_ms;          /* wall clock when it was made */
	struct saved saved;      /* becomes the partition's when the checkpoint ends well */
	struct segment *removed; /* owned; no longer in `saved`: below the log start */
	uint32_t removed_count;
	struct save_slice *slices; /* owned; rising */
	uint32_t slice_count;
	struct save_run *runs; /* owned; rising; under `log` only */
	uint32_t run_count;
};

/* NULL when nothing changed since the last one. On the owning shard. */
struct save *save_new(struct partition *p);

void save_free(struct save *s);

/* Append to segments, flush unless `sync_later`. Blocking. Adds to `*bytes` what was written. */
enum err save_write(struct save *s, bool sync_later, int64_t *bytes, struct fault *f) MUST_CHECK;

/* Exchange the partition's state with the save's. Done twice it is undone. At home. */
void save_swap(struct save *s);

/* Tell `cold` what the segments hold that are new, longer or finished; after the manifest. Blocking. */
void save_note_segments(struct save *s);

/* Remove the files that are no longer needed; after the manifest. Blocking. */
enum err save_remove_files(struct save *s, struct fault *f) MUST_CHECK;

#endif
