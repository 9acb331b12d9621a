/* caller: who asks, over which front; and the one gate every request passes. */
#ifndef BOURN_BROKER_CALLER_H
#define BOURN_BROKER_CALLER_H

#include "base/err.h"
#include "base/slice.h"

#include <bourn/hook.h>

enum front_kind { FRONT_HTTP, FRONT_WEBSOCKET, FRONT_INTERNAL };

/* Lives in its connection, outlives its requests. */
struct caller {
	struct slice principal; /* "anonymous" until there are logins */
	enum front_kind front;
	const char *peer;    /* "127.0.0.1:4711" */
	uint64_t request_id; /* of the request now being handled; unique in this process */
};

/* As hooks see it; what it points to is borrowed from `c`. */
struct bourn_caller caller_for_hooks(const struct caller *c);

enum operation {
	OPERATION_PRODUCE,
	OPERATION_CONSUME,
	OPERATION_SUBSCRIBE,
	OPERATION_TOPIC_CREATE,
	OPERATION_TOPIC_READ,
	OPERATION_TOPIC_ALTER,
	OPERATION_TOPIC_DELETE,
	OPERATION_ADMIN,
};

/* OK, or ERR_DENIED. `topic` is the resource, SLICE_NONE for the broker itself. Today: OK. */
enum err broker_authorize(const struct caller *c, enum operation op, struct slice topic) MUST_CHECK;

#endif
