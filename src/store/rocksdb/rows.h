/* rows: a partition's batches in the database, walked in order; and what is looked for among them.
 *
 * A walk sees the database as it was when it began. Every row is checked: its key, its length, the
 * base offset in the batch; and, where the walk says so, the batch's CRC.
 *
 * Blocking: a worker's thread, the writer's, or the start's. */
#ifndef BOURN_STORE_ROCKSDB_ROWS_H
#define BOURN_STORE_ROCKSDB_ROWS_H

#include "base/shared.h"
#include "record/batch.h"
#include "store/rocksdb/database.h"
#include "store/rocksdb/row.h"

struct rows {
	const struct database *d; /* borrowed, as is the next */
	const struct row_home *home;
	rocksdb_iterator_t *it;
	bool verify; /* check CRCs */

	bool found;         /* there is a row here; else the walk is behind the last one */
	struct batch batch; /* borrowed until the walk moves */
	int64_t total;      /* of the row */
	int64_t bad_at; /* after ERR_CORRUPT: the first offset that is damaged, as far as is known */
};

void rows_begin(struct rows *r, const struct database *d, const struct row_home *home, bool verify);
void rows_end(struct rows *r);

/* Add the row of `b` to `batch`; `total`: the running total of bytes behind it. */
void rows_put(const struct database *d, rocksdb_writebatch_t *batch, const struct row_home *home,
              const struct batch *b, int64_t total);

/* To the batch that contains `offset`, or else the first one after; to the one with the highest
 * offset; to the next one. ERR_CORRUPT, ERR_IO: as far as `bad_at`. */
enum err rows_seek(struct rows *r, int64_t offset, struct fault *f) MUST_CHECK;
enum err rows_last(struct rows *r, struct fault *f) MUST_CHECK;
enum err rows_next(struct rows *r, struct fault *f) MUST_CHECK;

/* The batch of `offset` is not there, and should be: ERR_CORRUPT. */
enum err rows_say_missing(struct rows *r, int64_t offset, struct fault *f);

/* Of all batches before this one. */
static inline int64_t rows_bytes_before(const struct rows *r)
{
	return r->total - (int64_t)r->batch.bytes.len;
}

/* --- what is looked for ---------------------------------------------------------------------- */

/* A part of a partition. */
struct rows_span {
	int64_t from;      /* offset, as is the next */
	int64_t limit;     /* behind the last one; nothing at or behind it is looked at */
	int64_t total_end; /* running total at `limit` */
	int64_t compacted; /* offset: what compaction took away lies below, … */
	int64_t gone;      /* … so many bytes, which totals count all the same */
};

/* Whole batches from the one that contains `from` on, at most `bytes_max` of them, one in any case.
 * `*holder` keeps them, a reference for the caller; NULL when there are none. What is damaged
 * behind the first batch ends the reading without an error.
 *
 * Errors: ERR_CORRUPT with `*bad_at`, ERR_IO, ERR_BUSY (no memory). */
enum err rows_read(const struct database *d, const struct row_home *home, struct rows_span span,
                   size_t bytes_max, struct slice *batches, struct shared **holder, int64_t *bad_at,
                   struct fault *f) MUST_CHECK;

/* The first record of the span with timestamp >= time_ms; -1: there is none. */
enum err rows_find_time(const struct database *d, const struct row_home *home,
                        struct rows_span span, int64_t time_ms, int64_t *offset, int64_t *bad_at,
                        struct fault *f) MUST_CHECK;

/* Where a log begins that keeps at most `bytes_max` bytes and `count_max` offsets of the span (-1:
 * as many as there are), and its newest batch in any case: at a batch, the first that will do. */
enum err rows_find_start(const struct database *d, const struct row_home *home,
                         struct rows_span span, int64_t bytes_max, int64_t count_max,
                         int64_t *offset, int64_t *bad_at, struct fault *f) MUST_CHECK;

/* The batch that contains `offset` is the first that stays: where it begins, and how many bytes
 * come before it. */
enum err rows_find_boundary(const struct database *d, const struct row_home *home, int64_t offset,
                            int64_t *boundary, int64_t *bytes_before, int64_t *bad_at,
                            struct fault *f) MUST_CHECK;

/* What is damaged begins at `bad_at`: where it can be read again, at most `limit`. */
int64_t rows_damage_end(const struct database *d, const struct row_home *home, int64_t bad_at,
                        int64_t limit);

#endif
