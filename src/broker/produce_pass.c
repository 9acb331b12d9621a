/* A request whose records wait for hooks: they are copied aside, and shown to the hooks a few at a
 * time.
 *
 *	a caller's, in the order of the calls
 *	[t: shown] [u: shown] [t: over]
 *	     ↑                    ↑
 *	     └─ this one goes on when that one has
 *
 * A caller stands for its connection: so what one connection says about one topic keeps its order,
 * however long each takes. When many are aside no more is read from the connections that have some;
 * the others, whose topics may have no hooks, go on. */
#include "base/hash.h"
#include "broker/produce_hooks.h"

#include <stdlib.h>

enum {
	SHOWN_MAX = 32,     /* records of one request at a time */
	PASSES_MANY = 1024, /* of a shard: whose they are is not read any more … */
	PASSES_MAX = 8192,  /* … and here others are refused */
};

/* Of one caller; gone with the last of its passes. */
struct pass_lane {
	const struct caller *caller;
	struct list passes; /* in the order of the calls */
	UT_hash_handle hh;  /* in broker->pass_lanes */
};

/* A record that is being shown. */
struct shown {
	struct hook_run run;
	struct produce_pass *pass;
	uint32_t index;
};

struct produce_pass {
	struct list node; /* in lane->passes */
	struct pass_lane *lane;
	struct produce *produce;
	struct produce_copy *copy; /* owned */
	struct arena arena;
	struct bourn_caller caller;
	bool *dropped;      /* by record; in the arena */
	uint32_t next;      /* the next to be shown */
	uint32_t under_way; /* of `shown` */
	enum err err;       /* one was refused: no more are shown */
	bool over;
	struct shown shown[];
};

/* --- order ------------------------------------------------------------------------------------ */

static struct produce_pass *pass_of(struct list *node)
{
	return LIST_ENTRY(node, struct produce_pass, node);
}

static bool same_topic(const struct produce_pass *a, const struct produce_pass *b)
{
	return slice_eq(a->produce->topic, b->produce->topic);
}

static bool is_first(const struct produce_pass *pass)
{
	struct list *node = pass->node.prev;

	while (node != &pass->lane->passes && !same_topic(pass_of(node), pass))
		node = node->prev;
	return node == &pass->lane->passes;
}

static struct produce_pass *next_of_topic(const struct produce_pass *pass)
{
	struct list *node = pass->node.next;

	while (node != &pass->lane->passes && !same_topic(pass_of(node), pass))
		node = node->next;
	return node == &pass->lane->passes ? NULL : pass_of(node);
}

static struct pass_lane *lane_find(const struct broker *b, const struct caller *caller)
{
	struct pass_lane *lane;

	HASH_FIND_PTR(b->pass_lanes, &caller, lane);
	return lane;
}

/* NULL: no memory. */
static struct pass_lane *lane_get(struct broker *b, const struct caller *caller)
{
	struct pass_lane *lane = lane_find(b, caller);

	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	lane->caller = caller;
	list_init(&lane->passes);
	HASH_ADD_PTR(b->pass_lanes, caller, lane);
	if (hash_took(&lane->hh))
		return lane;
	free(lane);
	return NULL;
}

static void lane_join(struct broker *b, struct produce_pass *pass)
{
	list_append(&pass->lane->passes, &pass->node);
	b->pass_count++;
}

static void lane_leave(struct broker *b, struct produce_pass *pass)
{
	list_remove(&pass->node);
	b->pass_count--;
	if (!list_is_empty(&pass->lane->passes))
		return;
	HASH_DELETE(hh, b->pass_lanes, pass->lane);
	free(pass->lane);
}

bool produce_is_behind(const struct broker *b, const struct caller *c)
{
	return b->pass_count >= PASSES_MANY && lane_find(b, c);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void pass_free(struct produce_pass *pass, struct broker *b)
{
	produce_copy_free(b, pass->copy);
	arena_fini(&pass->arena);
	free(pass);
}

static uint32_t leave_out_dropped(struct produce_pass *pass)
{
	struct record *records = pass->copy->records;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < pass->copy->count; i++)
		if (!pass->dropped[i])
			records[kept++] = records[i];
	return kept;
}

static void finish(struct produce_pass *pass)
{
	struct produce *p = pass->produce;
	struct broker *b = p->broker;
	uint32_t kept = pass->err ? 0 : leave_out_dropped(pass);
	enum err err = pass->err;

	lane_leave(b, pass);
	if (kept > 0)
		err = produce_store(p, pass->copy->records, kept);
	if (err || kept == 0)
		produce_finish(p, err);
	pass_free(pass, b);
}

static void end_if_over(struct produce_pass *pass)
{
	bool all_shown = pass->err || pass->next == pass->copy->count;

	if (pass->under_way > 0 || !all_shown)
		return;
	pass->over = true;
	if (!is_first(pass))
		return;
	while (pass && pass->over) {
		struct produce_pass *after = next_of_topic(pass);

		finish(pass);
		pass = after;
	}
}

/* --- showing ---------------------------------------------------------------------------------- */

static void take(struct shown *s)
{
	struct produce_pass *pass = s->pass;

	pass->under_way--;
	if (!pass->err) /* the first that is refused says why */
		pass->err = produce_run_take(&s->run, pass->produce, &pass->copy->records[s->index],
		                             &pass->dropped[s->index]);
}

static void was_asked(struct hook_run *run);

/* One record after the other, until one has to wait. */
static void show(struct shown *s)
{
	struct produce_pass *pass = s->pass;
	struct produce *p = pass->produce;

	while (!pass->err && pass->next < pass->copy->count) {
		s->index = pass->next++;
		pass->under_way++;
		produce_run_init(&s->run, p, &pass->caller, &pass->arena,
		                 &pass->copy->records[s->index]);
		s->run.done = was_asked;
		if (!hook_run_start(p->broker->produce_hooks, &s->run))
			return;
		take(s);
	}
}

static void was_asked(struct hook_run *run)
{
	struct shown *s = CONTAINER_OF(run, struct shown, run);

	take(s);
	show(s);
	end_if_over(s->pass);
}

/* --- the beginning ---------------------------------------------------------------------------- */

/* What the call borrowed is kept as long as the hooks take. */
static bool keep_borrowed(struct produce_pass *pass, struct produce *p, uint32_t count)
{
	struct slice peer, principal;

	pass->caller = caller_for_hooks(p->caller);
	peer = slice_of(pass->caller.peer, strlen(pass->caller.peer) + 1);
	principal = slice_in(pass->caller.principal);
	pass->dropped = arena_alloc(&pass->arena, count * sizeof(*pass->dropped));
	if (!pass->dropped || !arena_copy(&pass->arena, peer, &peer) ||
	    !arena_copy(&pass->arena, principal, &principal) ||
	    !arena_copy(&pass->arena, p->topic, &p->topic))
		return false;
	memset(pass->dropped, 0, count * sizeof(*pass->dropped));
	pass->caller.peer = (const char *)peer.ptr;
	pass->caller.principal = slice_out(principal);
	return true;
}

static enum err pass_new(struct produce *p, const struct record *records, uint32_t count,
                         uint32_t shown, struct produce_pass **out)
{
	struct broker *b = p->broker;
	struct produce_pass *pass;
	enum err err;

	if (b->pass_count >= PASSES_MAX)
		return ERR_BUSY;
	pass = calloc(1, sizeof(*pass) + shown * sizeof(pass->shown[0]));
	if (!pass)
		return ERR_NO_MEMORY;
	err = produce_copy_new(b, records, count, &pass->copy);
	if (err) {
		free(pass);
		return err;
	}
	pass->produce = p;
	pass->arena = ARENA_INIT;
	if (keep_borrowed(pass, p, count))
		pass->lane = lane_get(b, p->caller);
	if (!pass->lane) {
		pass_free(pass, b);
		return ERR_NO_MEMORY;
	}
	*out = pass;
	return OK;
}

void produce_pass(struct produce *p, const struct record *records, uint32_t count)
{
	uint32_t shown = count < SHOWN_MAX ? count : SHOWN_MAX;
	struct produce_pass *pass;
	enum err err = pass_new(p, records, count, shown, &pass);

	if (err) {
		produce_finish(p, err);
		return;
	}
	lane_join(p->broker, pass);
	for (uint32_t i = 0; i < shown; i++) {
		pass->shown[i].pass = pass;
		show(&pass->shown[i]);
	}
	end_if_over(pass);
}
