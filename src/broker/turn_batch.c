#include "broker/turn_batch.h"

#include "broker/produce_steps.h"
#include "io/metrics.h"

#include <stdlib.h>

enum {
	SPARE_BATCHES_MAX = 64,             /* kept per shard … */
	SPARE_BUFFER_BYTES_MAX = 128 << 10, /* … each with a buffer up to this */
};

static struct turn_batch *batch_take_spare(struct broker *b)
{
	struct list *node = list_take_first(&b->spare);
	struct turn_batch *tb;

	if (node) {
		b->spare_count--;
		return LIST_ENTRY(node, struct turn_batch, node);
	}
	tb = calloc(1, sizeof(*tb));
	if (tb)
		tb->broker = b;
	return tb;
}

static void batch_put_spare(struct turn_batch *tb)
{
	struct broker *b = tb->broker;

	if (b->spare_count == SPARE_BATCHES_MAX || tb->bytes.cap > SPARE_BUFFER_BYTES_MAX) {
		buf_fini(&tb->bytes);
		free(tb);
		return;
	}
	list_append(&b->spare, &tb->node);
	b->spare_count++;
}

static bool is_foreign(const struct turn_batch *tb)
{
	return tb->partition->shard != tb->broker->index;
}

/* Back from wherever it was: the topic, the credit and the memory. */
static void batch_release(struct turn_batch *tb)
{
	if (is_foreign(tb))
		credit_give(tb->broker, tb->partition->shard);
	topic_release(tb->topic, tb->broker->loop);
	batch_put_spare(tb);
}

static void batch_complete(struct turn_batch *tb)
{
	struct produce_part *part = tb->first;
	bool stored = tb->append.fault.code == OK;

	if (stored)
		metric_add(tb->broker->metrics, METRIC_EVENTS_IN, tb->builder.count);
	while (part) {
		struct produce_part *next = part->next;

		if (stored)
			produce_part_stored(part, tb->append.base_offset + part->delta,
			                    tb->append.durability);
		else
			produce_part_failed(part, &tb->append.fault);
		part = next;
	}
	batch_release(tb);
}

static void batch_appended_here(struct store_append *a)
{
	batch_complete(CONTAINER_OF(a, struct turn_batch, append));
}

static void batch_came_home(struct message *m)
{
	batch_complete(CONTAINER_OF(m, struct turn_batch, message));
}

/* On the owner. */
static void batch_appended_there(struct store_append *a)
{
	struct turn_batch *tb = CONTAINER_OF(a, struct turn_batch, append);

	tb->message.deliver = batch_came_home;
	loop_post(tb->broker->loop, &tb->message);
}

/* On the owner. */
static void batch_arrived(struct message *m)
{
	struct turn_batch *tb = CONTAINER_OF(m, struct turn_batch, message);

	tb->append.done = batch_appended_there;
	tb->broker->ops->append(&tb->append);
}

void turn_batch_send(struct turn_batch *tb, int64_t expected_offset)
{
	struct broker *b = tb->broker;

	list_remove(&tb->node);
	tb->topic->open[tb->partition->index] = NULL;
	if (tb->builder.count == 0) {
		batch_release(tb);
		return;
	}
	tb->append.partition = tb->partition;
	tb->append.batches = batch_finish(&tb->builder);
	tb->append.expected_offset = expected_offset;
	tb->append.fault.code = OK;
	CHECK(tb->append.batches.ptr); /* room was made before each record was added */
	if (is_foreign(tb)) {
		tb->message.deliver = batch_arrived;
		loop_post(shard_of(b, tb->partition->shard)->loop, &tb->message);
	} else {
		tb->append.done = batch_appended_here;
		b->ops->append(&tb->append);
	}
}

static size_t shared_bytes_max(const struct topic *t)
{
	size_t max = (size_t)t->facts->spec.settings.max_message_bytes;

	return max < PRODUCE_SHARED_BATCH_BYTES ? max : PRODUCE_SHARED_BATCH_BYTES;
}

static enum err batch_new(struct broker *b, struct topic *t, uint32_t partition,
                          struct turn_batch **out)
{
	struct store_partition *p = t->facts->stored->partitions[partition];
	struct turn_batch *tb = batch_take_spare(b);

	if (!tb)
		return ERR_NO_MEMORY;
	if (p->shard != b->index && !credit_take(b, p->shard)) {
		batch_put_spare(tb);
		return ERR_BUSY;
	}
	tb->topic = t;
	tb->partition = p;
	tb->first = NULL;
	tb->last = NULL;
	buf_clear(&tb->bytes);
	topic_use(t);
	list_append(&b->open, &tb->node);
	t->open[partition] = tb;
	loop_defer(b->loop, LOOP_COMMIT, &b->commit);
	*out = tb;
	return OK;
}

enum err turn_batch_open(struct broker *b, struct topic *t, uint32_t partition, size_t bytes,
                         struct turn_batch **out)
{
	struct turn_batch *tb = t->open[partition];
	enum err err;

	if (tb && tb->builder.count > 0 &&
	    batch_builder_bytes(&tb->builder) + bytes > shared_bytes_max(t)) {
		turn_batch_send(tb, -1);
		tb = NULL;
	}
	if (!tb) {
		err = batch_new(b, t, partition, &tb);
		if (err)
			return err;
		tb->bytes.limit = (size_t)t->facts->spec.settings.max_message_bytes;
		batch_begin(&tb->builder, &tb->bytes);
	}
	if (!buf_reserve(&tb->bytes, bytes)) {
		tb->bytes.failed = false; /* those who are in it are whole */
		if (tb->builder.count == 0)
			turn_batch_send(tb, -1);
		return ERR_NO_MEMORY;
	}
	*out = tb;
	return OK;
}

void turn_batch_join(struct turn_batch *tb, struct produce_part *part)
{
	part->next = NULL;
	part->batch = tb;
	part->delta = tb->builder.count;
	if (tb->last)
		tb->last->next = part;
	else
		tb->first = part;
	tb->last = part;
}

static void turn_commit(struct task *t)
{
	struct broker *b = CONTAINER_OF(t, struct broker, commit);

	b->turn++;
	while (!list_is_empty(&b->open))
		turn_batch_send(LIST_ENTRY(b->open.next, struct turn_batch, node), -1);
}

void turn_batches_init(struct broker *b)
{
	list_init(&b->open);
	list_init(&b->spare);
	b->commit.run = turn_commit;
}

void turn_batches_fini(struct broker *b)
{
	struct list *node;

	CHECK(list_is_empty(&b->open));
	while ((node = list_take_first(&b->spare))) {
		struct turn_batch *tb = LIST_ENTRY(node, struct turn_batch, node);

		buf_fini(&tb->bytes);
		free(tb);
	}
}
