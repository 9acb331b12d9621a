/* What compaction left takes its place in memory. */
#include "store/chunklog/chunklog.h"

#include <stdlib.h>

/* The chunks that overlap what was compacted: from `first` to `end` (not included), or none. */
struct overlap {
	uint32_t first;
	uint32_t end;
	struct chunk *before; /* owned; what of the first stays: a copy; NULL: nothing */
	struct chunk *behind; /* … of the last */
};

static struct overlap find_overlap(const struct partition *p, int64_t from, int64_t to)
{
	struct overlap o = {0};

	while (o.first < p->chunk_count && p->chunks[o.first]->len > 0 &&
	       p->chunks[o.first]->end_offset <= from)
		o.first++;
	o.end = o.first;
	while (o.end < p->chunk_count && p->chunks[o.end]->base_offset < to)
		o.end++;
	return o;
}

/* Batches from byte `at` to byte `end` in a chunk of their own; none: NULL. */
static bool copy_part(const struct chunk *c, size_t at, size_t end, struct chunk **out)
{
	*out = NULL;
	if (at == end)
		return true;
	*out = chunk_new(NULL, chunk_batch(c, at).base_offset, c->leader_epoch, end - at);
	if (!*out)
		return false;
	while (at < end) {
		struct batch b = chunk_batch(c, at);

		chunk_fill(*out, b.bytes, b.base_offset);
		at += b.bytes.len;
	}
	chunk_show(*out, (*out)->filled);
	(*out)->born = c->born;
	return true;
}

static void drop(struct chunk *c)
{
	if (c)
		chunk_put(c);
}

/* What of the overlapped chunks lies outside. False: there is no memory. */
static bool copy_edges(const struct partition *p, struct overlap *o, int64_t from, int64_t to)
{
	const struct chunk *first = p->chunks[o->first], *last = p->chunks[o->end - 1];
	size_t upto = first->base_offset < from ? chunk_find(first, from) : 0;
	size_t behind = last->end_offset > to ? chunk_find(last, to) : last->len;

	if (!copy_part(first, 0, upto, &o->before))
		return false;
	if (copy_part(last, behind, last->len, &o->behind))
		return true;
	drop(o->before);
	return false;
}

static uint32_t put_at(struct chunk **into, uint32_t at, struct chunk *c)
{
	if (c)
		into[at++] = c;
	return at;
}

/* False: there is no memory. */
static bool splice(struct partition *p, const struct overlap *o, struct chunk **chunks,
                   uint32_t count)
{
	uint32_t after = p->chunk_count - o->end, cap = o->first + count + after + 2, at = o->first;
	struct chunk **now = calloc(cap, sizeof(struct chunk *));

	if (!now)
		return false;
	if (o->first > 0)
		memcpy(now, p->chunks, o->first * sizeof(*now));
	at = put_at(now, at, o->before);
	for (uint32_t i = 0; i < count; i++)
		at = put_at(now, at, chunks[i]);
	at = put_at(now, at, o->behind);
	for (uint32_t i = o->end; i < p->chunk_count; i++)
		at = put_at(now, at, p->chunks[i]);
	for (uint32_t i = o->first; i < o->end; i++)
		chunk_put(p->chunks[i]);
	free(p->chunks);
	p->chunks = now;
	p->chunk_count = at;
	p->chunk_cap = cap;
	if (at == 0)
		partition_drop_chunks(p, 0); /* which frees the array */
	return true;
}

/* False: there is no memory; all is as it was. */
static bool exchange(struct partition *p, struct overlap *o, int64_t from, int64_t to,
                     struct chunk **chunks, uint32_t count)
{
	if (!copy_edges(p, o, from, to))
		return false;
	if (splice(p, o, chunks, count))
		return true;
	drop(o->before);
	drop(o->behind);
	return false;
}

static void count_warm(struct partition *p)
{
	p->head_at = 0;
	p->warm_bytes = 0;
	for (uint32_t i = 0; i < p->chunk_count; i++)
		p->warm_bytes += (int64_t)p->chunks[i]->len;
	partition_settle(p);
}

bool partition_take_compacted(struct partition *p, int64_t from, int64_t to, struct chunk **chunks,
                              uint32_t count)
{
	struct overlap o = find_overlap(p, from, to);
	const struct chunk *last = o.end > o.first ? p->chunks[o.end - 1] : NULL;

	if (last && last->filled > last->len && !p->base.state.deleted) {
		partition_seal(p);
		return false;
	}
	if (last && !p->base.state.deleted && p->damage.from < 0 &&
	    exchange(p, &o, from, to, chunks, count)) {
		count_warm(p);
		return true;
	}
	for (uint32_t i = 0; i < count; i++)
		chunk_put(chunks[i]);
	return true;
}
