/* fault_store: makes chosen operations of any store fail.
 *
 * It takes the place of the store's table of operations, so that everybody who holds the store or
 * a partition of it passes through here; nothing else changes hands. What it does not touch goes
 * on as before; appends to a partition still complete in the order given.
 *
 * Arm it before the loops run or on the shard that will do the operation. */
#ifndef BOURN_STORE_TESTING_FAULT_STORE_H
#define BOURN_STORE_TESTING_FAULT_STORE_H

#include "store/store.h"

enum store_call {
	STORE_APPEND,
	STORE_READ,
	STORE_LOOKUP_TIME,
	STORE_TRIM,
	STORE_TOPIC_CREATE,
	STORE_TOPIC_ALTER,
	STORE_TOPIC_DELETE,
	STORE_CALL_COUNT,
};

enum fault_effect {
	FAULT_BEFORE, /* the store never hears of the operation */
	FAULT_AFTER, /* it is done, and its success then reported as the fault; not for STORE_READ and
	                 STORE_LOOKUP_TIME */
};

struct fault_store;

/* Wraps an opened store before its loops run. `loops` as in store_config, borrowed. */
struct fault_store *fault_store_wrap(struct store *s, struct loop *const *loops,
                                     unsigned shard_count);

/* Takes the wrapper off again; no operation is under way. To be done before close. */
void fault_store_unwrap(struct fault_store *fs);

/* The n-th operation of that kind from now on (1: the next) completes with `code`. One fault a
 * kind: arming again replaces it. `sticky`: all later ones too, until disarmed. */
void fault_store_arm(struct fault_store *fs, enum store_call call, unsigned n, enum err code,
                     enum fault_effect effect, bool sticky);
void fault_store_disarm(struct fault_store *fs, enum store_call call);

/* Operations of that kind that failed by our doing so far. */
unsigned fault_store_injected(const struct fault_store *fs, enum store_call call);

#endif
