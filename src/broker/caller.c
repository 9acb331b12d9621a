#include "broker/caller.h"

#include "base/check.h"
#include "hook/point.h"

enum err broker_authorize(const struct caller *c, enum operation op, struct slice topic)
{
	CHECK(c);
	(void)op;
	(void)topic;
	return OK;
}

struct bourn_caller caller_for_hooks(const struct caller *c)
{
	static const enum bourn_front fronts[] = {
		[FRONT_HTTP] = BOURN_FRONT_HTTP,
		[FRONT_WEBSOCKET] = BOURN_FRONT_WEBSOCKET,
		[FRONT_INTERNAL] = BOURN_FRONT_INTERNAL,
	};

	return (struct bourn_caller){
		.bytes = sizeof(struct bourn_caller),
		.front = fronts[c->front],
		.peer = c->peer ? c->peer : "",
		.principal = slice_out(c->principal),
		.request_id = c->request_id,
	};
}
