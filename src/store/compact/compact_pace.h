/* compact_pace: what runs of compaction have in common whatever the engine: slices with rests
 * between, and what is said when one ends. On the shard whose loop runs them. */
#ifndef BOURN_STORE_COMPACT_COMPACT_PACE_H
#define BOURN_STORE_COMPACT_COMPACT_PACE_H

#include "base/err.h"
#include "io/log.h"
#include "io/loop.h"

enum {
	COMPACT_MAP_BYTES = 32 << 20,    /* of keys, at most: 786,432 of them */
	COMPACT_SLICE_BYTES = 256 << 10, /* that a worker goes through at a time, about */
	COMPACT_RETRY_US = 60 * 1000000, /* after a failure */
};

/* How long to rest after a slice that took `us`, in ms: so that those who wait for the disk, or the
 * processor, have the larger part of it. */
int64_t compact_rest_ms(int64_t us);

/* A run that is over. */
struct compact_outcome {
	const char *topic; /* borrowed */
	uint32_t partition;
	int64_t began_mono_us;
	int64_t bytes_in; /* that it read to rewrite them */
	int64_t bytes_out;
	int64_t upto;              /* offset: below, no key has two records now */
	const struct fault *fault; /* borrowed; code OK: it went well */
};

/* To the metrics of `l`, and to the log: a failure as a warning. */
void compact_say_end(const struct compact_outcome *o, struct loop *l, struct log *log);

#endif
