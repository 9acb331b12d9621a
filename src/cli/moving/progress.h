/* progress: a line on stderr for work that takes long, drawn ten times a second where a person sees
 * it: how far, how much, how fast, how long yet. Without a terminal it draws nothing. */
#ifndef BOURN_CLI_MOVING_PROGRESS_H
#define BOURN_CLI_MOVING_PROGRESS_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool drawn;          /* a person sees it */
	int64_t total_bytes; /* 0: not known */
	int64_t bytes;
	int64_t events;
	int64_t started_us;
	int64_t drawn_us;
};

/* Begins now; `quiet`: not even on a terminal. */
void progress_init(struct progress *p, bool quiet);

/* So much is done in all. */
void progress_set(struct progress *p, int64_t bytes, int64_t events);

/* Take the line away: something else is said on stderr. */
void progress_clear(const struct progress *p);

/* "1,234 events, 5.6 MiB in 0.7 s (8.0 MiB/s)" in a buffer of 128 bytes. */
const char *progress_summary(const struct progress *p, char text[128]);

/* As cli_fail; of work that a signal ended too, which has failed then. */
int moving_fail(const struct fault *f);

#endif
