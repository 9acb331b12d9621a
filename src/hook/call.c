#include "hook/call.h"

#include "base/varint.h"
#include "hook/hook.h"
#include "wire/http_write.h"
#include "wire/json.h"
#include "wire/media_type.h"

#include <stdlib.h>

enum { LIST_SPARE = 8, HEADERS_BYTES_MAX = 1 << 20 };

static const struct slice content_type_name = SLICE_LIT("content-type");

/* --- headers ---------------------------------------------------------------------------------- */

static bool decode(struct call *c)
{
	struct call_headers *h = &c->headers;
	struct slice rest = h->encoded;
	struct bourn_header *list;
	struct header header;
	uint32_t count = 0;

	if (h->list || h->count == 0)
		return true;
	list = arena_alloc(c->arena, h->count * sizeof(*list));
	if (!list)
		return false;
	while (count < h->count && header_next(&rest, &header))
		list[count++] =
			(struct bourn_header){slice_out(header.name), slice_out(header.value)};
	h->list = list;
	h->count = count;
	return true;
}

/* Have a list that can be changed, with room for one more. What it was before stays as it is. */
static bool own_list(struct call *c)
{
	struct call_headers *h = &c->headers;
	struct bourn_header *list;

	if (!decode(c))
		return false;
	if (h->count < h->cap)
		return true;
	list = arena_alloc(c->arena, (2 * h->count + LIST_SPARE) * sizeof(*list));
	if (!list)
		return false;
	if (h->count > 0)
		memcpy(list, h->list, h->count * sizeof(*list));
	h->list = list;
	h->cap = 2 * h->count + LIST_SPARE;
	return true;
}

static bool is_name(const struct call *c, struct bourn_slice a, struct slice b)
{
	return c->any_case ? slice_eq_nocase(slice_in(a), b) : slice_eq(slice_in(a), b);
}

static bool find(struct call *c, struct slice name, uint32_t *index)
{
	struct call_headers *h = &c->headers;

	if (!decode(c))
		return false;
	for (uint32_t i = 0; i < h->count; i++) {
		if (!is_name(c, h->list[i].name, name))
			continue;
		*index = i;
		return true;
	}
	return false;
}

static void drop_from(struct call *c, struct slice name, uint32_t first)
{
	struct call_headers *h = &c->headers;
	uint32_t kept = first;

	for (uint32_t i = first; i < h->count; i++)
		if (!is_name(c, h->list[i].name, name))
			h->list[kept++] = h->list[i];
	h->count = kept;
}

const struct bourn_header *call_headers(struct call *c, uint32_t *count)
{
	bool decoded = decode(c);

	*count = decoded ? c->headers.count : 0;
	return decoded ? c->headers.list : NULL;
}

static uint32_t host_header_count(struct bourn_call *pub)
{
	return call_of(pub)->headers.count;
}

static struct bourn_header host_header_at(struct bourn_call *pub, uint32_t index)
{
	uint32_t count;
	const struct bourn_header *list = call_headers(call_of(pub), &count);

	return index < count ? list[index] : (struct bourn_header){{NULL, 0}, {NULL, 0}};
}

static int host_header_get(struct bourn_call *pub, struct bourn_slice name,
                           struct bourn_slice *value)
{
	struct call *c = call_of(pub);
	uint32_t i;

	if (!find(c, slice_in(name), &i))
		return 0;
	*value = c->headers.list[i].value;
	return 1;
}

static int host_header_remove(struct bourn_call *pub, struct bourn_slice name)
{
	struct call *c = call_of(pub);
	uint32_t i;

	if (!find(c, slice_in(name), &i))
		return 1;
	if (!own_list(c))
		return 0;
	drop_from(c, slice_in(name), i);
	c->headers.changed = true;
	return 1;
}

static int host_header_set(struct bourn_call *pub, struct bourn_slice name,
                           struct bourn_slice value)
{
	struct call *c = call_of(pub);
	struct bourn_header header;
	struct slice copied_name, copied_value;
	uint32_t i;

	if (name.len == 0 || !arena_copy(c->arena, slice_in(name), &copied_name) ||
	    !arena_copy(c->arena, slice_in(value), &copied_value) || !own_list(c))
		return 0;
	header = (struct bourn_header){slice_out(copied_name), slice_out(copied_value)};
	if (find(c, copied_name, &i)) {
		drop_from(c, copied_name, i + 1);
		c->headers.list[i] = header;
	} else {
		c->headers.list[c->headers.count++] = header;
	}
	c->headers.changed = true;
	return 1;
}

/* --- the rest of the host's table ------------------------------------------------------------- */

static void *host_alloc(struct bourn_call *pub, size_t bytes)
{
	return arena_alloc(call_of(pub)->arena, bytes);
}

static enum bourn_verdict host_refuse(struct bourn_call *pub, int status, const char *detail)
{
	struct call *c = call_of(pub);

	c->refusal.status = status;
	if (!arena_copy(c->arena, slice_str(detail), &c->refusal.detail))
		c->refusal.detail = SLICE_NONE;
	return BOURN_REFUSE;
}

static void host_retry_after(struct bourn_call *pub, uint32_t seconds)
{
	call_of(pub)->refusal.retry_after_s = seconds;
}

static void host_log(struct bourn_call *pub, enum bourn_level level, const char *text)
{
	const struct call *c = call_of(pub);

	hook_log(c->hook, (enum log_level)level, text);
}

const struct bourn_host call_host = {
	.bytes = sizeof(call_host),
	.alloc = host_alloc,
	.header_count = host_header_count,
	.header_at = host_header_at,
	.header_get = host_header_get,
	.header_set = host_header_set,
	.header_remove = host_header_remove,
	.refuse = host_refuse,
	.retry_after = host_retry_after,
	.log = host_log,
};

/* --- refusals --------------------------------------------------------------------------------- */

static struct slice copy_behind(uint8_t **at, struct slice s)
{
	struct slice copy = {s.ptr ? *at : NULL, s.len};

	if (s.len > 0)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return copy;
}

struct refusal *refusal_copy(const struct refusal *r)
{
	struct refusal *copy =
		malloc(sizeof(*copy) + r->detail.len + r->body.len + r->content_type.len);
	uint8_t *at = (uint8_t *)(copy + 1);

	if (!copy)
		return NULL;
	*copy = *r;
	copy->detail = copy_behind(&at, r->detail);
	copy->body = copy_behind(&at, r->body);
	copy->content_type = copy_behind(&at, r->content_type);
	return copy;
}

/* --- the call --------------------------------------------------------------------------------- */

void call_init(struct call *c, enum bourn_point point, const struct bourn_caller *caller,
               struct arena *arena)
{
	*c = (struct call){
		.pub = {.bytes = sizeof(c->pub),
	                .point = point,
	                .host = &call_host,
	                .caller = caller,
	                .partition = -1,
	                .offset = -1},
		.arena = arena,
	};
}

void call_set_record(struct call *c, const struct record *r)
{
	c->pub.key = slice_out(r->key);
	c->pub.value = slice_out(r->value);
	c->pub.timestamp = r->timestamp;
	c->headers = (struct call_headers){.encoded = r->headers, .count = r->header_count};
}

static bool encode_headers(struct call *c, struct slice *out)
{
	const struct call_headers *h = &c->headers;
	struct buf encoded = {.limit = HEADERS_BYTES_MAX};
	size_t bytes = 0;

	for (uint32_t i = 0; i < h->count; i++)
		bytes += h->list[i].name.len + h->list[i].value.len + 2 * VARINT_BYTES_MAX;
	if (bytes > HEADERS_BYTES_MAX)
		return false;
	encoded.ptr = arena_alloc(c->arena, bytes);
	encoded.cap = bytes;
	if (!encoded.ptr)
		return false;
	for (uint32_t i = 0; i < h->count; i++)
		header_append(&encoded, slice_in(h->list[i].name), slice_in(h->list[i].value));
	*out = buf_slice(&encoded);
	return true;
}

bool call_get_record(struct call *c, struct record *r)
{
	if (c->headers.changed && !encode_headers(c, &r->headers))
		return false;
	if (c->headers.changed)
		r->header_count = c->headers.count;
	r->key = slice_in(c->pub.key);
	r->value = slice_in(c->pub.value);
	return true;
}

struct call_content call_content(const struct call *c)
{
	return (struct call_content){c->pub.key, c->pub.value, c->pub.status, c->headers};
}

/* A list that is the call's own may have been changed in place: the next change copies it. */
void call_restore(struct call *c, const struct call_content *content)
{
	c->pub.key = content->key;
	c->pub.value = content->value;
	c->pub.status = content->status;
	c->headers = content->headers;
}

void call_set_fields(struct call *c, struct bourn_header *list, uint32_t count)
{
	c->any_case = true;
	c->headers = (struct call_headers){.list = list, .count = count};
}

static bool keep(struct call *c, struct bourn_slice *s)
{
	struct slice kept;

	if (!arena_copy(c->arena, slice_in(*s), &kept))
		return false;
	*s = slice_out(kept);
	return true;
}

static bool keep_caller(struct call *c)
{
	struct bourn_caller *kept = arena_alloc(c->arena, sizeof(*kept));
	struct slice peer;

	if (!kept)
		return false;
	*kept = *c->pub.caller;
	if (!arena_copy(c->arena, slice_of(kept->peer, strlen(kept->peer) + 1), &peer))
		return false;
	kept->peer = (const char *)peer.ptr;
	c->pub.caller = kept;
	return keep(c, &kept->principal);
}

static bool keep_headers(struct call *c)
{
	struct call_headers *h = &c->headers;

	if (h->count == 0)
		return true;
	if (!own_list(c))
		return false;
	for (uint32_t i = 0; i < h->count; i++)
		if (!keep(c, &h->list[i].name) || !keep(c, &h->list[i].value))
			return false;
	return true;
}

bool call_keep(struct call *c)
{
	struct bourn_call *pub = &c->pub;

	return keep_caller(c) && keep(c, &pub->topic) && keep(c, &pub->key) &&
	       keep(c, &pub->value) && keep(c, &pub->method) && keep(c, &pub->target) &&
	       keep_headers(c);
}

/* What says that it is JSON, is. */
static bool is_what_it_says(struct call *c)
{
	struct slice type = SLICE_NONE;
	uint32_t i;

	if (find(c, content_type_name, &i))
		type = slice_in(c->headers.list[i].value);
	if (type.len == 0 || media_kind(type) != MEDIA_JSON)
		return true;
	return json_validate(slice_in(c->pub.value), JSON_DEPTH_MAX, NULL);
}

static bool are_fields(const struct call *c)
{
	for (uint32_t i = 0; c->headers.changed && i < c->headers.count; i++)
		if (!http_field_name_ok(slice_in(c->headers.list[i].name)) ||
		    !http_field_value_ok(slice_in(c->headers.list[i].value)))
			return false;
	return true;
}

/* A request's body is checked by who serves it, an answer's by nobody: it may be anything. */
const char *call_objection(struct call *c)
{
	if (!c->pub.value.ptr && c->pub.value.len > 0)
		return "it made a value of nothing";
	if (c->any_case && !are_fields(c))
		return "it made a field that HTTP cannot carry";
	if (c->any_case && c->pub.status != 0 && (c->pub.status < 200 || c->pub.status > 599))
		return "it made a status that is not from 200 to 599";
	if (!c->any_case && c->pub.value.ptr && !is_what_it_says(c))
		return "it made a value that is not what its content type says";
	return NULL;
}
