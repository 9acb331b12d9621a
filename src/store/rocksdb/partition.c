#include "io/log.h"
#include "io/metrics.h"
#include "store/chunk.h"
#include "store/rocksdb/rocks.h"

#include <stdio.h>
#include <stdlib.h>

/* --- life ------------------------------------------------------------------------------------ */

static void went_quiet(struct task *t);

void rocks_partition_init(struct rocks_partition *p, struct rocks_topic *t,
                          const struct topic_spec *spec, uint32_t index, struct rocks_shard *shard)
{
	struct rocks *s = shard->store;

	*p = (struct rocks_partition){
		.topic = t,
		.shard = shard,
		.home = {.topic = t->uuid, .partition = index},
		.tail_seen = -1,
		.mark_time = INT64_MIN,
		.damage_from = -1,
		.damage_to = -1,
		.went_quiet = {.run = went_quiet},
	};
	store_partition_init(&p->base, &s->base, spec, index, (unsigned)(shard - s->shards));
	p->base.state.leader_epoch = s->leader_epoch;
	list_init(&p->turns);
	list_init(&p->overtaken);
	rocks_append_init(p);
}

void rocks_partition_fini(struct rocks_partition *p)
{
	CHECK(!p->in_flight);
	CHECK(list_is_empty(&p->waiting));
	CHECK(list_is_empty(&p->answered));
	CHECK(list_is_empty(&p->turns));
	task_cancel(&p->base.notify);
	task_cancel(&p->submit);
	if (p->tail)
		chunk_put(p->tail);
	age_fini(&p->age);
	store_partition_unfence(&p->base);
	free(p->epochs);
}

int64_t rocks_run_ms(const struct rocks_shard *shard)
{
	return (loop_now(shard->loop).mono_us - shard->store->began.mono_us) / 1000;
}

/* --- epochs ---------------------------------------------------------------------------------- */

bool rocks_partition_note_epoch(struct rocks_partition *p, int32_t epoch, int64_t offset)
{
	struct rocks_epoch *grown;

	if (p->epoch_count > 0 && p->epochs[p->epoch_count - 1].epoch >= epoch)
		return true;
	if (p->epoch_count == ROCKS_EPOCHS_MAX) {
		p->epoch_count--;
		memmove(p->epochs, p->epochs + 1, p->epoch_count * sizeof(*p->epochs));
	} else {
		grown = reallocarray(p->epochs, p->epoch_count + 1, sizeof(*p->epochs));
		if (!grown)
			return false;
		p->epochs = grown;
	}
	p->epochs[p->epoch_count++] = (struct rocks_epoch){epoch, offset};
	p->epochs_unsaved = true;
	return true;
}

int64_t rocks_partition_epoch_end(const struct rocks_partition *p, int32_t epoch)
{
	for (uint32_t i = 0; i < p->epoch_count; i++)
		if (p->epochs[i].epoch > epoch)
			return p->epochs[i].offset;
	return p->base.state.log_end;
}

/* --- fences ---------------------------------------------------------------------------------- */

static void count_fenced(const struct rocks_partition *p, int64_t by)
{
	metric_add(loop_metrics(p->shard->loop), METRIC_PARTITIONS_FENCED, by);
}

void rocks_partition_fence(struct rocks_partition *p, const char *why)
{
	if (!p->base.state.fenced.code)
		count_fenced(p, 1);
	store_partition_fence(&p->base, ERR_FENCED, why);
}

void rocks_partition_lift_fence(struct rocks_partition *p)
{
	if (p->base.state.fenced.code)
		count_fenced(p, -1);
	store_partition_unfence(&p->base);
}

void rocks_partition_set_damage(struct rocks_partition *p, int64_t from, int64_t to)
{
	char why[sizeof(((struct fault *)0)->where)];

	if (to <= p->base.state.log_start)
		return;
	if (from < p->base.state.log_start)
		from = p->base.state.log_start;
	if (p->damage_from >= 0) {
		from = from < p->damage_from ? from : p->damage_from;
		to = to > p->damage_to ? to : p->damage_to;
	}
	p->damage_from = from;
	p->damage_to = to;
	snprintf(why, sizeof(why),
	         "%.60s/%u is damaged at offset %lld; purge it or trim it up to %lld",
	         p->topic->name, p->base.index, (long long)from, (long long)to);
	rocks_partition_fence(p, why);
}

void rocks_partition_move_start(struct rocks_partition *p, int64_t upto, int64_t total_start)
{
	struct partition_state *s = &p->base.state;

	CHECK(upto <= s->high_watermark);
	CHECK(total_start <= p->total_end);
	if (upto < s->log_start)
		return;
	s->log_start = upto;
	if (total_start > p->total_start)
		p->total_start = total_start;
	if (p->first_row >= p->compacted.upto)
		p->compacted.gone = 0;
	rocks_partition_count_bytes(p);
	age_trim(&p->age, upto);
	if (p->damage_from >= 0 && p->damage_to <= upto) {
		p->damage_from = -1;
		p->damage_to = -1;
		rocks_partition_lift_fence(p);
	}
}

/* What of a run of compaction that was cut off went with a trim is not known: at worst too much. */
void rocks_partition_count_bytes(struct rocks_partition *p)
{
	int64_t bytes = p->total_end - p->total_start - p->compacted.gone;

	p->base.state.bytes = bytes > 0 ? bytes : 0;
}

/* --- damage ---------------------------------------------------------------------------------- */

struct damage_note {
	struct writer_write write;
	struct rocks_partition *partition;
	int64_t from;
	int64_t to;
};

static void put_damage(struct writer_write *w, const struct database *d,
                       rocksdb_writebatch_t *batch)
{
	struct damage_note *n = CONTAINER_OF(w, struct damage_note, write);
	struct row_meta_key key = row_meta_key(&n->partition->home, ROW_DAMAGE);
	uint8_t value[ROW_RANGE_BYTES];

	row_range_encode(n->from, n->to, value);
	d->lib.writebatch_put_cf(batch, d->meta, (const char *)key.bytes, key.len,
	                         (const char *)value, sizeof(value));
}

/* Not written: the next start finds out when it is read again. */
static void damage_noted(struct writer_write *w)
{
	struct damage_note *n = CONTAINER_OF(w, struct damage_note, write);
	struct rocks_partition *p = n->partition;

	free(n);
	p->visits--;
	rocks_partition_check_quiet(p);
}

void rocks_partition_damaged(struct rocks_partition *p, int64_t from, int64_t to,
                             const struct fault *why)
{
	struct damage_note *n = calloc(1, sizeof(*n));
	char text[320];

	rocks_partition_set_damage(p, from, to);
	store_partition_moved(&p->base, p->shard->loop);
	log_line(p->shard->store->config.log, LOG_ERROR, "store", "%s: %s",
	         p->base.state.fenced.where, fault_text(why, text, sizeof(text)));
	if (!n) /* as when it cannot be written */
		return;
	*n = (struct damage_note){.partition = p, .from = p->damage_from, .to = p->damage_to};
	n->write = (struct writer_write){
		.put = put_damage,
		.durability = DURABILITY_OS,
		.reserved = true,
		.loop = p->shard->loop,
		.done = damage_noted,
	};
	p->visits++;
	writer_write(p->shard->store->writer, &n->write);
}

/* --- deletion -------------------------------------------------------------------------------- */

static bool is_quiet(const struct rocks_partition *p)
{
	return !p->in_flight && p->visits == 0 && list_is_empty(&p->turns) &&
	       list_is_empty(&p->waiting) && list_is_empty(&p->answered);
}

/* In the WRITE stage every read and answer of this turn is done. */
static void went_quiet(struct task *t)
{
	struct rocks_partition *p = CONTAINER_OF(t, struct rocks_partition, went_quiet);
	void (*quiet)(struct rocks_partition *) = p->quiet;

	if (!quiet || !is_quiet(p))
		return;
	p->quiet = NULL;
	quiet(p);
}

void rocks_partition_check_quiet(struct rocks_partition *p)
{
	if (p->quiet && is_quiet(p))
		loop_defer(p->shard->loop, LOOP_WRITE, &p->went_quiet);
}

void rocks_partition_drop(struct rocks_partition *p, void (*quiet)(struct rocks_partition *p),
                          void *context)
{
	rocks_partition_lift_fence(p); /* what is gone is not counted */
	p->base.state.deleted = true;
	p->quiet = quiet;
	p->quiet_context = context;
	rocks_compaction_leave(p);
	store_partition_moved(&p->base, p->shard->loop);
	rocks_partition_check_quiet(p);
}
