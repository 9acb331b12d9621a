/* store_pace: single events that come at a rate, written and flushed by a bare loop: what this
 * disk, on this machine, at this moment, makes of them without any broker.
 *
 * An event is due at its time whether or not those before it are done. What is due is one group, of
 * at most as many events as clients would have under way; it is written to pre-written blocks past
 * the page cache and flushed, and then all of it is done. */
#ifndef BOURN_BENCH_STORE_PACE_H
#define BOURN_BENCH_STORE_PACE_H

#include "bench.h"
#include "histogram.h"

struct store_pace_options {
	const char *dir;  /* the file is made in it, and removed */
	uint32_t rate;    /* events a second; 0: a full group is always due */
	uint32_t at_once; /* events in a group, at most */
	int64_t run_ns;
};

/* Large: static or on the heap. */
struct store_pace_result {
	int64_t elapsed_ns;
	int64_t cpu_ns;
	int64_t events;
	struct histogram latency; /* from when they were due */
};

bool store_pace_run(const struct store_pace_options *o, struct store_pace_result *result,
                    struct failure *f);

#endif
