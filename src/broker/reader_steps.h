/* What moves a reader on, besides its own file. Private to broker/. */
#ifndef BOURN_BROKER_READER_STEPS_H
#define BOURN_BROKER_READER_STEPS_H

#include "broker/reader.h"
#include "broker/shard.h"

/* `node` was in a topic_wait's list of readers and is in none now: the topic is in the table. */
void reader_topic_appeared(struct list *node, struct topic *t);

/* `node` is in the list of a topic's readers, and the topic has more partitions now. */
void reader_topic_grew(struct list *node);

/* `node` was in a topic's list of readers and is in none now: the topic is being deleted. */
void reader_topic_gone(struct list *node);

#endif
