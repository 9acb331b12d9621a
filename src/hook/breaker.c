#include "hook/breaker.h"

#include "base/check.h"

void breaker_init(struct breaker *b, int64_t failures_max)
{
	*b = (struct breaker){.failures_max = failures_max};
}

bool breaker_refuses(const struct breaker *b, int64_t now_ms)
{
	return b->state == BREAKER_PROBING || (b->state == BREAKER_OPEN && now_ms < b->until_ms);
}

bool breaker_lets(struct breaker *b, int64_t now_ms)
{
	if (breaker_refuses(b, now_ms))
		return false;
	if (b->state == BREAKER_OPEN)
		b->state = BREAKER_PROBING;
	return true;
}

static void open_for(struct breaker *b, int64_t pause_ms, int64_t now_ms)
{
	b->state = BREAKER_OPEN;
	b->pause_ms = pause_ms < BREAKER_PAUSE_MS_MAX ? pause_ms : BREAKER_PAUSE_MS_MAX;
	b->until_ms = now_ms + b->pause_ms;
}

/* While OPEN it says nothing new: it was let through before. */
bool breaker_failed(struct breaker *b, int64_t now_ms)
{
	switch (b->state) {
	case BREAKER_CLOSED:
		b->failures++;
		if (b->failures_max == 0 || b->failures < b->failures_max)
			return false;
		open_for(b, BREAKER_PAUSE_MS_MIN, now_ms);
		return true;
	case BREAKER_PROBING: open_for(b, 2 * b->pause_ms, now_ms); return false;
	case BREAKER_OPEN: return false;
	}
	UNREACHABLE();
}

bool breaker_succeeded(struct breaker *b)
{
	bool was_closed = b->state == BREAKER_CLOSED;

	breaker_init(b, b->failures_max);
	return !was_closed;
}
