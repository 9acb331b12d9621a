#include "hook/arena.h"

#include <stdalign.h>
#include <stdlib.h>

enum { CHUNK_BYTES = 16 << 10, KEPT_BYTES_MAX = 1 << 20 };

struct arena_chunk {
	struct arena_chunk *before;
	size_t bytes;
	alignas(max_align_t) uint8_t memory[];
};

static size_t round_up(size_t bytes)
{
	return (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
}

static bool add_chunk(struct arena *a, size_t bytes)
{
	struct arena_chunk *chunk;

	if (bytes < CHUNK_BYTES)
		bytes = CHUNK_BYTES;
	if (bytes > a->limit - a->total)
		return false;
	chunk = malloc(sizeof(*chunk) + bytes);
	if (!chunk)
		return false;
	chunk->before = a->chunk;
	chunk->bytes = bytes;
	a->chunk = chunk;
	a->used = 0;
	a->total += bytes;
	return true;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	void *memory;

	if (bytes > a->limit)
		return NULL;
	bytes = round_up(bytes ? bytes : 1);
	if ((!a->chunk || bytes > a->chunk->bytes - a->used) && !add_chunk(a, bytes))
		return NULL;
	memory = a->chunk->memory + a->used;
	a->used += bytes;
	return memory;
}

bool arena_copy(struct arena *a, struct slice s, struct slice *out)
{
	void *copy;

	*out = SLICE_NONE;
	if (!s.ptr)
		return true;
	copy = arena_alloc(a, s.len);
	if (!copy)
		return false;
	memcpy(copy, s.ptr, s.len);
	*out = slice_of(copy, s.len);
	return true;
}

static void free_chunks(struct arena *a, struct arena_chunk *but)
{
	while (a->chunk && a->chunk != but) {
		struct arena_chunk *before = a->chunk->before;

		a->total -= a->chunk->bytes;
		free(a->chunk);
		a->chunk = before;
	}
}

void arena_reset(struct arena *a)
{
	struct arena_chunk *first = a->chunk;

	while (first && first->before)
		first = first->before;
	free_chunks(a, first && first->bytes <= KEPT_BYTES_MAX ? first : NULL);
	a->used = 0;
}

void arena_fini(struct arena *a)
{
	free_chunks(a, NULL);
	a->used = 0;
}
