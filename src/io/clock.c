#include "io/clock.h"

#include "base/check.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static struct timespec clock_read(clockid_t id)
{
	struct timespec ts;
	int failed = clock_gettime(id, &ts);

	CHECK(!failed);
	return ts;
}

static struct now system_now(struct clock *c __attribute__((unused)))
{
	struct timespec wall = clock_read(CLOCK_REALTIME);
	struct timespec mono = clock_read(CLOCK_MONOTONIC);

	return (struct now){
		.wall_ms = (int64_t)wall.tv_sec * 1000 + wall.tv_nsec / 1000000,
		.mono_us = (int64_t)mono.tv_sec * 1000000 + mono.tv_nsec / 1000,
	};
}

struct clock *clock_system(void)
{
	static struct clock system = {.now = system_now};

	return &system;
}

static void system_fill(struct entropy *e __attribute__((unused)), void *into, size_t len)
{
	uint8_t *at = into;

	while (len > 0) {
		ssize_t got = getrandom(at, len, 0);

		if (got < 0 && errno == EINTR)
			continue;
		CHECK(got > 0);
		at += got;
		len -= (size_t)got;
	}
}

struct entropy *entropy_system(void)
{
	static struct entropy system = {.fill = system_fill};

	return &system;
}

static struct now manual_now(struct clock *c)
{
	return CONTAINER_OF(c, struct clock_manual, base)->at;
}

void clock_manual_init(struct clock_manual *c, struct now start)
{
	*c = (struct clock_manual){.base = {.now = manual_now}, .at = start};
}

void clock_manual_advance(struct clock_manual *c, int64_t us)
{
	/* The wall clock follows whole milliseconds of the other, so that many small steps add up.
	 */
	int64_t ms = (c->at.mono_us + us) / 1000 - c->at.mono_us / 1000;

	CHECK(us >= 0);
	c->at.mono_us += us;
	c->at.wall_ms += ms;
}

#define GAMMA UINT64_C(0x9e3779b97f4a7c15)

/* splitmix64: every seed is good, also 0. */
static uint64_t seeded_next(struct entropy_seeded *e)
{
	uint64_t z = atomic_fetch_add_explicit(&e->state, GAMMA, memory_order_relaxed) + GAMMA;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static void seeded_fill(struct entropy *base, void *into, size_t len)
{
	struct entropy_seeded *e = CONTAINER_OF(base, struct entropy_seeded, base);
	uint8_t *at = into;

	while (len > 0) {
		uint64_t number = seeded_next(e);
		size_t part = len < sizeof(number) ? len : sizeof(number);

		memcpy(at, &number, part);
		at += part;
		len -= part;
	}
}

void entropy_seeded_init(struct entropy_seeded *e, uint64_t seed)
{
	*e = (struct entropy_seeded){.base = {.fill = seeded_fill}, .state = seed};
}
