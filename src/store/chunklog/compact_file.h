/* compact_file: the segment that compaction writes. Until all of it is on disk its name ends in
 * ".new", so a segment file of a generation above 0 is whole, whatever happened.
 *
 * Blocking: a worker's thread. */
#ifndef BOURN_STORE_CHUNKLOG_COMPACT_FILE_H
#define BOURN_STORE_CHUNKLOG_COMPACT_FILE_H

#include "store/chunklog/segment_index.h"

struct compact_file {
	struct segment_home home; /* what it borrows stays until it is closed */
	struct segment segment;   /* as far as it is written */
	struct segment_index index;
	char path[SEGMENT_PATH_BYTES]; /* its present name */
	int fd;
	int64_t at;      /* in the file, of the buffer's first byte */
	uint8_t *buffer; /* owned, on a block boundary as O_DIRECT wants it; NULL: it is not open */
	size_t len;
};

/* Zeroed, or dropped, or finished before. `s` is empty. */
enum err compact_file_open(struct compact_file *c, const struct segment_home *h,
                           const struct segment *s, struct fault *f) MUST_CHECK;

/* Whole batches that follow what it has, up to `end_offset`. */
enum err compact_file_put(struct compact_file *c, struct slice batches, int64_t end_offset,
                          struct fault *f) MUST_CHECK;

/* All of it is on disk, under its name; with its index beside it. Open no more when that is OK. */
enum err compact_file_finish(struct compact_file *c, struct fault *f) MUST_CHECK;

/* It is not wanted. Nothing happens when it is not open. */
void compact_file_drop(struct compact_file *c);

#endif
