/* store_batches: what the storage benchmark stores: batches of events of 1 KiB, 100 of them or as
 * many as are asked for.
 *
 * There are 64 different ones, used in turn, so batch n of a partition begins at offset 100 n and
 * is known whole: whether it came back right is one comparison. Their events are printable text. */
#ifndef BOURN_BENCH_STORE_BATCHES_H
#define BOURN_BENCH_STORE_BATCHES_H

#include "bench.h"

#include "base/buf.h"

enum {
	STORE_BATCHES = 64,
	STORE_BATCH_EVENTS = 100,
	STORE_EVENT_BYTES = 1024,
};

struct store_batches {
	uint32_t events;  /* a batch */
	struct buf bytes; /* of all, one behind the other */
	struct slice batches[STORE_BATCHES];
};

void store_batches_init(struct store_batches *s, uint32_t events);
void store_batches_fini(struct store_batches *s);

/* Batch `number` of a partition; its offset and epoch are the broker's to fill in. */
static inline struct slice store_batches_get(const struct store_batches *s, int64_t number)
{
	return s->batches[number % STORE_BATCHES];
}

/* Is the first batch in `*stored` number `number`, whole? Then it is taken from there. */
bool store_batches_take(const struct store_batches *s, int64_t number, struct slice *stored,
                        struct failure *f);

/* The event at `offset`. */
void store_batches_event(int64_t offset, uint8_t into[STORE_EVENT_BYTES]);

#endif
