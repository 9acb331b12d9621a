/* ws connection: WebSocket on a connection that began as HTTP: frames, pings, closing. What the
 * messages mean is the part's: ws/subscribe.c or ws/produce.c.
 *
 *   handler checks the request → ws_accept_upgrade → 101 → part->start → … → one side closes →
 *   the other answers → the socket is closed */
#ifndef BOURN_FRONT_WS_CONNECTION_H
#define BOURN_FRONT_WS_CONNECTION_H

#include "front/connection.h"
#include "front/http/exchange.h"
#include "wire/ws.h"

struct ws_connection;

struct ws_part {
	/* The 101 is written. */
	void (*start)(struct ws_connection *ws);
	/* May the next message come? False: connection_again is called when it may. */
	bool (*can_take)(struct ws_connection *ws);
	/* A whole message; the payload is borrowed during the call. */
	void (*message)(struct ws_connection *ws, struct slice payload, bool text);
	/* Output was sent, there may be room for more. */
	void (*room)(struct ws_connection *ws);
	/* No message follows: the peer closes (code 1000), broke the rules, or the broker stops
	 * (1001). ws_close is owed, now or when all before it is done. */
	void (*finish)(struct ws_connection *ws, uint16_t code, const char *why);
	/* The socket takes nothing. ws_close is owed, now. */
	void (*too_slow)(struct ws_connection *ws);
	/* The socket is gone. Free what is the part's, then ws_free, when nothing is under way. */
	void (*gone)(struct ws_connection *ws);
	/* As in struct protocol. Optional: it feeds from no topic. */
	void (*describe)(const struct ws_connection *ws, struct buf *json);
	/* Before `start`: the upgrade did not happen. */
	void (*discard)(struct ws_connection *ws);
};

/* First member of the part's own struct, which the role allocates. */
struct ws_connection {
	struct connection *connection; /* NULL before the upgrade */
	const struct ws_part *part;
	struct ws_parser parser;
	int64_t heard_us;  /* when the last byte came */
	int64_t pinged_us; /* our ping went out and is not answered; 0: none */
	int64_t closed_us; /* our close went out */
	bool started;
	bool finishing; /* part->finish was called */
	bool close_sent;
	bool close_received;
};

/* Answer 101 and take the connection over. Refuses what is no good handshake; `ws` is then given to
 * part->discard. */
void ws_accept_upgrade(struct exchange *x, const struct http_request *r, struct ws_connection *ws);

/* May messages still be sent? */
static inline bool ws_is_open(const struct ws_connection *ws)
{
	return !ws->close_sent && !ws->connection->closed;
}

/* Send a close frame, once; the connection ends when the peer has answered, or after a while. */
void ws_close(struct ws_connection *ws, uint16_t code, const char *reason, ...)
	__attribute__((format(printf, 3, 4)));

/* The close code that a fault becomes. */
uint16_t ws_close_code(const struct fault *fault);

/* In part->gone or later. The part frees its struct itself. */
void ws_free(struct ws_connection *ws);

#endif
