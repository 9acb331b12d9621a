#include "store/chunklog/chunklog.h"

#include <stdlib.h>

static void come_home(struct message *m)
{
	struct fanout *o = CONTAINER_OF(m, struct fanout_visit, message)->fanout;

	if (--o->pending > 0)
		return;
	o->done(o);
	free(o);
}

static void arrive(struct message *m)
{
	struct fanout_visit *v = CONTAINER_OF(m, struct fanout_visit, message);

	v->fanout->visit(v);
}

void fanout_start(struct chunklog *log, void (*visit)(struct fanout_visit *v),
                  void (*done)(struct fanout *o), void *context)
{
	unsigned count = log->config.shard_count;
	struct fanout *o = calloc(1, sizeof(*o) + count * sizeof(o->visits[0]));

	CHECK(o);
	*o = (struct fanout){
		.log = log, .visit = visit, .done = done, .context = context, .pending = count};
	for (unsigned i = 0; i < count; i++) {
		struct fanout_visit *v = &o->visits[i];

		v->fanout = o;
		v->shard = &log->shards[i];
		v->message.deliver = arrive;
		loop_post(v->shard->loop, &v->message);
	}
}

void fanout_leave(struct fanout_visit *v)
{
	v->message.deliver = come_home;
	loop_post(v->fanout->log->shards[0].loop, &v->message);
}
