#include "store/chunklog/compaction.h"

#include "io/log.h"
#include "io/metrics.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/compact_run.h"
#include "store/chunklog/spill.h"
#include "store/compact/compact_pace.h"

#include <stdlib.h>

enum {
	LOOK_MS = 15000,
	RETRY_MS = 4,              /* on a shard */
	PUBLISH_BYTES = 256 << 20, /* read, until those files may go */
};

static void step(struct chunklog *log);

static struct chunklog *log_of(struct compaction *c)
{
	return CONTAINER_OF(c, struct chunklog, compaction);
}

static struct loop *home_of(const struct chunklog *log)
{
	return log->shards[0].loop;
}

/* The wall clock as it was when the run began, and gone on since as none can be set. */
static int64_t steady_ms(const struct chunklog *log)
{
	return log->began.wall_ms + (loop_now(home_of(log)).mono_us - log->began.mono_us) / 1000;
}

/* --- which one? ------------------------------------------------------------------------------- */

struct choice {
	struct partition *partition;
	uint32_t segments; /* from the first on, that may be compacted */
	double dirty;      /* part of their bytes that is not */
};

static bool is_too_young(const struct topic_settings *t, const struct segment *s, int64_t now_ms)
{
	int64_t newest_ms = segment_has_times(s) ? s->max_timestamp : now_ms;

	return t->compaction_lag_ms_min > 0 && newest_ms > now_ms - t->compaction_lag_ms_min;
}

/* Waits a record in it longer than it may? */
static bool is_overdue(const struct topic_settings *t, const struct segment *s, int64_t now_ms)
{
	return t->compaction_lag_ms_max >= 0 && segment_has_times(s) &&
	       s->min_timestamp < now_ms - t->compaction_lag_ms_max;
}

/* Finished segments, up to the first that is too young. */
static struct choice look_at(struct partition *p, const struct topic_settings *t, int64_t now_ms)
{
	const struct saved *s = &p->saved;
	struct choice c = {.partition = p};
	int64_t clean = 0, dirty = 0;
	bool overdue = false;

	for (; c.segments + 1 < s->segment_count; c.segments++) {
		const struct segment *segment = &s->segments[c.segments];

		if (segment->end_offset <= s->compacted) {
			clean += segment->bytes;
			continue;
		}
		if (is_too_young(t, segment, now_ms))
			break;
		overdue = overdue || is_overdue(t, segment, now_ms);
		dirty += segment->bytes;
	}
	if (dirty > 0)
		c.dirty = (double)dirty / (double)(clean + dirty);
	if (c.dirty * 1e6 < t->dirty_ratio_ppm && !overdue)
		c.dirty = 0;
	return c;
}

static struct choice choose(struct chunklog *log)
{
	int64_t now_ms = steady_ms(log);
	struct choice best = {0};
	struct topic *t, *after;

	HASH_ITER (hh, log->topics, t, after) {
		const struct topic_settings *settings = &t->now->spec.settings;

		if (!topic_is_compacted(settings))
			continue;
		for (uint32_t i = 0; i < t->now->spec.partition_count; i++) {
			struct partition *p = topic_partition(t, i);
			struct choice c;

			if (p->is_uncompactable || p->saved.damage.from >= 0)
				continue;
			c = look_at(p, settings, now_ms);
			if (c.dirty > best.dirty)
				best = c;
		}
	}
	return best;
}

/* --- end -------------------------------------------------------------------------------------- */

static void say_end(const struct chunklog *log)
{
	const struct compaction *c = &log->compaction;
	const struct partition *p = c->partition;
	const struct compact_outcome outcome = {
		.topic = p->topic->name,
		.partition = p->base.index,
		.began_mono_us = c->began_mono_us,
		.bytes_in = c->run->bytes_in,
		.bytes_out = c->run->bytes_out,
		.upto = p->saved.compacted,
		.fault = &c->fault,
	};

	compact_say_end(&outcome, home_of(log), log->config.log);
}

static void look_later(struct chunklog *log)
{
	if (!log->compaction.stopping)
		timer_start(home_of(log), &log->compaction.timer, LOOK_MS);
}

/* What was bad on disk stays bad; a full disk or a failing one may get better. */
static void note_failure(struct chunklog *log)
{
	struct compaction *c = &log->compaction;

	if (c->fault.code == ERR_CORRUPT)
		c->partition->is_uncompactable = true;
	else if (c->fault.code)
		c->not_before_mono_us = loop_now(home_of(log)).mono_us + COMPACT_RETRY_US;
}

static void freed(struct work *w)
{
	struct compaction *c = CONTAINER_OF(w, struct compaction, work);
	struct chunklog *log = log_of(c);

	metric_add(loop_metrics(home_of(log)), METRIC_COMPACTING, -1);
	c->state = COMPACTION_NONE;
	c->run = NULL;
	c->partition = NULL;
	look_later(log);
	graveyard_tend(log);
	if (!c->fault.code)
		compaction_look(log);
}

static void free_run(struct work *w)
{
	compact_run_free(CONTAINER_OF(w, struct compaction, work)->run);
}

static void end(struct chunklog *log)
{
	struct compaction *c = &log->compaction;

	say_end(log);
	note_failure(log);
	c->state = COMPACTION_END;
	c->work = (struct work){.run = free_run, .done = freed};
	loop_work(home_of(log), &c->work);
}

/* --- publish ---------------------------------------------------------------------------------- */

static void published(struct store_checkpoint *asked)
{
	struct compaction *c = CONTAINER_OF(asked, struct compaction, publish);
	struct chunklog *log = log_of(c);

	/* A checkpoint that failed says so itself; the next one that does not publishes this
	 * too. */
	c->unpublished_bytes = 0;
	c->state = COMPACTION_REWRITE;
	step(log);
}

static void publish(struct chunklog *log)
{
	struct compaction *c = &log->compaction;

	c->state = COMPACTION_PUBLISH;
	c->publish = (struct store_checkpoint){.store = &log->base, .done = published};
	checkpoint_ask(log, &c->publish);
}

/* --- take ------------------------------------------------------------------------------------- */

static void taken(struct message *m)
{
	struct compaction *c = CONTAINER_OF(m, struct compaction, message);

	c->state = COMPACTION_REWRITE;
	step(log_of(c));
}

/* On the partition's shard. */
static void take(struct compaction *c)
{
	struct partition *p = c->partition;
	struct compact_run *r = c->run;
	bool is_tiered = chunklog_is_tiered(p->shard->log);
	int64_t from = is_tiered ? 0 : r->made.base_offset;

	if (!partition_take_compacted(p, from, r->made.end_offset, r->chunks, r->chunk_count)) {
		timer_start(p->shard->loop, &c->retry, RETRY_MS);
		return;
	}
	r->chunk_count = 0;
	c->message.deliver = taken;
	loop_post(home_of(p->shard->log), &c->message);
}

static void take_again(struct timer *t)
{
	take(CONTAINER_OF(t, struct compaction, retry));
}

static void take_first(struct message *m)
{
	take(CONTAINER_OF(m, struct compaction, message));
}

static void begin_take(struct chunklog *log)
{
	struct compaction *c = &log->compaction;

	c->state = COMPACTION_TAKE;
	c->retry.fire = take_again;
	c->message.deliver = take_first;
	loop_post(c->partition->shard->loop, &c->message);
}

/* --- swap ------------------------------------------------------------------------------------- */

/* The first of the group's segments in `s`, if all of them are there as they were. */
static struct segment *find_group(const struct saved *s, const struct compact_run *r)
{
	uint32_t count = r->at - r->first, i = 0;

	while (i < s->segment_count && !segment_same(&s->segments[i], &r->segments[r->first]))
		i++;
	if (s->damage.from >= 0 || count > s->segment_count - i)
		return NULL;
	for (uint32_t k = 0; k < count; k++) {
		const struct segment *now = &s->segments[i + k], *was = &r->segments[r->first + k];

		if (!segment_same(now, was) || now->end_offset != was->end_offset ||
		    now->bytes != was->bytes)
			return NULL;
	}
	return &s->segments[i];
}

static bool put_in_force(struct chunklog *log)
{
	struct compaction *c = &log->compaction;
	struct compact_run *r = c->run;
	struct saved *s = &c->partition->saved;
	struct segment_home home = partition_home(c->partition);
	struct segment *first = find_group(s, r);
	uint32_t count = r->at - r->first;
	int64_t compacted = compact_run_compacted(r);

	if (!first)
		return false;
	for (uint32_t i = 0; i < count; i++)
		unpublished_outdate(&log->spill.unpublished, &home, &first[i]);
	log->spill.unpublished.changed = true;
	c->unpublished_bytes += r->group_bytes;
	*first = r->made;
	memmove(first + 1, first + count,
	        (size_t)(s->segments + s->segment_count - (first + count)) * sizeof(*first));
	s->segment_count -= count - 1;
	if (compacted > s->compacted)
		s->compacted = compacted;
	r->has_made = false;
	return true;
}

static void heeded(struct message *m)
{
	struct chunklog *log = log_of(CONTAINER_OF(m, struct compaction, message));

	begin_take(log);
	checkpoint_swapped(log);
}

/* On the partition's shard. `saved` is home's, but home does not touch it before it hears back. */
static void heed(struct compaction *c)
{
	struct shard *shard = c->partition->shard;

	if (!partition_heed_saved(c->partition)) {
		timer_start(shard->loop, &c->retry, RETRY_MS);
		return;
	}
	c->message.deliver = heeded;
	loop_post(home_of(shard->log), &c->message);
}

static void heed_again(struct timer *t)
{
	heed(CONTAINER_OF(t, struct compaction, retry));
}

static void heed_first(struct message *m)
{
	heed(CONTAINER_OF(m, struct compaction, message));
}

static void begin_heed(struct compaction *c)
{
	c->retry.fire = heed_again;
	c->message.deliver = heed_first;
	loop_post(c->partition->shard->loop, &c->message);
}

static bool is_deleted(struct chunklog *log, const struct partition *p)
{
	return chunklog_topic_find(log, &p->base.topic) != p->topic;
}

static bool is_wanted(struct chunklog *log)
{
	const struct partition *p = log->compaction.partition;

	return !log->compaction.stopping && !is_deleted(log, p) &&
	       topic_is_compacted(&p->topic->now->spec.settings);
}

bool compaction_waits(const struct chunklog *log)
{
	return log->compaction.state == COMPACTION_WAIT;
}

void compaction_swap(struct chunklog *log)
{
	struct compaction *c = &log->compaction;

	c->state = COMPACTION_SWAP;
	if (is_wanted(log) && put_in_force(log)) {
		begin_heed(c);
		return;
	}
	end(log); /* the log start has passed it, say: the next look goes by what is there now */
	checkpoint_swapped(log);
}

static void wait_to_swap(struct chunklog *log)
{
	log->compaction.state = COMPACTION_WAIT;
	checkpoint_ask_swap(log);
}

/* --- slices ----------------------------------------------------------------------------------- */

static void slice(struct work *w)
{
	struct compaction *c = CONTAINER_OF(w, struct compaction, work);
	enum err err = c->state == COMPACTION_MAP
	                       ? compact_run_map(c->run, &c->slice_done, &c->fault)
	                       : compact_run_rewrite(c->run, &c->slice_done, &c->fault);

	if (!err)
		c->fault = (struct fault){0};
}

static void rest(struct chunklog *log)
{
	struct compaction *c = &log->compaction;
	int64_t us = loop_now(home_of(log)).mono_us - c->slice_mono_us;

	timer_start(home_of(log), &c->timer, compact_rest_ms(us));
}

/* It failed for want of a file that is needed no more: the log start has passed it. */
static bool was_overtaken(const struct compaction *c)
{
	const struct saved *s = &c->partition->saved;
	const struct compact_run *r = c->run;
	const struct segment *needed = &r->segments[r->in_group ? r->first : r->at];

	for (uint32_t i = 0; i < s->segment_count; i++)
		if (segment_same(&s->segments[i], needed))
			return false;
	return true;
}

static void sliced(struct work *w)
{
	struct compaction *c = CONTAINER_OF(w, struct compaction, work);
	struct chunklog *log = log_of(c);
	bool is_failed = c->fault.code != OK, is_through = !is_failed && c->slice_done;

	if (c->fault.code && was_overtaken(c))
		c->fault = (struct fault){0};
	if (is_failed || !is_wanted(log)) {
		end(log);
	} else if (is_through && c->state == COMPACTION_REWRITE) {
		wait_to_swap(log);
	} else {
		if (is_through)
			c->state = COMPACTION_REWRITE;
		rest(log);
	}
}

static void begin_slice(struct chunklog *log)
{
	struct compaction *c = &log->compaction;

	c->slice_mono_us = loop_now(home_of(log)).mono_us;
	c->slice_done = false;
	c->work = (struct work){.run = slice, .done = sliced};
	loop_work(home_of(log), &c->work);
}

/* --- the run ---------------------------------------------------------------------------------- */

/* Mapping, or between two slices or groups. */
static void step(struct chunklog *log)
{
	struct compaction *c = &log->compaction;
	bool has_more =
		c->state == COMPACTION_MAP || c->run->in_group || compact_run_has_group(c->run);

	if (!is_wanted(log) || (!has_more && c->unpublished_bytes == 0)) {
		end(log);
		return;
	}
	if (c->unpublished_bytes > 0 && (!has_more || c->unpublished_bytes >= PUBLISH_BYTES))
		publish(log);
	else
		begin_slice(log);
}

static struct compact_job job_of(struct chunklog *log, struct partition *p)
{
	const struct topic_settings *t = &p->topic->now->spec.settings;
	struct compact_job job = {
		.home = partition_home(p),
		.segment_bytes = t->segment_bytes,
		.log_start = p->saved.log_start,
		.compacted = p->saved.compacted,
		.now_ms = steady_ms(log),
		.map_bytes = COMPACT_MAP_BYTES,
		.in_memory = !chunklog_is_tiered(log),
	};

	job.horizon_ms = t->delete_retention_ms < INT64_MAX - job.now_ms
	                         ? job.now_ms + t->delete_retention_ms
	                         : INT64_MAX;
	log->config.entropy->fill(log->config.entropy, &job.key, sizeof(job.key));
	return job;
}

static void begin(struct chunklog *log, const struct choice *choice)
{
	struct compaction *c = &log->compaction;
	struct compact_job job = job_of(log, choice->partition);

	c->run = compact_run_new(&job, choice->partition->saved.segments, choice->segments);
	if (!c->run) {
		c->not_before_mono_us = loop_now(home_of(log)).mono_us + COMPACT_RETRY_US;
		return;
	}
	timer_stop(home_of(log), &c->timer);
	metric_add(loop_metrics(home_of(log)), METRIC_COMPACTING, 1);
	c->partition = choice->partition;
	c->state = COMPACTION_MAP;
	c->fault = (struct fault){0};
	c->unpublished_bytes = 0;
	c->began_mono_us = loop_now(home_of(log)).mono_us;
	begin_slice(log);
}

void compaction_look(struct chunklog *log)
{
	struct compaction *c = &log->compaction;
	struct choice choice;

	if (c->state != COMPACTION_NONE || c->stopping || !c->looking ||
	    loop_now(home_of(log)).mono_us < c->not_before_mono_us)
		return;
	choice = choose(log);
	if (choice.dirty > 0)
		begin(log, &choice);
}

static void fired(struct timer *t)
{
	struct compaction *c = CONTAINER_OF(t, struct compaction, timer);
	struct chunklog *log = log_of(c);

	if (c->state != COMPACTION_NONE) {
		step(log);
		return;
	}
	look_later(log);
	compaction_look(log);
}

/* --- life ------------------------------------------------------------------------------------- */

static void start_looking(struct message *m)
{
	struct compaction *c = CONTAINER_OF(m, struct compaction, start);

	c->looking = true;
	look_later(log_of(c));
	compaction_look(log_of(c));
}

void compaction_start(struct chunklog *log)
{
	struct compaction *c = &log->compaction;

	c->timer.fire = fired;
	c->start.deliver = start_looking;
	loop_post(home_of(log), &c->start);
}

void compaction_stop(struct chunklog *log)
{
	struct compaction *c = &log->compaction;
	struct loop *home = home_of(log);
	bool rests;

	while (!c->looking)
		(void)loop_run_until(home, &c->looking, 1);
	c->stopping = true;
	rests = timer_is_running(&c->timer) && c->state != COMPACTION_NONE;
	timer_stop(home, &c->timer);
	if (rests)
		end(log);
}

bool compaction_spares_files(struct chunklog *log)
{
	const struct compaction *c = &log->compaction;

	return c->state == COMPACTION_NONE || !is_deleted(log, c->partition);
}

bool compaction_is_idle(const struct chunklog *log)
{
	return log->compaction.state == COMPACTION_NONE;
}
