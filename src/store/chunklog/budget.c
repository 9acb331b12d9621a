#include "store/chunklog/budget.h"

#include "store/chunklog/chunklog.h"

enum {
	BUDGET_BYTES_LEAST = 4 << 10, /* less is no budget: a spill has its price */
	WAL_CHECKPOINTS = 3,          /* appends wait when it holds as much as makes so many due */
	CHECKPOINT_BYTES_LEAST = 4 << 20, /* … but for a smaller storage.snapshot_size */
};

static int64_t budget_bytes(const struct chunklog *log)
{
	int64_t bytes = log->config.memory_bytes;

	return bytes < BUDGET_BYTES_LEAST ? BUDGET_BYTES_LEAST : bytes;
}

int64_t budget_now(const struct chunklog *log)
{
	return atomic_load_explicit(&log->chunk_bytes, memory_order_relaxed);
}

int64_t budget_wal_now(const struct chunklog *log)
{
	return (int64_t)wal_stats(log->wal).written_bytes;
}

static int64_t unsaved(const struct chunklog *log)
{
	return budget_now(log) - atomic_load_explicit(&log->saved_bytes, memory_order_relaxed);
}

bool budget_is_due(const struct chunklog *log)
{
	return chunklog_is_tiered(log) && unsaved(log) >= budget_bytes(log) / 2;
}

bool budget_is_tight(const struct chunklog *log)
{
	return chunklog_is_tiered(log) && unsaved(log) >= budget_bytes(log) / 4 * 3;
}

int64_t budget_checkpoint_bytes(const struct chunklog *log)
{
	int64_t bytes = log->config.checkpoint_bytes, memory = log->config.memory_bytes;

	if (memory < CHECKPOINT_BYTES_LEAST)
		memory = CHECKPOINT_BYTES_LEAST;
	return chunklog_is_tiered(log) && memory < bytes ? memory : bytes;
}

int64_t budget_unpublished(const struct chunklog *log)
{
	return budget_wal_now(log) -
	       atomic_load_explicit(&log->published_wal, memory_order_relaxed);
}

void budget_start(struct chunklog *log)
{
	struct wal_stats wal = wal_stats(log->wal);

	budget_published(log, (int64_t)wal.written_bytes - wal.bytes);
}

bool budget_is_spent(const struct chunklog *log)
{
	return chunklog_is_tiered(log) && unsaved(log) >= budget_bytes(log);
}

bool budget_is_full(const struct chunklog *log)
{
	return budget_is_spent(log) ||
	       budget_unpublished(log) >= WAL_CHECKPOINTS * budget_checkpoint_bytes(log);
}

enum err budget_refusal(const struct chunklog *log, struct fault *f)
{
	enum err why = (enum err)atomic_load_explicit(&log->cannot_save, memory_order_relaxed);

	if (!why)
		return OK;
	return fault_set(
		f, why == ERR_DISK_FULL ? ERR_DISK_FULL : ERR_BUSY, 0,
		"memory or WAL is full of what could not be saved: the last snapshot failed");
}

void budget_saved(struct chunklog *log, int64_t upto)
{
	atomic_store_explicit(&log->saved_bytes, upto, memory_order_relaxed);
	atomic_store_explicit(&log->cannot_save, OK, memory_order_relaxed);
}

void budget_not_saved(struct chunklog *log, enum err why)
{
	atomic_store_explicit(&log->cannot_save, (int)why, memory_order_relaxed);
}

void budget_published(struct chunklog *log, int64_t upto)
{
	atomic_store_explicit(&log->published_wal, upto, memory_order_relaxed);
	atomic_store_explicit(&log->cannot_save, OK, memory_order_relaxed);
}
