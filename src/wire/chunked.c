#include "wire/chunked.h"

#include "wire/http_write.h"

void chunked_init(struct chunked *c)
{
	*c = (struct chunked){.state = CHUNKED_SIZE};
}

static enum err refuse(struct chunked *c, enum err err, const char *detail)
{
	c->detail = detail;
	return err;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool has_control(struct slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((s.ptr[i] < 0x20 && s.ptr[i] != '\t') || s.ptr[i] == 0x7f)
			return true;
	return false;
}

/* Take a line without its CRLF from the front of `rest`. False with OK in `*err`: its end is not
 * there yet. */
static bool take_line(struct chunked *c, struct slice *rest, struct slice *line, enum err *err)
{
	size_t window = rest->len < CHUNKED_LINE_BYTES_MAX ? rest->len : CHUNKED_LINE_BYTES_MAX;
	const uint8_t *lf = window ? memchr(rest->ptr, '\n', window) : NULL;
	size_t len;

	*err = OK;
	if (!lf) {
		if (window == CHUNKED_LINE_BYTES_MAX)
			*err = refuse(c, ERR_BAD_REQUEST, "a line of chunk framing is too long");
		return false;
	}
	len = (size_t)(lf - rest->ptr) + 1;
	*line = slice_of(rest->ptr, len - 1);
	if (line->len == 0 || line->ptr[line->len - 1] != '\r') {
		*err = refuse(c, ERR_BAD_REQUEST, "a line of chunk framing ends in a bare LF");
		return false;
	}
	line->len--;
	if (has_control(*line)) {
		*err = refuse(c, ERR_BAD_REQUEST, "a control character in chunk framing");
		return false;
	}
	*rest = slice_of(rest->ptr + len, rest->len - len);
	return true;
}

static enum err read_size(struct chunked *c, struct slice line, uint64_t bytes_max)
{
	uint64_t size = 0;
	size_t digits = 0;
	struct slice extension;

	while (digits < line.len && hex_value(line.ptr[digits]) >= 0) {
		if (digits == 16)
			return refuse(c, ERR_BAD_REQUEST, "a chunk size has too many digits");
		size = size << 4 | (uint64_t)hex_value(line.ptr[digits++]);
	}
	if (digits == 0)
		return refuse(c, ERR_BAD_REQUEST, "a chunk size is not a hexadecimal number");
	extension = slice_trim(slice_of(line.ptr + digits, line.len - digits));
	if (digits < line.len && !slice_starts_with(extension, SLICE_LIT(";")))
		return refuse(c, ERR_BAD_REQUEST, "a chunk size is followed by something else");
	if (size > bytes_max || c->decoded_bytes > bytes_max - size)
		return refuse(c, ERR_TOO_LARGE, "the chunks of the body are beyond the limit");
	c->left = size;
	c->state = size ? CHUNKED_BODY : CHUNKED_TRAILER;
	return OK;
}

static enum err read_trailer(struct chunked *c, struct slice line)
{
	struct slice name, value;

	if (line.len == 0) {
		c->state = CHUNKED_DONE;
		return OK;
	}
	c->trailer_bytes += line.len;
	if (c->trailer_bytes > CHUNKED_TRAILER_BYTES_MAX)
		return refuse(c, ERR_HEADERS_LARGE, "the trailers of the body are too long");
	value = line;
	name = slice_cut(&value, ':');
	if (!value.ptr || !http_field_name_ok(name))
		return refuse(c, ERR_BAD_REQUEST, "a trailer is malformed");
	if (slice_eq_nocase(name, SLICE_LIT("content-length")) ||
	    slice_eq_nocase(name, SLICE_LIT("transfer-encoding")))
		return refuse(c, ERR_BAD_REQUEST, "a trailer about the body's length");
	return OK;
}

/* Move what is there of the current chunk to `to`; returns how much. */
static size_t take_body(struct chunked *c, struct slice *rest, uint8_t *to)
{
	size_t n = rest->len < c->left ? rest->len : (size_t)c->left;

	memmove(to, rest->ptr, n);
	*rest = slice_of(rest->ptr + n, rest->len - n);
	c->left -= n;
	c->decoded_bytes += n;
	if (c->left == 0)
		c->state = CHUNKED_BODY_END;
	return n;
}

enum err chunked_decode(struct chunked *c, uint8_t *in, size_t *len, uint64_t bytes_max,
                        size_t *decoded)
{
	struct slice rest = slice_of(in, *len);
	struct slice line;
	size_t body = 0;
	enum err err = OK;

	while (c->state != CHUNKED_DONE && rest.len > 0) {
		if (c->state == CHUNKED_BODY) {
			body += take_body(c, &rest, in + body);
			continue;
		}
		if (!take_line(c, &rest, &line, &err))
			break;
		if (c->state == CHUNKED_SIZE)
			err = read_size(c, line, bytes_max);
		else if (c->state == CHUNKED_TRAILER)
			err = read_trailer(c, line);
		else if (line.len == 0)
			c->state = CHUNKED_SIZE;
		else
			err = refuse(c, ERR_BAD_REQUEST, "a chunk is longer than its size");
		if (err)
			break;
	}
	if (err)
		return err;
	*decoded = body;
	if (rest.len > 0)
		memmove(in + body, rest.ptr, rest.len);
	*len = body + rest.len;
	return OK;
}
