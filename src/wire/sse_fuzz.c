/* What goes in as texts comes out of a reader byte for byte, event by event. The reader is the HTML
 * standard's "interpreting an event stream", by its steps and not by our writer's.
 *
 * The input is texts, divided by 0xff. Those that may not travel as they are (sse_text_ok) go as
 * base64, as the broker sends them. */
#include "base/check.h"
#include "wire/base64.h"
#include "wire/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { STREAM_BYTES_MAX = 16 << 20, DIVIDER = 0xff };

struct reader {
	struct slice rest;
	struct buf data, type, id;
	bool at_start;
};

static void reader_init(struct reader *r, struct slice stream)
{
	*r = (struct reader){.rest = stream,
	                     .data = BUF_INIT(STREAM_BYTES_MAX),
	                     .type = BUF_INIT(STREAM_BYTES_MAX),
	                     .id = BUF_INIT(STREAM_BYTES_MAX),
	                     .at_start = true};
}

static void reader_fini(struct reader *r)
{
	buf_fini(&r->data);
	buf_fini(&r->type);
	buf_fini(&r->id);
}

static void skip(struct slice *s, size_t count)
{
	*s = slice_of(s->ptr + count, s->len - count);
}

/* Lines end with CR LF, LF or CR; what is not ended is not a line. */
static bool reader_line(struct reader *r, struct slice *line)
{
	size_t len = 0;

	while (len < r->rest.len && r->rest.ptr[len] != '\n' && r->rest.ptr[len] != '\r')
		len++;
	if (len == r->rest.len)
		return false;
	*line = slice_of(r->rest.ptr, len);
	skip(&r->rest, len + 1);
	if (line->ptr[len] == '\r' && r->rest.len && r->rest.ptr[0] == '\n')
		skip(&r->rest, 1);
	return true;
}

static void reader_field(struct reader *r, struct slice name, struct slice value)
{
	if (slice_eq(name, SLICE_LIT("event"))) {
		buf_clear(&r->type);
		buf_append_slice(&r->type, value);
	} else if (slice_eq(name, SLICE_LIT("data"))) {
		buf_append_slice(&r->data, value);
		buf_append_lit(&r->data, "\n");
	} else if (slice_eq(name, SLICE_LIT("id")) &&
	           !(value.len && memchr(value.ptr, 0, value.len))) {
		buf_clear(&r->id);
		buf_append_slice(&r->id, value);
	}
}

/* The next event that a page would see. Type and data stand until the next call. */
static bool reader_next(struct reader *r)
{
	struct slice line, name;

	if (r->at_start && slice_starts_with(r->rest, SLICE_LIT("\xef\xbb\xbf")))
		skip(&r->rest, 3);
	r->at_start = false;
	buf_clear(&r->data);
	buf_clear(&r->type);
	while (reader_line(r, &line)) {
		if (line.len == 0 && r->data.len) {
			r->data.len--; /* the last LF is not the text's */
			return true;
		}
		if (line.len == 0)
			buf_clear(&r->type);
		if (line.len == 0 || line.ptr[0] == ':')
			continue;
		name = slice_cut(&line, ':');
		if (line.len && line.ptr[0] == ' ')
			skip(&line, 1);
		reader_field(r, name, line);
	}
	CHECK(r->rest.len == 0);
	return false;
}

/* How the broker would send the text: its type and what its data lines hold. */
static struct slice sent_form(struct slice text, struct buf *base64, struct slice *type)
{
	*type = SLICE_LIT("");
	if (sse_text_ok(text))
		return text;
	*type = SLICE_LIT("binary");
	buf_clear(base64);
	base64_encode(BASE64_STD, text, base64);
	return buf_slice(base64);
}

static void write_event(struct buf *out, struct slice text, int64_t number, struct buf *base64)
{
	struct buf id = BUF_INIT(32);
	struct slice type;

	text = sent_form(text, base64, &type);
	if (type.len)
		sse_append_field(out, "event", type);
	buf_append_int64(&id, number);
	sse_append_field(out, "id", buf_slice(&id));
	sse_append_data(out, text);
	sse_append_end(out);
	if (number % 3 == 0)
		buf_append_lit(out, SSE_HEARTBEAT);
	buf_fini(&id);
}

static void check_event(struct reader *r, struct slice text, int64_t number, struct buf *base64)
{
	struct slice type;
	int64_t id;

	text = sent_form(text, base64, &type);
	CHECK(reader_next(r));
	CHECK(slice_eq(buf_slice(&r->data), text));
	CHECK(slice_eq(buf_slice(&r->type), type));
	CHECK(slice_to_int64(buf_slice(&r->id), &id));
	CHECK(id == number);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct slice input = slice_of(bytes, len), rest = input;
	struct buf stream = BUF_INIT(STREAM_BYTES_MAX), base64 = BUF_INIT(STREAM_BYTES_MAX);
	struct reader reader;
	int64_t count = 0;

	do
		write_event(&stream, slice_cut(&rest, DIVIDER), count++, &base64);
	while (rest.ptr);
	CHECK(!stream.failed);
	reader_init(&reader, buf_slice(&stream));
	rest = input;
	for (int64_t i = 0; i < count; i++)
		check_event(&reader, slice_cut(&rest, DIVIDER), i, &base64);
	CHECK(!reader_next(&reader));
	reader_fini(&reader);
	buf_fini(&stream);
	buf_fini(&base64);
	return 0;
}
