#include "store/testing/remote_log.h"

#include "base/check.h"
#include "base/endian.h"
#include "record/batch.h"

#include <stdlib.h>

enum {
	GAP_OFFSETS_MAX = 3,
	SAVED_HEADER_BYTES = 24, /* start, end, bytes of batches */
	MARKER_BYTES_MAX = 128,
};

struct copy {
	struct shared shared;
	uint8_t bytes[];
};

void remote_log_init(struct remote_log *l, uint64_t seed, unsigned gap_percent)
{
	CHECK(gap_percent <= 100);
	*l = (struct remote_log){.gap_percent = gap_percent};
	entropy_seeded_init(&l->dice, seed);
}

static void forget(struct remote_log *l, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		l->bytes -= (int64_t)l->batches[i].bytes.len;
		free((void *)l->batches[i].bytes.ptr);
	}
	l->count -= count;
	if (l->count)
		memmove(l->batches, l->batches + count, l->count * sizeof(*l->batches));
}

void remote_log_fini(struct remote_log *l)
{
	forget(l, l->count);
	free(l->batches);
}

unsigned remote_log_roll(struct remote_log *l, unsigned sides)
{
	uint32_t random;

	CHECK(sides > 0);
	l->dice.base.fill(&l->dice.base, &random, sizeof(random));
	return random % sides;
}

/* --- append ---------------------------------------------------------------------------------- */

/* Put a copy of the batch at `base_offset`, which is the end or beyond it. */
static void place(struct remote_log *l, struct slice bytes, int64_t base_offset)
{
	uint8_t *copy = malloc(bytes.len);
	struct batch b;

	CHECK(copy != NULL);
	CHECK(base_offset >= l->end);
	memcpy(copy, bytes.ptr, bytes.len);
	batch_assign(copy, base_offset, 0);
	CHECK(batch_parse(slice_of(copy, bytes.len), &b, NULL) == OK);
	CHECK(b.bytes.len == bytes.len);
	if (l->count == l->cap) {
		l->cap = l->cap ? 2 * l->cap : 16;
		l->batches = realloc(l->batches, l->cap * sizeof(*l->batches));
		CHECK(l->batches != NULL);
	}
	l->batches[l->count++] = (struct remote_batch){
		.base_offset = b.base_offset,
		.last_offset = b.last_offset,
		.max_timestamp = b.max_timestamp,
		.bytes = b.bytes,
	};
	l->bytes += (int64_t)bytes.len;
	l->end = b.last_offset + 1;
}

static void place_marker(struct remote_log *l, int64_t timestamp)
{
	static const uint8_t commit[] = {0, 0, 0, 1};            /* version, type */
	static const uint8_t coordinator[] = {0, 0, 0, 0, 0, 0}; /* version, epoch */
	struct buf marker = BUF_INIT(MARKER_BYTES_MAX);
	struct batch_builder b;

	batch_begin(&b, &marker);
	b.attributes = BATCH_CONTROL | BATCH_TRANSACTIONAL;
	batch_add(&b, &(struct record){.timestamp = timestamp,
	                               .key = slice_of(commit, sizeof(commit)),
	                               .value = slice_of(coordinator, sizeof(coordinator))});
	place(l, batch_finish(&b), l->end);
	buf_fini(&marker);
}

int64_t remote_log_append(struct remote_log *l, struct slice batch)
{
	bool gap = remote_log_roll(l, 100) < l->gap_percent;
	bool marker = gap && remote_log_roll(l, 2);
	int64_t base_offset = l->end;

	if (gap && !marker)
		base_offset += 1 + remote_log_roll(l, GAP_OFFSETS_MAX);
	place(l, batch, base_offset);
	if (marker)
		place_marker(l, l->batches[l->count - 1].max_timestamp);
	return base_offset;
}

/* --- read ------------------------------------------------------------------------------------ */

/* Index of the first batch that ends at `offset` or after it; count when none does. */
static size_t find(const struct remote_log *l, int64_t offset)
{
	size_t low = 0;
	size_t high = l->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (l->batches[middle].last_offset < offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void copy_free(struct shared *s)
{
	free(CONTAINER_OF(s, struct copy, shared));
}

struct slice remote_log_read(const struct remote_log *l, int64_t offset, size_t bytes_max,
                             struct shared **holder)
{
	size_t first = find(l, offset);
	size_t after = first;
	size_t bytes = 0;
	struct copy *copy;

	*holder = NULL;
	while (after < l->count &&
	       (after == first || bytes + l->batches[after].bytes.len <= bytes_max))
		bytes += l->batches[after++].bytes.len;
	if (after == first)
		return SLICE_NONE;
	copy = malloc(sizeof(*copy) + bytes);
	CHECK(copy != NULL);
	shared_init(&copy->shared, copy_free);
	bytes = 0;
	for (size_t i = first; i < after; i++) {
		struct slice from = l->batches[i].bytes;

		memcpy(copy->bytes + bytes, from.ptr, from.len);
		bytes += from.len;
	}
	*holder = &copy->shared;
	return slice_of(copy->bytes, bytes);
}

int64_t remote_log_lookup(const struct remote_log *l, int64_t time_ms)
{
	for (size_t i = 0; i < l->count; i++) {
		struct batch b;
		struct batch_iter it;
		struct record r;
		bool corrupt;

		if (l->batches[i].max_timestamp < time_ms)
			continue;
		CHECK(batch_parse(l->batches[i].bytes, &b, NULL) == OK);
		batch_iter_init(&it, &b);
		while (batch_iter_next(&it, &r, &corrupt)) {
			if (r.offset >= l->start && r.timestamp >= time_ms)
				return r.offset;
		}
	}
	return l->end;
}

void remote_log_trim(struct remote_log *l, int64_t upto)
{
	CHECK(upto >= l->start);
	CHECK(upto <= l->end);
	forget(l, find(l, upto));
	l->start = upto;
}

/* --- save and load --------------------------------------------------------------------------- */

void remote_log_save(const struct remote_log *l, struct buf *out)
{
	uint8_t header[SAVED_HEADER_BYTES];

	store_le64(header, (uint64_t)l->start);
	store_le64(header + 8, (uint64_t)l->end);
	store_le64(header + 16, (uint64_t)l->bytes);
	buf_append(out, header, sizeof(header));
	for (size_t i = 0; i < l->count; i++)
		buf_append_slice(out, l->batches[i].bytes);
}

enum err remote_log_load(struct remote_log *l, struct slice *from, struct fault *f)
{
	struct slice rest;
	int64_t start;
	int64_t end;

	CHECK(l->end == 0);
	if (from->len < SAVED_HEADER_BYTES ||
	    load_le64(from->ptr + 16) > from->len - SAVED_HEADER_BYTES)
		return fault_set(f, ERR_CORRUPT, 0, "remote_sim: a saved log is cut off");
	start = (int64_t)load_le64(from->ptr);
	end = (int64_t)load_le64(from->ptr + 8);
	rest = slice_of(from->ptr + SAVED_HEADER_BYTES, load_le64(from->ptr + 16));
	*from = slice_of(rest.ptr + rest.len, from->len - SAVED_HEADER_BYTES - rest.len);
	while (rest.len) {
		struct batch b;
		enum err err = batch_parse(rest, &b, f);

		if (err)
			return err;
		if (!batch_crc_ok(&b) || b.base_offset < l->end)
			return fault_set(f, ERR_CORRUPT, 0, "remote_sim: a saved batch");
		place(l, b.bytes, b.base_offset);
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	if (start < 0 || start > end || end < l->end)
		return fault_set(f, ERR_CORRUPT, 0, "remote_sim: a saved log from %lld to %lld",
		                 (long long)start, (long long)end);
	l->start = start;
	l->end = end;
	return OK;
}
