#include "front/form.h"

#include "front/event_json.h"
#include "wire/base64.h"
#include "wire/sse.h"
#include "wire/ws.h"

enum { CHUNK_HEAD_BYTES = 10 }; /* eight hex digits, CRLF */

/* --- chunks ---------------------------------------------------------------------------------- */

size_t form_chunk_begin(struct form f, struct buf *out)
{
	if (f.chunked)
		buf_append_lit(out, "00000000\r\n");
	return out->len;
}

/* An empty chunk would end the body: it is taken back. */
void form_chunk_end(struct form f, struct buf *out, size_t start)
{
	static const char digits[] = "0123456789abcdef";
	size_t len = out->len - start;

	if (!f.chunked || out->failed)
		return;
	if (len == 0) {
		out->len = start - CHUNK_HEAD_BYTES;
		return;
	}
	for (size_t i = 0; i < 8; i++, len >>= 4)
		out->ptr[start - 3 - i] = (uint8_t)digits[len & 15];
	buf_append_lit(out, "\r\n");
}

/* --- the three kinds -------------------------------------------------------------------------- */

static void append_frame(const struct record *r, struct buf *out)
{
	struct slice content_type;
	enum event_encoding encoding = event_encoding(r, &content_type);
	bool text = encoding == EVENT_JSON || encoding == EVENT_TEXT;

	ws_append_frame(out, text ? WS_TEXT : WS_BINARY, r->value, NULL);
}

static void append_base64_data(struct slice value, struct buf *out)
{
	buf_append_lit(out, "event: binary\ndata: ");
	base64_encode(BASE64_STD, value, out);
	buf_append_lit(out, "\n");
}

static void append_payload(const struct record *r, struct buf *out)
{
	struct slice content_type;

	switch (event_encoding(r, &content_type)) {
	case EVENT_NONE: buf_append_lit(out, "event: tombstone\ndata: \n"); return;
	case EVENT_BASE64: append_base64_data(r->value, out); return;
	case EVENT_JSON:
	case EVENT_TEXT: break;
	}
	if (sse_text_ok(r->value))
		sse_append_data(out, r->value);
	else
		append_base64_data(r->value, out);
}

static void append_sse(struct form f, const struct record *r, uint32_t partition,
                       struct slice topic, struct buf *out)
{
	if (f.placed) {
		buf_append_lit(out, "id: ");
		buf_append_int64(out, r->offset + 1);
		buf_append_lit(out, "\n");
	}
	if (f.named) {
		buf_append_lit(out, "data: ");
		event_json_append(out, r, partition, topic);
		buf_append_lit(out, "\n");
	} else {
		append_payload(r, out);
	}
	sse_append_end(out);
}

/* The object is left open where its place is yet to come. */
static void append_line(struct form f, const struct record *r, uint32_t partition,
                        struct slice topic, struct buf *out)
{
	event_json_append(out, r, partition, f.named ? topic : SLICE_NONE);
	if (!out->failed)
		out->len--; /* the closing brace */
	if (!f.placed)
		return;
	buf_append_lit(out, ",\"next\":\"");
	buf_append_int64(out, r->offset + 1);
	buf_append_lit(out, "\"}\n");
}

void form_append(struct form f, const struct record *r, uint32_t partition, struct slice topic,
                 struct buf *out)
{
	size_t start;

	f.chunked &= f.placed;
	start = form_chunk_begin(f, out);
	switch ((enum form_kind)f.kind) {
	case FORM_FRAME: append_frame(r, out); break;
	case FORM_SSE: append_sse(f, r, partition, topic, out); break;
	case FORM_LINE: append_line(f, r, partition, topic, out); break;
	}
	form_chunk_end(f, out, start);
}

void form_place(struct form f, struct slice event, struct slice cursor, struct buf *out)
{
	size_t start = form_chunk_begin(f, out);

	if (f.kind == FORM_SSE) {
		sse_append_field(out, "id", cursor);
		buf_append_slice(out, event);
	} else {
		buf_append_slice(out, event);
		buf_append_lit(out, ",\"next\":\"");
		buf_append_slice(out, cursor);
		buf_append_lit(out, "\"}\n");
	}
	form_chunk_end(f, out, start);
}
