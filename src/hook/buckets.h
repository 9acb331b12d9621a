/* buckets: how much each of many may do, over time and at once: token buckets by key, for all
 * shards together. Any thread; each call holds a lock for less than a microsecond.
 *
 * A bucket holds up to `burst` tokens and gets `per_second` of them. At most so many keys are
 * known; whoever was not heard of for longest is forgotten, which gives him a full bucket. */
#ifndef BOURN_HOOK_BUCKETS_H
#define BOURN_HOOK_BUCKETS_H

#include "base/slice.h"

enum { BUCKETS_MAX = 16384, BUCKETS_KEY_BYTES_MAX = 128 };

struct buckets;

/* NULL: no memory. */
struct buckets *buckets_new(void);
void buckets_free(struct buckets *b);

/* Take a token of `key` (longer ones are cut). 0: taken; else when there will be one, in seconds:
 * try again then. Units: per_second > 0, burst >= 1; now_us is monotonic. Without memory it is
 * taken. */
double buckets_take(struct buckets *b, struct slice key, double per_second, double burst,
                    int64_t now_us);

#endif
