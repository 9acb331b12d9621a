#include "store/rocksdb/rows_compact.h"

#include "base/check.h"
#include "store/compact/compact_pace.h"

#include <stdlib.h>

/* --- life ------------------------------------------------------------------------------------ */

struct rows_compact *rows_compact_new(const struct rows_compact_job *job)
{
	struct rows_compact *r = calloc(1, sizeof(*r));

	CHECK(job->clean < job->limit);
	if (!r)
		return NULL;
	r->job = *job;
	r->upto = job->clean > job->log_start ? job->clean : job->log_start;
	r->next = r->upto;
	r->total = -1;
	if (!compact_map_init(&r->map, &job->key, (uint64_t)(job->limit - r->upto),
	                      job->map_bytes)) {
		free(r);
		return NULL;
	}
	return r;
}

static void drop_piece(struct rows_compact *r)
{
	if (r->in_piece)
		compact_rewrite_fini(&r->rewrite);
	r->in_piece = false;
}

void rows_compact_free(struct rows_compact *r)
{
	drop_piece(r);
	compact_map_fini(&r->map);
	free(r);
}

void rows_compact_move(struct rows_compact *r, int64_t offset)
{
	drop_piece(r);
	r->next = offset;
	r->total = -1;
}

/* --- reading --------------------------------------------------------------------------------- */

/* To the row that holds `next`, which there must be; in a piece it begins there. */
static enum err seek_next(struct rows_compact *r, struct rows *rows, struct fault *f)
{
	enum err err = rows_seek(rows, r->next, f);

	if (!err && (!rows->found || rows->batch.base_offset > r->next ||
	             (r->in_piece && rows->batch.base_offset < r->next)))
		err = rows_say_missing(rows, r->next, f);
	return err;
}

/* To the next one, which follows. */
static enum err step(struct rows_compact *r, struct rows *rows, struct fault *f)
{
	enum err err = rows_next(rows, f);

	if (!err && (!rows->found || rows->batch.base_offset != r->next))
		err = rows_say_missing(rows, r->next, f);
	return err;
}

/* --- mapping --------------------------------------------------------------------------------- */

/* A batch that reaches beyond the limit is left for another run. */
static enum err map_batch(struct rows_compact *r, const struct batch *b, bool *done,
                          struct fault *f)
{
	enum err err = OK;

	*done = b->last_offset >= r->job.limit;
	if (*done)
		return OK;
	err = compact_map_note(&r->map, b, &r->upto, f);
	r->next = b->last_offset + 1;
	*done = r->upto <= b->last_offset || r->next >= r->job.limit;
	return err;
}

enum err rows_compact_map(struct rows_compact *r, bool *done, struct fault *f)
{
	int64_t left = COMPACT_SLICE_BYTES;
	struct rows rows;
	enum err err;

	*done = false;
	rows_begin(&rows, r->job.d, r->job.home, true);
	err = seek_next(r, &rows, f);
	while (!err) {
		left -= (int64_t)rows.batch.bytes.len;
		err = map_batch(r, &rows.batch, done, f);
		if (err || *done || left <= 0)
			break;
		err = step(r, &rows, f);
	}
	r->bad_at = rows.bad_at;
	rows_end(&rows);
	return err;
}

/* --- rewriting ------------------------------------------------------------------------------- */

bool rows_compact_has_piece(const struct rows_compact *r)
{
	return r->next < r->upto;
}

static void piece_begin(struct rows_compact *r, const struct rows *first)
{
	const struct compact_rules rules = {
		.map = &r->map,
		.leader_epoch = first->batch.leader_epoch,
		.log_start = r->job.log_start,
		.upto = r->upto,
		.now_ms = r->job.now_ms,
		.horizon_ms = r->job.horizon_ms,
	};

	r->piece = (struct rows_piece){
		.from = first->batch.base_offset,
		.to = first->batch.base_offset,
		.leader_epoch = rules.leader_epoch,
		.total_before = r->total >= 0 ? r->total : rows_bytes_before(first),
	};
	compact_rewrite_init(&r->rewrite, &rules, r->piece.from);
	r->in_piece = true;
}

static enum err piece_take(struct rows_compact *r, const struct rows *rows, struct fault *f)
{
	struct rows_piece *p = &r->piece;
	enum err err = compact_rewrite_put(&r->rewrite, &rows->batch, f);

	if (err)
		return err;
	r->next = rows->batch.last_offset + 1;
	p->to = r->next;
	p->total_was = rows->total;
	p->bytes_in += (int64_t)rows->batch.bytes.len;
	return OK;
}

static bool piece_is_full(const struct rows_compact *r)
{
	return !rows_compact_has_piece(r) || r->piece.bytes_in >= ROWS_COMPACT_READ_BYTES ||
	       r->rewrite.out.len + r->rewrite.open.len >= ROWS_COMPACT_PIECE_BYTES;
}

static enum err piece_end(struct rows_compact *r, struct fault *f)
{
	enum err err = compact_rewrite_end(&r->rewrite, f);

	r->piece.bytes_out = (int64_t)r->rewrite.out.len;
	return err;
}

enum err rows_compact_rewrite(struct rows_compact *r, bool *done, struct fault *f)
{
	int64_t left = COMPACT_SLICE_BYTES;
	struct rows rows;
	enum err err;

	*done = false;
	rows_begin(&rows, r->job.d, r->job.home, true);
	err = seek_next(r, &rows, f);
	if (!err && !r->in_piece)
		piece_begin(r, &rows);
	while (!err) {
		*done = rows.batch.leader_epoch != r->piece.leader_epoch;
		if (*done)
			break;
		left -= (int64_t)rows.batch.bytes.len;
		err = piece_take(r, &rows, f);
		*done = !err && piece_is_full(r);
		if (err || *done || left <= 0)
			break;
		err = step(r, &rows, f);
	}
	r->bad_at = rows.bad_at;
	rows_end(&rows);
	return !err && *done ? piece_end(r, f) : err;
}

/* --- the piece ------------------------------------------------------------------------------- */

void rows_compact_put(const struct rows_compact *r, rocksdb_writebatch_t *batch)
{
	const struct rows_piece *p = &r->piece;
	struct row_key from = row_key(r->job.home, p->from);
	struct row_key to = row_key(r->job.home, p->to);
	struct slice rest = buf_slice(&r->rewrite.out);
	int64_t total = p->total_before;

	r->job.d->lib.writebatch_delete_range(batch, (const char *)from.bytes, sizeof(from.bytes),
	                                      (const char *)to.bytes, sizeof(to.bytes));
	while (rest.len > 0) {
		struct batch b;
		enum err err = batch_parse(rest, &b, NULL);

		CHECK(err == OK);
		total += (int64_t)b.bytes.len;
		rows_put(r->job.d, batch, r->job.home, &b, total);
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
}

int64_t rows_compact_total(const struct rows_compact *r)
{
	return r->piece.total_before + r->piece.bytes_out;
}

void rows_compact_next(struct rows_compact *r)
{
	r->total = rows_compact_total(r);
	r->bytes_in += r->piece.bytes_in;
	r->bytes_out += r->piece.bytes_out;
	drop_piece(r);
}
