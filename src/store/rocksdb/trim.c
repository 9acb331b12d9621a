/* The log start moves: because it is asked for, or because of the topic's settings. Trims of a
 * partition go one at a time, and not beside compaction's writes, whose turn is among theirs:
 *
 *   FIND   a worker finds the batch at which the log will begin (not where that is its end)
 *   WRITE  the writer sets the log start and deletes what is below, in one batch of writes
 *   END    the state follows, watchers are told, who asked is answered
 *   DROP   a worker gives back files that hold nothing else, once that is worth it
 *
 * Retention by bytes and count looks for its start in FIND: a few seeks, as each row has the
 * running total of bytes. It is begun when a sixteenth more than the limit is there, or by the look
 * that each shard takes every second: so it is exact within a second, and busy partitions are not
 * trimmed for each append. */
#include "base/endian.h"
#include "io/log.h"
#include "store/answers.h"
#include "store/chunk.h"
#include "store/rocksdb/rocks.h"

#include <stdlib.h>

enum {
	LOOK_MS = 1000,
	SLACK_PARTS = 16,      /* of a limit: so much more may be there for a while */
	DROP_BYTES = 32 << 20, /* deleted since files were dropped last */
};

enum reason { ASKED, TOO_MUCH, TOO_OLD };

enum step { FIND, WRITE, END };

struct trim {
	struct rocks_turn turn;
	struct rocks_partition *partition;
	enum reason reason;
	enum step step;
	struct store_trim *asked; /* NULL: nobody */
	struct work find;
	struct writer_write write;
	struct rows_span span; /* TOO_MUCH: where to look */
	int64_t bytes_max;
	int64_t count_max;
	int64_t upto;        /* the new log start; TOO_MUCH: found */
	int64_t boundary;    /* rows below go */
	int64_t total_start; /* -1: not known */
	bool lifts;          /* it passes the damage */
	struct fault fault;
};

struct drop {
	struct work work;
	struct rocks_partition *partition;
	int64_t boundary;
};

static void trim_step(struct trim *t);

/* --- files ----------------------------------------------------------------------------------- */

static void drop_run(struct work *w)
{
	struct drop *d = CONTAINER_OF(w, struct drop, work);
	struct rocks_partition *p = d->partition;
	struct row_key from = row_key(&p->home, 0);
	struct row_key to = row_key(&p->home, d->boundary - 1);

	database_drop_files(&p->shard->store->database, slice_of(from.bytes, sizeof(from.bytes)),
	                    slice_of(to.bytes, sizeof(to.bytes)));
}

static void dropped(struct work *w)
{
	struct drop *d = CONTAINER_OF(w, struct drop, work);
	struct rocks_partition *p = d->partition;

	free(d);
	p->visits--;
	rocks_partition_check_quiet(p);
}

static void drop_files(struct rocks_partition *p)
{
	struct drop *d;

	if (p->total_start - p->total_dropped < DROP_BYTES || p->first_row == 0)
		return;
	d = calloc(1, sizeof(*d));
	if (!d) /* the next trim drops these too */
		return;
	*d = (struct drop){.work = {.run = drop_run, .done = dropped},
	                   .partition = p,
	                   .boundary = p->first_row};
	p->total_dropped = p->total_start;
	p->visits++;
	loop_work(p->shard->loop, &d->work);
}

/* --- turns ----------------------------------------------------------------------------------- */

static void begin_first(struct rocks_partition *p)
{
	struct rocks_turn *first;

	if (list_is_empty(&p->turns))
		return;
	first = LIST_ENTRY(p->turns.next, struct rocks_turn, node);
	loop_defer(p->shard->loop, LOOP_WORK, &first->begin);
}

void rocks_turn_ask(struct rocks_partition *p, struct rocks_turn *turn)
{
	bool is_first = list_is_empty(&p->turns);

	list_append(&p->turns, &turn->node);
	if (is_first)
		begin_first(p);
}

void rocks_turn_end(struct rocks_partition *p, struct rocks_turn *turn)
{
	CHECK(p->turns.next == &turn->node);
	list_remove(&turn->node);
	begin_first(p);
}

/* --- the steps of one ------------------------------------------------------------------------ */

static void end(struct trim *t)
{
	struct rocks_partition *p = t->partition;

	p->going = 0;
	if (t->reason == TOO_MUCH)
		p->retaining = false;
	if (t->reason == TOO_OLD)
		p->expiring = false;
	if (t->reason != ASKED)
		p->shard->trims--;
	rocks_turn_end(p, &t->turn);
	if (t->asked) {
		t->asked->fault = t->fault;
		t->asked->done(t->asked);
	}
	free(t);
	rocks_read_again(p);
	rocks_partition_check_quiet(p);
}

static void apply(struct trim *t)
{
	struct rocks_partition *p = t->partition;

	if (t->boundary > p->first_row)
		p->first_row = t->boundary;
	rocks_partition_move_start(p, t->upto, t->total_start);
	store_partition_moved(&p->base, p->shard->loop);
	drop_files(p);
}

static void written(struct writer_write *w)
{
	struct trim *t = CONTAINER_OF(w, struct trim, write);

	/* Where it may have happened all the same, nobody must look for what is gone. */
	t->fault = w->fault;
	if (!w->fault.code || !w->untouched)
		apply(t);
	end(t);
}

static void put(struct writer_write *w, const struct database *d, rocksdb_writebatch_t *batch)
{
	struct trim *t = CONTAINER_OF(w, struct trim, write);
	const struct row_home *home = &t->partition->home;
	struct row_meta_key start = row_meta_key(home, ROW_LOG_START);
	struct row_key from = row_key(home, t->span.from);
	struct row_key to = row_key(home, t->boundary);
	struct row_meta_key marks_from = row_mark_key(home, 0);
	struct row_meta_key marks_to = row_mark_key(home, t->boundary);
	struct row_meta_key damage = row_meta_key(home, ROW_DAMAGE);
	uint8_t value[ROW_OFFSET_BYTES];

	store_le64(value, (uint64_t)t->upto);
	d->lib.writebatch_put_cf(batch, d->meta, (const char *)start.bytes, start.len,
	                         (const char *)value, sizeof(value));
	d->lib.writebatch_delete_range_cf(batch, d->meta, (const char *)marks_from.bytes,
	                                  marks_from.len, (const char *)marks_to.bytes,
	                                  marks_to.len);
	if (t->boundary > t->span.from)
		d->lib.writebatch_delete_range(batch, (const char *)from.bytes, sizeof(from.bytes),
		                               (const char *)to.bytes, sizeof(to.bytes));
	if (t->lifts)
		d->lib.writebatch_delete_cf(batch, d->meta, (const char *)damage.bytes, damage.len);
}

static void write(struct trim *t)
{
	struct rocks_partition *p = t->partition;

	t->step = END;
	t->span.from = p->first_row;
	p->going = t->boundary;
	t->write = (struct writer_write){
		.put = put,
		.durability = p->base.settings.durability,
		.reserved = true,
		.loop = p->shard->loop,
		.done = written,
	};
	writer_write(p->shard->store->writer, &t->write);
}

static void find_run(struct work *w)
{
	struct trim *t = CONTAINER_OF(w, struct trim, find);
	struct rocks_partition *p = t->partition;
	const struct database *d = &p->shard->store->database;
	int64_t bad_at;
	enum err err = OK;

	if (t->reason == TOO_MUCH)
		err = rows_find_start(d, &p->home, t->span, t->bytes_max, t->count_max, &t->upto,
		                      &bad_at, &t->fault);
	if (!err)
		err = rows_find_boundary(d, &p->home, t->upto, &t->boundary, &t->total_start,
		                         &bad_at, &t->fault);
	/* Who asks for a place that cannot be read gets that place. */
	if (err == ERR_CORRUPT && t->reason == ASKED) {
		t->boundary = t->upto;
		t->total_start = -1;
		err = OK;
	}
	if (!err)
		t->fault = (struct fault){0};
}

static void found(struct work *w)
{
	trim_step(CONTAINER_OF(w, struct trim, find));
}

static bool is_nothing(const struct rocks_partition *p, const struct trim *t)
{
	return t->upto <= p->base.state.log_start && !t->lifts;
}

static void find(struct trim *t)
{
	struct rocks_partition *p = t->partition;
	const struct partition_state *s = &p->base.state;

	t->step = WRITE;
	t->span = (struct rows_span){s->log_start, s->high_watermark, p->total_end,
	                             p->compacted.upto, p->compacted.gone};
	t->lifts = t->reason == ASKED && p->damage_from >= 0 && t->upto >= p->damage_to;
	if (t->reason == ASKED && t->upto < 0)
		t->upto = s->high_watermark;
	if (store_trim_check(&p->base, p->topic->name, t->upto, &t->fault) ||
	    (t->reason != TOO_MUCH && is_nothing(p, t))) {
		end(t);
	} else if (t->upto == s->high_watermark) {
		t->boundary = t->upto;
		t->total_start = p->total_end;
		write(t);
	} else {
		t->find = (struct work){.run = find_run, .done = found};
		loop_work(p->shard->loop, &t->find);
	}
}

static void trim_step(struct trim *t)
{
	if (t->step == FIND)
		find(t);
	else if (t->fault.code || is_nothing(t->partition, t))
		end(t);
	else
		write(t);
}

static void begin(struct task *task)
{
	trim_step(CONTAINER_OF(task, struct trim, turn.begin));
}

/* NULL: there is no memory. */
static struct trim *trim_new(struct rocks_partition *p, enum reason reason, int64_t upto)
{
	struct trim *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->partition = p;
	t->reason = reason;
	t->upto = upto;
	t->turn.begin.run = begin;
	if (reason != ASKED)
		p->shard->trims++;
	rocks_turn_ask(p, &t->turn);
	return t;
}

void rocks_trim(struct store_trim *asked)
{
	struct rocks_partition *p = rocks_partition_of(asked->partition);
	struct trim *t = trim_new(p, ASKED, asked->upto);

	asked->fault = (struct fault){0};
	if (t) {
		t->asked = asked;
		return;
	}
	fault_set(&asked->fault, ERR_NO_MEMORY, 0, "to trim %s/%u", p->topic->name, p->base.index);
	store_trim_answer(asked, p->shard->loop);
}

/* --- retention ------------------------------------------------------------------------------- */

static bool exceeds(int64_t there, int64_t limit, bool all)
{
	return limit >= 0 && there > limit + (all ? 0 : limit / SLACK_PARTS);
}

/* Without memory the next look tries again; by age, too. */
static void retain_by_size(struct rocks_partition *p, bool all)
{
	const struct partition_state *s = &p->base.state;
	const struct topic_settings *settings = &p->base.settings;
	int64_t bytes_max = topic_retention(settings, settings->retention_bytes);
	int64_t count_max = topic_retention(settings, settings->retention_count);
	struct trim *t;

	if (p->retaining || p->retained_upto == s->high_watermark ||
	    (!exceeds(s->bytes, bytes_max, all) &&
	     !exceeds(s->high_watermark - s->log_start, count_max, all)))
		return;
	t = trim_new(p, TOO_MUCH, -1);
	if (!t)
		return;
	p->retaining = true;
	p->retained_upto = s->high_watermark;
	t->bytes_max = bytes_max;
	t->count_max = count_max;
}

static void retain_by_age(struct rocks_partition *p)
{
	const struct partition_state *s = &p->base.state;
	const struct topic_settings *settings = &p->base.settings;
	int64_t limit_ms = topic_retention(settings, settings->retention_ms);
	int64_t upto;

	if (limit_ms < 0 || p->expiring)
		return;
	if (limit_ms > INT64_MAX / 4)
		limit_ms = INT64_MAX / 4;
	upto = age_end_before(&p->age, rocks_run_ms(p->shard) - limit_ms);
	if (upto > s->high_watermark)
		upto = s->high_watermark;
	if (upto <= s->log_start)
		return;
	p->expiring = trim_new(p, TOO_OLD, upto) != NULL;
}

void rocks_retain(struct rocks_partition *p, bool all)
{
	if (p->base.state.deleted || p->base.state.fenced.code)
		return;
	if (all)
		p->retained_upto = -1;
	retain_by_size(p, all);
	retain_by_age(p);
}

/* --- the look of each shard ------------------------------------------------------------------- */

/* Nothing came since the last look: who reads now may as well ask a worker. */
static void rest(struct rocks_partition *p)
{
	if (p->tail && !p->in_flight && p->tail_seen == p->base.state.log_end) {
		chunk_put(p->tail);
		p->tail = NULL;
	}
	p->tail_seen = p->base.state.log_end;
}

static void finish_if_old(struct rocks_partition *p)
{
	int64_t limit_ms = p->base.settings.segment_ms;

	if (p->finished == p->base.state.high_watermark || limit_ms < 0 ||
	    rocks_run_ms(p->shard) - p->unfinished_ms < limit_ms)
		return;
	p->finished = p->base.state.high_watermark;
	p->finished_total = p->total_end;
}

static void look(struct timer *timer)
{
	struct rocks_shard *shard = CONTAINER_OF(timer, struct rocks_shard, look_timer);

	LIST_EACH (node, &shard->partitions) {
		struct rocks_partition *p = LIST_ENTRY(node, struct rocks_partition, node);

		rest(p);
		finish_if_old(p);
		if (!p->base.state.deleted && !p->base.state.fenced.code) {
			retain_by_size(p, true);
			retain_by_age(p);
		}
	}
	rocks_compaction_look(shard);
	timer_start(shard->loop, timer, LOOK_MS);
}

static void look_started(struct message *m)
{
	struct rocks_shard *shard = CONTAINER_OF(m, struct rocks_shard, look_start);

	shard->look_started = true;
	look(&shard->look_timer);
}

void rocks_look_start(struct rocks *s)
{
	for (unsigned i = 0; i < s->config.shard_count; i++) {
		s->shards[i].look_timer.fire = look;
		s->shards[i].look_start.deliver = look_started;
		loop_post(s->shards[i].loop, &s->shards[i].look_start);
	}
}

void rocks_look_stop(struct rocks *s)
{
	for (unsigned i = 0; i < s->config.shard_count; i++) {
		struct rocks_shard *shard = &s->shards[i];

		while (!shard->look_started)
			(void)loop_run_until(shard->loop, &shard->look_started, 1);
		timer_stop(shard->loop, &shard->look_timer);
	}
}
