/* What tells a topic_match, besides its own file. Private to broker/. */
#ifndef BOURN_BROKER_TOPIC_MATCH_STEPS_H
#define BOURN_BROKER_TOPIC_MATCH_STEPS_H

#include "broker/shard.h"
#include "broker/topic_match.h"

/* `t` has just entered the table. Any match may be closed or opened meanwhile. */
void topic_matches_tell(struct broker *b, const struct topic *t);

#endif
