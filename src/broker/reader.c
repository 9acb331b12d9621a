#include "broker/reader.h"

#include "broker/partition_reader.h"
#include "broker/reader_steps.h"
#include "broker/topic_wait.h"

#include <stdlib.h>

/* Where to begin, kept until the topic comes. */
struct beginning {
	struct position position;
	struct position otherwise;
	bool has_otherwise;
	struct cursor_entry entries[]; /* the position's */
};

struct reader {
	struct broker *broker;
	void (*wake)(void *owner);
	void *owner;
	struct task wake_task;
	bool asleep; /* the owner waits for a wake */
	bool closed; /* by the owner; freed when nothing is abroad */
	bool follow;
	bool grew;          /* the topic did; not told yet */
	int32_t partition;  /* as asked; -1: all */
	struct fault fault; /* code OK: none */

	struct list node;            /* in the topic's readers, or in `wait`'s */
	struct topic_wait *wait;     /* NULL: the topic came, or was there */
	struct beginning *beginning; /* owned: as asked, until the topic comes */

	uint8_t topic_prefix[8];             /* as cursors have it */
	uint32_t topic_partitions;           /* 0: not known yet */
	uint32_t count;                      /* partitions read */
	struct partition_reader *partitions; /* owned */
	struct reader_bounds *bounds;        /* owned */
	uint32_t unknown;                    /* partitions not heard of yet */
	uint32_t asked;    /* questions out that are answered soon: they do not wait */
	uint32_t abroad;   /* cancelled questions that are not home yet */
	struct list ready; /* struct partition_reader: those with a run; the first is being read */
};

static void reader_free(struct reader *r)
{
	CHECK(r->abroad == 0);
	free(r->partitions);
	free(r->bounds);
	free(r->beginning);
	free(r);
}

static void reader_wake(struct reader *r)
{
	if (!r->asleep || r->closed)
		return;
	r->asleep = false;
	loop_defer(r->broker->loop, LOOP_WORK, &r->wake_task);
}

static void run_wake(struct task *t)
{
	struct reader *r = CONTAINER_OF(t, struct reader, wake_task);

	r->wake(r->owner);
}

/* The first reason stays. */
static void reader_fail(struct reader *r, const struct fault *fault)
{
	CHECK(fault->code != OK);
	if (r->fault.code == OK)
		r->fault = *fault;
	reader_wake(r);
}

static void reader_fail_corrupt(struct reader *r, const struct reader_bounds *at)
{
	struct fault fault;

	fault_set(&fault, ERR_CORRUPT, 0, "partition %u, at offset %lld", at->partition,
	          (long long)at->next_offset);
	reader_fail(r, &fault);
}

/* --- questions -------------------------------------------------------------------------------- */

static struct reader_bounds *bounds_of(const struct partition_reader *pr)
{
	const struct reader *r = pr->reader;

	return &r->bounds[pr - r->partitions];
}

/* The run is used up, or there was none. */
static void ask_on(struct reader *r, struct partition_reader *pr)
{
	const struct reader_bounds *at = bounds_of(pr);
	bool more = at->next_offset < at->high_watermark;

	if (r->fault.code != OK)
		return;
	if (!more && !r->follow)
		return;
	r->asked += more;
	partition_reader_ask(pr, at->next_offset, !more);
}

static void note_bounds(struct reader *r, struct partition_reader *pr)
{
	struct reader_bounds *at = bounds_of(pr);

	if (at->high_watermark < 0)
		r->unknown--;
	at->earliest = pr->log_start;
	at->high_watermark = pr->high_watermark;
	at->leader_epoch = pr->leader_epoch;
	at->resume_offset = pr->resume_offset;
	if (pr->read.fault.code == OK)
		at->next_offset = pr->offset;
}

static void answered(struct partition_reader *pr)
{
	struct reader *r = pr->reader;

	r->asked -= !pr->wait;
	note_bounds(r, pr);
	if (pr->read.fault.code != OK)
		reader_fail(r, &pr->read.fault);
	else if (pr->run.len > 0)
		list_append(&r->ready, &pr->node);
	else
		ask_on(r, pr);
	if (r->unknown == 0 && (r->asked == 0 || !list_is_empty(&r->ready)))
		reader_wake(r);
}

static void cancelled(struct partition_reader *pr)
{
	struct reader *r = pr->reader;

	struct broker *b = r->broker;

	r->abroad--;
	if (r->closed && r->abroad == 0) {
		reader_free(r);
		shard_end(b);
	}
}

static void cancel_all(struct reader *r)
{
	for (uint32_t i = 0; i < r->count; i++) {
		struct partition_reader *pr = &r->partitions[i];

		if (!pr->cancelling && !partition_reader_cancel(pr))
			r->abroad++;
	}
}

/* --- the beginning ---------------------------------------------------------------------------- */

static bool partitions_new(struct reader *r, uint32_t count)
{
	r->partitions = calloc(count, sizeof(*r->partitions));
	r->bounds = calloc(count, sizeof(*r->bounds));
	return r->partitions && r->bounds;
}

static void begin_partition(struct reader *r, struct topic *t, uint32_t partition,
                            enum position_kind kind, int64_t value, int32_t epoch)
{
	struct partition_reader *pr = &r->partitions[r->count];

	*pr = (struct partition_reader){
		.reader = r,
		.answered = answered,
		.cancelled = cancelled,
		.kind = kind,
		.value = value,
		.epoch = epoch,
	};
	r->bounds[r->count] = (struct reader_bounds){partition, -1, -1, -1, -1, -1};
	r->count++;
	r->unknown++;
	r->asked++;
	partition_reader_init(pr, r->broker, t, partition);
	partition_reader_ask(pr, -1, false);
}

/* In the partition of that rank among those read. */
static enum position_kind kind_in(const struct position *position, uint32_t rank)
{
	if (position->kind != POSITION_NUMBER)
		return position->kind;
	return rank == 0 ? POSITION_OFFSET : POSITION_EARLIEST;
}

static enum err begin_at(struct reader *r, struct topic *t, const struct position *position,
                         struct fault *f)
{
	uint32_t first = r->partition < 0 ? 0 : (uint32_t)r->partition;
	uint32_t count = r->partition < 0 ? r->topic_partitions : 1;

	if (position->kind == POSITION_OFFSET && count > 1)
		return fault_set(f, ERR_PARTITION_REQUIRED, 0, "to read from an offset");
	if (!partitions_new(r, count))
		return fault_set(f, ERR_NO_MEMORY, 0, "reader");
	for (uint32_t i = 0; i < count; i++)
		begin_partition(r, t, first + i, kind_in(position, i), position->value, 0);
	return OK;
}

/* The entries of this topic, by partition; `named` counts them. */
static enum err sort_cursor(const struct reader *r, const struct position *position,
                            const struct cursor_entry **by_partition, uint32_t *named,
                            struct fault *f)
{
	*named = 0;
	for (size_t i = 0; i < position->entry_count; i++) {
		const struct cursor_entry *e = &position->entries[i];

		if (memcmp(e->topic, r->topic_prefix, sizeof(e->topic)) != 0)
			continue;
		if (e->partition >= r->topic_partitions)
			return fault_set(f, ERR_BAD_CURSOR, 0, "partition %u; the topic has %u",
			                 e->partition, r->topic_partitions);
		*named += by_partition[e->partition] == NULL;
		by_partition[e->partition] = e;
	}
	return OK;
}

static enum err begin_at_cursor(struct reader *r, struct topic *t, const struct position *position,
                                const struct position *otherwise, struct fault *f)
{
	const struct cursor_entry *by_partition[TOPIC_PARTITIONS_MAX] = {0};
	uint32_t named;
	enum err err = sort_cursor(r, position, by_partition, &named, f);

	if (err)
		return err;
	if (named == 0 && otherwise)
		return begin_at(r, t, otherwise, f);
	if (named == 0)
		return fault_set(f, ERR_TOPIC_GONE, 0, "the cursor is of another topic");
	if (!partitions_new(r, r->partition < 0 ? r->topic_partitions : 1))
		return fault_set(f, ERR_NO_MEMORY, 0, "reader");
	for (uint32_t i = 0; i < r->topic_partitions; i++) {
		const struct cursor_entry *e = by_partition[i];

		if (r->partition >= 0 && (uint32_t)r->partition != i)
			continue;
		if (e)
			begin_partition(r, t, i, POSITION_CURSOR, e->next_offset, e->leader_epoch);
		else
			begin_partition(r, t, i, POSITION_EARLIEST, 0, 0);
	}
	return OK;
}

static void reader_begin(struct reader *r, struct topic *t, const struct position *position,
                         const struct position *otherwise)
{
	struct fault fault = {0};
	enum err err;

	r->topic_partitions = t->facts->spec.partition_count;
	memcpy(r->topic_prefix, t->facts->spec.uuid.bytes, sizeof(r->topic_prefix));
	list_append(&t->readers, &r->node);
	if (r->partition >= 0 && (uint32_t)r->partition >= r->topic_partitions)
		err = fault_set(&fault, ERR_PARTITION_UNKNOWN, 0, "partition %d; the topic has %u",
		                r->partition, r->topic_partitions);
	else if (position->kind == POSITION_CURSOR)
		err = begin_at_cursor(r, t, position, otherwise, &fault);
	else
		err = begin_at(r, t, position, &fault);
	if (err)
		reader_fail(r, &fault);
}

/* Of a topic that is not there yet: who listens began to before the first event there can be. */
static struct position position_in_new_topic(const struct position *p)
{
	struct position in_new = *p;

	if (p->kind == POSITION_END || p->kind == POSITION_LAST)
		in_new.kind = POSITION_EARLIEST;
	return in_new;
}

static struct beginning *beginning_new(const struct reader_options *options)
{
	size_t count = options->position.entry_count;
	struct beginning *b = calloc(1, sizeof(*b) + count * sizeof(b->entries[0]));

	if (!b)
		return NULL;
	b->position = position_in_new_topic(&options->position);
	b->position.entries = b->entries;
	if (count > 0)
		memcpy(b->entries, options->position.entries, count * sizeof(b->entries[0]));
	b->has_otherwise = options->otherwise != NULL;
	if (b->has_otherwise)
		b->otherwise = position_in_new_topic(options->otherwise);
	return b;
}

static enum err reader_wait_for_topic(struct reader *r, const struct reader_options *options)
{
	r->beginning = beginning_new(options);
	if (!r->beginning)
		return ERR_NO_MEMORY;
	r->wait = topic_wait_get(r->broker, options->topic);
	if (!r->wait)
		return ERR_NO_MEMORY;
	list_append(&r->wait->readers, &r->node);
	reader_wake(r);
	return OK;
}

static enum err reader_start(struct reader *r, const struct reader_options *options,
                             struct fault *f)
{
	struct topic *t;
	enum err err = broker_authorize(options->caller, options->operation, options->topic);

	if (err)
		return err;
	t = topics_find(&r->broker->topics, options->topic);
	if (t) {
		reader_begin(r, t, &options->position, options->otherwise);
		return OK;
	}
	err = topic_name_check(options->topic, f);
	if (err)
		return err;
	if (options->wait_for_topic)
		return reader_wait_for_topic(r, options);
	return fault_set(f, ERR_TOPIC_UNKNOWN, 0, "'%.*s'", SLICE_FMT(options->topic));
}

struct reader *reader_open(struct broker *b, const struct reader_options *options,
                           void (*wake)(void *owner), void *owner)
{
	struct fault fault = {0};
	struct reader *r = calloc(1, sizeof(*r));

	CHECK(!options->otherwise || options->otherwise->kind != POSITION_CURSOR);
	if (!r)
		return NULL;
	r->broker = b;
	r->wake = wake;
	r->owner = owner;
	r->wake_task.run = run_wake;
	r->asleep = true;
	r->follow = options->follow;
	r->partition = options->partition;
	list_init(&r->ready);
	fault.code = reader_start(r, options, &fault);
	if (fault.code)
		reader_fail(r, &fault);
	return r;
}

void reader_topic_appeared(struct list *node, struct topic *t)
{
	struct reader *r = CONTAINER_OF(node, struct reader, node);
	struct beginning *at = r->beginning;

	r->wait = NULL;
	r->beginning = NULL;
	reader_begin(r, t, &at->position, at->has_otherwise ? &at->otherwise : NULL);
	free(at);
}

void reader_topic_grew(struct list *node)
{
	struct reader *r = CONTAINER_OF(node, struct reader, node);

	if (!r->follow)
		return;
	r->grew = true;
	reader_wake(r);
}

void reader_topic_gone(struct list *node)
{
	struct reader *r = CONTAINER_OF(node, struct reader, node);
	struct fault gone = {.code = ERR_TOPIC_GONE};

	cancel_all(r);
	reader_fail(r, &gone);
}

/* --- taking ----------------------------------------------------------------------------------- */

static bool still_unknown(struct reader *r)
{
	CHECK(!r->closed);
	if (r->fault.code != OK || r->unknown == 0)
		return false;
	r->asleep = true;
	return true;
}

/* The first of those with a run; NULL: there is none. */
static struct partition_reader *first_ready(struct reader *r)
{
	if (list_is_empty(&r->ready))
		return NULL;
	return LIST_ENTRY(r->ready.next, struct partition_reader, node);
}

static void run_used_up(struct reader *r, struct partition_reader *pr, enum run_next next)
{
	list_remove(&pr->node);
	partition_reader_drop_run(pr);
	if (next == RUN_CORRUPT)
		reader_fail_corrupt(r, bounds_of(pr));
	else
		ask_on(r, pr);
}

/* There is no run at hand. */
static enum reader_take take_nothing(struct reader *r)
{
	if (r->fault.code != OK)
		return READER_FAILED;
	if (r->grew) {
		r->grew = false;
		return READER_GREW;
	}
	r->asleep = true;
	return r->asked > 0 ? READER_WAIT : READER_CAUGHT_UP;
}

enum reader_take reader_take(struct reader *r, struct delivery *out)
{
	struct partition_reader *pr;

	if (still_unknown(r))
		return READER_WAIT;
	while ((pr = first_ready(r))) {
		struct reader_bounds *at = bounds_of(pr);
		enum run_next next = partition_reader_next(pr, &out->record, &at->next_offset);

		if (next == RUN_EVENT) {
			out->partition = at->partition;
			return READER_EVENT;
		}
		run_used_up(r, pr, next);
	}
	return take_nothing(r);
}

enum reader_take reader_take_batches(struct reader *r, struct slice *batches)
{
	struct partition_reader *pr;

	if (still_unknown(r))
		return READER_WAIT;
	if (r->count > 1 && r->fault.code == OK)
		fault_set(&r->fault, ERR_PARTITION_REQUIRED, 0, "to read batches");
	if (r->fault.code == ERR_PARTITION_REQUIRED)
		return READER_FAILED;
	while ((pr = first_ready(r))) {
		enum run_next next =
			partition_reader_take_run(pr, batches, &bounds_of(pr)->next_offset);

		if (next == RUN_EVENT)
			return READER_EVENT;
		run_used_up(r, pr, next);
	}
	return take_nothing(r);
}

const struct fault *reader_fault(const struct reader *r)
{
	return &r->fault;
}

const struct reader_bounds *reader_bounds(const struct reader *r, uint32_t *count)
{
	*count = r->count;
	return r->bounds;
}

uint32_t reader_topic_partitions(const struct reader *r)
{
	return r->topic_partitions;
}

const uint8_t *reader_topic_prefix(const struct reader *r)
{
	return r->topic_partitions ? r->topic_prefix : NULL;
}

enum err reader_cursor(const struct reader *r, struct buf *out)
{
	struct cursor_entry entries[CURSOR_ENTRIES_MAX];

	if (r->count == 0 || r->count > CURSOR_ENTRIES_MAX)
		return ERR_BAD_CURSOR;
	for (uint32_t i = 0; i < r->count; i++) {
		struct cursor_entry *e = &entries[i];

		if (r->bounds[i].next_offset < 0)
			return ERR_BAD_CURSOR;
		memcpy(e->topic, r->topic_prefix, sizeof(e->topic));
		e->partition = r->bounds[i].partition;
		e->leader_epoch = r->bounds[i].leader_epoch;
		e->next_offset = r->bounds[i].next_offset;
	}
	if (r->topic_partitions == 1) {
		buf_append_int64(out, entries[0].next_offset);
		return OK;
	}
	return cursor_encode(entries, r->count, r->partition >= 0, out) ? OK : ERR_BAD_CURSOR;
}

void reader_close(struct reader *r)
{
	struct list *node;

	CHECK(!r->closed);
	r->closed = true;
	task_cancel(&r->wake_task);
	if (list_is_linked(&r->node))
		list_remove(&r->node);
	if (r->wait)
		topic_wait_put(r->wait);
	while ((node = list_take_first(&r->ready)))
		partition_reader_drop_run(LIST_ENTRY(node, struct partition_reader, node));
	cancel_all(r);
	if (r->abroad == 0)
		reader_free(r);
	else
		shard_begin(r->broker);
}
