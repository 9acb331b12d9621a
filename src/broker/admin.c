#include "broker/admin.h"

#include "broker/admin_job.h"

#include <stdio.h>
#include <stdlib.h>

/* Of every shard in turn, from shard 0 on. */
static enum admin_state visit_all(struct admin_job *j, enum visit visit)
{
	CHECK(j->at->index == 0);
	j->visit = visit;
	return ADMIN_VISIT;
}

static enum admin_state admin_refuse(struct admin_job *j, enum err code, const char *where)
{
	fault_set(&j->admin->fault, code, 0, "%s", where);
	return ADMIN_FINISH;
}

/* --- one change of a topic at a time: on shard 0 ---------------------------------------------- */

static enum admin_state claim_add(struct broker *b, struct admin_job *j)
{
	HASH_ADD_KEYPTR(hh, b->claims, j->name, (unsigned)j->name_bytes, j);
	j->claimed = hash_took(&j->hh);
	return j->claimed ? ADMIN_BEGIN : admin_refuse(j, ERR_NO_MEMORY, "");
}

/* ADMIN_CLAIM: another job holds the name; this one is resumed when it is its turn. */
static enum admin_state admin_claim(struct admin_job *j)
{
	struct broker *b = j->at;
	struct admin_job *holder;

	if (j->name_bytes == 0)
		return ADMIN_BEGIN;
	HASH_FIND(hh, b->claims, j->name, (unsigned)j->name_bytes, holder);
	if (!holder)
		return claim_add(b, j);
	list_append(&holder->behind, &j->node);
	return ADMIN_CLAIM;
}

static void admin_unclaim(struct admin_job *j)
{
	struct broker *b = j->at;
	struct list *node;

	if (!j->claimed)
		return;
	HASH_DELETE(hh, b->claims, j);
	while ((node = list_take_first(&j->behind))) {
		struct admin_job *next = LIST_ENTRY(node, struct admin_job, node);

		next->state = claim_add(b, next);
		loop_defer(b->loop, LOOP_WORK, &next->task);
		if (next->claimed) {
			list_move_all(&next->behind, &j->behind);
			return;
		}
	}
}

/* --- the store: on shard 0 -------------------------------------------------------------------- */

static enum admin_state created_already(struct admin_job *j)
{
	const struct topic_spec *spec = &j->facts->spec;
	const struct admin *a = j->admin;

	if (a->partition_count && a->partition_count != spec->partition_count)
		return admin_refuse(j, ERR_TOPIC_EXISTS, "with another number of partitions");
	if (!topic_settings_eq(&a->settings, &spec->settings))
		return admin_refuse(j, ERR_TOPIC_EXISTS, "with other settings");
	return visit_all(j, VISIT_LOOK);
}

static void topic_op_done(struct store_topic_op *o);

static void new_spec(struct admin_job *j, struct topic_spec *spec)
{
	const struct broker *b = j->at;
	struct entropy *entropy = loop_entropy(b->loop);
	uint8_t random[16];

	*spec = (struct topic_spec){
		.partition_count = j->admin->partition_count ? j->admin->partition_count
	                                                     : b->group->config.default_partitions,
		.created_at_ms = loop_now(b->loop).wall_ms,
		.settings = j->admin->settings,
	};
	memcpy(spec->name, j->name, j->name_bytes + 1);
	entropy->fill(entropy, random, sizeof(random));
	uuid_from_random(&spec->uuid, random);
	snprintf(spec->engine, sizeof(spec->engine), "%s", b->ops->name);
}

static bool engine_lacks(const struct admin_job *j, const struct topic_settings *s)
{
	return topic_is_compacted(s) && !(j->at->ops->capabilities & STORE_COMPACTION);
}

static enum admin_state refuse_compaction(struct admin_job *j)
{
	fault_set(&j->admin->fault, ERR_NOT_IMPLEMENTED, 0,
	          "cleanup.policy: the storage engine %s does not compact", j->at->ops->name);
	return ADMIN_FINISH;
}

static enum admin_state create_begin(struct admin_job *j)
{
	if (j->facts)
		return created_already(j);
	if (j->admin->partition_count > TOPIC_PARTITIONS_MAX)
		return admin_refuse(j, ERR_BAD_SETTING, "partitions: 1 to 1024");
	if (j->at->topics.count + HASH_COUNT(j->at->claims) > TOPIC_COUNT_MAX)
		return admin_refuse(j, ERR_TOO_MANY, "topics");
	if (engine_lacks(j, &j->admin->settings))
		return refuse_compaction(j);
	j->fresh = topic_facts_new();
	if (!j->fresh)
		return admin_refuse(j, ERR_NO_MEMORY, "");
	j->topic_op = (struct store_topic_op){.done = topic_op_done};
	j->topic_op.store = j->at->group->config.store;
	new_spec(j, &j->topic_op.spec);
	j->at->ops->topic_create(&j->topic_op);
	return ADMIN_STORE;
}

static enum admin_state refuse_partitions(struct admin_job *j, uint32_t there)
{
	fault_set(&j->admin->fault, ERR_BAD_SETTING, 0,
	          "partitions: the topic has %u; %u is fewer, and they are never taken away", there,
	          j->admin->partition_count);
	return ADMIN_FINISH;
}

/* The fresh facts are for the shards, from what the store keeps now, or is to keep. */
static enum admin_state publish_fresh(struct admin_job *j, const struct topic_spec *spec,
                                      const struct store_topic *stored, enum visit visit)
{
	topic_facts_set(j->fresh, spec, stored);
	if (j->facts)
		shared_put(&j->facts->shared);
	j->facts = j->fresh;
	j->fresh = NULL;
	return visit_all(j, visit);
}

static enum admin_state alter_stored(struct admin_job *j)
{
	j->at->ops->topic_alter(&j->topic_op);
	return ADMIN_STORE;
}

/* Takes two of fresh facts: after the store they are new again. */
static enum admin_state restrain(struct admin_job *j, int32_t bytes_max)
{
	struct topic_spec spec = j->facts->spec;
	struct topic_facts *next = topic_facts_new();
	enum admin_state state;

	if (!next)
		return admin_refuse(j, ERR_NO_MEMORY, "");
	spec.settings.max_message_bytes = bytes_max;
	state = publish_fresh(j, &spec, j->facts->stored, VISIT_RESTRAIN);
	j->fresh = next;
	return state;
}

static enum admin_state alter_begin(struct admin_job *j)
{
	uint32_t there = j->facts->spec.partition_count;
	uint32_t asked = j->admin->partition_count ? j->admin->partition_count : there;
	struct topic_settings *settings;

	if (asked > TOPIC_PARTITIONS_MAX)
		return admin_refuse(j, ERR_BAD_SETTING, "partitions: 1 to 1024");
	if (asked < there)
		return refuse_partitions(j, there);
	j->fresh = topic_facts_new();
	if (!j->fresh)
		return admin_refuse(j, ERR_NO_MEMORY, "");
	j->topic_op = (struct store_topic_op){.done = topic_op_done, .spec = j->facts->spec};
	j->topic_op.store = j->at->group->config.store;
	j->topic_op.spec.partition_count = asked;
	settings = &j->topic_op.spec.settings;
	topic_settings_merge(settings, &j->admin->before, &j->admin->settings);
	if (engine_lacks(j, settings))
		return refuse_compaction(j);
	if (settings->max_message_bytes < j->facts->spec.settings.max_message_bytes)
		return restrain(j, settings->max_message_bytes);
	return alter_stored(j);
}

static enum admin_state purge_begin(struct admin_job *j)
{
	const struct admin *a = j->admin;
	uint32_t partition_count = j->facts->spec.partition_count;

	if (a->partition >= 0 && (uint32_t)a->partition >= partition_count)
		return admin_refuse(j, ERR_PARTITION_UNKNOWN, "");
	if (a->partition < 0 && a->upto >= 0 && partition_count > 1)
		return admin_refuse(j, ERR_PARTITION_REQUIRED, "to purge up to an offset");
	return visit_all(j, VISIT_TRIM);
}

/* Nobody uses the topic any more. */
static enum admin_state delete_stored(struct admin_job *j)
{
	j->topic_op = (struct store_topic_op){.done = topic_op_done};
	j->topic_op.store = j->at->group->config.store;
	j->topic_op.topic = j->facts->stored;
	j->at->ops->topic_delete(&j->topic_op);
	return ADMIN_STORE;
}

static void checkpoint_done(struct store_checkpoint *c)
{
	struct admin_job *j = CONTAINER_OF(c, struct admin_job, checkpoint);

	j->admin->fault = c->fault;
	j->admin->snapshot_bytes = c->bytes;
	j->state = ADMIN_FINISH;
	admin_step(j);
}

static enum admin_state snapshot_begin(struct admin_job *j)
{
	if (!(j->at->ops->capabilities & STORE_CHECKPOINT))
		return admin_refuse(j, ERR_NOT_IMPLEMENTED, "this storage engine has no snapshots");
	j->checkpoint = (struct store_checkpoint){.done = checkpoint_done};
	j->checkpoint.store = j->at->group->config.store;
	j->at->ops->checkpoint(&j->checkpoint);
	return ADMIN_STORE;
}

static void backup_done(struct store_backup_op *o)
{
	struct admin_job *j = CONTAINER_OF(o, struct admin_job, backup);
	struct admin *a = j->admin;

	a->fault = o->fault;
	a->backups = o->backups;
	a->backup_count = o->count;
	a->backup_root = o->root;
	a->backup_ms = o->took_ms;
	j->state = ADMIN_FINISH;
	admin_step(j);
}

static enum admin_state backup_begin(struct admin_job *j, enum store_backup_verb verb)
{
	if (!(j->at->ops->capabilities & STORE_BACKUP))
		return admin_refuse(j, ERR_NOT_IMPLEMENTED, "this storage engine has no backups");
	j->backup = (struct store_backup_op){.verb = verb, .name = j->name, .done = backup_done};
	j->backup.store = j->at->group->config.store;
	j->at->ops->backup(&j->backup);
	return ADMIN_STORE;
}

static enum admin_state admin_begin(struct admin_job *j)
{
	enum admin_kind kind = j->admin->kind;
	struct topic *t = topics_find(&j->at->topics, admin_job_name(j));

	if (t) {
		shared_get(&t->facts->shared);
		j->facts = t->facts;
	} else if (j->name_bytes > 0 && kind != ADMIN_TOPIC_CREATE) {
		fault_set(&j->admin->fault, ERR_TOPIC_UNKNOWN, 0, "'%s'", j->name);
		return ADMIN_FINISH;
	}
	switch (kind) {
	case ADMIN_TOPIC_CREATE: return create_begin(j);
	case ADMIN_TOPIC_DESCRIBE: return visit_all(j, VISIT_LOOK);
	case ADMIN_TOPIC_ALTER: return alter_begin(j);
	case ADMIN_TOPIC_PURGE: return purge_begin(j);
	case ADMIN_TOPIC_DELETE: return visit_all(j, VISIT_UNPUBLISH);
	case ADMIN_SNAPSHOT: return snapshot_begin(j);
	case ADMIN_BACKUP_MAKE: return backup_begin(j, BACKUP_MAKE);
	case ADMIN_BACKUP_LIST: return backup_begin(j, BACKUP_LIST);
	case ADMIN_BACKUP_REMOVE: return backup_begin(j, BACKUP_REMOVE);
	case ADMIN_FENCED: return visit_all(j, VISIT_FENCED);
	}
	UNREACHABLE();
}

static enum admin_state admin_stored(struct admin_job *j)
{
	const struct store_topic_op *o = &j->topic_op;
	const struct store_topic *stored;
	bool failed = o->fault.code != OK;

	j->admin->fault = o->fault;
	switch (j->admin->kind) {
	case ADMIN_TOPIC_CREATE:
		j->admin->created = !failed;
		return failed ? ADMIN_FINISH
		              : publish_fresh(j, &o->topic->spec, o->topic, VISIT_PUBLISH);
	case ADMIN_TOPIC_ALTER:
		if (!failed)
			return publish_fresh(j, &o->topic->spec, o->topic, VISIT_REPLACE);
		if (j->visit != VISIT_RESTRAIN)
			return ADMIN_FINISH;
		stored = j->facts->stored;
		return publish_fresh(j, &stored->spec, stored, VISIT_REPLACE);
	case ADMIN_TOPIC_DELETE: return failed ? visit_all(j, VISIT_PUBLISH) : ADMIN_FINISH;
	default: UNREACHABLE();
	}
}

static void topic_op_done(struct store_topic_op *o)
{
	struct admin_job *j = CONTAINER_OF(o, struct admin_job, topic_op);

	j->state = admin_stored(j);
	admin_step(j);
}

/* --- the way ---------------------------------------------------------------------------------- */

static void admin_arrived(struct message *m)
{
	admin_step(CONTAINER_OF(m, struct admin_job, message));
}

static void admin_resumed(struct task *t)
{
	admin_step(CONTAINER_OF(t, struct admin_job, task));
}

/* True: it is there; false: it is on its way. */
static bool admin_move(struct admin_job *j, struct broker *to)
{
	struct broker *from = j->at;

	j->at = to;
	if (from == to)
		return true;
	j->message.deliver = admin_arrived;
	loop_post(to->loop, &j->message);
	return false;
}

static unsigned shard_count(const struct admin_job *j)
{
	return j->home->group->config.shard_count;
}

static enum admin_state admin_visited(struct admin_job *j)
{
	switch (j->visit) {
	case VISIT_RESTRAIN: return alter_stored(j);
	case VISIT_UNPUBLISH: return delete_stored(j);
	default: return ADMIN_FINISH;
	}
}

static void admin_end(struct admin_job *j)
{
	struct broker *b = j->home;
	struct admin *a = j->admin;

	if (j->facts)
		shared_put(&j->facts->shared);
	if (j->fresh)
		shared_put(&j->fresh->shared);
	if (b->index != 0)
		credit_give(b, 0);
	free(j);
	a->job = NULL;
	shard_end(b);
	a->done(a);
}

void admin_step(struct admin_job *j)
{
	unsigned next;

	for (;;) {
		switch (j->state) {
		case ADMIN_CLAIM:
			j->state = admin_claim(j);
			if (j->state == ADMIN_CLAIM)
				return;
			break;
		case ADMIN_BEGIN: j->state = admin_begin(j); break;
		case ADMIN_STORE: return;
		case ADMIN_VISIT:
			if (!admin_visit(j))
				return;
			j->state = ADMIN_DESCRIBE;
			break;
		case ADMIN_DESCRIBE:
			if (!admin_describe(j))
				return;
			j->state = ADMIN_GO_ON;
			break;
		case ADMIN_GO_ON:
			next = j->at->index + 1;
			j->state = next < shard_count(j) ? ADMIN_VISIT : ADMIN_VISITED;
			if (!admin_move(j, shard_of(j->home, next % shard_count(j))))
				return;
			break;
		case ADMIN_VISITED: j->state = admin_visited(j); break;
		case ADMIN_FINISH:
			admin_unclaim(j);
			j->state = ADMIN_HOME;
			if (!admin_move(j, j->home))
				return;
			break;
		case ADMIN_HOME: admin_end(j); return;
		}
	}
}

/* --- the request ------------------------------------------------------------------------------ */

static enum operation operation_of(enum admin_kind kind)
{
	switch (kind) {
	case ADMIN_TOPIC_CREATE: return OPERATION_TOPIC_CREATE;
	case ADMIN_TOPIC_DESCRIBE: return OPERATION_TOPIC_READ;
	case ADMIN_TOPIC_ALTER:
	case ADMIN_TOPIC_PURGE: return OPERATION_TOPIC_ALTER;
	case ADMIN_TOPIC_DELETE: return OPERATION_TOPIC_DELETE;
	case ADMIN_SNAPSHOT:
	case ADMIN_BACKUP_MAKE:
	case ADMIN_BACKUP_LIST:
	case ADMIN_BACKUP_REMOVE:
	case ADMIN_FENCED: return OPERATION_ADMIN;
	}
	UNREACHABLE();
}

static bool is_about_a_topic(const struct admin *a)
{
	return operation_of(a->kind) != OPERATION_ADMIN;
}

/* After a topic, or as topics are. */
static bool is_named(const struct admin *a)
{
	return is_about_a_topic(a) || a->kind == ADMIN_BACKUP_MAKE ||
	       a->kind == ADMIN_BACKUP_REMOVE;
}

static enum err admin_check(struct admin *a)
{
	enum err err = a->broker->draining ? ERR_SHUTTING_DOWN : OK;

	if (!err)
		err = broker_authorize(a->caller, operation_of(a->kind),
		                       is_about_a_topic(a) ? a->name : SLICE_NONE);
	if (!err && is_named(a))
		err = topic_name_check(a->name, &a->fault);
	if (err == ERR_BAD_TOPIC && !is_about_a_topic(a)) {
		struct fault rule = a->fault;

		err = fault_set(&a->fault, ERR_BAD_PARAMETER, 0, "name of a backup: %s",
		                rule.where);
	}
	return err;
}

static enum err admin_start(struct admin *a)
{
	struct broker *b = a->broker;
	struct admin_job *j;
	enum err err = admin_check(a);

	if (err)
		return err;
	j = calloc(1, sizeof(*j));
	if (!j)
		return ERR_NO_MEMORY;
	if (b->index != 0 && !credit_take(b, 0)) {
		free(j);
		return ERR_BUSY;
	}
	j->admin = a;
	j->home = b;
	j->at = b;
	j->task.run = admin_resumed;
	list_init(&j->behind);
	if (is_about_a_topic(a))
		j->name_bytes = a->name.len;
	if (is_named(a))
		memcpy(j->name, a->name.ptr, a->name.len);
	a->job = j;
	shard_begin(b);
	if (admin_move(j, shard_of(b, 0)))
		loop_defer(b->loop, LOOP_WORK, &j->task);
	return OK;
}

static void run_refused(struct task *t)
{
	struct admin *a = CONTAINER_OF(t, struct admin, refused);

	a->done(a);
}

void broker_admin(struct admin *a)
{
	enum err err;

	a->fault = (struct fault){0};
	a->created = false;
	a->topic = (struct topic_description){0};
	a->fenced = NULL;
	a->fenced_count = 0;
	a->snapshot_bytes = 0;
	a->backups = NULL;
	a->backup_count = 0;
	a->job = NULL;
	err = admin_start(a);
	if (!err)
		return;
	a->fault.code = err;
	a->refused = (struct task){.run = run_refused};
	loop_defer(a->broker->loop, LOOP_WORK, &a->refused);
}

void broker_admin_fini(struct admin *a)
{
	free(a->topic.partitions);
	a->topic.partitions = NULL;
	for (size_t i = 0; i < a->fenced_count; i++)
		free(a->fenced[i].partitions);
	free(a->fenced);
	a->fenced = NULL;
	a->fenced_count = 0;
	free(a->backups);
	a->backups = NULL;
	a->backup_count = 0;
}

/* --- this shard's table ----------------------------------------------------------------------- */

struct topic_settings broker_default_settings(const struct broker *b)
{
	return topic_settings_default(b->group->config.default_durability);
}

size_t broker_topics(const struct broker *b, struct slice after, size_t max,
                     const struct topic_spec **out)
{
	const struct topics *ts = &b->topics;
	size_t from = after.ptr ? topics_rank(ts, after) : 0;
	size_t count = 0;

	if (after.ptr && from < ts->count && slice_eq(topic_name(ts->sorted[from]), after))
		from++;
	while (count < max && from + count < ts->count) {
		out[count] = &ts->sorted[from + count]->facts->spec;
		count++;
	}
	return count;
}

const struct topic_spec *broker_topic(const struct broker *b, struct slice name)
{
	const struct topics *ts = &b->topics;
	size_t rank = topics_rank(ts, name);

	if (rank == ts->count || !slice_eq(topic_name(ts->sorted[rank]), name))
		return NULL;
	return &ts->sorted[rank]->facts->spec;
}

size_t broker_topic_count(const struct broker *b)
{
	return b->topics.count;
}
