#include "front/http/exchange.h"

#include "front/http/connection.h"
#include "front/http/router.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void write_refusal(struct exchange *x);

static const struct exchange_ops refusal_ops = {
	.write = write_refusal,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = exchange_nothing,
};

void exchange_nothing(struct exchange *x)
{
	(void)x;
}

/* --- life ------------------------------------------------------------------------------------- */

/* Only what a new request reads before it is written is cleared: the rest of the struct is
 * large. */
static void exchange_reset(struct exchange *x)
{
	x->ops = &refusal_ops;
	x->route = NULL;
	x->cors_origin = NULL;
	x->allow = 0;
	x->linger = false;
	x->answered = false;
	x->written = false;
	x->busy = false;
	x->held = false;
	x->streaming = false;
	x->fault.code = OK;
	x->fault.os_errno = 0;
	x->fault.where[0] = '\0';
	x->hooks = NULL;
	x->name_len = 0;
	x->name[0] = '\0';
	x->argument[0] = '\0';
	x->state = NULL;
	x->event_count = 0;
	x->counted = false;
	x->event_source = false;
}

struct exchange *exchange_new(struct http_connection *http, struct front *f)
{
	struct list *node = list_take_first(&f->idle_exchanges);
	struct exchange *x;

	if (node) {
		x = LIST_ENTRY(node, struct exchange, node);
		f->idle_exchange_count--;
		exchange_reset(x);
	} else {
		x = calloc(1, sizeof(*x));
		if (!x)
			return NULL;
		x->ops = &refusal_ops;
	}
	x->http = http;
	x->front = f;
	x->request_id = front_next_request_id(f);
	return x;
}

void exchange_free(struct exchange *x)
{
	struct front *f = x->front;

	CHECK(!x->busy);
	CHECK(!list_is_linked(&x->node));
	x->ops->fini(x);
	if (f->idle_exchange_count == FRONT_POOLED_EXCHANGES) {
		free(x);
		return;
	}
	list_prepend(&f->idle_exchanges, &x->node); /* to be the next: it is in the cache */
	f->idle_exchange_count++;
}

void exchange_pool_free(struct front *f)
{
	struct list *node;

	while ((node = list_take_first(&f->idle_exchanges)))
		free(LIST_ENTRY(node, struct exchange, node));
	f->idle_exchange_count = 0;
}

/* --- hooks ------------------------------------------------------------------------------------ */

bool exchange_hooks_take(struct exchange *x)
{
	if (!x->hooks)
		x->hooks = calloc(1, sizeof(*x->hooks));
	return x->hooks != NULL;
}

void exchange_hooks_drop(struct exchange *x)
{
	if (!HOOKS_BUILT || !x->hooks)
		return;
	free(x->hooks->refusal);
	free(x->hooks->target);
	free(x->hooks);
	x->hooks = NULL;
}

void exchange_set_refusal(struct exchange *x, struct refusal *refusal)
{
	if (!refusal || !exchange_hooks_take(x)) {
		free(refusal); /* the fault says the most of it */
		return;
	}
	free(x->hooks->refusal);
	x->hooks->refusal = refusal;
}

static const struct refusal *refusal_of(const struct exchange *x)
{
	return x->hooks ? x->hooks->refusal : NULL;
}

/* --- answering -------------------------------------------------------------------------------- */

void exchange_answer(struct exchange *x)
{
	CHECK(!x->answered);
	x->answered = true;
	http_answers(x->http);
}

void exchange_refuse(struct exchange *x, enum err code, const char *where, ...)
{
	va_list args;

	x->fault.code = code;
	x->fault.os_errno = 0;
	va_start(args, where);
	vsnprintf(x->fault.where, sizeof(x->fault.where), where, args);
	va_end(args);
	exchange_answer(x);
}

void exchange_forsake(struct exchange *x)
{
	struct http_connection *http = x->http;

	if (x->busy || x->held)
		return;
	exchange_hooks_drop(x);
	exchange_free(x);
	http_exchange_gone(http);
}

void exchange_home(struct exchange *x)
{
	CHECK(x->busy);
	x->busy = false;
	if (!list_is_linked(&x->node))
		exchange_forsake(x);
	else if (!x->answered)
		exchange_answer(x);
}

void exchange_end(struct exchange *x, bool clean)
{
	CHECK(x->streaming);
	x->streaming = false;
	x->keep_alive &= clean;
	http_answers(x->http);
}

const struct caller *exchange_caller(struct exchange *x)
{
	struct caller *caller = &x->http->connection->caller;

	caller->request_id = x->request_id;
	return caller;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void count_reply(struct metrics *m, int status)
{
	metric_add(m, METRIC_REQUESTS, 1);
	if (status >= 500)
		metric_add(m, METRIC_FAILURES, 1);
	else if (status >= 400)
		metric_add(m, METRIC_REFUSALS, 1);
}

struct buf *reply_begin(struct exchange *x, int status)
{
	struct buf *out = connection_output(x->http->connection);

	count_reply(x->front->metrics, status);
	http_head_begin(out, status);
	http_head_date(out, front_date(x->front));
	if (!x->keep_alive)
		http_head_field(out, "Connection", SLICE_LIT("close"));
	else if (x->version_minor == 0)
		http_head_field(out, "Connection", SLICE_LIT("keep-alive"));
	if (x->cors_origin) {
		http_head_field(out, "Access-Control-Allow-Origin", slice_str(x->cors_origin));
		http_head_field(out, "Access-Control-Expose-Headers", SLICE_LIT("*"));
		http_head_field(out, "Vary", SLICE_LIT("Origin"));
	}
	return out;
}

void reply_end(struct exchange *x, struct slice body)
{
	struct buf *out = connection_output(x->http->connection);

	http_head_end_length(out, body.len);
	if (x->method == HTTP_METHOD_HEAD)
		return;
	if (body.len > FRONT_POOLED_BUF_BYTES)
		front_buf_reserve(x->front, out, body.len);
	buf_append_slice(out, body);
}

void reply(struct exchange *x, int status, const char *content_type, struct slice body)
{
	struct buf *out = reply_begin(x, status);

	http_head_field(out, "Content-Type", slice_str(content_type));
	reply_end(x, body);
}

void reply_buf(struct exchange *x, int status, const char *content_type, const struct buf *body)
{
	x->fault.code = buf_err(body);
	if (x->fault.code)
		reply_problem(x, NULL, 0);
	else
		reply(x, status, content_type, buf_slice(body));
}

void reply_created(struct exchange *x, struct slice body)
{
	struct buf *out;

	if (!x->keep_alive || x->version_minor == 0 || x->cors_origin) {
		reply(x, 201, "application/json", body);
		return;
	}
	count_reply(x->front->metrics, 201);
	out = connection_output(x->http->connection);
	buf_append_slice(out, front_created_head(x->front));
	buf_append_int64(out, (int64_t)body.len);
	buf_append_lit(out, "\r\n\r\n");
	buf_append_slice(out, body);
}

int exchange_status(const struct exchange *x)
{
	const struct refusal *r = refusal_of(x);

	return r ? r->status : err_http_status(x->fault.code);
}

void problem_of(const struct exchange *x, const struct problem_member *members, size_t member_count,
                struct buf *out)
{
	struct problem problem = {
		.code = x->fault.code,
		.status = exchange_status(x),
		.members = members,
		.member_count = member_count,
	};
	const struct refusal *r = refusal_of(x);
	char detail[sizeof(x->fault.where) + 64];
	char id[24];

	if (x->fault.os_errno)
		snprintf(detail, sizeof(detail), "%s (%s)", x->fault.where,
		         strerror(x->fault.os_errno));
	else
		snprintf(detail, sizeof(detail), "%s", x->fault.where);
	snprintf(id, sizeof(id), "%016llx", (unsigned long long)x->request_id);
	problem.detail = r ? r->detail : slice_str(detail);
	problem.request_id = slice_str(id);
	problem_append(out, &problem);
}

static void say_refused(struct exchange *x, int status)
{
	struct front *f = x->front;
	char text[320];

	log_limited(f->log, &f->refusals, status >= 500 ? LOG_WARN : LOG_INFO, "http",
	            "refused %s %s%s%s: %d %s: %s request=%016llx peer=%s",
	            http_method_name(x->method), x->route ? x->route->pattern : "?",
	            x->name_len ? " name=" : "", x->name, status, err_slug(x->fault.code),
	            fault_text(&x->fault, text, sizeof(text)), (unsigned long long)x->request_id,
	            x->http->connection->caller.peer);
}

static void allow_field(const struct exchange *x, struct buf *out)
{
	uint8_t memory[128];
	struct buf methods = BUF_IN(memory);

	router_allow(x->allow, &methods);
	http_head_field(out, "Allow", buf_slice(&methods));
}

/* An EventSource takes any status but 200 for the end of it, and comes back when a stream ends. No
 * blank line: at one, it would forget the id that it goes on from. */
static void reply_come_back(struct exchange *x)
{
	reply(x, 200, "text/event-stream", SLICE_LIT("retry: 1000\n"));
	say_refused(x, 503);
}

/* A hook's answer as it gave it. */
static bool has_body(const struct refusal *r)
{
	return r && r->body.ptr && http_field_value_ok(r->content_type);
}

static void retry_after_field(const struct exchange *x, int status, struct buf *out)
{
	const struct refusal *r = refusal_of(x);

	if (r && r->retry_after_s > 0)
		http_head_field_int(out, "Retry-After", r->retry_after_s);
	else if (status == 503)
		http_head_field(out, "Retry-After", SLICE_LIT("1"));
}

static void reply_refused(struct exchange *x)
{
	const struct refusal *r = refusal_of(x);
	struct buf *out = reply_begin(x, r->status);

	if (r->content_type.len > 0)
		http_head_field(out, "Content-Type", r->content_type);
	retry_after_field(x, r->status, out);
	reply_end(x, r->body);
	say_refused(x, r->status);
}

void reply_problem(struct exchange *x, const struct problem_member *members, size_t member_count)
{
	int status = exchange_status(x);
	struct buf body = BUF_INIT(4096);
	struct buf *out;

	if (status == 503 && x->event_source) {
		reply_come_back(x);
		return;
	}
	if (has_body(refusal_of(x))) {
		reply_refused(x);
		return;
	}
	front_buf_take(x->front, &body);
	problem_of(x, members, member_count, &body);
	buf_append_lit(&body, "\n"); /* for who reads it at a terminal */
	out = reply_begin(x, status);
	buf_lack(out, &body);
	http_head_field(out, "Content-Type", SLICE_LIT(PROBLEM_CONTENT_TYPE));
	if (status == 405)
		allow_field(x, out);
	retry_after_field(x, status, out);
	if (x->fault.code == ERR_UPGRADE)
		http_head_field(out, "Sec-WebSocket-Version", SLICE_LIT("13"));
	reply_end(x, buf_slice(&body));
	front_buf_give(x->front, &body);
	say_refused(x, status);
}

static void write_refusal(struct exchange *x)
{
	reply_problem(x, NULL, 0);
}
