/* The engine `memory`: every event in memory, a write-ahead log and snapshots on disk. */
#ifndef BOURN_STORE_CHUNKLOG_MEMORY_H
#define BOURN_STORE_CHUNKLOG_MEMORY_H

#include "store/store.h"

extern const struct store_ops store_memory;

#endif
