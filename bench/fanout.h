/* fanout: one publisher, many subscribers on one topic; every delivery checked.
 *
 * Without a rate it measures throughput, in a closed loop: the publisher is at most `window` events
 * ahead of the slowest subscriber. With a rate it measures latency, in an open loop: event n is due
 * at start + n / rate, whatever the broker does, and a delivery's latency counts from then.
 *
 *	connect        all subscribers and the publisher
 *	greet          hellos, until each subscriber has had one
 *	settle         one event, until each has it: no hello is on its way any more
 *	warm up        as measured, not counted
 *	measure        deliveries, CPU time and memory of the server, our own CPU time
 *	               (both at least until a whole window has passed)
 *	drain          nothing more is published; everybody must get the rest
 *	linger         nothing may come any more
 *
 * Anything lost, repeated, out of order or changed makes the run void, as do a closed connection, a
 * silence of 10 s and, in the open loop, a publisher too far ahead of the slowest subscriber. */
#ifndef BOURN_BENCH_FANOUT_H
#define BOURN_BENCH_FANOUT_H

#include "histogram.h"
#include "measure.h"

enum { FANOUT_AHEAD_MAX = 1 << 16 }; /* events: open loop, and the largest window */

struct fanout_options {
	struct measure_options measure;
	const char *broker; /* "bourn", "nchan", "nats" */
	bool sse; /* subscribers read Server-Sent Events, else WebSocket (NATS: its own) */
	const char *topic;
	uint32_t subscribers;
	uint32_t event_bytes;
	uint32_t window; /* events */
	double rate;     /* events a second; 0: closed loop */
};

struct fanout_result {
	struct measure_result measure;
	uint64_t events; /* published during the measurement */
	uint64_t deliveries;
	uint64_t verified;        /* deliveries of the whole run, all of them right */
	struct histogram latency; /* with a rate; of events due during the measurement */
};

/* False when there is no such broker, it has no such form of subscriber, or the topic is too
 * long. */
bool fanout_options_ok(const struct fanout_options *o, struct failure *f);

/* Run it all. False when the run is void. `result` is large: not for the stack. */
bool fanout_run(const struct fanout_options *o, struct fanout_result *result, struct failure *f);

#endif
