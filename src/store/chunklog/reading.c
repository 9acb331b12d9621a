/* The way out of a partition: what is warm is answered from chunks within the turn, what is cold by
 * a worker that reads segments.
 *
 * A lookup goes through what is cold segment by segment, then through the chunks. Meanwhile
 * retention may pass it, and chunks may become cold: so after each segment it looks anew where it
 * stands. */
#include "store/answers.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/cold.h"
#include "store/chunklog/partition.h"

#include <stdlib.h>

/* --- one visit to a segment ------------------------------------------------------------------- */

struct cold_visit {
	struct work work;
	struct partition *partition; /* borrowed: it is not gone while this is under way */
	struct cold_source source;
	int64_t from;  /* offset */
	int64_t limit; /* not beyond this offset */
	struct store_read *read;
	struct store_time_lookup *lookup; /* one of the two */
	int64_t bad_at;
	struct fault fault;
};

static void visit_run(struct work *w)
{
	struct cold_visit *v = CONTAINER_OF(w, struct cold_visit, work);
	struct cold *cold = v->partition->shard->log->cold;
	struct store_read *r = v->read;
	enum err err;

	if (r && r->range_bytes_max > 0 &&
	    cold_range(cold, &v->source, v->from, v->limit, r->range_bytes_max, &r->range,
	               &r->holder))
		err = OK;
	else if (r)
		err = cold_read(cold, &v->source, v->from, v->limit, r->bytes_max, &r->batches,
		                &r->holder, &v->bad_at, &v->fault);
	else
		err = cold_find_time(cold, &v->source, v->from, v->limit, v->lookup->time_ms,
		                     &v->lookup->offset, &v->bad_at, &v->fault);
	if (!err) /* it may tell of what was tried first */
		v->fault = (struct fault){0};
}

/* False: no segment has it, or there is no memory, as the request's fault says. */
static bool visit_start(struct partition *p, int64_t from, struct store_read *read,
                        struct store_time_lookup *lookup, void (*done)(struct work *w))
{
	const struct segment *s = partition_segment_at(p, from);
	struct cold_visit *v;

	if (!s)
		return false;
	v = calloc(1, sizeof(*v));
	if (!v) {
		fault_set(read ? &read->fault : &lookup->fault, ERR_NO_MEMORY, 0, "to read %s/%u",
		          p->topic->name, p->base.index);
		return false;
	}
	*v = (struct cold_visit){
		.work = {.run = visit_run, .done = done},
		.partition = p,
		.source = {partition_home(p), *s, s + 1 < p->sealed->segments + p->sealed->count},
		.from = from > s->base_offset ? from : s->base_offset,
		.limit = s->end_offset,
		.read = read,
		.lookup = lookup,
	};
	if (partition_has_hole(p) && from < p->damage.from)
		v->limit = p->damage.from;
	p->cold_reads++;
	loop_work(p->shard->loop, &v->work);
	return true;
}

static void visit_end(struct cold_visit *v)
{
	struct partition *p = v->partition;

	if (v->fault.code == ERR_CORRUPT && partition_has_segment(p, &v->source.segment))
		partition_cold_damage(p, &v->source.segment, v->bad_at, &v->fault);
	free(v);
	p->cold_reads--;
}

/* --- reads ------------------------------------------------------------------------------------ */

static void read_visited(struct work *w)
{
	struct cold_visit *v = CONTAINER_OF(w, struct cold_visit, work);
	struct partition *p = v->partition;
	struct store_read *r = v->read;

	bool is_outdated =
		v->fault.code == ERR_CORRUPT && !partition_has_segment(p, &v->source.segment);

	r->fault = v->fault;
	visit_end(v);
	if (is_outdated) { /* compaction took the file away */
		partition_read(p, r);
		partition_check_quiet(p);
		return;
	}
	/* What retention passed meanwhile was no damage. */
	if (r->fault.code)
		(void)!partition_read_check(p, r->offset, &r->fault);
	r->done(r);
	partition_check_quiet(p);
}

void partition_read(struct partition *p, struct store_read *r)
{
	r->fault = (struct fault){0};
	r->batches = SLICE_NONE;
	r->range = (struct store_range){0};
	r->holder = NULL;
	if (!partition_read_check(p, r->offset, &r->fault) &&
	    r->offset < p->base.state.high_watermark) {
		if (r->offset >= partition_warm_start(p))
			partition_read_warm(p, r->offset, r->bytes_max, &r->batches, &r->holder);
		else if (visit_start(p, r->offset, r, NULL, read_visited))
			return;
		else if (!r->fault.code)
			fault_set(&r->fault, ERR_CORRUPT, 0, "%s/%u: no segment has offset %lld",
			          p->topic->name, p->base.index, (long long)r->offset);
	}
	store_read_answer(r, p->shard->loop);
}

/* --- lookups ---------------------------------------------------------------------------------- */

static void lookup_visited(struct work *w);

/* From offset `from` on; true: it is answered, in `l`. */
static bool lookup_step(struct partition *p, struct store_time_lookup *l, int64_t from)
{
	int64_t log_start = p->base.state.log_start;

	if (p->base.state.deleted) {
		fault_set(&l->fault, ERR_TOPIC_GONE, 0, "%s", p->topic->name);
		return true;
	}
	if (from < log_start)
		from = log_start;
	from = partition_skip_older(p, from, l->time_ms);
	if (from < partition_warm_start(p) && !(partition_has_hole(p) && from >= p->damage.from) &&
	    visit_start(p, from, NULL, l, lookup_visited))
		return false;
	if (!l->fault.code)
		(void)!partition_find_time(p, from, l->time_ms, &l->offset, &l->fault);
	return true;
}

static void lookup_visited(struct work *w)
{
	struct cold_visit *v = CONTAINER_OF(w, struct cold_visit, work);
	int64_t next =
		v->limit < v->source.segment.end_offset ? v->limit : v->source.segment.end_offset;
	struct partition *p = v->partition;
	struct store_time_lookup *l = v->lookup;
	struct fault why = v->fault;
	bool answered;

	visit_end(v);
	/* After damage the next step says so, unless retention has passed it. */
	if (why.code && why.code != ERR_CORRUPT)
		l->fault = why;
	answered = l->fault.code ||
	           (!why.code && l->offset >= p->base.state.log_start && !p->base.state.deleted) ||
	           lookup_step(p, l, why.code ? p->base.state.log_start : next);
	if (answered) {
		if (l->fault.code)
			l->offset = -1;
		l->done(l);
	}
	partition_check_quiet(p);
}

void partition_lookup_time(struct partition *p, struct store_time_lookup *l)
{
	l->fault = (struct fault){0};
	l->offset = -1;
	if (!lookup_step(p, l, p->base.state.log_start))
		return;
	if (l->fault.code)
		l->offset = -1;
	store_lookup_answer(l, p->shard->loop);
}
