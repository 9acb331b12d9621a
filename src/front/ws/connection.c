#include "front/ws/connection.h"

#include "front/http/connection.h"
#include "front/shard.h"

#include <stdarg.h>
#include <stdio.h>

enum { WS_REASON_BYTES_MAX = WS_CONTROL_BYTES_MAX - 2 };

static struct ws_connection *ws_of(const struct connection *c)
{
	return c->state;
}

static int64_t mono_us(const struct ws_connection *ws)
{
	return front_now(ws->connection->front).mono_us;
}

/* --- closing ---------------------------------------------------------------------------------- */

void ws_close(struct ws_connection *ws, uint16_t code, const char *reason, ...)
{
	struct connection *c = ws->connection;
	char text[WS_REASON_BYTES_MAX + 1];
	va_list args;

	if (!ws_is_open(ws))
		return;
	va_start(args, reason);
	vsnprintf(text, sizeof(text), reason, args);
	va_end(args);
	ws->close_sent = true;
	ws->closed_us = mono_us(ws);
	ws_append_close(connection_output(c), code, slice_str(text), NULL);
	if (code != WS_CLOSE_NORMAL && code != WS_CLOSE_GOING_AWAY)
		log_limited(c->front->log, &c->front->refusals, LOG_INFO, "ws",
		            "closed with %u: %s peer=%s", code, text, c->caller.peer);
	if (ws->close_received || c->input_ended)
		connection_finish(c, false);
	else
		connection_again(c);
	connection_arm(c);
}

uint16_t ws_close_code(const struct fault *fault)
{
	switch (fault->code) {
	case ERR_TOO_LARGE: return WS_CLOSE_TOO_BIG;
	case ERR_BUSY:
	case ERR_FENCED:
	case ERR_SHUTTING_DOWN:
	case ERR_NOT_READY:
	case ERR_HOOK_FAILED:
	case ERR_NO_MEMORY:
	case ERR_DISK_FULL: return WS_CLOSE_TRY_LATER;
	case ERR_TOPIC_GONE: return WS_CLOSE_TOPIC_GONE;
	default: return err_http_status(fault->code) >= 500 ? WS_CLOSE_INTERNAL : WS_CLOSE_POLICY;
	}
}

static void finish(struct ws_connection *ws, uint16_t code, const char *why)
{
	if (ws->finishing)
		return;
	ws->finishing = true;
	ws->part->finish(ws, code, why);
}

/* Our close may be on its way already: then this is the answer to it. */
static void peer_closes(struct ws_connection *ws, uint16_t code)
{
	ws->close_received = true;
	if (ws->close_sent)
		connection_finish(ws->connection, false);
	else
		finish(ws, code == WS_CLOSE_NONE ? WS_CLOSE_NORMAL : code, "");
}

/* Nothing that comes after this can be understood: no answer to our close is waited for. */
static void peer_failed(struct ws_connection *ws, uint16_t code, const char *detail)
{
	ws->close_received = true;
	ws->connection->linger = true;
	if (ws->close_sent)
		connection_finish(ws->connection, true);
	else
		finish(ws, code, detail);
}

/* --- frames ----------------------------------------------------------------------------------- */

static bool may_parse(struct ws_connection *ws)
{
	struct connection *c = ws->connection;

	if (connection_pending(c) >= 2 * front_limits(c->front)->output_bytes)
		return false; /* of pongs: a peer that only sends */
	return ws->finishing || ws->close_sent || ws->part->can_take(ws);
}

/* False when no whole frame is there. */
static bool take_frame(struct ws_connection *ws, uint8_t *in, size_t *len)
{
	struct ws_parser *p = &ws->parser;

	switch (ws_parse(p, in, len)) {
	case WS_EVENT_MORE: return false;
	case WS_EVENT_MESSAGE:
		if (!ws->finishing && !ws->close_sent)
			ws->part->message(ws, p->payload, p->text);
		return true;
	case WS_EVENT_PING:
		if (!ws->close_sent)
			ws_append_frame(connection_output(ws->connection), WS_PONG, p->payload,
			                NULL);
		return true;
	case WS_EVENT_PONG: return true;
	case WS_EVENT_CLOSE: peer_closes(ws, p->close_code); return true;
	case WS_EVENT_FAILED: peer_failed(ws, p->close_code, p->detail); return true;
	}
	UNREACHABLE();
}

static void start(struct connection *c, struct ws_connection *ws)
{
	ws->connection = c;
	ws->started = true;
	ws->heard_us = mono_us(ws);
	ws->part->start(ws);
}

static size_t received(struct connection *c, uint8_t *bytes, size_t *len)
{
	struct ws_connection *ws = ws_of(c);
	bool blocked = false;
	size_t at = 0;
	size_t left;

	if (!ws->started)
		start(c, ws);
	if (*len > 0) {
		ws->heard_us = mono_us(ws);
		ws->pinged_us = 0;
	}
	while (at < *len && !ws->close_received && !c->closed) {
		bool whole;

		blocked = !may_parse(ws);
		if (blocked)
			break;
		left = *len - at;
		whole = take_frame(ws, bytes + at, &left);
		*len = at + left;
		at += ws->parser.consumed;
		if (!whole)
			break;
	}
	connection_pause(c, blocked);
	return ws->close_received ? *len : at;
}

static void ended(struct connection *c)
{
	struct ws_connection *ws = ws_of(c);

	ws->close_received = true;
	if (ws->close_sent)
		connection_close(c);
	else
		finish(ws, WS_CLOSE_NORMAL, "");
}

static void drained(struct connection *c)
{
	struct ws_connection *ws = ws_of(c);

	if (ws->pinged_us && !connection_is_sending(c))
		ws->pinged_us = mono_us(ws);
	if (c->paused)
		connection_again(c);
	if (ws_is_open(ws))
		ws->part->room(ws);
}

/* --- deadlines and the end -------------------------------------------------------------------- */

static int64_t deadline(const struct connection *c)
{
	const struct ws_connection *ws = ws_of(c);
	const struct front_limits *limits = front_limits(c->front);

	if (ws->close_sent)
		return ws->closed_us + limits->pong_ms * 1000;
	if (connection_is_sending(c) || ws->finishing || c->paused)
		return INT64_MAX;
	if (ws->pinged_us)
		return ws->pinged_us + limits->pong_ms * 1000;
	return ws->heard_us + limits->ping_after_ms * 1000;
}

static void expired(struct connection *c)
{
	struct ws_connection *ws = ws_of(c);

	if (ws->close_sent || ws->pinged_us) {
		connection_close(c);
		return;
	}
	ws->pinged_us = mono_us(ws);
	ws_append_frame(connection_output(c), WS_PING, SLICE_NONE, NULL);
}

/* The close frame waits behind the events; a peer that begins to read before the close's deadline
 * gets it, and with it the place to go on from. */
static void stalled(struct connection *c)
{
	struct ws_connection *ws = ws_of(c);

	if (!ws->close_sent)
		ws->part->too_slow(ws);
	c->out_moved_us = mono_us(ws);
}

static void stop(struct connection *c)
{
	finish(ws_of(c), WS_CLOSE_GOING_AWAY, "the broker is stopping");
}

static void kick(struct connection *c)
{
	finish(ws_of(c), WS_CLOSE_POLICY, "closed by an administrator");
}

static const char *name(const struct connection *c)
{
	(void)c;
	return "websocket";
}

static void describe(const struct connection *c, struct buf *json)
{
	const struct ws_connection *ws = ws_of(c);

	if (ws->started && ws->part->describe)
		ws->part->describe(ws, json);
}

static void gone(struct connection *c)
{
	struct ws_connection *ws = ws_of(c);

	ws->part->gone(ws);
}

void ws_free(struct ws_connection *ws)
{
	connection_free(ws->connection);
}

static const struct protocol ws_protocol = {
	.kind = FRONT_WEBSOCKET,
	.received = received,
	.ended = ended,
	.drained = drained,
	.deadline = deadline,
	.expired = expired,
	.stalled = stalled,
	.stop = stop,
	.kick = kick,
	.name = name,
	.describe = describe,
	.closed = gone,
};

/* --- the upgrade ------------------------------------------------------------------------------ */

static void upgrade_write(struct exchange *x)
{
	struct ws_connection *ws = x->state;
	struct buf *out;

	if (x->fault.code) {
		reply_problem(x, NULL, 0);
		return;
	}
	out = reply_begin(x, 101);
	http_head_field(out, "Upgrade", SLICE_LIT("websocket"));
	http_head_field(out, "Connection", SLICE_LIT("Upgrade"));
	http_head_field(out, "Sec-WebSocket-Accept", slice_str(x->accept));
	http_head_end(out);
	x->state = NULL;
	http_upgrade(x, &ws_protocol, ws);
}

static void upgrade_fini(struct exchange *x)
{
	struct ws_connection *ws = x->state;

	if (ws)
		ws->part->discard(ws);
}

static const struct exchange_ops upgrade_ops = {
	.write = upgrade_write,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = upgrade_fini,
};

/* Who offers none of our subprotocols, or others too, is served plainly. */
static bool wants_ours_only(struct slice offered)
{
	bool any = false;

	while (offered.ptr) {
		struct slice one = slice_trim(slice_cut(&offered, ','));

		if (one.len > 0 && !slice_starts_with(one, SLICE_LIT("bourn.")))
			return false;
		any |= one.len > 0;
	}
	return any;
}

static enum err check_handshake(const struct http_request *r, char accept[WS_ACCEPT_LEN + 1],
                                struct fault *f)
{
	struct slice version = http_field(r, HTTP_FIELD_WS_VERSION);
	enum err err;

	if (!slice_eq(version, SLICE_LIT("13")))
		return fault_set(f, ERR_UPGRADE, 0, "Sec-WebSocket-Version must be 13");
	err = ws_accept(http_field(r, HTTP_FIELD_WS_KEY), accept);
	if (err == ERR_BAD_REQUEST)
		return fault_set(f, err, 0, "Sec-WebSocket-Key is not 16 bytes in base64");
	if (err)
		return fault_set(f, err, 0, "Sec-WebSocket-Accept");
	if (wants_ours_only(http_field(r, HTTP_FIELD_WS_PROTOCOL)))
		return fault_set(f, ERR_NOT_IMPLEMENTED, 0,
		                 "subprotocols bourn.v1.*; connect without one for the plain form");
	return OK;
}

void ws_accept_upgrade(struct exchange *x, const struct http_request *r, struct ws_connection *ws)
{
	x->state = ws;
	x->ops = &upgrade_ops;
	(void)check_handshake(r, x->accept, &x->fault);
	ws_parser_init(&ws->parser, WS_SERVER);
	ws->parser.message_bytes_max = front_limits(x->front)->message_bytes;
	exchange_answer(x);
}
