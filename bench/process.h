/* process: what processes have used so far, from /proc. Several count as one: a server may have a
 * master and workers. */
#ifndef BOURN_BENCH_PROCESS_H
#define BOURN_BENCH_PROCESS_H

#include "bench.h"

#include <stddef.h>
#include <sys/types.h>

enum { PROCESS_MAX = 16 };

struct process_usage {
	int64_t cpu_ns; /* user and system, of all threads; a clock tick (10 ms) exact */
	int64_t rss_kib;
};

/* False when one of them is not there. */
bool process_usage(const pid_t *pids, size_t count, struct process_usage *out, struct failure *f);

/* Our own CPU time, exact. */
int64_t process_own_cpu_ns(void);

#endif
