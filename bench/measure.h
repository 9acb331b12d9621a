/* measure: what every measurement is told, and what the server and we ourselves used meanwhile. */
#ifndef BOURN_BENCH_MEASURE_H
#define BOURN_BENCH_MEASURE_H

#include "process.h"

struct measure_options {
	uint16_t port; /* on 127.0.0.1 */
	int64_t warm_up_ns;
	int64_t measure_ns;
	pid_t pids[PROCESS_MAX]; /* of the server; none: not looked at */
	uint32_t pid_count;
};

/* One that is under way. */
struct measuring {
	int64_t began_ns;
	int64_t own_cpu_ns; /* before it, as the next */
	struct process_usage usage;
};

struct measure_result {
	int64_t elapsed_ns;
	int64_t server_cpu_ns;
	int64_t server_rss_kib; /* at its end */
	int64_t own_cpu_ns;
};

/* Both look at the server at `now_ns`; false when it is not there. */
bool measure_begin(struct measuring *m, const struct measure_options *o, int64_t now_ns,
                   struct failure *f);
bool measure_end(const struct measuring *m, const struct measure_options *o, int64_t now_ns,
                 struct measure_result *out, struct failure *f);

#endif
