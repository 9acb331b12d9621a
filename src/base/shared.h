/* Memory with a count of its holders, for bytes that many readers on many threads borrow at once
 * (a chunk of the log, an encoded frame). Put it first in the struct that owns the bytes. */
#ifndef BOURN_BASE_SHARED_H
#define BOURN_BASE_SHARED_H

#include "base/check.h"

#include <stdatomic.h>

struct shared {
	atomic_uint holders;
	void (*free)(struct shared *s); /* called once, on whichever thread puts last */
};

static inline void shared_init(struct shared *s, void (*free)(struct shared *s))
{
	atomic_init(&s->holders, 1);
	s->free = free;
}

static inline struct shared *shared_get(struct shared *s)
{
	unsigned before = atomic_fetch_add_explicit(&s->holders, 1, memory_order_relaxed);

	CHECK(before > 0);
	return s;
}

static inline void shared_put(struct shared *s)
{
	unsigned before = atomic_fetch_sub_explicit(&s->holders, 1, memory_order_acq_rel);

	CHECK(before > 0);
	if (before == 1)
		s->free(s);
}

#endif
