#include "hook/http_event.h"

#include "wire/http_write.h"
#include "wire/timefmt.h"
#include "wire/utf8.h"

#include <ctype.h>
#include <stdio.h>

enum { DETAIL_BYTES_MAX = 128, NAME_BYTES_MAX = 255 };

static const struct slice ce_prefix = SLICE_LIT("ce_");

/* --- the request ------------------------------------------------------------------------------ */

static void append_field(struct buf *out, const char *prefix, struct slice name, struct slice value)
{
	if (!http_field_name_ok(name) || !http_field_value_ok(value))
		return;
	buf_append_str(out, prefix);
	buf_append_slice(out, name);
	buf_append_lit(out, ": ");
	buf_append_slice(out, value);
	buf_append(out, "", 1);
}

static void append_text(struct buf *out, const char *name, const char *value)
{
	append_field(out, "", slice_str(name), slice_str(value));
}

/* Not those that the event has by itself. */
static void append_attribute(struct call *c, struct buf *out, const char *name, const char *value)
{
	struct bourn_slice own;
	char header[32];

	snprintf(header, sizeof(header), "ce_%s", name);
	if (!call_host.header_get(&c->pub, slice_out(slice_str(header)), &own))
		append_field(out, "ce-", slice_str(name), slice_str(value));
}

static void append_attributes(struct call *c, uint64_t number, struct buf *out)
{
	char time[TIME_TEXT_LEN + 1];
	char text[300];

	append_attribute(c, out, "specversion", "1.0");
	snprintf(text, sizeof(text), "%016llx-%llu", (unsigned long long)c->pub.caller->request_id,
	         (unsigned long long)number);
	append_attribute(c, out, "id", text);
	snprintf(text, sizeof(text), "/topics/%.*s", SLICE_FMT(slice_in(c->pub.topic)));
	append_attribute(c, out, "source", text);
	append_attribute(c, out, "type", "bourn.event");
	append_attribute(c, out, "time", time_format(c->pub.timestamp, time));
}

static void append_header(struct buf *out, struct slice name, struct slice value)
{
	if (slice_eq(name, SLICE_LIT("content-type")))
		append_field(out, "", SLICE_LIT("Content-Type"), value);
	else if (slice_starts_with(name, ce_prefix))
		append_field(out, "ce-",
		             slice_of(name.ptr + ce_prefix.len, name.len - ce_prefix.len), value);
	else if (value.ptr)
		append_field(out, "Event-Header-", name, value);
}

static void append_number(struct buf *out, const char *name, int64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)number);
	append_text(out, name, text);
}

static void append_request(struct call *c, struct buf *out)
{
	const struct bourn_call *pub = &c->pub;
	const struct bourn_header *list;
	uint32_t count;
	char id[24];

	append_field(out, "", SLICE_LIT("Hook-Method"), slice_in(pub->method));
	append_field(out, "", SLICE_LIT("Hook-Target"), slice_in(pub->target));
	if (pub->topic.ptr)
		append_field(out, "", SLICE_LIT("Hook-Topic"), slice_in(pub->topic));
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)pub->caller->request_id);
	append_text(out, "Hook-Request-Id", id);
	if (pub->status > 0)
		append_number(out, "Hook-Status", pub->status);
	if (pub->offset >= 0) {
		append_number(out, "Hook-Partition", pub->partition);
		append_number(out, "Hook-Offset", pub->offset);
	}
	list = call_headers(c, &count);
	for (uint32_t i = 0; i < count; i++) {
		struct slice name = slice_in(list[i].name);

		if (slice_eq_nocase(name, SLICE_LIT("content-type")))
			append_field(out, "", SLICE_LIT("Content-Type"), slice_in(list[i].value));
		else
			append_field(out, "Hook-Field-", name, slice_in(list[i].value));
	}
}

static void append_event(struct call *c, uint64_t number, struct buf *out)
{
	const struct bourn_header *list;
	struct bourn_slice type;
	uint32_t count;

	append_attributes(c, number, out);
	if (!call_host.header_get(&c->pub, BOURN_TEXT("content-type"), &type))
		append_text(out, "Content-Type", "application/octet-stream");
	list = call_headers(c, &count);
	for (uint32_t i = 0; i < count; i++)
		append_header(out, slice_in(list[i].name), slice_in(list[i].value));
	if (c->pub.key.ptr)
		append_field(out, "", SLICE_LIT("Event-Key"), slice_in(c->pub.key));
	if (!c->pub.value.ptr)
		append_text(out, "Event-Tombstone", "true");
}

void http_event_fields(struct call *c, const char *hook, uint64_t number, struct buf *out)
{
	if (c->pub.method.ptr)
		append_request(c, out);
	else
		append_event(c, number, out);
	append_text(out, "Hook-Peer", c->pub.caller->peer);
	append_text(out, "Hook-Name", hook);
	append_text(out, "Hook-Point", point_name(c->pub.point));
}

/* --- the answer ------------------------------------------------------------------------------- */

/* The first field of that name; NONE: there is none. */
static struct slice field(struct slice head, const char *name)
{
	while (head.ptr) {
		struct slice value = slice_cut(&head, '\n');
		struct slice found = slice_cut(&value, ':');

		if (slice_eq_nocase(found, slice_str(name)))
			return slice_trim(slice_of(value.ptr, value.len - (value.len > 0)));
	}
	return SLICE_NONE;
}

static bool set_header(struct call *c, const char *prefix, struct slice name, struct slice value)
{
	uint8_t lower[NAME_BYTES_MAX];
	size_t len = strlen(prefix);

	if (name.len == 0 || len + name.len > sizeof(lower))
		return false;
	memcpy(lower, prefix, len);
	for (size_t i = 0; i < name.len; i++)
		lower[len + i] = (uint8_t)tolower(name.ptr[i]);
	return call_host.header_set(&c->pub, slice_out(slice_of(lower, len + name.len)),
	                            slice_out(value));
}

static bool has_prefix(struct slice name, struct slice prefix)
{
	return name.len > prefix.len && slice_eq_nocase(slice_of(name.ptr, prefix.len), prefix);
}

static struct slice behind(struct slice name, struct slice prefix)
{
	return slice_of(name.ptr + prefix.len, name.len - prefix.len);
}

static bool take_status(struct call *c, struct slice value)
{
	int64_t status;

	if (!slice_to_int64(value, &status) || status < 0 || status > 999)
		return false;
	c->pub.status = (int32_t)status;
	return true;
}

/* Of a request or an answer; false as below. */
static bool take_request_field(struct call *c, struct slice name, struct slice value)
{
	static const struct slice own = SLICE_LIT("hook-field-");

	if (has_prefix(name, own))
		return set_header(c, "", behind(name, own), value);
	if (slice_eq_nocase(name, SLICE_LIT("content-type")))
		return set_header(c, "", name, value);
	return !slice_eq_nocase(name, SLICE_LIT("hook-status")) || take_status(c, value);
}

/* False: it cannot be, or no memory. */
static bool take_event_field(struct call *c, struct slice name, struct slice value)
{
	static const struct slice event = SLICE_LIT("event-header-");
	static const struct slice cloud = SLICE_LIT("ce-");
	struct slice key;

	if (has_prefix(name, event))
		return set_header(c, "", behind(name, event), value);
	if (has_prefix(name, cloud))
		return set_header(c, "ce_", behind(name, cloud), value);
	if (slice_eq_nocase(name, SLICE_LIT("content-type")))
		return set_header(c, "", name, value);
	if (!slice_eq_nocase(name, SLICE_LIT("event-key")))
		return true;
	if (!arena_copy(c->arena, value, &key))
		return false;
	c->pub.key = slice_out(key);
	return true;
}

static bool take_field(struct call *c, struct slice name, struct slice value)
{
	return c->pub.method.ptr ? take_request_field(c, name, value)
	                         : take_event_field(c, name, value);
}

static enum bourn_verdict replace(struct call *c, const struct http_event_answer *a)
{
	struct slice rest = a->head;
	struct slice value;

	while (rest.ptr) {
		struct slice line = slice_cut(&rest, '\n');
		struct slice name = slice_cut(&line, ':');

		if (!line.ptr)
			continue;
		if (!take_field(c, name, slice_trim(slice_of(line.ptr, line.len - (line.len > 0)))))
			return BOURN_FAIL;
	}
	if (!arena_copy(c->arena, a->body.ptr ? a->body : SLICE_LIT(""), &value))
		return BOURN_FAIL;
	c->pub.value = slice_out(value);
	return BOURN_MODIFY;
}

static enum bourn_verdict refuse(struct call *c, const struct http_event_answer *a)
{
	struct refusal *r = &c->refusal;
	int64_t seconds = 0;

	*r = (struct refusal){.status = a->status};
	if (slice_to_int64(field(a->head, "retry-after"), &seconds) && seconds > 0 &&
	    seconds <= INT32_MAX)
		r->retry_after_s = (uint32_t)seconds;
	if (a->body.len == 0)
		return BOURN_REFUSE;
	if (!arena_copy(c->arena, a->body, &r->body) ||
	    !arena_copy(c->arena, field(a->head, "content-type"), &r->content_type))
		return BOURN_FAIL;
	if (a->body.len <= DETAIL_BYTES_MAX && utf8_valid(a->body))
		r->detail = r->body;
	return BOURN_REFUSE;
}

enum bourn_verdict http_event_verdict(struct call *c, const struct http_event_answer *a)
{
	bool drops = slice_eq_nocase(field(a->head, "hook-verdict"), SLICE_LIT("drop"));

	if (a->status >= 200 && a->status <= 299 && drops)
		return BOURN_STOP;
	if (a->status == 200)
		return replace(c, a);
	if (a->status == 204)
		return BOURN_CONTINUE;
	if (a->status >= 400 && a->status <= 499)
		return refuse(c, a);
	return BOURN_FAIL;
}
