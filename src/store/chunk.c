#include "store/chunk.h"

#include "io/memory.h"
#include "store/wal.h"

#include <stdlib.h>

enum { PAGE_BYTES = 4 << 10 };

enum err chunk_accept(struct slice from, int64_t expected_offset, struct batch *out,
                      struct fault *f)
{
	struct batch b;
	enum err err = batch_parse(from, &b, f);

	if (err)
		return err;
	if (b.base_offset != expected_offset)
		return fault_set(f, ERR_CORRUPT, 0, "a batch says offset %lld where %lld must be",
		                 (long long)b.base_offset, (long long)expected_offset);
	if (!batch_crc_ok(&b))
		return fault_set(f, ERR_CORRUPT, 0, "the batch at offset %lld fails its checksum",
		                 (long long)expected_offset);
	*out = b;
	return OK;
}

_Static_assert(sizeof(struct chunk) + CHUNK_BYTES_MAX +
                               (CHUNK_BYTES_MAX / CHUNK_MARK_BYTES + 1) *
                                       sizeof(struct chunk_mark) <=
                       MEMORY_LARGE_BYTES,
               "a full chunk is one large page");

/* The largest is one batch, which is one WAL frame. */
_Static_assert(sizeof(struct chunk) + WAL_PAYLOAD_BYTES_MAX +
                               (WAL_PAYLOAD_BYTES_MAX / CHUNK_MARK_BYTES + 1) *
                                       sizeof(struct chunk_mark) <
                       (size_t)UINT16_MAX * PAGE_BYTES,
               "its pages, and so its marks, are counted in 16 bits");

static void chunk_free(struct shared *s)
{
	struct chunk *c = CONTAINER_OF(s, struct chunk, shared);

	if (c->pool)
		memory_pool_give(c->pool, c);
	else if (c->mapped_pages > 0)
		memory_unmap(c, (size_t)c->mapped_pages * PAGE_BYTES);
	else
		free(c);
}

/* Memory for `bytes`, of which `*c` then says where it is from. */
static struct chunk *chunk_memory(struct memory_pool *pool, size_t bytes, size_t cap,
                                  struct chunk *c)
{
	size_t pages = (bytes + PAGE_BYTES - 1) / PAGE_BYTES;

	if (pool && cap == CHUNK_BYTES_MAX) {
		c->pool = pool;
		return memory_pool_take(pool);
	}
	if (cap < CHUNK_MAPPED_BYTES)
		return malloc(bytes);
	CHECK(pages <= UINT16_MAX);
	c->mapped_pages = (uint16_t)pages;
	return memory_map(pages * PAGE_BYTES);
}

struct chunk *chunk_new(struct memory_pool *pool, int64_t base_offset, int32_t leader_epoch,
                        size_t cap)
{
	size_t marks_bytes = (cap / CHUNK_MARK_BYTES + 1) * sizeof(struct chunk_mark);
	struct chunk new = {
		.base_offset = base_offset,
		.end_offset = base_offset,
		.max_timestamp = INT64_MIN,
		.leader_epoch = leader_epoch,
		.cap = cap,
	};
	struct chunk *c = chunk_memory(pool, sizeof(*c) + marks_bytes + cap, cap, &new);

	if (!c)
		return NULL;
	*c = new;
	c->marks = (struct chunk_mark *)(c + 1);
	c->bytes = (uint8_t *)(c + 1) + marks_bytes;
	shared_init(&c->shared, chunk_free);
	return c;
}

void chunk_fill(struct chunk *c, struct slice batch, int64_t base_offset)
{
	uint8_t *at = c->bytes + c->filled;

	CHECK(batch.len <= chunk_room(c));
	memcpy(at, batch.ptr, batch.len); /* the one copy of an event between socket and WAL */
	batch_assign(at, base_offset, c->leader_epoch);
	c->filled += batch.len;
}

static struct batch batch_at(const struct chunk *c, size_t at, size_t end)
{
	struct batch b;
	enum err err;

	CHECK(at < end);
	err = batch_parse(slice_of(c->bytes + at, end - at), &b, NULL);
	CHECK(err == OK); /* checked before it came in, and memory does not rot silently */
	return b;
}

static void mark_if_far(struct chunk *c, size_t at, int64_t base_offset)
{
	if (c->mark_count > 0 && at - c->marks[c->mark_count - 1].at < CHUNK_MARK_BYTES)
		return;
	CHECK(c->mark_count <= c->cap / CHUNK_MARK_BYTES);
	c->marks[c->mark_count++] = (struct chunk_mark){base_offset, at};
}

void chunk_show(struct chunk *c, size_t bytes)
{
	size_t end = c->len + bytes;

	CHECK(end <= c->filled);
	while (c->len < end) {
		struct batch b = batch_at(c, c->len, end);

		CHECK(b.base_offset == c->end_offset);
		mark_if_far(c, c->len, b.base_offset);
		c->end_offset = b.last_offset + 1;
		if (b.max_timestamp > c->max_timestamp)
			c->max_timestamp = b.max_timestamp;
		c->len += b.bytes.len;
	}
}

void chunk_unfill(struct chunk *c)
{
	c->filled = c->len;
}

struct batch chunk_batch(const struct chunk *c, size_t at)
{
	return batch_at(c, at, c->len);
}

/* The last mark at or below `offset`; the first one when all are above. */
static size_t mark_find(const struct chunk *c, int64_t offset)
{
	uint32_t low = 0, high = c->mark_count;

	CHECK(high > 0);
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (c->marks[middle].base_offset <= offset)
			low = middle;
		else
			high = middle;
	}
	return c->marks[low].at;
}

size_t chunk_find(const struct chunk *c, int64_t offset)
{
	size_t at = mark_find(c, offset);

	CHECK(offset < c->end_offset);
	for (;;) {
		struct batch b = chunk_batch(c, at);

		if (b.last_offset >= offset)
			return at;
		at += b.bytes.len;
	}
}

struct slice chunk_batches(const struct chunk *c, size_t at, size_t bytes_max)
{
	size_t end = at;

	do {
		size_t bytes = chunk_batch(c, end).bytes.len;

		if (end > at && end - at + bytes > bytes_max)
			break;
		end += bytes;
	} while (end < c->len);
	return slice_of(c->bytes + at, end - at);
}

bool chunk_batch_time(const struct batch *b, int64_t from, int64_t time_ms, int64_t *offset)
{
	struct batch_iter it;
	struct record r;
	bool corrupt = false;

	batch_iter_init(&it, b);
	while (batch_iter_next(&it, &r, &corrupt)) {
		if (r.timestamp >= time_ms && r.offset >= from) {
			*offset = r.offset;
			return true;
		}
	}
	return false;
}

bool chunk_find_time(const struct chunk *c, int64_t from, int64_t time_ms, int64_t *offset)
{
	size_t at;

	if (c->len == 0 || c->max_timestamp < time_ms || from >= c->end_offset)
		return false;
	at = chunk_find(c, from);
	while (at < c->len) {
		struct batch b = chunk_batch(c, at);

		if (b.max_timestamp >= time_ms && chunk_batch_time(&b, from, time_ms, offset))
			return true;
		at += b.bytes.len;
	}
	return false;
}
