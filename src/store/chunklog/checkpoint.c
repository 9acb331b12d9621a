#include "store/chunklog/checkpoint.h"

#include "io/disk.h"
#include "io/log.h"
#include "io/metrics.h"
#include "store/chunklog/backup.h"
#include "store/chunklog/budget.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/manifest.h"
#include "store/chunklog/save.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	LOOK_MS = 500,           /* how often we look, at the least, whether a checkpoint is due */
	LOOKS = 4,               /* … in the age that makes it due */
	SYNC_ALL_FILES = 32,     /* from so many on, one flush for all */
	RETRY_US = 5000000,      /* after one that failed */
	RETRY_FULL_US = 1000000, /* … while appends are refused for it */
};

static void begin(struct chunklog *log);

/* --- end ------------------------------------------------------------------------------------------- */

static void free_saves(struct checkpoint *c)
{
	while (c->saves) {
		struct save *s = c->saves;

		c->saves = s->next;
		save_free(s);
	}
}

static void say_end(const struct chunklog *log)
{
	const struct checkpoint *c = &log->checkpoint;
	struct log *g = log->config.log;
	char text[320];

	metric_add(loop_metrics(log->shards[0].loop),
	           c->fault.code ? METRIC_CHECKPOINT_FAILURES : METRIC_CHECKPOINTS, 1);
	if (c->fault.code)
		log_line(g, LOG_WARN, "checkpoint", "not done, tried again later: %s",
		         fault_text(&c->fault, text, sizeof(text)));
	else
		log_line(g, LOG_DEBUG, "checkpoint", "%lld bytes through frame %llu",
		         (long long)c->bytes, (unsigned long long)c->sequence);
}

static void answer(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;
	struct list answered;
	struct list *node;

	list_init(&answered);
	list_move_all(&answered, &c->answered);
	LIST_EACH (each, &answered) {
		struct store_checkpoint *asked = LIST_ENTRY(each, struct store_checkpoint, node);

		asked->fault = c->fault;
		asked->bytes = c->fault.code ? 0 : c->bytes;
	}
	while ((node = list_take_first(&answered)) != NULL) {
		struct store_checkpoint *asked = LIST_ENTRY(node, struct store_checkpoint, node);

		asked->done(asked); /* which may ask for another one */
	}
}

static void let_next_begin(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;

	c->running = false;
	graveyard_tend(log);
	if (!list_is_empty(&c->asked) || c->wanted || (!c->fault.code && budget_is_due(log)))
		begin(log);
}

/* What is in segments now stays there as it is until the backup, if one asked, has its names. */
static void end(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;

	say_end(log);
	if (!c->fault.code) {
		wal_free_through(log->wal, c->sequence);
		tombs_age(log);
		c->saved_mono_us = c->began_mono_us;
		c->not_before_mono_us = 0;
	} else {
		c->not_before_mono_us = loop_now(log->shards[0].loop).mono_us +
		                        (budget_is_full(log) ? RETRY_FULL_US : RETRY_US);
	}
	free_saves(c);
	buf_fini(&c->manifest);
	answer(log);
	if (c->backup)
		backup_go_on(c->backup, &c->fault);
	else
		let_next_begin(log);
}

void checkpoint_backed_up(struct chunklog *log)
{
	log->checkpoint.backup = NULL;
	let_next_begin(log);
}

/* --- heed ------------------------------------------------------------------------------------------ */

/* `saved` is home's, but home does not touch it before the last visit has ended. */
static void heed_one(struct partition *p)
{
	p->base.state.segments = p->saved.segment_count;
	if (chunklog_is_tiered(p->shard->log))
		partition_seal_upto(p, &p->saved);
}

static void make_room(struct shard *shard)
{
	LIST_EACH (node, &shard->partitions) {
		struct partition *p = LIST_ENTRY(node, struct partition, node);

		partition_thin(p);
		partition_resume(p);
	}
}

static void heed(struct fanout_visit *v)
{
	const struct checkpoint *c = v->fanout->context;

	for (const struct save *s = c->fault.code ? NULL : c->saves; s; s = s->next)
		if (s->partition->shard == v->shard)
			heed_one(s->partition);
	if (chunklog_is_tiered(v->fanout->log))
		make_room(v->shard);
	if (v->shard->held) /* the roll failed */
		shard_release(v->shard);
	fanout_leave(v);
}

static void heeded(struct fanout *o)
{
	end(o->log);
}

/* Well, or with a fault. */
static void finish(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;

	if (c->fault.code)
		budget_not_saved(log, c->fault.code);
	else
		budget_saved(log, c->began_bytes);
	fanout_start(c->fanout, heed, heeded, c);
}

/* --- publish --------------------------------------------------------------------------------------- */

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

static void swap_saves(struct checkpoint *c)
{
	for (struct save *s = c->saves; s; s = s->next)
		save_swap(s);
}

static void published(struct work *w)
{
	struct checkpoint *c = CONTAINER_OF(w, struct checkpoint, work);
	struct chunklog *log = CONTAINER_OF(c, struct chunklog, checkpoint);

	if (c->fault.code)
		swap_saves(c);
	else
		c->published = c->sequence;
	finish(log);
}

static void publish(struct work *w)
{
	struct checkpoint *c = CONTAINER_OF(w, struct checkpoint, work);
	struct chunklog *log = CONTAINER_OF(c, struct chunklog, checkpoint);
	char text[320];

	if (write_manifest(log, &c->manifest, &c->fault))
		return;
	c->fault = (struct fault){0};
	for (struct save *s = c->saves; s; s = s->next) {
		struct fault f;

		save_note_segments(s);
		/* A file left behind costs space only: nothing refers to it. */
		if (save_remove_files(s, &f))
			log_line(log->config.log, LOG_WARN, "checkpoint", "%s",
			         fault_text(&f, text, sizeof(text)));
	}
}

/* --- save ------------------------------------------------------------------------------------------ */

static void saved(struct work *w)
{
	struct checkpoint *c = CONTAINER_OF(w, struct checkpoint, work);
	struct chunklog *log = CONTAINER_OF(c, struct chunklog, checkpoint);
	const struct manifest m = {
		.clean = c->clean,
		.checkpointed = c->sequence,
		.leader_epoch = log->leader_epoch,
	};

	if (c->fault.code) {
		finish(log);
		return;
	}
	swap_saves(c);
	checkpoint_encode_manifest(log, &m, &c->manifest);
	if (c->backup)
		backup_capture(c->backup, c->sequence);
	c->work.run = publish;
	c->work.done = published;
	loop_work(log->shards[0].loop, &c->work);
}

/* Of few files each is flushed, with the directories that have its name. For many that would be as
 * many journal commits: there the file system is flushed once, and who else writes to it waits a bit. */
static bool are_many(const struct save *s)
{
	unsigned files = 0;

	for (; s && files < SYNC_ALL_FILES; s = s->next)
		files += s->slice_count > 0;
	return files == SYNC_ALL_FILES;
}

static enum err save_all(struct chunklog *log, struct checkpoint *c, struct fault *f)
{
	bool many = are_many(c->saves);
	char topics[DATADIR_FILE_BYTES_MAX];

	for (struct save *s = c->saves; s; s = s->next) {
		enum err err = save_write(s, many, &c->bytes, f);

		if (err)
			return err;
	}
	snprintf(topics, sizeof(topics), "%s/topics", log->dir.path);
	if (many) /* of the lock: it has been open all the time, so no error of writing is missed */
		return disk_sync_all(log->config.disk, log->dir.lock_fd, topics, f);
	return c->bytes > 0 ? disk_sync_dir(log->config.disk, topics, f) : OK;
}

static void save(struct work *w)
{
	struct checkpoint *c = CONTAINER_OF(w, struct checkpoint, work);
	struct chunklog *log = CONTAINER_OF(c, struct chunklog, checkpoint);

	if (!save_all(log, c, &c->fault))
		c->fault = (struct fault){0};
}

/* --- gather ---------------------------------------------------------------------------------------- */

static void gathered(struct fanout *o)
{
	struct chunklog *log = o->log;
	struct checkpoint *c = &log->checkpoint;

	for (unsigned i = 0; i < log->config.shard_count; i++) {
		while (c->gathered[i]) {
			struct save *s = c->gathered[i];

			c->gathered[i] = s->next;
			s->next = c->saves;
			c->saves = s;
		}
	}
	if (!c->saves && c->sequence == c->published && !c->clean && !c->backup) {
		finish(log);
		return;
	}
	c->work.run = save;
	c->work.done = saved;
	loop_work(log->shards[0].loop, &c->work);
}

static void gather(struct fanout_visit *v)
{
	struct save **into = v->fanout->context;
	struct save **list = &into[v->shard - v->shard->log->shards];

	LIST_EACH (node, &v->shard->partitions) {
		struct save *s = save_new(LIST_ENTRY(node, struct partition, node));

		if (s) {
			s->next = *list;
			*list = s;
		}
	}
	if (v->shard->held)
		shard_release(v->shard);
	fanout_leave(v);
}

/* --- roll ------------------------------------------------------------------------------------------ */

static void rolled(struct wal_roll *r)
{
	struct checkpoint *c = CONTAINER_OF(r, struct checkpoint, roll);
	struct chunklog *log = CONTAINER_OF(c, struct chunklog, checkpoint);

	c->fault = r->fault;
	if (c->fault.code) {
		finish(log);
		return;
	}
	c->began_bytes = budget_now(log);
	c->sequence = r->last_sequence;
	atomic_store_explicit(&log->unlogged_bytes, 0, memory_order_relaxed);
	fanout_start(c->fanout, gather, gathered, c->gathered);
}

static void roll(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;

	c->roll = (struct wal_roll){.loop = log->shards[0].loop, .done = rolled};
	wal_roll(log->wal, &c->roll);
}

/* --- hold ------------------------------------------------------------------------------------------ */

static void hold(struct fanout_visit *v)
{
	v->shard->held = true;
	fanout_leave(v);
}

static void held(struct fanout *o)
{
	roll(o->log);
}

static void begin(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;

	CHECK(!c->running);
	c->running = true;
	c->bytes = 0;
	c->began_mono_us = loop_now(log->shards[0].loop).mono_us;
	list_move_all(&c->answered, &c->asked);
	c->backup = c->wanted;
	c->wanted = NULL;
	if (c->backup)
		fanout_start(c->fanout, hold, held, NULL);
	else
		roll(log);
}

/* --- when ------------------------------------------------------------------------------------------ */

static bool is_due(struct chunklog *log)
{
	const struct checkpoint *c = &log->checkpoint;
	const struct store_config *config = &log->config;
	struct now now = loop_now(log->shards[0].loop);
	struct wal_stats wal = wal_stats(log->wal);
	int64_t unlogged = atomic_load_explicit(&log->unlogged_bytes, memory_order_relaxed);

	if (c->running || now.mono_us < c->not_before_mono_us)
		return false;
	if (wal.failed) /* it will fail too, and so tell those who wait for it */
		return budget_is_full(log) && !c->fault.code;
	if (wal.bytes + unlogged >= config->checkpoint_bytes || budget_is_due(log))
		return true;
	return (wal.oldest_ms > 0 || unlogged > 0) &&
	       now.mono_us - c->saved_mono_us >= config->checkpoint_ms * 1000;
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
	if (is_due(log))
		begin(log);
	look_later(log);
}

static void nudged(struct message *m)
{
	struct checkpoint *c = CONTAINER_OF(m, struct checkpoint, nudge);
	struct chunklog *log = CONTAINER_OF(c, struct chunklog, checkpoint);

	atomic_store(&c->nudged, false);
	if (is_due(log))
		begin(log);
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
	look_later(log);
}

void checkpoint_start(struct chunklog *log)
{
	struct checkpoint *c = &log->checkpoint;

	c->gathered = calloc(log->config.shard_count, sizeof(struct save *));
	CHECK(c->gathered);
	c->fanout = fanout_new(log);
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

void checkpoint_ask(struct chunklog *log, struct store_checkpoint *asked)
{
	struct checkpoint *c = &log->checkpoint;

	asked->fault = (struct fault){0};
	asked->bytes = 0;
	list_append(&c->asked, &asked->node);
	if (!c->running)
		begin(log);
}

void checkpoint_ask_backup(struct chunklog *log, struct backup *b)
{
	struct checkpoint *c = &log->checkpoint;

	CHECK(!c->wanted);
	c->wanted = b;
	if (!c->running)
		begin(log);
}

void checkpoint_finish(struct chunklog *log)
{
	CHECK(!log->checkpoint.running);
	log->checkpoint.clean = true;
	begin(log);
}
