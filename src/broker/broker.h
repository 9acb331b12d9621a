/* broker: what fronts ask of the topics; one `struct broker` a shard, all of them one group.
 *
 * Every request is a struct: the front fills in the `in` fields, calls, and gets `done` exactly
 * once, later, on its own shard, whatever happened. A request whose partition lives on another
 * shard moves there as a message and comes back; it took a credit at its source, so replies never
 * wait, and a source without credits refuses with ERR_BUSY (the front stops reading before that:
 * broker_room).
 *
 *   produce.h   append events                  reader.h   a cursor that events flow from
 *   append.h    append whole batches
 *   admin.h     topics, snapshot, facts        caller.h   who asks, and may he
 *   topic_match.h   the topics of a pattern
 *
 * Topics are published to shards as an immutable table: shard 0 changes it (through the store's
 * catalog), hands it to every shard and completes the request when all have it. */
#ifndef BOURN_BROKER_BROKER_H
#define BOURN_BROKER_BROKER_H

#include "base/err.h"
#include "broker/caller.h"
#include "store/store.h"

struct broker;
struct broker_group;
struct hooks;

struct broker_config {
	struct store *store;       /* opened; borrowed until the group is freed */
	struct loop *const *loops; /* shard_count of them, not running yet; borrowed */
	unsigned shard_count;
	uint32_t default_partitions;
	bool auto_create;
	enum durability default_durability;
	uint32_t credits;           /* requests under way per pair of shards; 4096 */
	struct hooks *const *hooks; /* by shard; each may be NULL, and so may all: there are none */
};

/* Shard 0's thread; other shards must not have theirs yet. Takes the store's topics. */
struct broker_group *broker_group_new(const struct broker_config *config);

/* Main thread, after the loops ended. */
void broker_group_free(struct broker_group *g);

struct broker *broker_of(struct broker_group *g, unsigned shard);

/* Shard 0: from now on new produce and admin requests are refused (ERR_SHUTTING_DOWN); `drained`
 * runs on shard 0's loop when none is under way on any shard, and nothing of a reader that was
 * closed. May be called again after that: the server drains, closes all connections, and drains
 * once more before it stops the loops and frees the group. */
void broker_group_drain(struct broker_group *g, void (*drained)(void *arg), void *arg);

struct loop *broker_loop(const struct broker *b);

/* May more be read from this caller? */
enum broker_room {
	BROKER_HAS_ROOM,
	BROKER_BEHIND, /* much waits for hooks, and some of that is his: when one of his is done */
	BROKER_NO_CREDITS, /* for nobody: look again later */
};
enum broker_room broker_room(const struct broker *b, const struct caller *c);

#endif
