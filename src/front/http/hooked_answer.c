#include "front/http/hooked_answer.h"

#include "front/http/connection.h"
#include "front/http/hooked_stage.h"

#include <stdlib.h>

/* --- request_executed ------------------------------------------------------------------------- */

static void executed(struct exchange *x)
{
	struct bourn_caller caller;
	struct hook_run hooks;

	stage_init(&hooks, x, BOURN_REQUEST_EXECUTED, &caller,
	           stage_arena(x, BOURN_REQUEST_EXECUTED));
	if (x->fault.code) {
		hooks.call.pub.status = exchange_status(x);
	} else if (x->event_count > 0 && !x->busy && x->produce.result_count > 0) {
		hooks.call.pub.partition = (int32_t)x->produce.results[0].partition;
		hooks.call.pub.offset = x->produce.results[0].offset;
		hooks.call.pub.timestamp = x->timestamp;
	}
	hooked_tell(x->front, &hooks);
}

/* --- before_response_send --------------------------------------------------------------------- */

/* An answer of ours, taken apart: "HTTP/1.1 200 OK", fields, body. */
struct answer {
	struct slice text; /* all of it */
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

static bool take_apart(struct arena *arena, struct answer *a)
{
	struct slice text = a->text;
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

		if (stage_is_framing(name) || slice_eq_nocase(name, SLICE_LIT("connection")))
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

/* An answer that hooks cannot be shown does not go out. */
static int write_no_memory(struct exchange *x, struct buf *out, size_t start)
{
	fault_set(&x->fault, ERR_NO_MEMORY, 0, "hooks");
	return write_problem(x, out, start);
}

/* Take what stands in the output from `start` on out of it, for hooks to see. False: no memory. */
static bool take_answer(struct hook_run *run, struct answer *a, struct buf *out, size_t start)
{
	struct slice text = slice_of(out->ptr + start, out->len - start);

	if (!arena_copy(run->call.arena, text, &a->text) || !take_apart(run->call.arena, a))
		return false;
	out->len = start;
	run->call.pub.status = a->status;
	run->call.pub.value = slice_out(a->body);
	call_set_fields(&run->call, a->fields, a->field_count);
	return true;
}

/* What hooks made of it goes out; returns its status. */
static int put_answer(struct exchange *x, struct hook_run *run, const struct answer *a,
                      struct buf *out)
{
	if (run->outcome == HOOK_REFUSED) {
		stage_take_refusal(x, run);
		return write_problem(x, out, out->len);
	}
	if (run->changed)
		write_changed(x, &run->call, a, out);
	else
		buf_append_slice(out, a->text);
	return run->call.pub.status;
}

/* What stands in the output from `start` on becomes what hooks make of it; returns its status. */
static int before_send(struct exchange *x, struct buf *out, size_t start)
{
	struct answer answer = {0};
	struct bourn_caller caller;
	struct hook_run hooks;

	stage_init(&hooks, x, BOURN_BEFORE_RESPONSE_SEND, &caller,
	           stage_arena(x, BOURN_BEFORE_RESPONSE_SEND));
	if (!take_answer(&hooks, &answer, out, start))
		return write_no_memory(x, out, start);
	CHECK(hook_run_start(x->front->chains[BOURN_BEFORE_RESPONSE_SEND], &hooks));
	return put_answer(x, &hooks, &answer, out);
}

static int written_status(const struct buf *out, size_t start)
{
	return status_of(slice_of(out->ptr + start, out->len - start));
}

static void will_send(struct exchange *x, int status)
{
	if (!x->front->chains[BOURN_AFTER_RESPONSE_SEND])
		return;
	hooked_will_send(x->http->connection, x->hooks->target, status);
	x->hooks->target = NULL;
}

/* One that waits for hooks; nothing else goes out before it. */
struct answer_wait {
	struct exchange *x;
	struct hook_run run;
	struct arena arena;
	struct bourn_caller caller;
	struct answer answer; /* in the arena */
};

static void wait_free(struct answer_wait *w)
{
	arena_fini(&w->arena);
	free(w);
}

static void was_shown(struct hook_run *run)
{
	struct answer_wait *w = CONTAINER_OF(run, struct answer_wait, run);
	struct exchange *x = w->x;
	bool wanted = list_is_linked(&x->node);

	x->held = false;
	if (wanted) {
		struct buf *out = connection_output(x->http->connection);

		will_send(x, put_answer(x, run, &w->answer, out));
		exchange_hooks_drop(x);
	}
	wait_free(w);
	if (wanted)
		http_answers(x->http);
	else
		exchange_forsake(x);
}

/* False: no memory. */
static bool hold(struct exchange *x, struct buf *out, size_t start)
{
	struct answer_wait *w = calloc(1, sizeof(*w));

	if (!w)
		return false;
	w->x = x;
	w->arena = ARENA_INIT;
	stage_init(&w->run, x, BOURN_BEFORE_RESPONSE_SEND, &w->caller, &w->arena);
	w->run.done = was_shown;
	if (!take_answer(&w->run, &w->answer, out, start)) {
		wait_free(w);
		return false;
	}
	x->held = true;
	if (hook_run_start(x->front->chains[BOURN_BEFORE_RESPONSE_SEND], &w->run))
		was_shown(&w->run);
	return true;
}

/* It has passed request_received, and its answer is whole. False: that is held. */
static bool hooks_see_answer(struct exchange *x, struct buf *out, size_t start)
{
	if (!x->front->chains[BOURN_BEFORE_RESPONSE_SEND])
		will_send(x, written_status(out, start));
	else if (!stage_waits(x, BOURN_BEFORE_RESPONSE_SEND))
		will_send(x, before_send(x, out, start));
	else if (hold(x, out, start))
		return false;
	else
		will_send(x, write_no_memory(x, out, start));
	return true;
}

void hooked_write(struct exchange *x)
{
	struct buf *out = connection_output(x->http->connection);
	size_t start = out->len;
	bool is_seen = x->hooks->target != NULL; /* else a hook refused an event of it, no more */

	if (is_seen && x->front->chains[BOURN_REQUEST_EXECUTED])
		executed(x);
	x->ops->write(x);
	is_seen = is_seen && !x->streaming && !x->http->next_protocol && !out->failed &&
	          out->len > start;
	if (!is_seen || hooks_see_answer(x, out, start))
		exchange_hooks_drop(x);
}
