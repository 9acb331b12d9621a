#include "broker/testing/plain_store.h"

#include "base/check.h"
#include "base/endian.h"
#include "record/batch.h"

#include <stdlib.h>

enum { LAST_OFFSET_DELTA_AT = 23 };

/* One stored batch; shared with whoever read it. */
struct stored {
	struct shared shared;
	int64_t last_offset;
	size_t len;
	uint8_t bytes[];
};

struct plain_partition {
	struct store_partition base;
	struct stored **batches;
	size_t count;
	int32_t old_epoch; /* ended at `old_epoch_end` */
	int64_t old_epoch_end;
};

struct plain_topic {
	struct store_topic *now; /* a reference */
	struct list node;
};

struct plain_shard {
	struct plain_store *store;
	struct loop *loop;
	struct plain_knobs knobs;
	struct list appends;
	struct list reads;
	struct list lookups;
	struct list trims;
	struct task complete;
};

struct plain_store {
	struct store base;
	unsigned shard_count;
	struct list topics;  /* struct plain_topic */
	struct list deleted; /* kept until the end: nobody may use them, and who does crashes */
	struct list creates;
	struct list alters;
	struct list deletes;
	struct list checkpoints;
	struct plain_shard shards[];
};

static const struct store_ops plain_ops;

static struct plain_store *plain_of(struct store *s)
{
	return CONTAINER_OF(s, struct plain_store, base);
}

static struct plain_shard *shard_of_partition(const struct store_partition *p)
{
	return &plain_of(p->store)->shards[p->shard];
}

static struct plain_partition *plain_partition(struct store_partition *p)
{
	return CONTAINER_OF(p, struct plain_partition, base);
}

static void later(struct plain_shard *shard, struct list *queue, struct list *node)
{
	list_append(queue, node);
	loop_defer(shard->loop, LOOP_WORK, &shard->complete);
}

static void stored_free(struct shared *s)
{
	free(CONTAINER_OF(s, struct stored, shared));
}

static struct stored *stored_new(size_t len)
{
	struct stored *stored = malloc(sizeof(*stored) + len);

	CHECK(stored);
	shared_init(&stored->shared, stored_free);
	stored->len = len;
	return stored;
}

/* --- partitions ------------------------------------------------------------------------------- */

static void plain_append(struct store_append *a)
{
	struct plain_shard *shard = shard_of_partition(a->partition);

	a->node = (struct list){0};
	later(shard, &shard->appends, &a->node);
}

static enum err append_now(struct plain_shard *shard, struct store_append *a)
{
	struct plain_partition *p = plain_partition(a->partition);
	struct partition_state *state = &p->base.state;
	struct stored *stored;
	struct batch batch;

	if (shard->knobs.append_fails)
		return shard->knobs.append_fails;
	if (a->expected_offset >= 0 && a->expected_offset != state->log_end)
		return ERR_OFFSET_MISMATCH;
	CHECK(batch_validate_sparse(a->batches, &batch, NULL) == OK);
	CHECK(batch.bytes.len == a->batches.len);
	state->log_end += shard->knobs.gap_before;
	shard->knobs.gap_before = 0;
	stored = stored_new(a->batches.len);
	memcpy(stored->bytes, a->batches.ptr, a->batches.len);
	batch_assign(stored->bytes, state->log_end, state->leader_epoch);
	stored->last_offset = state->log_end + batch.last_offset - batch.base_offset;
	if (shard->knobs.gap_inside) {
		stored->last_offset += shard->knobs.gap_inside;
		store_be32(stored->bytes + LAST_OFFSET_DELTA_AT,
		           (uint32_t)(stored->last_offset - state->log_end));
	}
	p->batches = realloc(p->batches, (p->count + 1) * sizeof(struct stored *));
	CHECK(p->batches);
	p->batches[p->count++] = stored;
	a->base_offset = state->log_end;
	a->durability = p->base.settings.durability;
	state->bytes += (int64_t)stored->len;
	state->log_end = stored->last_offset + 1 + shard->knobs.gap;
	state->high_watermark = state->log_end;
	state->last_stable = state->log_end;
	store_partition_moved(&p->base, shard->loop);
	return OK;
}

static void plain_read(struct store_read *r)
{
	struct plain_shard *shard = shard_of_partition(r->partition);

	r->node = (struct list){0};
	later(shard, &shard->reads, &r->node);
}

static enum err read_now(struct store_read *r)
{
	struct plain_partition *p = plain_partition(r->partition);
	struct stored *run;
	size_t first = 0;
	size_t bytes = 0;
	size_t end;

	if (r->offset < p->base.state.log_start)
		return ERR_TRIMMED;
	if (r->offset > p->base.state.high_watermark)
		return ERR_OUT_OF_RANGE;
	while (first < p->count && p->batches[first]->last_offset < r->offset)
		first++;
	for (end = first; end < p->count; end++) {
		if (end > first && bytes + p->batches[end]->len > r->bytes_max)
			break;
		bytes += p->batches[end]->len;
	}
	if (bytes == 0)
		return OK;
	run = stored_new(bytes);
	bytes = 0;
	for (size_t i = first; i < end; i++) {
		memcpy(run->bytes + bytes, p->batches[i]->bytes, p->batches[i]->len);
		bytes += p->batches[i]->len;
	}
	r->batches = slice_of(run->bytes, bytes);
	r->holder = &run->shared;
	return OK;
}

static void plain_lookup_time(struct store_time_lookup *t)
{
	struct plain_shard *shard = shard_of_partition(t->partition);

	t->node = (struct list){0};
	later(shard, &shard->lookups, &t->node);
}

static int64_t lookup_now(const struct store_time_lookup *t)
{
	struct plain_partition *p = plain_partition(t->partition);
	struct batch_iter it;
	struct batch batch;
	struct record record;
	bool corrupt;

	for (size_t i = 0; i < p->count; i++) {
		CHECK(!batch_parse(slice_of(p->batches[i]->bytes, p->batches[i]->len), &batch,
		                   NULL));
		batch_iter_init(&it, &batch);
		while (batch_iter_next(&it, &record, &corrupt)) {
			if (record.timestamp >= t->time_ms)
				return record.offset;
		}
	}
	return p->base.state.high_watermark;
}

static void plain_trim(struct store_trim *t)
{
	struct plain_shard *shard = shard_of_partition(t->partition);

	t->node = (struct list){0};
	later(shard, &shard->trims, &t->node);
}

static enum err trim_now(struct plain_shard *shard, struct store_trim *t)
{
	struct plain_partition *p = plain_partition(t->partition);
	struct partition_state *state = &p->base.state;
	int64_t upto = t->upto < 0 ? state->high_watermark : t->upto;
	size_t dropped = 0;

	if (upto > state->high_watermark)
		return ERR_OUT_OF_RANGE;
	if (upto <= state->log_start)
		return OK;
	while (dropped < p->count && p->batches[dropped]->last_offset < upto) {
		state->bytes -= (int64_t)p->batches[dropped]->len;
		shared_put(&p->batches[dropped++]->shared);
	}
	p->count -= dropped;
	memmove(p->batches, p->batches + dropped, p->count * sizeof(struct stored *));
	state->log_start = upto;
	store_partition_moved(&p->base, shard->loop);
	return OK;
}

static int64_t plain_epoch_end(struct store_partition *p, int32_t epoch)
{
	struct plain_partition *plain = plain_partition(p);

	return epoch <= plain->old_epoch ? plain->old_epoch_end : p->state.log_end;
}

static void complete_appends(struct plain_shard *shard)
{
	struct list *node;

	while (!shard->knobs.hold_appends && (node = list_take_first(&shard->appends))) {
		struct store_append *a = LIST_ENTRY(node, struct store_append, node);

		a->fault = (struct fault){.code = append_now(shard, a)};
		shard->knobs.appends++;
		a->done(a);
	}
}

static void complete_reads(struct plain_shard *shard)
{
	struct list *node;

	while ((node = list_take_first(&shard->reads))) {
		struct store_read *r = LIST_ENTRY(node, struct store_read, node);

		r->batches = SLICE_NONE;
		r->holder = NULL;
		r->fault = (struct fault){.code = read_now(r)};
		shard->knobs.reads++;
		r->done(r);
	}
	while ((node = list_take_first(&shard->lookups))) {
		struct store_time_lookup *t = LIST_ENTRY(node, struct store_time_lookup, node);

		t->fault = (struct fault){0};
		t->offset = lookup_now(t);
		t->done(t);
	}
	while ((node = list_take_first(&shard->trims))) {
		struct store_trim *t = LIST_ENTRY(node, struct store_trim, node);

		t->fault = (struct fault){.code = trim_now(shard, t)};
		t->done(t);
	}
}

/* --- topics, on shard 0 ----------------------------------------------------------------------- */

static void plain_topic_create(struct store_topic_op *o)
{
	struct plain_store *s = plain_of(o->store);

	later(&s->shards[0], &s->creates, &o->node);
}

static struct plain_topic *topic_named(struct plain_store *s, const char *name)
{
	LIST_EACH (node, &s->topics) {
		struct plain_topic *t = LIST_ENTRY(node, struct plain_topic, node);

		if (strcmp(t->now->spec.name, name) == 0)
			return t;
	}
	return NULL;
}

static void make_partitions(struct plain_store *s, struct store_topic *t, uint32_t from)
{
	for (uint32_t i = from; i < t->spec.partition_count; i++) {
		struct plain_partition *p = calloc(1, sizeof(*p));

		CHECK(p);
		p->old_epoch = -1;
		store_partition_init(&p->base, &s->base, &t->spec, i,
		                     partition_shard(&t->spec.uuid, i, s->shard_count));
		t->partitions[i] = &p->base;
	}
}

static enum err create_now(struct plain_store *s, struct store_topic_op *o)
{
	struct plain_topic *t;

	if (s->shards[0].knobs.topic_op_fails)
		return s->shards[0].knobs.topic_op_fails;
	if (topic_named(s, o->spec.name))
		return ERR_TOPIC_EXISTS;
	t = calloc(1, sizeof(*t));
	CHECK(t);
	t->now = store_topic_new(&o->spec);
	CHECK(t->now);
	make_partitions(s, t->now, 0);
	list_append(&s->topics, &t->node);
	o->topic = t->now;
	return OK;
}

static enum err alter_now(struct plain_store *s, struct store_topic_op *o)
{
	struct plain_topic *t = topic_named(s, o->spec.name);
	struct store_topic *before = t->now;
	uint32_t count = before->spec.partition_count;

	if (s->shards[0].knobs.topic_op_fails)
		return s->shards[0].knobs.topic_op_fails;
	CHECK(o->spec.partition_count >= count);
	t->now = store_topic_new(&o->spec);
	CHECK(t->now);
	memcpy(t->now->partitions, before->partitions, count * sizeof(before->partitions[0]));
	make_partitions(s, t->now, count);
	store_topic_put(before);
	o->topic = t->now;
	return OK;
}

static void plain_topic_alter(struct store_topic_op *o)
{
	struct plain_store *s = plain_of(o->store);

	later(&s->shards[0], &s->alters, &o->node);
}

static void plain_topic_delete(struct store_topic_op *o)
{
	struct plain_store *s = plain_of(o->store);

	later(&s->shards[0], &s->deletes, &o->node);
}

static void topic_free(struct plain_topic *t)
{
	for (uint32_t i = 0; i < t->now->spec.partition_count; i++) {
		struct plain_partition *p = plain_partition(t->now->partitions[i]);

		CHECK(list_is_empty(&p->base.watchers));
		for (size_t k = 0; k < p->count; k++)
			shared_put(&p->batches[k]->shared);
		store_partition_unfence(&p->base);
		free(p->batches);
		free(p);
	}
	store_topic_put(t->now);
	free(t);
}

static enum err delete_now(struct plain_store *s, struct store_topic_op *o)
{
	struct plain_topic *t = topic_named(s, o->topic->spec.name);

	if (s->shards[0].knobs.topic_op_fails)
		return s->shards[0].knobs.topic_op_fails;
	CHECK(t->now == o->topic);
	list_remove(&t->node);
	list_append(&s->deleted, &t->node);
	for (uint32_t i = 0; i < t->now->spec.partition_count; i++)
		t->now->partitions[i]->store = NULL;
	return OK;
}

static void plain_checkpoint(struct store_checkpoint *c)
{
	struct plain_store *s = plain_of(c->store);

	later(&s->shards[0], &s->checkpoints, &c->node);
}

static void topic_op_complete(struct list *node, enum err err)
{
	struct store_topic_op *o = LIST_ENTRY(node, struct store_topic_op, node);

	o->fault = (struct fault){.code = err};
	o->done(o);
}

static void complete_topic_ops(struct plain_store *s)
{
	struct list *node;

	while ((node = list_take_first(&s->checkpoints))) {
		struct store_checkpoint *c = LIST_ENTRY(node, struct store_checkpoint, node);

		c->fault = (struct fault){0};
		c->bytes = 4711;
		c->done(c);
	}
	if (s->shards[0].knobs.hold_topic_ops)
		return;
	while ((node = list_take_first(&s->creates)))
		topic_op_complete(node,
		                  create_now(s, LIST_ENTRY(node, struct store_topic_op, node)));
	while ((node = list_take_first(&s->alters)))
		topic_op_complete(node,
		                  alter_now(s, LIST_ENTRY(node, struct store_topic_op, node)));
	while ((node = list_take_first(&s->deletes)))
		topic_op_complete(node,
		                  delete_now(s, LIST_ENTRY(node, struct store_topic_op, node)));
}

static void complete(struct task *task)
{
	struct plain_shard *shard = CONTAINER_OF(task, struct plain_shard, complete);

	complete_appends(shard);
	complete_reads(shard);
	if (shard == &shard->store->shards[0])
		complete_topic_ops(shard->store);
}

/* --- the store -------------------------------------------------------------------------------- */

static const struct store_topic *const *plain_topics(struct store *s, size_t *count)
{
	(void)s;
	*count = 0;
	return NULL;
}

static const struct store_ops plain_ops = {
	.name = "plain",
	.capabilities = STORE_EXPECTED_OFFSET | STORE_CHECKPOINT | STORE_CLASSES,
	.topics = plain_topics,
	.topic_create = plain_topic_create,
	.topic_alter = plain_topic_alter,
	.topic_delete = plain_topic_delete,
	.checkpoint = plain_checkpoint,
	.append = plain_append,
	.read = plain_read,
	.lookup_time = plain_lookup_time,
	.trim = plain_trim,
	.epoch_end = plain_epoch_end,
};

struct store *plain_store_new(struct loop *const *loops, unsigned shard_count)
{
	struct plain_store *s = calloc(1, sizeof(*s) + shard_count * sizeof(s->shards[0]));

	CHECK(s);
	s->base.ops = &plain_ops;
	s->shard_count = shard_count;
	list_init(&s->topics);
	list_init(&s->deleted);
	list_init(&s->creates);
	list_init(&s->alters);
	list_init(&s->deletes);
	list_init(&s->checkpoints);
	for (unsigned i = 0; i < shard_count; i++) {
		struct plain_shard *shard = &s->shards[i];

		shard->store = s;
		shard->loop = loops[i];
		shard->complete.run = complete;
		list_init(&shard->appends);
		list_init(&shard->reads);
		list_init(&shard->lookups);
		list_init(&shard->trims);
	}
	return &s->base;
}

void plain_store_free(struct store *s)
{
	struct plain_store *plain = plain_of(s);
	struct list *node;

	list_move_all(&plain->topics, &plain->deleted);
	while ((node = list_take_first(&plain->topics)))
		topic_free(LIST_ENTRY(node, struct plain_topic, node));
	free(plain);
}

struct plain_knobs *plain_store_knobs(struct store *s, unsigned shard)
{
	return &plain_of(s)->shards[shard].knobs;
}

void plain_store_release(struct store *s, unsigned shard)
{
	struct plain_shard *of = &plain_of(s)->shards[shard];

	of->knobs.hold_appends = false;
	of->knobs.hold_topic_ops = false;
	loop_defer(of->loop, LOOP_WORK, &of->complete);
}

void plain_store_raise_epoch(struct store_partition *p, int32_t epoch, int64_t end)
{
	struct plain_partition *plain = plain_partition(p);

	plain->old_epoch = p->state.leader_epoch;
	plain->old_epoch_end = end;
	p->state.leader_epoch = epoch;
}

void plain_store_damage(struct store_partition *p)
{
	struct plain_partition *plain = plain_partition(p);

	CHECK(plain->count > 0);
	plain->batches[plain->count - 1]->bytes[BATCH_HEADER_BYTES] = 0xff;
}
