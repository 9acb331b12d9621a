#include "store/compact/compact_map.h"

#include "base/check.h"

#include <stdlib.h>

struct compact_entry {
	struct siphash hash;
	int64_t behind; /* the offset and one; 0: a free entry */
};

enum { ENTRIES_LEAST = 32 };
_Static_assert(ENTRIES_LEAST * sizeof(struct compact_entry) <= 1024, "the least there is");

bool compact_map_init(struct compact_map *m, const struct siphash_key *key, uint64_t keys,
                      size_t bytes_max)
{
	uint64_t count = ENTRIES_LEAST;

	while (count - count / 4 < keys && count * 2 * sizeof(struct compact_entry) <= bytes_max)
		count *= 2;
	*m = (struct compact_map){
		.key = *key,
		.entries = calloc(count, sizeof(struct compact_entry)),
		.entry_count = count,
		.used_max = count - count / 4,
	};
	return m->entries != NULL;
}

void compact_map_fini(struct compact_map *m)
{
	free(m->entries);
	m->entries = NULL;
}

/* That of the key, or the free one where it would go. */
static struct compact_entry *find(const struct compact_map *m, const struct siphash *hash)
{
	uint64_t at = hash->words[0] & (m->entry_count - 1);

	while (m->entries[at].behind != 0 && (m->entries[at].hash.words[0] != hash->words[0] ||
	                                      m->entries[at].hash.words[1] != hash->words[1]))
		at = (at + 1) & (m->entry_count - 1);
	return &m->entries[at];
}

bool compact_map_put(struct compact_map *m, struct slice key, int64_t offset)
{
	struct siphash hash = siphash(&m->key, key);
	struct compact_entry *e = find(m, &hash);

	CHECK(offset >= 0);
	if (e->behind == 0) {
		if (m->used == m->used_max)
			return false;
		m->used++;
		e->hash = hash;
	}
	CHECK(offset >= e->behind);
	e->behind = offset + 1;
	return true;
}

int64_t compact_map_latest(const struct compact_map *m, struct slice key)
{
	struct siphash hash = siphash(&m->key, key);

	return find(m, &hash)->behind - 1;
}

enum err compact_map_note(struct compact_map *m, const struct batch *b, int64_t *upto,
                          struct fault *f)
{
	struct batch_iter it;
	struct record r;
	bool corrupt = false;

	batch_iter_init(&it, b);
	while (batch_iter_next(&it, &r, &corrupt)) {
		if (r.offset < *upto || !r.key.ptr)
			continue;
		if (!compact_map_put(m, r.key, r.offset)) {
			*upto = r.offset;
			return OK;
		}
	}
	if (corrupt)
		return fault_set(f, ERR_CORRUPT, 0,
		                 "the records of the batch at offset %lld cannot be read",
		                 (long long)b->base_offset);
	*upto = b->last_offset + 1;
	return OK;
}
