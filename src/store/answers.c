#include "store/answers.h"

#include "io/metrics.h"

/* --- what is refused -------------------------------------------------------------------------- */

static enum err check_gone(const struct store_partition *p, const char *topic, struct fault *f)
{
	return p->state.deleted ? fault_set(f, ERR_TOPIC_GONE, 0, "%s", topic) : OK;
}

static enum err check_end(const struct store_partition *p, int64_t offset, struct fault *f)
{
	if (offset <= p->state.high_watermark)
		return OK;
	return fault_set(f, ERR_OUT_OF_RANGE, 0, "the log ends at %lld",
	                 (long long)p->state.high_watermark);
}

enum err store_read_check(const struct store_partition *p, const char *topic, int64_t offset,
                          struct fault *f)
{
	enum err err = check_gone(p, topic, f);

	if (err)
		return err;
	if (offset < p->state.log_start)
		return fault_set(f, ERR_TRIMMED, 0, "the log starts at %lld",
		                 (long long)p->state.log_start);
	return check_end(p, offset, f);
}

enum err store_trim_check(const struct store_partition *p, const char *topic, int64_t upto,
                          struct fault *f)
{
	enum err err = check_gone(p, topic, f);

	return err ? err : check_end(p, upto, f);
}

void store_append_begin(struct store_append *a, size_t bytes_max, size_t waiting_bytes,
                        size_t waiting_max)
{
	size_t message_max = (size_t)a->partition->settings.max_message_bytes;

	a->base_offset = -1;
	a->fault = (struct fault){0};
	if (a->batches.len > message_max || a->batches.len > bytes_max)
		fault_set(&a->fault, ERR_TOO_LARGE, 0,
		          "a batch of %zu bytes; max.message.bytes is %zu", a->batches.len,
		          message_max);
	else if (waiting_bytes > waiting_max)
		fault_set(&a->fault, ERR_BUSY, 0, "%zu bytes wait to be appended", waiting_bytes);
}

enum err store_append_check(const struct store_partition *p, const char *topic,
                            struct store_append *a)
{
	enum err err = a->fault.code ? a->fault.code : check_gone(p, topic, &a->fault);

	if (err)
		return err;
	if (p->state.fenced.code) {
		a->fault = store_partition_fenced(p);
		return ERR_FENCED;
	}
	if (a->expected_offset >= 0 && a->expected_offset != p->state.log_end)
		return fault_set(&a->fault, ERR_OFFSET_MISMATCH, 0, "the log end is %lld",
		                 (long long)p->state.log_end);
	return OK;
}

void store_appends_fail(struct list *appends, const struct fault *cause, struct metrics *m)
{
	int64_t count = 0;

	LIST_EACH (node, appends) {
		LIST_ENTRY(node, struct store_append, node)->fault = *cause;
		count++;
	}
	if (cause->code == ERR_DISK_FULL)
		metric_add(m, METRIC_DISK_FULL, count);
}

/* --- done ------------------------------------------------------------------------------------- */

void store_appends_answer(struct list *appends)
{
	struct list *node;

	while ((node = list_take_first(appends)) != NULL) {
		struct store_append *a = LIST_ENTRY(node, struct store_append, node);

		a->done(a);
	}
}

/* Lies in the `engine` words of the request it answers. */
struct later {
	struct task task;
	void *request;
};
_Static_assert(sizeof(struct later) <= sizeof(((struct store_read *)0)->engine), "room");
_Static_assert(sizeof(struct later) <= sizeof(((struct store_time_lookup *)0)->engine), "room");
_Static_assert(sizeof(struct later) <= sizeof(((struct store_trim *)0)->engine), "room");
_Static_assert(sizeof(struct later) <= sizeof(((struct store_topic_op *)0)->engine), "room");
_Static_assert(sizeof(struct later) <= sizeof(((struct store_backup_op *)0)->engine), "room");

static void answer_later(struct loop *l, void *engine, void *request, void (*run)(struct task *t))
{
	struct later *later = engine;

	*later = (struct later){.task = {.run = run}, .request = request};
	loop_defer(l, LOOP_WORK, &later->task);
}

static void *request_of(struct task *t)
{
	return CONTAINER_OF(t, struct later, task)->request;
}

static void read_answer(struct task *t)
{
	struct store_read *r = request_of(t);

	r->done(r);
}

static void lookup_answer(struct task *t)
{
	struct store_time_lookup *l = request_of(t);

	l->done(l);
}

static void trim_answer(struct task *t)
{
	struct store_trim *trim = request_of(t);

	trim->done(trim);
}

static void topic_answer(struct task *t)
{
	struct store_topic_op *o = request_of(t);

	o->done(o);
}

static void backup_answer(struct task *t)
{
	struct store_backup_op *o = request_of(t);

	o->done(o);
}

void store_read_answer(struct store_read *r, struct loop *l)
{
	answer_later(l, r->engine, r, read_answer);
}

void store_lookup_answer(struct store_time_lookup *t, struct loop *l)
{
	answer_later(l, t->engine, t, lookup_answer);
}

void store_trim_answer(struct store_trim *t, struct loop *l)
{
	answer_later(l, t->engine, t, trim_answer);
}

void store_topic_answer(struct store_topic_op *o, struct loop *l)
{
	answer_later(l, o->engine, o, topic_answer);
}

void store_backup_answer(struct store_backup_op *o, struct loop *l)
{
	answer_later(l, o->engine, o, backup_answer);
}
