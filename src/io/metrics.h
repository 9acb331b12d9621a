/* metrics: counters, gauges and histograms, one set a shard, summed when they are read.
 *
 * Adding is one relaxed store by the owning thread; rendering reads all sets from any thread. */
#ifndef BOURN_IO_METRICS_H
#define BOURN_IO_METRICS_H

#include "base/buf.h"

#include <stdatomic.h>

/* id, exposed name, type, help. A `total` is a counter. */
#define METRICS(X)                                                                                 \
	X(METRIC_CONNECTIONS, "bourn_connections", "gauge", "open connections")                    \
	X(METRIC_ACCEPTED, "bourn_connections_accepted_total", "counter", "connections accepted")  \
	X(METRIC_REFUSED, "bourn_connections_refused_total", "counter",                            \
	  "connections closed at accept for a limit")                                              \
	X(METRIC_REQUESTS, "bourn_http_requests_total", "counter", "HTTP requests answered")       \
	X(METRIC_REFUSALS, "bourn_http_refusals_total", "counter", "HTTP requests answered 4xx")   \
	X(METRIC_FAILURES, "bourn_http_failures_total", "counter", "HTTP requests answered 5xx")   \
	X(METRIC_BYTES_IN, "bourn_received_bytes_total", "counter", "bytes read from sockets")     \
	X(METRIC_BYTES_OUT, "bourn_sent_bytes_total", "counter", "bytes written to sockets")       \
	X(METRIC_EVENTS_IN, "bourn_events_produced_total", "counter", "events acknowledged")       \
	X(METRIC_EVENTS_OUT, "bourn_events_delivered_total", "counter", "events sent to readers")  \
	X(METRIC_SUBSCRIBERS, "bourn_subscribers", "gauge", "open subscriptions")                  \
	X(METRIC_TOPICS, "bourn_topics", "gauge", "topics")                                        \
	X(METRIC_PARTITIONS_FENCED, "bourn_partitions_fenced", "gauge",                            \
	  "partitions that take no writes until they are repaired")                                \
	X(METRIC_WAL_GROUPS, "bourn_wal_groups_total", "counter", "groups written to the WAL")     \
	X(METRIC_WAL_BYTES, "bourn_wal_written_bytes_total", "counter",                            \
	  "bytes written to the WAL")                                                              \
	X(METRIC_WAL_FLUSHES, "bourn_wal_flushes_total", "counter", "WAL flushes")                 \
	X(METRIC_CHECKPOINTS, "bourn_checkpoints_total", "counter", "checkpoints completed")       \
	X(METRIC_SPILLS, "bourn_spills_total", "counter",                                          \
	  "times events went from memory to segments without a checkpoint")                        \
	X(METRIC_CHECKPOINT_FAILURES, "bourn_checkpoint_failures_total", "counter",                \
	  "checkpoints and spills that failed")                                                    \
	X(METRIC_COMPACTIONS, "bourn_compactions_total", "counter", "compactions completed")       \
	X(METRIC_COMPACTING, "bourn_compacting", "gauge", "partitions that are compacted now")     \
	X(METRIC_COMPACTION_FAILURES, "bourn_compaction_failures_total", "counter",                \
	  "compactions that failed")                                                               \
	X(METRIC_COMPACTION_READ, "bourn_compaction_read_bytes_total", "counter",                  \
	  "bytes of events that were rewritten by compaction")                                     \
	X(METRIC_COMPACTION_WRITTEN, "bourn_compaction_written_bytes_total", "counter",            \
	  "bytes of events that were left of them")                                                \
	X(METRIC_COMPACTION_MS, "bourn_compaction_milliseconds_total", "counter",                  \
	  "time from the beginnings of compactions to their ends")                                 \
	X(METRIC_DISK_FULL, "bourn_disk_full_total", "counter",                                    \
	  "appends refused because the disk was full")                                             \
	X(METRIC_ROCKSDB_CACHE_HITS, "bourn_rocksdb_block_cache_hits_total", "counter",            \
	  "blocks found in RocksDB's cache")                                                       \
	X(METRIC_ROCKSDB_CACHE_MISSES, "bourn_rocksdb_block_cache_misses_total", "counter",        \
	  "blocks that RocksDB had to read")                                                       \
	X(METRIC_ROCKSDB_STALL_US, "bourn_rocksdb_stall_microseconds_total", "counter",            \
	  "time that RocksDB held up writes")                                                      \
	X(METRIC_ROCKSDB_PENDING_BYTES, "bourn_rocksdb_pending_compaction_bytes", "gauge",         \
	  "bytes that RocksDB's compaction is behind")                                             \
	X(METRIC_ROCKSDB_MEMTABLE_BYTES, "bourn_rocksdb_memtable_bytes", "gauge",                  \
	  "bytes that RocksDB has in memory only, and in its WAL")                                 \
	X(METRIC_ROCKSDB_FILE_BYTES, "bourn_rocksdb_file_bytes", "gauge",                          \
	  "bytes in RocksDB's live files")

enum metric {
#define X(id, name, type, help) id,
	METRICS(X)
#undef X
		METRIC_COUNT,
};

struct metrics {
	_Atomic int64_t values[METRIC_COUNT];
};

/* Only the owning thread adds (negative for gauges). */
static inline void metric_add(struct metrics *m, enum metric id, int64_t by)
{
	int64_t value = atomic_load_explicit(&m->values[id], memory_order_relaxed);

	atomic_store_explicit(&m->values[id], value + by, memory_order_relaxed);
}

/* Append the sum of `count` sets in the Prometheus text format (version 0.0.4). */
void metrics_render(struct buf *out, struct metrics *const *sets, unsigned count);

#endif
