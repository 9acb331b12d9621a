/* The only clock and the only randomness, behind tables so that tests own both. */
#ifndef BOURN_IO_CLOCK_H
#define BOURN_IO_CLOCK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* One moment on both clocks. Taken once a loop turn and handed to the core as an argument. */
struct now {
	int64_t wall_ms; /* since 1970, UTC; may jump either way */
	int64_t mono_us; /* since some start; never goes back */
};

struct clock {
	struct now (*now)(struct clock *c); /* any thread */
};

struct entropy {
	void (*fill)(struct entropy *e, void *into, size_t len); /* any thread; never fails */
};

/* The system's own; static storage, any thread. */
struct clock *clock_system(void);
struct entropy *entropy_system(void);

/* A clock that stands still until told. Not thread safe while being set. */
struct clock_manual {
	struct clock base;
	struct now at;
};
void clock_manual_init(struct clock_manual *c, struct now start);
void clock_manual_advance(struct clock_manual *c, int64_t us);

/* The same numbers for the same seed; among threads, whoever asks first. */
struct entropy_seeded {
	struct entropy base;
	atomic_uint_fast64_t state;
};
void entropy_seeded_init(struct entropy_seeded *e, uint64_t seed);

#endif
