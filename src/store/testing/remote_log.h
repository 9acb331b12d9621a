/* remote_log: one partition's log as a cluster elsewhere would keep it, simulated in memory.
 *
 * The cluster, not the writer, decides where a batch lands: in front of it there may be a hole of
 * one to three offsets (what compaction leaves), behind it a marker (a control batch that ends a
 * transaction: it takes an offset and holds no event). Readers get both and must cope.
 *
 * Pure: no loop, no clock; chance comes from the seed. One thread. */
#ifndef BOURN_STORE_TESTING_REMOTE_LOG_H
#define BOURN_STORE_TESTING_REMOTE_LOG_H

#include "base/buf.h"
#include "base/err.h"
#include "base/shared.h"
#include "io/clock.h"

struct remote_batch {
	int64_t base_offset;
	int64_t last_offset;
	int64_t max_timestamp;
	struct slice bytes; /* owned */
};

struct remote_log {
	struct remote_batch *batches; /* owned; by offset */
	size_t count;
	size_t cap;
	int64_t start;        /* the first offset that may be asked for */
	int64_t end;          /* the next one to be assigned */
	int64_t bytes;        /* of all batches */
	unsigned gap_percent; /* of appends that come with a hole or a marker */
	struct entropy_seeded dice;
};

void remote_log_init(struct remote_log *l, uint64_t seed, unsigned gap_percent);
void remote_log_fini(struct remote_log *l);

/* 0 <= result < sides; the same for the same seed. */
unsigned remote_log_roll(struct remote_log *l, unsigned sides);

/* Append one valid batch (copied); returns its base offset. */
int64_t remote_log_append(struct remote_log *l, struct slice batch);

/* The batches from the one that contains `offset`, or the first after it: as many whole ones as
 * fit `bytes_max`, one at least; copied into `*holder`, the caller's to put. SLICE_NONE and NULL
 * when there is none. */
struct slice remote_log_read(const struct remote_log *l, int64_t offset, size_t bytes_max,
                             struct shared **holder);

/* The first record, from the start on, whose timestamp is >= time_ms; `end` when there is none. */
int64_t remote_log_lookup(const struct remote_log *l, int64_t time_ms);

/* Forget what lies wholly below `upto`; start <= upto <= end. */
void remote_log_trim(struct remote_log *l, int64_t upto);

/* To and from bytes, to outlive the process. Load wants a log just initialised; ERR_CORRUPT. */
void remote_log_save(const struct remote_log *l, struct buf *out);
enum err remote_log_load(struct remote_log *l, struct slice *from, struct fault *f) MUST_CHECK;

#endif
