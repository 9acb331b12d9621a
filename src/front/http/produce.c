/* POST /produce/{t} and /v1/topics/{t}/events: events in, 201 with their place out.
 *
 * Of events that hooks dropped the answer says how many; 200 when nothing is left to be stored.
 *
 *   body      one event of any content type; or several (events.c)
 *   query     partition; ack=none: answered 202 before anything is stored
 *   fields    Event-Key (Event-Key-Encoding: base64), Event-Timestamp, Event-Tombstone,
 *             Event-Header-<name>, traceparent, ce-<name>, Expected-Offset */
#include "front/http/produce.h"

#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/params.h"
#include "wire/base64.h"
#include "wire/json.h"
#include "wire/media_type.h"
#include "wire/timefmt.h"

#include <ctype.h>
#include <stdlib.h>

enum {
	HEADER_NAME_BYTES_MAX = 255,
	REPLY_BODY_BYTES_MAX = 512, /* of one event: a topic's name and four numbers */
};

/* --- what the fields say ---------------------------------------------------------------------- */

enum body_kind body_kind(struct slice content_type)
{
	static const struct {
		const char *name;
		enum body_kind kind;
	} kinds[] = {
		{"application/x-ndjson", BODY_VALUES},
		{"application/vnd.bourn.events+x-ndjson", BODY_EVENTS},
		{"application/cloudevents+json", BODY_CLOUDEVENT},
		{"application/cloudevents-batch+json", BODY_CLOUDEVENT_BATCH},
	};

	if (content_type.len < 20) /* shorter than all of them: the common case */
		return BODY_EVENT;
	for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
		if (media_type_is(content_type, kinds[i].name))
			return kinds[i].kind;
	return BODY_EVENT;
}

size_t produce_body_limit(const struct front_limits *limits, const struct http_request *r)
{
	if (body_kind(http_field(r, HTTP_FIELD_CONTENT_TYPE)) == BODY_EVENT)
		return limits->event_bytes;
	return limits->body_bytes;
}

enum err event_timestamp(const struct front *f, struct slice text, int64_t *out,
                         struct fault *fault)
{
	int64_t ms;

	if (!slice_to_int64(text, &ms) && !time_parse(text, &ms))
		return fault_set(fault, ERR_BAD_TIMESTAMP, 0,
		                 "'%.*s' is neither ms since 1970 nor RFC 3339", SLICE_FMT(text));
	if (ms < 0 || ms > front_now(f).wall_ms + front_limits(f)->future_ms)
		return fault_set(fault, ERR_BAD_TIMESTAMP, 0,
		                 "'%.*s' is before 1970 or too far in the future", SLICE_FMT(text));
	*out = ms;
	return OK;
}

/* Append a record header named by a field, in lower case, '-' as in `dash`. */
static enum err take_header(struct buf *to, struct slice prefix, struct slice name,
                            struct slice value, struct fault *f)
{
	uint8_t lower[HEADER_NAME_BYTES_MAX];
	size_t len = prefix.len + name.len;

	if (name.len == 0 || len > sizeof(lower))
		return fault_set(f, ERR_BAD_RECORD, 0, "header name '%.*s' has not 1 to %d bytes",
		                 SLICE_FMT(name), HEADER_NAME_BYTES_MAX);
	memcpy(lower, prefix.ptr, prefix.len);
	for (size_t i = 0; i < name.len; i++)
		lower[prefix.len + i] = (uint8_t)tolower(name.ptr[i]);
	header_append(to, slice_of(lower, len), value);
	return OK;
}

static bool has_prefix(struct slice name, struct slice prefix)
{
	return name.len >= prefix.len && slice_eq_nocase(slice_of(name.ptr, prefix.len), prefix);
}

/* One field of the request, if it is about the event. */
static enum err take_field(struct event_fields *e, struct buf *to, struct slice name,
                           struct slice value, struct fault *f)
{
	static const struct slice event = SLICE_LIT("event-header-");
	static const struct slice cloud = SLICE_LIT("ce-");
	struct slice rest;

	switch (name.len > 0 ? name.ptr[0] | 0x20 : 0) {
	case 'e':
		if (!has_prefix(name, event))
			return OK;
		rest = slice_of(name.ptr + event.len, name.len - event.len);
		e->header_count++;
		return take_header(to, SLICE_LIT(""), rest, value, f);
	case 'c':
		if (!has_prefix(name, cloud))
			return OK;
		rest = slice_of(name.ptr + cloud.len, name.len - cloud.len);
		if (!e->key.ptr && slice_eq_nocase(rest, SLICE_LIT("partitionkey")))
			e->key = value;
		e->header_count++;
		return take_header(to, SLICE_LIT("ce_"), rest, value, f);
	case 't':
		if (!slice_eq_nocase(name, SLICE_LIT("traceparent")))
			return OK;
		e->header_count++;
		header_append(to, SLICE_LIT("traceparent"), value);
		return OK;
	default: return OK;
	}
}

static enum err take_key(const struct http_request *r, struct buf *to, struct event_fields *e,
                         struct fault *f)
{
	struct slice encoding;

	e->key = http_field(r, HTTP_FIELD_EVENT_KEY);
	if (!e->key.ptr)
		return OK;
	encoding = http_header(r, "event-key-encoding");
	if (!encoding.ptr || slice_eq_nocase(encoding, SLICE_LIT("text")))
		return OK;
	if (!slice_eq_nocase(encoding, SLICE_LIT("base64")) ||
	    !base64_decode(BASE64_STD, e->key, to))
		return fault_set(f, ERR_BAD_RECORD, 0,
		                 "Event-Key is not as Event-Key-Encoding says");
	e->key = buf_slice(to);
	return OK;
}

static enum err take_flags(struct front *f, const struct http_request *r, struct event_fields *e,
                           struct fault *fault)
{
	struct slice tombstone = http_field(r, HTTP_FIELD_EVENT_TOMBSTONE);
	struct slice timestamp = http_field(r, HTTP_FIELD_EVENT_TIMESTAMP);

	e->tombstone = tombstone.ptr && slice_eq_nocase(tombstone, SLICE_LIT("true"));
	if (tombstone.ptr && !e->tombstone && !slice_eq_nocase(tombstone, SLICE_LIT("false")))
		return fault_set(fault, ERR_BAD_REQUEST, 0, "Event-Tombstone is true or false");
	e->timestamp = front_now(f).wall_ms;
	if (timestamp.ptr)
		return event_timestamp(f, timestamp, &e->timestamp, fault);
	return OK;
}

/* Room in front->headers is reserved for all that can come, so that slices into it stay. */
static enum err take_fields(struct front *f, const struct http_request *r, struct event_fields *e,
                            struct fault *fault)
{
	const struct http_fields *fields = r->fields;
	struct buf *to = &f->headers;
	size_t start;
	enum err err;

	*e = (struct event_fields){.content_type = http_field(r, HTTP_FIELD_CONTENT_TYPE)};
	buf_clear(to);
	if (!buf_reserve(to, 2 * HTTP_HEAD_BYTES_MAX))
		return fault_set(fault, ERR_NO_MEMORY, 0, "header fields");
	err = take_key(r, to, e, fault);
	if (err)
		return err;
	start = to->len;
	for (size_t i = 0; i < fields->count; i++) {
		err = take_field(e, to, http_fields_name(fields, i), http_fields_value(fields, i),
		                 fault);
		if (err)
			return err;
	}
	e->headers = slice_of(to->ptr + start, to->len - start);
	return take_flags(f, r, e, fault);
}

/* What is documented, but not built: never ignored. */
static enum err refuse_planned(const struct http_request *r, struct fault *f)
{
	static const struct {
		enum http_field field;
		const char *name;
	} planned[] = {
		{HTTP_FIELD_IDEMPOTENCY_KEY, "Idempotency-Key"},
		{HTTP_FIELD_PRODUCER_ID, "Producer-Id"},
		{HTTP_FIELD_PRODUCER_EPOCH, "Producer-Epoch"},
		{HTTP_FIELD_PRODUCER_SEQ, "Producer-Seq"},
	};

	for (size_t i = 0; i < ARRAY_COUNT(planned); i++)
		if (http_field(r, planned[i].field).ptr)
			return fault_set(f, ERR_NOT_IMPLEMENTED, 0, "%s", planned[i].name);
	return OK;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void begin_body(const struct exchange *x, struct buf *body)
{
	buf_append_lit(body, "{\"topic\":\"");
	buf_append(body, x->name, x->name_len);
	buf_append_lit(body, "\"");
}

static void append_place(struct buf *body, const struct produce_result *result)
{
	buf_append_lit(body, "\"partition\":");
	buf_append_int64(body, result->partition);
	buf_append_lit(body, ",\"offset\":");
	buf_append_int64(body, result->offset);
}

static void append_durability(struct buf *body, enum durability durability)
{
	buf_append_lit(body, ",\"durability\":\"");
	buf_append_str(body, durability_name(durability));
	buf_append_lit(body, "\"}\n");
}

static void append_dropped(struct buf *body, const struct produce *p)
{
	buf_append_lit(body, ",\"dropped\":");
	buf_append_int64(body, p->dropped_count);
}

/* From the timestamp on: the same for most events of a turn, so kept. */
static struct slice answer_tail(struct front *f, int64_t timestamp, enum durability durability)
{
	struct buf *tail = &f->produced_tail;

	if (tail->len > 0 && timestamp == f->produced_at && durability == f->produced_durability)
		return buf_slice(tail);
	f->produced_at = timestamp;
	f->produced_durability = durability;
	buf_clear(tail);
	buf_append_lit(tail, ",\"timestamp\":");
	buf_append_int64(tail, timestamp);
	append_durability(tail, durability);
	return buf_slice(tail);
}

/* {"topic":"t","partition":0,"offset":12,"count":3,"timestamp":…,"durability":"commit"}; `count`
 * for lines of values, be it one. */
static inline void write_one(struct exchange *x, bool dropped)
{
	uint8_t memory[REPLY_BODY_BYTES_MAX];
	struct buf body = BUF_IN(memory);

	begin_body(x, &body);
	buf_append_lit(&body, ",");
	append_place(&body, &x->produce.one);
	if (x->counted) {
		buf_append_lit(&body, ",\"count\":");
		buf_append_int64(&body, x->produce.one.count);
	}
	if (dropped)
		append_dropped(&body, &x->produce);
	buf_append_slice(&body, answer_tail(x->front, x->timestamp, x->produce.durability));
	CHECK(!body.failed);
	reply_created(x, buf_slice(&body));
}

/* {"topic":"t","results":[{"partition":0,"offset":12,"count":3}],"durability":"commit"} */
static void write_many(struct exchange *x)
{
	const struct produce *p = &x->produce;
	struct buf body = BUF_INIT((size_t)p->result_count * 96 + REPLY_BODY_BYTES_MAX);

	begin_body(x, &body);
	buf_append_lit(&body, ",\"results\":[");
	for (uint32_t i = 0; i < p->result_count; i++) {
		buf_append_str(&body, i ? ",{" : "{");
		append_place(&body, &p->results[i]);
		buf_append_lit(&body, ",\"count\":");
		buf_append_int64(&body, p->results[i].count);
		buf_append_lit(&body, "}");
	}
	buf_append_lit(&body, "]");
	if (p->dropped_count > 0)
		append_dropped(&body, p);
	append_durability(&body, p->durability);
	x->fault.code = buf_err(&body);
	if (x->fault.code)
		reply_problem(x, NULL, 0);
	else
		reply_created(x, buf_slice(&body));
	buf_fini(&body);
}

static void write_accepted(struct exchange *x)
{
	uint8_t memory[REPLY_BODY_BYTES_MAX];
	struct buf body = BUF_IN(memory);

	begin_body(x, &body);
	append_durability(&body, DURABILITY_NONE);
	reply(x, 202, "application/json", buf_slice(&body));
}

/* {"topic":"t","dropped":3}: nothing was stored. */
static void write_none(struct exchange *x)
{
	uint8_t memory[REPLY_BODY_BYTES_MAX];
	struct buf body = {.ptr = memory, .cap = sizeof(memory), .limit = sizeof(memory)};

	begin_body(x, &body);
	append_dropped(&body, &x->produce);
	buf_append_lit(&body, "}\n");
	reply(x, 200, "application/json", buf_slice(&body));
}

static void write_dropped(struct exchange *x)
{
	if (x->produce.result_count == 0)
		write_none(x);
	else if (x->produce.atomic)
		write_one(x, true);
	else
		write_many(x);
}

static void write_answer(struct exchange *x)
{
	if (x->fault.code)
		reply_problem(x, NULL, 0);
	else if (x->busy)
		write_accepted(x);
	else if (x->produce.dropped_count > 0)
		write_dropped(x);
	else if (x->produce.atomic)
		write_one(x, false);
	else
		write_many(x);
}

static void fini(struct exchange *x)
{
	broker_produce_fini(&x->produce);
}

static const struct exchange_ops produce_ops = {
	.write = write_answer,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = fini,
};

/* --- the request ------------------------------------------------------------------------------ */

static void say_lost(struct exchange *x)
{
	char text[320];

	log_limited(x->front->log, &x->front->refusals, LOG_WARN, "http",
	            "lost %u events of topic=%s that were not waited for: %s", x->event_count,
	            x->name, fault_text(&x->fault, text, sizeof(text)));
}

/* Of one that was not waited for nobody is told. */
static void take_refusal(struct exchange *x, struct refusal *refusal)
{
	if (x->answered)
		free(refusal);
	else
		exchange_set_refusal(x, refusal);
}

static void produced(struct produce *p)
{
	struct exchange *x = CONTAINER_OF(p, struct exchange, produce);

	if (p->fault.code) {
		x->fault = p->fault;
		if (p->fault.code == ERR_HOOK_REFUSED)
			take_refusal(x, p->refusal);
		if (x->answered)
			say_lost(x);
	}
	exchange_home(x);
}

static enum err take_query(const struct http_request *r, struct produce_options *o, struct fault *f)
{
	static const char *const known[] = {"partition", "ack"};
	struct params params;
	struct slice ack;
	enum err err = params_parse(r->query, known, ARRAY_COUNT(known), &params, f);

	if (err)
		return err;
	err = params_partition(&params, &o->partition, f);
	ack = params_text(&params, "ack");
	o->no_ack = slice_eq(ack, SLICE_LIT("none"));
	if (!err && ack.ptr && !o->no_ack)
		err = fault_set(f, ERR_BAD_PARAMETER, 0, "ack '%.*s' is not none", SLICE_FMT(ack));
	params_fini(&params);
	return err;
}

static enum err take_options(const struct http_request *r, struct produce_options *o,
                             struct fault *f)
{
	struct slice expected = http_field(r, HTTP_FIELD_EXPECTED_OFFSET);
	enum err err;

	*o = (struct produce_options){.partition = -1, .expected_offset = -1};
	err = refuse_planned(r, f);
	if (!err && r->query.len > 0)
		err = take_query(r, o, f);
	if (err || !expected.ptr)
		return err;
	if (!slice_to_int64(expected, &o->expected_offset) || o->expected_offset < 0)
		return fault_set(f, ERR_BAD_REQUEST, 0, "Expected-Offset '%.*s' is not an offset",
		                 SLICE_FMT(expected));
	return OK;
}

static void start(struct exchange *x, const struct produce_options *o, bool atomic,
                  const struct record *records, uint32_t count)
{
	struct produce *p = &x->produce; /* the rest of it is the broker's to fill in */

	x->ops = &produce_ops;
	x->timestamp = records[count - 1].timestamp;
	x->event_count = count;
	x->busy = true;
	p->broker = x->front->broker;
	p->caller = exchange_caller(x);
	p->topic = exchange_name(x);
	p->partition = o->partition;
	p->expected_offset = o->expected_offset;
	p->atomic = atomic;
	p->done = produced;
	broker_produce(p, records, count);
	if (o->no_ack)
		exchange_answer(x);
}

/* The last of the record's headers. */
static void add_content_type(struct front *f, struct event_fields *e)
{
	if (!e->content_type.ptr)
		return;
	header_append(&f->headers, SLICE_LIT("content-type"), e->content_type);
	e->headers.len = f->headers.len - (size_t)(e->headers.ptr - f->headers.ptr);
	e->header_count++;
}

/* One event: its value is the body. */
static enum err one_event(const struct exchange *x, const struct event_fields *e, bool is_json,
                          struct slice body, struct record *out, struct fault *f)
{
	size_t at;

	if (e->tombstone && body.len > 0)
		return fault_set(f, ERR_BAD_RECORD, 0, "a tombstone has no body");
	if (body.len > front_limits(x->front)->event_bytes)
		return fault_set(f, ERR_TOO_LARGE, 0, "an event has at most %zu bytes",
		                 front_limits(x->front)->event_bytes);
	if (!e->tombstone && is_json && !json_validate(body, JSON_DEPTH_MAX, &at))
		return fault_set(f, ERR_BAD_JSON, 0, "at byte %zu of %zu", at, body.len);
	*out = (struct record){
		.timestamp = e->timestamp,
		.key = e->key,
		.value = body.ptr ? body : SLICE_LIT(""),
		.headers = e->headers,
		.header_count = e->header_count,
	};
	if (e->tombstone)
		out->value = SLICE_NONE;
	return OK;
}

static void produce_one(struct exchange *x, const struct produce_options *o,
                        const struct event_fields *e, bool is_json, struct slice body)
{
	struct record record;

	if (one_event(x, e, is_json, body, &record, &x->fault))
		exchange_answer(x);
	else
		start(x, o, true, &record, 1);
}

static void produce_several(struct exchange *x, const struct produce_options *o,
                            const struct event_fields *e, enum body_kind kind, struct slice body)
{
	struct event_list list;

	if (event_list_parse(x->front, kind, e, body, &list, &x->fault)) {
		exchange_answer(x);
		return;
	}
	x->counted = kind == BODY_VALUES;
	start(x, o, kind == BODY_VALUES || kind == BODY_CLOUDEVENT, list.records, list.count);
	event_list_fini(&list);
}

/* What depends on the head alone, for the next request with the same. */
static void keep_event(struct known_event *k, const struct http_request *r,
                       const struct produce_options *o, const struct event_fields *e, bool is_json)
{
	if (e->key.ptr || e->tombstone || http_field(r, HTTP_FIELD_EVENT_TIMESTAMP).ptr ||
	    e->headers.len > sizeof(k->headers))
		return;
	k->head_id = r->head_id;
	k->options = *o;
	k->is_json = is_json;
	k->header_count = e->header_count;
	k->headers_bytes = (uint32_t)e->headers.len;
	memcpy(k->headers, e->headers.ptr, e->headers.len);
}

static void produce_known(struct exchange *x, const struct known_event *k, struct slice body)
{
	const struct event_fields fields = {
		.headers = slice_of(k->headers, k->headers_bytes),
		.header_count = k->header_count,
		.timestamp = front_now(x->front).wall_ms,
	};

	produce_one(x, &k->options, &fields, k->is_json, body);
}

static void produce_new(struct exchange *x, const struct http_request *r, struct known_event *known)
{
	struct produce_options options;
	struct event_fields fields;
	enum body_kind kind;
	bool is_json;

	if (take_options(r, &options, &x->fault) || topic_name_check(exchange_name(x), &x->fault) ||
	    take_fields(x->front, r, &fields, &x->fault)) {
		exchange_answer(x);
		return;
	}
	kind = body_kind(fields.content_type);
	if (kind == BODY_EVENT) {
		is_json = media_type_is(fields.content_type, "application/json");
		add_content_type(x->front, &fields);
		if (known)
			keep_event(known, r, &options, &fields, is_json);
		produce_one(x, &options, &fields, is_json, r->body);
	} else if (fields.tombstone) {
		exchange_refuse(x, ERR_BAD_RECORD, "Event-Tombstone is for a single event");
	} else {
		produce_several(x, &options, &fields, kind, r->body);
	}
}

void produce_handle(struct exchange *x, const struct http_request *r)
{
	struct known_event *known = r->head_id > 0 ? &x->http->parser->known.event : NULL;

	if (known && known->head_id == r->head_id)
		produce_known(x, known, r->body);
	else
		produce_new(x, r, known);
}
