/* The text protocol of NATS core:
 *
 *	server: INFO {…}\r\n          client: CONNECT {…}\r\n, SUB subject 1\r\n, PING\r\n
 *	server: PONG\r\n              client: PUB subject bytes\r\npayload\r\n
 *	server: MSG subject 1 bytes\r\npayload\r\n
 *
 * The PONG comes after everything before the PING was done: it opens the link. */
#include "link.h"

static const char hello[] = "CONNECT {\"verbose\":false,\"pedantic\":false,\"name\":\"bench\"}\r\n";

static void subscriber_open(struct link *l)
{
	buf_printf(&l->out, "%sSUB %s 1\r\nPING\r\n", hello, l->address->path);
}

static void publisher_open(struct link *l)
{
	buf_printf(&l->out, "%sPING\r\n", hello);
}

/* The event behind a MSG line whose last word is its length. */
static enum link_event message(struct link *l, struct slice line, const uint8_t *in, size_t len,
                               struct failure *f)
{
	size_t digits = 0;
	int64_t bytes;

	while (digits < line.len && line.ptr[line.len - 1 - digits] != ' ')
		digits++;
	if (!slice_to_int64(slice_of(line.ptr + line.len - digits, digits), &bytes) || bytes < 0) {
		bench_fail(f, "a MSG without a length: %.*s", SLICE_FMT(line));
		return LINK_FAILED;
	}
	if (len - (line.len + 2) < (size_t)bytes + 2)
		return LINK_MORE;
	l->payload = slice_of(in + line.len + 2, (size_t)bytes);
	l->consumed = line.len + 2 + (size_t)bytes + 2;
	return LINK_PAYLOAD;
}

static enum link_event next(struct link *l, uint8_t *in, size_t *len, struct failure *f)
{
	const uint8_t *end = memchr(in, '\n', *len);
	struct slice line;

	if (!end)
		return LINK_MORE;
	if (end == in || end[-1] != '\r') {
		bench_fail(f, "a line of NATS that does not end in CRLF");
		return LINK_FAILED;
	}
	line = slice_of(in, (size_t)(end - in) - 1);
	if (slice_starts_with(line, SLICE_LIT("MSG ")))
		return message(l, line, in, *len, f);
	l->consumed = line.len + 2;
	if (slice_eq(line, SLICE_LIT("PING"))) {
		buf_append_lit(&l->out, "PONG\r\n");
		return LINK_NOTHING;
	}
	if (slice_eq(line, SLICE_LIT("PONG")))
		return l->open ? LINK_NOTHING : LINK_OPENED;
	if (slice_starts_with(line, SLICE_LIT("INFO ")) || slice_eq(line, SLICE_LIT("+OK")))
		return LINK_NOTHING;
	bench_fail(f, "NATS said: %.*s", SLICE_FMT(line)); /* -ERR 'Slow Consumer', … */
	return LINK_FAILED;
}

static void publish(struct link *l, struct slice event)
{
	buf_append_lit(&l->out, "PUB ");
	buf_append_str(&l->out, l->address->path);
	buf_append_lit(&l->out, " ");
	buf_append_int64(&l->out, (int64_t)event.len);
	buf_append_lit(&l->out, "\r\n");
	buf_append_slice(&l->out, event);
	buf_append_lit(&l->out, "\r\n");
}

static void frame(const struct address *to, size_t event_bytes, struct buf *before,
                  struct buf *after)
{
	buf_printf(before, "MSG %s 1 %zu\r\n", to->path, event_bytes);
	buf_append_lit(after, "\r\n");
}

const struct dialect dialect_nats_subscriber = {
	.open = subscriber_open, .next = next, .frame = frame};
const struct dialect dialect_nats_publisher = {
	.open = publisher_open, .next = next, .publish = publish};
