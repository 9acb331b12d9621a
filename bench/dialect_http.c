/* What is spoken over HTTP: a WebSocket as subscriber and publisher, Server-Sent Events, and plain
 * POSTs on a kept connection. */
#include "link.h"

/* A benchmark has nothing to hide from proxies: one key, one mask. */
static const char ws_key[] = "dGhlIHNhbXBsZSBub25jZQ==";
static const uint8_t ws_mask_key[4] = {0x37, 0xfa, 0x21, 0x3d};

static enum link_event refused(struct link *l, const char *what, struct failure *f)
{
	bench_fail(f, "127.0.0.1:%d %s: %s (status %d)", l->address->port, l->address->path, what,
	           l->http.response.status);
	return LINK_FAILED;
}

/* --- WebSocket -------------------------------------------------------------------------------- */

static void ws_open(struct link *l)
{
	http_response_init(&l->http, false);
	ws_parser_init(&l->ws, WS_CLIENT);
	buf_printf(
		&l->out,
		"GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\n"
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n",
		l->address->path, l->address->port, ws_key);
}

static enum link_event ws_upgrade(struct link *l, uint8_t *in, size_t *len, struct failure *f)
{
	char accept[WS_ACCEPT_LEN + 1];

	switch (http_response_parse(&l->http, in, len)) {
	case HTTP_EVENT_MORE: l->consumed = l->http.consumed; return LINK_MORE;
	case HTTP_EVENT_HEAD:
		if (l->http.response.status != 101 || ws_accept(slice_str(ws_key), accept) ||
		    !slice_eq(http_fields_get(l->http.response.fields, HTTP_FIELD_WS_ACCEPT),
		              slice_str(accept)))
			return refused(l, "this is not a WebSocket", f);
		l->consumed = l->http.consumed;
		return LINK_OPENED;
	default: return refused(l, "no answer in HTTP", f);
	}
}

static enum link_event ws_next(struct link *l, uint8_t *in, size_t *len, struct failure *f)
{
	enum ws_event event;

	if (!l->open)
		return ws_upgrade(l, in, len, f);
	event = ws_parse(&l->ws, in, len);
	l->consumed = l->ws.consumed;
	l->payload = l->ws.payload;
	switch (event) {
	case WS_EVENT_MORE: return LINK_MORE;
	case WS_EVENT_MESSAGE: return LINK_PAYLOAD;
	case WS_EVENT_PING:
		ws_append_frame(&l->out, WS_PONG, l->payload, ws_mask_key);
		return LINK_NOTHING;
	case WS_EVENT_PONG: return LINK_NOTHING;
	case WS_EVENT_CLOSE:
		bench_fail(f, "the broker closed the WebSocket %s: %d %.*s", l->address->path,
		           l->ws.close_code, SLICE_FMT(l->payload));
		return LINK_FAILED;
	case WS_EVENT_FAILED: break;
	}
	bench_fail(f, "a bad WebSocket frame: %s", l->ws.detail);
	return LINK_FAILED;
}

/* nchan answers each message with a line on the state of its channel; nobody asked. */
static enum link_event ws_publisher_next(struct link *l, uint8_t *in, size_t *len,
                                         struct failure *f)
{
	enum link_event event = ws_next(l, in, len, f);

	return event == LINK_PAYLOAD ? LINK_NOTHING : event;
}

static void ws_publish(struct link *l, struct slice event)
{
	ws_append_frame(&l->out, WS_TEXT, event, ws_mask_key);
}

/* Unmasked, and text: what is published is ASCII. Fragments look different, and are parsed. */
static void ws_frame(const struct address *to, size_t event_bytes, struct buf *before,
                     struct buf *after)
{
	uint8_t header[WS_HEADER_BYTES_MAX];

	(void)to;
	(void)after;
	buf_append(before, header, ws_header_write(header, WS_TEXT, true, event_bytes, NULL));
}

const struct dialect dialect_ws_subscriber = {.open = ws_open, .next = ws_next, .frame = ws_frame};
const struct dialect dialect_ws_publisher = {
	.open = ws_open, .next = ws_publisher_next, .publish = ws_publish};

/* --- Server-Sent Events ----------------------------------------------------------------------- */

static void sse_open(struct link *l)
{
	http_response_init(&l->http, false);
	buf_printf(&l->out,
	           "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: text/event-stream\r\n\r\n",
	           l->address->path, l->address->port);
}

/* One line without its end. An `event:` field means that this is not one of the events that were
 * published: a gap, or the end of the topic. */
static enum link_event sse_line(struct link *l, struct slice line, struct failure *f)
{
	struct slice value = line, name = slice_cut(&value, ':');

	if (line.len == 0) {
		if (!l->has_event)
			return LINK_NOTHING;
		l->has_event = false;
		l->payload = buf_slice(&l->event);
		return LINK_PAYLOAD;
	}
	if (value.len > 0 && value.ptr[0] == ' ')
		value = slice_of(value.ptr + 1, value.len - 1);
	if (slice_eq(name, SLICE_LIT("data"))) {
		if (l->has_event)
			buf_append_lit(&l->event, "\n");
		else
			buf_clear(&l->event);
		buf_append_slice(&l->event, value);
		l->has_event = true;
	} else if (slice_eq(name, SLICE_LIT("event")) && !slice_eq(value, SLICE_LIT("message"))) {
		bench_fail(f, "an event of type '%.*s' instead of a message", SLICE_FMT(value));
		return LINK_FAILED;
	}
	return LINK_NOTHING;
}

/* Read on in the piece of the body at hand, up to the end of an event. */
static enum link_event sse_piece(struct link *l, struct failure *f)
{
	while (l->piece.len > 0) {
		const uint8_t *end = memchr(l->piece.ptr, '\n', l->piece.len);
		struct slice line =
			slice_of(l->piece.ptr, end ? (size_t)(end - l->piece.ptr) : l->piece.len);
		size_t used = line.len + (end ? 1 : 0);
		enum link_event event;

		l->piece = slice_of(l->piece.ptr + used, l->piece.len - used);
		if (!end || l->line.len > 0)
			buf_append_slice(&l->line, line);
		if (!end)
			break;
		event = sse_line(l, l->line.len > 0 ? buf_slice(&l->line) : line, f);
		buf_clear(&l->line);
		if (event != LINK_NOTHING)
			return event;
	}
	l->in_body = false;
	l->consumed = l->http.consumed;
	return LINK_NOTHING;
}

static enum link_event sse_next(struct link *l, uint8_t *in, size_t *len, struct failure *f)
{
	if (l->in_body)
		return sse_piece(l, f);
	switch (http_response_parse(&l->http, in, len)) {
	case HTTP_EVENT_MORE: l->consumed = l->http.consumed; return LINK_MORE;
	case HTTP_EVENT_HEAD:
		l->consumed = l->http.consumed;
		if (l->http.response.status != 200)
			return refused(l, "no stream of events", f);
		return LINK_OPENED;
	case HTTP_EVENT_BODY:
		l->piece = l->http.body;
		l->in_body = true;
		return sse_piece(l, f);
	default: return refused(l, "the stream of events ended", f);
	}
}

const struct dialect dialect_sse = {.open = sse_open, .next = sse_next};

/* --- POST ------------------------------------------------------------------------------------- */

static void post_open(struct link *l)
{
	http_response_init(&l->http, false);
	l->open = true; /* the first request opens it */
}

/* LINK_PAYLOAD: an answer is complete, with a status that says yes. */
static enum link_event post_next(struct link *l, uint8_t *in, size_t *len, struct failure *f)
{
	enum http_event event = http_response_parse(&l->http, in, len);

	l->consumed = l->http.consumed;
	switch (event) {
	case HTTP_EVENT_MORE: return LINK_MORE;
	case HTTP_EVENT_HEAD:
		if (l->http.response.status / 100 != 2 || !l->http.response.keep_alive)
			return refused(l, "refused, or the connection is not kept", f);
		return LINK_NOTHING;
	case HTTP_EVENT_BODY: return LINK_NOTHING;
	case HTTP_EVENT_MESSAGE: http_response_init(&l->http, false); return LINK_PAYLOAD;
	case HTTP_EVENT_REFUSED: break;
	}
	return refused(l, "a malformed answer", f);
}

static void post_publish(struct link *l, struct slice body)
{
	struct buf *out = &l->out; /* not printed: the generator has one core, too */

	buf_append_lit(out, "POST ");
	buf_append_str(out, l->address->path);
	buf_append_lit(out, " HTTP/1.1\r\nHost: 127.0.0.1:");
	buf_append_int64(out, l->address->port);
	buf_append_lit(out, "\r\nContent-Type: application/json\r\nContent-Length: ");
	buf_append_int64(out, (int64_t)body.len);
	buf_append_lit(out, "\r\n\r\n");
	buf_append_slice(out, body);
}

const struct dialect dialect_http_post = {
	.open = post_open, .next = post_next, .publish = post_publish};
