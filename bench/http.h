/* http: single requests over kept connections, one at a time on each; POSTs, or what stores one
 * event in another protocol.
 *
 * With a rate, an open loop: request n is due at start + n / rate. It goes out on whichever
 * connection is idle; when all are busy it waits, and its latency counts from when it was due.
 * Without, a closed loop: each connection sends the next request when it has its answer. An answer
 * other than yes, a closed connection or a silence of 10 s makes the run void. */
#ifndef BOURN_BENCH_HTTP_H
#define BOURN_BENCH_HTTP_H

#include "histogram.h"
#include "link.h"
#include "measure.h"

enum { HTTP_BEHIND_MAX = 1 << 20 }; /* requests that may wait for a connection */

struct http_options {
	struct measure_options measure;
	const struct dialect *dialect;
	const char *path; /* as struct address has it */
	uint32_t connections;
	uint32_t body_bytes; /* of JSON */
	double rate;         /* requests a second; 0: as the answers come */
};

struct http_result {
	struct measure_result measure;
	uint64_t answers;        /* during the measurement */
	uint64_t answers_in_all; /* with warm-up and drain */
	struct histogram
		latency; /* of requests due (without a rate: sent) during the measurement */
};

/* Run it all. False when the run is void. `result` is large: not for the stack. */
bool http_run(const struct http_options *o, struct http_result *result, struct failure *f);

#endif
