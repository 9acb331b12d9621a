#include "store/rocksdb/rows.h"

#include "base/endian.h"
#include "io/memory.h"
#include "store/chunk.h"

#include <stdlib.h>

enum { READ_BYTES_MAX = 1 << 20, POOLED_BYTES_MIN = 512 << 10 };

/* --- writing --------------------------------------------------------------------------------- */

void rows_put(const struct database *d, rocksdb_writebatch_t *batch, const struct row_home *home,
              const struct batch *b, int64_t total)
{
	struct row_key key = row_key(home, b->base_offset);
	uint8_t front[ROW_TOTAL_BYTES];
	const char *const keys[] = {(const char *)key.bytes};
	const char *const values[] = {(const char *)front, (const char *)b->bytes.ptr};
	const size_t key_bytes[] = {sizeof(key.bytes)};
	const size_t value_bytes[] = {sizeof(front), b->bytes.len};

	store_le64(front, (uint64_t)total);
	d->lib.writebatch_putv(batch, ARRAY_COUNT(keys), keys, key_bytes, ARRAY_COUNT(values),
	                       values, value_bytes);
}

/* --- walking --------------------------------------------------------------------------------- */

void rows_begin(struct rows *r, const struct database *d, const struct row_home *home, bool verify)
{
	*r = (struct rows){.d = d, .home = home, .verify = verify, .bad_at = -1};
	r->it = d->lib.create_iterator(d->db, d->reading);
}

void rows_end(struct rows *r)
{
	r->d->lib.iter_destroy(r->it);
}

static struct slice key_here(const struct rows *r)
{
	size_t len;
	const char *ptr = r->d->lib.iter_key(r->it, &len);

	return slice_of(ptr, len);
}

static struct slice value_here(const struct rows *r)
{
	size_t len;
	const char *ptr = r->d->lib.iter_value(r->it, &len);

	return slice_of(ptr, len);
}

/* Did the iterator stop for a reason? */
static enum err check_iterator(const struct rows *r, struct fault *f)
{
	char *text = NULL;

	r->d->lib.iter_get_error(r->it, &text);
	return database_check(r->d, text, "rocksdb read", f);
}

static enum err take_batch(struct rows *r, int64_t offset, struct fault *f)
{
	struct slice value = value_here(r);
	struct slice bytes = slice_of(value.ptr + ROW_TOTAL_BYTES, value.len - ROW_TOTAL_BYTES);
	enum err err;

	if (value.len < ROW_TOTAL_BYTES)
		return fault_set(f, ERR_CORRUPT, 0, "a row of %zu bytes", value.len);
	r->total = (int64_t)load_le64(value.ptr);
	if (r->verify) {
		err = chunk_accept(bytes, offset, &r->batch, f);
	} else {
		err = batch_parse(bytes, &r->batch, f);
		if (!err && r->batch.base_offset != offset)
			err = fault_set(f, ERR_CORRUPT, 0, "a batch of another offset");
	}
	if (!err && (r->batch.bytes.len != bytes.len || r->total < (int64_t)bytes.len))
		err = fault_set(f, ERR_CORRUPT, 0, "a row of another length than its batch");
	return err;
}

/* What the iterator stands on. Its error is looked for where it stands on nothing. */
static enum err take(struct rows *r, struct fault *f)
{
	int64_t offset;
	enum err err = OK;

	r->found = r->d->lib.iter_valid(r->it) && row_key_offset(key_here(r), r->home, &offset);
	if (r->found) {
		err = take_batch(r, offset, f);
		if (err)
			r->bad_at = offset;
	} else if (!r->d->lib.iter_valid(r->it)) {
		err = check_iterator(r, f);
	}
	if (err)
		r->found = false;
	return err;
}

static void seek(struct rows *r, int64_t offset)
{
	struct row_key key = row_key(r->home, offset);

	r->d->lib.iter_seek(r->it, (const char *)key.bytes, sizeof(key.bytes));
}

static void seek_back(struct rows *r, int64_t offset)
{
	struct row_key key = row_key(r->home, offset);

	r->d->lib.iter_seek_for_prev(r->it, (const char *)key.bytes, sizeof(key.bytes));
}

static bool stands_on(const struct rows *r, int64_t offset)
{
	int64_t here;

	return r->d->lib.iter_valid(r->it) && row_key_offset(key_here(r), r->home, &here) &&
	       here == offset;
}

/* Who reads on asks for where a batch begins. That is looked for first: an iterator that has looked
 * backwards has to seek again in every file when it is to go forward, and meets damage in blocks
 * that only lie before. */
enum err rows_seek(struct rows *r, int64_t offset, struct fault *f)
{
	enum err err;

	r->bad_at = offset;
	seek(r, offset);
	if (stands_on(r, offset))
		return take(r, f);
	seek_back(r, offset);
	err = take(r, f);
	if (err || (r->found && r->batch.last_offset >= offset))
		return err;
	seek(r, offset);
	return take(r, f);
}

enum err rows_last(struct rows *r, struct fault *f)
{
	seek_back(r, INT64_MAX);
	return take(r, f);
}

enum err rows_next(struct rows *r, struct fault *f)
{
	r->bad_at = r->batch.last_offset + 1;
	r->d->lib.iter_next(r->it);
	return take(r, f);
}

/* --- reading --------------------------------------------------------------------------------- */

struct held {
	struct shared shared;     /* first */
	struct memory_pool *pool; /* where it is from; NULL: the heap */
	uint8_t bytes[];
};
_Static_assert(sizeof(struct held) + READ_BYTES_MAX <= MEMORY_LARGE_BYTES, "a block of the pool");

static void held_free(struct shared *s)
{
	struct held *held = CONTAINER_OF(s, struct held, shared);

	if (held->pool)
		memory_pool_give(held->pool, held);
	else
		free(held);
}

/* What is read through in large pieces takes the same few blocks again and again: fresh memory
 * would cost half as much as all the rest. */
static struct held *held_new(struct memory_pool *pool, size_t room)
{
	bool is_pooled = room >= POOLED_BYTES_MIN && room <= READ_BYTES_MAX;
	struct held *held = is_pooled ? memory_pool_take(pool) : malloc(sizeof(*held) + room);

	if (!held)
		return NULL;
	shared_init(&held->shared, held_free);
	held->pool = is_pooled ? pool : NULL;
	return held;
}

/* No more than there is from here to the end of the span. */
static size_t room_for(const struct rows *r, struct rows_span span, size_t bytes_max)
{
	size_t left = span.total_end > rows_bytes_before(r)
	                      ? (size_t)(span.total_end - rows_bytes_before(r))
	                      : 0;
	size_t room = bytes_max < READ_BYTES_MAX ? bytes_max : READ_BYTES_MAX;

	if (room > left)
		room = left;
	return room < r->batch.bytes.len ? r->batch.bytes.len : room;
}

/* The walk stands on the first one. Whatever ends it, what was gathered by then is good. */
static size_t gather(struct rows *r, struct rows_span span, uint8_t *into, size_t room)
{
	struct fault unused;
	size_t len = 0;

	for (;;) {
		int64_t next = r->batch.last_offset + 1;

		memcpy(into + len, r->batch.bytes.ptr, r->batch.bytes.len);
		len += r->batch.bytes.len;
		if (next >= span.limit || len == room || rows_next(r, &unused) || !r->found ||
		    r->batch.base_offset != next || len + r->batch.bytes.len > room)
			return len;
	}
}

enum err rows_say_missing(struct rows *r, int64_t offset, struct fault *f)
{
	r->bad_at = offset;
	return fault_set(f, ERR_CORRUPT, 0, "the batch of offset %lld is missing",
	                 (long long)offset);
}

/* To the first batch of the span, which there must be. */
static enum err seek_first(struct rows *r, struct rows_span span, struct fault *f)
{
	enum err err = rows_seek(r, span.from, f);

	if (!err && (!r->found || r->batch.base_offset > span.from))
		err = rows_say_missing(r, span.from, f);
	return err;
}

enum err rows_read(const struct database *d, const struct row_home *home, struct rows_span span,
                   size_t bytes_max, struct slice *batches, struct shared **holder, int64_t *bad_at,
                   struct fault *f)
{
	struct rows r;
	struct held *held = NULL;
	enum err err;

	rows_begin(&r, d, home, true);
	err = seek_first(&r, span, f);
	if (!err) {
		size_t room = room_for(&r, span, bytes_max);

		held = held_new(d->read_memory, room);
		if (held) {
			*batches = slice_of(held->bytes, gather(&r, span, held->bytes, room));
			*holder = &held->shared;
		} else {
			err = fault_set(f, ERR_BUSY, 0, "no memory for a read");
		}
	}
	*bad_at = r.bad_at;
	rows_end(&r);
	return err;
}

/* --- finding --------------------------------------------------------------------------------- */

/* From the row that the walk stands on to the end of the span. */
static int64_t bytes_left(const struct rows *r, const struct rows_span *span)
{
	int64_t gone = r->batch.base_offset < span->compacted ? span->gone : 0;

	return span->total_end - rows_bytes_before(r) - gone;
}

/* Halve the offsets until the first batch is found that may be the first to stay: those before it
 * are needed neither for the bytes nor for the count. */
enum err rows_find_start(const struct database *d, const struct row_home *home,
                         struct rows_span span, int64_t bytes_max, int64_t count_max,
                         int64_t *offset, int64_t *bad_at, struct fault *f)
{
	int64_t low = span.from, high = span.limit;
	struct rows r;
	enum err err = OK;

	*offset = span.from;
	rows_begin(&r, d, home, false);
	while (!err && low < high) {
		int64_t middle = low + (high - low) / 2;
		bool is_last, too_much;

		err = rows_seek(&r, middle, f);
		if (err || !r.found)
			break;
		is_last = r.batch.last_offset + 1 >= span.limit;
		too_much = (bytes_max >= 0 && bytes_left(&r, &span) > bytes_max) ||
		           (count_max >= 0 && span.limit - r.batch.base_offset > count_max);
		if (too_much && !is_last) {
			low = r.batch.last_offset + 1;
			*offset = low;
		} else {
			high = r.batch.base_offset;
		}
	}
	*bad_at = r.bad_at;
	rows_end(&r);
	return err;
}

enum err rows_find_boundary(const struct database *d, const struct row_home *home, int64_t offset,
                            int64_t *boundary, int64_t *bytes_before, int64_t *bad_at,
                            struct fault *f)
{
	struct rows r;
	enum err err;

	rows_begin(&r, d, home, false);
	err = rows_seek(&r, offset, f);
	if (!err && !r.found)
		err = rows_say_missing(&r, offset, f);
	if (!err) {
		*boundary = r.batch.base_offset;
		*bytes_before = rows_bytes_before(&r);
	}
	*bad_at = r.bad_at;
	rows_end(&r);
	return err;
}

int64_t rows_damage_end(const struct database *d, const struct row_home *home, int64_t bad_at,
                        int64_t limit)
{
	int64_t low = bad_at + 1, high = limit, end = limit;

	while (low < high) {
		int64_t middle = low + (high - low) / 2;
		struct fault unused;
		struct rows r;

		rows_begin(&r, d, home, true);
		if (!rows_seek(&r, middle, &unused) && r.found && r.batch.base_offset > bad_at) {
			end = r.batch.base_offset;
			high = end < middle ? end : middle;
		} else {
			low = middle + 1;
		}
		rows_end(&r);
	}
	return end;
}
