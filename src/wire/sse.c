#include "wire/sse.h"

#include "base/check.h"

static bool holds(struct slice s, uint8_t byte)
{
	return s.len > 0 && memchr(s.ptr, byte, s.len);
}

bool sse_text_ok(struct slice text)
{
	return !holds(text, '\r');
}

void sse_append_data(struct buf *out, struct slice text)
{
	do {
		struct slice line = slice_cut(&text, '\n');

		/* The reader drops one space after the colon: the text may begin with its own. */
		buf_append_lit(out, "data: ");
		buf_append_slice(out, line);
		buf_append_lit(out, "\n");
	} while (text.ptr);
}

void sse_append_field(struct buf *out, const char *name, struct slice value)
{
	CHECK(!holds(value, '\r'));
	CHECK(!holds(value, '\n'));
	CHECK(!holds(value, 0)); /* an id with a NUL is ignored by the reader */
	buf_append_str(out, name);
	buf_append_lit(out, ": ");
	buf_append_slice(out, value);
	buf_append_lit(out, "\n");
}

void sse_append_end(struct buf *out)
{
	buf_append_lit(out, "\n");
}
