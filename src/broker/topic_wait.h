/* topic_wait: the requests of one shard for a topic that is not there (yet). Private to broker/.
 *
 * Produce requests wait while the topic is being created, readers until somebody creates it. When
 * it appears in this shard's table all go on at once, in the order they came, so that none which
 * comes later overtakes them. */
#ifndef BOURN_BROKER_TOPIC_WAIT_H
#define BOURN_BROKER_TOPIC_WAIT_H

#include "broker/admin.h"
#include "broker/shard.h"

struct topic_wait {
	struct broker *broker;
	struct list produces; /* struct produce.node */
	struct list readers;  /* struct reader.node */
	struct admin create;  /* under way if `creating` */
	bool creating;
	char name[TOPIC_NAME_BYTES_MAX + 1];
	UT_hash_handle hh;
};

/* NULL when nobody waits for it. */
struct topic_wait *topic_wait_find(struct broker *b, struct slice name);

/* Find or make; NULL when memory ends. */
struct topic_wait *topic_wait_get(struct broker *b, struct slice name);

/* Create the topic; does nothing when that is under way. When it fails the waiting produce requests
 * fail with it. */
void topic_wait_create(struct topic_wait *w, const struct caller *caller);

/* The topic is in the table. */
void topic_wait_appeared(struct topic_wait *w, struct topic *t);

/* Frees it when nobody waits any more. */
void topic_wait_put(struct topic_wait *w);

#endif
