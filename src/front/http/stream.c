/* GET /subscribe/{t}, /v1/subscribe?topic=a&topic=b.*: events as they happen, without end. For
 * Accept: text/event-stream as Server-Sent Events, else a line of JSON each: what `curl -N` gets.
 * From ?offset= (default end), ?cursor= or Last-Event-ID, of ?partition= or all.
 *
 * Besides events a stream says:
 *	what                          Server-Sent Events            lines
 *	where it begins               retry:, id:                   the head's Event-Next
 *	events were lost              event: gap; it goes on        it fails
 *	a topic was deleted           event: gone                   {"gone":{"topic":…}}
 *	it fails, and this is the end event: problem                {"error":{…problem…}}
 *	nothing happens               a comment every 15 s          nothing */
#include "front/form.h"
#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/reading.h"
#include "front/subscription.h"
#include "wire/json.h"
#include "wire/sse.h"

#include <stdlib.h>

enum { HEARTBEAT_MS = 15000 };

struct stream_state {
	struct subscription subscription;
	struct exchange *x;
	struct timer heartbeat;
	bool begun;
	bool by_cursor;    /* it resumes */
	bool told_unknown; /* that the place is unknown: once, however many topics it was of */
};

static struct stream_state *state_of(struct subscription *s)
{
	return CONTAINER_OF(s, struct stream_state, subscription);
}

static bool is_sse(const struct stream_state *s)
{
	return s->subscription.form.kind == FORM_SSE;
}

/* --- what it says besides events -------------------------------------------------------------- */

static struct buf *output(const struct stream_state *s)
{
	return connection_output(s->x->http->connection);
}

static bool append_id(struct stream_state *s, struct buf *out)
{
	struct buf *cursor = &s->x->front->cursor;

	buf_clear(cursor);
	if (!subscription_cursor(&s->subscription, cursor))
		return false;
	sse_append_field(out, "id", buf_slice(cursor));
	return true;
}

/* {"topic":"t"} */
static void append_topic(struct buf *out, struct slice topic)
{
	buf_append_lit(out, "{\"topic\":");
	json_append_string(out, topic);
	buf_append_lit(out, "}");
}

static void append_gone(struct stream_state *s, struct slice topic, struct buf *out)
{
	if (is_sse(s)) {
		buf_append_lit(out, "event: gone\n");
		(void)append_id(s, out);
		buf_append_lit(out, "data: ");
		append_topic(out, topic);
		buf_append_lit(out, "\n\n");
	} else {
		buf_append_lit(out, "{\"gone\":");
		append_topic(out, topic);
		buf_append_lit(out, "}\n");
	}
}

static size_t problem_members(const struct stream_state *s, struct problem_member members[2])
{
	uint32_t count;
	const struct reader_bounds *bounds = subscription_bounds(&s->subscription, &count);

	return reading_members(bounds, count, members);
}

static void append_problem(struct stream_state *s, struct buf *out)
{
	struct problem_member members[2];
	size_t count = problem_members(s, members);

	buf_append_str(out, is_sse(s) ? "event: problem\ndata: " : "{\"error\":");
	problem_of(s->x, members, count, out);
	buf_append_str(out, is_sse(s) ? "\n\n" : "}\n");
}

static void append_gap(struct stream_state *s, enum err why, const char *requested, struct buf *out)
{
	const char *reason = why == ERR_TRIMMED     ? "trimmed"
	                     : why == ERR_TRUNCATED ? "truncated"
	                                            : "unknown";
	struct buf *cursor = &s->x->front->cursor;

	buf_append_lit(out, "event: gap\n");
	(void)append_id(s, out); /* which leaves the cursor where it is */
	buf_append_lit(out, "data: {\"requested\":");
	json_append_string(out, slice_str(requested));
	buf_append_lit(out, ",\"resumed_from\":");
	json_append_string(out, buf_slice(cursor));
	buf_append_lit(out, ",\"reason\":\"");
	buf_append_str(out, reason);
	buf_append_lit(out, "\"}\n\n");
}

/* --- the end ---------------------------------------------------------------------------------- */

/* `s` is freed. */
static void end(struct stream_state *s, bool clean)
{
	struct exchange *x = s->x;

	if (x->version_minor > 0)
		http_chunk_end(output(s));
	exchange_end(x, clean && x->version_minor > 0);
}

static void fail(struct stream_state *s, const struct fault *why)
{
	struct form form = s->subscription.form;
	struct buf *out = output(s);
	size_t start = form_chunk_begin(form, out);

	s->x->fault = *why;
	append_problem(s, out);
	form_chunk_end(form, out, start);
	end(s, true);
}

/* --- what the subscription tells -------------------------------------------------------------- */

static void ready(struct subscription *s, const struct fault *why)
{
	struct exchange *x = state_of(s)->x;

	if (x->answered)
		return;
	if (why)
		x->fault = *why;
	exchange_answer(x);
}

/* Who resumes, or is under way, cannot be answered with a status: a browser would not see it. */
static bool lost(struct subscription *s, const struct fault *why)
{
	const struct stream_state *stream = state_of(s);

	(void)why;
	return is_sse(stream) && (stream->by_cursor || stream->begun);
}

static void resumed(struct subscription *s, enum err why, const char *requested)
{
	struct stream_state *stream = state_of(s);
	bool unknown = why != ERR_TRIMMED && why != ERR_TRUNCATED;
	struct buf *out = output(stream);
	size_t start;

	if (unknown && stream->told_unknown)
		return;
	stream->told_unknown |= unknown;
	start = form_chunk_begin(s->form, out);
	append_gap(stream, why, requested, out);
	form_chunk_end(s->form, out, start);
}

static void gone(struct subscription *s, struct slice topic, bool last)
{
	static const struct fault topic_gone = {.code = ERR_TOPIC_GONE};
	struct stream_state *stream = state_of(s);
	struct buf *out = output(stream);
	size_t start;

	if (last && !is_sse(stream)) {
		fail(stream, &topic_gone);
		return;
	}
	start = form_chunk_begin(s->form, out);
	append_gone(stream, topic, out);
	form_chunk_end(s->form, out, start);
	if (last)
		end(stream, true);
}

static void failed(struct subscription *s, const struct fault *why)
{
	fail(state_of(s), why);
}

static const struct subscription_ops subscription_ops = {
	.ready = ready,
	.lost = lost,
	.resumed = resumed,
	.gone = gone,
	.failed = failed,
};

/* --- the exchange ----------------------------------------------------------------------------- */

static void append_head(struct stream_state *s)
{
	struct exchange *x = s->x;
	struct buf *cursor = &x->front->cursor;
	struct buf *out;

	if (x->version_minor == 0)
		x->keep_alive = false;
	out = reply_begin(x, 200);
	http_head_field(out, "Content-Type",
	                slice_str(is_sse(s) ? "text/event-stream" : "application/x-ndjson"));
	http_head_field(out, "Cache-Control", SLICE_LIT("no-store"));
	http_head_field(out, "X-Accel-Buffering", SLICE_LIT("no"));
	buf_clear(cursor);
	if (subscription_cursor(&s->subscription, cursor))
		http_head_field(out, "Event-Next", buf_slice(cursor));
	if (x->version_minor == 0)
		http_head_end(out);
	else
		http_head_end_chunked(out);
}

static void append_beginning(struct stream_state *s)
{
	struct form form = s->subscription.form;
	struct buf *out = output(s);
	size_t start = form_chunk_begin(form, out);

	/* A blank line without an id before it would have the reader forget the one it came
	 * with. */
	buf_append_lit(out, "retry: 1000\n");
	if (append_id(s, out))
		sse_append_end(out);
	form_chunk_end(form, out, start);
}

static void stream_write(struct exchange *x)
{
	struct stream_state *s = x->state;
	struct problem_member members[2];

	if (x->fault.code) {
		reply_problem(x, members, problem_members(s, members));
		return;
	}
	append_head(s);
	if (x->method == HTTP_METHOD_HEAD)
		return;
	s->begun = true;
	x->streaming = true;
	if (is_sse(s)) {
		append_beginning(s);
		timer_start(x->front->loop, &s->heartbeat, HEARTBEAT_MS);
	}
	subscription_run(&s->subscription);
}

static void heartbeat(struct timer *t)
{
	struct stream_state *s = CONTAINER_OF(t, struct stream_state, heartbeat);
	struct connection *c = s->x->http->connection;
	struct form form = s->subscription.form;
	size_t start;

	timer_start(s->x->front->loop, t, HEARTBEAT_MS);
	if (c->closed || connection_is_sending(c))
		return;
	start = form_chunk_begin(form, output(s));
	buf_append_lit(output(s), SSE_HEARTBEAT);
	form_chunk_end(form, output(s), start);
}

static void stream_room(struct exchange *x)
{
	struct stream_state *s = x->state;

	subscription_room(&s->subscription);
}

static void stream_hurry(struct exchange *x)
{
	struct stream_state *s = x->state;

	if (s->begun)
		end(s, false);
	else if (!x->answered)
		exchange_refuse(x, ERR_SHUTTING_DOWN, "subscribe");
}

static void stream_fini(struct exchange *x)
{
	struct stream_state *s = x->state;

	timer_stop(x->front->loop, &s->heartbeat);
	subscription_close(&s->subscription);
	free(s);
}

static const char *stream_name(const struct exchange *x)
{
	return is_sse(x->state) ? "sse" : "ndjson";
}

static void stream_describe(const struct exchange *x, struct buf *json)
{
	const struct stream_state *s = x->state;

	subscription_describe(&s->subscription, json);
}

static const struct exchange_ops stream_ops = {
	.write = stream_write,
	.hurry = stream_hurry,
	.room = stream_room,
	.fini = stream_fini,
	.stream_name = stream_name,
	.describe = stream_describe,
};

static struct form form_for(const struct exchange *x, bool sse,
                            const struct subscription_request *request)
{
	return (struct form){
		.kind = sse ? FORM_SSE : FORM_LINE,
		.named = !subscription_request_is_alone(request),
		.chunked = x->version_minor > 0,
	};
}

static struct stream_state *state_new(struct exchange *x, bool sse,
                                      const struct subscription_request *request)
{
	struct stream_state *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->x = x;
	s->heartbeat.fire = heartbeat;
	s->by_cursor = request->requested[0] != '\0';
	if (subscription_init(&s->subscription, &subscription_ops, request,
	                      form_for(x, sse, request)))
		return s;
	free(s);
	return NULL;
}

void stream_handle(struct exchange *x, const struct http_request *r)
{
	struct subscription_request request;
	struct stream_state *s;
	struct params params;

	if (reading_subscription(x, r, x->event_source, &params, &request)) {
		exchange_answer(x);
		return;
	}
	s = state_new(x, x->event_source, &request);
	params_fini(&params);
	if (!s) {
		exchange_refuse(x, ERR_NO_MEMORY, "subscribe");
		return;
	}
	x->state = s;
	x->ops = &stream_ops;
	(void)exchange_caller(x);
	subscription_open(&s->subscription, x->http->connection);
}
