/* The way into a partition: appends become frames, frames become rows and visible batches. rocks.h
 * draws it. */
#include "base/endian.h"
#include "store/answers.h"
#include "store/chunk.h"
#include "store/rocksdb/rocks.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	TAIL_BYTES_MAX = 256 << 10, /* or one larger frame */
	MARK_BYTES = 4 << 20,       /* of a stretch that has one time mark */
};

static void submit_later(struct rocks_partition *p)
{
	if (!p->in_flight && !list_is_empty(&p->waiting))
		loop_defer(p->shard->loop, LOOP_COMMIT, &p->submit);
}

/* --- the tail -------------------------------------------------------------------------------- */

/* Twice the one before, which was full: so who is written to much gets there soon, and who is not
 * holds little. */
static size_t tail_size(const struct rocks_partition *p, size_t want)
{
	size_t size = p->tail ? p->tail->cap * 2 : CHUNK_BYTES_MIN;

	if (size > TAIL_BYTES_MAX)
		size = TAIL_BYTES_MAX;
	return size < want ? want : size;
}

/* Copy one valid batch behind the log end. False: it does not fit beside what is filled already;
 * true with a fault when there is no memory. `want`: bytes of it and of what comes next. */
static bool fill(struct rocks_partition *p, struct slice batch, size_t want, struct fault *f)
{
	struct partition_state *s = &p->base.state;
	struct chunk *c = p->tail;
	struct batch b;
	enum err err;

	if (!c || c->leader_epoch != s->leader_epoch || chunk_room(c) < batch.len) {
		if (c && c->filled > c->len)
			return false;
		if (want > TAIL_BYTES_MAX)
			want = batch.len > TAIL_BYTES_MAX ? batch.len : TAIL_BYTES_MAX;
		c = chunk_new(NULL, s->log_end, s->leader_epoch, tail_size(p, want));
		if (!c) {
			fault_set(f, ERR_BUSY, 0, "no memory for a frame");
			return true;
		}
		if (p->tail)
			chunk_put(p->tail);
		p->tail = c;
	}
	err = batch_parse(batch, &b, NULL);
	CHECK(err == OK);
	CHECK(b.bytes.len == batch.len);
	if (!rocks_partition_note_epoch(p, s->leader_epoch, s->log_end)) {
		fault_set(f, ERR_BUSY, 0, "no memory for a frame");
		return true;
	}
	chunk_fill(c, batch, s->log_end);
	if (b.max_timestamp > p->frame.time)
		p->frame.time = b.max_timestamp;
	s->log_end += b.last_offset - b.base_offset + 1;
	return true;
}

static void note_unfinished(struct rocks_partition *p)
{
	if (p->finished == p->base.state.high_watermark)
		p->unfinished_ms = rocks_run_ms(p->shard);
}

/* Segments there are none here, but what is newest is as large and as old as one. */
static void finish_if_full(struct rocks_partition *p)
{
	if (p->total_end - p->finished_total < p->base.settings.segment_bytes)
		return;
	p->finished = p->base.state.high_watermark;
	p->finished_total = p->total_end;
}

static void show(struct rocks_partition *p)
{
	struct partition_state *s = &p->base.state;
	const struct rocks_frame *frame = &p->frame;

	chunk_show(p->tail, p->tail->filled - p->tail->len);
	CHECK(p->tail->end_offset == s->log_end);
	note_unfinished(p);
	s->high_watermark = s->log_end;
	s->last_stable = s->log_end;
	p->total_end += (int64_t)frame->batches.len;
	rocks_partition_count_bytes(p);
	finish_if_full(p);
	if (frame->time > p->mark_time)
		p->mark_time = frame->time;
	if (frame->saves_mark) {
		p->mark_from = s->log_end;
		p->mark_total = p->total_end;
		p->mark_time = INT64_MIN;
	}
	if (frame->saves_epochs)
		p->epochs_unsaved = false;
	age_note(&p->age, s->high_watermark,
	         age_born(frame->time, p->shard->store->began.wall_ms, rocks_run_ms(p->shard)));
}

/* Without memory for it, whoever reads asks a worker. */
static void drop_tail_if_short(struct rocks_partition *p)
{
	if (p->shard->store->config.memory_bytes >= TAIL_BYTES_MAX)
		return;
	chunk_put(p->tail);
	p->tail = NULL;
}

static void take_back(struct rocks_partition *p)
{
	if (p->tail)
		chunk_unfill(p->tail);
	p->base.state.log_end = p->base.state.high_watermark;
}

/* --- answers --------------------------------------------------------------------------------- */

static void answer(struct task *t)
{
	struct rocks_partition *p = CONTAINER_OF(t, struct rocks_partition, answer);

	store_appends_answer(&p->answered);
	rocks_partition_check_quiet(p);
}

/* Only a restart finds out what is on disk. */
static void fence(struct rocks_partition *p, const struct fault *cause)
{
	char text[160], why[192];

	snprintf(why, sizeof(why), "until a restart, after %s",
	         fault_text(cause, text, sizeof(text)));
	rocks_partition_fence(p, why);
	store_partition_moved(&p->base, p->shard->loop);
}

static void frame_end(struct rocks_partition *p)
{
	const struct writer_write *w = &p->frame.write;

	if (w->fault.code) {
		take_back(p);
		/* Those refused on their own judged by a log end that has not come. */
		store_appends_fail(&p->framed, &w->fault, loop_metrics(p->shard->loop));
		p->unsettled = p->unsettled || !w->untouched;
		if (w->fault.code == ERR_IO && !p->base.state.deleted)
			fence(p, &w->fault);
	} else if (p->frame.batches.len > 0) {
		p->unsettled = false;
		show(p);
		drop_tail_if_short(p);
		store_partition_moved(&p->base, p->shard->loop);
	}
	list_move_all(&p->answered, &p->framed);
	loop_defer(p->shard->loop, LOOP_WORK, &p->answer);
}

static void frame_written(struct writer_write *w)
{
	struct rocks_partition *p = CONTAINER_OF(w, struct rocks_partition, frame.write);

	p->in_flight = false;
	frame_end(p);
	submit_later(p);
	rocks_retain(p, false);
}

/* --- what the writer puts -------------------------------------------------------------------- */

static void put_epochs(const struct rocks_partition *p, const struct database *d,
                       rocksdb_writebatch_t *batch)
{
	struct row_meta_key key = row_meta_key(&p->home, ROW_EPOCHS);
	uint8_t value[ROCKS_EPOCHS_MAX * ROW_EPOCH_BYTES];

	for (uint32_t i = 0; i < p->epoch_count; i++) {
		store_le32(value + i * ROW_EPOCH_BYTES, (uint32_t)p->epochs[i].epoch);
		store_le64(value + i * ROW_EPOCH_BYTES + 4, (uint64_t)p->epochs[i].offset);
	}
	d->lib.writebatch_put_cf(batch, d->meta, (const char *)key.bytes, key.len,
	                         (const char *)value, p->epoch_count * ROW_EPOCH_BYTES);
}

static void put_mark(const struct rocks_partition *p, const struct database *d,
                     rocksdb_writebatch_t *batch)
{
	struct row_meta_key key = row_mark_key(&p->home, p->frame.end_offset);
	uint8_t value[ROW_RANGE_BYTES];

	row_range_encode(p->mark_from, p->frame.time > p->mark_time ? p->frame.time : p->mark_time,
	                 value);
	d->lib.writebatch_put_cf(batch, d->meta, (const char *)key.bytes, key.len,
	                         (const char *)value, sizeof(value));
}

static void clear_behind(const struct rocks_partition *p, const struct database *d,
                         rocksdb_writebatch_t *batch)
{
	struct row_key from = row_key(&p->home, p->frame.base_offset);
	struct row_key to = row_key(&p->home, INT64_MAX);
	struct row_meta_key marks_from = row_mark_key(&p->home, p->frame.base_offset + 1);
	struct row_meta_key marks_to = row_mark_key(&p->home, INT64_MAX);

	d->lib.writebatch_delete_range(batch, (const char *)from.bytes, sizeof(from.bytes),
	                               (const char *)to.bytes, sizeof(to.bytes));
	d->lib.writebatch_delete_range_cf(batch, d->meta, (const char *)marks_from.bytes,
	                                  marks_from.len, (const char *)marks_to.bytes,
	                                  marks_to.len);
}

static void put_frame(struct writer_write *w, const struct database *d, rocksdb_writebatch_t *batch)
{
	const struct rocks_partition *p = CONTAINER_OF(w, struct rocks_partition, frame.write);
	struct slice rest = p->frame.batches;
	int64_t total = p->frame.total;

	if (p->frame.clear)
		clear_behind(p, d, batch);
	while (rest.len > 0) {
		struct batch b;
		enum err err = batch_parse(rest, &b, NULL);

		CHECK(err == OK);
		total += (int64_t)b.bytes.len;
		rows_put(d, batch, &p->home, &b, total);
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	if (p->frame.saves_epochs)
		put_epochs(p, d, batch);
	if (p->frame.saves_mark)
		put_mark(p, d, batch);
}

/* --- frames ---------------------------------------------------------------------------------- */

/* Take what waits, in order, as far as it fits in one frame. */
static void frame_fill(struct rocks_partition *p)
{
	p->frame.time = INT64_MIN;
	while (!list_is_empty(&p->waiting)) {
		struct store_append *a = LIST_ENTRY(p->waiting.next, struct store_append, node);
		int64_t base_offset = p->base.state.log_end;

		if (!store_append_check(&p->base, p->topic->name, a)) {
			if (!fill(p, a->batches, p->waiting_bytes, &a->fault))
				return;
			a->base_offset = base_offset;
			a->durability = p->base.settings.durability;
		}
		p->waiting_bytes -= a->batches.len;
		list_remove(&a->node);
		list_append(&p->framed, &a->node);
	}
}

static void frame_write(struct rocks_partition *p)
{
	const struct partition_state *s = &p->base.state;
	struct rocks_frame *frame = &p->frame;

	frame->total = p->total_end;
	frame->base_offset = s->high_watermark;
	frame->end_offset = s->log_end;
	frame->clear = p->unsettled;
	frame->saves_epochs = p->epochs_unsaved;
	frame->saves_mark =
		p->total_end + (int64_t)frame->batches.len - p->mark_total >= MARK_BYTES;
	frame->write = (struct writer_write){
		.put = put_frame,
		.bytes = frame->batches.len,
		.durability = p->base.settings.durability,
		.loop = p->shard->loop,
		.done = frame_written,
	};
	p->in_flight = true;
	writer_write(p->shard->store->writer, &frame->write);
}

static void submit(struct task *t)
{
	struct rocks_partition *p = CONTAINER_OF(t, struct rocks_partition, submit);

	while (!p->in_flight && !list_is_empty(&p->waiting)) {
		const struct chunk *c;

		frame_fill(p);
		c = p->tail;
		p->frame.batches = c ? slice_of(c->bytes + c->len, c->filled - c->len) : SLICE_NONE;
		p->frame.write.fault = (struct fault){0};
		if (p->frame.batches.len > 0)
			frame_write(p);
		else
			frame_end(p); /* all were refused */
	}
}

void rocks_append(struct store_append *a)
{
	struct rocks_partition *p = rocks_partition_of(a->partition);
	store_append_begin(a, ROCKS_FRAME_BYTES_MAX, p->waiting_bytes, ROCKS_WAITING_BYTES_MAX);
	p->waiting_bytes += a->batches.len;
	list_append(&p->waiting, &a->node);
	submit_later(p);
}

void rocks_append_init(struct rocks_partition *p)
{
	list_init(&p->waiting);
	list_init(&p->framed);
	list_init(&p->answered);
	p->submit.run = submit;
	p->answer.run = answer;
}
