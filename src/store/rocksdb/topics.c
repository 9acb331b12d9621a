/* Topics come, change and go: first in the catalog, then on every shard; a deleted one's rows
 * last. */
#include "store/answers.h"
#include "store/fanout.h"
#include "store/rocksdb/engine.h"
#include "store/rocksdb/rocks.h"

#include <stdlib.h>

/* --- the topic ------------------------------------------------------------------------------- */

/* With those partitions that `before` has not. */
static void stored_free(struct store_topic *stored, const struct store_topic *before)
{
	for (uint32_t i = before ? before->spec.partition_count : 0;
	     i < stored->spec.partition_count && stored->partitions[i]; i++) {
		struct rocks_partition *p = rocks_partition_of(stored->partitions[i]);

		rocks_partition_fini(p);
		free(p);
	}
	store_topic_put(stored);
}

/* The topic as it is to be: with the partitions of `before` (NULL: there are none) and those that are
 * not there yet. NULL: there is no memory. */
static struct store_topic *stored_new(struct rocks_topic *t, const struct topic_spec *spec,
                                      const struct store_topic *before)
{
	struct store_topic *stored = store_topic_new(spec);
	uint32_t from = before ? before->spec.partition_count : 0;
	struct rocks *s = t->store;

	if (!stored)
		return NULL;
	for (uint32_t i = 0; i < from; i++)
		stored->partitions[i] = before->partitions[i];
	for (uint32_t i = from; i < spec->partition_count; i++) {
		struct rocks_partition *p = calloc(1, sizeof(*p));
		unsigned shard = partition_shard(&t->uuid, i, s->config.shard_count);

		if (!p) {
			stored_free(stored, before);
			return NULL;
		}
		rocks_partition_init(p, t, spec, i, &s->shards[shard]);
		stored->partitions[i] = &p->base;
	}
	return stored;
}

struct rocks_topic *rocks_topic_new(struct rocks *s, const struct topic_spec *spec)
{
	size_t name_bytes = strlen(spec->name) + 1;
	struct rocks_topic *t = calloc(1, sizeof(*t) + name_bytes);

	if (!t)
		return NULL;
	t->store = s;
	t->uuid = spec->uuid;
	memcpy(t->name, spec->name, name_bytes);
	t->now = stored_new(t, spec, NULL);
	if (!t->now)
		goto free_topic;
	HASH_ADD(hh, s->topics, uuid, sizeof(struct uuid), t);
	if (hash_took(&t->hh))
		return t;
	stored_free(t->now, NULL);
free_topic:
	free(t);
	return NULL;
}

void rocks_topic_free(struct rocks_topic *t)
{
	stored_free(t->now, NULL);
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
	struct store_topic *next;   /* owned; alter: what it is to be */
	struct settling *settlings; /* owned; alter: of each partition there was */
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
	free(j->settlings);
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

/* NULL: there is no memory, and it is told. All that an operation needs is had before it begins. */
static struct topic_job *job_new(struct store_topic_op *op)
{
	struct rocks *s = rocks_of(op->store);
	struct topic_job *j = calloc(1, sizeof(*j));

	op->fault = (struct fault){0};
	if (j)
		j->fanout = fanout_new(op->store, &s->config);
	if (!j || !j->fanout) {
		free(j);
		fault_set(&op->fault, ERR_NO_MEMORY, 0, "topic");
		store_topic_answer(op, s->shards[0].loop);
		return NULL;
	}
	j->store = s;
	j->op = op;
	s->operations++;
	return j;
}

static void refuse_for_memory(struct topic_job *j)
{
	fault_set(&j->op->fault, ERR_NO_MEMORY, 0, "topic");
	finish_later(j);
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
		HASH_DELETE(hh, j->store->topics, j->topic);
		rocks_topic_free(j->topic);
		finish_later(j);
		return;
	}
	j->op->topic = j->topic->now;
	fanout_start(j->fanout, attach, finish_visited, j);
}

void rocks_topic_create(struct store_topic_op *op)
{
	struct topic_job *j = job_new(op);
	struct topic_spec *spec;

	if (!j)
		return;
	spec = &j->change.spec;
	*spec = op->spec;
	store_topic_born(spec, &j->store->config, store_rocksdb.name);
	j->topic = rocks_topic_new(j->store, spec);
	if (j->topic)
		change_catalog(j, CATALOG_CREATE, created);
	else
		refuse_for_memory(j);
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
	fanout_leave_after(v);
}

static void settle_begin(struct settling *x, struct rocks_partition *p, struct fanout_visit *v)
{
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
		settle_begin(&j->settlings[i], p, v);
		store_partition_moved(&p->base, p->shard->loop);
	}
	rocks_topic_attach(j->topic, j->before, &j->store->shards[v->shard]);
	fanout_leave_after(v);
}

/* The old one goes with the last reference to it. */
static void altered(struct catalog_change *change)
{
	struct topic_job *j = CONTAINER_OF(change, struct topic_job, change);

	j->op->fault = change->fault;
	if (change->fault.code) {
		stored_free(j->next, j->topic->now);
		finish_later(j);
		return;
	}
	store_topic_put(j->topic->now);
	j->topic->now = j->next;
	j->op->topic = j->next;
	fanout_start(j->fanout, apply, finish_visited, j);
}

void rocks_topic_alter(struct store_topic_op *op)
{
	struct topic_job *j = job_new(op);
	struct topic_spec *spec;

	if (!j)
		return;
	CHECK(op->spec.partition_count <= TOPIC_PARTITIONS_MAX);
	spec = &j->change.spec;
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
	j->settlings = calloc(j->before, sizeof(*j->settlings));
	j->next = j->settlings ? stored_new(j->topic, spec, j->topic->now) : NULL;
	if (j->next)
		change_catalog(j, CATALOG_ALTER, altered);
	else
		refuse_for_memory(j);
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

	if (!j)
		return;
	HASH_FIND(hh, j->store->topics, &op->topic->spec.uuid, sizeof(struct uuid), j->topic);
	CHECK(j->topic);
	j->change.spec = j->topic->now->spec;
	change_catalog(j, CATALOG_DELETE, deleted);
}
