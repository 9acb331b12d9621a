/* arena: memory that is given out in pieces and taken back all at once: what hooks make while one
 * request passes them. Not thread safe. A zeroed one with a limit is ready to use. */
#ifndef BOURN_HOOK_ARENA_H
#define BOURN_HOOK_ARENA_H

#include "base/slice.h"

enum { ARENA_BYTES_MAX = 32 << 20 }; /* of one request */

struct arena_chunk;

struct arena {
	struct arena_chunk *chunk; /* owned: the one that is given out of, then those before it */
	size_t used;               /* bytes of it */
	size_t total;              /* bytes of all chunks */
	size_t limit;
};

#define ARENA_INIT ((struct arena){.limit = ARENA_BYTES_MAX})

/* Aligned for anything, not zeroed. NULL: beyond the limit, or memory ends. */
void *arena_alloc(struct arena *a, size_t bytes);

/* A copy of `s`, none for none. False as above. */
bool arena_copy(struct arena *a, struct slice s, struct slice *out);

/* All is taken back; one chunk is kept for what comes next. */
void arena_reset(struct arena *a);
void arena_fini(struct arena *a);

#endif
