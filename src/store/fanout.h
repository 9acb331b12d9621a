/* fanout: visit every shard of an engine, each on its own loop, then come home.
 *
 * A visit may end later than it is begun: the fanout ends after the last has left. */
#ifndef BOURN_STORE_FANOUT_H
#define BOURN_STORE_FANOUT_H

#include "io/loop.h"

struct fanout;
struct store;
struct store_config;

struct fanout_visit {
	struct message message;
	struct fanout *fanout;
	unsigned shard;
	unsigned pending; /* the visitor's: what it waits for */
};

struct fanout {
	struct store *store;                   /* borrowed, as is the next */
	const struct store_config *config;     /* its loops; the first is home */
	void (*visit)(struct fanout_visit *v); /* must lead to one fanout_leave(v) */
	void (*done)(
		struct fanout *o); /* at home, after the last; may free it, or start it again */
	void *context;             /* the caller's */
	unsigned pending;
	struct fanout_visit visits[]; /* one a shard */
};

/* The caller's to free(), while it is not under way; NULL: there is no memory. */
struct fanout *fanout_new(struct store *store, const struct store_config *config);

/* At home. */
void fanout_start(struct fanout *o, void (*visit)(struct fanout_visit *v),
                  void (*done)(struct fanout *o), void *context);

/* On the visited shard. */
void fanout_leave(struct fanout_visit *v);

/* The same of a visitor who counts in v->pending what he waits for: one of it is there; leave after
 * the last. */
void fanout_leave_after(struct fanout_visit *v);

#endif
