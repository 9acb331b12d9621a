#include "store/chunklog/expiry.h"

#include "store/chunklog/chunklog.h"

#include <stdlib.h>

enum { LOOK_MS = 1000 };

/* --- one partition ---------------------------------------------------------------------------- */

/* On the clock of the run. */
static int64_t run_ms(const struct shard *shard)
{
	return (loop_now(shard->loop).mono_us - shard->log->began.mono_us) / 1000;
}

void expiry_note(struct partition *p, int64_t end_offset, int64_t timestamp_ms, bool arrived)
{
	age_note(&p->age, end_offset,
	         age_born(timestamp_ms, p->shard->log->began.wall_ms,
	                  arrived ? run_ms(p->shard) : INT64_MIN));
}

void expiry_settle(struct partition *p)
{
	if (p->base.state.high_watermark > p->base.state.log_start)
		age_note(&p->age, p->base.state.high_watermark, 0);
}

struct expiry_trim {
	struct store_trim trim;
	struct partition *partition;
};

static void trimmed(struct store_trim *t)
{
	struct expiry_trim *e = CONTAINER_OF(t, struct expiry_trim, trim);
	struct partition *p = e->partition;

	/* One that failed (a full disk) is tried again at the next look. */
	p->expiring = false;
	p->shard->expiring--;
	free(e);
}

static void trim(struct partition *p, int64_t upto)
{
	struct expiry_trim *e = calloc(1, sizeof(*e));

	if (!e)
		return;
	e->partition = p;
	e->trim = (struct store_trim){.partition = &p->base, .upto = upto, .done = trimmed};
	p->expiring = true;
	p->shard->expiring++;
	partition_trim(p, &e->trim);
}

void expiry_look(struct partition *p)
{
	const struct partition_state *s = &p->base.state;
	int64_t limit_ms = topic_retention(&p->base.settings, p->base.settings.retention_ms);
	int64_t upto;

	age_trim(&p->age, s->log_start);
	if (limit_ms < 0 || p->expiring || s->deleted || s->fenced.code)
		return;
	if (limit_ms > INT64_MAX / 4)
		limit_ms = INT64_MAX / 4;
	upto = age_end_before(&p->age, run_ms(p->shard) - limit_ms);
	if (upto > s->high_watermark)
		upto = s->high_watermark;
	if (upto > s->log_start)
		trim(p, upto);
}

/* --- all of a shard --------------------------------------------------------------------------- */

static void look(struct timer *t)
{
	struct shard *shard = CONTAINER_OF(t, struct shard, expiry_timer);

	LIST_EACH (node, &shard->partitions)
		expiry_look(LIST_ENTRY(node, struct partition, node));
	timer_start(shard->loop, t, LOOK_MS);
}

static void start(struct message *m)
{
	struct shard *shard = CONTAINER_OF(m, struct shard, expiry_start);

	shard->expiry_started = true;
	look(&shard->expiry_timer);
}

void expiry_start(struct chunklog *log)
{
	for (unsigned i = 0; i < log->config.shard_count; i++) {
		log->shards[i].expiry_timer.fire = look;
		log->shards[i].expiry_start.deliver = start;
		loop_post(log->shards[i].loop, &log->shards[i].expiry_start);
	}
}

void expiry_stop(struct chunklog *log)
{
	for (unsigned i = 0; i < log->config.shard_count; i++) {
		struct shard *shard = &log->shards[i];

		while (!shard->expiry_started)
			(void)loop_run_until(shard->loop, &shard->expiry_started, 1);
		timer_stop(shard->loop, &shard->expiry_timer);
	}
}
