#include "front/connections.h"

#include "front/connection.h"
#include "wire/json.h"

enum {
	JSON_BYTES_MAX = 8 << 20,
	ROW_BYTES_MAX = 64 << 10, /* 64 subscriptions with names of 249 bytes are a third of it */
};

bool connection_id_parse(struct slice text, struct connection_id *out)
{
	struct slice rest = text;
	struct slice shard_text = slice_cut(&rest, '-');
	int64_t shard;
	int64_t number;

	if (!slice_to_int64(shard_text, &shard) || !slice_to_int64(rest, &number))
		return false;
	if (shard < 0 || shard > UINT16_MAX || number < 1)
		return false;
	*out = (struct connection_id){(unsigned)shard, (uint64_t)number};
	return true;
}

/* --- as JSON ---------------------------------------------------------------------------------- */

void connections_append_subscription(struct buf *json, struct slice topic, int64_t partition,
                                     int64_t next_offset, int64_t lag)
{
	bool first = json->len == 0 || json->ptr[json->len - 1] == '[';

	buf_append_str(json, first ? "{\"topic\":" : ",{\"topic\":");
	json_append_string(json, topic);
	if (partition >= 0) {
		buf_append_lit(json, ",\"partition\":");
		buf_append_int64(json, partition);
		buf_append_lit(json, ",\"next_offset\":");
		buf_append_int64(json, next_offset);
		buf_append_lit(json, ",\"lag\":");
		buf_append_int64(json, lag);
	}
	buf_append_lit(json, "}");
}

static void append_row(struct buf *json, const struct connection *c)
{
	buf_append_str(json, json->len > 0 ? ",{\"id\":\"" : "{\"id\":\"");
	buf_append_int64(json, loop_index(c->front->loop));
	buf_append_lit(json, "-");
	buf_append_int64(json, (int64_t)c->number);
	buf_append_lit(json, "\",\"protocol\":");
	json_append_string(json, slice_str(c->protocol->name(c)));
	buf_append_lit(json, ",\"peer\":");
	json_append_string(json, slice_str(c->caller.peer));
	buf_append_lit(json, ",\"since_ms\":");
	buf_append_int64(json, c->since_ms);
	buf_append_lit(json, ",\"pending_bytes\":");
	buf_append_int64(json, (int64_t)connection_pending(c));
	buf_append_lit(json, ",\"sent_bytes\":");
	buf_append_int64(json, c->sent_bytes);
	buf_append_lit(json, ",\"slow\":");
	buf_append_str(json, c->out_blocked ? "true" : "false");
	buf_append_lit(json, ",\"subscriptions\":[");
	c->protocol->describe(c, json);
	buf_append_lit(json, "]}");
}

/* --- on one shard ----------------------------------------------------------------------------- */

static void list_here(struct connections_request *r, const struct front *f)
{
	LIST_EACH (node, &f->connections) {
		const struct connection *c = LIST_ENTRY(node, struct connection, node);

		if (c->closed)
			continue;
		r->total++;
		if (r->rows == r->limit || r->json.len > JSON_BYTES_MAX - ROW_BYTES_MAX)
			continue;
		r->rows++;
		append_row(&r->json, c);
	}
}

static struct connection *find_here(const struct front *f, struct connection_id id)
{
	if (loop_index(f->loop) != id.shard)
		return NULL;
	LIST_EACH (node, &f->connections) {
		struct connection *c = LIST_ENTRY(node, struct connection, node);

		if (c->number == id.number && !c->closed)
			return c;
	}
	return NULL;
}

static void look_here(struct connections_request *r, struct front *f)
{
	struct connection *c;

	if (r->kind == CONNECTIONS_LIST) {
		list_here(r, f);
		return;
	}
	c = find_here(f, r->id);
	if (!c)
		return;
	r->found = true;
	if (r->kind == CONNECTIONS_SHOW)
		append_row(&r->json, c);
	else
		connection_kick(c);
}

/* --- from shard to shard ---------------------------------------------------------------------- */

static void come_home(struct message *m)
{
	struct connections_request *r = CONTAINER_OF(m, struct connections_request, message);

	r->done(r);
}

static void visit(struct message *m)
{
	struct connections_request *r = CONTAINER_OF(m, struct connections_request, message);
	const struct front_config *config = &r->home->config;

	look_here(r, config->fronts[r->at]);
	r->at++;
	if (r->found || r->at == config->shard_count) {
		m->deliver = come_home;
		loop_post(r->home->loop, m);
	} else {
		loop_post(config->fronts[r->at]->loop, m);
	}
}

void connections_ask(struct connections_request *r)
{
	r->json.limit = JSON_BYTES_MAX;
	r->message.deliver = visit;
	loop_post(r->home->config.fronts[0]->loop, &r->message);
}
