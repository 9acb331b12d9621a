#include "front/http/connection.h"

#include "front/http/guard.h"
#include "front/http/hooked_answer.h"
#include "front/http/hooked_request.h"
#include "front/http/produce.h"
#include "front/http/router.h"
#include "front/shard.h"
#include "wire/http.h"
#include "wire/media_type.h"

#include <stdio.h>
#include <stdlib.h>

static const struct protocol http_protocol;

static struct http_connection *http_of(const struct connection *c)
{
	return c->state;
}

static int64_t mono_us(const struct http_connection *h)
{
	return front_now(h->connection->front).mono_us;
}

static void free_connection(struct http_connection *h)
{
	struct connection *c = h->connection;

	free(h);
	connection_free(c);
}

static void give_parser(struct http_connection *h)
{
	if (!h->parser)
		return;
	front_parser_give(h->connection->front, h->parser);
	h->parser = NULL;
}

/* --- one request comes in --------------------------------------------------------------------- */

static void enqueue(struct http_connection *h, struct exchange *x)
{
	list_append(&h->queue, &x->node);
	h->in_flight++;
	if (!x->keep_alive)
		h->last = true;
}

/* Framing is lost: answer, then close. `detail` may be NULL. */
static void refuse_framing(struct http_connection *h, enum err code, const char *detail)
{
	struct connection *c = h->connection;
	struct exchange *x = h->reading;

	h->last = true;
	if (!x)
		x = exchange_new(h, c->front);
	if (!x) {
		connection_close(c);
		return;
	}
	if (!h->reading) {
		x->method = HTTP_METHOD_OTHER;
		x->version_minor = 1;
	}
	h->reading = NULL;
	h->held = false;
	x->keep_alive = false;
	x->linger = true;
	enqueue(h, x);
	if (x->fault.code)
		exchange_answer(x);
	else
		exchange_refuse(x, code, "%s", detail ? detail : "");
}

/* As the parser says; of a body that is too large the limit too. */
static void refuse_parsed(struct http_connection *h, const struct http_parser *p)
{
	char detail[128];

	if (p->err != ERR_TOO_LARGE) {
		refuse_framing(h, p->err, p->detail);
		return;
	}
	snprintf(detail, sizeof(detail), "%s of %zu bytes", p->detail, p->body_bytes_max);
	refuse_framing(h, p->err, detail);
}

size_t http_body_limit(const struct exchange *x, const struct http_request *r)
{
	if (x->fault.code || !(x->route->flags & (ROUTE_EVENTS | ROUTE_BATCHES)))
		return ROUTE_BODY_BYTES_MAX;
	if (x->route->flags & ROUTE_BATCHES)
		return front_limits(x->front)->body_bytes;
	return produce_body_limit(front_limits(x->front), r);
}

/* Look at the request's head: where to, and may it. False: no memory. */
static bool look_at_head(struct http_connection *h)
{
	const struct http_request *r = &h->parser->http.request;
	struct known_head *known = &h->parser->known;
	struct front *f = h->connection->front;
	struct exchange *x = exchange_new(h, f);

	if (!x)
		return false;
	x->method = r->method;
	x->version_minor = r->version_minor;
	x->keep_alive = r->keep_alive;
	if (!known_head_recall(known, x, r)) {
		guard_check(x, r);
		if (!x->fault.code)
			router_find(x, r);
		known_head_keep(known, x, r);
	}
	if (x->route && x->route->flags & ROUTE_STREAM)
		x->event_source =
			media_accepts(http_field(r, HTTP_FIELD_ACCEPT), "text/event-stream");
	if (!x->fault.code && !f->broker && !(x->route->flags & ROUTE_ALWAYS))
		fault_set(&x->fault, ERR_NOT_READY, 0, "%s", "");
	h->parser->http.body_bytes_max = http_body_limit(x, r);
	h->reading = x;
	return true;
}

/* A client that asks whether to send its body is told to, or gets the refusal instead; what it
 * sends after that could be its body or its next request, so the connection is closed then. A body
 * that is stated to be too large is not asked for: the parser refuses it next. */
static void invite_body(struct http_connection *h)
{
	const struct http_parser *p = &h->parser->http;
	struct exchange *x = h->reading;

	if (!p->request.expect_continue)
		return;
	if (x->fault.code)
		refuse_framing(h, x->fault.code, "");
	else if (p->request.content_length <= (int64_t)p->body_bytes_max)
		buf_append_lit(connection_output(h->connection), "HTTP/1.1 100 Continue\r\n\r\n");
}

static bool must_be_alone(const struct http_connection *h)
{
	const struct exchange *x = h->reading;

	if (h->parser->http.request.expect_continue)
		return true;
	return !x->fault.code && !(x->route->flags & ROUTE_CONCURRENT);
}

static void head_came(struct http_connection *h)
{
	if (!look_at_head(h)) {
		connection_close(h->connection);
		return;
	}
	h->held = must_be_alone(h) && h->in_flight > 0;
	if (!h->held)
		invite_body(h);
	h->since_us = mono_us(h);
	h->window_bytes = 0;
}

static void message_came(struct http_connection *h)
{
	struct exchange *x = h->reading;

	h->reading = NULL;
	enqueue(h, x);
	if (x->fault.code) {
		exchange_answer(x);
		return;
	}
	h->exclusive = !(x->route->flags & ROUTE_CONCURRENT);
	if (!HOOKS_BUILT || !x->front->hooks_requests)
		x->route->handle(x, &h->parser->http.request);
	else
		hooked_receive(x, &h->parser->http.request);
}

/* --- bytes come in ---------------------------------------------------------------------------- */

/* May the next step of reading be taken? */
static bool may_read(struct http_connection *h)
{
	struct connection *c = h->connection;
	const struct front_limits *limits = front_limits(c->front);
	enum broker_room room;

	if (h->exclusive)
		return false;
	if (h->held)
		return h->in_flight == 0;
	if (h->reading)
		return true;
	if (h->in_flight >= limits->pipelined || connection_pending(c) >= limits->output_bytes)
		return false;
	room = c->front->broker ? broker_room(c->front->broker, &c->caller) : BROKER_HAS_ROOM;
	if (room == BROKER_NO_CREDITS)
		front_starve(c->front, c);
	return room == BROKER_HAS_ROOM;
}

static bool take_parser(struct http_connection *h)
{
	if (h->parser)
		return true;
	h->parser = front_parser_take(h->connection->front);
	if (!h->parser)
		return false;
	http_parser_next(&h->parser->http);
	h->since_us = mono_us(h);
	return true;
}

/* Take one step; returns the bytes of a request that is done with, 0 while it is under way.
 * `*more`: there may be another step. */
static size_t step(struct http_connection *h, uint8_t *in, size_t *len, bool *more)
{
	struct http_parser *p = &h->parser->http;
	size_t consumed;

	switch (http_parse(p, in, len)) {
	case HTTP_EVENT_HEAD: head_came(h); return 0;
	case HTTP_EVENT_MESSAGE:
		consumed = p->consumed;
		message_came(h);
		http_parser_next(p);
		return consumed;
	case HTTP_EVENT_REFUSED: refuse_parsed(h, p); return 0;
	default: *more = false; return 0;
	}
}

/* All that can be read has been, and no more will come. */
static void end_if_done(struct http_connection *h, bool blocked)
{
	struct connection *c = h->connection;

	if (c->input_ended && !blocked && h->in_flight == 0 && !c->finishing)
		connection_finish(c, false);
}

static void hand_over(struct http_connection *h)
{
	struct connection *c = h->connection;
	const struct protocol *next = h->next_protocol;
	void *state = h->next_state;

	CHECK(h->in_flight == 0);
	give_parser(h);
	free(h);
	connection_become(c, next, state);
}

static size_t read_requests(struct http_connection *h, uint8_t *bytes, size_t *len, bool *blocked)
{
	struct connection *c = h->connection;
	bool more = true;
	size_t at = 0;
	size_t left;
	size_t used;

	while (more && !h->last && !h->next_protocol && !c->closed && at < *len) {
		*blocked = !may_read(h);
		if (*blocked)
			break;
		if (!take_parser(h)) {
			connection_close(c);
			break;
		}
		if (h->held) {
			h->held = false;
			invite_body(h);
			continue;
		}
		left = *len - at;
		used = step(h, bytes + at, &left, &more);
		*len = at + left;
		at += used;
	}
	return at;
}

static size_t received(struct connection *c, uint8_t *bytes, size_t *len)
{
	struct http_connection *h = http_of(c);
	bool blocked = false;
	size_t used;

	if (c->paused)
		h->since_us = mono_us(h);
	used = read_requests(h, bytes, len, &blocked);
	if (c->closed)
		return used;
	if (h->next_protocol) {
		hand_over(h);
		return used;
	}
	if (h->parser && (h->last || !http_parser_started(&h->parser->http)))
		give_parser(h);
	connection_pause(c, blocked);
	end_if_done(h, blocked);
	return h->last ? *len : used;
}

static void ended(struct connection *c)
{
	struct http_connection *h = http_of(c);
	struct exchange *first;

	if (!list_is_empty(&h->queue)) {
		first = LIST_ENTRY(h->queue.next, struct exchange, node);
		if (first->streaming) {
			connection_close(c);
			return;
		}
	}
	connection_again(c);
}

/* --- answers go out --------------------------------------------------------------------------- */

/* False: it is not its turn to be taken out. */
static bool write_answer(struct http_connection *h, struct exchange *x)
{
	if (!x->answered)
		return false;
	if (x->written)
		return !x->streaming && !x->held;
	if (h->last && x->node.next == &h->queue)
		x->keep_alive = false;
	x->written = true;
	if (HOOKS_BUILT && x->hooks)
		hooked_write(x);
	else
		x->ops->write(x);
	return !x->streaming && !x->held;
}

static void take_out(struct http_connection *h, struct exchange *x)
{
	list_remove(&x->node);
	if (!x->keep_alive)
		connection_finish(h->connection, x->linger);
	if (x->busy)
		return;
	exchange_free(x);
	http_exchange_gone(h);
}

void http_answers(struct http_connection *h)
{
	if (h->writing || h->connection->closed)
		return;
	h->writing = true;
	while (!list_is_empty(&h->queue)) {
		struct exchange *x = LIST_ENTRY(h->queue.next, struct exchange, node);

		if (!write_answer(h, x))
			break;
		take_out(h, x);
	}
	h->writing = false;
}

void http_exchange_gone(struct http_connection *h)
{
	struct connection *c = h->connection;

	CHECK(h->in_flight > 0);
	h->in_flight--;
	if (h->in_flight == 0) {
		h->exclusive = false;
		h->since_us = mono_us(h);
		if (!c->stream) {
			free_connection(h);
			return;
		}
	}
	if ((c->paused || c->input_ended) && !c->finishing)
		connection_again(c);
}

void http_upgrade(struct exchange *x, const struct protocol *protocol, void *state)
{
	x->http->next_protocol = protocol;
	x->http->next_state = state;
}

/* --- deadlines and the end -------------------------------------------------------------------- */

static int64_t deadline(const struct connection *c)
{
	const struct http_connection *h = http_of(c);
	const struct front_limits *limits = front_limits(c->front);

	if (h->in_flight > 0 || c->paused || c->finishing)
		return INT64_MAX;
	if (h->reading)
		return h->since_us + limits->body_window_ms * 1000;
	return h->since_us + (h->parser ? limits->header_ms : limits->idle_ms) * 1000;
}

static void expired(struct connection *c)
{
	struct http_connection *h = http_of(c);
	const struct front_limits *limits = front_limits(c->front);

	if (!h->parser) {
		connection_finish(c, false);
		return;
	}
	if (h->reading && c->in.len >= h->window_bytes + limits->body_window_bytes) {
		h->since_us = mono_us(h);
		h->window_bytes = c->in.len;
		return;
	}
	refuse_framing(h, ERR_REQUEST_SLOW,
	               h->reading ? "the body came too slowly" : "the head did not come in time");
}

static void drained(struct connection *c)
{
	struct http_connection *h = http_of(c);
	struct exchange *first;

	if (c->paused)
		connection_again(c);
	if (list_is_empty(&h->queue))
		return;
	first = LIST_ENTRY(h->queue.next, struct exchange, node);
	if (first->streaming)
		first->ops->room(first);
}

static void stop(struct connection *c)
{
	struct http_connection *h = http_of(c);

	if (list_is_empty(&h->queue)) {
		connection_finish(c, false);
		return;
	}
	h->last = true;
	LIST_EACH_SAFE (node, after, &h->queue) {
		struct exchange *x = LIST_ENTRY(node, struct exchange, node);

		x->ops->hurry(x);
	}
}

static void kick(struct connection *c)
{
	if (c->out_blocked)
		connection_close(c);
	else
		stop(c);
}

/* The stream it is used for; NULL: none. */
static const struct exchange *streaming(const struct connection *c)
{
	const struct http_connection *h = http_of(c);
	const struct exchange *first;

	if (list_is_empty(&h->queue))
		return NULL;
	first = LIST_ENTRY(h->queue.next, struct exchange, node);
	return first->streaming ? first : NULL;
}

static const char *name(const struct connection *c)
{
	const struct exchange *stream = streaming(c);

	return stream ? stream->ops->stream_name(stream) : "http";
}

static void describe(const struct connection *c, struct buf *json)
{
	const struct exchange *stream = streaming(c);

	if (stream)
		stream->ops->describe(stream, json);
}

static void closed(struct connection *c)
{
	struct http_connection *h = http_of(c);
	struct list *node;

	give_parser(h);
	if (h->reading)
		exchange_free(h->reading);
	h->reading = NULL;
	while ((node = list_take_first(&h->queue))) {
		struct exchange *x = LIST_ENTRY(node, struct exchange, node);

		if (x->busy || x->held)
			continue;
		exchange_hooks_drop(x);
		exchange_free(x);
		h->in_flight--;
	}
	if (h->in_flight == 0)
		free_connection(h);
}

static const struct protocol http_protocol = {
	.kind = FRONT_HTTP,
	.received = received,
	.ended = ended,
	.drained = drained,
	.deadline = deadline,
	.expired = expired,
	.stalled = connection_close,
	.stop = stop,
	.kick = kick,
	.name = name,
	.describe = describe,
	.closed = closed,
};

bool http_attach(struct connection *c)
{
	struct http_connection *h = calloc(1, sizeof(*h));

	if (!h)
		return false;
	h->connection = c;
	list_init(&h->queue);
	c->protocol = &http_protocol;
	c->state = h;
	h->since_us = mono_us(h);
	return true;
}
