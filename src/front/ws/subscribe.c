/* ws://…/subscribe/{t}: the payloads of a topic's events and nothing else, as they happen. A frame
 * is text for JSON and text, else binary. ?offset= (default end), ?cursor= or Last-Event-ID; ?partition=.
 *
 * Frames are made only while the socket takes them: one that does not holds at most
 * limits.output_bytes here, and is told where to go on (4008) when it takes nothing for too long or
 * is so far behind that its events are gone. */
#include "broker/reader.h"
#include "front/event_json.h"
#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/reading.h"
#include "front/ws/connection.h"

#include <stdlib.h>

enum { TURN_BYTES_MAX = 256 << 10 }; /* then others have their turn */

struct ws_subscription {
	struct ws_connection ws;
	struct reader *reader;
	struct reading *reading; /* where to begin; until it began */
	bool reached;            /* the asked position was there */
	size_t name_len;
	char name[];
};

static struct ws_subscription *subscription_of(struct ws_connection *ws)
{
	return CONTAINER_OF(ws, struct ws_subscription, ws);
}

static void close_reader(struct ws_subscription *s)
{
	if (s->reader)
		reader_close(s->reader);
	s->reader = NULL;
}

/* --- the end ---------------------------------------------------------------------------------------------- */

/* Where to go on from; "" when there is no such place, or no room for it in a close frame. */
static void place(const struct ws_subscription *s, bool trimmed, char text[WS_CONTROL_BYTES_MAX])
{
	struct buf cursor = BUF_INIT(CURSOR_TEXT_BYTES_MAX);
	const struct reader_bounds *bounds;
	uint32_t count;

	text[0] = '\0';
	bounds = reader_bounds(s->reader, &count);
	if (trimmed && reader_topic_partitions(s->reader) == 1)
		buf_append_int64(&cursor, bounds[0].earliest);
	else if (reader_cursor(s->reader, &cursor))
		buf_clear(&cursor);
	if (cursor.len > 0 && cursor.len < WS_CONTROL_BYTES_MAX - 2) {
		memcpy(text, cursor.ptr, cursor.len);
		text[cursor.len] = '\0';
	}
	buf_fini(&cursor);
}

static void too_slow(struct ws_connection *ws)
{
	struct ws_subscription *s = subscription_of(ws);
	char text[WS_CONTROL_BYTES_MAX];

	place(s, false, text);
	ws_close(ws, WS_CLOSE_TOO_SLOW, "%s", text);
	close_reader(s);
}

static void failed(struct ws_subscription *s)
{
	const struct fault *fault = reader_fault(s->reader);
	bool lost = fault->code == ERR_TRIMMED || fault->code == ERR_TRUNCATED;
	char text[320];

	if (lost && s->reached) {
		place(s, true, text);
		ws_close(&s->ws, WS_CLOSE_TOO_SLOW, "%s", text);
	} else {
		ws_close(&s->ws, lost ? WS_CLOSE_POSITION_GONE : ws_close_code(fault), "%s",
		         fault_text(fault, text, sizeof(text)));
	}
	close_reader(s);
}

/* --- events ------------------------------------------------------------------------------------------------- */

static void append_frame(struct buf *out, const struct record *r)
{
	struct slice content_type;
	enum event_encoding encoding = event_encoding(r, &content_type);
	bool text = encoding == EVENT_JSON || encoding == EVENT_TEXT;

	ws_append_frame(out, text ? WS_TEXT : WS_BINARY, r->value, NULL);
}

/* False when the reader failed. */
static bool take(struct ws_subscription *s, struct buf *out, size_t room)
{
	size_t end = out->len + room;
	struct delivery d;

	while (out->len < end) {
		switch (reader_take(s->reader, &d)) {
		case READER_EVENT:
			s->reached = true;
			append_frame(out, &d.record);
			break;
		case READER_CAUGHT_UP: s->reached = true; return true;
		case READER_WAIT: return true;
		case READER_FAILED: return false;
		}
	}
	return true;
}

static void pull(struct ws_subscription *s)
{
	struct connection *c = s->ws.connection;
	size_t cap = front_limits(c->front)->output_bytes;
	size_t pending = connection_pending(c);
	size_t room;

	if (!s->reader || !ws_is_open(&s->ws) || pending >= cap)
		return;
	room = cap - pending < TURN_BYTES_MAX ? cap - pending : TURN_BYTES_MAX;
	if (!take(s, connection_output(c), room))
		failed(s);
	connection_arm(c);
}

static void woken(void *owner)
{
	pull(owner);
}

static void room(struct ws_connection *ws)
{
	pull(subscription_of(ws));
}

static void start(struct ws_connection *ws)
{
	struct ws_subscription *s = subscription_of(ws);
	struct connection *c = ws->connection;
	struct reader_options options = {
		.caller = &c->caller,
		.operation = OPERATION_SUBSCRIBE,
		.topic = slice_of(s->name, s->name_len),
		.partition = s->reading->partition,
		.position = s->reading->position,
		.wait_for_topic = true,
		.follow = true,
	};

	s->reader = reader_open(c->front->broker, &options, woken, s);
	free(s->reading);
	s->reading = NULL;
	if (s->reader)
		pull(s);
	else
		ws_close(ws, WS_CLOSE_TRY_LATER, "%s", err_text(ERR_NO_MEMORY));
}

/* --- the other direction ---------------------------------------------------------------------------------- */

static bool can_take(struct ws_connection *ws)
{
	(void)ws;
	return true;
}

static void message(struct ws_connection *ws, struct slice payload, bool text)
{
	(void)payload;
	(void)text;
	ws_close(ws, WS_CLOSE_UNSUPPORTED, "a plain subscription takes no messages");
}

static void finish(struct ws_connection *ws, uint16_t code, const char *why)
{
	ws_close(ws, code, "%s", why);
	close_reader(subscription_of(ws));
}

static void discard(struct ws_connection *ws)
{
	struct ws_subscription *s = subscription_of(ws);

	close_reader(s);
	free(s->reading);
	free(s);
}

static void gone(struct ws_connection *ws)
{
	close_reader(subscription_of(ws));
	ws_free(ws);
	discard(ws);
}

static void describe(const struct ws_connection *ws, struct buf *json)
{
	const struct ws_subscription *s = CONTAINER_OF(ws, const struct ws_subscription, ws);

	if (s->reader)
		reading_describe(s->reader, slice_of(s->name, s->name_len), json);
}

static const struct ws_part subscribe_part = {
	.start = start,
	.can_take = can_take,
	.message = message,
	.room = room,
	.finish = finish,
	.too_slow = too_slow,
	.gone = gone,
	.describe = describe,
	.discard = discard,
};

/* --- the request --------------------------------------------------------------------------------------------- */

static struct ws_subscription *subscription_new(const struct exchange *x)
{
	struct ws_subscription *s = calloc(1, sizeof(*s) + x->name_len + 1);

	if (!s)
		return NULL;
	s->ws.part = &subscribe_part;
	s->name_len = x->name_len;
	memcpy(s->name, x->name, x->name_len);
	s->reading = malloc(sizeof(*s->reading));
	if (s->reading)
		return s;
	free(s);
	return NULL;
}

void ws_subscribe_handle(struct exchange *x, const struct http_request *r)
{
	struct ws_subscription *s = subscription_new(x);

	if (!s) {
		exchange_refuse(x, ERR_NO_MEMORY, "subscription");
		return;
	}
	if (topic_name_check(exchange_name(x), &x->fault) ||
	    reading_subscription(x, r, s->reading)) {
		discard(&s->ws);
		exchange_answer(x);
		return;
	}
	(void)exchange_caller(x);
	ws_accept_upgrade(x, r, &s->ws);
}
