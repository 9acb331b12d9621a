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
 * comparison of bytes; what is wrong is then looked at closely.
 *
 * Most protocols put the same bytes around each delivery. Told of them, the ledger keeps the events
 * as they look on the wire, one behind the other, and a read that holds many right deliveries and
 * nothing else is checked by one comparison too:
 *
 *	kept      │81 64 event 7│81 64 event 8│81 64 event 9│…
 *	received  │81 64 event 7│81 64 event 8│81 64 ev                                               */
#ifndef BOURN_BENCH_LEDGER_H
#define BOURN_BENCH_LEDGER_H

#include "base/slice.h"

enum {
	LEDGER_EVENT_BYTES_MIN = 32,
	LEDGER_EVENT_BYTES_MAX = 64 << 10,
	LEDGER_AROUND_BYTES_MAX = 320,
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

struct ledger_options {
	size_t event_bytes;
	uint32_t subscribers;
	uint32_t capacity;   /* how many events to keep; rounded up to a power of two */
	uint32_t run;        /* any number that other runs on the same topic do not have */
	struct slice before; /* the bytes around each delivery on the wire; borrowed by init; */
	struct slice after;  /* both NONE: not always the same */
};

struct ledger {
	size_t event_bytes;
	uint32_t run;
	uint32_t subscribers;
	uint32_t capacity;   /* a power of two */
	uint32_t published;  /* number of the next event */
	uint32_t oldest;     /* the first one that somebody has not got; ≤ published */
	uint64_t deliveries; /* right ones, of all subscribers */
	uint32_t *reached;   /* owned; per kept event: how many have it */
	uint8_t *slots;      /* owned; capacity × slot_bytes */
	size_t slot_bytes;   /* before, event, after */
	size_t event_at;     /* in a slot */
	bool framed;         /* before and after are known */
	uint8_t hello[LEDGER_EVENT_BYTES_MAX];
};

/* False when there is no memory. */
bool ledger_init(struct ledger *l, const struct ledger_options *o);
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

/* How many deliveries at the beginning of `received` (as it came from the wire, at the beginning of
 * a message) are just those due, and whole. Moves the place by as many; each is l->slot_bytes long.
 * 0 says nothing: look at what is there with ledger_check. */
uint32_t ledger_check_run(struct ledger *l, struct ledger_place *place, struct slice received);

/* One line about a verdict, for a person. `place` as ledger_check left it. Returns `into`. */
const char *ledger_explain(const struct ledger *l, enum ledger_verdict verdict,
                           const struct ledger_place *place, struct slice payload, char *into,
                           size_t cap);

#endif
