#include "store_batches.h"

#include "base/endian.h"
#include "record/batch.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	COMPARED_FROM = 16, /* before it: base offset, length, epoch */
	BATCHES_BYTES_MAX = 16 << 20,
};

void store_batches_event(int64_t offset, uint8_t into[STORE_EVENT_BYTES])
{
	uint32_t number = (uint32_t)(offset % (STORE_BATCHES * STORE_BATCH_EVENTS));
	uint32_t state = number * 2654435761u + 1;

	snprintf((char *)into, STORE_EVENT_BYTES, "event %08" PRIx32 " ", number);
	for (size_t i = 15; i < STORE_EVENT_BYTES; i++) {
		state = state * 1664525u + 1013904223u;
		into[i] = (uint8_t)('a' + (state >> 24) % 26);
	}
}

static size_t make(struct buf *to, int64_t number, uint32_t events)
{
	uint8_t event[STORE_EVENT_BYTES];
	struct batch_builder b;

	batch_begin(&b, to);
	for (uint32_t i = 0; i < events; i++) {
		store_batches_event(number * events + i, event);
		batch_add(&b, &(struct record){.value = slice_of(event, sizeof(event))});
	}
	return batch_finish(&b).len;
}

void store_batches_init(struct store_batches *s, uint32_t events)
{
	size_t lengths[STORE_BATCHES], at = 0;

	s->events = events;
	s->bytes = BUF_INIT(BATCHES_BYTES_MAX);
	for (int64_t i = 0; i < STORE_BATCHES; i++)
		lengths[i] = make(&s->bytes, i, events);
	for (size_t i = 0; i < STORE_BATCHES; i++) {
		s->batches[i] = slice_of(s->bytes.ptr + at, lengths[i]);
		at += lengths[i];
	}
}

void store_batches_fini(struct store_batches *s)
{
	buf_fini(&s->bytes);
}

bool store_batches_take(const struct store_batches *s, int64_t number, struct slice *stored,
                        struct failure *f)
{
	struct slice want = store_batches_get(s, number);

	if (stored->len < want.len)
		return bench_fail(f, "batch %" PRId64 " is cut off: %zu of %zu bytes", number,
		                  stored->len, want.len);
	if ((int64_t)load_be64(stored->ptr) != number * s->events)
		return bench_fail(f, "offset %" PRId64 " where %" PRId64 " must be",
		                  (int64_t)load_be64(stored->ptr), number * s->events);
	if (memcmp(stored->ptr + COMPARED_FROM, want.ptr + COMPARED_FROM,
	           want.len - COMPARED_FROM) != 0)
		return bench_fail(f, "batch %" PRId64 " is not what was stored", number);
	*stored = slice_of(stored->ptr + want.len, stored->len - want.len);
	return true;
}
