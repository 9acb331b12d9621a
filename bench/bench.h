/* bench: the few things that every file of the generator needs. */
#ifndef BOURN_BENCH_BENCH_H
#define BOURN_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>

enum { NS_PER_SECOND = 1000000000, NS_PER_MS = 1000000 };

/* Why a run is void: one line for a person. The first one counts. */
struct failure {
	char text[384]; /* "": none */
};

/* Say why (unless something was said before) and return false. */
bool bench_fail(struct failure *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Monotonic. */
int64_t bench_now_ns(void);

/* A line that overwrites the one before it, on stderr if that is a terminal. " " wipes it. */
void bench_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
