/* store_stream: one subscriber of a running broker that starts at the first event, over SSE or
 * WebSocket; what comes must be what store_fill stored. */
#ifndef BOURN_BENCH_STORE_STREAM_H
#define BOURN_BENCH_STORE_STREAM_H

#include "process.h"

struct store_stream_options {
	uint16_t port;
	bool sse;       /* else WebSocket */
	int64_t events; /* there are */
	pid_t pid;      /* of the broker */
};

struct store_stream_result {
	int64_t elapsed_ns;
	int64_t own_cpu_ns;
	int64_t server_cpu_ns;
	int64_t bytes; /* of events */
};

bool store_stream_run(const struct store_stream_options *o, struct store_stream_result *result,
                      struct failure *f);

#endif
