/* append: whole record batches into one partition, just as they are, at a place that the caller
 * names: how events come that were in a log before, of this broker or another.
 *
 * The batches are checked as a stranger's. They may have gaps, be all gap even: so offsets can be
 * kept where records are missing. All are checked before the first is appended; then each is an
 * append of its own, begun when the one before it is stored, and the first that fails ends it. So
 * what is stored is a first part of them, whoever else appends, and who does not know how much of
 * it is (no answer came) finds out by the log end. */
#ifndef BOURN_BROKER_APPEND_H
#define BOURN_BROKER_APPEND_H

#include "base/buf.h"
#include "broker/broker.h"
#include "record/batch.h"

struct topic;

struct append {
	/* in */
	struct broker *broker;
	const struct caller *caller;
	struct slice topic;             /* borrowed during the call only */
	int32_t partition;              /* -1: the only one there is */
	int64_t expected_offset;        /* >= 0: of the first batch; else nothing is stored */
	int64_t timestamp_max;          /* no event may be later */
	struct buf batches;             /* owned; the base offset in them is not looked at */
	void (*done)(struct append *a); /* once, later */

	/* out */
	/* TOPIC_UNKNOWN BAD_TOPIC PARTITION_UNKNOWN PARTITION_REQUIRED NOT_IMPLEMENTED TOO_LARGE
	 * CORRUPT BAD_RECORD BAD_TIMESTAMP DENIED BUSY NO_MEMORY SHUTTING_DOWN + store_append's */
	struct fault fault;
	int64_t next_offset;        /* behind the last batch that was stored */
	int64_t event_count;        /* in those that were */
	enum durability durability; /* that they were acknowledged under */

	/* the broker's own */
	struct topic *row; /* used until the batches are home */
	struct store_partition *target;
	struct slice rest; /* of `batches`: those that are not stored yet */
	struct store_append store;
	struct task finish;
	struct message message;
};

void broker_append(struct append *a);

/* After done. */
void broker_append_fini(struct append *a);

#endif
