/* /v1/admin/backups: the broker's data as of one moment, as data directories of their own.
 *
 *   POST   /v1/admin/backup          {"name":"monday"}, optional: else the time is its name
 *                                    201 {"name","path","bytes","files","topics","took_ms"}
 *   GET    /v1/admin/backups         {"backups":[{"name","path","bytes","files","topics",
 *                                    "created_at"}]}, by name
 *   DELETE /v1/admin/backups/{name}  204 */
#include "broker/admin.h"
#include "front/http/body.h"
#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/params.h"
#include "wire/json.h"
#include "wire/timefmt.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIST_BYTES_MAX = 8 << 20 };

struct backup_request {
	struct exchange *x;
	struct admin admin;
};

/* --- answers ---------------------------------------------------------------------------------- */

/* Whole, so that it is right wherever the client is. */
static void append_path(struct buf *out, const struct backup_request *b,
                        const struct store_backup *backup)
{
	const char *root = b->admin.backup_root;
	struct buf path = BUF_INIT(LIST_BYTES_MAX);

	if (root[0] != '/')
		buf_printf(&path, "%s/", b->x->front->config.cwd);
	if (strncmp(root, "./", 2) == 0)
		root += 2;
	buf_printf(&path, "%s/%s", root, backup->name);
	json_append_string(out, buf_slice(&path));
	buf_lack(out, &path);
	buf_fini(&path);
}

static void append_backup(struct buf *out, const struct backup_request *b,
                          const struct store_backup *backup)
{
	buf_append_lit(out, "{\"name\":");
	json_append_string(out, slice_str(backup->name));
	buf_append_lit(out, ",\"path\":");
	append_path(out, b, backup);
	buf_printf(out, ",\"bytes\":%lld,\"files\":%lld,\"topics\":%lld", (long long)backup->bytes,
	           (long long)backup->file_count, (long long)backup->topic_count);
}

static void write_made(struct exchange *x, const struct backup_request *b, struct buf *body)
{
	append_backup(body, b, &b->admin.backups[0]);
	buf_printf(body, ",\"took_ms\":%lld}\n", (long long)b->admin.backup_ms);
	reply_buf(x, 201, "application/json", body);
}

static void write_list(struct exchange *x, const struct backup_request *b, struct buf *body)
{
	buf_append_lit(body, "{\"backups\":[");
	for (size_t i = 0; i < b->admin.backup_count; i++) {
		const struct store_backup *backup = &b->admin.backups[i];

		buf_append_str(body, i ? "," : "");
		append_backup(body, b, backup);
		buf_printf(body, ",\"created_at\":%lld}", (long long)backup->created_at_ms);
	}
	buf_append_lit(body, "]}\n");
	reply_buf(x, 200, "application/json", body);
}

static void backup_write(struct exchange *x)
{
	const struct backup_request *b = x->state;
	struct buf body = BUF_INIT(LIST_BYTES_MAX);

	if (x->fault.code) {
		reply_problem(x, NULL, 0);
		return;
	}
	if (b->admin.kind == ADMIN_BACKUP_REMOVE) {
		http_head_end(reply_begin(x, 204));
		return;
	}
	front_buf_take(x->front, &body);
	if (b->admin.kind == ADMIN_BACKUP_MAKE)
		write_made(x, b, &body);
	else
		write_list(x, b, &body);
	front_buf_give(x->front, &body);
}

static void backup_fini(struct exchange *x)
{
	struct backup_request *b = x->state;

	broker_admin_fini(&b->admin);
	free(b);
}

static const struct exchange_ops backup_ops = {
	.write = backup_write,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = backup_fini,
};

/* --- requests --------------------------------------------------------------------------------- */

static void backup_done(struct admin *a)
{
	struct backup_request *b = CONTAINER_OF(a, struct backup_request, admin);

	if (a->fault.code)
		b->x->fault = a->fault;
	exchange_home(b->x);
}

/* Of the name in `x`. */
static void ask_broker(struct exchange *x, enum admin_kind kind)
{
	struct backup_request *b = calloc(1, sizeof(*b));

	if (!b) {
		exchange_refuse(x, ERR_NO_MEMORY, "backup");
		return;
	}
	b->x = x;
	b->admin = (struct admin){
		.broker = x->front->broker,
		.caller = exchange_caller(x),
		.kind = kind,
		.name = exchange_name(x),
		.done = backup_done,
	};
	x->state = b;
	x->ops = &backup_ops;
	x->busy = true;
	broker_admin(&b->admin);
}

/* "2026-11-22T034500Z": sorts by time, and is a name. */
static void name_by_time(struct exchange *x)
{
	const struct civil t = civil_from_ms(loop_now(x->front->loop).wall_ms);

	x->name_len = (size_t)snprintf(x->name, sizeof(x->name), "%04d-%02u-%02uT%02u%02u%02uZ",
	                               t.year, t.month, t.day, t.hour, t.minute, t.second);
}

static enum err take_name(struct exchange *x, struct json_value root)
{
	uint8_t memory[TOPIC_NAME_BYTES_MAX];
	struct buf text = BUF_IN(memory);
	struct json_value name;

	if (!json_object_get(root, "name", &name)) {
		name_by_time(x);
		return OK;
	}
	if (name.kind != JSON_STRING || !json_string_decode(name.raw, &text) || text.failed)
		return fault_set(&x->fault, ERR_BAD_REQUEST, 0,
		                 "name is not a string of at most %d bytes", TOPIC_NAME_BYTES_MAX);
	memcpy(x->name, text.ptr, text.len);
	x->name_len = text.len;
	x->name[text.len] = '\0';
	return OK;
}

void backup_make_handle(struct exchange *x, const struct http_request *r)
{
	static const char *const known[] = {"name"};
	struct json_value root;

	if (params_none(r->query, &x->fault) ||
	    body_parse(r->body, known, ARRAY_COUNT(known), &root, &x->fault) || take_name(x, root))
		exchange_answer(x);
	else
		ask_broker(x, ADMIN_BACKUP_MAKE);
}

void backups_list_handle(struct exchange *x, const struct http_request *r)
{
	if (params_none(r->query, &x->fault))
		exchange_answer(x);
	else
		ask_broker(x, ADMIN_BACKUP_LIST);
}

void backup_remove_handle(struct exchange *x, const struct http_request *r)
{
	if (params_none(r->query, &x->fault))
		exchange_answer(x);
	else
		ask_broker(x, ADMIN_BACKUP_REMOVE);
}
