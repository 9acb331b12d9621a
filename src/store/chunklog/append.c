/* The way into a partition: appends become frames, frames become visible batches. partition.h
 * draws it. */
#include "io/memory.h"
#include "store/answers.h"
#include "store/chunklog/budget.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/partition.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	FRAMES_MAX = 8,          /* in flight, of one partition */
	CRC_BYTES_MIN = 2 << 10, /* below, a checksum is had faster by taking it */
};

/* Allocated, as few partitions have one at a time. */
struct frame {
	struct wal_write write; /* first */
	struct partition *partition;
	struct list node;
	/* answered when it is acknowledged: those in it, and refused behind it */
	struct list appends;
};

static void answer_later(struct partition *p)
{
	loop_defer(p->shard->loop, LOOP_WORK, &p->answer);
}

/* NULL: none is in flight. */
static struct frame *last_frame(const struct partition *p)
{
	return list_is_empty(&p->frames) ? NULL : LIST_ENTRY(p->frames.prev, struct frame, node);
}

/* Classes do not mix: of one group those that need no flush are acknowledged first. */
static bool may_follow(const struct partition *p, const struct frame *last)
{
	return !p->refused && p->frame_count < FRAMES_MAX &&
	       last->write.frame.durability == p->base.settings.durability;
}

static bool may_begin_frame(const struct partition *p)
{
	const struct frame *last = last_frame(p);

	return !p->held && !p->shard->held && !list_is_empty(&p->waiting) &&
	       (!last || may_follow(p, last));
}

static void submit_later(struct partition *p)
{
	if (may_begin_frame(p))
		loop_defer(p->shard->loop, LOOP_COMMIT, &p->submit);
}

/* --- deletion --------------------------------------------------------------------------------- */

static bool is_quiet(const struct partition *p)
{
	return list_is_empty(&p->frames) && p->trims == 0 && p->cold_reads == 0 &&
	       list_is_empty(&p->waiting) && list_is_empty(&p->answered);
}

/* In the WRITE stage every read and answer of this turn is done. */
static void went_quiet(struct task *t)
{
	struct partition *p = CONTAINER_OF(t, struct partition, went_quiet);
	void (*quiet)(struct partition * p) = p->quiet;

	if (!quiet || !is_quiet(p))
		return;
	p->quiet = NULL;
	quiet(p);
}

void partition_check_quiet(struct partition *p)
{
	if (p->quiet && is_quiet(p))
		loop_defer(p->shard->loop, LOOP_WRITE, &p->went_quiet);
}

void partition_drop(struct partition *p, void (*quiet)(struct partition *p), void *context)
{
	partition_lift_fence(p); /* what is gone is not counted */
	p->base.state.deleted = true;
	p->quiet = quiet;
	p->quiet_context = context;
	store_partition_moved(&p->base, p->shard->loop);
	partition_release(p);
	partition_check_quiet(p);
}

/* --- answers ---------------------------------------------------------------------------------- */

static void answer(struct task *t)
{
	struct partition *p = CONTAINER_OF(t, struct partition, answer);

	store_appends_answer(&p->answered);
	partition_check_quiet(p);
}

/* A failed WAL is fenced until a restart, which finds out what is on disk. */
static void fence(struct partition *p, const struct fault *cause)
{
	char text[128], why[160];

	snprintf(why, sizeof(why), "until a restart, after %s",
	         fault_text(cause, text, sizeof(text)));
	partition_fence(p, why);
	store_partition_moved(&p->base, p->shard->loop);
}

/* Those that were refused on their own judged by a log end that has not come: they failed too. */
static void fail_all(struct partition *p, struct list *appends, const struct fault *cause)
{
	store_appends_fail(appends, cause, loop_metrics(p->shard->loop));
	if (cause->code == ERR_IO && !p->base.state.deleted)
		fence(p, cause);
}

/* On disk as the class demands, or not wanted there. */
static void show_frame(struct partition *p, size_t bytes)
{
	partition_show(p, bytes);
	store_partition_moved(&p->base, p->shard->loop);
}

static void frame_written(struct wal_write *ww)
{
	struct frame *frame = CONTAINER_OF(ww, struct frame, write);
	struct partition *p = frame->partition;

	CHECK(frame == LIST_ENTRY(p->frames.next, struct frame, node));
	CHECK(ww->fault.code || !p->refused);
	list_remove(&frame->node);
	p->frame_count--;
	p->in_flight_bytes -= ww->frame.payload.len;
	if (ww->fault.code) {
		p->refused = true;
		fail_all(p, &frame->appends, &ww->fault);
	} else {
		show_frame(p, ww->frame.payload.len);
	}
	if (p->refused && p->frame_count == 0) {
		partition_unfill(p);
		p->refused = false;
	}
	list_move_all(&p->answered, &frame->appends);
	answer_later(p);
	free(frame);
	submit_later(p);
}

/* --- frames ----------------------------------------------------------------------------------- */

static enum err append_check(const struct partition *p, struct store_append *a)
{
	enum err err = store_append_check(&p->base, p->topic->name, a);

	if (err || !budget_is_full(p->shard->log)) /* full only while nothing can be saved */
		return err;
	return budget_refusal(p->shard->log, &a->fault);
}

/* Take what waits, in order, as far as it fits beside what is in the chunk. */
static void frame_fill(struct partition *p)
{
	while (!list_is_empty(&p->waiting)) {
		struct store_append *a = LIST_ENTRY(p->waiting.next, struct store_append, node);
		int64_t base_offset = p->base.state.log_end;

		if (!append_check(p, a)) {
			if (!partition_fill(p, a->batches, p->waiting_bytes - a->batches.len,
			                    &a->fault))
				return;
			a->base_offset = base_offset;
			a->durability = p->base.settings.durability;
		}
		p->waiting_bytes -= a->batches.len;
		list_remove(&a->node);
		list_append(&p->framed, &a->node);
	}
}

/* Of a frame that is one large batch: from the batch's own, without going over its bytes again. */
static uint32_t payload_crc(struct slice payload)
{
	struct batch b;

	if (payload.len < CRC_BYTES_MIN || batch_parse(payload, &b, NULL) ||
	    b.bytes.len < payload.len)
		return 0;
	return batch_checksum(&b);
}

static void frame_write(struct partition *p, struct frame *frame, struct slice payload)
{
	const struct partition_state *s = &p->base.state;
	const struct frame *last = last_frame(p);

	frame->partition = p;
	list_init(&frame->appends);
	list_move_all(&frame->appends, &p->framed);
	frame->write = (struct wal_write){
		.frame = {.topic = p->base.topic,
	                  .partition = p->base.index,
	                  .type = WAL_BATCHES,
	                  .durability = p->base.settings.durability,
	                  .base_offset = last ? last->write.frame.log_end : s->high_watermark,
	                  .log_end = s->log_end,
	                  .leader_epoch = s->leader_epoch,
	                  .payload = payload,
	                  .payload_crc = payload_crc(payload)},
		.after = last ? &last->write : NULL,
		.loop = p->shard->loop,
		.done = frame_written,
	};
	list_append(&p->frames, &frame->node);
	p->frame_count++;
	p->in_flight_bytes += payload.len;
	wal_write(p->shard->log->wal, &frame->write);
}

/* There is nothing to write: class `none`, or all were refused on their own; those are answered
 * with the frame whose log end they judged by. */
static void frame_skip(struct partition *p, size_t bytes)
{
	struct frame *last = last_frame(p);

	if (last) {
		CHECK(bytes == 0);
		list_move_all(&last->appends, &p->framed);
		return;
	}
	atomic_fetch_add_explicit(&p->shard->log->unlogged_bytes, (int64_t)bytes,
	                          memory_order_relaxed);
	if (bytes > 0)
		show_frame(p, bytes);
	list_move_all(&p->answered, &p->framed);
	answer_later(p);
}

/* For a spill or a checkpoint to make room. Appends that will be refused do not wait. */
static bool has_to_wait(const struct partition *p)
{
	struct chunklog *log = p->shard->log;
	bool is_full = budget_is_full(log);
	struct fault unused;

	if (p->base.state.deleted || p->base.state.fenced.code || (!is_full && !budget_is_due(log)))
		return false;
	checkpoint_nudge(log);
	return is_full && !budget_refusal(log, &unused);
}

static void refuse_waiting(struct partition *p)
{
	LIST_EACH (node, &p->waiting)
		fault_set(&LIST_ENTRY(node, struct store_append, node)->fault, ERR_BUSY, 0,
		          "no memory for a frame");
}

static void submit(struct task *t)
{
	struct partition *p = CONTAINER_OF(t, struct partition, submit);

	while (may_begin_frame(p) && !has_to_wait(p)) {
		bool is_logged = p->base.settings.durability != DURABILITY_NONE;
		struct frame *frame = is_logged ? calloc(1, sizeof(*frame)) : NULL;
		struct slice payload;

		if (is_logged && !frame) /* had before anything is filled in */
			refuse_waiting(p);
		frame_fill(p);
		memory_pool_refill(p->shard->log->chunk_pool, p->shard->loop);
		payload = partition_filled(p);
		if (frame && payload.len > 0) {
			frame_write(p, frame, payload);
			return;
		}
		free(frame);
		if (list_is_empty(&p->framed)) /* the chunk is full; goes on when it is shown */
			return;
		frame_skip(p, payload.len);
	}
}

void partition_append(struct partition *p, struct store_append *a)
{
	store_append_begin(a, WAL_PAYLOAD_BYTES_MAX, p->waiting_bytes, PARTITION_WAITING_BYTES_MAX);
	p->waiting_bytes += a->batches.len;
	list_append(&p->waiting, &a->node);
	submit_later(p);
}

void partition_hold(struct partition *p)
{
	p->held = true;
}

void partition_release(struct partition *p)
{
	p->held = false;
	submit_later(p);
}

void partition_resume(struct partition *p)
{
	submit_later(p);
}

void shard_release(struct shard *shard)
{
	shard->held = false;
	LIST_EACH (node, &shard->partitions)
		submit_later(LIST_ENTRY(node, struct partition, node));
}

void partition_init_tasks(struct partition *p)
{
	p->submit.run = submit;
	p->answer.run = answer;
	p->went_quiet.run = went_quiet;
}

/* --- trims ------------------------------------------------------------------------------------ */

struct trim_write {
	struct wal_write write;
	struct store_trim *trim;
	int64_t upto;
};

static void trim_apply(struct partition *p, int64_t upto)
{
	partition_move_start(p, upto);
	store_partition_moved(&p->base, p->shard->loop);
}

static void trim_written(struct wal_write *ww)
{
	struct trim_write *w = CONTAINER_OF(ww, struct trim_write, write);
	struct store_trim *t = w->trim;
	struct partition *p = partition_of(t->partition);

	t->fault = ww->fault;
	if (!t->fault.code)
		trim_apply(p, w->upto);
	free(w);
	p->trims--;
	t->done(t);
	partition_check_quiet(p);
}

/* False: there is no memory. */
static bool trim_write(struct partition *p, struct store_trim *t, int64_t upto)
{
	struct trim_write *w = calloc(1, sizeof(*w));

	if (!w)
		return false;
	w->trim = t;
	w->upto = upto;
	w->write = (struct wal_write){
		.frame = {.topic = p->base.topic,
	                  .partition = p->base.index,
	                  .type = WAL_TRIM,
	                  .durability = p->base.settings.durability,
	                  .base_offset = upto,
	                  .log_end = p->base.state.high_watermark,
	                  .leader_epoch = p->base.state.leader_epoch},
		.reserved = true,
		.loop = p->shard->loop,
		.done = trim_written,
	};
	p->trims++;
	wal_write(p->shard->log->wal, &w->write);
	return true;
}

void partition_trim(struct partition *p, struct store_trim *t)
{
	const struct partition_state *s = &p->base.state;
	int64_t upto = t->upto < 0 ? s->high_watermark : t->upto;
	bool moves = upto > s->log_start || (p->damage.from >= 0 && upto >= p->damage.to);

	t->fault = (struct fault){0};
	if (!store_trim_check(&p->base, p->topic->name, upto, &t->fault) && moves) {
		if (p->base.settings.durability == DURABILITY_NONE)
			trim_apply(p, upto);
		else if (trim_write(p, t, upto))
			return;
		else
			fault_set(&t->fault, ERR_BUSY, 0, "no memory for a frame");
	}
	store_trim_answer(t, p->shard->loop);
}
