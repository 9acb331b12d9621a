#include "store/testing/fault_store.h"

#include <stdatomic.h>
#include <stdlib.h>

struct armed {
	atomic_int left; /* the operation that takes it from 1 to 0 fails; <= 0: none will */
	enum err code;
	enum fault_effect effect;
	bool sticky;
	atomic_uint injected;
};

struct fault_store {
	struct store_ops ops; /* ours; the store points here, which leads back to the rest */
	const struct store_ops *inner;
	struct store *store;
	struct loop *const *loops;
	unsigned shard_count;
	struct list *calls; /* one a shard: struct call, in the order given */
	struct armed armed[STORE_CALL_COUNT];
};

/* An operation on its way: every append (they must keep their order around one that fails), of the
 * others only those that fail. */
struct call {
	struct list node;
	struct task fail; /* FAULT_BEFORE: completes it later in this turn */
	enum store_call kind;
	void *op; /* by its kind */
	union {
		void (*append)(struct store_append *a);
		void (*trim)(struct store_trim *t);
		void (*topic)(struct store_topic_op *o);
	} done;             /* the caller's own, while ours stands in the operation */
	struct fault fault; /* code OK: none of ours */
	bool finished;      /* an append that waits for earlier ones of its partition */
};

static struct fault_store *wrapper_of(struct store *s)
{
	return CONTAINER_OF(s->ops, struct fault_store, ops);
}

/* --- calls ----------------------------------------------------------------------------------- */

static bool is_hit(struct armed *armed)
{
	int before = atomic_fetch_sub(&armed->left, 1);

	if (before != 1 && !(armed->sticky && before < 1))
		return false;
	atomic_fetch_add(&armed->injected, 1);
	return true;
}

static void call_fail(struct task *t);

static struct call *call_new(struct fault_store *fs, unsigned shard, enum store_call kind, void *op)
{
	struct call *c = calloc(1, sizeof(*c));

	CHECK(c != NULL);
	c->kind = kind;
	c->op = op;
	c->fail.run = call_fail;
	list_append(&fs->calls[shard], &c->node);
	return c;
}

static struct call *call_of(struct fault_store *fs, unsigned shard, const void *op)
{
	LIST_EACH (node, &fs->calls[shard]) {
		struct call *c = LIST_ENTRY(node, struct call, node);

		if (c->op == op)
			return c;
	}
	UNREACHABLE();
}

static void call_free(struct call *c)
{
	list_remove(&c->node);
	free(c);
}

static void impose(struct fault *fault, const struct call *c)
{
	if (fault->code == OK && c->fault.code != OK)
		*fault = c->fault;
}

/* Prepare `op` to fail when its kind's turn has come; NULL: it has not. The caller starts the
 * engine, unless `*before`. */
static struct call *call_to_fail(struct fault_store *fs, unsigned shard, enum store_call kind,
                                 void *op, bool *before)
{
	struct armed *armed = &fs->armed[kind];
	struct call *c;

	*before = false;
	if (!is_hit(armed))
		return NULL;
	c = call_new(fs, shard, kind, op);
	fault_set(&c->fault, armed->code, 0, "injected");
	*before = armed->effect == FAULT_BEFORE;
	if (*before)
		loop_defer(fs->loops[shard], LOOP_WORK, &c->fail);
	return c;
}

/* --- appends --------------------------------------------------------------------------------- */

/* The first append that is finished and has no unfinished one of its partition before it. */
static struct call *deliverable(struct list *calls)
{
	LIST_EACH (node, calls) {
		struct call *c = LIST_ENTRY(node, struct call, node);
		struct store_append *a = c->op;
		bool first = true;

		if (c->kind != STORE_APPEND || !c->finished)
			continue;
		LIST_EACH (earlier, calls) {
			struct call *e = LIST_ENTRY(earlier, struct call, node);

			if (e == c)
				break;
			if (e->kind == STORE_APPEND &&
			    ((struct store_append *)e->op)->partition == a->partition)
				first = false;
		}
		if (first)
			return c;
	}
	return NULL;
}

static void append_finished(struct store_append *a)
{
	struct fault_store *fs = wrapper_of(a->partition->store);
	struct list *calls = &fs->calls[a->partition->shard];
	struct call *c = call_of(fs, a->partition->shard, a);

	impose(&a->fault, c);
	c->finished = true;
	while ((c = deliverable(calls)) != NULL) {
		a = c->op;
		a->done = c->done.append;
		call_free(c);
		a->done(a);
	}
}

static void fault_append(struct store_append *a)
{
	struct fault_store *fs = wrapper_of(a->partition->store);
	bool before;
	struct call *c = call_to_fail(fs, a->partition->shard, STORE_APPEND, a, &before);

	if (!c)
		c = call_new(fs, a->partition->shard, STORE_APPEND, a);
	c->done.append = a->done;
	a->done = append_finished;
	if (!before)
		fs->inner->append(a);
}

/* --- the others ------------------------------------------------------------------------------ */

static void trim_finished(struct store_trim *t)
{
	struct fault_store *fs = wrapper_of(t->partition->store);
	struct call *c = call_of(fs, t->partition->shard, t);

	impose(&t->fault, c);
	t->done = c->done.trim;
	call_free(c);
	t->done(t);
}

static void topic_finished(struct store_topic_op *o)
{
	struct call *c = call_of(wrapper_of(o->store), 0, o);

	impose(&o->fault, c);
	o->done = c->done.topic;
	call_free(c);
	o->done(o);
}

static void fail_read(struct call *c)
{
	struct store_read *r = c->op;

	r->batches = SLICE_NONE;
	r->holder = NULL;
	r->fault = c->fault;
	call_free(c);
	r->done(r);
}

static void fail_lookup(struct call *c)
{
	struct store_time_lookup *t = c->op;

	t->fault = c->fault;
	call_free(c);
	t->done(t);
}

static void call_fail(struct task *t)
{
	struct call *c = CONTAINER_OF(t, struct call, fail);

	switch (c->kind) {
	case STORE_APPEND:
		((struct store_append *)c->op)->fault = c->fault;
		append_finished(c->op);
		break;
	case STORE_READ: fail_read(c); break;
	case STORE_LOOKUP_TIME: fail_lookup(c); break;
	case STORE_TRIM:
		((struct store_trim *)c->op)->fault = c->fault;
		trim_finished(c->op);
		break;
	case STORE_TOPIC_CREATE:
	case STORE_TOPIC_ALTER:
	case STORE_TOPIC_DELETE:
		((struct store_topic_op *)c->op)->fault = c->fault;
		topic_finished(c->op);
		break;
	default: UNREACHABLE();
	}
}

static void fault_read(struct store_read *r)
{
	struct fault_store *fs = wrapper_of(r->partition->store);
	bool before;

	if (!call_to_fail(fs, r->partition->shard, STORE_READ, r, &before))
		fs->inner->read(r);
}

static void fault_lookup_time(struct store_time_lookup *t)
{
	struct fault_store *fs = wrapper_of(t->partition->store);
	bool before;

	if (!call_to_fail(fs, t->partition->shard, STORE_LOOKUP_TIME, t, &before))
		fs->inner->lookup_time(t);
}

static void fault_trim(struct store_trim *t)
{
	struct fault_store *fs = wrapper_of(t->partition->store);
	bool before;
	struct call *c = call_to_fail(fs, t->partition->shard, STORE_TRIM, t, &before);

	if (c) {
		c->done.trim = t->done;
		t->done = trim_finished;
	}
	if (!before)
		fs->inner->trim(t);
}

static void topic_call(struct store_topic_op *o, enum store_call kind,
                       void (*inner)(struct store_topic_op *o))
{
	bool before;
	struct call *c = call_to_fail(wrapper_of(o->store), 0, kind, o, &before);

	if (c) {
		c->done.topic = o->done;
		o->done = topic_finished;
	}
	if (!before)
		inner(o);
}

static void fault_topic_create(struct store_topic_op *o)
{
	topic_call(o, STORE_TOPIC_CREATE, wrapper_of(o->store)->inner->topic_create);
}

static void fault_topic_alter(struct store_topic_op *o)
{
	topic_call(o, STORE_TOPIC_ALTER, wrapper_of(o->store)->inner->topic_alter);
}

static void fault_topic_delete(struct store_topic_op *o)
{
	topic_call(o, STORE_TOPIC_DELETE, wrapper_of(o->store)->inner->topic_delete);
}

/* --- the wrapper ----------------------------------------------------------------------------- */

struct fault_store *fault_store_wrap(struct store *s, struct loop *const *loops,
                                     unsigned shard_count)
{
	struct fault_store *fs = calloc(1, sizeof(*fs));

	CHECK(fs != NULL);
	fs->inner = s->ops;
	fs->store = s;
	fs->loops = loops;
	fs->shard_count = shard_count;
	fs->calls = calloc(shard_count, sizeof(*fs->calls));
	CHECK(fs->calls != NULL);
	for (unsigned i = 0; i < shard_count; i++)
		list_init(&fs->calls[i]);
	fs->ops = *s->ops;
	fs->ops.append = fault_append;
	fs->ops.read = fault_read;
	fs->ops.lookup_time = fault_lookup_time;
	fs->ops.trim = fault_trim;
	fs->ops.topic_create = fault_topic_create;
	fs->ops.topic_alter = fault_topic_alter;
	fs->ops.topic_delete = fault_topic_delete;
	s->ops = &fs->ops;
	return fs;
}

void fault_store_unwrap(struct fault_store *fs)
{
	for (unsigned i = 0; i < fs->shard_count; i++)
		CHECK(list_is_empty(&fs->calls[i]));
	fs->store->ops = fs->inner;
	free(fs->calls);
	free(fs);
}

void fault_store_arm(struct fault_store *fs, enum store_call call, unsigned n, enum err code,
                     enum fault_effect effect, bool sticky)
{
	struct armed *armed = &fs->armed[call];

	CHECK(n > 0);
	CHECK(code != OK);
	CHECK(effect == FAULT_BEFORE || (call != STORE_READ && call != STORE_LOOKUP_TIME));
	armed->code = code;
	armed->effect = effect;
	armed->sticky = sticky;
	atomic_store(&armed->left, (int)n);
}

void fault_store_disarm(struct fault_store *fs, enum store_call call)
{
	fs->armed[call].sticky = false;
	atomic_store(&fs->armed[call].left, 0);
}

unsigned fault_store_injected(const struct fault_store *fs, enum store_call call)
{
	return atomic_load(&fs->armed[call].injected);
}
