/* store_driver: a store on one loop of this thread, with one topic; what the
 * broker's broker layer would do to it, as plain calls that return when done. */
#ifndef BOURN_BENCH_STORE_DRIVER_H
#define BOURN_BENCH_STORE_DRIVER_H

#include "store_batches.h"

#include "io/metrics.h"
#include "store/store.h"

enum { DRIVER_PARTITIONS_MAX = 64 };

struct driver_options {
	const char *dir;       /* made if it is not there */
	const char *engine;    /* NULL: log */
	uint32_t batch_events; /* 0: STORE_BATCH_EVENTS */
	enum durability durability;
	uint32_t partitions;
	uint32_t in_flight;       /* appends a partition */
	int64_t retention_bytes;  /* of a partition; -1: no limit */
	int64_t memory_bytes;     /* as storage.memory … */
	int64_t checkpoint_bytes; /* … and storage.snapshot_size */
	struct store_rocksdb_config rocksdb;
};

struct driver {
	struct driver_options o;
	struct store_batches batches;
	struct log *log;
	struct metrics metrics;
	struct loop *loop;
	struct store *store;
	const struct store_topic *topic;
	struct failure *failure; /* borrowed */
};

/* With the topic "bench", as it stands or new. On failure nothing is left open. */
bool driver_open(struct driver *d, const struct driver_options *o, struct failure *f);

/* As a broker that is told to end. */
void driver_close(struct driver *d);

/* Append `count` batches to each partition, with in_flight under way in each. */
bool driver_append(struct driver *d, int64_t count);

/* Read the newest `count` batches of each partition and compare them. */
bool driver_check(struct driver *d, int64_t count);

/* Read each partition from its first offset to its end, without looking at what comes; its
 * bytes. */
bool driver_scan(struct driver *d, int64_t *bytes);

/* What is in memory goes to files. */
bool driver_checkpoint(struct driver *d);

/* Run the loop until the store has told the metrics all there is. */
void driver_settle(struct driver *d);

/* Run the loop until `*done`. */
bool driver_run(struct driver *d, const bool *done);

/* `fault` into the failure; true when it is none. */
bool driver_ok(struct driver *d, const char *what, const struct fault *fault);

static inline int64_t driver_metric(struct driver *d, enum metric id)
{
	return atomic_load_explicit(&d->metrics.values[id], memory_order_relaxed);
}

#endif
