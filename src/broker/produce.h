/* produce: append events to a topic.
 *
 * Path of one event: the front calls broker_produce with records that it borrows from its read
 * buffer; they are encoded at once (the only copy before the log) into this turn's open batch of
 * their partition; in LOOP_COMMIT the batch goes to the partition's owner (here, or as a message)
 * and into the store; when the append completes every request in it gets its offset.
 * A topic that does not exist is created first (if that is allowed); then the records are copied
 * aside meanwhile.
 * Where there are hooks for it the records pass these first (produce_hooks.c): they may become
 * others, fewer, or none. */
#ifndef BOURN_BROKER_PRODUCE_H
#define BOURN_BROKER_PRODUCE_H

#include "broker/broker.h"
#include "record/batch.h"

enum { PRODUCE_SHARED_BATCH_BYTES = 64 << 10 }; /* a turn's shared batch is sealed at this size */

struct produce_result {
	uint32_t partition;
	uint32_t count;
	int64_t offset; /* of the first */
};

struct turn_batch;
struct produce_copy;
struct refusal;

/* The broker's own: what one request has in one batch. */
struct produce_part {
	struct produce_part *next; /* in its batch, in the order of the calls */
	struct produce *produce;
	struct turn_batch *batch;
	uint32_t delta; /* records before it in the batch */
};

struct produce {
	/* in */
	struct broker *broker;
	const struct caller *caller;
	struct slice topic; /* borrowed during the call only */
	/* -1: by key (murmur2); without key the one in turn (the same for all of a loop's turn). */
	int32_t partition;
	int64_t expected_offset; /* -1: anywhere; else one partition only, and a batch of its own */
	/* All records to one partition (that of the first key) in one batch; else one atomic batch
	 * per partition. */
	bool atomic;
	void (*done)(struct produce *p);

	/* out */
	/* TOPIC_UNKNOWN BAD_TOPIC PARTITION_UNKNOWN PARTITION_REQUIRED OFFSET_MISMATCH TOO_LARGE
	 * DENIED BUSY NO_MEMORY SHUTTING_DOWN NOT_IMPLEMENTED HOOK_REFUSED HOOK_FAILED +
	 * store_append's; of several partitions, the first one that failed: the others may have
	 * been written. */
	struct fault fault;
	struct refusal *refusal;    /* if HOOK_REFUSED: more about it (hook/call.h), to be freed by
	                            whoever is told; NULL: nothing more */
	enum durability durability; /* the weakest that a part was acknowledged under */
	struct produce_result one;  /* when result_count is 1 */
	struct produce_result
		*results;       /* by partition; = &one for one; until broker_produce_fini */
	uint32_t result_count;  /* 0: hooks dropped all records, nothing was written */
	uint32_t dropped_count; /* by hooks */

	/* the broker's own */
	struct list node;           /* waits for its topic, or for its refusal to be told */
	struct produce_part part;   /* when one partition is written */
	struct produce_part *parts; /* = &part for one; as many as results */
	uint32_t parts_left;        /* under way */
	struct produce_copy *copy;  /* owned: the records while the topic is being created */
};

/* `records` and all they point to are borrowed during the call only. count >= 1; timestamps are
 * filled in by the caller (the turn's wall clock unless the client gave one). All-or-nothing
 * checks (sizes, partition, name) are made before anything is appended. */
void broker_produce(struct produce *p, const struct record *records, uint32_t count);

/* Frees `results` when they were more than one. After done. */
void broker_produce_fini(struct produce *p);

#endif
