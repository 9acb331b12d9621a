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
	SLOT_ALIGN = 64, /* a cache line */
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

static uint8_t *slot(const struct ledger *l, uint32_t number)
{
	return l->events + (number & (l->capacity - 1)) * l->slot_bytes;
}

bool ledger_init(struct ledger *l, size_t event_bytes, uint32_t subscribers, uint32_t capacity,
                 uint32_t run)
{
	CHECK(event_bytes >= LEDGER_EVENT_BYTES_MIN);
	CHECK(event_bytes <= LEDGER_EVENT_BYTES_MAX);
	CHECK(subscribers > 0);
	CHECK(capacity > 0);
	CHECK(capacity <= UINT32_C(1) << 30);
	*l = (struct ledger){.event_bytes = event_bytes, .subscribers = subscribers, .run = run};
	for (l->capacity = 1; l->capacity < capacity;)
		l->capacity *= 2;
	l->slot_bytes = (event_bytes + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
	l->reached = calloc(l->capacity, sizeof(*l->reached));
	l->events = calloc(l->capacity, l->slot_bytes);
	if (!l->reached || !l->events) {
		ledger_fini(l);
		return false;
	}
	event_write(l, l->hello, 'H', 0);
	return true;
}

void ledger_fini(struct ledger *l)
{
	free(l->reached);
	free(l->events);
	l->reached = NULL;
	l->events = NULL;
}

struct slice ledger_publish(struct ledger *l)
{
	uint8_t *event = slot(l, l->published);

	CHECK(ledger_has_room(l));
	event_write(l, event, 'E', l->published);
	l->reached[l->published & (l->capacity - 1)] = 0;
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

enum ledger_verdict ledger_check(struct ledger *l, struct ledger_place *place, struct slice payload)
{
	uint32_t cell = place->next & (l->capacity - 1);

	if (payload.len != l->event_bytes || place->next == l->published ||
	    memcmp(payload.ptr, slot(l, place->next), payload.len) != 0)
		return look_closely(l, place, payload);
	place->next++;
	l->deliveries++;
	if (++l->reached[cell] == l->subscribers)
		while (l->oldest < l->published &&
		       l->reached[l->oldest & (l->capacity - 1)] == l->subscribers)
			l->oldest++;
	return LEDGER_NEXT;
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
