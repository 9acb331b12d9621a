/* The way out of a partition: what the tail has is answered within the turn, the rest by a worker
 * that walks the rows. */
#include "store/answers.h"
#include "store/chunk.h"
#include "store/rocksdb/rocks.h"

#include <stdlib.h>

/* --- what may be read ------------------------------------------------------------------------ */

static enum err say_lost(const struct rocks_partition *p, struct fault *f)
{
	return fault_set(f, ERR_CORRUPT, 0, "%s/%u: offsets %lld to %lld cannot be read",
	                 p->topic->name, p->base.index, (long long)p->damage_from,
	                 (long long)p->damage_to - 1);
}

static enum err read_check(const struct rocks_partition *p, int64_t offset, struct fault *f)
{
	enum err err = store_read_check(&p->base, p->topic->name, offset, f);

	if (err)
		return err;
	if (p->damage_from >= 0 && offset >= p->damage_from && offset < p->damage_to)
		return say_lost(p, f);
	return OK;
}

/* --- one visit to the database --------------------------------------------------------------- */

struct visit {
	struct work work;
	struct list node;                  /* overtaken by a trim */
	struct rocks_partition *partition; /* borrowed: it is not gone while this is under way */
	struct rows_span span;
	struct store_read *read;
	struct store_time_lookup *lookup; /* one of the two */
	int64_t bad_at;
	int64_t damage_end;
	struct fault fault;
};

static void visit_run(struct work *w)
{
	struct visit *v = CONTAINER_OF(w, struct visit, work);
	struct rocks_partition *p = v->partition;
	const struct database *d = &p->shard->store->database;
	struct store_read *r = v->read;
	struct store_time_lookup *l = v->lookup;
	enum err err;

	if (r)
		err = rows_read(d, &p->home, v->span, r->bytes_max, &r->batches, &r->holder,
		                &v->bad_at, &v->fault);
	else
		err = rows_find_time(d, &p->home, v->span, l->time_ms, &l->offset, &v->bad_at,
		                     &v->fault);
	if (!err)
		v->fault = (struct fault){0};
	else if (err == ERR_CORRUPT)
		v->damage_end = rows_damage_end(d, &p->home, v->bad_at, v->span.limit);
}

/* False: there is no memory, as the request's fault says. */
static bool visit_start(struct rocks_partition *p, int64_t from, struct store_read *read,
                        struct store_time_lookup *lookup, void (*done)(struct work *w))
{
	const struct partition_state *s = &p->base.state;
	struct visit *v = calloc(1, sizeof(*v));

	if (!v) {
		fault_set(read ? &read->fault : &lookup->fault, ERR_NO_MEMORY, 0, "to read %s/%u",
		          p->topic->name, p->base.index);
		return false;
	}
	*v = (struct visit){
		.work = {.run = visit_run, .done = done},
		.partition = p,
		.span = {.from = from,
	                 .limit = p->damage_from > from ? p->damage_from : s->high_watermark,
	                 .total_end = p->total_end},
		.read = read,
		.lookup = lookup,
	};
	p->visits++;
	loop_work(p->shard->loop, &v->work);
	return true;
}

/* What was found damaged may have been trimmed meanwhile: that is no damage. */
static void visit_end(struct visit *v)
{
	struct rocks_partition *p = v->partition;

	if (v->fault.code == ERR_CORRUPT && !p->base.state.deleted &&
	    v->bad_at >= p->base.state.log_start)
		rocks_partition_damaged(p, v->bad_at, v->damage_end, &v->fault);
	free(v);
	p->visits--;
}

/* The writer has deleted rows, and the log start has not moved yet. */
static bool is_overtaken(struct visit *v)
{
	struct rocks_partition *p = v->partition;

	if (v->fault.code != ERR_CORRUPT || v->bad_at >= p->going)
		return false;
	list_append(&p->overtaken, &v->node);
	return true;
}

void rocks_read_again(struct rocks_partition *p)
{
	struct list again, *node;

	list_init(&again);
	list_move_all(&again, &p->overtaken);
	while ((node = list_take_first(&again)) != NULL) {
		struct visit *v = LIST_ENTRY(node, struct visit, node);
		struct store_time_lookup *l = v->lookup;
		struct store_read *r = v->read;

		free(v);
		p->visits--;
		if (r)
			rocks_read(r);
		else
			rocks_lookup_time(l);
	}
}

/* --- reads ----------------------------------------------------------------------------------- */

static void read_visited(struct work *w)
{
	struct visit *v = CONTAINER_OF(w, struct visit, work);
	struct rocks_partition *p = v->partition;
	struct store_read *r = v->read;

	if (is_overtaken(v))
		return;
	r->fault = v->fault;
	visit_end(v);
	if (r->fault.code)
		(void)!read_check(p, r->offset, &r->fault);
	r->done(r);
	rocks_partition_check_quiet(p);
}

static bool is_in_tail(const struct rocks_partition *p, int64_t offset)
{
	const struct chunk *c = p->tail;

	return c && c->len > 0 && offset >= c->base_offset && offset < c->end_offset;
}

void rocks_read(struct store_read *r)
{
	struct rocks_partition *p = rocks_partition_of(r->partition);

	r->fault = (struct fault){0};
	r->batches = SLICE_NONE;
	r->range = (struct store_range){0};
	r->holder = NULL;
	if (!read_check(p, r->offset, &r->fault) && r->offset < p->base.state.high_watermark) {
		if (is_in_tail(p, r->offset)) {
			r->batches = chunk_batches(p->tail, chunk_find(p->tail, r->offset),
			                           r->bytes_max);
			r->holder = shared_get(&p->tail->shared);
		} else if (visit_start(p, r->offset, r, NULL, read_visited)) {
			return;
		}
	}
	store_read_answer(r, p->shard->loop);
}

/* --- lookups --------------------------------------------------------------------------------- */

/* Nothing was found: before damage it may be among what cannot be read. */
static void lookup_end(struct rocks_partition *p, struct store_time_lookup *l)
{
	if (p->base.state.deleted)
		fault_set(&l->fault, ERR_TOPIC_GONE, 0, "%s", p->topic->name);
	else if (p->damage_from >= 0)
		(void)!say_lost(p, &l->fault);
	else
		l->offset = p->base.state.high_watermark;
}

static void lookup_visited(struct work *w)
{
	struct visit *v = CONTAINER_OF(w, struct visit, work);
	struct rocks_partition *p = v->partition;
	struct store_time_lookup *l = v->lookup;
	int64_t log_start = p->base.state.log_start;
	bool passed = v->span.from < log_start; /* by a trim, meanwhile */

	if (is_overtaken(v))
		return;
	l->fault = v->fault;
	visit_end(v);
	if (passed && (l->fault.code == ERR_CORRUPT || (!l->fault.code && l->offset < log_start))) {
		rocks_lookup_time(l);
		rocks_partition_check_quiet(p);
		return;
	}
	if (!l->fault.code && (l->offset < 0 || p->base.state.deleted))
		lookup_end(p, l);
	if (l->fault.code)
		l->offset = -1;
	l->done(l);
	rocks_partition_check_quiet(p);
}

void rocks_lookup_time(struct store_time_lookup *l)
{
	struct rocks_partition *p = rocks_partition_of(l->partition);
	const struct partition_state *s = &p->base.state;

	l->fault = (struct fault){0};
	l->offset = -1;
	if (!read_check(p, s->log_start, &l->fault)) {
		if (s->log_start == s->high_watermark)
			l->offset = s->high_watermark;
		else if (visit_start(p, s->log_start, NULL, l, lookup_visited))
			return;
	}
	store_lookup_answer(l, p->shard->loop);
}
