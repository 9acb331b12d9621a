/* store_rocksdb: the engine `rocksdb` against a bare loop over RocksDB, which is opened with the
 * same options and given the same rows.
 *
 * Append, bare: a batch of writes with as many rows as a group of the engine had on the average,
 * then one write, for `commit` a synced one. Read, bare: one iterator over all rows, each copied.
 * The store has its rows read from the first offset on, a MiB at a time, as a consumer would.
 *
 * Rounds go A-B, B-A, …; each begins with empty databases, and what the store holds is compared
 * whole after it. */
#ifndef BOURN_BENCH_STORE_ROCKSDB_H
#define BOURN_BENCH_STORE_ROCKSDB_H

#include "store_append.h"

struct store_rocksdb_options {
	struct driver_options driver;
	uint32_t rounds;
	int64_t batches; /* a round, in all partitions together */
};

struct store_rocksdb_result {
	struct store_figures bare[STORE_ROUNDS_MAX];
	struct store_figures ours[STORE_ROUNDS_MAX];
	struct store_figures bare_reads[STORE_ROUNDS_MAX];
	struct store_figures our_reads[STORE_ROUNDS_MAX];
};

/* In `o->driver.dir`, an empty directory. False: void; also where the engine was not built. */
bool store_rocksdb_run(const struct store_rocksdb_options *o, struct store_rocksdb_result *result,
                       struct failure *f);

#endif
