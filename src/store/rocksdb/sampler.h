/* sampler: what RocksDB says of itself, into the metrics, twice a second; asked on a worker.
 * Home. */
#ifndef BOURN_STORE_ROCKSDB_SAMPLER_H
#define BOURN_STORE_ROCKSDB_SAMPLER_H

#include "base/slice.h"

struct rocks;

void sampler_start(struct rocks *s);

/* Not any more; one under way counts among the store's operations. No loop is running. */
void sampler_stop(struct rocks *s);

/* The count in a line "<name> COUNT : <count>" of RocksDB's statistics; 0: there is none. */
int64_t sampler_ticker(struct slice statistics, const char *name);

#endif
