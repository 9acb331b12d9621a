/* admin_job: an admin request on its way through the shards. Private to broker/.
 *
 * From home to shard 0, where it claims the topic's name (one change of a topic at a time) and
 * talks to the store; it visits every shard in turn; back at 0 it lets go of the name and goes
 * home. The whole job belongs to the shard that it is on.
 *
 *	CLAIM → BEGIN → (STORE) → (VISIT 0, 1, … → VISITED) → (STORE) → FINISH → HOME
 *	create: store, publish      describe: look      alter: (restrain), store, replace
 *	purge:  trim                delete: unpublish, store (if that fails: publish again)
 *	snapshot, backups: store
 *
 * An altered max.message.bytes that is smaller holds for the shards first: what they sent under the
 * old one is with the store when it changes there, and is not refused for it.
 *
 * After what a visit does to a shard, the shard's partitions are DESCRIBEd: their state, and by two
 * reads each the times of the first and the last event. The topic cannot be deleted meanwhile, for
 * the job holds its name. */
#ifndef BOURN_BROKER_ADMIN_JOB_H
#define BOURN_BROKER_ADMIN_JOB_H

#include "broker/admin.h"
#include "broker/shard.h"

enum admin_state {
	ADMIN_CLAIM,
	ADMIN_BEGIN,
	ADMIN_STORE, /* an operation of the store is under way */
	ADMIN_VISIT, /* on `at`; may take its time, as may the next */
	ADMIN_DESCRIBE,
	ADMIN_GO_ON, /* to the next shard, or back to 0 */
	ADMIN_VISITED,
	ADMIN_FINISH,
	ADMIN_HOME,
};

/* What a visit does to a shard. */
enum visit {
	VISIT_LOOK,
	VISIT_PUBLISH,
	VISIT_RESTRAIN, /* before the store: batches are to be smaller */
	VISIT_REPLACE,
	VISIT_TRIM,
	VISIT_UNPUBLISH,
	VISIT_FENCED,
};

/* What of a partition is described next. */
enum description { DESCRIBE_STATE, DESCRIBE_FIRST, DESCRIBE_LAST };

struct admin_job {
	struct admin *admin;
	struct broker *home;
	struct broker *at; /* the shard that it is on */
	enum admin_state state;
	enum visit visit;

	struct message message; /* between shards */
	struct task task;       /* resumes it on its shard */
	struct timer retry;     /* … when a visit found no memory */

	bool claimed;
	struct list node;   /* in `behind` of the job that holds the name */
	struct list behind; /* struct admin_job: they wait for the name, in order */
	UT_hash_handle hh;  /* in broker.claims while it holds the name */

	struct topic_facts *facts; /* a reference: of the topic as it is, or is to be; NULL: none */
	struct topic_facts *fresh; /* … for what the store is asked to do: had before it is done */
	struct topic *leaving;     /* UNPUBLISH: the row of `at`, out of its table */
	uint32_t partition;        /* VISIT_TRIM, DESCRIBE: the next one to look at */
	enum description description; /* DESCRIBE: … and what of it */
	union {
		struct store_topic_op topic_op;
		struct store_checkpoint checkpoint;
		struct store_backup_op backup;
		struct store_trim trim;
		struct store_read read;
	};
	size_t name_bytes; /* 0: it is about no topic, `name` may be a backup's */
	char name[TOPIC_NAME_BYTES_MAX + 1];
};

static inline struct slice admin_job_name(const struct admin_job *j)
{
	return slice_of(j->name, j->name_bytes);
}

/* It goes on at `state`, on the shard that it is on. */
void admin_step(struct admin_job *j);

/* Do what `visit` says on shard `at`. False: not done yet; the job is resumed and asks again. */
bool admin_visit(struct admin_job *j);

/* Describe the topic's partitions on shard `at`. False as above. */
bool admin_describe(struct admin_job *j);

void partition_describe(struct partition_description *to, const struct store_partition *p);

#endif
