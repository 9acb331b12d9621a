/* Every engine with each loop on a thread of its own, as the broker runs it: writers and followers
 * on every shard while topics come, change and go at home, with as little in memory as the engine
 * can do with. What it finds, it finds best under
 * ThreadSanitizer (preset tsan). */
#include "base/test.h"
#include "store/testing/remote_sim.h"
#include "store/testing/store_rig.h"

#include <pthread.h>
#include <stdlib.h>

enum {
	SHARDS = 3,
	PARTITIONS = 6,
	APPENDS = 60,
	ROUNDS = 8,
	BACKUP_ROUNDS = 4, /* between two backups */
	VISIT_APPENDS = 4,
	BATCH_LIMIT = 1 << 16,
};

struct run;

/* A partition's writer and its follower, both on the owning shard: the writer goes on when its
 * append is done, the follower must see each event once, in order. */
struct pair {
	struct message start;
	struct run *run;
	struct store_partition *p;
	struct store_append append;
	struct store_read read;
	struct store_watch watch;
	struct buf batch;
	unsigned appended;
	unsigned seen;
	int64_t next;
	bool reading;
	bool again; /* it reads all of it a second time: a checkpoint may have moved it to disk */
};

/* At home: a topic is created, written to by its shards, altered, and deleted while the last
 * appends may be under way; a checkpoint, now and then a backup; then the next. */
struct home {
	struct message start;
	struct run *run;
	struct store_topic_op op;
	struct store_checkpoint checkpoint;
	struct store_backup_op backup;
	struct visit {
		struct message message; /* there and back */
		struct home *home;
		struct store_partition *p;
		struct visit_append {
			struct store_append op;
			struct visit *visit;
			bool done;
		} appends[VISIT_APPENDS];
	} visits[PARTITIONS];
	struct buf batch;
	unsigned visits_left;
	unsigned round;
};

struct run {
	struct store_rig rig;
	struct pair pairs[PARTITIONS];
	struct home home;
	atomic_uint left; /* pairs and home: the last one to end stops all loops */
};

static void end_one(struct run *r)
{
	if (atomic_fetch_sub(&r->left, 1) > 1)
		return;
	for (unsigned i = 0; i < r->rig.shard_count; i++)
		loop_stop(r->rig.loops[i]);
}

/* --- writer and follower --------------------------------------------------------------------- */

static void pair_append(struct pair *w)
{
	w->append.batches = rig_batch(&w->batch, "v", NULL, 2);
	w->run->rig.store->ops->append(&w->append);
}

static void pair_appended(struct store_append *a)
{
	struct pair *w = CONTAINER_OF(a, struct pair, append);

	CHECK(a->fault.code == OK);
	if (++w->appended < APPENDS)
		pair_append(w);
}

static void pair_read(struct pair *w)
{
	w->reading = true;
	w->read.offset = w->next;
	w->run->rig.store->ops->read(&w->read);
}

static void pair_moved(struct store_watch *watch)
{
	struct pair *w = CONTAINER_OF(watch, struct pair, watch);

	if (!w->reading)
		pair_read(w);
}

static void pair_see(struct pair *w, struct slice rest)
{
	while (rest.len) {
		struct batch b;

		CHECK(batch_parse(rest, &b, NULL) == OK);
		CHECK(batch_crc_ok(&b));
		CHECK(b.base_offset >= w->next);
		if (!(b.attributes & BATCH_CONTROL))
			w->seen += b.record_count;
		w->next = b.last_offset + 1;
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
}

static void pair_got(struct store_read *r)
{
	struct pair *w = CONTAINER_OF(r, struct pair, read);

	CHECK(r->fault.code == OK);
	w->reading = false;
	pair_see(w, r->batches);
	if (r->holder)
		shared_put(r->holder);
	if (w->next < w->p->state.high_watermark) {
		pair_read(w);
	} else if (w->seen == 2 * APPENDS && w->appended == APPENDS && !w->again) {
		w->again = true;
		w->next = 0;
		w->seen = 0;
		pair_read(w);
	} else if (w->seen == 2 * APPENDS && w->appended == APPENDS) {
		store_watch_remove(&w->watch);
		end_one(w->run);
	} else if (w->seen == 2 * APPENDS) {
		pair_read(w); /* its writer has not heard of the last one yet */
	}
}

static void pair_start(struct message *m)
{
	struct pair *w = CONTAINER_OF(m, struct pair, start);

	store_watch_add(w->p, &w->watch);
	pair_append(w);
}

/* --- topics that come and go ----------------------------------------------------------------- */

static void home_create(struct home *h);

static void home_next(struct home *h)
{
	if (++h->round < ROUNDS)
		home_create(h);
	else
		end_one(h->run);
}

static void home_backup(struct home *h, struct store *s, enum store_backup_verb verb);

static void home_backed_up(struct store_backup_op *o)
{
	struct home *h = CONTAINER_OF(o, struct home, backup);

	CHECK(o->fault.code == OK || o->fault.code == ERR_NOT_IMPLEMENTED);
	free(o->backups);
	if (o->verb == BACKUP_MAKE && !o->fault.code)
		home_backup(h, o->store, BACKUP_REMOVE);
	else
		home_next(h);
}

static void home_backup(struct home *h, struct store *s, enum store_backup_verb verb)
{
	h->backup = (struct store_backup_op){
		.store = s, .verb = verb, .name = "b", .done = home_backed_up};
	s->ops->backup(&h->backup);
}

static void home_checkpointed(struct store_checkpoint *c)
{
	struct home *h = CONTAINER_OF(c, struct home, checkpoint);

	CHECK(c->fault.code == OK || c->fault.code == ERR_NOT_IMPLEMENTED);
	if (h->round % BACKUP_ROUNDS == 0)
		home_backup(h, c->store, BACKUP_MAKE);
	else
		home_next(h);
}

static void home_deleted(struct store_topic_op *o)
{
	struct home *h = CONTAINER_OF(o, struct home, op);

	CHECK(o->fault.code == OK);
	for (unsigned i = 0; i < PARTITIONS; i++) {
		for (unsigned j = 0; j < VISIT_APPENDS; j++)
			CHECK(h->visits[i].appends[j].done);
	}
	h->checkpoint = (struct store_checkpoint){.store = o->store, .done = home_checkpointed};
	o->store->ops->checkpoint(&h->checkpoint);
}

static void home_altered(struct store_topic_op *o)
{
	CHECK(o->fault.code == OK);
	o->done = home_deleted;
	o->store->ops->topic_delete(o);
}

static void visit_returned(struct message *m)
{
	struct home *h = CONTAINER_OF(m, struct visit, message)->home;

	if (--h->visits_left > 0)
		return;
	h->op.spec = h->op.topic->spec;
	h->op.spec.settings.retention_ms = 1000000 + h->round;
	h->op.spec.partition_count = PARTITIONS + 1 + (uint32_t)h->round % 3;
	h->op.done = home_altered;
	h->op.store->ops->topic_alter(&h->op);
}

static void visit_appended(struct store_append *a)
{
	CHECK(a->fault.code == OK || a->fault.code == ERR_TOPIC_GONE);
	CONTAINER_OF(a, struct visit_append, op)->done = true;
}

static void visit_arrived(struct message *m)
{
	struct visit *v = CONTAINER_OF(m, struct visit, message);
	struct run *run = v->home->run;

	for (unsigned i = 0; i < VISIT_APPENDS; i++) {
		struct visit_append *a = &v->appends[i];

		a->op = (struct store_append){.partition = v->p,
		                              .batches = buf_slice(&v->home->batch),
		                              .expected_offset = -1,
		                              .done = visit_appended};
		a->done = false;
		run->rig.store->ops->append(&a->op);
	}
	m->deliver = visit_returned;
	loop_post(run->rig.loops[0], m);
}

static void home_created(struct store_topic_op *o)
{
	struct home *h = CONTAINER_OF(o, struct home, op);

	CHECK(o->fault.code == OK);
	h->visits_left = PARTITIONS;
	for (unsigned i = 0; i < PARTITIONS; i++) {
		struct visit *v = &h->visits[i];

		v->home = h;
		v->p = o->topic->partitions[i];
		v->message.deliver = visit_arrived;
		loop_post(h->run->rig.loops[v->p->shard], &v->message);
	}
}

static void home_create(struct home *h)
{
	struct store *store = h->run->rig.store;

	h->op = (struct store_topic_op){.store = store,
	                                .spec = rig_spec(&h->run->rig, "passing", PARTITIONS),
	                                .done = home_created};
	store->ops->topic_create(&h->op);
}

static void home_start(struct message *m)
{
	home_create(CONTAINER_OF(m, struct home, start));
}

/* --- the run --------------------------------------------------------------------------------- */

static void *run_loop(void *loop)
{
	loop_run(loop);
	return NULL;
}

static void prepare(struct run *r)
{
	const struct store_topic *topic = rig_topic(&r->rig, "steady", PARTITIONS);

	for (unsigned i = 0; i < PARTITIONS; i++) {
		struct pair *w = &r->pairs[i];

		w->run = r;
		w->p = topic->partitions[i];
		w->batch = BUF_INIT(BATCH_LIMIT);
		w->append = (struct store_append){
			.partition = w->p, .expected_offset = -1, .done = pair_appended};
		w->read =
			(struct store_read){.partition = w->p, .bytes_max = 500, .done = pair_got};
		w->watch.moved = pair_moved;
		w->start.deliver = pair_start;
		loop_post(r->rig.loops[w->p->shard], &w->start);
	}
	r->home.run = r;
	r->home.batch = BUF_INIT(BATCH_LIMIT);
	rig_batch(&r->home.batch, "passing", NULL, 3);
	r->home.start.deliver = home_start;
	loop_post(r->rig.loops[0], &r->home.start);
	atomic_init(&r->left, PARTITIONS + 1);
}

static void run_on_threads(const struct store_ops *ops, int64_t memory_bytes)
{
	struct run *r = calloc(1, sizeof(*r));
	pthread_t threads[SHARDS];
	size_t count;

	assert_non_null(r);
	rig_open(&r->rig, ops, SHARDS, false, 0);
	r->rig.memory_bytes = memory_bytes;
	rig_reopen(&r->rig);
	prepare(r);
	for (unsigned i = 0; i < SHARDS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_loop, r->rig.loops[i]), 0);
	for (unsigned i = 0; i < SHARDS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (unsigned i = 0; i < PARTITIONS; i++)
		buf_fini(&r->pairs[i].batch);
	buf_fini(&r->home.batch);
	rig_reopen(&r->rig);
	r->rig.store->ops->topics(r->rig.store, &count);
	assert_int_equal(count, 1);
	rig_close(&r->rig);
	free(r);
}

TEST(threads__released_engines_lose_nothing)
{
	const struct store_registry *released = store_registry_default();

	for (size_t i = 0; i < released->count; i++) {
		if (!rig_has_engine(released->engines[i]))
			continue;
		run_on_threads(released->engines[i], 1);
		run_on_threads(released->engines[i], 256 << 20);
	}
}

TEST(threads__remote_sim_loses_nothing)
{
	run_on_threads(&store_remote_sim, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads__released_engines_lose_nothing),
		cmocka_unit_test(threads__remote_sim_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
