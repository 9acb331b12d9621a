/* Redis streams over RESP2: each event an entry.
 *
 *	client: *5 $4 XADD $n stream $1 * $1 v $n event      server: $15 1763759278123-0
 *
 * Every word on its lines, each ending in CRLF. The answer is the entry's id. */
#include "link.h"

static void open(struct link *l)
{
	l->open = true; /* the first request opens it */
}

/* LINK_PAYLOAD: an entry was added. */
static enum link_event next(struct link *l, uint8_t *in, size_t *len, struct failure *f)
{
	struct slice rest = slice_of(in, *len), line;
	const uint8_t *end = memchr(in, '\n', *len);
	int64_t bytes;

	if (!end)
		return LINK_MORE;
	line = slice_of(in, (size_t)(end - in));
	rest = slice_of(end + 1, rest.len - line.len - 1);
	if (line.len < 2 || line.ptr[0] != '$' || line.ptr[line.len - 1] != '\r' ||
	    !slice_to_int64(slice_of(line.ptr + 1, line.len - 2), &bytes) || bytes < 0) {
		bench_fail(f, "Redis said: %.*s", SLICE_FMT(line)); /* -ERR …, -OOM … */
		return LINK_FAILED;
	}
	if (rest.len < (size_t)bytes + 2)
		return LINK_MORE;
	l->payload = slice_of(rest.ptr, (size_t)bytes);
	l->consumed = line.len + 1 + (size_t)bytes + 2;
	return LINK_PAYLOAD;
}

static void publish(struct link *l, struct slice event)
{
	struct buf *out = &l->out; /* not printed: the generator has one core, too */

	buf_append_lit(out, "*5\r\n$4\r\nXADD\r\n$");
	buf_append_int64(out, (int64_t)strlen(l->address->path));
	buf_append_lit(out, "\r\n");
	buf_append_str(out, l->address->path);
	buf_append_lit(out, "\r\n$1\r\n*\r\n$1\r\nv\r\n$");
	buf_append_int64(out, (int64_t)event.len);
	buf_append_lit(out, "\r\n");
	buf_append_slice(out, event);
	buf_append_lit(out, "\r\n");
}

const struct dialect dialect_redis = {.open = open, .next = next, .publish = publish};
