/* ledger: every event that was published, and how far each subscriber has got. It decides whether
 * what was delivered is right; it neither sends nor receives.
 *
 * An event is printable text of a fixed size, and follows from its number:
 *
 *	0       kind: 'E' an event, 'H' a hello      17..24  CRC-32C of all other bytes, in hex
 *	1..8    the run's own number, in hex         25..    letters that depend on the number
 *	9..16   number of the event, in hex
 *
 * Hellos are sent until each subscriber has had one: from then on it must get every event. They may
 * come in any number, but not after an event.
 *
 * What was published is kept until every subscriber has it, so the check of a right delivery is one
 * comparison of bytes; what is wrong is then looked at closely. */
#ifndef BOURN_BENCH_LEDGER_H
#define BOURN_BENCH_LEDGER_H

#include "base/slice.h"

enum {
	LEDGER_EVENT_BYTES_MIN = 32,
	LEDGER_EVENT_BYTES_MAX = 64 << 10,
};

enum ledger_verdict {
	LEDGER_NEXT, /* the event that had to come */
	LEDGER_HELLO,
	LEDGER_GAP,      /* a later one: something is lost, or out of order */
	LEDGER_REPEATED, /* an earlier one: again, or out of order; or a hello after events */
	LEDGER_CORRUPT,  /* not what was published */
	LEDGER_FOREIGN,  /* whole, but of another run */
};

/* One subscriber's place. Zeroed: it has had nothing. */
struct ledger_place {
	uint32_t next; /* number of the event that has to come */
	bool greeted;  /* it has had a hello */
};

struct ledger {
	size_t event_bytes;
	uint32_t run;
	uint32_t subscribers;
	uint32_t capacity;   /* a power of two: how many events are kept */
	uint32_t published;  /* number of the next event */
	uint32_t oldest;     /* the first one that somebody has not got; ≤ published */
	uint64_t deliveries; /* right ones, of all subscribers */
	uint32_t *reached;   /* owned; per kept event: how many have it */
	uint8_t *events;     /* owned; capacity × slot_bytes */
	size_t slot_bytes;
	uint8_t hello[LEDGER_EVENT_BYTES_MAX];
};

/* False when there is no memory. `event_bytes` within the limits above; `capacity` is rounded up.
 * `run`: any number that other runs on the same topic do not have. */
bool ledger_init(struct ledger *l, size_t event_bytes, uint32_t subscribers, uint32_t capacity,
                 uint32_t run);
void ledger_fini(struct ledger *l);

/* True when another event fits: it may be published without forgetting one that is on its way. */
static inline bool ledger_has_room(const struct ledger *l)
{
	return l->published - l->oldest < l->capacity;
}

/* The next event, to be sent now. Borrowed; needs room. */
struct slice ledger_publish(struct ledger *l);

struct slice ledger_hello(const struct ledger *l);

/* What `payload` is to the subscriber whose place this is. Moves the place at NEXT and HELLO. */
enum ledger_verdict ledger_check(struct ledger *l, struct ledger_place *place,
                                 struct slice payload);

/* One line about a verdict, for a person. `place` as ledger_check left it. Returns `into`. */
const char *ledger_explain(const struct ledger *l, enum ledger_verdict verdict,
                           const struct ledger_place *place, struct slice payload, char *into,
                           size_t cap);

#endif
