/* turn_batch: the records of one turn for one partition, on their way to the log. Private to
 * broker/.
 *
 * Opened by the first request that needs it, joined by the others of the turn, sent in LOOP_COMMIT
 * (or before, when it is full) as one append: right here, or as a message to the shard that owns
 * the partition and back. The objects and their buffers are pooled. */
#ifndef BOURN_BROKER_TURN_BATCH_H
#define BOURN_BROKER_TURN_BATCH_H

#include "broker/produce.h"
#include "broker/shard.h"

struct turn_batch {
	struct list node; /* in broker.open or broker.spare */
	struct broker *broker;
	struct topic *topic; /* used until the batch is home again */
	struct store_partition *partition;
	struct buf bytes; /* owned */
	struct batch_builder builder;
	struct produce_part *first; /* who is in it, in the order of the calls */
	struct produce_part *last;
	struct store_append append;
	struct message message;
};

/* A batch of this turn that has room for records of at most `bytes` (encoded, without the batch
 * header): the open one, or a new one once that was sent.
 * ERR_BUSY: no credit for another shard; ERR_NO_MEMORY. */
enum err turn_batch_open(struct broker *b, struct topic *t, uint32_t partition, size_t bytes,
                         struct turn_batch **out) MUST_CHECK;

/* `part` takes part with the records that are added next. */
void turn_batch_join(struct turn_batch *tb, struct produce_part *part);

/* Copies the record in. */
static inline void turn_batch_add(struct turn_batch *tb, const struct record *r)
{
	batch_add(&tb->builder, r);
}

/* Off it goes; an empty one is only put back. `expected_offset` as in store_append. */
void turn_batch_send(struct turn_batch *tb, int64_t expected_offset);

void turn_batches_init(struct broker *b);
void turn_batches_fini(struct broker *b);

#endif
