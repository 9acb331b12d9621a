/* /v1/topics and /v1/topics/{t}: what topics there are, and changing them.
 *
 *   GET    /v1/topics         {"topics":[{"name","partitions":3,…}],"next":name}; ?after= &limit=
 *   GET    /v1/topics/{t}     the same of one, "partitions" being a list with their bounds, and what
 *                             each holds, and all of them
 *   PUT    /v1/topics/{t}     {"partitions":3,"settings":{"durability":"os"}}, both optional
 *   PATCH  /v1/topics/{t}     the same: partitions are added, of settings only these change
 *   DELETE /v1/topics/{t}
 *   POST   /v1/topics/{t}/purge  {"partition":0,"upto":17}, both optional: all of it */
#include "broker/admin.h"
#include "front/http/body.h"
#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/params.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	LIST_LIMIT_DEFAULT = 1000,
	LIST_LIMIT_MAX = 10000,
	LIST_PAGE = 64,
	LIST_BYTES_MAX = 8 << 20,
	TOPIC_JSON_BYTES_MAX = 1 << 20,
	SETTING_BYTES_MAX = 1 << 10,
};

/* --- as JSON ---------------------------------------------------------------------------------- */

static void append_string(struct buf *out, const char *text)
{
	json_append_string(out, slice_str(text));
}

static void append_name(struct buf *out, const struct topic_spec *t)
{
	buf_append_lit(out, "{\"name\":");
	append_string(out, t->name);
	buf_append_lit(out, ",\"partitions\":");
}

static void append_rest(struct buf *out, const struct topic_spec *t)
{
	char uuid[UUID_TEXT_LEN + 1];

	buf_append_lit(out, ",\"settings\":{");
	topic_settings_json(&t->settings, out);
	buf_append_lit(out, "},\"engine\":");
	append_string(out, t->engine);
	buf_append_lit(out, ",\"uuid\":");
	append_string(out, uuid_format(&t->uuid, uuid));
	buf_append_lit(out, ",\"created_at\":");
	buf_append_int64(out, t->created_at_ms);
	buf_append_lit(out, "}");
}

/* What a partition, or all of a topic, holds. */
struct held {
	int64_t bytes;
	int64_t segments;
	int64_t earliest_ms; /* as in struct partition_description, as is the next */
	int64_t latest_ms;
};

static struct held held_by(const struct partition_description *p)
{
	return (struct held){p->bytes, p->segments, p->earliest_ms, p->latest_ms};
}

static struct held held_by_all(const struct topic_description *t)
{
	struct held all = {.earliest_ms = -1, .latest_ms = -1};

	for (uint32_t i = 0; i < t->spec.partition_count; i++) {
		struct held one = held_by(&t->partitions[i]);

		all.bytes += one.bytes;
		all.segments += one.segments;
		if (one.earliest_ms >= 0 &&
		    (all.earliest_ms < 0 || one.earliest_ms < all.earliest_ms))
			all.earliest_ms = one.earliest_ms;
		if (one.latest_ms > all.latest_ms)
			all.latest_ms = one.latest_ms;
	}
	return all;
}

static void append_time(struct buf *out, int64_t ms)
{
	if (ms < 0)
		buf_append_lit(out, "null");
	else
		buf_append_int64(out, ms);
}

static void append_held(struct buf *out, struct held h)
{
	buf_append_lit(out, ",\"bytes\":");
	buf_append_int64(out, h.bytes);
	buf_append_lit(out, ",\"segments\":");
	buf_append_int64(out, h.segments);
	buf_append_lit(out, ",\"earliest_ms\":");
	append_time(out, h.earliest_ms);
	buf_append_lit(out, ",\"latest_ms\":");
	append_time(out, h.latest_ms);
}

static void append_partition(struct buf *out, const struct partition_description *p)
{
	char text[320];

	buf_append_lit(out, "{\"partition\":");
	buf_append_int64(out, p->partition);
	buf_append_lit(out, ",\"earliest\":");
	buf_append_int64(out, p->earliest);
	buf_append_lit(out, ",\"high_watermark\":");
	buf_append_int64(out, p->high_watermark);
	append_held(out, held_by(p));
	buf_append_lit(out, ",\"leader_epoch\":");
	buf_append_int64(out, p->leader_epoch);
	buf_append_lit(out, ",\"shard\":");
	buf_append_int64(out, p->shard);
	if (p->fenced.code) {
		buf_append_lit(out, ",\"fenced\":");
		append_string(out, fault_text(&p->fenced, text, sizeof(text)));
	}
	buf_append_lit(out, "}");
}

static void append_description(struct buf *out, const struct topic_description *t)
{
	append_name(out, &t->spec);
	buf_append_lit(out, "[");
	for (uint32_t i = 0; i < t->spec.partition_count; i++) {
		buf_append_str(out, i ? "," : "");
		append_partition(out, &t->partitions[i]);
	}
	buf_append_lit(out, "]");
	append_held(out, held_by_all(t));
	append_rest(out, &t->spec);
}

/* --- the list --------------------------------------------------------------------------------- */

struct list_options {
	char after[TOPIC_NAME_BYTES_MAX + 1]; /* "": from the first */
	int64_t limit;
};

static enum err take_list_query(struct exchange *x, const struct http_request *r,
                                struct list_options *o)
{
	static const char *const known[] = {"after", "limit"};
	struct params params;
	struct slice after;
	enum err err = params_parse(r->query, known, ARRAY_COUNT(known), &params, &x->fault);

	if (err)
		return err;
	o->limit = LIST_LIMIT_DEFAULT;
	err = params_int(&params, "limit", 1, INT64_MAX, &o->limit, &x->fault);
	if (o->limit > LIST_LIMIT_MAX)
		o->limit = LIST_LIMIT_MAX;
	after = params_text(&params, "after");
	snprintf(o->after, sizeof(o->after), "%.*s", SLICE_FMT(after));
	params_fini(&params);
	return err;
}

/* Returns the last name written, to go on from; NULL when there are no more. */
static const char *append_topics(struct exchange *x, const struct list_options *o, struct buf *out)
{
	const struct topic_spec *page[LIST_PAGE];
	struct slice after = o->after[0] ? slice_str(o->after) : SLICE_NONE;
	int64_t left = o->limit;
	size_t count;

	do {
		size_t max = left < LIST_PAGE ? (size_t)left : LIST_PAGE;

		count = broker_topics(x->front->broker, after, max, page);
		for (size_t i = 0; i < count; i++) {
			buf_append_str(out, left-- == o->limit ? "" : ",");
			append_name(out, page[i]);
			buf_append_int64(out, page[i]->partition_count);
			append_rest(out, page[i]);
		}
		if (count > 0)
			after = slice_str(page[count - 1]->name);
		if (count < max)
			return NULL;
	} while (left > 0);
	return (const char *)after.ptr;
}

static void list_write(struct exchange *x)
{
	struct buf *body = x->state;

	if (x->fault.code)
		reply_problem(x, NULL, 0);
	else
		reply(x, 200, "application/json", buf_slice(body));
}

static void list_fini(struct exchange *x)
{
	struct buf *body = x->state;

	buf_fini(body);
	free(body);
}

static const struct exchange_ops list_ops = {
	.write = list_write,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = list_fini,
};

void topics_list_handle(struct exchange *x, const struct http_request *r)
{
	struct list_options options;
	struct buf *body;
	const char *next;

	x->fault.code = broker_authorize(exchange_caller(x), OPERATION_TOPIC_READ, SLICE_NONE);
	if (x->fault.code || take_list_query(x, r, &options)) {
		exchange_answer(x);
		return;
	}
	body = malloc(sizeof(*body));
	if (!body) {
		exchange_refuse(x, ERR_NO_MEMORY, "list");
		return;
	}
	*body = BUF_INIT(LIST_BYTES_MAX);
	buf_append_lit(body, "{\"topics\":[");
	next = append_topics(x, &options, body);
	buf_append_lit(body, "]");
	if (next) {
		buf_append_lit(body, ",\"next\":");
		append_string(body, next);
	}
	buf_append_lit(body, "}\n");
	x->state = body;
	x->ops = &list_ops;
	if (body->failed)
		fault_set(&x->fault, buf_err(body), 0, "ask with a smaller limit");
	exchange_answer(x);
}

/* --- one topic -------------------------------------------------------------------------------- */

/* What is asked of the broker; lives while the broker has it. */
struct topic_request {
	struct exchange *x;
	struct admin admin;
	bool with_body; /* answer with the description; else 204 */
};

static void topic_write(struct exchange *x)
{
	struct topic_request *t = x->state;
	struct buf body = BUF_INIT(TOPIC_JSON_BYTES_MAX);

	if (x->fault.code) {
		reply_problem(x, NULL, 0);
		return;
	}
	if (!t->with_body) {
		http_head_end(reply_begin(x, 204));
		return;
	}
	front_buf_take(x->front, &body);
	append_description(&body, &t->admin.topic);
	buf_append_lit(&body, "\n");
	reply_buf(x, t->admin.created ? 201 : 200, "application/json", &body);
	front_buf_give(x->front, &body);
}

static void topic_fini(struct exchange *x)
{
	struct topic_request *t = x->state;

	broker_admin_fini(&t->admin);
	free(t);
}

static const struct exchange_ops topic_ops = {
	.write = topic_write,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = topic_fini,
};

static void topic_done(struct admin *a)
{
	struct topic_request *t = CONTAINER_OF(a, struct topic_request, admin);

	if (a->fault.code)
		t->x->fault = a->fault;
	exchange_home(t->x);
}

/* `ask` says what is wanted: kind, and what that needs. */
static void ask_broker(struct exchange *x, const struct admin *ask)
{
	struct topic_request *t = calloc(1, sizeof(*t));

	if (!t) {
		exchange_refuse(x, ERR_NO_MEMORY, "topic");
		return;
	}
	t->x = x;
	t->with_body = ask->kind != ADMIN_TOPIC_DELETE;
	t->admin = *ask;
	t->admin.broker = x->front->broker;
	t->admin.caller = exchange_caller(x);
	t->admin.name = exchange_name(x);
	t->admin.done = topic_done;
	x->state = t;
	x->ops = &topic_ops;
	x->busy = true;
	broker_admin(&t->admin);
}

void topic_get_handle(struct exchange *x, const struct http_request *r)
{
	if (params_none(r->query, &x->fault))
		exchange_answer(x);
	else
		ask_broker(x, &(struct admin){.kind = ADMIN_TOPIC_DESCRIBE});
}

void topic_delete_handle(struct exchange *x, const struct http_request *r)
{
	if (params_none(r->query, &x->fault))
		exchange_answer(x);
	else
		ask_broker(x, &(struct admin){.kind = ADMIN_TOPIC_DELETE});
}

static enum err take_setting(struct slice key, struct json_value value, struct buf *text,
                             struct topic_settings *settings, struct fault *f)
{
	struct slice name;
	size_t name_len;

	buf_clear(text);
	if (!json_string_decode(key, text))
		return fault_set(f, ERR_BAD_SETTING, 0, "%.*s", SLICE_FMT(key));
	name_len = text->len;
	if (value.kind == JSON_OBJECT || value.kind == JSON_ARRAY || value.kind == JSON_NULL)
		return fault_set(f, ERR_BAD_SETTING, 0, "%.*s is no string or number",
		                 SLICE_FMT(key));
	if (value.kind != JSON_STRING)
		buf_append_slice(text, value.raw);
	else if (!json_string_decode(value.raw, text))
		return fault_set(f, ERR_BAD_SETTING, 0, "%.*s", SLICE_FMT(value.raw));
	if (text->failed)
		return fault_set(f, ERR_BAD_SETTING, 0, "%.*s is too long", SLICE_FMT(key));
	name = slice_of(text->ptr, name_len);
	return topic_setting_set(settings, name,
	                         slice_of(text->ptr + name_len, text->len - name_len), f);
}

/* The member "settings", {"name":scalar,…}, over what `settings` holds already. */
static enum err take_settings(struct json_value root, struct topic_settings *settings,
                              struct fault *f)
{
	uint8_t memory[SETTING_BYTES_MAX];
	struct buf text = BUF_IN(memory);
	struct json_value object;
	struct json_value value;
	struct json_iter it;
	struct slice key;
	enum err err = OK;

	if (!json_object_get(root, "settings", &object))
		return OK;
	if (object.kind != JSON_OBJECT)
		return fault_set(f, ERR_BAD_SETTING, 0, "settings is not an object");
	json_iter_init(&it, object);
	while (!err && json_iter_next(&it, &key, &value))
		err = take_setting(key, value, &text, settings, f);
	return err;
}

void topic_put_handle(struct exchange *x, const struct http_request *r)
{
	static const char *const known[] = {"partitions", "settings"};
	struct admin ask = {
		.kind = ADMIN_TOPIC_CREATE,
		.settings = broker_default_settings(x->front->broker),
	};
	int64_t partitions = 0;
	struct json_value root;

	if (params_none(r->query, &x->fault) ||
	    body_parse(r->body, known, ARRAY_COUNT(known), &root, &x->fault) ||
	    body_int(root, "partitions", 1, TOPIC_PARTITIONS_MAX, &partitions, &x->fault) ||
	    take_settings(root, &ask.settings, &x->fault)) {
		exchange_answer(x);
		return;
	}
	ask.partition_count = (uint32_t)partitions;
	ask_broker(x, &ask);
}

void topic_patch_handle(struct exchange *x, const struct http_request *r)
{
	static const char *const known[] = {"partitions", "settings"};
	const struct topic_spec *topic = broker_topic(x->front->broker, exchange_name(x));
	struct admin ask = {.kind = ADMIN_TOPIC_ALTER};
	int64_t partitions = 0;
	struct json_value root;

	if (!topic) {
		exchange_refuse(x, ERR_TOPIC_UNKNOWN, "'%s'", x->name);
		return;
	}
	ask.settings = topic->settings;
	ask.before = topic->settings;
	if (params_none(r->query, &x->fault) ||
	    body_parse(r->body, known, ARRAY_COUNT(known), &root, &x->fault) ||
	    body_int(root, "partitions", 1, TOPIC_PARTITIONS_MAX, &partitions, &x->fault) ||
	    take_settings(root, &ask.settings, &x->fault)) {
		exchange_answer(x);
		return;
	}
	ask.partition_count = (uint32_t)partitions;
	ask_broker(x, &ask);
}

void topic_purge_handle(struct exchange *x, const struct http_request *r)
{
	static const char *const known[] = {"partition", "upto"};
	struct admin ask = {.kind = ADMIN_TOPIC_PURGE, .upto = -1};
	int64_t partition = -1;
	struct json_value root;

	if (params_none(r->query, &x->fault) ||
	    body_parse(r->body, known, ARRAY_COUNT(known), &root, &x->fault) ||
	    body_int(root, "partition", 0, TOPIC_PARTITIONS_MAX - 1, &partition, &x->fault) ||
	    body_int(root, "upto", 0, INT64_MAX, &ask.upto, &x->fault)) {
		exchange_answer(x);
		return;
	}
	ask.partition = (int32_t)partition;
	ask_broker(x, &ask);
}
