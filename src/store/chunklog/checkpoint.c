#include "store/chunklog/checkpoint.h"

#include "io/disk.h"
#include "io/log.h"
#include "io/metrics.h"
#include "store/chunklog/backup.h"
#include "store/chunklog/budget.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/manifest.h"
#include "store/chunklog/spill.h"

#include <stdlib.h>

enum {
	LOOK_MS = 500,           /* how often we look, at the least, whether a checkpoint is due */
	LOOKS = 4,               /* … in the age that makes it due */
	RETRY_US = 3000000,      /* after one that failed */
	RETRY_FULL_US = 1000000, /* … while appends are refused for it */
};

static void begin_next(struct chunklog *log);

/* --- end -------------------------------------------------------------------------------------- */

static void say_end(const struct chunklog *log)
{
	const struct checkpoint *c = &log->checkpoint;
	struct log *g = log->config.log;
	char text[320];

	metric_add(loop_metrics(log->shards[0].loop),
	           c->fault.code ? METRIC_CHECKPOINT_FAILURES : METRIC_CHECKPOINTS, 1);
	if (c->fault.code && !c->lost.code)
		log_line(g, LOG_WARN, "checkpoint", "not done, tried again later: %s",
		         fault_text(&c->fault, text, sizeof(text)));
	else if (!c->fault.code)
		log_line(g, LOG_DEBUG, "checkpoint", "%lld bytes through frame %llu",
		         (long long)c->unpublished.bytes, (unsigned long long)c->sequence);
}

static void answer(struct chunklog *log, int64_t bytes)
{
	struct checkpoint *c = &log->checkpoint;
	struct list answered;
	struct list *node;

	list_init(&answered);
	list_move_all(&answered, &c->answered);
	LIST_EACH (each, &answered) {
		struct store_checkpoint *asked = LIST_ENTRY(each, struct store_checkpoint, node);

		asked->fault = c->fault;
		asked->bytes = bytes;
	}
	while ((node = list_take_first(&answered)) != NULL) {
		struct store_checkpoint *asked = LIST_ENTRY(node, struct store_checkpoint, node);

		asked->done(asked); /* which may ask for another one */
	}
}

static void not_soon(struct chunklog *log)
{
	log->checkpoint.not_before_mono_us = loop_now(log->shards[0].loop).mono_us +
	                                     (budget_is_full(log) ? RETRY_FULL_US : RETRY_US);
}

/* What is in segments now stays there as it is until the backup, if one asked, has its names. */
static void end(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;
	int64_t bytes = c->fault.code ? 0 : c->unpublished.bytes;

	say_end(log);
	if (!c->fault.code) {
		wal_free_through(log->wal, c->sequence);
		tombs_age(log);
		unpublished_fini(&c->unpublished, log->config.disk);
		c->saved_mono_us = c->began_mono_us;
		c->not_before_mono_us = 0;
		compaction_look(log);
	} else {
		not_soon(log);
	}
	buf_fini(&c->manifest);
	answer(log, bytes);
	c->running = false;
	if (c->backup)
		backup_go_on(c->backup, &c->fault);
	else
		begin_next(log);
}

void checkpoint_backed_up(struct chunklog *log)
{
	log->checkpoint.backup = NULL;
	begin_next(log);
}

/* --- wake ------------------------------------------------------------------------------------- */

static void wake(struct fanout_visit *v)
{
	struct shard *shard = chunklog_visited(v);

	if (shard->held) /* the roll failed */
		shard_release(shard);
	LIST_EACH (node, &shard->partitions)
		partition_resume(LIST_ENTRY(node, struct partition, node));
	fanout_leave(v);
}

static void woken(struct fanout *o)
{
	end(chunklog_of(o->store));
}

/* Well, or with a fault. */
static void finish(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;

	if (c->fault.code) {
		budget_not_saved(log, c->fault.code);
	} else {
		budget_published(log, c->began_wal);
		atomic_fetch_sub_explicit(&log->unlogged_bytes, c->began_unlogged,
		                          memory_order_relaxed);
	}
	fanout_start(c->fanout, wake, woken, NULL);
}

/* --- publish ---------------------------------------------------------------------------------- */

static bool has_saved(const struct saved *s)
{
	return s->log_start > 0 || s->end_offset > 0 || s->segment_count > 0 || s->damage.from >= 0;
}

void checkpoint_encode_manifest(struct chunklog *log, const struct manifest *m, struct buf *out)
{
	struct topic *t, *after;

	*out = BUF_INIT(MANIFEST_BYTES_MAX);
	manifest_begin(out, m, &log->dir.id);
	HASH_ITER (hh, log->topics, t, after) {
		for (uint32_t i = 0; i < t->now->spec.partition_count; i++)
			if (has_saved(&topic_partition(t, i)->saved))
				manifest_add(out, &t->uuid, i, &topic_partition(t, i)->saved);
	}
	manifest_finish(out);
}

static enum err write_manifest(struct chunklog *log, const struct buf *bytes, struct fault *f)
{
	if (bytes->failed)
		return fault_set(f, buf_err(bytes), 0, "a manifest; at most %d bytes",
		                 MANIFEST_BYTES_MAX);
	return manifest_write(log->config.disk, log->dir.path, buf_slice(bytes), f);
}

enum err checkpoint_write_manifest(struct chunklog *log, uint64_t sequence, struct fault *f)
{
	const struct manifest m = {.checkpointed = sequence, .leader_epoch = log->leader_epoch};
	struct buf bytes;
	enum err err;

	checkpoint_encode_manifest(log, &m, &bytes);
	err = write_manifest(log, &bytes, f);
	buf_fini(&bytes);
	return err;
}

static void give_up(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;
	char text[320];

	c->lost = c->fault;
	log_line(
		log->config.log, LOG_ERROR, "checkpoint",
		"segments could not be flushed; no snapshot is made before a restart, which recovers "
		"what was acknowledged from the WAL: %s",
		fault_text(&c->fault, text, sizeof(text)));
}

static void published(struct work *w)
{
	struct checkpoint *c = CONTAINER_OF(w, struct checkpoint, work);
	struct chunklog *log = CONTAINER_OF(c, struct chunklog, checkpoint);

	if (!c->fault.code)
		c->published = c->sequence;
	else if (c->flush_failed)
		give_up(log);
	finish(log);
}

static void publish(struct work *w)
{
	struct checkpoint *c = CONTAINER_OF(w, struct checkpoint, work);
	struct chunklog *log = CONTAINER_OF(c, struct chunklog, checkpoint);
	struct disk *disk = log->config.disk;
	enum err err = unpublished_flush(&c->unpublished, disk, &log->dir, &c->fault);
	char text[320];
	struct fault f;

	c->flush_failed = err && err != ERR_BUSY;
	if (err || write_manifest(log, &c->manifest, &c->fault))
		return;
	c->fault = (struct fault){0};
	if (unpublished_remove(&c->unpublished, disk, &log->dir, log->cold, &f))
		log_line(log->config.log, LOG_WARN, "checkpoint", "%s",
		         fault_text(&f, text, sizeof(text)));
}

/* --- spill ------------------------------------------------------------------------------------ */

static void spilled(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;
	const struct manifest m = {
		.clean = c->clean,
		.checkpointed = c->sequence,
		.leader_epoch = log->leader_epoch,
	};

	c->spilling = false;
	unpublished_move(&c->unpublished, &log->spill.unpublished, log->config.disk);
	c->fault = log->spill.fault;
	if (c->fault.code || (unpublished_is_empty(&c->unpublished) &&
	                      c->sequence == c->published && !c->clean && !c->backup)) {
		finish(log);
		return;
	}
	checkpoint_encode_manifest(log, &m, &c->manifest);
	if (c->backup)
		backup_capture(c->backup, c->sequence);
	c->work.run = publish;
	c->work.done = published;
	loop_work(log->shards[0].loop, &c->work);
	begin_next(log);
}

/* --- roll ------------------------------------------------------------------------------------- */

static void rolled(struct wal_roll *r)
{
	struct checkpoint *c = CONTAINER_OF(r, struct checkpoint, roll);
	struct chunklog *log = CONTAINER_OF(c, struct chunklog, checkpoint);

	c->fault = r->fault;
	if (c->fault.code) {
		c->spilling = false;
		finish(log);
		return;
	}
	c->sequence = r->last_sequence;
	c->began_unlogged = atomic_load_explicit(&log->unlogged_bytes, memory_order_relaxed);
	spill_start(log, true, spilled);
}

static void roll(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;

	c->roll = (struct wal_roll){.loop = log->shards[0].loop, .done = rolled};
	wal_roll(log->wal, &c->roll);
}

/* --- hold ------------------------------------------------------------------------------------- */

static void hold(struct fanout_visit *v)
{
	chunklog_visited(v)->held = true;
	fanout_leave(v);
}

static void held(struct fanout *o)
{
	roll(chunklog_of(o->store));
}

static void begin(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;

	CHECK(!c->running);
	CHECK(!c->spilling);
	c->running = true;
	c->spilling = !c->lost.code;
	c->began_mono_us = loop_now(log->shards[0].loop).mono_us;
	c->began_wal = budget_wal_now(log);
	list_move_all(&c->answered, &c->asked);
	c->backup = c->wanted;
	c->wanted = NULL;
	c->fault = c->lost;
	if (c->fault.code)
		finish(log);
	else if (c->backup)
		fanout_start(c->fanout, hold, held, NULL);
	else
		roll(log);
}

/* --- a spill without one ---------------------------------------------------------------------- */

static void spilled_alone(struct chunklog *log)
{
	struct log *g = log->config.log;
	char text[320];

	log->checkpoint.spilling = false;
	metric_add(loop_metrics(log->shards[0].loop),
	           log->spill.fault.code ? METRIC_CHECKPOINT_FAILURES : METRIC_SPILLS, 1);
	if (log->spill.fault.code) {
		log_line(g, LOG_WARN, "checkpoint", "events stay in memory, tried again later: %s",
		         fault_text(&log->spill.fault, text, sizeof(text)));
		not_soon(log);
	}
	begin_next(log);
}

static void begin_spill(struct chunklog *log)
{
	log->checkpoint.spilling = true;
	spill_start(log, false, spilled_alone);
}

/* --- when ------------------------------------------------------------------------------------- */

static bool is_due(struct chunklog *log)
{
	const struct checkpoint *c = &log->checkpoint;
	const struct store_config *config = &log->config;
	struct now now = loop_now(log->shards[0].loop);
	struct wal_stats wal = wal_stats(log->wal);
	int64_t unlogged = atomic_load_explicit(&log->unlogged_bytes, memory_order_relaxed);
	struct fault unused;

	if (now.mono_us < c->not_before_mono_us)
		return false;
	if (wal.failed || c->lost.code) /* it will fail too, and so tell those who wait for it */
		return budget_is_full(log) && !budget_refusal(log, &unused);
	if (budget_unpublished(log) + unlogged >= budget_checkpoint_bytes(log))
		return true;
	return (wal.oldest_ms > 0 || unlogged > 0) &&
	       now.mono_us - c->saved_mono_us >= config->checkpoint_ms * 1000;
}

static bool spill_is_due(struct chunklog *log)
{
	const struct checkpoint *c = &log->checkpoint;

	return budget_is_due(log) && !c->lost.code &&
	       loop_now(log->shards[0].loop).mono_us >= c->not_before_mono_us;
}

/* One thing at a time writes to segments, and none while a backup takes their names. */
static void begin_next(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;

	graveyard_tend(log);
	if (c->spilling || c->backup || c->clean)
		return;
	if (compaction_waits(log)) {
		c->spilling = true;
		compaction_swap(log);
	} else if (!c->running && (!list_is_empty(&c->asked) || c->wanted || is_due(log))) {
		begin(log);
	} else if (spill_is_due(log)) {
		begin_spill(log);
	}
}

static void report_wal(struct chunklog *log)
{
	struct metrics *m = loop_metrics(log->shards[0].loop);
	struct wal_stats before = log->checkpoint.reported;
	struct wal_stats wal = wal_stats(log->wal);

	metric_add(m, METRIC_WAL_GROUPS, (int64_t)(wal.group_count - before.group_count));
	metric_add(m, METRIC_WAL_BYTES, (int64_t)(wal.written_bytes - before.written_bytes));
	metric_add(m, METRIC_WAL_FLUSHES, (int64_t)(wal.flush_count - before.flush_count));
	log->checkpoint.reported = wal;
	if (wal.oldest_ms == 0 && atomic_load(&log->unlogged_bytes) == 0)
		log->checkpoint.saved_mono_us = loop_now(log->shards[0].loop).mono_us;
}

static void look_later(struct chunklog *log)
{
	int64_t ms = log->config.checkpoint_ms / LOOKS;

	timer_start(log->shards[0].loop, &log->checkpoint.timer, ms < LOOK_MS ? ms : LOOK_MS);
}

static void look(struct timer *t)
{
	struct checkpoint *c = CONTAINER_OF(t, struct checkpoint, timer);
	struct chunklog *log = CONTAINER_OF(c, struct chunklog, checkpoint);

	report_wal(log);
	begin_next(log);
	look_later(log);
}

static void nudged(struct message *m)
{
	struct checkpoint *c = CONTAINER_OF(m, struct checkpoint, nudge);
	struct chunklog *log = CONTAINER_OF(c, struct chunklog, checkpoint);

	atomic_store(&c->nudged, false);
	begin_next(log);
}

void checkpoint_nudge(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;

	if (!atomic_exchange(&c->nudged, true))
		loop_post(log->shards[0].loop, &c->nudge);
}

static void start_looking(struct message *m)
{
	struct checkpoint *c = CONTAINER_OF(m, struct checkpoint, start);
	struct chunklog *log = CONTAINER_OF(c, struct chunklog, checkpoint);

	c->looking = true;
	c->saved_mono_us = loop_now(log->shards[0].loop).mono_us;
	budget_start(log);
	look_later(log);
}

void checkpoint_start(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;

	c->fanout = fanout_new(&log->base, &log->config);
	CHECK(c->fanout);
	list_init(&c->asked);
	list_init(&c->answered);
	c->timer.fire = look;
	c->start.deliver = start_looking;
	c->nudge.deliver = nudged;
	loop_post(log->shards[0].loop, &c->start);
}

void checkpoint_stop(struct chunklog *log)
{
	struct loop *home = log->shards[0].loop;

	while (!log->checkpoint.looking)
		(void)loop_run_until(home, &log->checkpoint.looking, 1);
	timer_stop(home, &log->checkpoint.timer);
}

void checkpoint_ask_swap(struct chunklog *log)
{
	begin_next(log);
}

void checkpoint_swapped(struct chunklog *log)
{
	log->checkpoint.spilling = false;
	begin_next(log);
}

void checkpoint_ask(struct chunklog *log, struct store_checkpoint *asked)
{
	struct checkpoint *c = &log->checkpoint;

	asked->fault = (struct fault){0};
	asked->bytes = 0;
	list_append(&c->asked, &asked->node);
	begin_next(log);
}

void checkpoint_ask_backup(struct chunklog *log, struct backup *b)
{
	struct checkpoint *c = &log->checkpoint;

	CHECK(!c->wanted);
	c->wanted = b;
	begin_next(log);
}

void checkpoint_finish(struct chunklog *log)
{
	CHECK(checkpoint_is_idle(log));
	log->checkpoint.clean = true;
	begin(log);
}

bool checkpoint_is_idle(const struct chunklog *log)
{
	const struct checkpoint *c = &log->checkpoint;

	return !c->running && !c->spilling && !c->backup && !atomic_load(&c->nudged);
}

bool checkpoint_spares_files(const struct chunklog *log)
{
	return !log->checkpoint.spilling && !log->checkpoint.backup;
}
