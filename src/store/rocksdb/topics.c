/* Topics come, change and go: first in the catalog, then on every shard; a deleted one's rows
 * last. */
#include "store/fanout.h"
#include "store/rocksdb/engine.h"
#include "store/rocksdb/rocks.h"

#include <stdlib.h>

/* --- the topic ------------------------------------------------------------------------------- */

/* Those that are not there yet. */
static void make_partitions(struct rocks_topic *t, struct store_topic *now, uint32_t from)
{
	struct rocks *s = t->store;

	for (uint32_t i = from; i < now->spec.partition_count; i++) {
		struct rocks_partition *p = calloc(1, sizeof(*p));
		unsigned shard = partition_shard(&t->uuid, i, s->config.shard_count);

		CHECK(p);
		rocks_partition_init(p, t, &now->spec, i, &s->shards[shard]);
		now->partitions[i] = &p->base;
	}
}

struct rocks_topic *rocks_topic_new(struct rocks *s, const struct topic_spec *spec)
{
	size_t name_bytes = strlen(spec->name) + 1;
	struct rocks_topic *t = calloc(1, sizeof(*t) + name_bytes);

	CHECK(t);
	t->store = s;
	t->uuid = spec->uuid;
	memcpy(t->name, spec->name, name_bytes);
	t->now = store_topic_new(spec);
	CHECK(t->now);
	make_partitions(t, t->now, 0);
	HASH_ADD(hh, s->topics, uuid, sizeof(struct uuid), t);
	CHECK(hash_took(&t->hh));
	return t;
}

void rocks_topic_free(struct rocks_topic *t)
{
	for (uint32_t i = 0; i < t->now->spec.partition_count; i++) {
		struct rocks_partition *p = rocks_topic_partition(t, i);

		rocks_partition_fini(p);
		free(p);
	}
	store_topic_put(t->now);
	free(t);
}

void rocks_topic_attach(struct rocks_topic *t, uint32_t first, struct rocks_shard *shard)
{
	for (uint32_t i = first; i < t->now->spec.partition_count; i++) {
		struct rocks_partition *p = rocks_topic_partition(t, i);

		if (p->shard == shard)
			list_append(&shard->partitions, &p->node);
	}
}

/* --- one operation --------------------------------------------------------------------------- */

struct topic_job {
	struct rocks *store;
	struct store_topic_op *op;
	struct rocks_topic *topic;
	struct catalog_change change;
	struct writer_write write; /* delete */
	struct work drop;
	struct task finish;
	struct fanout *fanout; /* owned */
	uint32_t before;       /* alter: partitions that were there */
};

static void finish(struct task *task)
{
	struct topic_job *j = CONTAINER_OF(task, struct topic_job, finish);
	struct store_topic_op *op = j->op;

	j->store->operations--;
	free(j->fanout);
	free(j);
	op->done(op);
}

static void finish_later(struct topic_job *j)
{
	j->finish.run = finish;
	loop_defer(j->store->shards[0].loop, LOOP_WORK, &j->finish);
}

static void finish_visited(struct fanout *o)
{
	finish_later(o->context);
}

static struct topic_job *job_new(struct store_topic_op *op)
{
	struct topic_job *j = calloc(1, sizeof(*j));

	CHECK(j);
	j->store = rocks_of(op->store);
	j->fanout = fanout_new(op->store, &j->store->config);
	CHECK(j->fanout);
	j->op = op;
	j->store->operations++;
	op->fault = (struct fault){0};
	return j;
}

static void change_catalog(struct topic_job *j, enum catalog_verb verb,
                           void (*done)(struct catalog_change *change))
{
	j->change.verb = verb;
	j->change.done = done;
	catalog_change(j->store->catalog, &j->change);
}

/* --- create ---------------------------------------------------------------------------------- */

static void attach(struct fanout_visit *v)
{
	struct topic_job *j = v->fanout->context;

	rocks_topic_attach(j->topic, 0, &j->store->shards[v->shard]);
	fanout_leave(v);
}

static void created(struct catalog_change *change)
{
	struct topic_job *j = CONTAINER_OF(change, struct topic_job, change);

	j->op->fault = change->fault;
	if (change->fault.code) {
		finish_later(j);
		return;
	}
	j->topic = rocks_topic_new(j->store, &change->spec);
	j->op->topic = j->topic->now;
	fanout_start(j->fanout, attach, finish_visited, j);
}

void rocks_topic_create(struct store_topic_op *op)
{
	struct topic_job *j = job_new(op);
	struct topic_spec *spec = &j->change.spec;

	*spec = op->spec;
	store_topic_born(spec, &j->store->config, store_rocksdb.name);
	change_catalog(j, CATALOG_CREATE, created);
}

/* --- alter ----------------------------------------------------------------------------------- */

/* A partition keeps to new limits when the change is answered: behind the trims that are under way
 * there is one for them, and behind that it is so. */
struct settling {
	struct rocks_turn turn;
	struct rocks_partition *partition;
	struct fanout_visit *visit;
	bool retained;
};

static void settle(struct task *t)
{
	struct settling *x = CONTAINER_OF(t, struct settling, turn.begin);
	struct rocks_partition *p = x->partition;
	struct fanout_visit *v = x->visit;

	rocks_turn_end(p, &x->turn);
	if (!x->retained) {
		x->retained = true;
		rocks_retain(p, true);
		rocks_turn_ask(p, &x->turn);
		return;
	}
	free(x);
	fanout_leave_after(v);
}

static void settle_begin(struct rocks_partition *p, struct fanout_visit *v)
{
	struct settling *x = calloc(1, sizeof(*x));

	CHECK(x);
	*x = (struct settling){.turn.begin.run = settle, .partition = p, .visit = v};
	v->pending++;
	rocks_turn_ask(p, &x->turn);
}

static void apply(struct fanout_visit *v)
{
	struct topic_job *j = v->fanout->context;

	v->pending = 1; /* this visit itself */
	for (uint32_t i = 0; i < j->before; i++) {
		struct rocks_partition *p = rocks_topic_partition(j->topic, i);

		if (p->base.shard != v->shard)
			continue;
		p->base.settings = j->change.spec.settings;
		settle_begin(p, v);
		store_partition_moved(&p->base, p->shard->loop);
	}
	rocks_topic_attach(j->topic, j->before, &j->store->shards[v->shard]);
	fanout_leave_after(v);
}

/* The old one goes with the last reference to it. */
static void renew(struct rocks_topic *t, const struct topic_spec *spec)
{
	struct store_topic *before = t->now;
	struct store_topic *now = store_topic_new(spec);

	CHECK(now); /* RocksDB, too, ends the process when there is no memory */
	for (uint32_t i = 0; i < before->spec.partition_count; i++)
		now->partitions[i] = before->partitions[i];
	make_partitions(t, now, before->spec.partition_count);
	t->now = now;
	store_topic_put(before);
}

static void altered(struct catalog_change *change)
{
	struct topic_job *j = CONTAINER_OF(change, struct topic_job, change);

	j->op->fault = change->fault;
	if (change->fault.code) {
		finish_later(j);
		return;
	}
	renew(j->topic, &change->spec);
	j->op->topic = j->topic->now;
	fanout_start(j->fanout, apply, finish_visited, j);
}

void rocks_topic_alter(struct store_topic_op *op)
{
	struct topic_job *j = job_new(op);
	struct topic_spec *spec = &j->change.spec;

	CHECK(op->spec.partition_count <= TOPIC_PARTITIONS_MAX);
	HASH_FIND(hh, j->store->topics, &op->spec.uuid, sizeof(struct uuid), j->topic);
	if (!j->topic) {
		fault_set(&op->fault, ERR_TOPIC_UNKNOWN, 0, "%s", op->spec.name);
		finish_later(j);
		return;
	}
	*spec = j->topic->now->spec;
	j->before = spec->partition_count;
	spec->settings = op->spec.settings;
	if (op->spec.partition_count > j->before)
		spec->partition_count = op->spec.partition_count;
	change_catalog(j, CATALOG_ALTER, altered);
}

/* --- delete ---------------------------------------------------------------------------------- */

void rocks_put_topic_deletion(const struct uuid *topic, const struct database *d,
                              rocksdb_writebatch_t *batch)
{
	struct row_topic_range rows = row_topic_range(topic);
	struct row_topic_range meta = row_meta_topic_range(topic);

	d->lib.writebatch_delete_range(batch, (const char *)rows.from, rows.len,
	                               (const char *)rows.to, rows.len);
	d->lib.writebatch_delete_range_cf(batch, d->meta, (const char *)meta.from, meta.len,
	                                  (const char *)meta.to, meta.len);
}

static void drop_run(struct work *w)
{
	struct topic_job *j = CONTAINER_OF(w, struct topic_job, drop);
	struct row_topic_range rows = row_topic_range(&j->change.spec.uuid);

	/* `to` is 16 bytes: no key is as short, so that it is left out or in is the same. */
	database_drop_files(&j->store->database, slice_of(rows.from, rows.len),
	                    slice_of(rows.to, rows.len));
}

static void dropped(struct work *w)
{
	finish_later(CONTAINER_OF(w, struct topic_job, drop));
}

static void put_deletion(struct writer_write *w, const struct database *d,
                         rocksdb_writebatch_t *batch)
{
	struct topic_job *j = CONTAINER_OF(w, struct topic_job, write);

	rocks_put_topic_deletion(&j->change.spec.uuid, d, batch);
}

/* The topic is gone either way; rows that stay are deleted by the next start. */
static void rows_deleted(struct writer_write *w)
{
	struct topic_job *j = CONTAINER_OF(w, struct topic_job, write);

	if (w->fault.code) {
		finish_later(j);
		return;
	}
	/* A backup may have rows of it: a start from there, and the next one here, finish it. */
	if (!j->store->backup)
		catalog_forget(j->store->catalog, &j->change.spec.uuid);
	j->drop = (struct work){.run = drop_run, .done = dropped};
	loop_work(j->store->shards[0].loop, &j->drop);
}

static void gone(struct fanout *o)
{
	struct topic_job *j = o->context;

	rocks_topic_free(j->topic);
	j->write = (struct writer_write){
		.put = put_deletion,
		.durability = DURABILITY_COMMIT,
		.reserved = true,
		.loop = j->store->shards[0].loop,
		.done = rows_deleted,
	};
	writer_write(j->store->writer, &j->write);
}

static void partition_gone(struct rocks_partition *p)
{
	struct fanout_visit *v = p->quiet_context;

	list_remove(&p->node);
	fanout_leave_after(v);
}

static void drop(struct fanout_visit *v)
{
	struct topic_job *j = v->fanout->context;
	struct rocks_topic *t = j->topic;

	v->pending = 1; /* this visit itself */
	for (uint32_t i = 0; i < t->now->spec.partition_count; i++) {
		struct rocks_partition *p = rocks_topic_partition(t, i);

		if (p->base.shard != v->shard)
			continue;
		v->pending++;
		rocks_partition_drop(p, partition_gone, v);
	}
	fanout_leave_after(v);
}

static void deleted(struct catalog_change *change)
{
	struct topic_job *j = CONTAINER_OF(change, struct topic_job, change);

	j->op->fault = change->fault;
	if (change->fault.code) {
		finish_later(j);
		return;
	}
	HASH_DELETE(hh, j->store->topics, j->topic);
	fanout_start(j->fanout, drop, gone, j);
}

void rocks_topic_delete(struct store_topic_op *op)
{
	struct topic_job *j = job_new(op);

	HASH_FIND(hh, j->store->topics, &op->topic->spec.uuid, sizeof(struct uuid), j->topic);
	CHECK(j->topic);
	j->change.spec = j->topic->now->spec;
	change_catalog(j, CATALOG_DELETE, deleted);
}
