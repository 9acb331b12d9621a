/* Looking for a time. Timestamps come in any order, so only reading finds the first one that is
 * late enough; but a time mark tells of a stretch of some MiB that nothing in it is, and then it is
 * passed over. What no mark covers (there are none of what a run began before it ended) is read. */
#include "store/chunk.h"
#include "store/rocksdb/rows.h"

struct search {
	const struct database *d;
	const struct row_home *home;
	int64_t log_from; /* records before it do not count */
	int64_t time_ms;
	int64_t *offset;
	int64_t *bad_at;
};

/* All batches of [from, limit), which begins and ends with one. */
static enum err search_rows(const struct search *s, int64_t from, int64_t limit, struct fault *f)
{
	int64_t next = from;
	struct rows r;
	enum err err;

	rows_begin(&r, s->d, s->home, true);
	err = rows_seek(&r, from, f);
	while (!err) {
		if (!r.found || r.batch.base_offset > next) {
			err = rows_say_missing(&r, next, f);
			break;
		}
		if (r.batch.max_timestamp >= s->time_ms &&
		    chunk_batch_time(&r.batch, s->log_from, s->time_ms, s->offset))
			break;
		next = r.batch.last_offset + 1;
		if (next >= limit)
			break;
		err = rows_next(&r, f);
	}
	*s->bad_at = r.bad_at;
	rows_end(&r);
	return err;
}

struct mark {
	int64_t first;
	int64_t end;
	int64_t time_ms;
};

static bool mark_here(const struct search *s, rocksdb_iterator_t *it, struct mark *m)
{
	const struct library *lib = &s->d->lib;
	size_t key_len, value_len;
	const char *key, *value;

	if (!lib->iter_valid(it))
		return false;
	key = lib->iter_key(it, &key_len);
	value = lib->iter_value(it, &value_len);
	return row_mark_key_offset(slice_of(key, key_len), s->home, &m->end) &&
	       row_range_decode(slice_of(value, value_len), &m->first, &m->time_ms);
}

/* A mark that cannot be read is none: what it covers is read instead. */
enum err rows_find_time(const struct database *d, const struct row_home *home,
                        struct rows_span span, int64_t time_ms, int64_t *offset, int64_t *bad_at,
                        struct fault *f)
{
	const struct search s = {d, home, span.from, time_ms, offset, bad_at};
	rocksdb_iterator_t *it = d->lib.create_iterator_cf(d->db, d->reading, d->meta);
	struct row_meta_key key = row_mark_key(home, span.from + 1);
	int64_t at = span.from;
	struct mark m;
	enum err err = OK;

	*offset = -1;
	d->lib.iter_seek(it, (const char *)key.bytes, key.len);
	while (!err && *offset < 0 && mark_here(&s, it, &m) && m.end <= span.limit) {
		int64_t upto = m.time_ms < time_ms ? m.first : m.end;

		if (upto > at)
			err = search_rows(&s, at, upto, f);
		at = m.end;
		d->lib.iter_next(it);
	}
	d->lib.iter_destroy(it);
	if (!err && *offset < 0 && at < span.limit)
		err = search_rows(&s, at, span.limit, f);
	return err;
}
