/* topics: the topics as one shard sees them. Private to broker/.
 *
 * What is true of a topic (its facts) is immutable and shared by all shards; a change makes new
 * facts, which shard 0 hands to every shard in turn (admin.c). Each shard keeps a row per topic of
 * its own: a pointer to the facts, and what this shard has under way there.
 *
 * A row that was taken out of the table lives on until nothing uses it: batches on their way to the
 * log and questions to partitions. */
#ifndef BOURN_BROKER_TOPICS_H
#define BOURN_BROKER_TOPICS_H

#include "base/hash.h"
#include "base/list.h"
#include "base/shared.h"
#include "core/topic.h"
#include "io/loop.h"
#include "store/store.h"

struct turn_batch;

struct topic_facts {
	struct shared shared;
	struct topic_spec spec;
	const struct store_topic *stored; /* a reference; NULL: nothing was said yet */
};

/* NULL when memory ends. The caller holds the one reference. They say nothing yet. */
struct topic_facts *topic_facts_new(void);

/* Say it, once; takes a reference to `stored`. */
void topic_facts_set(struct topic_facts *facts, const struct topic_spec *spec,
                     const struct store_topic *stored);

/* One shard's row. */
struct topic {
	struct topic_facts *facts; /* a reference */
	size_t name_bytes;
	struct list readers;      /* struct reader: open here on this topic */
	uint32_t uses;            /* turn batches and questions under way */
	struct task *abandoned;   /* NULL, or out of the table: deferred when uses comes to 0 */
	uint64_t serial;          /* of topics_insert, from 1; 0: there since the start */
	uint32_t sticky;          /* the partition that records without key go to … */
	uint32_t sticky_turn;     /* … in this turn (struct broker.turn) */
	struct turn_batch **open; /* owned; by partition: this turn's shared batch, NULL: none */
	UT_hash_handle hh;
};

static inline struct slice topic_name(const struct topic *t)
{
	return slice_of(t->facts->spec.name, t->name_bytes);
}

static inline void topic_use(struct topic *t)
{
	t->uses++;
}

/* The other end of topic_use; `l` is this shard's loop. */
void topic_release(struct topic *t, struct loop *l);

struct topics {
	struct topic *by_name; /* uthash */
	struct topic *last;    /* found last: most requests ask for the same again; NULL: none */
	struct topic **sorted; /* owned: by name, for lists a page at a time */
	size_t count;
	size_t cap;
	uint64_t serial; /* of the row inserted last */
};

/* Takes a reference to each of the facts. False when memory ends. */
bool topics_init(struct topics *ts, struct topic_facts *const *facts, size_t count);
void topics_fini(struct topics *ts);

/* NULL when there is none. */
struct topic *topics_find(struct topics *ts, struct slice name);

/* Where `name` is, or would be, in `sorted`. */
size_t topics_rank(const struct topics *ts, struct slice name);

/* Takes a reference. NULL when memory ends: the store has the topic and shards must agree, so it is
 * to be tried again. */
struct topic *topics_insert(struct topics *ts, struct topic_facts *facts);

/* New facts of the same topic, which may have more partitions; takes a reference. False when memory
 * ends: as above. */
bool topic_replace(struct topic *t, struct topic_facts *facts);

/* Out of the table; the row lives until topic_free. */
void topics_remove(struct topics *ts, struct topic *t);
void topic_free(struct topic *t);

#endif
