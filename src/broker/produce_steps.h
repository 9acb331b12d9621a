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

#endif
