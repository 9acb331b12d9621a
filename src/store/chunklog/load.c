#include "store/chunklog/load.h"

#include "io/log.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/expiry.h"

#include <stdlib.h>

static void take_batch(void *arg, struct slice batch, int32_t leader_epoch, size_t more_bytes)
{
	partition_take(arg, batch, leader_epoch, more_bytes);
}

/* The clock that stands for when a segment was begun of which that is not known. */
static int64_t run_began_ms(const struct partition *p)
{
	int64_t wall_ms = p->shard->log->began.wall_ms;

	return wall_ms > 0 ? wall_ms : 1;
}

/* All of it was read. */
static void adopt_times(struct partition *p, struct segment *s, const struct segment *found)
{
	if (segment_has_times(s))
		return;
	s->created_ms = run_began_ms(p);
	s->min_timestamp = found->min_timestamp;
	s->max_timestamp = found->max_timestamp;
}

static void load_segment(struct partition *p, struct segment *s)
{
	struct segment_home home = partition_home(p);
	struct segment found = *s;
	struct fault why;
	char text[320];
	enum err err;

	partition_go_on_at(p, s->base_offset);
	err = segment_load(&home, &found, take_batch, p, &why);
	if (!err && found.end_offset == s->end_offset) {
		adopt_times(p, s, &found);
		return;
	}
	if (!err)
		fault_set(&why, ERR_CORRUPT, 0, "its segment ends at %lld, not at %lld",
		          (long long)found.end_offset, (long long)s->end_offset);
	log_line(p->shard->log->config.log, LOG_ERROR, "store",
	         "%s/%u is damaged at offset %lld: %s", p->topic->name, p->base.index,
	         (long long)p->base.state.log_end, fault_text(&why, text, sizeof(text)));
	p->damage_may_pass = p->damage_may_pass || why.code != ERR_CORRUPT;
	partition_go_on_at(p, s->end_offset);
}

/* The manifest is believed; what it says is verified when it is read. All of it is as old as its
 * youngest record, or, where that is not known, as this run. */
static void adopt_segment(struct partition *p, const struct segment *s)
{
	partition_go_on_at(p, s->base_offset);
	partition_take_cold(p, s);
	expiry_note(p, s->end_offset,
	            segment_has_times(s) ? s->max_timestamp : p->shard->log->began.wall_ms, false);
}

/* Bring what is saved of `p` into memory, or into reach. */
static void load_partition(struct partition *p)
{
	struct partition_state *state = &p->base.state;
	struct saved *s = &p->saved;
	int64_t first = s->segment_count > 0 ? s->segments[0].base_offset : s->end_offset;

	state->segments = s->segment_count;
	state->log_start = s->log_start;
	state->log_end = first < s->log_start ? first : s->log_start;
	state->last_stable = state->log_end;
	state->high_watermark = state->log_end;
	partition_set_damage(p, s->damage);
	for (uint32_t i = 0; i < s->segment_count; i++) {
		if (chunklog_is_tiered(p->shard->log))
			adopt_segment(p, &s->segments[i]);
		else
			load_segment(p, &s->segments[i]);
	}
	partition_go_on_at(p, s->end_offset);
	if (chunklog_is_tiered(p->shard->log))
		CHECK(partition_seal_upto(p, s)); /* at start there is memory, or no start */
	partition_settle(p);
}

static int64_t created_ms_of(const struct partition *p, int64_t base)
{
	const struct saved *s = &p->saved;

	for (uint32_t i = 0; i < s->segment_count; i++)
		if (s->segments[i].base_offset == base && segment_has_times(&s->segments[i]))
			return s->segments[i].created_ms;
	return run_began_ms(p);
}

/* The manifest is an old one: see which files there are, and how far each goes. */
static enum err rescan_partition(struct partition *p, struct fault *f)
{
	struct segment_home home = partition_home(p);
	struct saved *s = &p->saved;
	struct segment *segments;
	uint32_t segment_count = 0;
	int64_t reached = 0;
	size_t count;
	enum err err = segment_list(&home, &segments, &count, f);

	if (err)
		return err;
	for (size_t i = 0; i < count; i++) {
		struct segment found;
		struct fault why;

		if (!segment_counts(segments, count, i, reached))
			continue;
		found = segments[i];
		found.created_ms = created_ms_of(p, found.base_offset);
		/* Where it ends early it was torn, or is damaged: what follows tells. */
		if (segment_check(&home, &found, &why) && found.end_offset == found.base_offset)
			continue;
		segments[segment_count++] = found;
		reached = found.end_offset;
		if (reached > s->end_offset)
			s->end_offset = reached;
	}
	free(s->segments);
	s->segments = segments;
	s->segment_count = segment_count;
	s->compacted = 0; /* what came through unpublished may be among them */
	/* Files below the last log start were removed; the trim itself is lost with the
	 * manifest. */
	if (s->segment_count > 0 && s->segments[0].base_offset > s->log_start)
		s->log_start = s->segments[0].base_offset;
	return OK;
}

static int32_t epoch_max(const struct saved *s)
{
	int32_t max = 0;

	for (uint32_t i = 0; i < s->segment_count; i++)
		if (s->segments[i].leader_epoch > max)
			max = s->segments[i].leader_epoch;
	return max;
}

enum err segments_load(struct chunklog *log, bool rescan, int32_t *leader_epoch_max,
                       struct fault *f)
{
	struct topic *t, *after;

	HASH_ITER (hh, log->topics, t, after) {
		for (uint32_t i = 0; i < t->now->spec.partition_count; i++) {
			struct partition *p = topic_partition(t, i);
			enum err err = rescan ? rescan_partition(p, f) : OK;

			if (err)
				return err;
			load_partition(p);
			if (epoch_max(&p->saved) > *leader_epoch_max)
				*leader_epoch_max = epoch_max(&p->saved);
		}
	}
	return OK;
}

enum err segments_tidy(struct chunklog *log, struct fault *f)
{
	struct topic *t, *after;

	HASH_ITER (hh, log->topics, t, after) {
		for (uint32_t i = 0; i < t->now->spec.partition_count; i++) {
			struct partition *p = topic_partition(t, i);
			struct segment_home home = partition_home(p);
			enum err err =
				segment_tidy(&home, p->saved.segments, p->saved.segment_count, f);

			if (err)
				return err;
		}
	}
	return OK;
}
