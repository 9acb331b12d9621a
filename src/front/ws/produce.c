/* ws://…/produce/{t}: each message is an event, stored in order. Text that is JSON becomes
 * application/json, other text text/plain, a binary message application/octet-stream.
 *
 * Nothing is said about those that are stored: a close is answered once all before it are. The
 * first that is refused closes the connection; its index, counted from 0, stands in the reason.
 * Messages after it that were under way already may have been stored. */
#include "broker/produce.h"
#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/params.h"
#include "front/ws/connection.h"
#include "wire/json.h"

#include <stdlib.h>

enum { HEADER_BYTES_MAX = 64 }; /* of a content type that is given here */

struct ws_producer {
	struct ws_connection ws;
	int32_t partition;
	unsigned in_flight;
	uint64_t message_count; /* taken so far */
	uint64_t refused_index; /* lowest; if refused.code */
	struct fault refused;
	uint16_t finish_code; /* to close with when all are stored; 0: not finishing */
	const char *finish_why;
	bool is_gone; /* the socket is closed */
	size_t name_len;
	char name[];
};

struct ws_message {
	struct ws_producer *producer;
	uint64_t index;
	struct produce produce;
};

static struct ws_producer *producer_of(struct ws_connection *ws)
{
	return CONTAINER_OF(ws, struct ws_producer, ws);
}

static void free_producer(struct ws_producer *p)
{
	ws_free(&p->ws);
	free(p);
}

/* Close, when there is a reason to and nothing is under way. */
static void close_if_done(struct ws_producer *p)
{
	char text[320];

	if (p->in_flight > 0)
		return;
	if (p->refused.code)
		ws_close(&p->ws, ws_close_code(&p->refused), "message %llu: %s",
		         (unsigned long long)p->refused_index,
		         fault_text(&p->refused, text, sizeof(text)));
	else if (p->finish_code)
		ws_close(&p->ws, p->finish_code, "%s", p->finish_why);
}

static void refuse(struct ws_producer *p, uint64_t index, const struct fault *fault)
{
	if (p->refused.code && p->refused_index < index)
		return;
	p->refused = *fault;
	p->refused_index = index;
}

static void produced(struct produce *request)
{
	struct ws_message *m = CONTAINER_OF(request, struct ws_message, produce);
	struct ws_producer *p = m->producer;

	if (request->fault.code) {
		refuse(p, m->index, &request->fault);
		if (request->fault.code == ERR_HOOK_REFUSED)
			free(request->refusal); /* there is no room for more in a close frame */
	}
	broker_produce_fini(request);
	free(m);
	p->in_flight--;
	if (!p->is_gone) {
		close_if_done(p);
		if (p->ws.connection->paused)
			connection_again(p->ws.connection);
	} else if (p->in_flight == 0) {
		free_producer(p);
	}
}

static bool can_take(struct ws_connection *ws)
{
	struct ws_producer *p = producer_of(ws);
	struct front *f = ws->connection->front;
	enum broker_room room;

	if (p->refused.code)
		return true; /* to see the peer's close; messages are dropped */
	if (p->in_flight >= front_limits(f)->pipelined)
		return false;
	room = broker_room(f->broker, &ws->connection->caller);
	if (room == BROKER_NO_CREDITS)
		front_starve(f, ws->connection);
	return room == BROKER_HAS_ROOM;
}

static struct slice content_type(struct slice payload, bool text)
{
	if (!text)
		return SLICE_LIT("application/octet-stream");
	if (json_validate(payload, JSON_DEPTH_MAX, NULL))
		return SLICE_LIT("application/json");
	return SLICE_LIT("text/plain");
}

static void produce(struct ws_producer *p, struct ws_message *m, struct slice payload, bool text)
{
	struct connection *c = p->ws.connection;
	struct front *f = c->front;
	uint8_t memory[HEADER_BYTES_MAX];
	struct buf headers = BUF_IN(memory);
	struct record record = {
		.timestamp = front_now(f).wall_ms,
		.value = payload.ptr ? payload : SLICE_LIT(""),
		.header_count = 1,
	};

	header_append(&headers, SLICE_LIT("content-type"), content_type(payload, text));
	CHECK(!headers.failed);
	record.headers = buf_slice(&headers);
	m->producer = p;
	m->index = p->message_count - 1;
	m->produce = (struct produce){
		.broker = f->broker,
		.caller = &c->caller,
		.topic = slice_of(p->name, p->name_len),
		.partition = p->partition,
		.expected_offset = -1,
		.atomic = true,
		.done = produced,
	};
	p->in_flight++;
	c->caller.request_id = front_next_request_id(f);
	broker_produce(&m->produce, &record, 1);
}

static void message(struct ws_connection *ws, struct slice payload, bool text)
{
	struct ws_producer *p = producer_of(ws);
	struct ws_message *m;
	struct fault fault;

	if (p->refused.code)
		return;
	p->message_count++;
	m = malloc(sizeof(*m));
	if (m) {
		produce(p, m, payload, text);
		return;
	}
	fault_set(&fault, ERR_NO_MEMORY, 0, "message");
	refuse(p, p->message_count - 1, &fault);
	close_if_done(p);
}

/* A message that breaks the rules is refused as one that the broker does not take; the code is the
 * frame's then. */
static void finish(struct ws_connection *ws, uint16_t code, const char *why)
{
	struct ws_producer *p = producer_of(ws);
	struct fault fault;

	p->finish_code = code;
	p->finish_why = why;
	if (code == WS_CLOSE_TOO_BIG) {
		fault_set(&fault, ERR_TOO_LARGE, 0, "%s", why);
		refuse(p, p->message_count, &fault);
	}
	close_if_done(p);
}

static void too_slow(struct ws_connection *ws)
{
	ws_close(ws, WS_CLOSE_TOO_SLOW, "%s", "");
}

static void nothing(struct ws_connection *ws)
{
	(void)ws;
}

static void gone(struct ws_connection *ws)
{
	struct ws_producer *p = producer_of(ws);

	p->is_gone = true;
	if (p->in_flight == 0)
		free_producer(p);
}

static void discard(struct ws_connection *ws)
{
	free(producer_of(ws));
}

static const struct ws_part produce_part_ops = {
	.start = nothing,
	.can_take = can_take,
	.message = message,
	.room = nothing,
	.finish = finish,
	.too_slow = too_slow,
	.gone = gone,
	.discard = discard,
};

static enum err take_query(struct exchange *x, const struct http_request *r, int32_t *partition)
{
	static const char *const known[] = {"partition"};
	struct params params;
	enum err err = params_parse(r->query, known, ARRAY_COUNT(known), &params, &x->fault);

	if (err)
		return err;
	err = params_partition(&params, partition, &x->fault);
	params_fini(&params);
	return err;
}

void ws_produce_handle(struct exchange *x, const struct http_request *r)
{
	struct ws_producer *p;
	int32_t partition;

	if (topic_name_check(exchange_name(x), &x->fault) || take_query(x, r, &partition)) {
		exchange_answer(x);
		return;
	}
	p = calloc(1, sizeof(*p) + x->name_len + 1);
	if (!p) {
		exchange_refuse(x, ERR_NO_MEMORY, "producer");
		return;
	}
	p->ws.part = &produce_part_ops;
	p->partition = partition;
	p->name_len = x->name_len;
	memcpy(p->name, x->name, x->name_len);
	(void)exchange_caller(x);
	ws_accept_upgrade(x, r, &p->ws);
}
