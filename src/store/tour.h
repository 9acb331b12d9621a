/* tour: visit every shard, each on its own loop, then come home.
 *
 * A visit may end later than it is begun: the tour ends after the last has left. */
#ifndef BOURN_STORE_TOUR_H
#define BOURN_STORE_TOUR_H

#include "io/loop.h"

struct tour;

struct tour_stop {
	struct message message;
	struct tour *tour;
	unsigned shard;
	unsigned pending; /* the visitor's: what it waits for */
};

struct tour {
	struct loop *const *loops;          /* borrowed; the first is home */
	void (*visit)(struct tour_stop *s); /* must lead to one tour_leave(s) */
	void (*done)(struct tour *t);       /* at home, after the last; the tour is freed after */
	void *context;                      /* the caller's */
	unsigned pending;
	struct tour_stop stops[]; /* one a shard */
};

/* At home. */
void tour_start(struct loop *const *loops, unsigned shard_count, void (*visit)(struct tour_stop *s),
                void (*done)(struct tour *t), void *context);

/* On the visited shard. */
void tour_leave(struct tour_stop *s);

#endif
