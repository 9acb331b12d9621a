/* Bodies that hold several events, made into records.
 *
 *   values             {"a":1}\n"two"\n              each line is a JSON value
 *   events             {"key":"k","headers":[["n","v"]],"value":{"a":1}}\n
 *                      also key_encoding, content_type, timestamp, and encoding: json (the value
 *                      as it stands), text (a string's text), base64, none (a tombstone)
 *   cloudevent, batch  CloudEvents 1.0 in JSON: attributes become headers ce_<name>
 *
 * Decoded strings and encoded headers go to two buffers that are reserved for all that the body can
 * become, so slices into them stay valid. Nothing decoded is longer than its JSON; of the headers
 * only those are that the request says once for every event. */
#include "front/http/produce.h"

#include "wire/base64.h"
#include "wire/json.h"
#include "wire/media_type.h"
#include "wire/utf8.h"

#include <stdlib.h>

enum {
	HEADER_BYTES_PER_EVENT = 64, /* a content-type header that the body did not name */
	HEADER_BYTES_SPARE = 64 << 10,
	ATTRIBUTE_NAME_BYTES_MAX = 64,
};

/* What is being parsed, so that a refusal can name it. */
struct events_parse {
	struct front *front;
	const struct event_fields *fields;
	struct event_list *list;
	struct slice
		json_headers; /* encoded: content-type: application/json, then those of the request */
	const char *unit;     /* "line", "event" */
	size_t index;         /* from 1 */
	struct fault *fault;
};

#define REFUSE(parse, code, format, ...)                                                           \
	fault_set((parse)->fault, (code), 0, "%s %zu: " format, (parse)->unit, (parse)->index,     \
	          ##__VA_ARGS__)

/* --- the list --------------------------------------------------------------------------------- */

void event_list_fini(struct event_list *list)
{
	free(list->records);
	buf_fini(&list->decoded);
	buf_fini(&list->headers);
}

static bool grow(struct event_list *list)
{
	uint32_t cap = list->cap ? list->cap * 2 : 16;
	struct record *records = realloc(list->records, cap * sizeof(*records));

	if (!records)
		return false;
	list->records = records;
	list->cap = cap;
	return true;
}

static enum err add(struct events_parse *p, const struct record *r)
{
	struct event_list *list = p->list;

	if (list->headers.failed)
		return REFUSE(p, ERR_TOO_LARGE, "too many header bytes in all");
	if (r->value.len > front_limits(p->front)->event_bytes)
		return REFUSE(p, ERR_TOO_LARGE, "an event has at most %zu bytes",
		              front_limits(p->front)->event_bytes);
	if (list->count == list->count_max)
		return REFUSE(p, ERR_TOO_LARGE, "a request has at most %u events", list->count_max);
	if (list->count == list->cap && !grow(list))
		return REFUSE(p, ERR_NO_MEMORY, "records");
	list->records[list->count++] = *r;
	return OK;
}

/* What was appended to the buffer since `start`. */
static struct slice decoded_since(const struct event_list *list, size_t start)
{
	return slice_of(list->decoded.ptr + start, list->decoded.len - start);
}

/* --- strings ---------------------------------------------------------------------------------- */

static bool is_string(struct json_value v)
{
	return v.kind == JSON_STRING;
}

static enum err decode_text(struct events_parse *p, const char *what, struct json_value v,
                            struct slice *out)
{
	struct event_list *list = p->list;
	size_t start = list->decoded.len;

	if (!is_string(v))
		return REFUSE(p, ERR_BAD_RECORD, "%s is not a string", what);
	if (!json_string_decode(v.raw, &list->decoded))
		return REFUSE(p, ERR_BAD_UTF8, "%s holds half of a surrogate pair", what);
	*out = decoded_since(list, start);
	return OK;
}

static enum err decode_base64(struct events_parse *p, const char *what, struct json_value v,
                              struct slice *out)
{
	struct event_list *list = p->list;
	size_t start = list->decoded.len;
	struct slice raw;

	if (!is_string(v))
		return REFUSE(p, ERR_BAD_RECORD, "%s is not a string", what);
	raw = slice_of(v.raw.ptr + 1, v.raw.len - 2);
	if (!base64_decode(BASE64_STD, raw, &list->decoded))
		return REFUSE(p, ERR_BAD_RECORD, "%s is not base64", what);
	*out = decoded_since(list, start);
	return OK;
}

static enum err decode_as(struct events_parse *p, const char *what, bool base64,
                          struct json_value v, struct slice *out)
{
	return base64 ? decode_base64(p, what, v, out) : decode_text(p, what, v, out);
}

/* --- events ----------------------------------------------------------------------------------- */

/* The members of one envelope; kind JSON_NULL with an empty `raw`: not given. */
struct envelope {
	struct json_value key;
	struct json_value key_encoding;
	struct json_value headers;
	struct json_value value;
	struct json_value content_type;
	struct json_value encoding;
	struct json_value timestamp;
};

static bool given(struct json_value v)
{
	return v.raw.ptr && v.kind != JSON_NULL;
}

static struct json_value *envelope_member(struct envelope *e, struct slice key)
{
	const struct {
		const char *name;
		struct json_value *value;
	} members[] = {
		{"value", &e->value},
		{"key", &e->key},
		{"headers", &e->headers},
		{"content_type", &e->content_type},
		{"encoding", &e->encoding},
		{"timestamp", &e->timestamp},
		{"key_encoding", &e->key_encoding},
	};

	for (size_t i = 0; i < ARRAY_COUNT(members); i++)
		if (json_string_is(key, members[i].name))
			return members[i].value;
	return NULL;
}

static enum err envelope_take(struct events_parse *p, struct json_value object, struct envelope *e)
{
	struct json_iter it;
	struct slice key;
	struct json_value value;

	if (object.kind != JSON_OBJECT)
		return REFUSE(p, ERR_BAD_RECORD, "not an object {\"key\",\"headers\",\"value\"}");
	*e = (struct envelope){0};
	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &value)) {
		struct json_value *member = envelope_member(e, key);

		if (!member)
			return REFUSE(p, ERR_BAD_RECORD, "unknown member %.*s", SLICE_FMT(key));
		*member = value;
	}
	return OK;
}

/* [name, value] or [name, value, "base64"]; a null value is allowed. */
static enum err take_pair(struct events_parse *p, struct json_value pair)
{
	struct json_value parts[3] = {0};
	struct json_iter it;
	struct slice none;
	struct slice name;
	struct slice value = SLICE_NONE;
	size_t count = 0;
	enum err err;
	bool base64;

	if (pair.kind != JSON_ARRAY)
		return REFUSE(p, ERR_BAD_RECORD, "a header is not [name, value]");
	json_iter_init(&it, pair);
	while (count < 3 && json_iter_next(&it, &none, &parts[count]))
		count++;
	base64 = count == 3 && is_string(parts[2]) && json_string_is(parts[2].raw, "base64");
	if (count < 2 || (count == 3 && !base64) || json_iter_next(&it, &none, &parts[2]))
		return REFUSE(p, ERR_BAD_RECORD, "a header is not [name, value]");
	err = decode_text(p, "a header's name", parts[0], &name);
	if (!err && given(parts[1]))
		err = decode_as(p, "a header's value", base64, parts[1], &value);
	if (!err)
		header_append(&p->list->headers, name, value);
	return err;
}

static enum err take_headers(struct events_parse *p, struct json_value headers, struct record *r)
{
	struct json_iter it;
	struct slice none;
	struct json_value pair;
	enum err err = OK;

	if (headers.kind != JSON_ARRAY)
		return REFUSE(p, ERR_BAD_RECORD, "headers is not [[name, value], …]");
	json_iter_init(&it, headers);
	while (!err && json_iter_next(&it, &none, &pair)) {
		err = take_pair(p, pair);
		r->header_count++;
	}
	return err;
}

/* What every event of the request has. */
static void begin_headers(struct events_parse *p, struct slice content_type, struct record *r)
{
	struct buf *to = &p->list->headers;

	r->header_count = p->fields->header_count;
	if (content_type.ptr) {
		header_append(to, SLICE_LIT("content-type"), content_type);
		r->header_count++;
	}
	buf_append_slice(to, p->fields->headers);
}

/* How the value stands in the JSON. */
enum value_form { VALUE_JSON, VALUE_TEXT, VALUE_BASE64, VALUE_NONE };

static enum err take_form(struct events_parse *p, const struct envelope *e,
                          struct slice content_type, enum value_form *form)
{
	static const char *const names[] = {
		[VALUE_JSON] = "json",
		[VALUE_TEXT] = "text",
		[VALUE_BASE64] = "base64",
		[VALUE_NONE] = "none",
	};

	if (!given(e->encoding)) {
		*form = VALUE_JSON;
		if (content_type.ptr && media_kind(content_type) != MEDIA_JSON)
			*form = VALUE_TEXT;
		return OK;
	}
	for (size_t i = 0; is_string(e->encoding) && i < ARRAY_COUNT(names); i++) {
		if (!json_string_is(e->encoding.raw, names[i]))
			continue;
		*form = (enum value_form)i;
		return OK;
	}
	return REFUSE(p, ERR_BAD_RECORD, "encoding is not json, text, base64 or none");
}

static enum err take_value(struct events_parse *p, const struct envelope *e, enum value_form form,
                           struct record *r)
{
	if (form == VALUE_NONE) {
		if (given(e->value))
			return REFUSE(p, ERR_BAD_RECORD, "encoding none has no value");
		r->value = SLICE_NONE;
		return OK;
	}
	if (!e->value.raw.ptr)
		return REFUSE(p, ERR_BAD_RECORD, "without a value");
	if (form != VALUE_JSON)
		return decode_as(p, "value", form == VALUE_BASE64, e->value, &r->value);
	r->value = e->value.raw;
	return OK;
}

static enum err take_timestamp(struct events_parse *p, struct json_value v, struct record *r)
{
	struct slice text = v.raw;

	r->timestamp = p->fields->timestamp;
	if (!given(v))
		return OK;
	if (is_string(v))
		text = slice_of(text.ptr + 1, text.len - 2);
	if (event_timestamp(p->front, text, &r->timestamp, NULL))
		return REFUSE(p, ERR_BAD_TIMESTAMP,
		              "timestamp %.*s is not ms since 1970 or RFC 3339, or too far ahead",
		              SLICE_FMT(v.raw));
	return OK;
}

static enum err take_envelope_key(struct events_parse *p, const struct envelope *e,
                                  struct record *r)
{
	bool base64 = is_string(e->key_encoding) && json_string_is(e->key_encoding.raw, "base64");

	r->key = p->fields->key;
	if (given(e->key_encoding) && !base64)
		return REFUSE(p, ERR_BAD_RECORD, "key_encoding is not base64");
	if (!given(e->key))
		return OK;
	return decode_as(p, "key", base64, e->key, &r->key);
}

static enum err envelope_record(struct events_parse *p, struct json_value object, struct record *r)
{
	struct slice content_type = SLICE_NONE;
	size_t headers_start = p->list->headers.len;
	enum value_form form = VALUE_JSON;
	struct envelope e;
	enum err err;

	*r = (struct record){0};
	err = envelope_take(p, object, &e);
	if (!err && given(e.content_type))
		err = decode_text(p, "content_type", e.content_type, &content_type);
	if (!err)
		err = take_form(p, &e, content_type, &form);
	if (!err)
		err = take_value(p, &e, form, r);
	if (!err)
		err = take_envelope_key(p, &e, r);
	if (!err)
		err = take_timestamp(p, e.timestamp, r);
	if (err)
		return err;
	if (!content_type.ptr && form == VALUE_JSON)
		content_type = SLICE_LIT("application/json");
	begin_headers(p, content_type, r);
	if (given(e.headers))
		err = take_headers(p, e.headers, r);
	r->headers = slice_of(p->list->headers.ptr + headers_start,
	                      p->list->headers.len - headers_start);
	return err;
}

/* --- CloudEvents ------------------------------------------------------------------------------ */

struct cloudevent {
	struct json_value text;         /* data */
	struct json_value base64;       /* data_base64 */
	struct json_value content_type; /* datacontenttype */
	struct json_value key;          /* partitionkey */
	unsigned required; /* which of specversion, id, source, type were there: a bit each */
};

enum { CLOUDEVENT_REQUIRED = 4 };

static const char *const cloudevent_required[CLOUDEVENT_REQUIRED] = {"specversion", "id", "source",
                                                                     "type"};

/* An attribute: a string, number or boolean; becomes the header ce_<name>. */
static enum err take_attribute(struct events_parse *p, struct slice raw_name, struct json_value v,
                               struct record *r)
{
	struct slice name = slice_of(raw_name.ptr + 1, raw_name.len - 2);
	uint8_t prefixed[ATTRIBUTE_NAME_BYTES_MAX + 3] = "ce_";
	struct slice value = v.raw;
	enum err err = OK;

	if (name.len == 0 || name.len > ATTRIBUTE_NAME_BYTES_MAX ||
	    memchr(name.ptr, '\\', name.len))
		return REFUSE(p, ERR_BAD_RECORD, "attribute name %.*s", SLICE_FMT(raw_name));
	if (v.kind == JSON_OBJECT || v.kind == JSON_ARRAY)
		return REFUSE(p, ERR_BAD_RECORD, "attribute %.*s is not a scalar",
		              SLICE_FMT(raw_name));
	if (is_string(v))
		err = decode_text(p, "an attribute", v, &value);
	if (err)
		return err;
	memcpy(prefixed + 3, name.ptr, name.len);
	header_append(&p->list->headers, slice_of(prefixed, name.len + 3), value);
	r->header_count++;
	return OK;
}

static enum err take_cloudevent_member(struct events_parse *p, struct slice name,
                                       struct json_value v, struct cloudevent *e, struct record *r)
{
	if (json_string_is(name, "data")) {
		e->text = v;
		return OK;
	}
	if (json_string_is(name, "data_base64")) {
		e->base64 = v;
		return OK;
	}
	if (v.kind == JSON_NULL)
		return OK;
	if (json_string_is(name, "datacontenttype")) {
		e->content_type = v;
		return OK;
	}
	if (json_string_is(name, "partitionkey"))
		e->key = v;
	for (unsigned i = 0; i < CLOUDEVENT_REQUIRED; i++)
		if (is_string(v) && json_string_is(name, cloudevent_required[i]))
			e->required |= 1U << i;
	return take_attribute(p, name, v, r);
}

static enum err take_cloudevent_value(struct events_parse *p, const struct cloudevent *e,
                                      struct slice content_type, struct record *r)
{
	if (given(e->base64))
		return decode_base64(p, "data_base64", e->base64, &r->value);
	if (!e->text.raw.ptr) {
		r->value = SLICE_LIT("");
		return OK;
	}
	if (media_kind(content_type) != MEDIA_JSON && is_string(e->text))
		return decode_text(p, "data", e->text, &r->value);
	r->value = e->text.raw;
	return OK;
}

static enum err cloudevent_parts(struct events_parse *p, struct json_value object,
                                 struct cloudevent *e, struct record *r)
{
	struct json_iter it;
	struct slice name;
	struct json_value v;
	enum err err = OK;

	if (object.kind != JSON_OBJECT)
		return REFUSE(p, ERR_BAD_RECORD, "not a CloudEvent");
	json_iter_init(&it, object);
	while (!err && json_iter_next(&it, &name, &v))
		err = take_cloudevent_member(p, name, v, e, r);
	for (unsigned i = 0; !err && i < CLOUDEVENT_REQUIRED; i++)
		if (!(e->required & 1U << i))
			err = REFUSE(p, ERR_BAD_RECORD, "a CloudEvent needs %s",
			             cloudevent_required[i]);
	return err;
}

static enum err cloudevent_record(struct events_parse *p, struct json_value object,
                                  struct record *r)
{
	struct slice content_type = SLICE_LIT("application/json");
	size_t headers_start = p->list->headers.len;
	struct cloudevent e = {0};
	enum err err;

	*r = (struct record){.key = p->fields->key, .timestamp = p->fields->timestamp};
	err = cloudevent_parts(p, object, &e, r);
	if (!err && given(e.content_type))
		err = decode_text(p, "datacontenttype", e.content_type, &content_type);
	if (!err && given(e.key))
		err = decode_text(p, "partitionkey", e.key, &r->key);
	if (!err)
		err = take_cloudevent_value(p, &e, content_type, r);
	if (err)
		return err;
	if (r->value.len > 0 || given(e.content_type)) {
		header_append(&p->list->headers, SLICE_LIT("content-type"), content_type);
		r->header_count++;
	}
	buf_append_slice(&p->list->headers, p->fields->headers);
	r->header_count += p->fields->header_count;
	r->headers = slice_of(p->list->headers.ptr + headers_start,
	                      p->list->headers.len - headers_start);
	return OK;
}

/* --- bodies ----------------------------------------------------------------------------------- */

static enum err value_record(struct events_parse *p, struct slice line, struct record *r)
{
	*r = (struct record){
		.timestamp = p->fields->timestamp,
		.key = p->fields->key,
		.value = line,
		.headers = p->json_headers,
		.header_count = p->fields->header_count + 1,
	};
	return OK;
}

static enum err validate(struct events_parse *p, struct slice text)
{
	size_t at;

	if (json_validate(text, JSON_DEPTH_MAX, &at))
		return OK;
	return REFUSE(p, ERR_BAD_JSON, "not JSON at byte %zu", at);
}

static bool is_blank(struct slice line)
{
	return slice_trim(line).len == 0;
}

static enum err parse_lines(struct events_parse *p, enum body_kind kind, struct slice body)
{
	enum err err = OK;

	p->unit = "line";
	while (!err && body.ptr) {
		struct slice line = slice_cut(&body, '\n');
		struct record record;

		p->index++;
		if (line.len > 0 && line.ptr[line.len - 1] == '\r')
			line.len--;
		if (is_blank(line))
			continue;
		err = validate(p, line);
		if (!err)
			err = kind == BODY_VALUES ? value_record(p, line, &record)
			                          : envelope_record(p, json_root(line), &record);
		if (!err)
			err = add(p, &record);
	}
	return err;
}

static enum err parse_cloudevents(struct events_parse *p, enum body_kind kind, struct slice body)
{
	struct json_value root;
	struct json_value element;
	struct json_iter it;
	struct record record;
	struct slice none;
	enum err err = validate(p, body);

	if (err)
		return err;
	root = json_root(body);
	p->index = 1;
	if (kind == BODY_CLOUDEVENT) {
		err = cloudevent_record(p, root, &record);
		return err ? err : add(p, &record);
	}
	if (root.kind != JSON_ARRAY)
		return fault_set(p->fault, ERR_BAD_RECORD, 0, "a batch is a JSON array");
	json_iter_init(&it, root);
	for (; !err && json_iter_next(&it, &none, &element); p->index++) {
		err = cloudevent_record(p, element, &record);
		if (!err)
			err = add(p, &record);
	}
	return err;
}

/* How many events the body can hold at most, for sizing the buffers. */
static size_t events_bound(enum body_kind kind, struct slice body)
{
	size_t lines = 1;

	if (kind == BODY_CLOUDEVENT_BATCH)
		return body.len / 16 + 1;
	for (const uint8_t *at = body.ptr; at; lines++) {
		at = memchr(at, '\n', body.len - (size_t)(at - body.ptr));
		if (at)
			at++;
	}
	return lines;
}

static enum err reserve(struct events_parse *p, enum body_kind kind, struct slice body)
{
	struct event_list *list = p->list;
	size_t events = events_bound(kind, body);

	if (events > list->count_max)
		events = list->count_max;
	list->decoded.limit = body.len;
	list->headers.limit = 2 * body.len + events * HEADER_BYTES_PER_EVENT + HEADER_BYTES_SPARE;
	if ((kind != BODY_VALUES && !buf_reserve(&list->decoded, list->decoded.limit)) ||
	    !buf_reserve(&list->headers, list->headers.limit))
		return fault_set(p->fault, ERR_NO_MEMORY, 0, "events");
	return OK;
}

static void once_for_all(struct events_parse *p)
{
	struct buf *to = &p->list->headers;

	header_append(to, SLICE_LIT("content-type"), SLICE_LIT("application/json"));
	buf_append_slice(to, p->fields->headers);
	p->json_headers = buf_slice(to);
}

enum err event_list_parse(struct front *f, enum body_kind kind, const struct event_fields *fields,
                          struct slice body, struct event_list *out, struct fault *fault)
{
	struct events_parse p = {
		.front = f, .fields = fields, .list = out, .unit = "event", .fault = fault};
	enum err err;

	*out = (struct event_list){.count_max = front_limits(f)->request_events};
	err = reserve(&p, kind, body);
	if (!err && kind == BODY_VALUES)
		once_for_all(&p);
	if (!err && (kind == BODY_VALUES || kind == BODY_EVENTS))
		err = parse_lines(&p, kind, body);
	else if (!err)
		err = parse_cloudevents(&p, kind, body);
	if (!err && out->count == 0)
		err = fault_set(fault, ERR_BAD_RECORD, 0, "the body holds no event");
	if (err)
		event_list_fini(out);
	return err;
}
