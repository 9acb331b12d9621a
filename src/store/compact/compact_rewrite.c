#include "store/compact/compact_rewrite.h"

#include "base/check.h"

enum { OUT_BYTES_MAX = 64 << 20 };

enum { OFFSETS_MAX = INT32_MAX }; /* that one batch can cover */

static void open_at(struct compact_rewrite *w, int64_t offset, int64_t horizon_ms)
{
	buf_clear(&w->open);
	batch_begin(&w->builder, &w->open);
	w->open_base = offset;
	w->open_end = offset;
	if (horizon_ms < 0)
		return;
	w->builder.attributes = BATCH_DELETE_HORIZON;
	w->builder.base_timestamp = horizon_ms;
}

static void cover(struct compact_rewrite *w, int64_t end)
{
	batch_skip(&w->builder, (uint32_t)(end - w->open_end));
	w->open_end = end;
}

void compact_rewrite_init(struct compact_rewrite *w, const struct compact_rules *rules,
                          int64_t base_offset)
{
	*w = (struct compact_rewrite){
		.rules = *rules,
		.out = BUF_INIT(OUT_BYTES_MAX),
		.open = BUF_INIT(OUT_BYTES_MAX),
		.next_offset = base_offset,
		.max_timestamp = INT64_MIN,
	};
	open_at(w, base_offset, -1);
}

void compact_rewrite_fini(struct compact_rewrite *w)
{
	buf_fini(&w->out);
	buf_fini(&w->open);
}

/* --- what comes out --------------------------------------------------------------------------- */

static void finish_open(struct compact_rewrite *w)
{
	struct slice batch;

	if (w->builder.count == 0)
		w->builder.max_timestamp = w->max_timestamp;
	if (w->builder.count == 0 && !(w->builder.attributes & BATCH_DELETE_HORIZON))
		w->builder.base_timestamp = w->max_timestamp;
	batch = batch_finish(&w->builder);
	if (batch.ptr)
		batch_assign(w->open.ptr, w->open_base, w->rules.leader_epoch);
	buf_append_slice(&w->out, batch);
	w->out.failed = w->out.failed || w->open.failed;
}

/* The open batch is done and covers all below `end`; the next one is open. */
static void close_at(struct compact_rewrite *w, int64_t end, int64_t horizon_ms)
{
	while (w->open_base < end) {
		int64_t most = w->open_base + OFFSETS_MAX;

		cover(w, end < most ? end : most);
		finish_open(w);
		open_at(w, w->open_end, -1);
	}
	if (horizon_ms >= 0)
		open_at(w, end, horizon_ms);
}

static int64_t open_horizon(const struct compact_rewrite *w)
{
	return w->builder.attributes & BATCH_DELETE_HORIZON ? w->builder.base_timestamp : -1;
}

/* What was not passed must not get the horizon of others. */
static bool horizon_fits(const struct compact_rewrite *w, const struct record *r,
                         int64_t horizon_ms)
{
	int64_t has_ms = open_horizon(w);

	return has_ms == horizon_ms || (horizon_ms < 0 && r->offset < w->rules.upto);
}

static bool goes_into_open(const struct compact_rewrite *w, const struct record *r,
                           int64_t horizon_ms)
{
	size_t bytes = batch_builder_bytes(&w->builder) + record_encoded_bytes_max(r);

	return horizon_fits(w, r, horizon_ms) && r->offset - w->open_base < OFFSETS_MAX &&
	       (w->builder.count == 0 || bytes <= COMPACT_BATCH_BYTES);
}

static void put_record(struct compact_rewrite *w, const struct record *r, int64_t horizon_ms)
{
	if (!goes_into_open(w, r, horizon_ms)) {
		if (w->builder.count == 0 && w->open_base + OFFSETS_MAX > r->offset)
			open_at(w, w->open_base, horizon_ms);
		else
			close_at(w, r->offset, horizon_ms);
	}
	cover(w, r->offset);
	batch_add(&w->builder, r);
	w->open_end++;
	w->records_out++;
}

/* --- what stays ------------------------------------------------------------------------------- */

static bool is_newest(const struct compact_rules *rules, const struct record *r)
{
	return !r->key.ptr || r->offset >= rules->upto ||
	       compact_map_latest(rules->map, r->key) <= r->offset;
}

/* Of what stays: until when, if it is a tombstone that was passed; else -1. */
static int64_t horizon_of(const struct compact_rules *rules, const struct batch *b,
                          const struct record *r)
{
	if (!r->key.ptr || r->value.ptr || r->offset >= rules->upto)
		return -1;
	return b->attributes & BATCH_DELETE_HORIZON ? b->base_timestamp : rules->horizon_ms;
}

enum err compact_rewrite_put(struct compact_rewrite *w, const struct batch *b, struct fault *f)
{
	const struct compact_rules *rules = &w->rules;
	struct batch_iter it;
	struct record r;
	bool corrupt = false;

	CHECK(b->base_offset == w->next_offset);
	if (b->max_timestamp > w->max_timestamp)
		w->max_timestamp = b->max_timestamp;
	batch_iter_init(&it, b);
	while (batch_iter_next(&it, &r, &corrupt)) {
		int64_t horizon_ms = horizon_of(rules, b, &r);

		w->records_in++;
		if (r.offset >= rules->log_start && is_newest(rules, &r) &&
		    (horizon_ms < 0 || horizon_ms > rules->now_ms))
			put_record(w, &r, horizon_ms);
	}
	if (corrupt)
		return fault_set(f, ERR_CORRUPT, 0,
		                 "the records of the batch at offset %lld cannot be read",
		                 (long long)b->base_offset);
	w->next_offset = b->last_offset + 1;
	if (w->out.failed || w->open.failed)
		return fault_set(f, ERR_NO_MEMORY, 0, "compaction");
	return OK;
}

enum err compact_rewrite_end(struct compact_rewrite *w, struct fault *f)
{
	close_at(w, w->next_offset, -1);
	return w->out.failed ? fault_set(f, ERR_NO_MEMORY, 0, "compaction") : OK;
}
