/* GET /consume/{t} and /v1/topics/{t}/events: events from a position, as one JSON document or, with
 * Accept: application/x-ndjson, as lines. GET …/events/{offset}: one event's own bytes.
 *
 *   query  partition; offset (default earliest) or cursor; limit; max_bytes, of the events as
 *          answered, at least one; wait: how long to wait for the first event when there is none
 *
 *   open a reader → take events until limit, max_bytes or the end → at the end without any: wait
 *   for more, or for the timer → answer */
#include "front/event_json.h"
#include "front/hooked.h"
#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/params.h"
#include "front/http/reading.h"
#include "wire/base64.h"
#include "wire/json.h"
#include "wire/media_type.h"
#include "wire/utf8.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	LIMIT_DEFAULT = 100,
	LIMIT_MAX = 10000,
	WAIT_MS_MAX = 60000,
	BODY_BYTES_MAX = 20 << 20, /* max_bytes and one event: 1 MiB that is escaped sixfold */
};

struct consume {
	struct exchange *x;
	struct reader *reader;
	struct timer timer;
	struct buf body;
	int64_t limit;
	int64_t bytes_max;
	int64_t wait_ms;
	uint32_t count;
	bool ndjson;
	bool waited; /* long enough */
};

/* --- the answer ------------------------------------------------------------------------------- */

static void append_bounds(struct buf *out, const struct reader *r)
{
	const struct reader_bounds *bounds;
	uint32_t count;

	bounds = reader_bounds(r, &count);
	for (uint32_t i = 0; i < count; i++) {
		buf_append_str(out, i ? ",{" : "{");
		buf_append_lit(out, "\"partition\":");
		buf_append_int64(out, bounds[i].partition);
		buf_append_lit(out, ",\"earliest\":");
		buf_append_int64(out, bounds[i].earliest);
		buf_append_lit(out, ",\"high_watermark\":");
		buf_append_int64(out, bounds[i].high_watermark);
		buf_append_lit(out, "}");
	}
}

/* Nothing when the topic has more partitions than a cursor can hold. */
static struct slice next_cursor(const struct consume *s, struct buf *cursor)
{
	if (reader_cursor(s->reader, cursor))
		return SLICE_NONE;
	return buf_slice(cursor);
}

static void write_json(struct consume *s, struct slice next)
{
	struct buf *body = &s->body;

	buf_append_lit(body, "],\"next\":");
	if (next.ptr)
		json_append_string(body, next);
	else
		buf_append_lit(body, "null");
	buf_append_lit(body, ",\"partitions\":[");
	append_bounds(body, s->reader);
	buf_append_lit(body, "]}\n");
	reply_buf(s->x, 200, "application/json", body);
}

static void write_lines(struct consume *s, struct slice next)
{
	struct buf *out = reply_begin(s->x, 200);

	http_head_field(out, "Content-Type", SLICE_LIT("application/x-ndjson"));
	if (next.ptr)
		http_head_field(out, "Event-Next", next);
	reply_end(s->x, buf_slice(&s->body));
}

static void consume_write(struct exchange *x)
{
	struct consume *s = x->state;
	uint8_t memory[CURSOR_TEXT_BYTES_MAX];
	struct buf cursor = BUF_IN(memory);
	struct slice next;

	if (x->fault.code) {
		reading_problem(x, s->reader);
		return;
	}
	next = next_cursor(s, &cursor);
	if (s->ndjson)
		write_lines(s, next);
	else
		write_json(s, next);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void append_event(struct consume *s, struct delivery *d)
{
	size_t left = (size_t)(s->bytes_max - (int64_t)s->body.len);

	if (!hooked_deliver(s->x->front, BOURN_FRONT_HTTP, exchange_name(s->x), d))
		return;
	if (s->body.len > FRONT_POOLED_BUF_BYTES / 2) /* then at once for all there may be */
		front_buf_reserve(s->x->front, &s->body, left + FRONT_POOLED_BUF_BYTES / 2);
	metric_add(s->x->front->metrics, METRIC_EVENTS_OUT, 1);
	if (!s->ndjson && s->count > 0)
		buf_append_lit(&s->body, ",");
	event_json_append(&s->body, &d->record, d->partition, SLICE_NONE);
	if (s->ndjson)
		buf_append_lit(&s->body, "\n");
	s->count++;
}

/* True when the answer is complete; else a wake or the timer follows. */
static bool consume_take(struct consume *s)
{
	struct delivery d;

	while (s->count < s->limit && (int64_t)s->body.len < s->bytes_max && !s->body.failed) {
		switch (reader_take(s->reader, &d)) {
		case READER_EVENT: append_event(s, &d); break;
		case READER_WAIT: return false;
		case READER_CAUGHT_UP: return s->count > 0 || s->wait_ms == 0 || s->waited;
		case READER_GREW: return true; /* whoever asks again reads all */
		case READER_FAILED:
			if (s->count == 0)
				s->x->fault = *reader_fault(s->reader);
			return true;
		}
	}
	return true;
}

static void consume_step(struct consume *s)
{
	struct exchange *x = s->x;

	if (!consume_take(s)) {
		if (s->wait_ms > 0 && !s->waited && !timer_is_running(&s->timer))
			timer_start(x->front->loop, &s->timer, s->wait_ms);
		return;
	}
	timer_stop(x->front->loop, &s->timer);
	if (s->body.failed && !x->fault.code)
		fault_set(&x->fault, s->body.starved ? ERR_NO_MEMORY : ERR_INTERNAL, 0,
		          s->body.starved ? "the answer" : "the answer is too large");
	exchange_answer(x);
}

static void consume_woken(void *owner)
{
	struct consume *s = owner;

	if (!s->x->answered)
		consume_step(s);
}

static void consume_waited(struct timer *t)
{
	struct consume *s = CONTAINER_OF(t, struct consume, timer);

	s->waited = true;
	consume_step(s);
}

static void consume_hurry(struct exchange *x)
{
	struct consume *s = x->state;

	if (x->answered)
		return;
	s->waited = true;
	consume_step(s);
}

static void consume_fini(struct exchange *x)
{
	struct consume *s = x->state;

	timer_stop(x->front->loop, &s->timer);
	if (s->reader)
		reader_close(s->reader);
	front_buf_give(x->front, &s->body);
	free(s);
}

static const struct exchange_ops consume_ops = {
	.write = consume_write,
	.hurry = consume_hurry,
	.room = exchange_nothing,
	.fini = consume_fini,
};

/* --- the request ------------------------------------------------------------------------------ */

struct consume_options {
	struct reading reading;
	int64_t limit;
	int64_t bytes_max;
	int64_t wait_ms;
};

static enum err take_sizes(const struct front_limits *limits, const struct params *params,
                           struct consume_options *o, struct fault *f)
{
	int64_t cap = (int64_t)limits->output_bytes;
	enum err err;

	o->limit = LIMIT_DEFAULT;
	o->bytes_max = cap;
	o->wait_ms = 0;
	err = params_int(params, "limit", 1, INT64_MAX, &o->limit, f);
	if (!err)
		err = params_bytes(params, "max_bytes", &o->bytes_max, f);
	if (!err)
		err = params_duration(params, "wait", &o->wait_ms, f);
	if (o->limit > LIMIT_MAX)
		o->limit = LIMIT_MAX;
	if (o->bytes_max > cap)
		o->bytes_max = cap;
	if (o->bytes_max < 1)
		o->bytes_max = 1;
	if (o->wait_ms > WAIT_MS_MAX)
		o->wait_ms = WAIT_MS_MAX;
	return err;
}

static enum err take_query(struct exchange *x, const struct http_request *r,
                           struct consume_options *o)
{
	static const char *const known[] = {"partition", "offset",    "cursor",
	                                    "limit",     "max_bytes", "wait"};
	struct params params;
	enum err err = params_parse(r->query, known, ARRAY_COUNT(known), &params, &x->fault);

	if (err)
		return err;
	err = reading_parse(x->front, &params, POSITION_EARLIEST, &o->reading, &x->fault);
	if (!err)
		err = take_sizes(front_limits(x->front), &params, o, &x->fault);
	params_fini(&params);
	return err;
}

static struct consume *consume_new(struct exchange *x, const struct consume_options *o, bool ndjson)
{
	struct consume *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->x = x;
	s->timer.fire = consume_waited;
	s->body = BUF_INIT(BODY_BYTES_MAX);
	s->limit = o->limit;
	s->wait_ms = o->wait_ms;
	s->ndjson = ndjson;
	if (!ndjson) {
		buf_append_lit(&s->body, "{\"topic\":\"");
		buf_append_slice(&s->body, exchange_name(x));
		buf_append_lit(&s->body, "\",\"events\":[");
	}
	s->bytes_max = o->bytes_max + (int64_t)s->body.len;
	return s;
}

void consume_handle(struct exchange *x, const struct http_request *r)
{
	struct consume_options options;
	struct consume *s;
	bool ndjson = media_accepts(http_field(r, HTTP_FIELD_ACCEPT), "application/x-ndjson");

	if (take_query(x, r, &options)) {
		exchange_answer(x);
		return;
	}
	s = consume_new(x, &options, ndjson);
	if (!s) {
		exchange_refuse(x, ERR_NO_MEMORY, "consume");
		return;
	}
	x->state = s;
	x->ops = &consume_ops;
	s->reader = reading_open(x, &options.reading, s->wait_ms > 0, consume_woken, s);
	if (s->reader)
		consume_step(s);
	else
		exchange_refuse(x, ERR_NO_MEMORY, "reader");
}

/* --- one event -------------------------------------------------------------------------------- */

struct event_read {
	struct exchange *x;
	struct reader *reader;
	int64_t offset;
	struct delivery found; /* borrowed from the reader */
};

static void event_field(struct buf *out, const struct header *h, unsigned *left_out)
{
	static const struct slice cloud = SLICE_LIT("ce_");
	char name[300];

	if (h->name.len > 250 || !http_field_name_ok(h->name) || !h->value.ptr ||
	    !http_field_value_ok(h->value)) {
		*left_out += 1;
		return;
	}
	if (slice_starts_with(h->name, cloud))
		snprintf(name, sizeof(name), "ce-%.*s", (int)(h->name.len - cloud.len),
		         (const char *)h->name.ptr + cloud.len);
	else if (slice_eq(h->name, SLICE_LIT("traceparent")))
		snprintf(name, sizeof(name), "traceparent");
	else
		snprintf(name, sizeof(name), "Event-Header-%.*s", SLICE_FMT(h->name));
	http_head_field(out, name, h->value);
}

static void event_key_field(struct buf *out, struct slice key)
{
	struct buf encoded = BUF_INIT(base64_encoded_size(BASE64_STD, key.len));

	if (http_field_value_ok(key) && utf8_valid(key) && slice_trim(key).len == key.len) {
		http_head_field(out, "Event-Key", key);
		return;
	}
	base64_encode(BASE64_STD, key, &encoded);
	buf_lack(out, &encoded);
	http_head_field(out, "Event-Key", buf_slice(&encoded));
	http_head_field(out, "Event-Key-Encoding", SLICE_LIT("base64"));
	buf_fini(&encoded);
}

/* All headers but the content type. Those that HTTP cannot carry are counted. */
static void event_header_fields(struct buf *out, const struct record *r)
{
	struct slice rest = r->headers;
	unsigned left_out = 0;
	bool typed = false;
	struct header h;

	while (header_next(&rest, &h)) {
		if (!typed && slice_eq(h.name, SLICE_LIT("content-type")))
			typed = true;
		else
			event_field(out, &h, &left_out);
	}
	if (left_out > 0)
		http_head_field_int(out, "Event-Headers-Left-Out", left_out);
}

/* What is stored may be a page with scripts; it is not to run as one of ours. */
static void event_fields(struct buf *out, const struct delivery *d)
{
	const struct record *r = &d->record;
	struct slice type = SLICE_NONE;

	if (!record_header(r, "content-type", &type) || !http_field_value_ok(type))
		type = SLICE_LIT("application/octet-stream");
	http_head_field(out, "Content-Type", type);
	http_head_field(out, "X-Content-Type-Options", SLICE_LIT("nosniff"));
	http_head_field(out, "Content-Security-Policy", SLICE_LIT("sandbox"));
	http_head_field_int(out, "Event-Partition", d->partition);
	http_head_field_int(out, "Event-Offset", r->offset);
	http_head_field_int(out, "Event-Timestamp", r->timestamp);
	if (r->key.ptr)
		event_key_field(out, r->key);
	if (!r->value.ptr)
		http_head_field(out, "Event-Tombstone", SLICE_LIT("true"));
	event_header_fields(out, r);
}

static void event_write(struct exchange *x)
{
	struct event_read *s = x->state;

	if (!x->fault.code &&
	    !hooked_deliver(x->front, BOURN_FRONT_HTTP, exchange_name(x), &s->found))
		fault_set(&x->fault, ERR_EVENT_GONE, 0, "offset %lld", (long long)s->offset);
	if (x->fault.code) {
		reading_problem(x, s->reader);
		return;
	}
	event_fields(reply_begin(x, 200), &s->found);
	reply_end(x, s->found.record.value);
}

/* Caught up without it: in a gap at the end, or beyond what readers may see. */
static void event_missing(struct event_read *s)
{
	const struct reader_bounds *bounds;
	uint32_t count;

	bounds = reader_bounds(s->reader, &count);
	if (count == 1 && s->offset < bounds[0].high_watermark)
		fault_set(&s->x->fault, ERR_EVENT_GONE, 0, "offset %lld", (long long)s->offset);
	else
		fault_set(&s->x->fault, ERR_OUT_OF_RANGE, 0, "offset %lld", (long long)s->offset);
}

static void event_step(struct event_read *s)
{
	switch (reader_take(s->reader, &s->found)) {
	case READER_GREW: /* it does not follow */
	case READER_WAIT: return;
	case READER_EVENT:
		if (s->found.record.offset != s->offset)
			fault_set(&s->x->fault, ERR_EVENT_GONE, 0, "offset %lld",
			          (long long)s->offset);
		break;
	case READER_CAUGHT_UP: event_missing(s); break;
	case READER_FAILED: s->x->fault = *reader_fault(s->reader); break;
	}
	exchange_answer(s->x);
}

static void event_woken(void *owner)
{
	struct event_read *s = owner;

	if (!s->x->answered)
		event_step(s);
}

static void event_fini(struct exchange *x)
{
	struct event_read *s = x->state;

	if (s->reader)
		reader_close(s->reader);
	free(s);
}

static const struct exchange_ops event_ops = {
	.write = event_write,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = event_fini,
};

static enum err take_event_query(struct exchange *x, const struct http_request *r,
                                 struct reading *reading)
{
	static const char *const known[] = {"partition"};
	struct params params;
	enum err err = params_parse(r->query, known, ARRAY_COUNT(known), &params, &x->fault);

	if (err)
		return err;
	err = reading_parse(x->front, &params, POSITION_OFFSET, reading, &x->fault);
	params_fini(&params);
	if (!err && (!slice_to_int64(slice_str(x->argument), &reading->position.value) ||
	             reading->position.value < 0))
		err = fault_set(&x->fault, ERR_BAD_PARAMETER, 0, "'%s' is not an offset",
		                x->argument);
	return err;
}

void event_handle(struct exchange *x, const struct http_request *r)
{
	struct reading reading;
	struct event_read *s;

	if (take_event_query(x, r, &reading)) {
		exchange_answer(x);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		exchange_refuse(x, ERR_NO_MEMORY, "event");
		return;
	}
	s->x = x;
	s->offset = reading.position.value;
	x->state = s;
	x->ops = &event_ops;
	s->reader = reading_open(x, &reading, false, event_woken, s);
	if (s->reader)
		event_step(s);
	else
		exchange_refuse(x, ERR_NO_MEMORY, "reader");
}
