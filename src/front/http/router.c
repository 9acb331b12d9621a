#include "front/http/router.h"

#include "front/http/handlers.h"
#include "wire/url.h"

#define GET    HTTP_METHOD_GET
#define POST   HTTP_METHOD_POST
#define PUT    HTTP_METHOD_PUT
#define PATCH  HTTP_METHOD_PATCH
#define DELETE HTTP_METHOD_DELETE

static void not_built(struct exchange *x, const struct http_request *r)
{
	(void)r;
	exchange_refuse(x, ERR_NOT_IMPLEMENTED, "%s", x->route->pattern);
}

/* In the order they are tried: the hot ones first. */
static const struct route routes[] = {
	{POST, "/produce/{t}", ROUTE_CONCURRENT | ROUTE_EVENTS, produce_handle},
	{POST, "/v1/topics/{t}/events", ROUTE_CONCURRENT | ROUTE_EVENTS, produce_handle},
	{GET, "/consume/{t}", 0, consume_handle},
	{GET, "/v1/topics/{t}/events", 0, consume_handle},
	{GET, "/v1/topics/{t}/events/{offset}", 0, event_handle},
	{GET, "/v1/topics/{t}/batches", 0, batches_get_handle},
	{POST, "/v1/topics/{t}/batches", ROUTE_CONCURRENT | ROUTE_BATCHES, batches_post_handle},
	{GET, "/subscribe/{t}", ROUTE_WEBSOCKET, ws_subscribe_handle},
	{GET, "/subscribe/{t}", ROUTE_STREAM, stream_handle},
	{GET, "/produce/{t}", ROUTE_WEBSOCKET, ws_produce_handle},
	{GET, "/v1/subscribe", ROUTE_WEBSOCKET, ws_subscribe_handle},
	{GET, "/v1/subscribe", ROUTE_STREAM, stream_handle},
	{GET, "/v1/topics", 0, topics_list_handle},
	{GET, "/v1/topics/{t}", 0, topic_get_handle},
	{PUT, "/v1/topics/{t}", 0, topic_put_handle},
	{PATCH, "/v1/topics/{t}", 0, topic_patch_handle},
	{DELETE, "/v1/topics/{t}", 0, topic_delete_handle},
	{POST, "/v1/topics/{t}/purge", 0, topic_purge_handle},
	{GET, "/livez", ROUTE_ALWAYS, livez_handle},
	{GET, "/readyz", ROUTE_ALWAYS, readyz_handle},
	{GET, "/metrics", ROUTE_ALWAYS, metrics_handle},
	{GET, "/v1/info", 0, info_handle},
	{POST, "/v1/admin/snapshot", 0, snapshot_handle},
	{POST, "/v1/admin/backup", 0, backup_make_handle},
	{GET, "/v1/admin/backups", 0, backups_list_handle},
	{DELETE, "/v1/admin/backups/{name}", 0, backup_remove_handle},
	{GET, "/v1/openapi.yaml", 0, not_built},
	{GET, "/v1/connections", 0, connections_list_handle},
	{GET, "/v1/connections/{id}", 0, connection_get_handle},
	{DELETE, "/v1/connections/{id}", 0, connection_delete_handle},
	{GET, "/v1/groups", 0, not_built},
	{GET, "/v1/groups/{g}", 0, not_built},
	{PUT, "/v1/groups/{g}", 0, not_built},
	{DELETE, "/v1/groups/{g}", 0, not_built},
	{GET, "/v1/groups/{g}/offsets/{t}", 0, not_built},
	{PUT, "/v1/groups/{g}/offsets/{t}", 0, not_built},
	{POST, "/v1/groups/{g}/fetch", 0, not_built},
	{POST, "/v1/groups/{g}/ack", 0, not_built},
	{POST, "/v1/groups/{g}/nack", 0, not_built},
	{POST, "/v1/groups/{g}/extend", 0, not_built},
	{GET, "/", 0, greeting_handle},
};

#undef GET
#undef POST
#undef PUT
#undef PATCH
#undef DELETE

enum {
	PATH_PARAMETERS_MAX = 2,
	PATH_BYTES_SHOWN = 100,
	ALLOW_BYTES_MAX = 128, /* all methods there are */
};

/* True when `path` has the pattern's shape; the parameters' segments are left encoded. */
static bool matches(const char *pattern, struct slice path,
                    struct slice parameters[PATH_PARAMETERS_MAX])
{
	const uint8_t *at = path.ptr;
	const uint8_t *end = path.ptr + path.len;
	size_t count = 0;

	while (*pattern) {
		if (*pattern == '{') {
			const uint8_t *segment = at;

			while (at < end && *at != '/')
				at++;
			parameters[count++] = slice_of(segment, (size_t)(at - segment));
			pattern = strchr(pattern, '}') + 1;
		} else if (at < end && *at == (uint8_t)*pattern) {
			at++;
			pattern++;
		} else {
			return false;
		}
	}
	return at == end;
}

static bool serves(const struct route *route, const struct http_request *r)
{
	enum http_method method = r->method == HTTP_METHOD_HEAD ? HTTP_METHOD_GET : r->method;

	if (route->method != method)
		return false;
	return !(route->flags & ROUTE_WEBSOCKET) || r->upgrade_websocket;
}

static void take_name(struct exchange *x, struct slice raw)
{
	uint8_t decoded[3 * TOPIC_NAME_BYTES_MAX];
	size_t len = 0;

	if (raw.len > sizeof(decoded)) {
		len = raw.len;
	} else if (!url_decode(raw, decoded, &len)) {
		fault_set(&x->fault, ERR_BAD_TOPIC, 0, "'%.*s' has a bad escape", SLICE_FMT(raw));
		return;
	}
	if (len > TOPIC_NAME_BYTES_MAX) {
		fault_set(&x->fault, ERR_BAD_TOPIC, 0, "it is longer than %d bytes",
		          TOPIC_NAME_BYTES_MAX);
		return;
	}
	memcpy(x->name, decoded, len);
	x->name[len] = '\0';
	x->name_len = len;
}

static void take_argument(struct exchange *x, struct slice raw)
{
	uint8_t decoded[3 * KNOWN_ARGUMENT_BYTES];
	size_t len = 0;

	if (raw.len > sizeof(decoded) || !url_decode(raw, decoded, &len) ||
	    len >= sizeof(x->argument)) {
		fault_set(&x->fault, ERR_NOT_FOUND, 0, "'%.*s'", SLICE_FMT(raw));
		return;
	}
	memcpy(x->argument, decoded, len);
	x->argument[len] = '\0';
}

static unsigned methods_of(struct slice path)
{
	struct slice parameters[PATH_PARAMETERS_MAX];
	unsigned methods = 0;

	for (size_t i = 0; i < ARRAY_COUNT(routes); i++)
		if (!(routes[i].flags & ROUTE_WEBSOCKET) &&
		    matches(routes[i].pattern, path, parameters))
			methods |= 1U << routes[i].method;
	if (methods & 1U << HTTP_METHOD_GET)
		methods |= 1U << HTTP_METHOD_HEAD;
	if (methods)
		methods |= 1U << HTTP_METHOD_OPTIONS;
	return methods;
}

/* Of a long path the beginning, so that what is said after it has its place. */
static int path_length(const struct http_request *r)
{
	return r->path.len < PATH_BYTES_SHOWN ? (int)r->path.len : PATH_BYTES_SHOWN;
}

static void find_no_route(struct exchange *x, const struct http_request *r)
{
	bool everything = slice_eq(r->path, SLICE_LIT("*"));
	uint8_t memory[ALLOW_BYTES_MAX];
	struct buf allowed = BUF_IN(memory);

	x->allow = everything ? 1U << HTTP_METHOD_OPTIONS : methods_of(r->path);
	if (!x->allow) {
		fault_set(&x->fault, ERR_NOT_FOUND, 0, "'%.*s'; GET / says what there is",
		          path_length(r), (const char *)r->path.ptr);
	} else if (r->method != HTTP_METHOD_OPTIONS) {
		router_allow(x->allow, &allowed);
		fault_set(&x->fault, ERR_METHOD, 0, "%s '%.*s'; allowed: %.*s",
		          http_method_name(r->method), path_length(r), (const char *)r->path.ptr,
		          SLICE_FMT(buf_slice(&allowed)));
	} else {
		x->route = &options_route;
	}
}

void router_find(struct exchange *x, const struct http_request *r)
{
	for (size_t i = 0; i < ARRAY_COUNT(routes); i++) {
		struct slice parameters[PATH_PARAMETERS_MAX] = {SLICE_NONE, SLICE_NONE};

		if (!serves(&routes[i], r) || !matches(routes[i].pattern, r->path, parameters))
			continue;
		x->route = &routes[i];
		if (parameters[0].ptr)
			take_name(x, parameters[0]);
		if (parameters[1].ptr)
			take_argument(x, parameters[1]);
		return;
	}
	find_no_route(x, r);
}

void router_allow(unsigned methods, struct buf *out)
{
	const char *before = "";

	for (unsigned method = 0; method < HTTP_METHOD_OTHER; method++) {
		if (!(methods & 1U << method))
			continue;
		buf_append_str(out, before);
		buf_append_str(out, http_method_name((enum http_method)method));
		before = ", ";
	}
}
