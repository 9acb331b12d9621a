#include "store/fanout.h"

#include "store/store.h"

#include <stdlib.h>

static void come_home(struct message *m)
{
	struct fanout *o = CONTAINER_OF(m, struct fanout_visit, message)->fanout;

	if (--o->pending == 0)
		o->done(o);
}

static void arrive(struct message *m)
{
	struct fanout_visit *v = CONTAINER_OF(m, struct fanout_visit, message);

	v->fanout->visit(v);
}

struct fanout *fanout_new(struct store *store, const struct store_config *config)
{
	unsigned count = config->shard_count;
	struct fanout *o = calloc(1, sizeof(*o) + count * sizeof(o->visits[0]));

	if (!o)
		return NULL;
	o->store = store;
	o->config = config;
	for (unsigned i = 0; i < count; i++) {
		o->visits[i].fanout = o;
		o->visits[i].shard = i;
	}
	return o;
}

void fanout_start(struct fanout *o, void (*visit)(struct fanout_visit *v),
                  void (*done)(struct fanout *o), void *context)
{
	unsigned count = o->config->shard_count;

	CHECK(o->pending == 0);
	o->visit = visit;
	o->done = done;
	o->context = context;
	o->pending = count;
	for (unsigned i = 0; i < count; i++) {
		struct fanout_visit *v = &o->visits[i];

		v->message.deliver = arrive;
		loop_post(o->config->loops[i], &v->message);
	}
}

void fanout_leave(struct fanout_visit *v)
{
	v->message.deliver = come_home;
	loop_post(v->fanout->config->loops[0], &v->message);
}

void fanout_leave_after(struct fanout_visit *v)
{
	CHECK(v->pending > 0);
	if (--v->pending == 0)
		fanout_leave(v);
}
