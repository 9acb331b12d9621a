#include "wire/url.h"

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool url_decode(struct slice raw, uint8_t *out, size_t *len)
{
	size_t n = 0;

	for (size_t i = 0; i < raw.len; i++) {
		uint8_t c = raw.ptr[i];

		if (c == '%') {
			int high, low;

			if (raw.len - i < 3)
				return false;
			high = hex_value(raw.ptr[i + 1]);
			low = hex_value(raw.ptr[i + 2]);
			if (high < 0 || low < 0)
				return false;
			c = (uint8_t)(high << 4 | low);
			i += 2;
		}
		if (c == '\0')
			return false;
		out[n++] = c;
	}
	*len = n;
	return true;
}

static bool is_unreserved(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

void url_encode(struct slice text, struct buf *out)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < text.len; i++) {
		uint8_t c = text.ptr[i];
		char escape[3] = {'%', hex[c >> 4], hex[c & 15]};

		if (is_unreserved(c))
			buf_append(out, &c, 1);
		else
			buf_append(out, escape, sizeof(escape));
	}
}

/* Borrow `part` when nothing in it is escaped, else decode it into q->decoded, whose room for the
 * whole query is reserved before the first: what was decoded earlier stays where it is. */
static bool decode_part(struct url_query *q, struct slice raw, struct slice *part)
{
	uint8_t *to;
	size_t len;

	if (part->len == 0 || !memchr(part->ptr, '%', part->len))
		return true;
	if (q->decoded.cap == 0 && !buf_reserve(&q->decoded, raw.len))
		return false;
	to = q->decoded.ptr + q->decoded.len;
	if (!url_decode(*part, to, &len))
		return false;
	q->decoded.len += len;
	*part = slice_of(to, len);
	return true;
}

static enum err add_param(struct url_query *q, struct slice raw, struct slice part, struct fault *f)
{
	struct slice value = part;
	struct slice name = slice_cut(&value, '=');
	struct url_param *param;

	if (name.len == 0)
		return fault_set(f, ERR_BAD_PARAMETER, 0, "a parameter has no name");
	if (q->count == URL_PARAMS_MAX)
		return fault_set(f, ERR_BAD_PARAMETER, 0, "more than %d parameters",
		                 URL_PARAMS_MAX);
	param = &q->params[q->count];
	param->name = name;
	param->value = value;
	if (!decode_part(q, raw, &param->name) || !decode_part(q, raw, &param->value)) {
		if (q->decoded.failed)
			return fault_set(f, ERR_NO_MEMORY, 0, "query parameters");
		return fault_set(f, ERR_BAD_PARAMETER, 0,
		                 "parameter '%.*s' has a malformed %%-escape",
		                 name.len < 64 ? (int)name.len : 64, (const char *)name.ptr);
	}
	q->count++;
	return OK;
}

enum err url_query_parse(struct slice raw, struct url_query *q, struct fault *f)
{
	struct slice rest = raw;

	q->count = 0;
	q->decoded = BUF_INIT(raw.len);
	while (rest.len > 0) {
		struct slice part = slice_cut(&rest, '&');
		enum err err = part.len ? add_param(q, raw, part, f) : OK;

		if (err) {
			url_query_fini(q);
			return err;
		}
	}
	return OK;
}

void url_query_fini(struct url_query *q)
{
	buf_fini(&q->decoded);
	q->count = 0;
}

const struct url_param *url_query_find(const struct url_query *q, const char *name)
{
	struct slice wanted = slice_str(name);

	for (size_t i = 0; i < q->count; i++)
		if (slice_eq(q->params[i].name, wanted))
			return &q->params[i];
	return NULL;
}
