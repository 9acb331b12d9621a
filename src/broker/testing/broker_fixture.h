/* broker_fixture: a group of brokers for tests, over a plain_store or any engine. Shard 0 runs on
 * the test's own thread while it waits, the others on threads of their own. */
#ifndef BOURN_BROKER_TESTING_BROKER_FIXTURE_H
#define BOURN_BROKER_TESTING_BROKER_FIXTURE_H

#include "broker/admin.h"
#include "broker/broker.h"
#include "broker/produce.h"
#include "broker/reader.h"
#include "broker/testing/plain_store.h"
#include "io/metrics.h"
#include "store/testing/store_rig.h"

#include <pthread.h>

enum { FIXTURE_SHARDS_MAX = 4 };

struct fixture {
	unsigned shard_count;
	bool is_plain;
	struct metrics metrics[FIXTURE_SHARDS_MAX]; /* with a plain_store, else the rig's */
	struct store_rig rig;                       /* any other engine's */
	struct loop *loops[FIXTURE_SHARDS_MAX];
	pthread_t threads[FIXTURE_SHARDS_MAX];
	struct store *store;
	struct broker_group *group;
	struct caller caller;
};

struct fixture_options {
	unsigned shards;     /* 0: 1 */
	uint32_t partitions; /* of new topics; 0: 1 */
	uint32_t credits;    /* 0: 64 */
	bool no_auto_create;
	const struct store_ops *engine; /* NULL: a plain_store */
};

void fixture_start(struct fixture *f, const struct fixture_options *options);
/* Drains, then stops; everything must be closed. */
void fixture_stop(struct fixture *f);
/* Drains and stops, and starts again on what the engine kept. */
void fixture_restart(struct fixture *f, const struct fixture_options *options);
/* Until broker_group_drain says so. */
void fixture_drain(struct fixture *f);

/* Run `what` on a shard's thread, and wait for its return. */
void fixture_on(struct fixture *f, unsigned shard, void (*what)(struct broker *b, void *arg),
                void *arg);

/* Raised on any shard, waited for by the test. */
struct signal {
	struct message message;
	bool is_raised;
};
void signal_raise(struct fixture *f, struct signal *s);
void signal_wait(struct fixture *f, struct signal *s);

int64_t fixture_metric(struct fixture *f, enum metric m);

/* --- produce ---------------------------------------------------------------------------------- */

enum { PRODUCED_EVENTS_MAX = 16 };

struct event {
	const char *key; /* NULL: none */
	const char *value;
};

struct produced {
	struct produce produce;
	struct fixture *fixture;
	unsigned shard;
	char topic[256];
	struct event events[PRODUCED_EVENTS_MAX];
	uint32_t count;
	struct message start;
	struct signal done;
};

/* Fill in a request of one event to `topic`; change it before produced_start. */
void produced_init(struct produced *p, struct fixture *f, unsigned shard, const char *topic,
                   const char *value);
/* Those started on one shard begin in that order. */
void produced_start(struct produced *p);
/* On the shard's thread: at once. */
void produced_start_here(struct produced *p);
/* Until done; returns the code. */
enum err produced_wait(struct produced *p);

/* One event, stored: its offset. */
int64_t produce_one(struct fixture *f, unsigned shard, const char *topic, const char *value);

/* --- admin ------------------------------------------------------------------------------------ */

struct administered {
	struct admin admin;
	struct fixture *fixture;
	unsigned shard;
	struct message start;
	struct signal done;
};

void administered_init(struct administered *a, struct fixture *f, unsigned shard,
                       enum admin_kind kind, const char *name);
void administered_start(struct administered *a);
/* Returns the code; broker_admin_fini is the caller's. */
enum err administered_wait(struct administered *a);
/* All of it, without the answer. */
enum err administer(struct fixture *f, unsigned shard, enum admin_kind kind, const char *name);

void create_topic(struct fixture *f, const char *name, uint32_t partitions);

/* The partition's own, for what happens on its owner. */
struct store_partition *partition_of(struct fixture *f, const char *topic, uint32_t partition);

/* --- reading ---------------------------------------------------------------------------------- */

/* Takes whatever comes, and notes it down. */
struct ear_notes {
	char text[1 << 16]; /* "0@5=hello " per event: partition, offset, value */
	uint32_t events;
	uint32_t grew; /* how often that was told */
	bool caught_up;
	enum err failed;
	struct fault fault;
	uint32_t bounds_count;
	struct reader_bounds bounds[8]; /* the first ones */
	char cursor[1100];
};

struct ear {
	struct fixture *fixture;
	unsigned shard;
	struct reader_options options;
	struct reader *reader;
	struct ear_notes notes; /* the shard's */
	bool stopped;           /* takes nothing on wake */
	uint32_t wakes;

	uint32_t want_events; /* raise `news` when … */
	bool want_caught_up;
	bool want_failed;
	struct signal news;
};

/* Options for all of a topic from the start, following; change them before ear_open. */
void ear_init(struct ear *l, struct fixture *f, unsigned shard, const char *topic);
void ear_open(struct ear *l);
/* Until the condition holds; then the notes so far. */
void ear_await_events(struct ear *l, uint32_t count, struct ear_notes *notes);
void ear_await_caught_up(struct ear *l, struct ear_notes *notes);
void ear_await_failed(struct ear *l, struct ear_notes *notes);
void ear_close(struct ear *l);

#endif
