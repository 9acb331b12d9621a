/* breaker: is something that fails worth asking? After so many failures in a row it is not, for a
 * while; then one is let through, to see. So what is down costs no time, and what comes back is
 * noticed.
 *
 *	          so many failures in a row        the pause is over: one is let through
 *	CLOSED ───────────────────────────→ OPEN ───────────────────────────→ PROBING
 *	  ↑                                   ↑   a failure: twice the pause     │ │
 *	  │                                   └──────────────────────────────────┘ │
 *	  └─────────────────────────── any success ────────────────────────────────┘
 *
 * Pure. Who is let through while it is not CLOSED must tell how it went, or nobody is again. A
 * probe needs somebody who asks, so there is no jitter: what comes in scatters them. */
#ifndef BOURN_HOOK_BREAKER_H
#define BOURN_HOOK_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum { BREAKER_PAUSE_MS_MIN = 100, BREAKER_PAUSE_MS_MAX = 3000 };

enum breaker_state { BREAKER_CLOSED, BREAKER_OPEN, BREAKER_PROBING };

struct breaker {
	enum breaker_state state;
	int64_t failures_max; /* in a row; 0: it never opens */
	int64_t failures;     /* in a row, while CLOSED */
	int64_t pause_ms;     /* the present one */
	int64_t until_ms;     /* when that ends, while OPEN */
};

void breaker_init(struct breaker *b, int64_t failures_max);

/* Times are a monotonic clock's. Would it let nobody through now? */
bool breaker_refuses(const struct breaker *b, int64_t now_ms);

/* Let one through. False: it is refused. */
bool breaker_lets(struct breaker *b, int64_t now_ms);

/* What was let through failed. True: so it opened, and was CLOSED before. */
bool breaker_failed(struct breaker *b, int64_t now_ms);

/* It went well; also what was let through long ago. True: so it closed, and was not before. */
bool breaker_succeeded(struct breaker *b);

#endif
