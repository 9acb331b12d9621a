/* What of a partition is in segments only: the shard's view of them, and what leaves memory for
 * it. */
#include "io/log.h"
#include "store/chunklog/budget.h"
#include "store/chunklog/chunklog.h"

#include <stdlib.h>

/* --- the view --------------------------------------------------------------------------------- */

static void sealed_free(struct shared *s)
{
	free(CONTAINER_OF(s, struct sealed, shared));
}

static struct sealed *sealed_new(const struct saved *s)
{
	size_t bytes = s->segment_count * sizeof(s->segments[0]);
	struct sealed *sealed = malloc(sizeof(*sealed) + bytes);

	if (!sealed)
		return NULL;
	shared_init(&sealed->shared, sealed_free);
	sealed->count = s->segment_count;
	if (bytes > 0)
		memcpy(sealed->segments, s->segments, bytes);
	return sealed;
}

static void count_bytes(struct partition *p)
{
	p->base.state.bytes = p->warm_bytes + partition_cold_bytes(p);
}

bool partition_seal_upto(struct partition *p, const struct saved *s)
{
	struct sealed *sealed = s->segment_count > 0 ? sealed_new(s) : NULL;

	if (s->segment_count > 0 && !sealed)
		return false;
	if (p->sealed)
		shared_put(&p->sealed->shared);
	p->sealed = sealed;
	p->sealed_end = s->end_offset;
	count_bytes(p);
	return true;
}

bool partition_heed_saved(struct partition *p)
{
	p->base.state.segments = p->saved.segment_count;
	return !chunklog_is_tiered(p->shard->log) || partition_seal_upto(p, &p->saved);
}

const struct segment *partition_segment_at(const struct partition *p, int64_t offset)
{
	uint32_t low = 0, high = p->sealed ? p->sealed->count : 0;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (p->sealed->segments[middle].end_offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return p->sealed && low < p->sealed->count ? &p->sealed->segments[low] : NULL;
}

bool partition_has_segment(const struct partition *p, const struct segment *s)
{
	const struct segment *found = partition_segment_at(p, s->base_offset);

	return found && segment_same(found, s);
}

int64_t partition_skip_older(const struct partition *p, int64_t offset, int64_t time_ms)
{
	const struct segment *s = partition_segment_at(p, offset);

	if (!s || partition_has_hole(p))
		return offset;
	for (const struct segment *end = p->sealed->segments + p->sealed->count; s < end; s++) {
		if (!segment_has_times(s) || s->max_timestamp >= time_ms)
			break;
		offset = s->end_offset;
	}
	return offset;
}

/* --- bytes ------------------------------------------------------------------------------------ */

/* Of the offsets from `from` to `to`, taken as all of a size. */
static int64_t bytes_between(const struct segment *s, int64_t from, int64_t to)
{
	int64_t low = from > s->base_offset ? from : s->base_offset;
	int64_t high = to < s->end_offset ? to : s->end_offset;
	double part = (double)(high - low) / (double)(s->end_offset - s->base_offset);

	return low < high ? (int64_t)((double)(s->bytes - SEGMENT_HEADER_BYTES) * part) : 0;
}

int64_t partition_cold_bytes(const struct partition *p)
{
	int64_t from = p->base.state.log_start, to = partition_warm_start(p), bytes = 0;

	if (!p->sealed || from >= to)
		return 0;
	for (uint32_t i = 0; i < p->sealed->count; i++)
		bytes += bytes_between(&p->sealed->segments[i], from, to);
	return bytes;
}

/* --- leaving memory --------------------------------------------------------------------------- */

static bool can_go(const struct partition *p, const struct chunk *c)
{
	const struct chunklog *log = p->shard->log;

	return c->len > 0 && c->filled == c->len && c->end_offset <= p->sealed_end &&
	       budget_now(log) - c->born > log->config.memory_bytes;
}

void partition_thin(struct partition *p)
{
	uint32_t count = 0;

	while (count < p->chunk_count && can_go(p, p->chunks[count])) {
		p->warm_bytes -= (int64_t)(p->chunks[count]->len - p->head_at);
		p->head_at = 0;
		count++;
	}
	if (count == 0)
		return;
	partition_drop_chunks(p, count);
	count_bytes(p);
}

/* --- retention -------------------------------------------------------------------------------- */

/* The newest record stays, and what is warm goes by batches. */
static int64_t start_by_count(const struct partition *p, int64_t start)
{
	const struct partition_state *s = &p->base.state;
	int64_t limit = topic_retention(&p->base.settings, p->base.settings.retention_count);
	int64_t upto = s->high_watermark - (limit > 0 ? limit : 1);

	if (limit >= 0 && upto > start)
		start = upto;
	return start;
}

/* Behind those segments without which there is still as much as may stay. */
static int64_t start_by_bytes(const struct partition *p, int64_t start)
{
	int64_t limit = topic_retention(&p->base.settings, p->base.settings.retention_bytes);
	int64_t left = p->base.state.bytes;

	for (uint32_t i = 0; limit >= 0 && i < p->sealed->count; i++) {
		const struct segment *s = &p->sealed->segments[i];

		left -= bytes_between(s, p->base.state.log_start, partition_warm_start(p));
		if (left < limit || s->end_offset >= p->base.state.high_watermark)
			break;
		if (s->end_offset > start)
			start = s->end_offset;
	}
	return start;
}

bool partition_retain_cold(struct partition *p)
{
	int64_t warm = partition_warm_start(p), start = p->base.state.log_start;

	if (!p->sealed || start >= warm)
		return true;
	start = start_by_bytes(p, start_by_count(p, start));
	if (start > warm)
		start = warm;
	if (start > p->base.state.log_start)
		partition_move_start(p, start);
	return start >= warm;
}

/* --- damage ----------------------------------------------------------------------------------- */

void partition_cold_damage(struct partition *p, const struct segment *s, int64_t bad_at,
                           const struct fault *why)
{
	int64_t warm = partition_warm_start(p);
	struct damage d = {bad_at, s->end_offset};
	char text[320];

	if (p->base.state.deleted || s->end_offset <= p->base.state.log_start)
		return;
	if (warm < d.to && warm > d.from)
		d.to = warm; /* memory has the rest */
	log_line(p->shard->log->config.log, LOG_ERROR, "store",
	         "%s/%u is damaged at offset %lld: %s", p->topic->name, p->base.index,
	         (long long)bad_at, fault_text(why, text, sizeof(text)));
	partition_set_damage(p, d);
	store_partition_moved(&p->base, p->shard->loop);
}
