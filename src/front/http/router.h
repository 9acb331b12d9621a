/* router: which handler serves which method and path. One table row a route; every documented
 * address has one, also those that are not built yet. */
#ifndef BOURN_FRONT_HTTP_ROUTER_H
#define BOURN_FRONT_HTTP_ROUTER_H

#include "front/http/exchange.h"

enum route_flags {
	ROUTE_CONCURRENT = 1 << 0, /* runs beside others of its connection */
	ROUTE_WEBSOCKET = 1 << 1,  /* only with Upgrade: websocket */
	ROUTE_EVENTS = 1 << 2,     /* the body is events: limits.body_bytes instead of 64 KiB */
	ROUTE_ALWAYS = 1 << 3,     /* served before recovery is through too */
	ROUTE_STREAM = 1 << 4,     /* as Server-Sent Events, for who accepts them */
	ROUTE_BATCHES = 1 << 5,    /* the body is batches: limits.body_bytes, always */
};

struct route {
	enum http_method method; /* GET serves HEAD too */
	const char *
		pattern; /* "/v1/topics/{t}/events/{offset}": first {} is the name, second the argument */
	unsigned flags;
	/* Serve the request, whose bytes are borrowed during the call. exchange_answer is owed. */
	void (*handle)(struct exchange *x, const struct http_request *r);
};

enum { ROUTE_BODY_BYTES_MAX = 64 << 10 };

/* Fill in route, name, argument and allow; or the fault: NOT_FOUND, METHOD, BAD_TOPIC. */
void router_find(struct exchange *x, const struct http_request *r);

/* "GET, HEAD, OPTIONS" for a set of 1 << enum http_method. */
void router_allow(unsigned methods, struct buf *out);

#endif
