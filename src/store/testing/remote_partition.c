#include "store/testing/remote_partition.h"

#include "base/buf.h"
#include "record/batch.h"

enum { TICK_MS = 4, FOREIGN_BATCH_BYTES_MAX = 256 };

void remote_partition_publish(struct remote_partition *p)
{
	struct partition_state *state = &p->base.state;

	state->log_start = p->log.start;
	state->log_end = p->log.end;
	state->high_watermark = p->log.end;
	state->last_stable = p->log.end;
	state->bytes = p->log.bytes;
	store_partition_moved(&p->base, p->loop);
}

static void append_foreign(struct remote_partition *p)
{
	struct buf batch = BUF_INIT(FOREIGN_BATCH_BYTES_MAX);
	struct batch_builder b;

	batch_begin(&b, &batch);
	batch_add(&b, &(struct record){.timestamp = loop_now(p->loop).wall_ms,
	                               .value = SLICE_LIT("foreign")});
	remote_log_append(&p->log, batch_finish(&b));
	buf_fini(&batch);
	remote_partition_publish(p);
}

static void append_arrives(struct remote_partition *p, struct store_append *a)
{
	a->fault = (struct fault){.code = OK};
	if (a->batches.len > (size_t)p->base.settings.max_message_bytes) {
		fault_set(&a->fault, ERR_TOO_LARGE, 0,
		          "a batch of %zu bytes; max.message.bytes is %d", a->batches.len,
		          p->base.settings.max_message_bytes);
	} else {
		a->base_offset = remote_log_append(&p->log, a->batches);
		a->durability = p->base.settings.durability;
		remote_partition_publish(p);
	}
	list_append(&p->appended, &a->node);
}

static void read_answer(struct remote_partition *p, struct store_read *r)
{
	r->fault = (struct fault){.code = OK};
	r->batches = SLICE_NONE;
	r->range = (struct store_range){0};
	r->holder = NULL;
	if (r->offset < p->log.start)
		fault_set(&r->fault, ERR_TRIMMED, 0, "offset %lld, the log starts at %lld",
		          (long long)r->offset, (long long)p->log.start);
	else if (r->offset > p->log.end)
		fault_set(&r->fault, ERR_OUT_OF_RANGE, 0, "offset %lld, the log ends at %lld",
		          (long long)r->offset, (long long)p->log.end);
	else
		r->batches = remote_log_read(&p->log, r->offset, r->bytes_max, &r->holder);
	r->done(r);
}

static void lookup_answer(struct remote_partition *p, struct store_time_lookup *t)
{
	t->fault = (struct fault){.code = OK};
	t->offset = remote_log_lookup(&p->log, t->time_ms);
	t->done(t);
}

static void trim_answer(struct remote_partition *p, struct store_trim *t)
{
	int64_t upto = t->upto == -1 ? p->log.end : t->upto;

	t->fault = (struct fault){.code = OK};
	if (upto > p->log.end) {
		fault_set(&t->fault, ERR_OUT_OF_RANGE, 0, "trim to %lld, the log ends at %lld",
		          (long long)upto, (long long)p->log.end);
	} else if (upto > p->log.start) {
		remote_log_trim(&p->log, upto);
		remote_partition_publish(p);
	}
	t->done(t);
}

/* Move what this tick lets through from `queue` to `due`: nothing, one, or all (half the time). */
static void let_through(struct remote_partition *p, struct list *queue, struct list *due)
{
	struct list *node;

	list_init(due);
	switch (remote_log_roll(&p->log, 4)) {
	case 0: break;
	case 1:
		node = list_take_first(queue);
		if (node)
			list_append(due, node);
		break;
	default: list_move_all(due, queue);
	}
}

static bool is_idle(const struct remote_partition *p)
{
	return p->foreign_left == 0 && list_is_empty(&p->sent) && list_is_empty(&p->appended) &&
	       list_is_empty(&p->reads) && list_is_empty(&p->lookups) && list_is_empty(&p->trims);
}

static void expect_tick(struct remote_partition *p)
{
	if (!timer_is_running(&p->tick) && !is_idle(p))
		timer_start(p->loop, &p->tick, TICK_MS);
}

static void tick(struct timer *t)
{
	struct remote_partition *p = CONTAINER_OF(t, struct remote_partition, tick);
	struct list due;
	struct list *node;

	if (p->foreign_left && remote_log_roll(&p->log, 2)) {
		p->foreign_left--;
		append_foreign(p);
	}
	let_through(p, &p->appended, &due);
	while ((node = list_take_first(&due)) != NULL) {
		struct store_append *a = LIST_ENTRY(node, struct store_append, node);

		a->done(a);
	}
	let_through(p, &p->sent, &due);
	while ((node = list_take_first(&due)) != NULL)
		append_arrives(p, LIST_ENTRY(node, struct store_append, node));
	let_through(p, &p->reads, &due);
	while ((node = list_take_first(&due)) != NULL)
		read_answer(p, LIST_ENTRY(node, struct store_read, node));
	let_through(p, &p->lookups, &due);
	while ((node = list_take_first(&due)) != NULL)
		lookup_answer(p, LIST_ENTRY(node, struct store_time_lookup, node));
	let_through(p, &p->trims, &due);
	while ((node = list_take_first(&due)) != NULL)
		trim_answer(p, LIST_ENTRY(node, struct store_trim, node));
	expect_tick(p);
}

void remote_partition_expel(struct remote_partition *p)
{
	const struct fault gone = {.code = ERR_TOPIC_GONE};
	struct list *node;

	list_move_all(&p->appended, &p->sent);
	while ((node = list_take_first(&p->appended)) != NULL) {
		struct store_append *a = LIST_ENTRY(node, struct store_append, node);

		a->fault = gone;
		a->done(a);
	}
	while ((node = list_take_first(&p->reads)) != NULL) {
		struct store_read *r = LIST_ENTRY(node, struct store_read, node);

		r->batches = SLICE_NONE;
		r->range = (struct store_range){0};
		r->holder = NULL;
		r->fault = gone;
		r->done(r);
	}
	while ((node = list_take_first(&p->lookups)) != NULL) {
		struct store_time_lookup *t = LIST_ENTRY(node, struct store_time_lookup, node);

		t->fault = gone;
		t->done(t);
	}
	while ((node = list_take_first(&p->trims)) != NULL) {
		struct store_trim *t = LIST_ENTRY(node, struct store_trim, node);

		t->fault = gone;
		t->done(t);
	}
	p->foreign_left = 0;
	timer_stop(p->loop, &p->tick);
}

void remote_partition_append(struct store_append *a)
{
	struct remote_partition *p = remote_partition_of(a->partition);

	CHECK(a->expected_offset == -1); /* no STORE_EXPECTED_OFFSET */
	list_append(&p->sent, &a->node);
	expect_tick(p);
}

void remote_partition_read(struct store_read *r)
{
	struct remote_partition *p = remote_partition_of(r->partition);

	list_append(&p->reads, &r->node);
	expect_tick(p);
}

void remote_partition_lookup_time(struct store_time_lookup *t)
{
	struct remote_partition *p = remote_partition_of(t->partition);

	list_append(&p->lookups, &t->node);
	expect_tick(p);
}

void remote_partition_trim(struct store_trim *t)
{
	struct remote_partition *p = remote_partition_of(t->partition);

	list_append(&p->trims, &t->node);
	expect_tick(p);
}

void remote_partition_foreign(struct remote_partition *p, unsigned batches)
{
	p->foreign_left += batches;
	expect_tick(p);
}

void remote_partition_init(struct remote_partition *p, struct loop *loop)
{
	p->loop = loop;
	list_init(&p->sent);
	list_init(&p->appended);
	list_init(&p->reads);
	list_init(&p->lookups);
	list_init(&p->trims);
	p->tick.fire = tick;
	remote_partition_publish(p);
}

void remote_partition_fini(struct remote_partition *p)
{
	CHECK(is_idle(p));
	CHECK(list_is_empty(&p->base.watchers));
	task_cancel(&p->base.notify);
	store_partition_unfence(&p->base);
	remote_log_fini(&p->log);
}
