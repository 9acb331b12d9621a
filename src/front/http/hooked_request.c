#include "front/http/hooked_request.h"

#include "front/http/connection.h"
#include "front/http/hooked_stage.h"
#include "front/http/router.h"

#include <stdlib.h>

/* A request that hooks changed: its head once more, as if it had come so. */
struct changed_request {
	struct http_request request;
	struct http_head head;
};

static void append_fields(struct call *c, struct buf *text)
{
	uint32_t count;
	const struct bourn_header *list = call_headers(c, &count);

	for (uint32_t i = 0; i < count; i++) {
		if (stage_is_framing(slice_in(list[i].name)))
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
	changed->request.head_id = 0;
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
		stage_take_refusal(x, r);
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

/* What hooks said is done. */
static void follow(struct exchange *x, struct hook_run *run, const struct http_request *r)
{
	if (run->outcome != HOOK_PASSED)
		answer_for_hook(x, run);
	else if (run->changed)
		handle_changed(x, &run->call, r);
	else
		x->route->handle(x, r);
}

static struct slice moved(struct slice s, const uint8_t *from, const uint8_t *to)
{
	if (s.ptr)
		s.ptr = to + (s.ptr - from);
	return s;
}

/* All of it lies between the head's first byte and the end of its last field. */
static size_t head_bytes(const struct http_request *r)
{
	const struct http_fields *fields = r->fields;
	size_t end = (size_t)(r->target.ptr + r->target.len - fields->base);

	for (uint32_t i = 0; i < fields->count; i++) {
		struct http_span value = fields->values[i];

		if ((size_t)value.at + value.len > end)
			end = (size_t)value.at + value.len;
	}
	return end;
}

/* A copy in the arena. NULL: no memory. */
static struct http_request *request_keep(const struct http_request *r, struct arena *arena)
{
	const uint8_t *base = r->fields->base;
	struct http_request *kept = arena_alloc(arena, sizeof(*kept));
	struct http_fields *fields = arena_alloc(arena, sizeof(*fields));
	struct slice head, body;

	if (!kept || !fields || !arena_copy(arena, slice_of(base, head_bytes(r)), &head) ||
	    !arena_copy(arena, r->body, &body))
		return NULL;
	*kept = *r;
	*fields = *r->fields;
	fields->base = head.ptr;
	kept->fields = fields;
	kept->head_id = 0;
	kept->target = moved(r->target, base, head.ptr);
	kept->host = moved(r->host, base, head.ptr);
	kept->path = moved(r->path, base, head.ptr);
	kept->query = moved(r->query, base, head.ptr);
	kept->body = body;
	return kept;
}

static void fill_in(struct call *call, const struct http_request *r)
{
	call->pub.value = slice_out(r->body.ptr ? r->body : SLICE_LIT(""));
}

/* One that waits for hooks; no other is read from its connection meanwhile. */
struct request_wait {
	struct exchange *x;
	struct hook_run run;
	struct arena arena;
	struct bourn_caller caller;
	struct http_request *request; /* a copy, in the arena */
};

static void wait_free(struct request_wait *w)
{
	arena_fini(&w->arena);
	free(w);
}

static void was_shown(struct hook_run *run)
{
	struct request_wait *w = CONTAINER_OF(run, struct request_wait, run);
	struct exchange *x = w->x;
	struct http_connection *http = x->http;

	x->busy = false;
	if (list_is_linked(&x->node)) {
		http->exclusive = !(x->route->flags & ROUTE_CONCURRENT);
		connection_again(http->connection);
		follow(x, run, w->request);
	} else {
		exchange_forsake(x);
	}
	wait_free(w);
}

/* NULL: no memory. */
static struct request_wait *wait_new(struct exchange *x, const struct http_request *r)
{
	struct request_wait *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->x = x;
	w->arena = ARENA_INIT;
	stage_init(&w->run, x, BOURN_REQUEST_RECEIVED, &w->caller, &w->arena);
	w->run.done = was_shown;
	w->request = request_keep(r, &w->arena);
	if (w->request && set_fields(&w->run.call, w->request->fields))
		return w;
	wait_free(w);
	return NULL;
}

static void show_later(struct exchange *x, const struct http_request *r)
{
	struct request_wait *w = wait_new(x, r);

	if (!w) {
		exchange_refuse(x, ERR_NO_MEMORY, "hooks");
		return;
	}
	fill_in(&w->run.call, w->request);
	x->busy = true;
	x->http->exclusive = true;
	if (hook_run_start(x->front->chains[BOURN_REQUEST_RECEIVED], &w->run))
		was_shown(&w->run);
}

static void show_request(struct exchange *x, const struct http_request *r)
{
	struct bourn_caller caller;
	struct hook_run hooks;

	stage_init(&hooks, x, BOURN_REQUEST_RECEIVED, &caller,
	           stage_arena(x, BOURN_REQUEST_RECEIVED));
	if (!set_fields(&hooks.call, r->fields)) {
		exchange_refuse(x, ERR_NO_MEMORY, "hooks");
		return;
	}
	fill_in(&hooks.call, r);
	CHECK(hook_run_start(x->front->chains[BOURN_REQUEST_RECEIVED], &hooks));
	follow(x, &hooks, r);
}

/* Whether the broker is well is not for hooks to say. */
static bool is_exempt(const struct exchange *x)
{
	return x->route && x->route->flags & ROUTE_ALWAYS;
}

/* For the stages at which the request is not there any more. False: no memory. */
static bool keep_target(struct exchange *x, const struct http_request *r)
{
	struct slice topic = stage_topic(x);
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

void hooked_receive(struct exchange *x, const struct http_request *r)
{
	if (is_exempt(x))
		x->route->handle(x, r);
	else if (!keep_target(x, r))
		exchange_refuse(x, ERR_NO_MEMORY, "hooks");
	else if (!x->front->chains[BOURN_REQUEST_RECEIVED])
		x->route->handle(x, r);
	else if (stage_waits(x, BOURN_REQUEST_RECEIVED))
		show_later(x, r);
	else
		show_request(x, r);
}
