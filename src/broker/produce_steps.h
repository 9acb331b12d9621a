/* What moves a produce request on, besides its own file. Private to broker/. */
#ifndef BOURN_BROKER_PRODUCE_STEPS_H
#define BOURN_BROKER_PRODUCE_STEPS_H

#include "broker/produce.h"
#include "broker/shard.h"

/* The topic that it waited for is in the table, or will not come. */
void produce_topic_appeared(struct produce *p, struct topic *t);
void produce_topic_failed(struct produce *p, const struct fault *fault);

/* The batch of this part is home. `offset` is of its first record; `durability` what it was stored
 * under. */
void produce_part_stored(struct produce_part *part, int64_t offset, enum durability durability);
void produce_part_failed(struct produce_part *part, const struct fault *fault);

void produce_init(struct broker *b);

/* Records that have passed the hooks: to their topic's partitions. Not OK: nothing is under way. */
enum err produce_store(struct produce *p, const struct record *records, uint32_t count) MUST_CHECK;

/* Its outcome (OK: nothing is left to do) is known before anything was under way: done runs later
 * in the turn. */
void produce_finish(struct produce *p, enum err err);

/* A copy of records and all they point to, in one allocation, for a request that has to wait. */
struct produce_copy {
	size_t bytes;
	uint32_t count;
	struct record records[]; /* then the bytes */
};

/* ERR_BUSY: too much is waiting on this shard; ERR_NO_MEMORY. */
enum err produce_copy_new(struct broker *b, const struct record *records, uint32_t count,
                          struct produce_copy **out) MUST_CHECK;
void produce_copy_free(struct broker *b, struct produce_copy *copy);

#endif
