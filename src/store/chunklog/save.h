/* save: what one spill or checkpoint writes of one partition. Made by the owning shard, carried out
 * by a worker, put in force (or dropped) at home. */
#ifndef BOURN_STORE_CHUNKLOG_SAVE_H
#define BOURN_STORE_CHUNKLOG_SAVE_H

#include "store/chunklog/partition.h"
#include "store/chunklog/segment_index.h"
#include "store/chunklog/unpublished.h"

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
	struct saved saved;      /* becomes the partition's when all is written */
	struct segment *removed; /* owned; no longer in `saved`: below the log start */
	uint32_t removed_count;
	struct save_slice *slices; /* owned; rising */
	uint32_t slice_count;
	struct save_run *runs; /* owned; rising; under `log` only */
	uint32_t run_count;
};

/* `*out` is NULL when nothing changed since the last one: for a checkpoint (`publish`) in what a
 * manifest says; else in what memory holds, and log start and the segments below it stay what they
 * are. NO_MEMORY. On the owning shard. */
enum err save_new(struct partition *p, bool publish, struct save **out) MUST_CHECK;

void save_free(struct save *s);

/* How, and who has to know. */
struct save_to {
	size_t direct_from; /* runs of so many bytes or more go past the page cache */
	struct unpublished *unpublished;
};

/* Append to segments. Blocking. */
enum err save_write(struct save *s, const struct save_to *to, struct fault *f) MUST_CHECK;

/* Tell `cold` what the segments hold that are new, longer or finished; all is written, nothing in
 * force. Blocking. */
void save_note_segments(const struct save *s);

/* It is the partition's state from here on. At home. */
void save_put_in_force(struct save *s, struct unpublished *to);

#endif
