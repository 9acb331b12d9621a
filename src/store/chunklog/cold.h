/* cold: reading what stands in segments and no longer in memory.
 *
 * A store has one. It keeps the files that were read last open, with their indexes (cold_files.h).
 *
 * Every batch that leaves was verified in this call (segment_reader.h) and bears the epoch of its
 * segment's header; a range leaves as it is. An index says only where to begin; where what it says
 * does not hold, the segment is read from its start before it is called damaged.
 *
 * Blocking: a worker's thread. Any number of them at once. */
#ifndef BOURN_STORE_CHUNKLOG_COLD_H
#define BOURN_STORE_CHUNKLOG_COLD_H

#include "base/shared.h"
#include "store/chunklog/segment.h"
#include "store/store.h"

enum {
	COLD_FILES_MAX = 256,          /* open at once, unless there is room for fewer */
	COLD_READ_BYTES_MAX = 1 << 20, /* of one read, or one larger batch */
};

struct cold;
struct segment_index;

/* At most `files_max` of them are kept open; 0: COLD_FILES_MAX. */
struct cold *cold_new(unsigned files_max);
/* Nobody reads or holds a range any more. */
void cold_free(struct cold *c);

/* Where to read. */
struct cold_source {
	struct segment_home home; /* what it borrows stays until the call returns */
	struct segment segment;   /* as far as it was written */
	bool finished;            /* it will not grow: a later one is there */
};

/* Whole batches from the one on that contains `offset` (which the segment has), at most
 * `bytes_max`, one in any case, all of them below offset `limit`. `*holder` is the caller's to put.
 *
 * Errors: ERR_CORRUPT: what is damaged, or missing, begins at offset `*bad_at`; ERR_IO, ERR_… of
 * the disk: it could not be read. */
enum err cold_read(struct cold *c, const struct cold_source *s, int64_t offset, int64_t limit,
                   size_t bytes_max, struct slice *batches, struct shared **holder, int64_t *bad_at,
                   struct fault *f) MUST_CHECK;

/* The batches from the one on that contains `offset`, as far as they lie in the file behind each
 * other, at most `bytes_max`, all of them below offset `limit`. False: there is no such range, or
 * it is not certain where it begins and ends; reading batches tells why. `*holder` is the caller's
 * to put, on any thread: it keeps the file open, also when it is forgotten; before cold_free. */
bool cold_range(struct cold *c, const struct cold_source *s, int64_t offset, int64_t limit,
                int64_t bytes_max, struct store_range *range, struct shared **holder);

/* The first record from offset `from` on and below `limit` with timestamp >= time_ms; `*offset` is
 * -1 when there is none. Errors as above. */
enum err cold_find_time(struct cold *c, const struct cold_source *s, int64_t from, int64_t limit,
                        int64_t time_ms, int64_t *offset, int64_t *bad_at,
                        struct fault *f) MUST_CHECK;

/* `run` was appended to `s` (count == 0: nothing), which is in force before anybody asks for it:
 * what that says need not be read. Once the segment is finished its index comes to lie beside it,
 * if all of it is known; else that is left to who reads it. Blocking. */
void cold_note(struct cold *c, const struct cold_source *s, const struct segment_index *run);

/* Its file is removed: it stays open until those that read it now are through. */
void cold_forget(struct cold *c, const struct segment_home *h, const struct segment *s);

/* The same for all files of a topic. */
void cold_forget_topic(struct cold *c, const struct uuid *topic);

#endif
