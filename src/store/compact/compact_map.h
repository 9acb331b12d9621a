/* compact_map: where the last record of each key is; as large as it is asked to be, no larger.
 *
 * It knows a key by a hash of 128 bits under a random key of its own: two keys of one hash would
 * lose one of them its record, which is less likely than a disk that errs unnoticed, and which
 * nobody who chooses keys can bring about. An entry takes 24 bytes, and a quarter of them stays
 * free. */
#ifndef BOURN_STORE_COMPACT_COMPACT_MAP_H
#define BOURN_STORE_COMPACT_COMPACT_MAP_H

#include "base/siphash.h"
#include "record/batch.h"

struct compact_entry;

struct compact_map {
	struct siphash_key key;
	struct compact_entry *entries; /* owned; as many as a power of two */
	uint64_t entry_count;
	uint64_t used;
	uint64_t used_max;
};

/* Room for `keys`, or as many as fit `bytes_max`, which is 1 KiB at the least. False: there is no
 * memory. */
bool compact_map_init(struct compact_map *m, const struct siphash_key *key, uint64_t keys,
                      size_t bytes_max) MUST_CHECK;
void compact_map_fini(struct compact_map *m);

/* Note that the record at `offset`, which is beyond those noted before, has this key. False: it is
 * full. */
bool compact_map_put(struct compact_map *m, struct slice key, int64_t offset) MUST_CHECK;

/* The offset noted last for it; -1: none. */
int64_t compact_map_latest(const struct compact_map *m, struct slice key);

/* Put all keys of `b` from offset `*upto` on, which moves behind what was taken: behind the batch,
 * or, when the map is full, to the first record that found no place. ERR_CORRUPT: its records
 * cannot be read. */
enum err compact_map_note(struct compact_map *m, const struct batch *b, int64_t *upto,
                          struct fault *f) MUST_CHECK;

#endif
