/* ws://…/subscribe/{t}, ws://…/v1/subscribe?topic=: the payloads of topics' events and nothing
 * else, as they happen. A frame is text for JSON and text, else binary. ?offset= (default end),
 * ?cursor= or Last-Event-ID; ?partition=.
 *
 * A socket that takes nothing for too long, or is so far behind that its events are gone, is told
 * where to go on (4008). */
#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/reading.h"
#include "front/subscription.h"
#include "front/ws/connection.h"

#include <stdlib.h>

struct ws_subscription {
	struct ws_connection ws;
	struct subscription subscription;
};

static struct ws_subscription *of_ws(struct ws_connection *ws)
{
	return CONTAINER_OF(ws, struct ws_subscription, ws);
}

static struct ws_subscription *of_subscription(struct subscription *s)
{
	return CONTAINER_OF(s, struct ws_subscription, subscription);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Where to go on from; "" when there is no such place, or no room for it in a close frame. */
static void place(const struct subscription *s, char text[WS_CONTROL_BYTES_MAX])
{
	uint8_t memory[CURSOR_TEXT_BYTES_MAX];
	struct buf cursor = BUF_IN(memory);
	const struct reader_bounds *bounds;
	uint32_t count;

	text[0] = '\0';
	bounds = subscription_bounds(s, &count);
	if (s->numbered && count == 1 && bounds->resume_offset >= 0)
		buf_append_int64(&cursor, bounds->resume_offset);
	else
		(void)subscription_cursor(s, &cursor);
	if (cursor.len > 0 && cursor.len < WS_CONTROL_BYTES_MAX - 2) {
		memcpy(text, cursor.ptr, cursor.len);
		text[cursor.len] = '\0';
	}
}

static void too_slow(struct ws_connection *ws)
{
	struct subscription *s = &of_ws(ws)->subscription;
	char text[WS_CONTROL_BYTES_MAX];

	place(s, text);
	ws_close(ws, WS_CLOSE_TOO_SLOW, "%s", text);
	subscription_close(s);
}

static void close_for(struct subscription *s, const struct fault *why, uint16_t code)
{
	char text[320];

	ws_close(&of_subscription(s)->ws, code, "%s", fault_text(why, text, sizeof(text)));
	subscription_close(s);
}

static bool is_loss(const struct fault *why)
{
	return why->code == ERR_TRIMMED || why->code == ERR_TRUNCATED;
}

/* --- what the subscription tells -------------------------------------------------------------- */

static void ready(struct subscription *s, const struct fault *why)
{
	if (!why)
		subscription_run(s);
	else
		close_for(s, why, is_loss(why) ? WS_CLOSE_POSITION_GONE : ws_close_code(why));
}

/* There is no frame that could tell of a gap. */
static bool lost(struct subscription *s, const struct fault *why)
{
	(void)s;
	(void)why;
	return false;
}

static void resumed(struct subscription *s, enum err why, const char *requested)
{
	(void)s;
	(void)why;
	(void)requested;
	UNREACHABLE();
}

static void topic_gone(struct subscription *s, struct slice topic, bool last)
{
	const struct fault gone = {.code = ERR_TOPIC_GONE};

	(void)topic;
	if (last)
		close_for(s, &gone, WS_CLOSE_TOPIC_GONE);
}

static void failed(struct subscription *s, const struct fault *why)
{
	if (is_loss(why))
		too_slow(&of_subscription(s)->ws);
	else
		close_for(s, why, ws_close_code(why));
}

static const struct subscription_ops subscription_ops = {
	.ready = ready,
	.lost = lost,
	.resumed = resumed,
	.gone = topic_gone,
	.failed = failed,
};

/* --- what the connection tells ---------------------------------------------------------------- */

static void start(struct ws_connection *ws)
{
	subscription_open(&of_ws(ws)->subscription, ws->connection);
}

static void room(struct ws_connection *ws)
{
	subscription_room(&of_ws(ws)->subscription);
}

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
	subscription_close(&of_ws(ws)->subscription);
}

static void finish(struct ws_connection *ws, uint16_t code, const char *why)
{
	ws_close(ws, code, "%s", why);
	subscription_close(&of_ws(ws)->subscription);
}

static void discard(struct ws_connection *ws)
{
	struct ws_subscription *s = of_ws(ws);

	subscription_close(&s->subscription);
	free(s);
}

static void gone(struct ws_connection *ws)
{
	subscription_close(&of_ws(ws)->subscription);
	ws_free(ws);
	discard(ws);
}

static void describe(const struct ws_connection *ws, struct buf *json)
{
	subscription_describe(&CONTAINER_OF(ws, const struct ws_subscription, ws)->subscription,
	                      json);
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

/* --- the request ------------------------------------------------------------------------------ */

static struct ws_subscription *subscription_new(const struct subscription_request *request)
{
	const struct form form = {.kind = FORM_FRAME};
	struct ws_subscription *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->ws.part = &subscribe_part;
	if (subscription_init(&s->subscription, &subscription_ops, request, form))
		return s;
	free(s);
	return NULL;
}

void ws_subscribe_handle(struct exchange *x, const struct http_request *r)
{
	struct subscription_request request;
	struct ws_subscription *s;
	struct params params;

	if (reading_subscription(x, r, false, &params, &request)) {
		exchange_answer(x);
		return;
	}
	s = subscription_new(&request);
	params_fini(&params);
	if (!s) {
		exchange_refuse(x, ERR_NO_MEMORY, "subscription");
		return;
	}
	(void)exchange_caller(x);
	ws_accept_upgrade(x, r, &s->ws);
}
