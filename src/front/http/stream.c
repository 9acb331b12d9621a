/* GET /subscribe/{t}: an endless stream of JSON events, one a line: what `curl -N` gets. From
 * ?offset= (default end), ?cursor= or Last-Event-ID, of ?partition= or all.
 *
 * The reader is a place: events are taken from it only while the socket takes them, so a slow
 * client holds at most limits.output_bytes here. When the stream fails, its last line is
 * {"error":{…problem…}}. */
#include "front/event_json.h"
#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/reading.h"
#include "front/media_type.h"

#include <stdlib.h>

enum {
	TURN_BYTES_MAX = 256 << 10, /* then others have their turn */
	CHUNK_HEAD_BYTES = 10,      /* eight hex digits, CRLF */
};

struct stream_state {
	struct exchange *x;
	struct reader *reader;
	bool begun;
	bool has_first;
	struct delivery first; /* taken to see whether the stream can begin */
};

/* --- chunks ------------------------------------------------------------------------------------------ */

/* Lines are appended between these two; an empty chunk, which would end the body, is taken back.
 * Clients of HTTP/1.0 get the lines alone. */
static size_t chunk_begin(const struct exchange *x, struct buf *out)
{
	if (x->version_minor > 0)
		buf_append_lit(out, "00000000\r\n");
	return out->len;
}

static void chunk_end(const struct exchange *x, struct buf *out, size_t start)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = out->len - start;

	if (x->version_minor == 0 || out->failed)
		return;
	if (len == 0) {
		out->len = start - CHUNK_HEAD_BYTES;
		return;
	}
	for (size_t i = 0; i < 8; i++, len >>= 4)
		out->ptr[start - 3 - i] = (uint8_t)digits[len & 15];
	buf_append_lit(out, "\r\n");
}

static void body_end(const struct exchange *x, struct buf *out)
{
	if (x->version_minor > 0)
		http_chunk_end(out);
}

/* --- events -------------------------------------------------------------------------------------------- */

static void append_line(struct buf *out, const struct delivery *d)
{
	event_json_append(out, &d->record, d->partition, SLICE_NONE);
	buf_append_lit(out, "\n");
}

static void append_error(struct stream_state *s, struct buf *out)
{
	struct problem_member members[2];
	size_t count = reading_members(s->reader, members);

	s->x->fault = *reader_fault(s->reader);
	buf_append_lit(out, "{\"error\":");
	problem_of(s->x, members, count, out);
	buf_append_lit(out, "}\n");
}

/* Take events while there is room. False when the stream is over. */
static bool take(struct stream_state *s, struct buf *out, size_t room)
{
	size_t end = out->len + room;
	struct delivery d;

	if (s->has_first)
		append_line(out, &s->first);
	s->has_first = false;
	while (out->len < end) {
		switch (reader_take(s->reader, &d)) {
		case READER_EVENT: append_line(out, &d); break;
		case READER_WAIT:
		case READER_CAUGHT_UP: return true;
		case READER_FAILED: append_error(s, out); return false;
		}
	}
	return true;
}

static void pull(struct stream_state *s)
{
	struct exchange *x = s->x;
	struct connection *c = x->http->connection;
	size_t cap = front_limits(x->front)->output_bytes;
	size_t room;
	struct buf *out;
	size_t start;
	bool goes_on;

	if (c->closed || connection_pending(c) >= cap)
		return;
	room = cap - connection_pending(c);
	out = connection_output(c);
	start = chunk_begin(x, out);
	goes_on = take(s, out, room < TURN_BYTES_MAX ? room : TURN_BYTES_MAX);
	chunk_end(x, out, start);
	if (goes_on)
		return;
	body_end(x, out);
	exchange_end(x, x->version_minor > 0);
}

/* --- the exchange ----------------------------------------------------------------------------------------- */

static void stream_write(struct exchange *x)
{
	struct stream_state *s = x->state;
	struct buf *out;

	if (x->fault.code) {
		reading_problem(x, s->reader);
		return;
	}
	if (x->version_minor == 0)
		x->keep_alive = false;
	out = reply_begin(x, 200);
	http_head_field(out, "Content-Type", SLICE_LIT("application/x-ndjson"));
	http_head_field(out, "Cache-Control", SLICE_LIT("no-store"));
	http_head_field(out, "X-Accel-Buffering", SLICE_LIT("no"));
	if (x->version_minor == 0)
		http_head_end(out);
	else
		http_head_end_chunked(out);
	if (x->method == HTTP_METHOD_HEAD)
		return;
	s->begun = true;
	x->streaming = true;
	pull(s);
}

/* Can it begin? The first take tells, also whether the asked position exists. */
static void begin(struct stream_state *s)
{
	switch (reader_take(s->reader, &s->first)) {
	case READER_WAIT: return;
	case READER_EVENT: s->has_first = true; break;
	case READER_CAUGHT_UP: break;
	case READER_FAILED: s->x->fault = *reader_fault(s->reader); break;
	}
	exchange_answer(s->x);
}

static void stream_woken(void *owner)
{
	struct stream_state *s = owner;

	if (s->begun)
		pull(s);
	else if (!s->x->answered)
		begin(s);
}

static void stream_room(struct exchange *x)
{
	pull(x->state);
}

static void stream_hurry(struct exchange *x)
{
	struct stream_state *s = x->state;

	if (!s->begun) {
		if (!x->answered)
			exchange_refuse(x, ERR_SHUTTING_DOWN, "subscribe");
		return;
	}
	body_end(x, connection_output(x->http->connection));
	exchange_end(x, false);
}

static void stream_fini(struct exchange *x)
{
	struct stream_state *s = x->state;

	if (s->reader)
		reader_close(s->reader);
	free(s);
}

static const char *stream_name(const struct exchange *x)
{
	(void)x;
	return "ndjson";
}

static void stream_describe(const struct exchange *x, struct buf *json)
{
	const struct stream_state *s = x->state;

	reading_describe(s->reader, exchange_name(x), json);
}

static const struct exchange_ops stream_ops = {
	.write = stream_write,
	.hurry = stream_hurry,
	.room = stream_room,
	.fini = stream_fini,
	.stream_name = stream_name,
	.describe = stream_describe,
};

void stream_handle(struct exchange *x, const struct http_request *r)
{
	struct reading reading;
	struct stream_state *s;

	if (media_accepts(http_field(r, HTTP_FIELD_ACCEPT), "text/event-stream")) {
		exchange_refuse(x, ERR_NOT_IMPLEMENTED,
		                "Server-Sent Events; ask for application/x-ndjson or a WebSocket");
		return;
	}
	if (reading_subscription(x, r, &reading)) {
		exchange_answer(x);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		exchange_refuse(x, ERR_NO_MEMORY, "subscribe");
		return;
	}
	s->x = x;
	x->state = s;
	x->ops = &stream_ops;
	s->reader = reading_open(x, &reading, OPERATION_SUBSCRIBE, true, stream_woken, s);
	if (s->reader)
		begin(s);
	else
		exchange_refuse(x, ERR_NO_MEMORY, "reader");
}
