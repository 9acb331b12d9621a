/* Compaction: of topics with cleanup.policy=compact, the last record of each key stays. One
 * partition at a time, of all the store; which one, each shard says of its own, in its turn.
 *
 *   MAP      a worker notes the keys (rows_compact.h), a slice at a time, with rests between
 *   REWRITE  … and makes a piece: what is left of a stretch of the log
 *   TURN     no trim is under way any more
 *   WRITE    the writer has the piece take the stretch's place, and notes how far it has come
 *   STALL    it could not, because RocksDB stalls: the piece waits
 *   … the next piece is made, up to where the map knows
 *   END      a worker frees what there was, and has RocksDB give back space if that is worth it
 *
 * A piece is written whole or not at all, and covers the same offsets as what it replaces: so
 * readers see either, and a run may be cut off anywhere. What was put in place is compacted then,
 * and the next run goes on behind it. No piece is flushed for its own sake: one that a power cut
 * takes away leaves what it was made of.
 *
 * Only what is finished is compacted: the newest, as much as a segment has elsewhere, is not.
 *
 * Memory: the map (COMPACT_MAP_BYTES at most; when it is full the run goes as far as it knows, and
 * the next one goes on there) and a piece. */
#include "io/log.h"
#include "io/metrics.h"
#include "store/compact/compact_pace.h"
#include "store/rocksdb/rocks.h"
#include "store/rocksdb/rows_compact.h"

#include <stdlib.h>

enum {
	NO_PROGRESS_US = 15 * 1000000, /* after a run that had nothing to do */
	STALL_MS = 1000,
	TIDY_BYTES = 32 << 20, /* that went, until RocksDB is to give back their space */
};

static void step(struct rocks_shard *shard);

static struct rocks_shard *shard_of(struct rocks_compaction *c)
{
	return CONTAINER_OF(c, struct rocks_shard, compaction);
}

/* The wall clock as it was when the run of the program began, and gone on since as none can be
 * set. */
static int64_t steady_ms(const struct rocks_shard *shard)
{
	return shard->store->began.wall_ms + rocks_run_ms(shard);
}

/* --- which one? ------------------------------------------------------------------------------ */

struct choice {
	struct rocks_partition *partition;
	int64_t limit; /* offset: what may be compacted ends there */
	double dirty;  /* part of the bytes below that is not compacted yet */
};

/* Where what is not compacted begins, in bytes. */
static int64_t clean_total(const struct rocks_partition *p)
{
	return p->first_row < p->compacted.upto ? p->compacted.total : p->total_start;
}

static int64_t clean_offset(const struct rocks_partition *p)
{
	int64_t log_start = p->base.state.log_start;

	return p->compacted.clean > log_start ? p->compacted.clean : log_start;
}

static int64_t limit_of(const struct rocks_partition *p)
{
	int64_t lag_ms = p->base.settings.compaction_lag_ms_min;
	int64_t old = p->finished;

	if (lag_ms > 0)
		old = age_end_before(&p->age, rocks_run_ms(p->shard) - lag_ms);
	return old < p->finished ? old : p->finished;
}

/* Waits a record longer than it may? */
static bool is_overdue(const struct rocks_partition *p, int64_t clean)
{
	int64_t lag_ms = p->base.settings.compaction_lag_ms_max;

	return lag_ms >= 0 && age_end_before(&p->age, rocks_run_ms(p->shard) - lag_ms) > clean;
}

/* How many bytes of the finished may be compacted is known by the share of their offsets. */
static struct choice look_at(struct rocks_partition *p)
{
	int64_t clean = clean_offset(p), from = clean_total(p);
	struct choice c = {.partition = p, .limit = limit_of(p)};
	double part, dirty, all;

	if (c.limit <= clean)
		return c;
	part = (double)(c.limit - clean) / (double)(p->finished - clean);
	dirty = (double)(p->finished_total - from) * part;
	all = dirty + (double)(from - p->total_start - p->compacted.gone);
	if (dirty > 0)
		c.dirty = dirty < all ? dirty / all : 1;
	if (c.dirty * 1e6 < p->base.settings.dirty_ratio_ppm && !is_overdue(p, clean))
		c.dirty = 0;
	return c;
}

static bool may_be_compacted(const struct rocks_partition *p)
{
	const struct partition_state *s = &p->base.state;

	return topic_is_compacted(&p->base.settings) && !p->is_uncompactable && !s->deleted &&
	       !s->fenced.code && p->damage_from < 0;
}

static struct choice choose(struct rocks_shard *shard)
{
	struct choice best = {0};

	LIST_EACH (node, &shard->partitions) {
		struct rocks_partition *p = LIST_ENTRY(node, struct rocks_partition, node);
		struct choice c;

		if (!may_be_compacted(p))
			continue;
		c = look_at(p);
		if (c.dirty > best.dirty)
			best = c;
	}
	return best;
}

/* --- end ------------------------------------------------------------------------------------- */

static void say_end(const struct rocks_shard *shard)
{
	const struct rocks_compaction *c = &shard->compaction;
	const struct rocks_partition *p = c->partition;
	const struct compact_outcome outcome = {
		.topic = p->topic->name,
		.partition = p->base.index,
		.began_mono_us = c->began_mono_us,
		.bytes_in = c->run->bytes_in,
		.bytes_out = c->run->bytes_out,
		.upto = p->compacted.clean,
		.fault = &c->fault,
	};

	compact_say_end(&outcome, shard->loop, shard->store->config.log);
}

/* What was bad on disk stays bad; a full disk or a failing one may get better. */
static void note_outcome(struct rocks_shard *shard)
{
	struct rocks_compaction *c = &shard->compaction;
	int64_t now_us = loop_now(shard->loop).mono_us;

	if (c->fault.code == ERR_CORRUPT)
		c->partition->is_uncompactable = true;
	else if (c->fault.code)
		c->not_before_mono_us = now_us + COMPACT_RETRY_US;
	else if (c->run->bytes_in == 0)
		c->not_before_mono_us = now_us + NO_PROGRESS_US;
}

static bool wants_tidying(struct rocks_partition *p, const struct rows_compact *r)
{
	p->compacted_away += r->bytes_in - r->bytes_out;
	if (p->compacted_away < TIDY_BYTES || p->base.state.deleted)
		return false;
	p->compacted_away = 0;
	return true;
}

static void ended(struct work *w)
{
	struct rocks_compaction *c = CONTAINER_OF(w, struct rocks_compaction, work);
	struct rocks_shard *shard = shard_of(c);
	struct rocks_partition *p = c->partition;

	metric_add(loop_metrics(shard->loop), METRIC_COMPACTING, -1);
	atomic_store(&shard->store->compacts, false);
	c->state = COMPACTING_NONE;
	c->run = NULL;
	c->partition = NULL;
	p->visits--;
	rocks_partition_check_quiet(p);
	rocks_compaction_look(shard);
}

static void end_run(struct work *w)
{
	struct rocks_compaction *c = CONTAINER_OF(w, struct rocks_compaction, work);
	const struct rocks_partition *p = c->partition;
	struct row_key from = row_key(&p->home, 0);
	struct row_key to = row_key(&p->home, c->run->upto);

	if (c->tidies)
		database_tidy(&p->shard->store->database, slice_of(from.bytes, sizeof(from.bytes)),
		              slice_of(to.bytes, sizeof(to.bytes)));
	rows_compact_free(c->run);
}

static void end(struct rocks_shard *shard)
{
	struct rocks_compaction *c = &shard->compaction;

	say_end(shard);
	note_outcome(shard);
	c->tidies = !c->stopping && wants_tidying(c->partition, c->run);
	c->state = COMPACTING_END;
	c->work = (struct work){.run = end_run, .done = ended};
	loop_work(shard->loop, &c->work);
}

/* --- writing a piece ------------------------------------------------------------------------- */

static bool is_wanted(const struct rocks_compaction *c)
{
	return !c->stopping && may_be_compacted(c->partition);
}

/* What the partition's row will say. A step in the totals that ends what was rewritten before is
 * gone once that is passed. */
static struct row_compacted state_after(const struct rocks_partition *p,
                                        const struct rows_compact *r)
{
	const struct rows_piece *piece = &r->piece;
	struct row_compacted after = p->compacted;
	int64_t clean = piece->to < r->upto ? piece->to : r->upto;

	if (clean > after.clean)
		after.clean = clean;
	after.gone += piece->bytes_in - piece->bytes_out;
	if (piece->to > after.upto) {
		after.upto = piece->to;
		after.total = piece->total_was;
	}
	if (piece->to == after.upto)
		after.gone = after.total - rows_compact_total(r);
	if (after.gone < 0)
		after.gone = 0;
	return after;
}

static void put(struct writer_write *w, const struct database *d, rocksdb_writebatch_t *batch)
{
	const struct rocks_compaction *c = CONTAINER_OF(w, struct rocks_compaction, write);
	struct row_meta_key key = row_meta_key(&c->partition->home, ROW_COMPACTED);
	uint8_t value[ROW_COMPACTED_BYTES];

	rows_compact_put(c->run, batch);
	row_compacted_encode(&c->after, value);
	d->lib.writebatch_put_cf(batch, d->meta, (const char *)key.bytes, key.len,
	                         (const char *)value, sizeof(value));
}

static void again(struct rocks_shard *shard)
{
	shard->compaction.state = COMPACTING_STALL;
	timer_start(shard->loop, &shard->compaction.timer, STALL_MS);
}

static void written(struct writer_write *w)
{
	struct rocks_compaction *c = CONTAINER_OF(w, struct rocks_compaction, write);
	struct rocks_partition *p = c->partition;

	rocks_turn_end(p, &c->turn);
	if (w->fault.code == ERR_BUSY && is_wanted(c)) {
		again(p->shard);
		return;
	}
	c->fault = w->fault;
	if (w->fault.code) {
		end(p->shard);
		return;
	}
	p->compacted = c->after;
	if (p->first_row >= p->compacted.upto)
		p->compacted.gone = 0;
	rocks_partition_count_bytes(p);
	rows_compact_next(c->run);
	c->state = COMPACTING_REWRITE;
	step(p->shard);
}

static void write_piece(struct rocks_shard *shard)
{
	struct rocks_compaction *c = &shard->compaction;

	c->state = COMPACTING_WRITE;
	c->after = state_after(c->partition, c->run);
	c->write = (struct writer_write){
		.put = put,
		.bytes = (size_t)c->run->piece.bytes_out,
		.durability = DURABILITY_OS,
		.loop = shard->loop,
		.done = written,
	};
	writer_write(shard->store->writer, &c->write);
}

/* The log start may have moved into the piece, or past it. */
static void turn_came(struct task *t)
{
	struct rocks_compaction *c = CONTAINER_OF(t, struct rocks_compaction, turn.begin);
	struct rocks_shard *shard = shard_of(c);
	struct rocks_partition *p = c->partition;

	if (is_wanted(c) && p->first_row <= c->run->piece.from) {
		write_piece(shard);
		return;
	}
	rocks_turn_end(p, &c->turn);
	rows_compact_move(c->run, p->first_row);
	c->state = COMPACTING_REWRITE;
	step(shard);
}

static void ask_turn(struct rocks_shard *shard)
{
	struct rocks_compaction *c = &shard->compaction;

	c->state = COMPACTING_TURN;
	c->turn.begin.run = turn_came;
	rocks_turn_ask(c->partition, &c->turn);
}

/* --- slices ---------------------------------------------------------------------------------- */

static void slice(struct work *w)
{
	struct rocks_compaction *c = CONTAINER_OF(w, struct rocks_compaction, work);
	enum err err = c->state == COMPACTING_MAP
	                       ? rows_compact_map(c->run, &c->slice_done, &c->fault)
	                       : rows_compact_rewrite(c->run, &c->slice_done, &c->fault);

	if (!err)
		c->fault = (struct fault){0};
}

static void rest(struct rocks_shard *shard)
{
	struct rocks_compaction *c = &shard->compaction;
	int64_t us = loop_now(shard->loop).mono_us - c->slice_mono_us;

	timer_start(shard->loop, &c->timer, compact_rest_ms(us));
}

/* Rows that are missing have been trimmed, or are just now. */
static bool was_overtaken(const struct rocks_compaction *c)
{
	const struct rocks_partition *p = c->partition;

	return c->fault.code == ERR_CORRUPT &&
	       (c->run->bad_at < p->first_row || c->run->bad_at < p->going);
}

static void map_end(struct rocks_shard *shard)
{
	struct rocks_compaction *c = &shard->compaction;

	c->state = COMPACTING_REWRITE;
	if (c->run->upto > c->partition->compacted.clean)
		rows_compact_move(c->run, c->partition->first_row);
	else
		c->run->next = c->run->upto; /* nothing is new */
	rest(shard);
}

static void sliced(struct work *w)
{
	struct rocks_compaction *c = CONTAINER_OF(w, struct rocks_compaction, work);
	struct rocks_shard *shard = shard_of(c);

	if (was_overtaken(c)) {
		c->fault = (struct fault){0};
		rows_compact_move(c->run, c->partition->first_row);
		rest(shard);
	} else if (c->fault.code || !is_wanted(c)) {
		end(shard);
	} else if (c->slice_done && c->state == COMPACTING_REWRITE) {
		ask_turn(shard);
	} else if (c->slice_done) {
		map_end(shard);
	} else {
		rest(shard);
	}
}

static void begin_slice(struct rocks_shard *shard)
{
	struct rocks_compaction *c = &shard->compaction;

	c->slice_mono_us = loop_now(shard->loop).mono_us;
	c->slice_done = false;
	c->work = (struct work){.run = slice, .done = sliced};
	loop_work(shard->loop, &c->work);
}

/* --- the run --------------------------------------------------------------------------------- */

/* Between two slices, or pieces. */
static void step(struct rocks_shard *shard)
{
	struct rocks_compaction *c = &shard->compaction;

	if (!is_wanted(c))
		end(shard);
	else if (c->state == COMPACTING_STALL)
		ask_turn(shard);
	else if (c->state == COMPACTING_MAP || rows_compact_has_piece(c->run))
		begin_slice(shard);
	else
		end(shard);
}

static void fired(struct timer *t)
{
	step(shard_of(CONTAINER_OF(t, struct rocks_compaction, timer)));
}

static struct rows_compact_job job_of(struct rocks_shard *shard, const struct choice *choice)
{
	const struct rocks_partition *p = choice->partition;
	int64_t keep_ms = p->base.settings.delete_retention_ms;
	struct entropy *entropy = shard->store->config.entropy;
	struct rows_compact_job job = {
		.d = &shard->store->database,
		.home = &p->home,
		.clean = p->compacted.clean,
		.limit = choice->limit,
		.log_start = p->base.state.log_start,
		.now_ms = steady_ms(shard),
		.map_bytes = COMPACT_MAP_BYTES,
	};

	job.horizon_ms = keep_ms < INT64_MAX - job.now_ms ? job.now_ms + keep_ms : INT64_MAX;
	entropy->fill(entropy, &job.key, sizeof(job.key));
	return job;
}

static void begin(struct rocks_shard *shard, const struct choice *choice)
{
	struct rocks_compaction *c = &shard->compaction;
	struct rows_compact_job job = job_of(shard, choice);

	c->run = rows_compact_new(&job);
	if (!c->run) {
		atomic_store(&shard->store->compacts, false);
		c->not_before_mono_us = loop_now(shard->loop).mono_us + COMPACT_RETRY_US;
		return;
	}
	metric_add(loop_metrics(shard->loop), METRIC_COMPACTING, 1);
	c->partition = choice->partition;
	c->partition->visits++;
	c->state = COMPACTING_MAP;
	c->fault = (struct fault){0};
	c->timer.fire = fired;
	c->began_mono_us = loop_now(shard->loop).mono_us;
	begin_slice(shard);
}

void rocks_compaction_look(struct rocks_shard *shard)
{
	struct rocks_compaction *c = &shard->compaction;
	struct choice choice;

	if (c->state != COMPACTING_NONE || c->stopping ||
	    loop_now(shard->loop).mono_us < c->not_before_mono_us)
		return;
	choice = choose(shard);
	if (choice.dirty > 0 && !atomic_exchange(&shard->store->compacts, true))
		begin(shard, &choice);
}

/* --- before its end -------------------------------------------------------------------------- */

/* Whatever else is under way asks whether it is wanted when it is through. */
static void end_rest(struct rocks_shard *shard)
{
	struct rocks_compaction *c = &shard->compaction;

	if (!timer_is_running(&c->timer))
		return;
	timer_stop(shard->loop, &c->timer);
	end(shard);
}

void rocks_compaction_leave(struct rocks_partition *p)
{
	if (p->shard->compaction.partition == p)
		end_rest(p->shard);
}

void rocks_compaction_stop(struct rocks *s)
{
	for (unsigned i = 0; i < s->config.shard_count; i++) {
		s->shards[i].compaction.stopping = true;
		end_rest(&s->shards[i]);
	}
}

bool rocks_compaction_is_idle(const struct rocks *s)
{
	for (unsigned i = 0; i < s->config.shard_count; i++)
		if (s->shards[i].compaction.state != COMPACTING_NONE)
			return false;
	return true;
}
