#include "store/chunklog/partition.h"

#include "io/metrics.h"
#include "store/answers.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/expiry.h"

#include <stdio.h>
#include <stdlib.h>

/* --- life ------------------------------------------------------------------------------------- */

void partition_init(struct partition *p, struct topic *topic, const struct topic_spec *spec,
                    uint32_t index, struct shard *shard)
{
	struct chunklog *log = shard->log;

	*p = (struct partition){.topic = topic, .shard = shard, .damage = {-1, -1}};
	store_partition_init(&p->base, &log->base, spec, index, (unsigned)(shard - log->shards));
	p->base.state.leader_epoch = log->leader_epoch;
	p->saved.damage = p->damage;
	list_init(&p->waiting);
	list_init(&p->framed);
	list_init(&p->answered);
	list_init(&p->frames);
	partition_init_tasks(p);
}

void partition_drop_chunks(struct partition *p, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		chunk_put(p->chunks[i]);
	p->chunk_count -= count;
	memmove(p->chunks, p->chunks + count, p->chunk_count * sizeof(*p->chunks));
	if (p->chunk_count == 0) {
		free(p->chunks);
		p->chunks = NULL;
		p->chunk_cap = 0;
	}
}

void partition_fini(struct partition *p)
{
	CHECK(list_is_empty(&p->frames));
	CHECK(list_is_empty(&p->waiting));
	CHECK(list_is_empty(&p->answered));
	task_cancel(&p->base.notify);
	task_cancel(&p->submit);
	if (p->chunk_count > 0)
		partition_drop_chunks(p, p->chunk_count);
	if (p->sealed)
		shared_put(&p->sealed->shared);
	age_fini(&p->age);
	store_partition_unfence(&p->base);
	free(p->epochs);
	free(p->saved.segments);
}

/* --- growing ---------------------------------------------------------------------------------- */

static struct chunk *tail(const struct partition *p)
{
	return p->chunk_count > 0 ? p->chunks[p->chunk_count - 1] : NULL;
}

static bool has_room(struct partition *p)
{
	uint32_t cap = p->chunk_cap ? p->chunk_cap * 2 : 2;
	struct chunk **grown;

	if (p->chunk_count < p->chunk_cap)
		return true;
	grown = reallocarray(p->chunks, cap, sizeof(struct chunk *));
	if (!grown)
		return false;
	p->chunks = grown;
	p->chunk_cap = cap;
	return true;
}

/* False: there is no memory. */
static bool add_chunk(struct partition *p, size_t cap)
{
	const struct partition_state *s = &p->base.state;
	struct chunk *c =
		has_room(p) ? chunk_new(p->shard->log->chunk_pool, s->log_end, s->leader_epoch, cap)
			    : NULL;

	if (!c)
		return false;
	if (p->chunk_count == 0)
		p->head_at = 0;
	c->born = atomic_fetch_add_explicit(&p->shard->log->chunk_bytes, (int64_t)c->cap,
	                                    memory_order_relaxed);
	p->chunks[p->chunk_count++] = c;
	return true;
}

/* One that a refused frame left behind. */
static void drop_empty_tail(struct partition *p)
{
	chunk_put(p->chunks[--p->chunk_count]);
}

/* False: there is no memory. */
static bool note_epoch(struct partition *p, int32_t epoch, int64_t offset)
{
	struct epoch_start *grown;

	if (p->epoch_count > 0 && p->epochs[p->epoch_count - 1].epoch >= epoch)
		return true;
	if (p->epoch_count == PARTITION_EPOCHS_MAX) {
		p->epoch_count--;
		memmove(p->epochs, p->epochs + 1, p->epoch_count * sizeof(*p->epochs));
	}
	/* Few partitions see more than one: so grown by one at a time. */
	grown = reallocarray(p->epochs, p->epoch_count + 1, sizeof(*p->epochs));
	if (!grown)
		return false;
	p->epochs = grown;
	p->epochs[p->epoch_count++] = (struct epoch_start){epoch, offset};
	return true;
}

static void set_high_watermark(struct partition *p, int64_t offset)
{
	p->base.state.last_stable = offset;
	p->base.state.high_watermark = offset;
}

/* As large as all that is there: so memory doubles with a growing topic, and stays within twice
 * what retention keeps of a full one. */
static size_t chunk_size_next(const struct partition *p, size_t need, size_t want)
{
	size_t size = (size_t)p->warm_bytes;

	if (size < want)
		size = want;
	if (size < CHUNK_BYTES_MIN)
		size = CHUNK_BYTES_MIN;
	if (size > CHUNK_BYTES_MAX)
		size = CHUNK_BYTES_MAX;
	return size < need ? need : size;
}

bool partition_fill(struct partition *p, struct slice batch, size_t more_bytes, struct fault *f)
{
	struct partition_state *s = &p->base.state;
	struct chunk *c = tail(p);
	struct batch b;
	enum err err;

	if (!c || c->leader_epoch != s->leader_epoch || chunk_room(c) < batch.len) {
		if (c && c->filled > c->len)
			return false;
		if (c && c->len == 0)
			drop_empty_tail(p);
		if (!add_chunk(p, chunk_size_next(p, batch.len, batch.len + more_bytes))) {
			fault_set(f, ERR_BUSY, 0, "no memory for a chunk");
			return true;
		}
		c = tail(p);
	}
	if (!note_epoch(p, s->leader_epoch, s->log_end)) {
		fault_set(f, ERR_BUSY, 0, "no memory for an epoch");
		return true;
	}
	err = batch_parse(batch, &b, NULL);
	CHECK(err == OK);
	CHECK(b.bytes.len == batch.len);
	chunk_fill(c, batch, s->log_end);
	s->log_end += b.last_offset - b.base_offset + 1;
	return true;
}

struct slice partition_filled(const struct partition *p)
{
	const struct chunk *c = tail(p);

	size_t framed;

	if (!c)
		return SLICE_NONE;
	framed = c->len + p->in_flight_bytes;
	return slice_of(c->bytes + framed, c->filled - framed);
}

static void show(struct partition *p, size_t bytes)
{
	struct chunk *c = tail(p);

	p->base.state.bytes += (int64_t)bytes;
	p->warm_bytes += (int64_t)bytes;
	chunk_show(c, bytes);
	CHECK(c->end_offset <= p->base.state.log_end);
	set_high_watermark(p, c->end_offset);
}

void partition_show(struct partition *p, size_t bytes)
{
	show(p, bytes);
	expiry_note(p, p->base.state.high_watermark, tail(p)->max_timestamp, true);
	partition_retain(p);
	partition_thin(p); /* not only when a checkpoint ends: so memory is level under load */
	expiry_look(p);
}

void partition_take(struct partition *p, struct slice batch, int32_t leader_epoch,
                    size_t more_bytes)
{
	struct fault f = {0};
	bool filled;

	p->base.state.leader_epoch = leader_epoch;
	filled = partition_fill(p, batch, more_bytes, &f);
	CHECK(filled);
	CHECK(f.code == OK); /* at start there is memory, or no start */
	show(p, batch.len);
	CHECK(p->base.state.high_watermark == p->base.state.log_end);
	expiry_note(p, p->base.state.high_watermark, tail(p)->max_timestamp, false);
}

void partition_take_cold(struct partition *p, const struct segment *s)
{
	CHECK(p->chunk_count == 0);
	CHECK(s->base_offset == p->base.state.log_end);
	CHECK(note_epoch(p, s->leader_epoch, s->base_offset));
	p->base.state.leader_epoch = s->leader_epoch;
	p->base.state.log_end = s->end_offset;
	set_high_watermark(p, s->end_offset);
}

void partition_unfill(struct partition *p)
{
	struct chunk *c = tail(p);

	if (c)
		chunk_unfill(c);
	p->base.state.log_end = p->base.state.high_watermark;
}

void partition_seal(struct partition *p)
{
	struct chunk *c = tail(p);

	if (c)
		c->cap = c->filled;
}

/* --- shrinking -------------------------------------------------------------------------------- */

static void count_fenced(const struct partition *p, int64_t by)
{
	metric_add(loop_metrics(p->shard->loop), METRIC_PARTITIONS_FENCED, by);
}

void partition_fence(struct partition *p, const char *why)
{
	if (!p->base.state.fenced.code)
		count_fenced(p, 1);
	store_partition_fence(&p->base, ERR_FENCED, why);
}

void partition_lift_fence(struct partition *p)
{
	if (p->base.state.fenced.code)
		count_fenced(p, -1);
	store_partition_unfence(&p->base);
}

void partition_settle(struct partition *p)
{
	struct partition_state *s = &p->base.state;
	struct chunk *c = p->chunk_count > 0 ? p->chunks[0] : NULL;
	uint32_t passed = 0;

	/* A chunk that is being filled stays, even with nothing visible in it. */
	while (c && c->end_offset <= s->log_start && c->filled == c->len) {
		p->warm_bytes -= (int64_t)(c->len - p->head_at);
		p->head_at = 0;
		passed++;
		c = passed < p->chunk_count ? p->chunks[passed] : NULL;
	}
	if (c) {
		bool is_found = c->len > 0 && s->log_start < c->end_offset;
		size_t at = is_found ? chunk_find(c, s->log_start) : c->len;

		p->warm_bytes -= (int64_t)(at - p->head_at);
		p->head_at = at;
	}
	if (passed > 0)
		partition_drop_chunks(p, passed);
	s->bytes = p->warm_bytes + partition_cold_bytes(p);
}

void partition_move_start(struct partition *p, int64_t upto)
{
	struct partition_state *s = &p->base.state;

	CHECK(upto <= s->high_watermark);
	if (upto < s->log_start)
		return;
	s->log_start = upto;
	if (p->damage.from >= 0 && p->damage.to <= upto) {
		p->damage = (struct damage){-1, -1};
		p->damage_may_pass = false;
		partition_lift_fence(p);
	}
	partition_settle(p);
}

void partition_retain(struct partition *p)
{
	const struct topic_settings *t = &p->base.settings;
	const struct partition_state *s = &p->base.state;
	int64_t bytes_max = topic_retention(t, t->retention_bytes);
	int64_t count_max = topic_retention(t, t->retention_count);
	bool is_warm = partition_retain_cold(p);
	int64_t start = s->log_start, bytes = s->bytes;
	size_t at = p->head_at;
	uint32_t i = 0;

	if (!is_warm)
		return;
	while ((bytes_max >= 0 && bytes > bytes_max) ||
	       (count_max >= 0 && s->high_watermark - start > count_max)) {
		struct batch b;

		if (i < p->chunk_count && at == p->chunks[i]->len) {
			at = 0;
			i++;
		}
		if (i == p->chunk_count || p->chunks[i]->len == 0)
			break;
		b = chunk_batch(p->chunks[i], at);
		if (b.last_offset + 1 >= s->high_watermark)
			break;
		start = b.last_offset + 1;
		bytes -= (int64_t)b.bytes.len;
		at += b.bytes.len;
	}
	if (start > s->log_start)
		partition_move_start(p, start);
}

/* --- damage ----------------------------------------------------------------------------------- */

void partition_set_damage(struct partition *p, struct damage d)
{
	char why[sizeof(((struct fault *)0)->where)];

	if (d.from < 0 || (d.to <= p->base.state.log_start && d.from < d.to))
		return;
	if (d.from < p->base.state.log_start)
		d.from = p->base.state.log_start;
	if (p->damage.from >= 0) {
		d.from = d.from < p->damage.from ? d.from : p->damage.from;
		d.to = d.to > p->damage.to ? d.to : p->damage.to;
	}
	p->damage = d;
	snprintf(why, sizeof(why), "%.60s/%u %s at offset %lld; %spurge it or trim it up to %lld",
	         p->topic->name, p->base.index,
	         p->damage_may_pass ? "could not be read" : "is damaged", (long long)d.from,
	         p->damage_may_pass ? "restart, or " : "", (long long)d.to);
	partition_fence(p, why);
}

void partition_go_on_at(struct partition *p, int64_t offset)
{
	struct partition_state *s = &p->base.state;

	if (offset <= s->log_end)
		return;
	partition_seal(p); /* no chunk has a hole: a read must stop before it */
	partition_set_damage(p, (struct damage){s->log_end, offset});
	s->log_end = offset;
	set_high_watermark(p, offset);
}

/* --- reading ---------------------------------------------------------------------------------- */

uint32_t partition_chunk_at(const struct partition *p, int64_t offset)
{
	uint32_t low = 0, high = p->chunk_count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (p->chunks[middle]->end_offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < p->chunk_count && p->chunks[low]->len > 0 ? low : p->chunk_count;
}

static enum err say_lost(const struct partition *p, struct fault *f)
{
	return fault_set(f, ERR_CORRUPT, 0, "%s/%u: offsets %lld to %lld are lost", p->topic->name,
	                 p->base.index, (long long)p->damage.from, (long long)p->damage.to - 1);
}

enum err partition_read_check(const struct partition *p, int64_t offset, struct fault *f)
{
	enum err err = store_read_check(&p->base, p->topic->name, offset, f);

	if (err)
		return err;
	if (partition_has_hole(p) && offset >= p->damage.from && offset < p->damage.to)
		return say_lost(p, f);
	return OK;
}

void partition_read_warm(struct partition *p, int64_t offset, size_t bytes_max,
                         struct slice *batches, struct shared **holder)
{
	uint32_t i = partition_chunk_at(p, offset);
	struct chunk *c;

	CHECK(i < p->chunk_count); /* below the high watermark and not lost: so it is there */
	c = p->chunks[i];
	*batches = chunk_batches(c, chunk_find(c, offset), bytes_max);
	*holder = shared_get(&c->shared);
}

enum err partition_find_time(struct partition *p, int64_t from, int64_t time_ms, int64_t *offset,
                             struct fault *f)
{
	for (uint32_t i = 0; i < p->chunk_count; i++) {
		if (partition_has_hole(p) && p->chunks[i]->base_offset >= p->damage.to)
			break;
		if (chunk_find_time(p->chunks[i], from, time_ms, offset))
			return OK;
	}
	if (partition_has_hole(p)) /* it may have been among what is lost */
		return say_lost(p, f);
	*offset = p->base.state.high_watermark;
	return OK;
}

int64_t partition_epoch_end(const struct partition *p, int32_t epoch)
{
	for (uint32_t i = 0; i < p->epoch_count; i++)
		if (p->epochs[i].epoch > epoch)
			return p->epochs[i].offset;
	return p->base.state.log_end;
}
