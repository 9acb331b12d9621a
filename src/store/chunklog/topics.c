/* Topics come, change and go: first in the catalog, then on every shard. */
#include "base/buf.h"
#include "io/disk.h"
#include "io/log.h"
#include "store/answers.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/cold.h"
#include "store/chunklog/expiry.h"

#include <stdio.h>
#include <stdlib.h>

/* --- the topic -------------------------------------------------------------------------------- */

static struct partition *partition_new(struct topic *t, const struct topic_spec *spec, uint32_t i)
{
	struct chunklog *log = t->log;
	unsigned shard = partition_shard(&t->uuid, i, log->config.shard_count);
	struct partition *p = calloc(1, sizeof(*p));

	if (p)
		partition_init(p, t, spec, i, &log->shards[shard]);
	return p;
}

/* With the partitions of `before`. */
static void stored_free(struct store_topic *stored, const struct store_topic *before)
{
	for (uint32_t i = before ? before->spec.partition_count : 0;
	     i < stored->spec.partition_count; i++) {
		if (!stored->partitions[i])
			continue;
		partition_fini(partition_of(stored->partitions[i]));
		free(partition_of(stored->partitions[i]));
	}
	store_topic_put(stored);
}

/* The topic as it is to be: with the partitions of `before` (NULL: there are none) and those that
 * are not there yet. NULL: there is no memory. */
static struct store_topic *stored_new(struct topic *t, const struct topic_spec *spec,
                                      const struct store_topic *before)
{
	struct store_topic *stored = store_topic_new(spec);
	uint32_t from = before ? before->spec.partition_count : 0;

	if (!stored)
		return NULL;
	for (uint32_t i = 0; i < from; i++)
		stored->partitions[i] = before->partitions[i];
	for (uint32_t i = from; i < spec->partition_count; i++) {
		struct partition *p = partition_new(t, spec, i);

		if (!p) {
			stored_free(stored, before);
			return NULL;
		}
		stored->partitions[i] = &p->base;
	}
	return stored;
}

struct topic *chunklog_topic_new(struct chunklog *log, const struct topic_spec *spec)
{
	size_t name_bytes = strlen(spec->name) + 1;
	struct topic *t = calloc(1, sizeof(*t) + name_bytes);

	if (!t)
		return NULL;
	t->log = log;
	t->uuid = spec->uuid;
	memcpy(t->name, spec->name, name_bytes);
	t->now = stored_new(t, spec, NULL);
	if (!t->now)
		goto free_topic;
	HASH_ADD(hh, log->topics, uuid, sizeof(struct uuid), t);
	if (hash_took(&t->hh))
		return t;
	stored_free(t->now, NULL);
free_topic:
	free(t);
	return NULL;
}

void chunklog_topic_free(struct topic *t)
{
	stored_free(t->now, NULL);
	free(t->tomb);
	free(t);
}

struct topic *chunklog_topic_find(struct chunklog *log, const struct uuid *uuid)
{
	struct topic *t;

	HASH_FIND(hh, log->topics, uuid, sizeof(*uuid), t);
	return t;
}

static void attach_from(struct topic *t, uint32_t first, struct shard *shard)
{
	for (uint32_t i = first; i < t->now->spec.partition_count; i++) {
		struct partition *p = topic_partition(t, i);

		if (p->shard == shard)
			list_append(&shard->partitions, &p->node);
	}
}

void chunklog_topic_attach(struct topic *t, struct shard *shard)
{
	attach_from(t, 0, shard);
}

struct segment_home partition_home(struct partition *p)
{
	struct chunklog *log = p->shard->log;

	return (struct segment_home){
		.disk = log->config.disk,
		.root = log->dir.path,
		.store_id = &log->dir.id,
		.topic = &p->base.topic,
		.partition = p->base.index,
	};
}

/* --- one operation ---------------------------------------------------------------------------- */

struct topic_job {
	struct chunklog *log;
	struct store_topic_op *op;
	struct topic *topic;
	struct store_topic *next; /* owned; alter: what it is to be */
	struct fanout *fanout;    /* owned */
	struct catalog_change change;
	struct store_checkpoint save; /* before a class is raised from `none` */
	struct task finish;
	bool holds;      /* the partitions begin no frames until released */
	uint32_t before; /* partitions that were there before */
};

static void finish(struct task *task)
{
	struct topic_job *j = CONTAINER_OF(task, struct topic_job, finish);
	struct store_topic_op *op = j->op;

	j->log->operations--;
	free(j->fanout);
	free(j);
	op->done(op);
}

static void finish_later(struct topic_job *j)
{
	j->finish.run = finish;
	loop_defer(j->log->shards[0].loop, LOOP_WORK, &j->finish);
}

static void finish_visited(struct fanout *o)
{
	finish_later(o->context);
}

/* NULL: there is no memory, and it is told. All that an operation needs is had before it begins. */
static struct topic_job *job_new(struct store_topic_op *op)
{
	struct chunklog *log = chunklog_of(op->store);
	struct topic_job *j = calloc(1, sizeof(*j));

	op->fault = (struct fault){0};
	if (j)
		j->fanout = fanout_new(&log->base, &log->config);
	if (!j || !j->fanout) {
		free(j);
		fault_set(&op->fault, ERR_NO_MEMORY, 0, "topic");
		store_topic_answer(op, log->shards[0].loop);
		return NULL;
	}
	j->log = log;
	j->op = op;
	j->log->operations++;
	return j;
}

static void refuse_for_memory(struct topic_job *j)
{
	fault_set(&j->op->fault, ERR_NO_MEMORY, 0, "topic");
	finish_later(j);
}

static struct topic_job *job_of(struct catalog_change *change)
{
	return CONTAINER_OF(change, struct topic_job, change);
}

static void change_catalog(struct topic_job *j, enum catalog_verb verb,
                           void (*done)(struct catalog_change *change))
{
	j->change.verb = verb;
	j->change.done = done;
	catalog_change(j->log->catalog, &j->change);
}

/* --- create ----------------------------------------------------------------------------------- */

static void attach(struct fanout_visit *v)
{
	struct topic_job *j = v->fanout->context;

	chunklog_topic_attach(j->topic, chunklog_visited(v));
	fanout_leave(v);
}

static void created(struct catalog_change *change)
{
	struct topic_job *j = job_of(change);

	j->op->fault = change->fault;
	if (change->fault.code) {
		HASH_DELETE(hh, j->log->topics, j->topic);
		chunklog_topic_free(j->topic);
		finish_later(j);
		return;
	}
	j->op->topic = j->topic->now;
	fanout_start(j->fanout, attach, finish_visited, j);
}

void chunklog_topic_create(struct store_topic_op *op)
{
	struct topic_job *j = job_new(op);
	struct topic_spec *spec;

	if (!j)
		return;
	spec = &j->change.spec;
	*spec = op->spec;
	store_topic_born(spec, &j->log->config, j->log->base.ops->name);
	j->topic = chunklog_topic_new(j->log, spec);
	if (j->topic)
		change_catalog(j, CATALOG_CREATE, created);
	else
		refuse_for_memory(j);
}

/* --- alter ------------------------------------------------------------------------------------ */

/* Call `each` for those of the partitions there were that this shard owns. */
static void visit_partitions(struct fanout_visit *v,
                             void (*each)(struct topic_job *j, struct partition *p))
{
	struct topic_job *j = v->fanout->context;

	for (uint32_t i = 0; i < j->before; i++) {
		struct partition *p = topic_partition(j->topic, i);

		if (p->base.shard == v->shard)
			each(j, p);
	}
}

static void apply_one(struct topic_job *j, struct partition *p)
{
	if (!j->op->fault.code) {
		p->base.settings = j->change.spec.settings;
		partition_retain(p);
		store_partition_moved(&p->base, p->shard->loop);
	}
	if (j->holds)
		partition_release(p);
	if (!j->op->fault.code)
		expiry_look(p);
}

static void apply(struct fanout_visit *v)
{
	struct topic_job *j = v->fanout->context;

	visit_partitions(v, apply_one);
	attach_from(j->topic, j->before, chunklog_visited(v));
	fanout_leave(v);
}

/* The old one goes with the last reference to it. */
static void altered(struct catalog_change *change)
{
	struct topic_job *j = job_of(change);

	j->op->fault = change->fault;
	if (change->fault.code) {
		stored_free(j->next, j->topic->now);
	} else {
		store_topic_put(j->topic->now);
		j->topic->now = j->next;
		j->op->topic = j->next;
	}
	fanout_start(j->fanout, apply, finish_visited, j);
}

/* What was appended under `none` is in no WAL frame; it must be in segments before a frame follows
 * it, or a restart would find a hole. */
static void saved_before(struct store_checkpoint *c)
{
	struct topic_job *j = CONTAINER_OF(c, struct topic_job, save);

	if (c->fault.code) {
		j->op->fault = c->fault;
		stored_free(j->next, j->topic->now);
		fanout_start(j->fanout, apply, finish_visited, j);
		return;
	}
	change_catalog(j, CATALOG_ALTER, altered);
}

static void held(struct fanout *o)
{
	struct topic_job *j = o->context;

	j->save = (struct store_checkpoint){.store = &j->log->base, .done = saved_before};
	checkpoint_ask(j->log, &j->save);
}

static void hold_one(struct topic_job *j __attribute__((unused)), struct partition *p)
{
	partition_hold(p);
}

static void hold(struct fanout_visit *v)
{
	visit_partitions(v, hold_one);
	fanout_leave(v);
}

void chunklog_topic_alter(struct store_topic_op *op)
{
	struct topic_job *j = job_new(op);
	struct topic_spec *spec;

	if (!j)
		return;
	CHECK(op->spec.partition_count <= TOPIC_PARTITIONS_MAX);
	spec = &j->change.spec;
	j->topic = chunklog_topic_find(j->log, &op->spec.uuid);
	if (!j->topic) {
		fault_set(&op->fault, ERR_TOPIC_UNKNOWN, 0, "%s", op->spec.name);
		finish_later(j);
		return;
	}
	*spec = j->topic->now->spec;
	j->before = spec->partition_count;
	j->holds = spec->settings.durability == DURABILITY_NONE &&
	           op->spec.settings.durability != DURABILITY_NONE;
	spec->settings = op->spec.settings;
	if (op->spec.partition_count > j->before)
		spec->partition_count = op->spec.partition_count;
	j->next = stored_new(j->topic, spec, j->topic->now);
	if (!j->next)
		refuse_for_memory(j);
	else if (j->holds)
		fanout_start(j->fanout, hold, held, j);
	else
		change_catalog(j, CATALOG_ALTER, altered);
}

/* --- delete ----------------------------------------------------------------------------------- */

static void partition_gone(struct partition *p)
{
	struct fanout_visit *v = p->quiet_context;

	list_remove(&p->node);
	fanout_leave_after(v);
}

static void drop(struct fanout_visit *v)
{
	struct topic_job *j = v->fanout->context;
	struct topic *t = j->topic;

	v->pending = 1; /* this visit itself */
	for (uint32_t i = 0; i < t->now->spec.partition_count; i++) {
		struct partition *p = topic_partition(t, i);

		if (p->base.shard != v->shard)
			continue;
		v->pending++;
		partition_drop(p, partition_gone, v);
	}
	fanout_leave_after(v);
}

static void dropped(struct fanout *o)
{
	struct topic_job *j = o->context;

	list_append(&j->log->graveyard, &j->topic->node);
	graveyard_tend(j->log);
	finish_later(j);
}

static void deleted(struct catalog_change *change)
{
	struct topic_job *j = job_of(change);

	j->op->fault = change->fault;
	if (change->fault.code) {
		finish_later(j);
		return;
	}
	HASH_DELETE(hh, j->log->topics, j->topic);
	fanout_start(j->fanout, drop, dropped, j);
}

void chunklog_topic_delete(struct store_topic_op *op)
{
	struct topic_job *j = job_new(op);

	if (!j)
		return;
	j->topic = chunklog_topic_find(j->log, &op->topic->spec.uuid);
	CHECK(j->topic);
	j->change.spec = j->topic->now->spec;
	if (!j->topic->tomb)
		j->topic->tomb = calloc(1, sizeof(*j->topic->tomb));
	if (j->topic->tomb)
		change_catalog(j, CATALOG_DELETE, deleted);
	else
		refuse_for_memory(j);
}

/* --- the graveyard ---------------------------------------------------------------------------- */

bool chunklog_topic_remove_files(struct chunklog *log, const struct uuid *topic)
{
	char path[DATADIR_FILE_BYTES_MAX];
	char text[UUID_TEXT_LEN + 1];
	struct fault f;

	snprintf(path, sizeof(path), "%s/topics/%s", log->dir.path, uuid_format(topic, text));
	if (!disk_remove_tree(log->config.disk, path, &f))
		return true;
	log_line(log->config.log, LOG_WARN, "store",
	         "files of a deleted topic stay until the next start: remove %s: %s", path,
	         strerror(f.os_errno));
	return false;
}

void tomb_add(struct chunklog *log, struct tomb *tomb, const struct uuid *topic)
{
	tomb->topic = *topic;
	list_append(&log->tombs, &tomb->node);
}

/* The first may have begun before the files were gone, the second frees the last frames, and until
 * the third the manifest before it may still be needed. */
void tombs_age(struct chunklog *log)
{
	LIST_EACH_SAFE (node, after, &log->tombs) {
		struct tomb *tomb = LIST_ENTRY(node, struct tomb, node);

		if (++tomb->checkpoints < 3)
			continue;
		catalog_forget(log->catalog, &tomb->topic);
		list_remove(&tomb->node);
		free(tomb);
	}
}

static void bury(struct work *w)
{
	struct chunklog *log = CONTAINER_OF(w, struct chunklog, bury);

	LIST_EACH (node, &log->burials) {
		struct topic *t = LIST_ENTRY(node, struct topic, node);

		if (chunklog_is_tiered(log))
			cold_forget_topic(log->cold, &t->uuid);
		t->files_removed = chunklog_topic_remove_files(log, &t->uuid);
	}
}

static void buried(struct work *w)
{
	struct chunklog *log = CONTAINER_OF(w, struct chunklog, bury);
	struct list *node;

	while ((node = list_take_first(&log->burials)) != NULL) {
		struct topic *t = LIST_ENTRY(node, struct topic, node);

		if (t->files_removed) {
			tomb_add(log, t->tomb, &t->uuid);
			t->tomb = NULL;
		}
		chunklog_topic_free(t);
	}
	log->burying = false;
	graveyard_tend(log);
}

void graveyard_tend(struct chunklog *log)
{
	if (log->burying || !checkpoint_spares_files(log) || !compaction_spares_files(log) ||
	    list_is_empty(&log->graveyard))
		return;
	log->burying = true;
	list_move_all(&log->burials, &log->graveyard);
	log->bury = (struct work){.run = bury, .done = buried};
	loop_work(log->shards[0].loop, &log->bury);
}
