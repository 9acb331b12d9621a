/* The engines of this folder: one implementation, two policies. Both write each event to the
 * write-ahead log and, at checkpoints, to segments.
 *
 * memory: every event stays in memory too.
 * log:    memory keeps the newest, under one budget for all partitions; older ones are read from
 *         segments. It takes over a directory of `memory`, whose files are the same; not the other
 *         way round, as what it holds need not fit. */
#ifndef BOURN_STORE_CHUNKLOG_ENGINE_H
#define BOURN_STORE_CHUNKLOG_ENGINE_H

#include "store/store.h"

extern const struct store_ops store_memory;
extern const struct store_ops store_log;

#endif
