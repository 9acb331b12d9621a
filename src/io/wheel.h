/* wheel: the timers of one loop, by tick. It knows no clock: the loop tells it the tick.
 *
 * Level 0 holds the timers of the current 64 ticks, one slot a tick; level 1 those of the current
 * 64 * 64, one slot for 64 ticks; and so on. A timer stands on the level of the highest 6-bit digit
 * in which its due tick differs from the current tick, in the slot of that digit:
 *
 *     tick       … 0 | 0 | 3 | 60        due 0|0|3|62 → level 0, slot 62
 *     level        3   2   1    0        due 0|0|5| 1 → level 1, slot 5; on level 0 from tick 0|0|5|0
 *
 * So all on a lower level are due before all on a higher one, starting and stopping is O(1), and
 * each timer moves down at most once a level. */
#ifndef BOURN_IO_WHEEL_H
#define BOURN_IO_WHEEL_H

#include "io/loop.h"

enum {
	WHEEL_DIGIT_BITS = 6,
	WHEEL_SLOTS = 1 << WHEEL_DIGIT_BITS,
	WHEEL_LEVELS = 7, /* 2^42 ticks of 4 ms: 557 years */
};

struct wheel {
	int64_t tick;                    /* all timers due until this one have fired */
	struct list due;                 /* found due by wheel_advance, not fired yet */
	uint64_t occupied[WHEEL_LEVELS]; /* a bit a slot; may be set for a slot emptied since */
	struct list slots[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *w, int64_t tick);

/* (Re)start: `t` fires when the wheel reaches `due_tick`, at the soonest on the next tick. */
void wheel_start(struct wheel *w, struct timer *t, int64_t due_tick);

/* The next tick at which there is something to do: no timer is due before it, and most often one is
 * due then. -1: there is no timer. */
int64_t wheel_next(struct wheel *w);

/* Go to `tick`, firing what is due by then in the order of due ticks, and of starts within one.
 * Does nothing when the wheel is there already. */
void wheel_advance(struct wheel *w, int64_t tick);

#endif
