/* remote_partition: a partition of remote_sim: a remote_log and the operations on their way to it
 * and back. Each tick of its timer lets through none, one or all of those that wait in a list. */
#ifndef BOURN_STORE_TESTING_REMOTE_PARTITION_H
#define BOURN_STORE_TESTING_REMOTE_PARTITION_H

#include "store/store.h"
#include "store/testing/remote_log.h"

struct remote_partition {
	struct store_partition base;
	struct loop *loop;
	struct remote_log log;
	struct list sent;     /* struct store_append: not yet in the log */
	struct list appended; /* struct store_append: the answer is on its way */
	struct list reads;    /* struct store_read */
	struct list lookups;  /* struct store_time_lookup */
	struct list trims;    /* struct store_trim */
	unsigned foreign_left;
	struct timer tick;    /* runs while any of these is there */
	struct message visit; /* remote_sim's own: a topic operation comes here and returns */
	struct task leave;    /* remote_sim's own */
};

static inline struct remote_partition *remote_partition_of(struct store_partition *p)
{
	return CONTAINER_OF(p, struct remote_partition, base);
}

/* Memory from calloc; base and log are initialised. */
void remote_partition_init(struct remote_partition *p, struct loop *loop);

/* No operation is under way and nobody watches. */
void remote_partition_fini(struct remote_partition *p);

/* Show the log's ends in base.state and tell the watchers. */
void remote_partition_publish(struct remote_partition *p);

/* What `struct store_ops` says of these. */
void remote_partition_append(struct store_append *a);
void remote_partition_read(struct store_read *r);
void remote_partition_lookup_time(struct store_time_lookup *t);
void remote_partition_trim(struct store_trim *t);

/* Let others append that many one-event batches in the ticks to come. */
void remote_partition_foreign(struct remote_partition *p, unsigned batches);

/* Answer all that waits with ERR_TOPIC_GONE. An append may be in the log by then: to its writer the
 * outcome is unknown. */
void remote_partition_expel(struct remote_partition *p);

#endif
