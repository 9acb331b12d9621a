#include "store/chunklog/save.h"

#include "store/chunklog/chunklog.h"
#include "store/chunklog/cold.h"

#include <stdlib.h>

/* --- gathering -------------------------------------------------------------------------------- */

static struct damage damage_to_save(const struct partition *p)
{
	return p->damage_may_pass ? p->saved.damage : p->damage;
}

static bool has_changed(const struct partition *p, bool publish)
{
	const struct partition_state *s = &p->base.state;
	const struct saved *saved = &p->saved;
	struct damage damage = damage_to_save(p);

	if (s->high_watermark != saved->end_offset)
		return true;
	return publish && (s->log_start != saved->log_start || damage.from != saved->damage.from ||
	                   damage.to != saved->damage.to);
}

/* The batches of chunk `i` that are visible and not saved. */
static struct save_slice slice_of_chunk(const struct partition *p, uint32_t i)
{
	struct chunk *c = p->chunks[i];
	size_t at = p->saved.end_offset > c->base_offset ? chunk_find(c, p->saved.end_offset) : 0;

	if (i == 0 && at < p->head_at)
		at = p->head_at;
	shared_get(&c->shared);
	return (struct save_slice){
		.chunk = c,
		.bytes = slice_of(c->bytes + at, c->len - at),
		.base_offset = chunk_batch(c, at).base_offset,
		.end_offset = c->end_offset,
	};
}

/* False: there is no memory; as in the next. */
static bool gather_slices(struct save *s)
{
	const struct partition *p = s->partition;
	int64_t from = p->saved.end_offset;
	uint32_t i;

	if (from < p->base.state.log_start)
		from = p->base.state.log_start;
	if (from == p->base.state.high_watermark)
		return true;
	i = partition_chunk_at(p, from);
	s->slices = calloc(p->chunk_count - i + 1, sizeof(*s->slices));
	if (!s->slices)
		return false;
	for (; i < p->chunk_count && p->chunks[i]->len > 0; i++)
		s->slices[s->slice_count++] = slice_of_chunk(p, i);
	return true;
}

/* Split the partition's segments into those that stay and those below the log start. */
static bool sort_segments(struct save *s)
{
	const struct saved *now = &s->partition->saved;

	if (now->segment_count == 0)
		return true;
	s->saved.segments = calloc(now->segment_count, sizeof(*now->segments));
	s->removed = calloc(now->segment_count, sizeof(*now->segments));
	if (!s->saved.segments || !s->removed)
		return false;
	for (uint32_t i = 0; i < now->segment_count; i++) {
		if (now->segments[i].end_offset <= s->saved.log_start)
			s->removed[s->removed_count++] = now->segments[i];
		else
			s->saved.segments[s->saved.segment_count++] = now->segments[i];
	}
	return true;
}

enum err save_new(struct partition *p, bool publish, struct save **out)
{
	const struct partition_state *state = &p->base.state;
	struct save *s;

	*out = NULL;
	if (!has_changed(p, publish))
		return OK;
	s = calloc(1, sizeof(*s));
	if (!s)
		return ERR_NO_MEMORY;
	s->partition = p;
	s->settings = p->base.settings;
	s->now_ms = loop_now(p->shard->loop).wall_ms;
	s->saved = (struct saved){
		.log_start = publish ? state->log_start : p->saved.log_start,
		.end_offset = state->high_watermark,
		.compacted = p->saved.compacted,
		.damage = damage_to_save(p),
	};
	if (!sort_segments(s) || !gather_slices(s)) {
		save_free(s);
		return ERR_NO_MEMORY;
	}
	*out = s;
	return OK;
}

void save_free(struct save *s)
{
	for (uint32_t i = 0; i < s->slice_count; i++)
		chunk_put(s->slices[i].chunk);
	for (uint32_t i = 0; i < s->run_count; i++)
		segment_index_fini(&s->runs[i].index);
	free(s->slices);
	free(s->runs);
	free(s->saved.segments);
	free(s->removed);
	free(s);
}

/* --- writing ---------------------------------------------------------------------------------- */

static struct segment *last_segment(struct save *s)
{
	return s->saved.segment_count > 0 ? &s->saved.segments[s->saved.segment_count - 1] : NULL;
}

/* NULL: there is no memory. */
static struct segment *begin_segment(struct save *s, const struct save_slice *first)
{
	struct saved *to = &s->saved;
	struct segment *grown =
		reallocarray(to->segments, to->segment_count + 1, sizeof(*to->segments));

	if (!grown)
		return NULL;
	to->segments = grown;
	to->segments[to->segment_count++] = segment_new(
		first->base_offset, first->chunk->leader_epoch, s->now_ms > 0 ? s->now_ms : 1);
	return last_segment(s);
}

/* A clock that jumps makes a segment shorter or longer, no more. One whose times are not known gets
 * nothing behind it, so that those of what comes are. */
static bool is_young(const struct save *s, const struct segment *to)
{
	const struct topic_settings *t = &s->settings;
	int64_t lag_ms = topic_is_compacted(t) ? t->compaction_lag_ms_max : -1;
	int64_t age_ms = s->now_ms - to->created_ms;

	return segment_has_times(to) && (t->segment_ms < 0 || age_ms < t->segment_ms) &&
	       (lag_ms < 0 || age_ms < lag_ms);
}

/* One epoch a segment, no hole in it, none that compaction made, and nothing behind damage: what
 * follows a bad batch in a file cannot be found. */
static bool can_append(const struct save *s, const struct segment *to,
                       const struct save_slice *next)
{
	return to && to->generation == 0 && to->leader_epoch == next->chunk->leader_epoch &&
	       to->end_offset == next->base_offset && is_young(s, to) &&
	       (s->saved.damage.from < 0 || to->base_offset >= s->saved.damage.to) &&
	       segment_next_at(to) + (int64_t)next->bytes.len <= s->settings.segment_bytes;
}

/* As many slices from `first` on as go into `to` behind each other. */
static uint32_t run_length(const struct save *s, const struct segment *to, uint32_t first)
{
	struct segment grown = *to;
	uint32_t i = first;

	grown.bytes = segment_next_at(to);
	do {
		grown.bytes += (int64_t)s->slices[i].bytes.len;
		grown.end_offset = s->slices[i].end_offset;
		i++;
	} while (i < s->slice_count && can_append(s, &grown, &s->slices[i]));
	return i - first;
}

/* `to` ends with these batches, and reaches from `before` on. Without memory that is left to who
 * reads it. */
static void keep_run(struct save *s, const struct segment *to, const struct segment *before,
                     const struct iovec *iov, int count)
{
	struct save_run *run, *grown;

	if (!chunklog_is_tiered(s->partition->shard->log))
		return;
	grown = reallocarray(s->runs, s->run_count + 1, sizeof(*s->runs));
	if (!grown)
		return;
	s->runs = grown;
	run = &s->runs[s->run_count++];
	run->segment_base = to->base_offset;
	segment_index_init(&run->index, before->end_offset, segment_next_at(before));
	segment_index_add_run(&run->index, iov, count);
	CHECK(run->index.at <= to->bytes);
	CHECK(run->index.next_offset <= to->end_offset);
}

static enum err write_run(struct save *s, const struct segment_home *home, struct segment *to,
                          uint32_t first, uint32_t count, const struct save_to *by, struct fault *f)
{
	struct iovec *iov = calloc(count, sizeof(*iov));
	const struct segment before = *to;
	size_t bytes = 0;
	enum err err;
	int fd;

	if (!iov)
		return fault_set(f, ERR_NO_MEMORY, 0, "to save %u chunks", count);
	for (uint32_t i = 0; i < count; i++) {
		struct slice slice = s->slices[first + i].bytes;

		iov[i] = (struct iovec){(void *)(uintptr_t)slice.ptr, slice.len};
		bytes += slice.len;
	}
	err = segment_append(home, to, bytes >= by->direct_from, iov, (int)count,
	                     s->slices[first + count - 1].end_offset, &fd, f);
	if (!err) {
		unpublished_add(by->unpublished, home, to, fd, before.bytes == 0);
		by->unpublished->bytes += (int64_t)bytes;
		keep_run(s, to, &before, iov, (int)count);
	}
	free(iov);
	return err;
}

enum err save_write(struct save *s, const struct save_to *to, struct fault *f)
{
	struct segment_home home = partition_home(s->partition);
	enum err err = OK;

	if (s->slice_count > 0 && s->saved.segment_count == 0)
		err = segment_make_dir(&home, f);
	for (uint32_t i = 0; i < s->slice_count && !err;) {
		struct segment *segment = last_segment(s);
		uint32_t count;

		if (!can_append(s, segment, &s->slices[i]) ||
		    (i == 0 && segment_is_shared(&home, segment)))
			segment = begin_segment(s, &s->slices[i]);
		if (!segment)
			return fault_set(f, ERR_NO_MEMORY, 0, "to begin a segment");
		count = run_length(s, segment, i);
		err = write_run(s, &home, segment, i, count, to, f);
		i += count;
	}
	return err;
}

/* Those from the one on that was the last before. */
void save_note_segments(const struct save *s)
{
	const struct saved *now = &s->saved, *before = &s->partition->saved;
	const struct segment_index nothing = {0};
	int64_t known = before->segment_count > 0
	                        ? before->segments[before->segment_count - 1].base_offset
	                        : INT64_MIN;
	const struct save_run *run = s->runs, *end = s->runs + s->run_count;

	if (!chunklog_is_tiered(s->partition->shard->log))
		return;
	for (uint32_t i = 0; i < now->segment_count; i++) {
		const struct cold_source source = {partition_home(s->partition), now->segments[i],
		                                   i + 1 < now->segment_count};
		bool has_run = run < end && run->segment_base == now->segments[i].base_offset;

		if (now->segments[i].base_offset >= known)
			cold_note(s->partition->shard->log->cold, &source,
			          has_run ? &run->index : &nothing);
		run += has_run;
	}
}

void save_put_in_force(struct save *s, struct unpublished *to)
{
	struct segment_home home = partition_home(s->partition);
	struct saved before = s->partition->saved;

	s->partition->saved = s->saved;
	s->saved = before;
	for (uint32_t i = 0; i < s->removed_count; i++)
		unpublished_outdate(to, &home, &s->removed[i]);
	to->changed = true;
}
