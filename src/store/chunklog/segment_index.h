/* segment_index: where in a segment an offset or a time is to be looked for. A mark a *stretch* of
 * batches without padding between them: 16 KiB, one larger batch, or what is left of a run. It says
 * where the stretch lies and the highest timestamp in it (not the highest up to there: so a search
 * from the middle of a segment on skips what only an older batch matches).
 *
 *   bytes:  | header | stretch | stretch | zeros | stretch | … | stretch |   not looked at yet
 *                    ^ mark    ^ mark            ^ mark                  ^ at, next_offset: the
 *                    |<bytes>|                                             frontier
 *
 * Where a mark's bytes end at the next mark's byte there is nothing between the two but batches.
 *
 * It grows at its frontier: by what a checkpoint appended, and by what a reader saw. Of a segment
 * that is finished it is kept beside it as `<base offset>.idx`, which may be missing, or be of
 * another time, or rotten: then it is made again by reading the segment.
 *
 *     0  8  magic "bournidx"          48  8  base offset
 *     8  4  format version            56  8  end offset
 *    12  4  partition                 64  8  bytes of the segment
 *    16 16  store id                  72  4  leader epoch
 *    32 16  topic                     76  4  marks
 *    80     marks: base offset 8, byte in the segment 8, bytes 8, max timestamp 8
 *           last 4: CRC-32C of all before
 * Little-endian. */
#ifndef BOURN_STORE_CHUNKLOG_SEGMENT_INDEX_H
#define BOURN_STORE_CHUNKLOG_SEGMENT_INDEX_H

#include "base/buf.h"
#include "store/chunklog/segment.h"

enum {
	SEGMENT_STRETCH_BYTES = 16 << 10,
	SEGMENT_INDEX_BYTES_MAX = 32 << 20, /* a segment of 2 GiB, in runs of one block each */
};

/* A stretch. */
struct segment_mark {
	int64_t base_offset;
	int64_t at;    /* byte in the file */
	int64_t bytes; /* whole batches, nothing else */
	int64_t max_timestamp;
};

struct segment_index {
	struct segment_mark *marks; /* owned; rising */
	uint32_t count;
	uint32_t cap;
	int64_t at; /* the frontier: byte behind the last stretch … */
	int64_t next_offset;
};

/* Empty: its first batch is the one at `base_offset`, at byte `at` or behind zeros. */
void segment_index_init(struct segment_index *x, int64_t base_offset, int64_t at);
void segment_index_fini(struct segment_index *x);

/* The last stretch that begins at or before `offset`, or the frontier (bytes == 0). */
struct segment_mark segment_index_place(const struct segment_index *x, int64_t offset);

/* The first stretch that reaches beyond offset `from` and holds a timestamp >= time_ms, or else the
 * frontier. */
struct segment_mark segment_index_time(const struct segment_index *x, int64_t from,
                                       int64_t time_ms);

/* Stretches that lie behind each other with nothing between them. */
struct segment_span {
	int64_t at; /* byte in the file */
	int64_t bytes;
	int64_t base_offset;
	int64_t next_offset; /* the first one behind it */
	int64_t next_at;     /* byte where that begins; 0: not known */
};

/* From the stretch on that holds `offset`, as far as they reach: all below offset `limit`, at most
 * `bytes_max`. False: there is none. */
bool segment_index_span(const struct segment_index *x, int64_t offset, int64_t limit,
                        int64_t bytes_max, struct segment_span *out);

/* --- growing ---------------------------------------------------------------------------------- */

/* A stretch while its batches go by; zeroed when it is empty. */
struct segment_stretch {
	struct segment_mark mark;
	int64_t end_offset;
};

/* May the batch that begins at byte `at` be put into it? */
bool segment_stretch_takes(const struct segment_stretch *s, int64_t at);

/* It is put into it. */
void segment_stretch_put(struct segment_stretch *s, const struct batch *b, int64_t at);

/* Such a stretch is added without waiting for the next batch. */
bool segment_stretch_is_full(const struct segment_stretch *s);

/* It goes on at the frontier, or is known already; `s` is empty then. Without memory the frontier
 * stays where it is, here and below. */
void segment_index_add(struct segment_index *x, struct segment_stretch *s);

/* All of a run, whose first batch lies at the frontier; whole batches in each of `iov`. */
void segment_index_add_run(struct segment_index *x, const struct iovec *iov, int count);

/* What `more` knows beyond the frontier, if it begins there. */
void segment_index_join(struct segment_index *x, const struct segment_index *more);

/* --- the file --------------------------------------------------------------------------------- */

/* Read the index of a finished segment into `x`, which is untouched unless that is OK. Blocking. */
enum err segment_index_read(const struct segment_home *h, const struct segment *s,
                            struct segment_index *x, struct fault *f) MUST_CHECK;

/* `x` covers all of `s`. Not flushed: what a crash leaves of it is told by its checksum.
 * Blocking. */
enum err segment_index_write(const struct segment_home *h, const struct segment *s,
                             const struct segment_index *x, struct fault *f) MUST_CHECK;

#endif
