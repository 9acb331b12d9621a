/* http connection: requests read from a connection one after the other, their answers written in
 * the same order.
 *
 * Produce requests of one connection run beside each other and share the turn's batch; any other
 * request waits until all before it are answered, and those behind it wait for it. Reading stops
 * when too many are under way, when too much output waits, or when the broker is out of credits.
 *
 * An idle keep-alive connection holds neither a parser nor a buffer. When the socket breaks while
 * requests are under way, the structs stay until the last of them came home. */
#ifndef BOURN_FRONT_HTTP_CONNECTION_H
#define BOURN_FRONT_HTTP_CONNECTION_H

#include "front/connection.h"
#include "front/http/exchange.h"

struct http_connection {
	struct connection *connection;
	struct front_parser *parser; /* while a request is partly here; else NULL */
	struct exchange *reading;    /* of the request whose head came, but not all of its body */
	struct list queue;           /* struct exchange, in the order of their requests */
	unsigned in_flight;          /* exchanges that are not freed, `reading` not counted */
	bool exclusive;              /* the last of the queue must be alone */
	bool held;                   /* `reading` waits for in_flight 0 */
	bool writing;                /* http_answers is under way */
	bool last;                   /* no more requests are read */
	int64_t since_us;            /* idle, in a head, or in a window of the body since then */
	size_t window_bytes;         /* at hand when the window of the body began */
	const struct protocol *next_protocol; /* the one that takes over; NULL: none */
	void *next_state;
};

/* Begin to speak HTTP on a new connection. False: no memory. */
bool http_attach(struct connection *c);

/* For the handler of an upgrade, which has written its 101: the connection is `state`'s from the
 * end of this request on. exchange_end is owed. */
void http_upgrade(struct exchange *x, const struct protocol *protocol, void *state);

/* How large the body of such a request may be. */
size_t http_body_limit(const struct exchange *x, const struct http_request *r);

/* --- for exchange.c --------------------------------------------------------------------------- */

/* Write all answers whose turn it is. */
void http_answers(struct http_connection *http);

/* An exchange was freed. */
void http_exchange_gone(struct http_connection *http);

#endif
