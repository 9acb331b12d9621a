#include "front/http/hooked_request.h"

#include "front/hooked.h"
#include "front/http/connection.h"
#include "front/http/router.h"

#include <stdlib.h>

/* --- what all stages have ------------------------------------------------------------------------- */

static struct slice topic_of(const struct exchange *x)
{
	bool named = x->route && strstr(x->route->pattern, "{t}");

	return named ? exchange_name(x) : SLICE_NONE;
}

/* Whether the broker is well is not for hooks to say. */
static bool is_exempt(const struct exchange *x)
{
	return x->route && x->route->flags & ROUTE_ALWAYS;
}

static void run_init(struct hook_run *run, struct exchange *x, enum bourn_point point,
                     struct bourn_caller *caller)
{
	struct arena *arena = hook_chain_arena(x->front->chains[point]);
	struct bourn_call *pub = &run->call.pub;

	*caller = caller_for_hooks(exchange_caller(x));
	arena_reset(arena);
	call_init(&run->call, point, caller, arena);
	pub->now_ms = front_now(x->front).wall_ms;
	pub->method = slice_out(slice_str(http_method_name(x->method)));
	pub->topic = slice_out(topic_of(x));
	pub->target = slice_out(hooked_target_text(x->hooks->target));
}

static void run(struct hook_run *r, struct exchange *x, enum bourn_point point)
{
	CHECK(hook_run_start(x->front->chains[point], r));
}

/* For the stages at which the request is not there any more. False: no memory. */
static bool keep_target(struct exchange *x, const struct http_request *r)
{
	struct slice topic = topic_of(x);
	struct hooked_target *t = malloc(sizeof(*t) + topic.len + r->target.len);

	if (!t || !exchange_hooks_take(x)) {
		free(t);
		return false;
	}
	t->request_id = x->request_id;
	t->method = x->method;
	t->topic_bytes = topic.len;
	t->bytes = r->target.len;
	if (topic.len > 0)
		memcpy(t->text, topic.ptr, topic.len);
	if (r->target.len > 0)
		memcpy(t->text + topic.len, r->target.ptr, r->target.len);
	x->hooks->target = t;
	return true;
}

static void take_refusal(struct exchange *x, const struct hook_run *r)
{
	bool said_more = r->fault.code == ERR_HOOK_REFUSED;

	x->fault = r->fault;
	exchange_set_refusal(x, said_more ? refusal_copy(&r->call.refusal) : NULL);
}

/* --- request_received ----------------------------------------------------------------------------- */

/* A request that hooks changed: its head once more, as if it had come so. */
struct changed_request {
	struct http_request request;
	struct http_head head;
};

static bool is_framing(struct slice name)
{
	return slice_eq_nocase(name, SLICE_LIT("content-length")) ||
	       slice_eq_nocase(name, SLICE_LIT("transfer-encoding"));
}

static void append_fields(struct call *c, struct buf *text)
{
	uint32_t count;
	const struct bourn_header *list = call_headers(c, &count);

	for (uint32_t i = 0; i < count; i++) {
		if (is_framing(slice_in(list[i].name)))
			continue;
		buf_append_slice(text, slice_in(list[i].name));
		buf_append_lit(text, ": ");
		buf_append_slice(text, slice_in(list[i].value));
		buf_append_lit(text, "\r\n");
	}
}

/* The text lies in the arena, as the fields point into it. */
static enum err parse_fields(struct call *c, struct changed_request *changed, struct fault *f)
{
	struct buf text = {.cap = HTTP_HEAD_BYTES_MAX, .limit = HTTP_HEAD_BYTES_MAX};

	text.ptr = arena_alloc(c->arena, text.cap);
	if (!text.ptr)
		return fault_set(f, ERR_NO_MEMORY, 0, "what a hook made");
	buf_append_lit(&text, "POST / HTTP/1.1\r\n");
	append_fields(c, &text);
	buf_append_lit(&text, "\r\n");
	http_head_init(&changed->head, HTTP_REQUEST);
	if (text.failed || http_head_parse(&changed->head, text.ptr, text.len) != OK ||
	    !changed->head.complete)
		return fault_set(f, ERR_HEADERS_LARGE, 0, "as a hook made them");
	changed->request.fields = &changed->head.fields;
	return OK;
}

/* NULL: `f` says why it cannot be. */
static struct changed_request *change_request(struct call *c, const struct http_request *was,
                                              struct fault *f)
{
	struct changed_request *changed = arena_alloc(c->arena, sizeof(*changed));

	if (!changed) {
		fault_set(f, ERR_NO_MEMORY, 0, "what a hook made");
		return NULL;
	}
	changed->request = *was;
	changed->request.body = slice_in(c->pub.value);
	changed->request.head_id = UINT64_MAX; /* no other has that */
	if (c->headers.changed && parse_fields(c, changed, f) != OK)
		return NULL;
	return changed;
}

static void handle_changed(struct exchange *x, struct call *c, const struct http_request *was)
{
	struct changed_request *changed = change_request(c, was, &x->fault);
	size_t limit;

	if (!changed) {
		exchange_answer(x);
		return;
	}
	limit = http_body_limit(x, &changed->request);
	if (changed->request.body.len > limit)
		exchange_refuse(x, ERR_TOO_LARGE, "a hook made it %zu bytes",
		                changed->request.body.len);
	else
		x->route->handle(x, &changed->request);
}

/* Nothing was done, and nothing is said. */
static void write_stopped(struct exchange *x)
{
	http_head_end(reply_begin(x, 204));
}

static const struct exchange_ops stopped_ops = {
	.write = write_stopped,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = exchange_nothing,
};

static void answer_for_hook(struct exchange *x, const struct hook_run *r)
{
	if (r->outcome == HOOK_STOPPED)
		x->ops = &stopped_ops;
	else
		take_refusal(x, r);
	exchange_answer(x);
}

/* False: no memory. Hooks must not take that for a request without fields. */
static bool set_fields(struct call *c, const struct http_fields *fields)
{
	struct bourn_header *list = arena_alloc(c->arena, (fields->count + 1u) * sizeof(*list));

	if (!list)
		return false;
	for (uint32_t i = 0; i < fields->count; i++)
		list[i] = (struct bourn_header){slice_out(http_fields_name(fields, i)),
		                                slice_out(http_fields_value(fields, i))};
	call_set_fields(c, list, fields->count);
	return true;
}

/* False: it was changed. */
static bool show_request(struct exchange *x, const struct http_request *r)
{
	struct bourn_caller caller;
	struct hook_run hooks;

	run_init(&hooks, x, BOURN_REQUEST_RECEIVED, &caller);
	hooks.call.pub.value = slice_out(r->body.ptr ? r->body : SLICE_LIT(""));
	if (!set_fields(&hooks.call, r->fields)) {
		exchange_refuse(x, ERR_NO_MEMORY, "hooks");
		return true;
	}
	run(&hooks, x, BOURN_REQUEST_RECEIVED);
	if (hooks.outcome == HOOK_PASSED && hooks.changed) {
		handle_changed(x, &hooks.call, r);
		return false;
	}
	if (hooks.outcome == HOOK_PASSED)
		x->route->handle(x, r);
	else
		answer_for_hook(x, &hooks);
	return true;
}

bool hooked_receive(struct exchange *x, const struct http_request *r)
{
	bool exempt = is_exempt(x);

	if (!exempt && !keep_target(x, r)) {
		exchange_refuse(x, ERR_NO_MEMORY, "hooks");
		return true;
	}
	if (!exempt && x->front->chains[BOURN_REQUEST_RECEIVED])
		return show_request(x, r);
	x->route->handle(x, r);
	return true;
}

/* --- request_executed ----------------------------------------------------------------------------- */

static void executed(struct exchange *x)
{
	struct bourn_caller caller;
	struct hook_run hooks;

	run_init(&hooks, x, BOURN_REQUEST_EXECUTED, &caller);
	if (x->fault.code) {
		hooks.call.pub.status = exchange_status(x);
	} else if (x->event_count > 0 && !x->busy && x->produce.result_count > 0) {
		hooks.call.pub.partition = (int32_t)x->produce.results[0].partition;
		hooks.call.pub.offset = x->produce.results[0].offset;
		hooks.call.pub.timestamp = x->timestamp;
	}
	run(&hooks, x, BOURN_REQUEST_EXECUTED);
}

/* --- before_response_send ------------------------------------------------------------------------- */

/* An answer of ours, taken apart: "HTTP/1.1 200 OK", fields, body. */
struct answer {
	int status;
	struct bourn_header *fields; /* but for those that frame it */
	uint32_t field_count;
	struct slice connection; /* those: NONE: there is none */
	struct slice content_length;
	struct slice body;
};

static struct slice cut_line(struct slice *rest)
{
	struct slice line = slice_cut(rest, '\n');

	if (line.len > 0 && line.ptr[line.len - 1] == '\r')
		line.len--;
	return line;
}

static int status_of(struct slice line)
{
	return line.len < 12 ? 0
	                     : (line.ptr[9] - '0') * 100 + (line.ptr[10] - '0') * 10 +
	                               (line.ptr[11] - '0');
}

static void take_line(struct answer *a, struct slice line)
{
	struct slice name = slice_cut(&line, ':');
	struct slice value = slice_trim(line);

	if (slice_eq_nocase(name, SLICE_LIT("content-length")))
		a->content_length = value;
	else if (slice_eq_nocase(name, SLICE_LIT("connection")))
		a->connection = value;
	else
		a->fields[a->field_count++] =
			(struct bourn_header){slice_out(name), slice_out(value)};
}

static bool take_apart(struct slice text, struct arena *arena, struct answer *a)
{
	struct slice line;

	a->fields = arena_alloc(arena, HTTP_FIELDS_MAX * sizeof(*a->fields));
	if (!a->fields)
		return false;
	a->status = status_of(cut_line(&text));
	while ((line = cut_line(&text)).len > 0 && a->field_count < HTTP_FIELDS_MAX)
		take_line(a, line);
	a->body = text.ptr ? text : SLICE_LIT("");
	return true;
}

static void append_list(struct call *c, struct buf *out)
{
	uint32_t count;
	const struct bourn_header *list = call_headers(c, &count);

	for (uint32_t i = 0; i < count; i++) {
		struct slice name = slice_in(list[i].name);

		if (is_framing(name) || slice_eq_nocase(name, SLICE_LIT("connection")))
			continue;
		buf_append_slice(out, name);
		buf_append_lit(out, ": ");
		buf_append_slice(out, slice_in(list[i].value));
		buf_append_lit(out, "\r\n");
	}
}

/* Instead of the one that was written. The answer to HEAD keeps the length that it told of. */
static void write_changed(struct exchange *x, struct call *c, const struct answer *was,
                          struct buf *out)
{
	struct slice body = slice_in(c->pub.value);

	http_head_begin(out, c->pub.status);
	append_list(c, out);
	if (was->connection.ptr)
		http_head_field(out, "Connection", was->connection);
	if (x->method == HTTP_METHOD_HEAD && was->content_length.ptr)
		http_head_field(out, "Content-Length", was->content_length);
	if (x->method == HTTP_METHOD_HEAD || (body.len == 0 && !was->content_length.ptr)) {
		http_head_end(out);
		return;
	}
	http_head_end_length(out, body.len);
	buf_append_slice(out, body);
}

/* A problem instead of what stands in the output from `start` on; returns its status. */
static int write_problem(struct exchange *x, struct buf *out, size_t start)
{
	out->len = start;
	reply_problem(x, NULL, 0);
	return exchange_status(x);
}

/* What stands in the output from `start` on becomes what hooks make of it; returns its status. */
static int before_send(struct exchange *x, struct buf *out, size_t start)
{
	struct hook_chain *chain = x->front->chains[BOURN_BEFORE_RESPONSE_SEND];
	struct answer was = {0};
	struct bourn_caller caller;
	struct hook_run hooks;
	struct slice text;

	run_init(&hooks, x, BOURN_BEFORE_RESPONSE_SEND, &caller);
	if (!arena_copy(hook_chain_arena(chain), slice_of(out->ptr + start, out->len - start),
	                &text) ||
	    !take_apart(text, hook_chain_arena(chain), &was)) {
		fault_set(&x->fault, ERR_NO_MEMORY, 0, "hooks");
		return write_problem(x, out, start);
	}
	hooks.call.pub.status = was.status;
	hooks.call.pub.value = slice_out(was.body);
	call_set_fields(&hooks.call, was.fields, was.field_count);
	run(&hooks, x, BOURN_BEFORE_RESPONSE_SEND);
	if (hooks.outcome == HOOK_REFUSED) {
		take_refusal(x, &hooks);
		return write_problem(x, out, start);
	}
	if (hooks.changed) {
		out->len = start;
		write_changed(x, &hooks.call, &was, out);
	}
	return hooks.call.pub.status;
}

static int written_status(const struct buf *out, size_t start)
{
	return status_of(slice_of(out->ptr + start, out->len - start));
}

/* It has passed request_received, and its answer is whole. */
static void hooks_see_answer(struct exchange *x, struct buf *out, size_t start)
{
	int status = written_status(out, start);

	if (x->front->chains[BOURN_BEFORE_RESPONSE_SEND])
		status = before_send(x, out, start);
	if (x->front->chains[BOURN_AFTER_RESPONSE_SEND]) {
		hooked_will_send(x->http->connection, x->hooks->target, status);
		x->hooks->target = NULL;
	}
}

void hooked_write(struct exchange *x)
{
	struct buf *out = connection_output(x->http->connection);
	size_t start = out->len;
	bool is_seen = x->hooks->target != NULL; /* else a hook refused an event of it, no more */

	if (is_seen && x->front->chains[BOURN_REQUEST_EXECUTED])
		executed(x);
	x->ops->write(x);
	if (is_seen && !x->streaming && !x->http->next_protocol && !out->failed && out->len > start)
		hooks_see_answer(x, out, start);
	exchange_hooks_drop(x);
}
