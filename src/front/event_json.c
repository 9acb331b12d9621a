#include "front/event_json.h"

#include "wire/json.h"
#include "wire/media_type.h"
#include "wire/utf8.h"

static const struct slice content_type_name = SLICE_LIT("content-type");

enum event_encoding event_encoding(const struct record *r, struct slice *content_type)
{
	*content_type = SLICE_NONE;
	if (r->header_count > 0)
		(void)record_header(r, "content-type", content_type);
	if (!r->value.ptr)
		return EVENT_NONE;
	switch (media_kind(*content_type)) {
	case MEDIA_JSON:
		if (json_validate(r->value, JSON_DEPTH_MAX, NULL))
			return EVENT_JSON;
		return utf8_valid(r->value) ? EVENT_TEXT : EVENT_BASE64;
	case MEDIA_TEXT: return utf8_valid(r->value) ? EVENT_TEXT : EVENT_BASE64;
	default: return EVENT_BASE64;
	}
}

/* Line breaks can stand only between the tokens of valid JSON: inside strings they are escaped. */
static void append_json(struct buf *out, struct slice value)
{
	struct slice bare = json_root(value).raw;
	size_t start = out->len;

	buf_append_slice(out, bare);
	if (out->failed)
		return;
	if (!memchr(bare.ptr, '\n', bare.len) && !memchr(bare.ptr, '\r', bare.len))
		return;
	for (uint8_t *at = out->ptr + start; at < out->ptr + out->len; at++)
		if (*at == '\n' || *at == '\r')
			*at = ' ';
}

static void append_value(struct buf *out, const struct record *r, enum event_encoding encoding)
{
	switch (encoding) {
	case EVENT_JSON:
		buf_append_lit(out, ",\"encoding\":\"json\",\"value\":");
		append_json(out, r->value);
		break;
	case EVENT_TEXT:
		buf_append_lit(out, ",\"encoding\":\"text\",\"value\":");
		json_append_string(out, r->value);
		break;
	case EVENT_BASE64:
		buf_append_lit(out, ",\"encoding\":\"base64\",\"value\":");
		json_append_base64(out, r->value);
		break;
	case EVENT_NONE: buf_append_lit(out, ",\"encoding\":\"none\",\"value\":null"); break;
	}
}

static void append_key(struct buf *out, struct slice key)
{
	buf_append_lit(out, ",\"key\":");
	if (json_append_bytes(out, key))
		buf_append_lit(out, ",\"key_encoding\":\"base64\"");
}

static void append_pair(struct buf *out, const struct header *h)
{
	buf_append_lit(out, "[");
	json_append_bytes(out, h->name);
	buf_append_lit(out, ",");
	if (!h->value.ptr)
		buf_append_lit(out, "null");
	else if (json_append_bytes(out, h->value))
		buf_append_lit(out, ",\"base64\"");
	buf_append_lit(out, "]");
}

/* All but the content type, which has a member of its own. */
static void append_headers(struct buf *out, const struct record *r)
{
	struct slice rest = r->headers;
	bool typed = false;
	bool any = false;
	struct header h;

	while (header_next(&rest, &h)) {
		if (!typed && slice_eq(h.name, content_type_name)) {
			typed = true;
			continue;
		}
		buf_append_str(out, any ? "," : ",\"headers\":[");
		any = true;
		append_pair(out, &h);
	}
	if (any)
		buf_append_lit(out, "]");
}

void event_json_append(struct buf *out, const struct record *r, uint32_t partition,
                       struct slice topic)
{
	struct slice content_type;
	enum event_encoding encoding = event_encoding(r, &content_type);

	buf_append_lit(out, "{");
	if (topic.ptr) {
		buf_append_lit(out, "\"topic\":");
		json_append_string(out, topic);
		buf_append_lit(out, ",");
	}
	buf_append_lit(out, "\"offset\":");
	buf_append_int64(out, r->offset);
	buf_append_lit(out, ",\"partition\":");
	buf_append_int64(out, partition);
	buf_append_lit(out, ",\"timestamp\":");
	buf_append_int64(out, r->timestamp);
	if (r->key.ptr)
		append_key(out, r->key);
	if (r->header_count > 0)
		append_headers(out, r);
	if (content_type.ptr) {
		buf_append_lit(out, ",\"content_type\":");
		json_append_bytes(out, content_type);
	}
	append_value(out, r, encoding);
	buf_append_lit(out, "}");
}
