/* plain_store: a store that keeps batches in RAM, for unit tests of the broker.
 *
 * It keeps to store.h and lets a test decide when things complete and how they fail. The knobs are
 * per shard and belong to that shard's thread. */
#ifndef BOURN_BROKER_TESTING_PLAIN_STORE_H
#define BOURN_BROKER_TESTING_PLAIN_STORE_H

#include "store/store.h"

struct plain_knobs {
	bool hold_appends;       /* they complete after plain_store_release */
	enum err append_fails;   /* OK: they do not */
	enum err topic_op_fails; /* shard 0: create, alter, delete */
	bool hold_topic_ops;     /* shard 0 */
	int64_t gap;             /* offsets lost after every batch */
	int64_t gap_before;      /* offsets lost before the next batch; then 0 again */
	uint32_t gap_inside;     /* offsets lost in every batch, behind its last record */
	uint64_t appends;        /* out: completed */
	uint64_t reads;          /* out: completed */
};

struct store *plain_store_new(struct loop *const *loops, unsigned shard_count);
void plain_store_free(struct store *s);

struct plain_knobs *plain_store_knobs(struct store *s, unsigned shard);

/* On that shard: what is held completes, in order. */
void plain_store_release(struct store *s, unsigned shard);

/* On the owner: the partition's epoch becomes `epoch`, the one before ended at `end`. */
void plain_store_raise_epoch(struct store_partition *p, int32_t epoch, int64_t end);

/* On the owner: one byte of the last batch's records is damaged. */
void plain_store_damage(struct store_partition *p);

#endif
