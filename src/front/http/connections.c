/* /v1/connections: who is connected, and closing one.
 *
 *   GET    /v1/connections       {"connections":[{"id","protocol",…}],"total":n}; ?limit=
 *   GET    /v1/connections/{id}  one of them
 *   DELETE /v1/connections/{id}  204; a WebSocket is told 1008, a stream ends */
#include "front/connections.h"
#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/params.h"

#include <stdlib.h>

enum { LIMIT_DEFAULT = 1000, LIMIT_MAX = 10000, BODY_BYTES_MAX = 9 << 20 };

struct asked {
	struct exchange *x;
	struct connections_request request;
};

static void write_list(struct exchange *x)
{
	const struct asked *a = x->state;
	struct buf body = BUF_INIT(BODY_BYTES_MAX);

	front_buf_take(x->front, &body);
	buf_append_lit(&body, "{\"connections\":[");
	buf_append_slice(&body, buf_slice(&a->request.json));
	buf_lack(&body, &a->request.json);
	buf_append_lit(&body, "],\"total\":");
	buf_append_int64(&body, (int64_t)a->request.total);
	buf_append_lit(&body, "}\n");
	reply_buf(x, 200, "application/json", &body);
	front_buf_give(x->front, &body);
}

static void write_one(struct exchange *x)
{
	struct asked *a = x->state;

	if (x->fault.code) {
		reply_problem(x, NULL, 0);
		return;
	}
	buf_append_lit(&a->request.json, "\n");
	reply_buf(x, 200, "application/json", &a->request.json);
}

static void write_kicked(struct exchange *x)
{
	if (x->fault.code)
		reply_problem(x, NULL, 0);
	else
		http_head_end(reply_begin(x, 204));
}

static void asked_fini(struct exchange *x)
{
	struct asked *a = x->state;

	buf_fini(&a->request.json);
	free(a);
}

static const struct exchange_ops list_ops = {
	.write = write_list,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = asked_fini,
};

static const struct exchange_ops one_ops = {
	.write = write_one,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = asked_fini,
};

static const struct exchange_ops kick_ops = {
	.write = write_kicked,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = asked_fini,
};

static void answered(struct connections_request *r)
{
	struct asked *a = CONTAINER_OF(r, struct asked, request);

	if (r->kind != CONNECTIONS_LIST && !r->found)
		fault_set(&a->x->fault, ERR_CONNECTION_UNKNOWN, 0, "'%s'", a->x->name);
	exchange_home(a->x);
}

static void ask(struct exchange *x, const struct connections_request *request,
                const struct exchange_ops *ops)
{
	enum err err = broker_authorize(exchange_caller(x), OPERATION_ADMIN, SLICE_NONE);
	struct asked *a = err ? NULL : malloc(sizeof(*a));

	if (!a) {
		exchange_refuse(x, err ? err : ERR_NO_MEMORY, "connections");
		return;
	}
	a->x = x;
	a->request = *request;
	a->request.home = x->front;
	a->request.done = answered;
	x->state = a;
	x->ops = ops;
	x->busy = true;
	connections_ask(&a->request);
}

static enum err take_limit(struct exchange *x, const struct http_request *r, int64_t *limit)
{
	static const char *const known[] = {"limit"};
	struct params params;
	enum err err = params_parse(r->query, known, ARRAY_COUNT(known), &params, &x->fault);

	if (err)
		return err;
	err = params_int(&params, "limit", 1, INT64_MAX, limit, &x->fault);
	params_fini(&params);
	return err;
}

void connections_list_handle(struct exchange *x, const struct http_request *r)
{
	struct connections_request request = {.kind = CONNECTIONS_LIST};
	int64_t limit = LIMIT_DEFAULT;

	if (take_limit(x, r, &limit)) {
		exchange_answer(x);
		return;
	}
	request.limit = limit < LIMIT_MAX ? (size_t)limit : LIMIT_MAX;
	ask(x, &request, &list_ops);
}

static void ask_for_one(struct exchange *x, const struct http_request *r,
                        enum connections_kind kind, const struct exchange_ops *ops)
{
	struct connections_request request = {.kind = kind};

	if (params_none(r->query, &x->fault))
		exchange_answer(x);
	else if (connection_id_parse(exchange_name(x), &request.id))
		ask(x, &request, ops);
	else
		exchange_refuse(x, ERR_CONNECTION_UNKNOWN, "'%s'", x->name);
}

void connection_get_handle(struct exchange *x, const struct http_request *r)
{
	ask_for_one(x, r, CONNECTIONS_SHOW, &one_ops);
}

void connection_delete_handle(struct exchange *x, const struct http_request *r)
{
	ask_for_one(x, r, CONNECTIONS_KICK, &kick_ops);
}
