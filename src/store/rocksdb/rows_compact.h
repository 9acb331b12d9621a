/* rows_compact: one partition's compaction, as far as its rows go: in slices of about 256 KiB read,
 * so that whoever carries it out may rest between them.
 *
 *   map      the keys of what is not compacted yet, until all are seen or the map is full
 *   rewrite  rows from the log start on, into a *piece*: what is left of a stretch of the log
 *   … the piece takes the place of that stretch in one write, and the next one is made, up to where
 *     the map knows
 *
 * The rows of a piece go on with the running totals of the one before it. So what went makes a step
 * in the totals, at the end of what was rewritten so far; rows behind that stay as they are.
 *
 * A piece has batches of one leader epoch. Every batch that is read is verified. A slice has an
 * iterator of its own, so that RocksDB need not keep what it replaces for longer than that.
 *
 * Blocking: a worker's thread, one at a time. */
#ifndef BOURN_STORE_ROCKSDB_ROWS_COMPACT_H
#define BOURN_STORE_ROCKSDB_ROWS_COMPACT_H

#include "store/compact/compact_rewrite.h"
#include "store/rocksdb/rows.h"

enum {
	ROWS_COMPACT_PIECE_BYTES = 256 << 10, /* a piece is finished when it has so much, … */
	ROWS_COMPACT_READ_BYTES = 4 << 20,    /* … or so much was read for it */
};

struct rows_compact_job {
	const struct database *d; /* borrowed until the run's end, as is the next */
	const struct row_home *home;
	struct siphash_key key; /* random */
	int64_t clean;          /* below no key has two records */
	int64_t limit;          /* nothing from here on is touched */
	int64_t log_start;
	int64_t now_ms;
	int64_t horizon_ms; /* for tombstones: compact_rewrite.h */
	size_t map_bytes;   /* at most; COMPACT_MAP_BYTES */
};

/* Rows of [from, to), which it replaces. */
struct rows_piece {
	int64_t from;
	int64_t to;
	int32_t leader_epoch;
	int64_t total_before; /* as its rows count on from */
	int64_t total_was;    /* of the last one that it replaces */
	int64_t bytes_in;     /* of batches */
	int64_t bytes_out;
};

struct rows_compact {
	struct rows_compact_job job;
	struct compact_map map;
	int64_t next; /* offset to be read */
	int64_t upto; /* the map knows all that is below, from `clean` on */
	int64_t bad_at;

	int64_t total; /* of the last piece; -1: the next one is the first, and tells itself */
	bool in_piece;
	struct rows_piece piece;
	struct compact_rewrite rewrite; /* its content */

	int64_t bytes_in; /* all pieces */
	int64_t bytes_out;
};

/* NULL: there is no memory. */
struct rows_compact *rows_compact_new(const struct rows_compact_job *job);
void rows_compact_free(struct rows_compact *r);

/* A slice of mapping; `*done`: it is through. ERR_CORRUPT with `bad_at`, ERR_IO, ERR_NO_MEMORY. */
enum err rows_compact_map(struct rows_compact *r, bool *done, struct fault *f) MUST_CHECK;

/* Go on with the row that holds `offset`; what was rewritten and not put is dropped. */
void rows_compact_move(struct rows_compact *r, int64_t offset);

/* Is there another piece? */
bool rows_compact_has_piece(const struct rows_compact *r);

/* A slice of rewriting; `*done`: the piece is finished. Errors as above. */
enum err rows_compact_rewrite(struct rows_compact *r, bool *done, struct fault *f) MUST_CHECK;

/* Have the piece take the place of what it was made of; the writer's thread. */
void rows_compact_put(const struct rows_compact *r, rocksdb_writebatch_t *batch);

/* The running total at the end of the piece. */
int64_t rows_compact_total(const struct rows_compact *r);

/* The piece is in its place. */
void rows_compact_next(struct rows_compact *r);

#endif
