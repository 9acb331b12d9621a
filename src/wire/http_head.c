#include "wire/http_head.h"

#include "base/check.h"

_Static_assert(HTTP_HEAD_BYTES_MAX <= UINT16_MAX, "places in a head are 16 bits wide");
_Static_assert(HTTP_FIELDS_MAX < UINT8_MAX, "1 + a field's index is 8 bits wide");
_Static_assert(HTTP_FIELD_COUNT <= 32, "`repeated` has a bit for each");

static const struct slice field_names[HTTP_FIELD_COUNT] = {
#define X(name, text) SLICE_LIT(text),
	HTTP_FIELDS(X)
#undef X
};

/* `lower` is of lower-case letters, digits and dashes. Setting bit 5 makes letters lower-case; the
 * other bytes it would make equal (a CR of a dash) are no token characters. */
static bool name_eq(struct slice name, struct slice lower)
{
	if (name.len != lower.len)
		return false;
	for (size_t i = 0; i < name.len; i++)
		if ((name.ptr[i] | 0x20) != lower.ptr[i])
			return false;
	return true;
}

struct slice http_fields_find(const struct http_fields *fields, const char *lower_name)
{
	struct slice lower = slice_str(lower_name);

	for (size_t i = 0; i < fields->count; i++)
		if (name_eq(http_fields_name(fields, i), lower))
			return http_fields_value(fields, i);
	return SLICE_NONE;
}

bool http_fields_repeated(const struct http_fields *fields, enum http_field field)
{
	return fields->repeated >> field & 1;
}

bool http_list_has(struct slice list, struct slice token)
{
	while (list.ptr)
		if (slice_eq_nocase(slice_trim(slice_cut(&list, ',')), token))
			return true;
	return false;
}

enum err http_head_refuse(struct http_head *h, enum err err, const char *detail)
{
	h->err = err;
	h->detail = detail;
	return err;
}

/* From inside a callback: llhttp stops. */
static int stop(struct http_head *h, enum err err, const char *detail)
{
	http_head_refuse(h, err, detail);
	return HPE_USER;
}

/* Where the well-known names of a length begin in the table. Other lengths begin at "host", whose
 * length then differs. */
static const uint8_t first_of_length[] = {
	[4] = HTTP_FIELD_HOST,
	[6] = HTTP_FIELD_ACCEPT,
	[7] = HTTP_FIELD_UPGRADE,
	[9] = HTTP_FIELD_EVENT_KEY,
	[10] = HTTP_FIELD_CONNECTION,
	[11] = HTTP_FIELD_PRODUCER_ID,
	[12] = HTTP_FIELD_CONTENT_TYPE,
	[13] = HTTP_FIELD_AUTHORIZATION,
	[14] = HTTP_FIELD_CONTENT_LENGTH,
	[15] = HTTP_FIELD_EVENT_TIMESTAMP,
	[17] = HTTP_FIELD_TRANSFER_ENCODING,
	[20] = HTTP_FIELD_WS_ACCEPT,
	[21] = HTTP_FIELD_WS_VERSION,
	[22] = HTTP_FIELD_WS_PROTOCOL,
};

static void note_well_known(struct http_fields *fields, size_t index)
{
	struct slice name = http_span_slice(fields, fields->names[index]);

	if (name.len >= ARRAY_COUNT(first_of_length))
		return;
	for (size_t i = first_of_length[name.len];
	     i < HTTP_FIELD_COUNT && field_names[i].len == name.len; i++) {
		if (!name_eq(name, field_names[i]))
			continue;
		if (fields->first[i] == 0)
			fields->first[i] = (uint8_t)(index + 1);
		else
			fields->repeated |= 1u << i;
		return;
	}
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* True when in[at, to) is a colon and blanks, then `end`. */
static bool is_colon_gap(const uint8_t *in, size_t at, size_t to, const char *end)
{
	size_t end_len = strlen(end);

	if (to < at + 1 + end_len || in[at] != ':')
		return false;
	for (at++; at < to - end_len; at++)
		if (!is_blank(in[at]))
			return false;
	return memcmp(in + at, end, end_len) == 0;
}

/* The line before `next` is complete: hold it against the layout of the file head. */
static bool line_ok(struct http_head *h, size_t next)
{
	const uint8_t *in = h->fields.base;
	struct http_span *name, *value;

	if (h->fields.count == 0) /* the start line */
		return next >= 2 && memcmp(in + next - 2, "\r\n", 2) == 0 &&
		       (h->llhttp.type == HTTP_RESPONSE || next == h->version_end + 2u);
	name = &h->fields.names[h->fields.count - 1];
	value = &h->fields.values[h->fields.count - 1];
	if (name->len == 0)
		return false;
	if (value->len == 0) {
		/* llhttp places an empty value behind its line break. */
		value->at = (uint16_t)(name->at + name->len);
		return is_colon_gap(in, value->at, next, "\r\n");
	}
	if (next != value->at + value->len + 2u || memcmp(in + next - 2, "\r\n", 2) != 0 ||
	    !is_colon_gap(in, name->at + name->len, value->at, ""))
		return false;
	while (is_blank(in[value->at + value->len - 1]))
		value->len--;
	return true;
}

static bool finish_line(struct http_head *h, size_t next)
{
	if (!line_ok(h, next))
		return false;
	if (h->fields.count > 0)
		note_well_known(&h->fields, h->fields.count - 1u);
	return true;
}

static struct http_head *head_of(llhttp_t *llhttp)
{
	return CONTAINER_OF(llhttp, struct http_head, llhttp);
}

/* A span of llhttp's may come in pieces, cut where the bytes at hand ended. */
static void extend(struct http_head *h, struct http_span *span, const char *at, size_t len)
{
	if (span->len == 0)
		span->at = (uint16_t)((const uint8_t *)at - h->fields.base);
	span->len = (uint16_t)(span->len + len);
}

static size_t place_of(const struct http_head *h, const char *at)
{
	return (size_t)((const uint8_t *)at - h->fields.base);
}

static int on_target(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_head *h = head_of(llhttp);

	if (place_of(h, at) + len > HTTP_LINE_BYTES_MAX)
		return stop(h, ERR_URI_LONG, NULL);
	extend(h, &h->target, at, len);
	return HPE_OK;
}

static int on_version(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_head *h = head_of(llhttp);

	h->version_end = (uint16_t)(place_of(h, at) + len);
	return HPE_OK;
}

static int on_version_complete(llhttp_t *llhttp)
{
	if (llhttp->http_major != 1 || llhttp->http_minor > 1)
		return stop(head_of(llhttp), ERR_HTTP_VERSION, NULL);
	return HPE_OK;
}

static int on_field_name(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_head *h = head_of(llhttp);
	struct http_fields *fields = &h->fields;

	if (!h->in_name) {
		if (!finish_line(h, place_of(h, at)))
			return stop(h, ERR_BAD_REQUEST,
			            "a line of the head is malformed or folded");
		if (fields->count == HTTP_FIELDS_MAX)
			return stop(h, ERR_HEADERS_LARGE, NULL);
		fields->names[fields->count] = (struct http_span){0};
		fields->values[fields->count] = (struct http_span){0};
		fields->count++;
		h->in_name = true;
	}
	extend(h, &fields->names[fields->count - 1], at, len);
	return HPE_OK;
}

static int on_field_value(llhttp_t *llhttp, const char *at, size_t len)
{
	struct http_head *h = head_of(llhttp);
	struct http_span *value = &h->fields.values[h->fields.count - 1];

	h->in_name = false;
	if (value->len > 0 && place_of(h, at) != (size_t)value->at + value->len)
		return stop(h, ERR_BAD_REQUEST, "a folded header line");
	extend(h, value, at, len);
	return HPE_OK;
}

static int on_complete(llhttp_t *llhttp __attribute__((unused)))
{
	return HPE_PAUSED;
}

static const llhttp_settings_t settings = {
	.on_url = on_target,
	.on_status = on_target,
	.on_version = on_version,
	.on_version_complete = on_version_complete,
	.on_header_field = on_field_name,
	.on_header_value = on_field_value,
	.on_headers_complete = on_complete,
};

void http_head_init(struct http_head *h, llhttp_type_t type)
{
	/* Not the spans: each is written before `count` covers it. */
	memset(h, 0, offsetof(struct http_head, fields.names));
	llhttp_init(&h->llhttp, type, &settings);
}

static enum err check_size(struct http_head *h)
{
	if (h->version_end == 0 && h->fed > HTTP_LINE_BYTES_MAX)
		return http_head_refuse(h, ERR_URI_LONG, NULL);
	if (h->version_end > HTTP_LINE_BYTES_MAX)
		return http_head_refuse(h, ERR_URI_LONG, NULL);
	if (h->version_end > 0 && h->fed - h->version_end > HTTP_FIELDS_BYTES_MAX)
		return http_head_refuse(h, ERR_HEADERS_LARGE, NULL);
	return OK;
}

static enum err finish(struct http_head *h)
{
	const uint8_t *in = h->fields.base;

	if (h->version_end == 0)
		return http_head_refuse(h, ERR_HTTP_VERSION, NULL);
	if (h->fed < 4 || memcmp(in + h->fed - 2, "\r\n", 2) != 0 || !finish_line(h, h->fed - 2))
		return http_head_refuse(h, ERR_BAD_REQUEST,
		                        "a line of the head is malformed or folded");
	h->complete = true;
	return check_size(h);
}

static enum err refuse_llhttp(struct http_head *h, llhttp_errno_t error)
{
	const char *reason = llhttp_get_error_reason(&h->llhttp); /* static text */

	if (h->err) /* by a callback of ours */
		return h->err;
	switch (error) {
	case HPE_INVALID_VERSION:
	case HPE_PAUSED_H2_UPGRADE: return http_head_refuse(h, ERR_HTTP_VERSION, NULL);
	case HPE_INVALID_TRANSFER_ENCODING:
		return http_head_refuse(h, ERR_TRANSFER_ENCODING, reason);
	default: return http_head_refuse(h, ERR_BAD_REQUEST, reason);
	}
}

enum err http_head_parse(struct http_head *h, const uint8_t *in, size_t len)
{
	size_t upto = len < HTTP_HEAD_BYTES_MAX ? len : HTTP_HEAD_BYTES_MAX;
	llhttp_errno_t error;

	CHECK(!h->complete);
	CHECK(!h->err);
	CHECK(upto >= h->fed);
	h->fields.base = in;
	if (upto == h->fed)
		return OK;
	error = llhttp_execute(&h->llhttp, (const char *)in + h->fed, upto - h->fed);
	if (error == HPE_PAUSED) {
		h->fed = (uint32_t)place_of(h, llhttp_get_error_pos(&h->llhttp));
		return finish(h);
	}
	if (error != HPE_OK)
		return refuse_llhttp(h, error);
	h->fed = (uint32_t)upto;
	if (upto == HTTP_HEAD_BYTES_MAX)
		return http_head_refuse(h, ERR_HEADERS_LARGE, NULL);
	return check_size(h);
}
