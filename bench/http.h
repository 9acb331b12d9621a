/* http: single POSTs at a fixed rate over kept connections; the latency of each answer.
 *
 * Open loop: request n is due at start + n / rate. It goes out on whichever connection is idle, one
 * request at a time on each; when all are busy it waits, and its latency counts from when it was
 * due. An answer other than 2xx, a closed connection or a silence of 10 s makes the run void. */
#ifndef BOURN_BENCH_HTTP_H
#define BOURN_BENCH_HTTP_H

#include "histogram.h"
#include "process.h"

enum { HTTP_BEHIND_MAX = 1 << 20 }; /* requests that may wait for a connection */

struct http_options {
	uint16_t port;
	const char *path;
	uint32_t connections;
	uint32_t body_bytes; /* of JSON */
	double rate;         /* requests a second */
	int64_t warm_up_ns;
	int64_t measure_ns;
	pid_t pids[PROCESS_MAX]; /* of the server; none: not looked at */
	uint32_t pid_count;
};

struct http_result {
	int64_t elapsed_ns; /* of the measurement, like all that follows */
	uint64_t answers;
	int64_t server_cpu_ns;
	int64_t server_rss_kib;
	int64_t own_cpu_ns;
	struct histogram latency; /* of requests due during the measurement */
};

/* Run it all. False when the run is void. `result` is large: not for the stack. */
bool http_run(const struct http_options *o, struct http_result *result, struct failure *f);

#endif
