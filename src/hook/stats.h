/* stats: what is counted of one hook on one shard. Written by its thread, read by any. */
#ifndef BOURN_HOOK_STATS_H
#define BOURN_HOOK_STATS_H

#include "base/buf.h"
#include "hook/point.h"

#include <stdatomic.h>

enum { STATS_BUCKETS = 8 }; /* 1 µs, 10 µs, … 10 s; longer ones count in none */

struct hook_stats {
	_Atomic int64_t verdicts[VERDICT_COUNT];
	_Atomic int64_t buckets[STATS_BUCKETS]; /* calls that took no longer, and longer than the
	                                           bucket before */
	_Atomic int64_t timed;                  /* calls that were timed */
	_Atomic int64_t microseconds;           /* that they took in all */
	_Atomic int64_t pauses;                 /* how often it came to be not asked for a while */
	_Atomic int64_t is_paused;              /* 1: it is not, now */
	uint32_t turn;                          /* which calls are timed */
};

/* Only the owning thread adds. */
static inline void stats_add(_Atomic int64_t *value, int64_t by)
{
	int64_t was = atomic_load_explicit(value, memory_order_relaxed);

	atomic_store_explicit(value, was + by, memory_order_relaxed);
}

void stats_took(struct hook_stats *s, int64_t us);

/* `sets` of one hook, of `count` shards: its part of each metric. */
void stats_render_verdicts(struct buf *out, const char *hook, const struct hook_stats *const *sets,
                           unsigned count);
void stats_render_seconds(struct buf *out, const char *hook, const struct hook_stats *const *sets,
                          unsigned count);
void stats_render_paused(struct buf *out, const char *hook, const struct hook_stats *const *sets,
                         unsigned count);
void stats_render_pauses(struct buf *out, const char *hook, const struct hook_stats *const *sets,
                         unsigned count);

#endif
