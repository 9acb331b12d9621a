#include "store/chunklog/spill.h"

#include "io/metrics.h"
#include "store/chunklog/budget.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/save.h"

#include <stdlib.h>

enum {
	RUN_BYTES_DIRECT = 1 << 20, /* of many files; each direct write waits for the device */
	HEED_RETRY_MS = 10,
	WRITE_US = 500000, /* taken for the time to write half of the memory, until that was seen */
};

/* --- heed ------------------------------------------------------------------------------------- */

static void free_saves(struct spill *s)
{
	while (s->saves) {
		struct save *save = s->saves;

		s->saves = save->next;
		save_free(save);
	}
}

static void make_room(struct shard *shard)
{
	LIST_EACH (node, &shard->partitions) {
		struct partition *p = LIST_ENTRY(node, struct partition, node);

		partition_thin(p);
		partition_resume(p);
	}
}

static void heed(struct fanout_visit *v);

static void heed_again(struct timer *t)
{
	heed(CONTAINER_OF(t, struct shard, heed_timer)->heeding);
}

/* It is in force: when there is no memory to see that, memory is waited for. */
static void heed(struct fanout_visit *v)
{
	const struct spill *s = v->fanout->context;
	struct shard *shard = chunklog_visited(v);
	bool all = true;

	for (const struct save *save = s->fault.code ? NULL : s->saves; save && all;
	     save = save->next)
		if (save->partition->shard == shard)
			all = partition_heed_saved(save->partition);
	if (!all) {
		shard->heeding = v;
		shard->heed_timer.fire = heed_again;
		timer_start(shard->loop, &shard->heed_timer, HEED_RETRY_MS);
		return;
	}
	if (chunklog_is_tiered(shard->log))
		make_room(shard);
	fanout_leave(v);
}

static void heeded(struct fanout *o)
{
	struct spill *s = o->context;

	free_saves(s);
	s->done(chunklog_of(o->store));
}

static int64_t now_us(const struct chunklog *log)
{
	return loop_now(log->shards[0].loop).mono_us;
}

/* Well, or with a fault. */
static void finish(struct chunklog *log)
{
	struct spill *s = &log->spill;

	s->ended_us = now_us(log);
	if (s->is_due && !s->is_urgent && !s->fault.code)
		s->write_us = s->ended_us - s->began_us;
	if (s->fault.code)
		budget_not_saved(log, s->fault.code);
	else
		budget_saved(log, s->began_bytes);
	fanout_start(s->fanout, heed, heeded, s);
}

/* --- write ------------------------------------------------------------------------------------ */

/* Nothing, after a fault. */
static void put_in_force(struct spill *s)
{
	for (struct save *save = s->fault.code ? NULL : s->saves; save; save = save->next)
		save_put_in_force(save, &s->unpublished);
}

static void written(struct work *w)
{
	struct spill *s = CONTAINER_OF(w, struct spill, work);
	struct chunklog *log = CONTAINER_OF(s, struct chunklog, spill);

	put_in_force(s);
	finish(log);
}

static bool are_many(const struct save *s)
{
	unsigned files = 0;

	for (; s && files < UNPUBLISHED_FILES_MAX; s = s->next)
		files += s->slice_count > 0;
	return files == UNPUBLISHED_FILES_MAX;
}

static enum err write_all(struct spill *s, struct fault *f)
{
	size_t direct_from = are_many(s->saves) ? RUN_BYTES_DIRECT : 0;
	struct save_to to = {.unpublished = &s->unpublished};
	enum err err = OK;

	for (struct save *save = s->saves; save && !err; save = save->next) {
		bool copied =
			s->is_urgent || budget_is_tight(CONTAINER_OF(s, struct chunklog, spill));

		to.direct_from = copied ? SIZE_MAX : direct_from;
		err = save_write(save, &to, f);
	}
	for (const struct save *save = err ? NULL : s->saves; save; save = save->next)
		save_note_segments(save);
	return err;
}

static void write(struct work *w)
{
	struct spill *s = CONTAINER_OF(w, struct spill, work);

	if (!write_all(s, &s->fault))
		s->fault = (struct fault){0};
}

/* --- gather ----------------------------------------------------------------------------------- */

static void gathered(struct fanout *o)
{
	struct chunklog *log = chunklog_of(o->store);
	struct spill *s = o->context;

	for (unsigned i = 0; i < log->config.shard_count; i++) {
		while (s->gathered[i]) {
			struct save *save = s->gathered[i];

			s->gathered[i] = save->next;
			save->next = s->saves;
			s->saves = save;
		}
	}
	if (atomic_load(&s->is_starved))
		fault_set(&s->fault, ERR_NO_MEMORY, 0, "to gather what is to be saved");
	if (!s->saves || s->fault.code) {
		finish(log);
		return;
	}
	s->work.run = write;
	s->work.done = written;
	loop_work(log->shards[0].loop, &s->work);
}

/* False: there is no memory. */
static bool gather_shard(const struct shard *shard, bool publish, struct save **list)
{
	LIST_EACH (node, &shard->partitions) {
		struct save *save;

		if (save_new(LIST_ENTRY(node, struct partition, node), publish, &save))
			return false;
		if (save) {
			save->next = *list;
			*list = save;
		}
	}
	return true;
}

static void gather(struct fanout_visit *v)
{
	struct spill *s = v->fanout->context;
	struct shard *shard = chunklog_visited(v);

	if (!gather_shard(shard, s->for_checkpoint, &s->gathered[v->shard]))
		atomic_store(&s->is_starved, true);
	if (shard->held)
		shard_release(shard);
	fanout_leave(v);
}

void spill_start(struct chunklog *log, bool for_checkpoint, void (*done)(struct chunklog *log))
{
	struct spill *s = &log->spill;

	CHECK(!s->saves);
	s->for_checkpoint = for_checkpoint;
	s->began_us = now_us(log);
	s->is_due = budget_is_due(log);
	s->is_urgent = s->is_due && s->began_us - s->ended_us < s->write_us;
	s->fault = (struct fault){0};
	atomic_store(&s->is_starved, false);
	s->done = done;
	s->began_bytes = budget_now(log);
	fanout_start(s->fanout, gather, gathered, s);
}

/* --- at the start ----------------------------------------------------------------------------- */

/* For a manifest: that of the start. */
static void gather_all(struct chunklog *log)
{
	struct spill *s = &log->spill;
	bool all = true;

	for (unsigned i = 0; i < log->config.shard_count && all; i++)
		all = gather_shard(&log->shards[i], true, &s->saves);
	if (!all)
		fault_set(&s->fault, ERR_NO_MEMORY, 0, "to gather what is to be saved");
}

static void thin_all(struct chunklog *log)
{
	for (unsigned i = 0; i < log->config.shard_count; i++)
		LIST_EACH (node, &log->shards[i].partitions)
			partition_thin(LIST_ENTRY(node, struct partition, node));
}

enum err spill_replayed(struct chunklog *log, struct fault *f)
{
	struct spill *s = &log->spill;
	int64_t upto = budget_now(log);

	s->fault = (struct fault){0};
	s->is_urgent = true; /* a copy is enough: all is flushed before the manifest */
	gather_all(log);
	if (!s->fault.code)
		write(&s->work);
	put_in_force(s);
	for (const struct save *save = s->fault.code ? NULL : s->saves; save; save = save->next)
		CHECK(partition_heed_saved(save->partition)); /* at start there is memory */
	free_saves(s);
	if (s->fault.code) {
		budget_not_saved(log, s->fault.code);
		*f = s->fault;
		return f->code;
	}
	budget_saved(log, upto);
	thin_all(log);
	metric_add(loop_metrics(log->shards[0].loop), METRIC_SPILLS, 1);
	return OK;
}

enum err spill_flush_replayed(struct chunklog *log, struct fault *f)
{
	return unpublished_flush(&log->spill.unpublished, log->config.disk, &log->dir, f);
}

/* --- life ------------------------------------------------------------------------------------- */

void spill_init(struct chunklog *log)
{
	struct spill *s = &log->spill;

	s->gathered = calloc(log->config.shard_count, sizeof(struct save *));
	CHECK(s->gathered);
	s->fanout = fanout_new(&log->base, &log->config);
	CHECK(s->fanout);
	s->write_us = WRITE_US;
	s->ended_us = log->began.mono_us;
}

void spill_fini(struct chunklog *log)
{
	unpublished_fini(&log->spill.unpublished, log->config.disk);
	free(log->spill.gathered);
	free(log->spill.fanout);
}
