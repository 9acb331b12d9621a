/* struct broker: what one shard's requests share. Private to broker/.
 *
 * Everything here belongs to the shard's thread. Another shard's `loop` and `index` may be read by
 * all: they never change. */
#ifndef BOURN_BROKER_SHARD_H
#define BOURN_BROKER_SHARD_H

#include "broker/broker.h"
#include "broker/topics.h"
#include "io/loop.h"

struct admin_job;
struct hook_chain;
struct metrics;
struct pass_lane;
struct topic_wait;

struct broker {
	struct broker_group *group;
	struct loop *loop;
	struct metrics *metrics;
	const struct store_ops *ops;
	unsigned index;

	struct topics topics;
	struct topic_wait *waits; /* uthash by name: for topics that are not there (yet) */
	struct list matches;      /* struct topic_match: patterns that are open here */

	/* produce.c, produce_hooks.c, turn_batch.c */
	struct hook_chain *produce_hooks; /* NULL: none */
	struct list open;  /* struct turn_batch: this turn's, in the order they were opened */
	struct list spare; /* struct turn_batch: kept for their buffers */
	uint32_t spare_count;
	uint32_t turn;        /* counts commits */
	struct task commit;   /* LOOP_COMMIT: sends the open batches */
	struct list finished; /* struct produce: their outcome is known, done has not run */
	struct task finish;   /* runs it */
	size_t copied_bytes;  /* of records that wait for their topic, or for hooks */
	struct pass_lane
		*pass_lanes; /* uthash by caller: those who have requests that wait for hooks */
	uint32_t pass_count; /* of these requests */

	uint32_t under_way;      /* produce and admin requests, closed readers not yet gone */
	bool draining;           /* no new ones */
	bool produce_is_special; /* draining, or there are hooks for it */
	bool drain_waits;        /* the drain message is here until `under_way` is 0 */

	/* admin.c, shard 0 only */
	struct admin_job *claims; /* uthash by name: who is changing the topic now */

	uint32_t credits_low; /* pairs with less than a tenth of their credits */
	uint32_t credits[];   /* by target shard: messages that may still leave for it */
};

struct broker_group {
	struct broker_config config;
	struct message drain;
	unsigned drain_at; /* the shard that the message visits */
	void (*drained)(void *arg);
	void *drained_arg;
	struct broker *shards[];
};

static inline struct broker *shard_of(const struct broker *b, unsigned index)
{
	return b->group->shards[index];
}

/* One message may leave for `target`; false: none, refuse with ERR_BUSY. */
bool credit_take(struct broker *b, unsigned target);
/* It came back. */
void credit_give(struct broker *b, unsigned target);

/* Something that a drain waits for begins or ends on this shard. */
static inline void shard_begin(struct broker *b)
{
	b->under_way++;
}
void shard_end(struct broker *b);

/* A new topic: everybody on this shard who waits for its name goes on, and open patterns that match
 * it are told. False when memory ends: nothing was done, and is to be tried again. */
bool shard_publish(struct broker *b, struct topic_facts *facts);

/* New facts of a topic: its readers are told when it has more partitions now. False as above. */
bool shard_replace(struct topic *t, struct topic_facts *facts);

/* Out of this shard's table: its readers fail. `abandoned` is deferred once nothing of this shard
 * is under way to the topic (open batches leave at the end of the turn); the row is then the
 * caller's to free. */
void shard_unpublish(struct broker *b, struct topic *t, struct task *abandoned);

#endif
