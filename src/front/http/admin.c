/* What the people and programs that run a broker ask: /livez /readyz /metrics /v1/info,
 * POST /v1/admin/snapshot; and OPTIONS of any address. */
#include "broker/admin.h"
#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/params.h"
#include "hook/hook.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { INFO_BYTES_MAX = 1 << 20 };

/* --- is it there ------------------------------------------------------------------------------ */

static void write_ok(struct exchange *x)
{
	reply(x, 200, "text/plain; charset=utf-8", SLICE_LIT("ok\n"));
}

static const struct exchange_ops ok_ops = {
	.write = write_ok,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = exchange_nothing,
};

void livez_handle(struct exchange *x, const struct http_request *r)
{
	(void)r;
	x->ops = &ok_ops;
	exchange_answer(x);
}

void readyz_handle(struct exchange *x, const struct http_request *r)
{
	if (x->front->stopping)
		exchange_refuse(x, ERR_SHUTTING_DOWN, "%s", "");
	else if (!x->front->broker)
		exchange_refuse(x, ERR_NOT_READY, "%s", "");
	else
		livez_handle(x, r);
}

/* --- metrics ---------------------------------------------------------------------------------- */

static void write_metrics(struct exchange *x)
{
	const struct front_config *config = &x->front->config;
	struct buf body = BUF_INIT(INFO_BYTES_MAX);

	front_buf_take(x->front, &body);
	metrics_render(&body, config->metrics, config->shard_count);
	if (config->hooks)
		hooks_render(&body, config->hooks, config->shard_count);
	reply_buf(x, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
	front_buf_give(x->front, &body);
}

static const struct exchange_ops metrics_ops = {
	.write = write_metrics,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = exchange_nothing,
};

void metrics_handle(struct exchange *x, const struct http_request *r)
{
	(void)r;
	x->ops = &metrics_ops;
	exchange_answer(x);
}

/* --- OPTIONS ---------------------------------------------------------------------------------- */

static void write_options(struct exchange *x)
{
	uint8_t memory[128];
	struct buf methods = BUF_IN(memory);
	struct buf *out = reply_begin(x, 204);

	router_allow(x->allow, &methods);
	http_head_field(out, "Allow", buf_slice(&methods));
	if (x->cors_origin) {
		http_head_field(out, "Access-Control-Allow-Methods", buf_slice(&methods));
		http_head_field(out, "Access-Control-Allow-Headers", SLICE_LIT("*"));
		http_head_field(out, "Access-Control-Max-Age", SLICE_LIT("600"));
	}
	http_head_end(out);
}

static const struct exchange_ops options_ops = {
	.write = write_options,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = exchange_nothing,
};

static void options_handle(struct exchange *x, const struct http_request *r)
{
	(void)r;
	x->ops = &options_ops;
	exchange_answer(x);
}

const struct route options_route = {HTTP_METHOD_OPTIONS, "*", 0, options_handle};

/* --- what the broker knows of itself ---------------------------------------------------------- */

struct admin_request {
	struct exchange *x;
	struct admin admin;
};

static void append_capabilities(struct buf *out, const struct front_config *config)
{
	for (size_t i = 0; i < config->capability_count; i++) {
		buf_append_str(out, i ? "," : "");
		json_append_string(out, slice_str(config->capabilities[i]));
	}
}

static void append_fenced(struct buf *out, const struct admin *a)
{
	const char *before = "";
	char text[320];

	for (size_t i = 0; i < a->fenced_count; i++) {
		const struct topic_description *t = &a->fenced[i];

		for (uint32_t j = 0; j < t->spec.partition_count; j++) {
			buf_append_str(out, before);
			buf_append_lit(out, "{\"topic\":");
			json_append_string(out, slice_str(t->spec.name));
			buf_append_lit(out, ",\"partition\":");
			buf_append_int64(out, t->partitions[j].partition);
			buf_append_lit(out, ",\"reason\":");
			json_append_string(out, slice_str(fault_text(&t->partitions[j].fenced, text,
			                                             sizeof(text))));
			buf_append_lit(out, "}");
			before = ",";
		}
	}
}

static void append_limits(struct buf *out, const struct front_limits *l)
{
	buf_printf(out,
	           "{\"event_bytes\":%zu,\"body_bytes\":%zu,\"message_bytes\":%zu,"
	           "\"output_bytes\":%zu,\"request_events\":%u,\"pipelined\":%u}",
	           l->event_bytes, l->body_bytes, l->message_bytes, l->output_bytes,
	           l->request_events, l->pipelined);
}

static void write_info(struct exchange *x)
{
	const struct front_config *config = &x->front->config;
	struct admin_request *a = x->state;
	struct buf body = BUF_INIT(INFO_BYTES_MAX);

	if (x->fault.code) {
		reply_problem(x, NULL, 0);
		return;
	}
	front_buf_take(x->front, &body);
	buf_append_lit(&body, "{\"name\":\"bourn\",\"version\":");
	json_append_string(&body, slice_str(config->version));
	buf_printf(&body, ",\"shards\":%u,\"topics\":%zu", config->shard_count,
	           broker_topic_count(x->front->broker));
	buf_append_lit(&body, ",\"storage\":{\"type\":");
	json_append_string(&body, slice_str(config->engine));
	buf_append_lit(&body, ",\"capabilities\":[");
	append_capabilities(&body, config);
	buf_append_lit(&body, "]},\"fenced\":[");
	append_fenced(&body, &a->admin);
	buf_append_lit(&body, "],\"limits\":");
	append_limits(&body, &config->limits);
	buf_append_lit(&body, "}\n");
	reply_buf(x, 200, "application/json", &body);
	front_buf_give(x->front, &body);
}

static void write_snapshot(struct exchange *x)
{
	struct admin_request *a = x->state;
	uint8_t memory[64];
	struct buf body = BUF_IN(memory);

	if (x->fault.code) {
		reply_problem(x, NULL, 0);
		return;
	}
	buf_append_lit(&body, "{\"bytes\":");
	buf_append_int64(&body, a->admin.snapshot_bytes);
	buf_append_lit(&body, "}\n");
	reply(x, 200, "application/json", buf_slice(&body));
}

static void admin_fini(struct exchange *x)
{
	struct admin_request *a = x->state;

	broker_admin_fini(&a->admin);
	free(a);
}

static const struct exchange_ops info_ops = {
	.write = write_info,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = admin_fini,
};

static const struct exchange_ops snapshot_ops = {
	.write = write_snapshot,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = admin_fini,
};

static void admin_done(struct admin *admin)
{
	struct admin_request *a = CONTAINER_OF(admin, struct admin_request, admin);

	if (admin->fault.code)
		a->x->fault = admin->fault;
	exchange_home(a->x);
}

static void ask_broker(struct exchange *x, enum admin_kind kind, const struct exchange_ops *ops)
{
	struct admin_request *a = calloc(1, sizeof(*a));

	if (!a) {
		exchange_refuse(x, ERR_NO_MEMORY, "admin");
		return;
	}
	a->x = x;
	a->admin = (struct admin){
		.broker = x->front->broker,
		.caller = exchange_caller(x),
		.kind = kind,
		.done = admin_done,
	};
	x->state = a;
	x->ops = ops;
	x->busy = true;
	broker_admin(&a->admin);
}

void info_handle(struct exchange *x, const struct http_request *r)
{
	if (params_none(r->query, &x->fault))
		exchange_answer(x);
	else
		ask_broker(x, ADMIN_FENCED, &info_ops);
}

void snapshot_handle(struct exchange *x, const struct http_request *r)
{
	if (params_none(r->query, &x->fault))
		exchange_answer(x);
	else
		ask_broker(x, ADMIN_SNAPSHOT, &snapshot_ops);
}
