/* chunk: a stretch of a partition's log in memory, at most 2 MiB or one larger batch alone.
 *
 *   bytes:  | batch | batch | … | batch | in flight       | room |
 *           0                        len            filled      cap
 *
 * It is filled from the left and never moves. What stands below `len` is visible and never changes,
 * so readers on any thread borrow it under a reference while the owning shard goes on filling; the
 * part from `len` to `filled` is in WAL frames in flight, shown as these are acknowledged or
 * dropped when one is refused. All batches of a chunk bear one leader epoch, and their offsets
 * follow each other without a hole.
 *
 * The struct's fields belong to the owning shard; other threads touch only bytes they were
 * given. */
#ifndef BOURN_STORE_CHUNK_H
#define BOURN_STORE_CHUNK_H

#include "base/shared.h"
#include "base/slice.h"
#include "record/batch.h"

struct memory_pool;

enum {
	CHUNK_BYTES_MIN = 896, /* 1 KiB in all: thousands of topics have no more */
	CHUNK_BYTES_MAX = (2 << 20) - (9 << 10), /* with its marks, a large page (io/memory.h) */
	CHUNK_MARK_BYTES = 4 << 10,              /* one mark at most for so many bytes */
	/* Chunks with so much room are apart from the heap, where what else there is would keep the
	 * memory of those that went. */
	CHUNK_MAPPED_BYTES = 128 << 10,
};

/* Where a batch begins; a search starts at the last mark at or below what is sought. */
struct chunk_mark {
	int64_t base_offset;
	size_t at;
};

struct chunk {
	struct shared shared;  /* first */
	int64_t base_offset;   /* of its first batch */
	int64_t end_offset;    /* behind its last visible batch; base_offset when there is none */
	int64_t max_timestamp; /* of its visible batches; INT64_MIN when there is none */
	struct memory_pool *pool; /* where its block of memory is from; NULL: the heap, or … */
	int64_t born; /* on the store's clock of chunk bytes, when it came; its partition's */
	int32_t leader_epoch;
	uint16_t mapped_pages; /* … so many of the system's */
	uint16_t mark_count;
	size_t len;
	size_t filled;
	size_t cap;
	struct chunk_mark *marks; /* in the same block of memory, as are the bytes */
	uint8_t *bytes;
};

/* Is what stands at the front of `from`, bytes that a disk gave, the batch that must follow:
 * length, magic and CRC right, and its base offset (which the CRC does not cover)
 * `expected_offset`? Else ERR_CORRUPT. */
enum err chunk_accept(struct slice from, int64_t expected_offset, struct batch *out,
                      struct fault *f) MUST_CHECK;

/* A full one takes its memory from `pool`, if there is one. NULL when there is no memory. The
 * caller owns one reference. */
struct chunk *chunk_new(struct memory_pool *pool, int64_t base_offset, int32_t leader_epoch,
                        size_t cap);

static inline void chunk_put(struct chunk *c)
{
	shared_put(&c->shared);
}

static inline size_t chunk_room(const struct chunk *c)
{
	return c->cap - c->filled;
}

/* Copy one valid batch behind what is filled (there is room) and give it its offset and the
 * chunk's epoch. */
void chunk_fill(struct chunk *c, struct slice batch, int64_t base_offset);

/* `bytes` more of what is filled become visible; whole batches, valid and in order. */
void chunk_show(struct chunk *c, size_t bytes);

/* What is filled but not visible is dropped. */
void chunk_unfill(struct chunk *c);

/* The visible batch at byte `at`, which is where one begins. */
struct batch chunk_batch(const struct chunk *c, size_t at);

/* Where the batch that contains `offset` begins, or else the first one after; offset <
 * end_offset. */
size_t chunk_find(const struct chunk *c, int64_t offset);

/* Whole batches from byte `at`: at most `bytes_max` of them, but one in any case. Borrowed. */
struct slice chunk_batches(const struct chunk *c, size_t at, size_t bytes_max);

/* The first record at or after `from` (an offset) with timestamp >= time_ms; false: none here. */
bool chunk_find_time(const struct chunk *c, int64_t from, int64_t time_ms, int64_t *offset);

/* The same in one batch. */
bool chunk_batch_time(const struct batch *b, int64_t from, int64_t time_ms, int64_t *offset);

#endif
