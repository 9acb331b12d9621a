#include "store/tour.h"

#include <stdlib.h>

static void come_home(struct message *m)
{
	struct tour *t = CONTAINER_OF(m, struct tour_stop, message)->tour;

	if (--t->pending > 0)
		return;
	t->done(t);
	free(t);
}

static void arrive(struct message *m)
{
	struct tour_stop *s = CONTAINER_OF(m, struct tour_stop, message);

	s->tour->visit(s);
}

void tour_start(struct loop *const *loops, unsigned shard_count, void (*visit)(struct tour_stop *s),
                void (*done)(struct tour *t), void *context)
{
	struct tour *t = calloc(1, sizeof(*t) + shard_count * sizeof(t->stops[0]));

	CHECK(t);
	*t = (struct tour){.loops = loops,
	                   .visit = visit,
	                   .done = done,
	                   .context = context,
	                   .pending = shard_count};
	for (unsigned i = 0; i < shard_count; i++) {
		struct tour_stop *s = &t->stops[i];

		s->tour = t;
		s->shard = i;
		s->message.deliver = arrive;
		loop_post(loops[i], &s->message);
	}
}

void tour_leave(struct tour_stop *s)
{
	s->message.deliver = come_home;
	loop_post(s->tour->loops[0], &s->message);
}
