#include "store/testing/remote_sim.h"

#include "base/buf.h"
#include "io/disk.h"
#include "io/log.h"
#include "store/testing/remote_partition.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	TICK_MS = 4,
	GAP_PERCENT = 25,
	SAVED_BYTES_MAX = 1 << 30,
	PATH_BYTES_MAX = 4096,
};

static const char saved_name[] = "remote_sim";

struct sim_topic {
	struct store_topic *now; /* as last altered, a reference; owns the partitions */
};

/* Topic operations go one at a time; each visits the topic's partitions on their shards. */
struct sim_store {
	struct store base;
	struct disk *disk;
	struct log *log;
	struct loop *const *loops;
	unsigned shard_count;
	char *path;
	struct sim_topic **topics;
	size_t topic_count;
	const struct store_topic **listed; /* what topics() gave out; NULL: nothing yet */
	struct entropy_seeded seeds;
	unsigned gap_percent;
	struct list checkpoints;      /* struct store_checkpoint */
	struct list backups;          /* struct store_backup_op */
	struct list ops;              /* struct store_topic_op */
	struct store_topic_op *going; /* the one that visits partitions; NULL: none */
	enum sim_visit { VISIT_ALTER, VISIT_DELETE } going_what;
	struct sim_topic *going_topic;
	uint32_t visits_left;
	struct timer tick;
};

/* What a topic operation is, kept in its engine[0]. */
enum sim_op { OP_CREATE = 1, OP_ALTER, OP_DELETE };

static struct sim_store *sim_of(struct store *s)
{
	return CONTAINER_OF(s, struct sim_store, base);
}

/* --- topics: made and unmade ----------------------------------------------------------------- */

static void visit_leave(struct task *t);

static struct remote_partition *partition_new(struct sim_store *s, const struct topic_spec *spec,
                                              uint32_t index)
{
	struct remote_partition *p = calloc(1, sizeof(*p));
	unsigned shard = partition_shard(&spec->uuid, index, s->shard_count);
	uint64_t seed;

	CHECK(p != NULL);
	s->seeds.base.fill(&s->seeds.base, &seed, sizeof(seed));
	store_partition_init(&p->base, &s->base, spec, index, shard);
	remote_log_init(&p->log, seed, s->gap_percent);
	remote_partition_init(p, s->loops[shard]);
	p->leave.run = visit_leave;
	return p;
}

static void make_partitions(struct sim_store *s, struct store_topic *t, uint32_t from)
{
	for (uint32_t i = from; i < t->spec.partition_count; i++)
		t->partitions[i] = &partition_new(s, &t->spec, i)->base;
}

static struct sim_topic *topic_new(struct sim_store *s, const struct topic_spec *spec)
{
	struct sim_topic *t = calloc(1, sizeof(*t));

	CHECK(t != NULL);
	t->now = store_topic_new(spec);
	CHECK(t->now);
	snprintf(t->now->spec.engine, sizeof(t->now->spec.engine), "%s", store_remote_sim.name);
	s->topics = realloc(s->topics, (s->topic_count + 1) * sizeof(*s->topics));
	CHECK(s->topics != NULL);
	make_partitions(s, t->now, 0);
	s->topics[s->topic_count++] = t;
	return t;
}

static void topic_renew(struct sim_store *s, struct sim_topic *t, const struct topic_spec *change)
{
	struct store_topic *before = t->now;
	uint32_t count = before->spec.partition_count;
	struct topic_spec spec = before->spec;

	spec.settings = change->settings;
	if (change->partition_count > count)
		spec.partition_count = change->partition_count;
	t->now = store_topic_new(&spec);
	CHECK(t->now);
	memcpy(t->now->partitions, before->partitions, count * sizeof(before->partitions[0]));
	make_partitions(s, t->now, count);
	store_topic_put(before);
}

static void topic_free(struct sim_topic *t)
{
	for (uint32_t i = 0; i < t->now->spec.partition_count; i++) {
		struct remote_partition *p = remote_partition_of(t->now->partitions[i]);

		remote_partition_fini(p);
		free(p);
	}
	store_topic_put(t->now);
	free(t);
}

static void topic_forget(struct sim_store *s, const struct sim_topic *t)
{
	size_t i = 0;

	while (s->topics[i] != t)
		i++;
	s->topics[i] = s->topics[--s->topic_count];
}

static struct sim_topic *topic_named(const struct sim_store *s, const char *name)
{
	for (size_t i = 0; i < s->topic_count; i++) {
		if (strcmp(s->topics[i]->now->spec.name, name) == 0)
			return s->topics[i];
	}
	return NULL;
}

static struct sim_topic *topic_of(const struct sim_store *s, const struct uuid *uuid)
{
	for (size_t i = 0; i < s->topic_count; i++) {
		if (uuid_eq(&s->topics[i]->now->spec.uuid, uuid))
			return s->topics[i];
	}
	return NULL;
}

/* --- topic operations ------------------------------------------------------------------------ */

static void store_expect_tick(struct sim_store *s)
{
	bool waiting = !list_is_empty(&s->checkpoints) || !list_is_empty(&s->backups) ||
	               (!s->going && !list_is_empty(&s->ops));

	if (waiting && !timer_is_running(&s->tick))
		timer_start(s->loops[0], &s->tick, TICK_MS);
}

/* Home again, on shard 0. The topic outlives its deletion's done. */
static void visit_returned(struct message *m)
{
	struct remote_partition *p = CONTAINER_OF(m, struct remote_partition, visit);
	struct sim_store *s = sim_of(p->base.store);
	struct store_topic_op *o = s->going;
	struct sim_topic *topic = s->going_topic;

	if (--s->visits_left > 0)
		return;
	s->going = NULL;
	o->fault = (struct fault){.code = OK};
	if (s->going_what == VISIT_DELETE) {
		topic_forget(s, topic);
		o->done(o);
		topic_free(topic);
	} else {
		o->done(o);
	}
	store_expect_tick(s);
}

/* Deferred behind the watchers, who may still start something: all of it is given back first. */
static void visit_leave(struct task *t)
{
	struct remote_partition *p = CONTAINER_OF(t, struct remote_partition, leave);

	if (p->base.state.deleted)
		remote_partition_expel(p);
	p->visit.deliver = visit_returned;
	loop_post(sim_of(p->base.store)->loops[0], &p->visit);
}

static void visit_deliver(struct message *m)
{
	struct remote_partition *p = CONTAINER_OF(m, struct remote_partition, visit);
	struct sim_store *s = sim_of(p->base.store);

	if (s->going_what == VISIT_DELETE) {
		p->base.state.deleted = true;
		store_partition_moved(&p->base, p->loop);
	} else {
		p->base.settings = s->going->spec.settings;
	}
	loop_defer(p->loop, LOOP_WORK, &p->leave);
}

static void visit_all(struct sim_store *s, struct store_topic_op *o, struct sim_topic *topic,
                      enum sim_visit what)
{
	s->going = o;
	s->going_what = what;
	s->going_topic = topic;
	s->visits_left = topic->now->spec.partition_count;
	for (uint32_t i = 0; i < topic->now->spec.partition_count; i++) {
		struct remote_partition *p = remote_partition_of(topic->now->partitions[i]);

		p->visit.deliver = visit_deliver;
		loop_post(p->loop, &p->visit);
	}
}

static void refuse(struct store_topic_op *o, enum err code, const char *why)
{
	fault_set(&o->fault, code, 0, "%s", why);
	o->done(o);
}

static bool has_class(const struct topic_settings *settings)
{
	return settings->durability == DURABILITY_COMMIT; /* no STORE_CLASSES */
}

static void create(struct sim_store *s, struct store_topic_op *o)
{
	if (topic_named(s, o->spec.name)) {
		refuse(o, ERR_TOPIC_EXISTS, o->spec.name);
	} else if (s->topic_count >= TOPIC_COUNT_MAX) {
		refuse(o, ERR_TOO_MANY, "topics");
	} else if (!has_class(&o->spec.settings)) {
		refuse(o, ERR_NOT_IMPLEMENTED, "remote_sim has class commit only");
	} else {
		o->topic = topic_new(s, &o->spec)->now;
		o->fault = (struct fault){.code = OK};
		o->done(o);
	}
}

static void alter(struct sim_store *s, struct store_topic_op *o)
{
	struct sim_topic *topic = topic_of(s, &o->spec.uuid);

	if (!topic) {
		refuse(o, ERR_TOPIC_GONE, "alter");
	} else if (!has_class(&o->spec.settings)) {
		refuse(o, ERR_NOT_IMPLEMENTED, "remote_sim has class commit only");
	} else {
		topic_renew(s, topic, &o->spec);
		o->topic = topic->now;
		visit_all(s, o, topic, VISIT_ALTER);
	}
}

static void begin(struct sim_store *s, struct store_topic_op *o)
{
	switch ((enum sim_op)(uintptr_t)o->engine[0]) {
	case OP_CREATE: create(s, o); break;
	case OP_ALTER: alter(s, o); break;
	case OP_DELETE: visit_all(s, o, topic_of(s, &o->topic->spec.uuid), VISIT_DELETE); break;
	default: UNREACHABLE();
	}
}

static void store_tick(struct timer *t)
{
	struct sim_store *s = CONTAINER_OF(t, struct sim_store, tick);
	struct list *node;

	while ((node = list_take_first(&s->checkpoints)) != NULL) {
		struct store_checkpoint *c = LIST_ENTRY(node, struct store_checkpoint, node);

		fault_set(&c->fault, ERR_NOT_IMPLEMENTED, 0, "remote_sim keeps nothing here");
		c->done(c);
	}
	while ((node = list_take_first(&s->backups)) != NULL) {
		struct store_backup_op *o = LIST_ENTRY(node, struct store_backup_op, node);

		fault_set(&o->fault, ERR_NOT_IMPLEMENTED, 0, "remote_sim keeps nothing here");
		o->done(o);
	}
	if (!s->going && (node = list_take_first(&s->ops)) != NULL)
		begin(s, LIST_ENTRY(node, struct store_topic_op, node));
	store_expect_tick(s);
}

static void start(struct store_topic_op *o, enum sim_op what)
{
	struct sim_store *s = sim_of(o->store);

	o->engine[0] = (void *)(uintptr_t)what;
	list_append(&s->ops, &o->node);
	store_expect_tick(s);
}

static void sim_topic_create(struct store_topic_op *o)
{
	start(o, OP_CREATE);
}

static void sim_topic_alter(struct store_topic_op *o)
{
	start(o, OP_ALTER);
}

static void sim_topic_delete(struct store_topic_op *o)
{
	start(o, OP_DELETE);
}

static void sim_checkpoint(struct store_checkpoint *c)
{
	struct sim_store *s = sim_of(c->store);

	list_append(&s->checkpoints, &c->node);
	store_expect_tick(s);
}

static void sim_backup(struct store_backup_op *o)
{
	struct sim_store *s = sim_of(o->store);

	list_append(&s->backups, &o->node);
	store_expect_tick(s);
}

static const struct store_topic *const *sim_topics(struct store *base, size_t *count)
{
	struct sim_store *s = sim_of(base);

	free(s->listed);
	s->listed = calloc(s->topic_count + 1, sizeof(*s->listed));
	CHECK(s->listed != NULL);
	for (size_t i = 0; i < s->topic_count; i++)
		s->listed[i] = s->topics[i]->now;
	*count = s->topic_count;
	return s->listed;
}

static int64_t sim_epoch_end(struct store_partition *p, int32_t epoch)
{
	(void)epoch; /* there is only one: 0 */
	return p->state.log_end;
}

void remote_sim_foreign(struct store_partition *p, unsigned batches)
{
	remote_partition_foreign(remote_partition_of(p), batches);
}

void remote_sim_set_gaps(struct store *s, unsigned percent)
{
	sim_of(s)->gap_percent = percent;
}

/* --- open and close -------------------------------------------------------------------------- */

/* Per topic its spec, then the log of each partition. */
static void save(const struct sim_store *s, struct buf *out)
{
	for (size_t i = 0; i < s->topic_count; i++) {
		const struct store_topic *t = s->topics[i]->now;

		topic_spec_encode(&t->spec, out);
		for (uint32_t p = 0; p < t->spec.partition_count; p++)
			remote_log_save(&remote_partition_of(t->partitions[p])->log, out);
	}
}

static enum err load(struct sim_store *s, struct slice from, struct fault *f)
{
	while (from.len) {
		struct topic_spec spec;
		struct sim_topic *t;
		enum err err = topic_spec_decode(&from, &spec, f);

		if (err)
			return err;
		t = topic_new(s, &spec);
		for (uint32_t i = 0; i < spec.partition_count; i++) {
			struct remote_partition *p = remote_partition_of(t->now->partitions[i]);

			err = remote_log_load(&p->log, &from, f);
			if (err)
				return err;
			remote_partition_publish(p);
		}
	}
	return OK;
}

static void sim_free(struct sim_store *s)
{
	for (size_t i = 0; i < s->topic_count; i++)
		topic_free(s->topics[i]);
	free(s->topics);
	free(s->listed);
	free(s->path);
	free(s);
}

static enum err sim_open(const struct store_config *config, struct store **out, struct fault *f)
{
	struct sim_store *s = calloc(1, sizeof(*s));
	struct buf saved = BUF_INIT(SAVED_BYTES_MAX);
	char path[PATH_BYTES_MAX];
	uint64_t seed;
	enum err err;

	CHECK(s != NULL);
	s->base.ops = &store_remote_sim;
	s->disk = config->disk;
	s->log = config->log;
	s->loops = config->loops;
	s->shard_count = config->shard_count;
	s->path = strdup(config->path);
	s->gap_percent = GAP_PERCENT;
	s->tick.fire = store_tick;
	list_init(&s->ops);
	list_init(&s->checkpoints);
	list_init(&s->backups);
	config->entropy->fill(config->entropy, &seed, sizeof(seed));
	entropy_seeded_init(&s->seeds, seed);

	err = disk_make_dir(s->disk, s->path, f);
	if (!err) {
		snprintf(path, sizeof(path), "%s/%s", s->path, saved_name);
		err = disk_read_file(s->disk, path, &saved, f);
		if (err == ERR_NOT_FOUND)
			err = OK;
	}
	if (!err)
		err = load(s, buf_slice(&saved), f);
	buf_fini(&saved);
	if (err)
		sim_free(s);
	else
		*out = &s->base;
	return err;
}

static void sim_close(struct store *base)
{
	struct sim_store *s = sim_of(base);
	struct buf saved = BUF_INIT(SAVED_BYTES_MAX);
	struct fault f;
	char text[256];

	CHECK(!s->going);
	CHECK(list_is_empty(&s->ops));
	save(s, &saved);
	CHECK(!saved.failed);
	if (disk_replace_file(s->disk, s->path, saved_name, buf_slice(&saved), &f))
		log_line(s->log, LOG_ERROR, "store", "remote_sim saved nothing: %s",
		         fault_text(&f, text, sizeof(text)));
	buf_fini(&saved);
	sim_free(s);
}

const struct store_ops store_remote_sim = {
	.name = "remote_sim",
	.capabilities = STORE_REMOTE | STORE_FOREIGN_WRITERS,
	.open = sim_open,
	.close = sim_close,
	.topics = sim_topics,
	.topic_create = sim_topic_create,
	.topic_alter = sim_topic_alter,
	.topic_delete = sim_topic_delete,
	.checkpoint = sim_checkpoint,
	.backup = sim_backup,
	.append = remote_partition_append,
	.read = remote_partition_read,
	.lookup_time = remote_partition_lookup_time,
	.trim = remote_partition_trim,
	.epoch_end = sim_epoch_end,
};
