#include "ledger.h"

#include "base/check.h"
#include "base/crc32c.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	AT_RUN = 1,
	AT_NUMBER = 9,
	AT_CRC = 17,
	AT_LETTERS = 25,
	HEX_DIGITS = 8,
};

static void hex_write(uint8_t *at, uint32_t value)
{
	for (int i = HEX_DIGITS - 1; i >= 0; i--, value >>= 4)
		at[i] = (uint8_t) "0123456789abcdef"[value & 15];
}

static bool hex_read(const uint8_t *at, uint32_t *out)
{
	uint32_t value = 0;

	for (int i = 0; i < HEX_DIGITS; i++) {
		uint8_t c = at[i];

		if (c >= '0' && c <= '9')
			value = value << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	*out = value;
	return true;
}

static uint32_t event_crc(const uint8_t *event, size_t len)
{
	uint32_t crc = crc32c(0, event, AT_CRC);

	return crc32c(crc, event + AT_LETTERS, len - AT_LETTERS);
}

static void event_write(const struct ledger *l, uint8_t *event, uint8_t kind, uint32_t number)
{
	event[0] = kind;
	hex_write(event + AT_RUN, l->run);
	hex_write(event + AT_NUMBER, number);
	for (size_t i = AT_LETTERS; i < l->event_bytes; i++)
		event[i] = (uint8_t)('a' + (number + i) % 26);
	hex_write(event + AT_CRC, event_crc(event, l->event_bytes));
}

static uint32_t cell(const struct ledger *l, uint32_t number)
{
	return number & (l->capacity - 1);
}

static uint8_t *slot(const struct ledger *l, uint32_t number)
{
	return l->slots + cell(l, number) * l->slot_bytes;
}

static void frame_slots(struct ledger *l, const struct ledger_options *o)
{
	for (uint32_t i = 0; i < l->capacity; i++) {
		memcpy(slot(l, i), o->before.ptr, o->before.len);
		if (o->after.len)
			memcpy(slot(l, i) + l->event_at + l->event_bytes, o->after.ptr,
			       o->after.len);
	}
}

bool ledger_init(struct ledger *l, const struct ledger_options *o)
{
	CHECK(o->event_bytes >= LEDGER_EVENT_BYTES_MIN);
	CHECK(o->event_bytes <= LEDGER_EVENT_BYTES_MAX);
	CHECK(o->before.len <= LEDGER_AROUND_BYTES_MAX);
	CHECK(o->after.len <= LEDGER_AROUND_BYTES_MAX);
	CHECK(o->subscribers > 0);
	CHECK(o->capacity > 0);
	CHECK(o->capacity <= UINT32_C(1) << 30);
	*l = (struct ledger){.event_bytes = o->event_bytes,
	                     .subscribers = o->subscribers,
	                     .run = o->run,
	                     .capacity = 1,
	                     .event_at = o->before.len,
	                     .slot_bytes = o->before.len + o->event_bytes + o->after.len,
	                     .framed = o->before.len > 0};
	while (l->capacity < o->capacity)
		l->capacity *= 2;
	l->reached = calloc(l->capacity, sizeof(*l->reached));
	l->slots = calloc(l->capacity, l->slot_bytes);
	if (!l->reached || !l->slots) {
		ledger_fini(l);
		return false;
	}
	if (l->framed)
		frame_slots(l, o);
	event_write(l, l->hello, 'H', 0);
	return true;
}

void ledger_fini(struct ledger *l)
{
	free(l->reached);
	free(l->slots);
	l->reached = NULL;
	l->slots = NULL;
}

struct slice ledger_publish(struct ledger *l)
{
	uint8_t *event = slot(l, l->published) + l->event_at;

	CHECK(ledger_has_room(l));
	event_write(l, event, 'E', l->published);
	l->reached[cell(l, l->published)] = 0;
	l->published++;
	return slice_of(event, l->event_bytes);
}

struct slice ledger_hello(const struct ledger *l)
{
	return slice_of(l->hello, l->event_bytes);
}

static enum ledger_verdict look_closely(const struct ledger *l, struct ledger_place *place,
                                        struct slice payload)
{
	uint32_t run, number, crc;

	if (payload.len != l->event_bytes || !hex_read(payload.ptr + AT_RUN, &run) ||
	    !hex_read(payload.ptr + AT_NUMBER, &number) || !hex_read(payload.ptr + AT_CRC, &crc) ||
	    crc != event_crc(payload.ptr, payload.len))
		return LEDGER_CORRUPT;
	if (run != l->run)
		return LEDGER_FOREIGN;
	if (payload.ptr[0] == 'H') {
		if (place->next > 0)
			return LEDGER_REPEATED;
		place->greeted = true;
		return LEDGER_HELLO;
	}
	if (number < place->next)
		return LEDGER_REPEATED;
	/* The right number with a right checksum, yet other bytes; or one never published. */
	if (number == place->next || number >= l->published)
		return LEDGER_CORRUPT;
	return LEDGER_GAP;
}

/* The `count` events from the place on have arrived; they lie behind each other. */
static void advance(struct ledger *l, struct ledger_place *place, uint32_t count)
{
	uint32_t *reached = l->reached + cell(l, place->next);

	for (uint32_t i = 0; i < count; i++)
		reached[i]++;
	place->next += count;
	l->deliveries += count;
	while (l->oldest < l->published && l->reached[cell(l, l->oldest)] == l->subscribers)
		l->oldest++;
}

enum ledger_verdict ledger_check(struct ledger *l, struct ledger_place *place, struct slice payload)
{
	if (payload.len != l->event_bytes || place->next == l->published ||
	    memcmp(payload.ptr, slot(l, place->next) + l->event_at, payload.len) != 0)
		return look_closely(l, place, payload);
	advance(l, place, 1);
	return LEDGER_NEXT;
}

uint32_t ledger_check_run(struct ledger *l, struct ledger_place *place, struct slice received)
{
	uint32_t to_end = l->capacity - cell(l, place->next);
	uint32_t due = l->published - place->next;
	size_t count = received.len / l->slot_bytes;

	if (due > to_end)
		due = to_end;
	if (count > due)
		count = due;
	if (!l->framed || count == 0 ||
	    memcmp(received.ptr, slot(l, place->next), count * l->slot_bytes) != 0)
		return 0;
	advance(l, place, (uint32_t)count);
	return (uint32_t)count;
}

const char *ledger_explain(const struct ledger *l, enum ledger_verdict verdict,
                           const struct ledger_place *place, struct slice payload, char *into,
                           size_t cap)
{
	static const char *const texts[] = {
		[LEDGER_NEXT] = "as it should be",
		[LEDGER_HELLO] = "a hello",
		[LEDGER_GAP] = "an event is missing or out of order",
		[LEDGER_REPEATED] = "an event came again or out of order",
		[LEDGER_CORRUPT] = "this is not what was published",
		[LEDGER_FOREIGN] = "an event of another run",
	};
	size_t shown = payload.len < 40 ? payload.len : 40;

	snprintf(into, cap, "%s: event %u of %u was due, and this came (%zu bytes): %.*s",
	         texts[verdict], place->next, l->published, payload.len, (int)shown,
	         (const char *)payload.ptr);
	return into;
}
