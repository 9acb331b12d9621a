#include "store/chunklog/budget.h"

#include "store/chunklog/chunklog.h"

/* Less is no budget: a checkpoint has its price whatever it saves. */
enum { BUDGET_BYTES_LEAST = 4 << 20 };

static int64_t budget_bytes(const struct chunklog *log)
{
	int64_t bytes = log->config.memory_bytes;

	return bytes < BUDGET_BYTES_LEAST ? BUDGET_BYTES_LEAST : bytes;
}

int64_t budget_now(const struct chunklog *log)
{
	return atomic_load_explicit(&log->chunk_bytes, memory_order_relaxed);
}

static int64_t unsaved(const struct chunklog *log)
{
	return budget_now(log) - atomic_load_explicit(&log->saved_bytes, memory_order_relaxed);
}

bool budget_is_due(const struct chunklog *log)
{
	return chunklog_is_tiered(log) && unsaved(log) >= budget_bytes(log) / 2;
}

bool budget_is_full(const struct chunklog *log)
{
	return chunklog_is_tiered(log) && unsaved(log) >= budget_bytes(log);
}

enum err budget_refusal(const struct chunklog *log, struct fault *f)
{
	enum err why = (enum err)atomic_load_explicit(&log->cannot_save, memory_order_relaxed);

	if (!why)
		return OK;
	return fault_set(f, why == ERR_DISK_FULL ? ERR_DISK_FULL : ERR_BUSY, 0,
	                 "memory is full of what could not be saved: the last checkpoint failed");
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
