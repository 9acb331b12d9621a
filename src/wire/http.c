#include "wire/http.h"

#include "base/check.h"

void http_parser_init(struct http_parser *p)
{
	p->known_bytes = 0;
	p->request.head_id = 0;
	http_parser_next(p);
}

void http_parser_next(struct http_parser *p)
{
	p->body_bytes_max = HTTP_BODY_BYTES_MAX_DEFAULT;
	p->consumed = 0;
	p->err = OK;
	p->detail = NULL;
	p->state = HTTP_IN_HEAD;
	p->head_bytes = 0;
	p->head.fed = 0;
}

static enum http_event refuse(struct http_parser *p, enum err err, const char *detail)
{
	p->err = err;
	p->detail = detail;
	p->state = HTTP_DONE;
	return HTTP_EVENT_REFUSED;
}

static enum http_method method_of(const llhttp_t *llhttp)
{
	switch (llhttp->method) {
	case HTTP_GET: return HTTP_METHOD_GET;
	case HTTP_HEAD: return HTTP_METHOD_HEAD;
	case HTTP_POST: return HTTP_METHOD_POST;
	case HTTP_PUT: return HTTP_METHOD_PUT;
	case HTTP_PATCH: return HTTP_METHOD_PATCH;
	case HTTP_DELETE: return HTTP_METHOD_DELETE;
	case HTTP_OPTIONS: return HTTP_METHOD_OPTIONS;
	default: return HTTP_METHOD_OTHER;
	}
}

/* llhttp lets pass several blanks, and other protocols than HTTP. */
static enum err check_line(struct http_parser *p)
{
	struct http_head *h = &p->head;
	const uint8_t *in = h->fields.base;
	size_t target_end = (size_t)h->target.at + h->target.len;

	if (memcmp(in + h->version_end - 8, "HTTP/", 5) != 0)
		return http_head_refuse(h, ERR_HTTP_VERSION, NULL);
	if (target_end + 9 != h->version_end || in[target_end] != ' ' || h->target.at < 2 ||
	    in[h->target.at - 1] != ' ' || in[h->target.at - 2] == ' ')
		return http_head_refuse(h, ERR_BAD_REQUEST, "the request line is malformed");
	return OK;
}

/* Take scheme and authority off an absolute target; the authority then stands for Host. */
static enum err cut_authority(struct http_parser *p, struct slice *target)
{
	struct http_head *h = &p->head;
	struct slice scheme = slice_starts_with(*target, SLICE_LIT("https://"))
	                              ? SLICE_LIT("https://")
	                              : SLICE_LIT("http://");
	size_t len = 0;

	if (target->len < scheme.len || !slice_eq_nocase(slice_of(target->ptr, scheme.len), scheme))
		return http_head_refuse(h, ERR_BAD_REQUEST, "the request target is malformed");
	*target = slice_of(target->ptr + scheme.len, target->len - scheme.len);
	while (len < target->len && target->ptr[len] != '/' && target->ptr[len] != '?')
		len++;
	if (len == 0 || memchr(target->ptr, '@', len))
		return http_head_refuse(h, ERR_BAD_REQUEST, "the target's authority is malformed");
	p->has_host = true;
	p->host.at = (uint16_t)(target->ptr - h->fields.base);
	p->host.len = (uint16_t)len;
	*target = slice_of(target->ptr + len, target->len - len);
	return OK;
}

static enum err split_target(struct http_parser *p)
{
	struct http_head *h = &p->head;
	struct slice target = http_span_slice(&h->fields, h->target);
	struct slice path;

	if (memchr(target.ptr, '#', target.len))
		return http_head_refuse(h, ERR_BAD_REQUEST, "the request target has a fragment");
	if (target.ptr[0] != '/' && h->llhttp.method != HTTP_CONNECT &&
	    !(target.len == 1 && target.ptr[0] == '*')) {
		enum err err = cut_authority(p, &target);

		if (err)
			return err;
	}
	p->path.at = (uint16_t)(target.ptr - h->fields.base);
	path = slice_cut(&target, '?');
	p->path.len = (uint16_t)path.len;
	p->has_query = target.ptr != NULL;
	if (p->has_query) {
		p->query.at = (uint16_t)(target.ptr - h->fields.base);
		p->query.len = (uint16_t)target.len;
	}
	return OK;
}

static enum err check_host(struct http_parser *p)
{
	struct http_fields *fields = &p->head.fields;
	uint8_t first = fields->first[HTTP_FIELD_HOST];

	if (first == 0 && p->head.llhttp.http_minor == 1)
		return http_head_refuse(&p->head, ERR_BAD_REQUEST, "there is no Host");
	if (http_fields_repeated(fields, HTTP_FIELD_HOST))
		return http_head_refuse(&p->head, ERR_BAD_REQUEST, "there are several Hosts");
	if (first > 0 && !p->has_host) {
		p->has_host = true;
		p->host = fields->values[first - 1];
	}
	return OK;
}

/* How the body is delimited. llhttp has checked this too; framing is where smuggling begins, so
 * nothing here rests on its verdict alone. */
static enum err check_framing(struct http_parser *p)
{
	struct http_head *h = &p->head;
	struct slice length = http_fields_get(&h->fields, HTTP_FIELD_CONTENT_LENGTH);
	struct slice coding = http_fields_get(&h->fields, HTTP_FIELD_TRANSFER_ENCODING);

	p->request.content_length = -1;
	if (length.ptr) {
		if (http_fields_repeated(&h->fields, HTTP_FIELD_CONTENT_LENGTH) || coding.ptr)
			return http_head_refuse(h, ERR_BAD_REQUEST,
			                        "the body's length is stated twice");
		if (!slice_to_int64(length, &p->request.content_length) ||
		    p->request.content_length < 0)
			return http_head_refuse(h, ERR_BAD_REQUEST, "Content-Length is malformed");
	}
	if (!coding.ptr)
		return OK;
	if (h->llhttp.http_minor == 0)
		return http_head_refuse(h, ERR_BAD_REQUEST, "Transfer-Encoding in HTTP/1.0");
	if (http_fields_repeated(&h->fields, HTTP_FIELD_TRANSFER_ENCODING) ||
	    !slice_eq_nocase(coding, SLICE_LIT("chunked")))
		return http_head_refuse(h, ERR_TRANSFER_ENCODING, NULL);
	p->request.chunked = true;
	return OK;
}

static enum err check_expect(struct http_parser *p)
{
	struct slice expect = http_fields_get(&p->head.fields, HTTP_FIELD_EXPECT);

	if (!expect.ptr || p->head.llhttp.http_minor == 0)
		return OK;
	if (!slice_eq_nocase(expect, SLICE_LIT("100-continue")))
		return http_head_refuse(&p->head, ERR_EXPECTATION, NULL);
	p->request.expect_continue = true;
	return OK;
}

static bool wants_websocket(const struct http_parser *p)
{
	const struct http_head *h = &p->head;
	struct slice upgrade = http_fields_get(&h->fields, HTTP_FIELD_UPGRADE);

	return upgrade.ptr && (h->llhttp.flags & F_CONNECTION_UPGRADE) &&
	       h->llhttp.http_minor == 1 && h->llhttp.method == HTTP_GET &&
	       http_list_has(upgrade, SLICE_LIT("websocket"));
}

static enum err read_head(struct http_parser *p)
{
	struct http_request *r = &p->request;
	struct http_head *h = &p->head;
	enum err err;

	if ((err = check_line(p)) || (err = split_target(p)) || (err = check_host(p)) ||
	    (err = check_framing(p)) || (err = check_expect(p)))
		return err;
	r->method = method_of(&h->llhttp);
	r->version_minor = h->llhttp.http_minor;
	/* What follows a CONNECT is not HTTP, whatever its answer. */
	r->keep_alive = llhttp_should_keep_alive(&h->llhttp) && h->llhttp.method != HTTP_CONNECT;
	r->upgrade_websocket = wants_websocket(p);
	r->fields = &h->fields;
	p->head_bytes = h->fed;
	return OK;
}

/* The caller may have moved the bytes since the last call. */
static void resolve(struct http_parser *p, const uint8_t *in)
{
	struct http_fields *fields = &p->head.fields;
	struct http_request *r = &p->request;

	fields->base = in;
	r->target = http_span_slice(fields, p->head.target);
	r->host = p->has_host ? http_span_slice(fields, p->host) : SLICE_NONE;
	r->path = p->path.len ? http_span_slice(fields, p->path) : SLICE_LIT("/");
	r->query = p->has_query ? http_span_slice(fields, p->query) : SLICE_NONE;
}

static void begin_head(struct http_parser *p)
{
	p->known_bytes = 0;
	p->request = (struct http_request){.head_id = p->request.head_id + 1};
	p->has_host = false;
	p->has_query = false;
	http_head_init(&p->head, HTTP_REQUEST);
}

/* All that was found in the last head holds for one of the same bytes. */
static bool is_known(const struct http_parser *p, const uint8_t *in, size_t len)
{
	return p->known_bytes > 0 && len >= p->known_bytes &&
	       memcmp(in, p->known, p->known_bytes) == 0;
}

/* Nothing secret: the next bytes may be another client's, who could learn how much of it they
 * guessed from the time it takes. */
static void make_known(struct http_parser *p, const uint8_t *in)
{
	if (p->head_bytes > HTTP_KNOWN_BYTES_MAX ||
	    http_fields_get(&p->head.fields, HTTP_FIELD_AUTHORIZATION).ptr)
		return;
	memcpy(p->known, in, p->head_bytes);
	p->known_bytes = p->head_bytes;
}

static enum http_event head_is_read(struct http_parser *p, const uint8_t *in)
{
	p->state = p->request.chunked ? HTTP_IN_CHUNKS : HTTP_IN_BODY;
	chunked_init(&p->chunks);
	resolve(p, in);
	return HTTP_EVENT_HEAD;
}

static enum http_event parse_head(struct http_parser *p, const uint8_t *in, size_t len)
{
	enum err err;

	if (p->head.fed == 0) {
		if (is_known(p, in, len)) {
			p->request.body = SLICE_NONE;
			p->head_bytes = p->known_bytes;
			p->head.fed = p->known_bytes;
			return head_is_read(p, in);
		}
		begin_head(p);
	}
	err = http_head_parse(&p->head, in, len);
	if (!err && !p->head.complete)
		return HTTP_EVENT_MORE;
	if (!err)
		err = read_head(p);
	if (err)
		return refuse(p, err, p->head.detail);
	make_known(p, in);
	return head_is_read(p, in);
}

static enum http_event finish(struct http_parser *p, const uint8_t *in, size_t body_bytes)
{
	resolve(p, in);
	p->request.body = slice_of(in + p->head_bytes, body_bytes);
	p->consumed = p->head_bytes + body_bytes;
	p->state = HTTP_DONE;
	return HTTP_EVENT_MESSAGE;
}

static enum http_event parse_body(struct http_parser *p, const uint8_t *in, size_t len)
{
	uint64_t body_bytes =
		p->request.content_length > 0 ? (uint64_t)p->request.content_length : 0;

	if (body_bytes > p->body_bytes_max)
		return refuse(p, ERR_TOO_LARGE, "Content-Length is beyond the limit");
	if (len - p->head_bytes < body_bytes)
		return HTTP_EVENT_MORE;
	return finish(p, in, (size_t)body_bytes);
}

static enum http_event parse_chunks(struct http_parser *p, uint8_t *in, size_t *len)
{
	size_t known = p->head_bytes + (size_t)p->chunks.decoded_bytes;
	size_t rest = *len - known;
	size_t decoded;
	enum err err = chunked_decode(&p->chunks, in + known, &rest, p->body_bytes_max, &decoded);

	if (err)
		return refuse(p, err, p->chunks.detail);
	*len = known + rest;
	if (p->chunks.state != CHUNKED_DONE)
		return HTTP_EVENT_MORE;
	return finish(p, in, (size_t)p->chunks.decoded_bytes);
}

enum http_event http_parse(struct http_parser *p, uint8_t *in, size_t *len)
{
	CHECK(p->state != HTTP_DONE);
	CHECK(*len >= p->head_bytes);
	switch (p->state) {
	case HTTP_IN_HEAD: return parse_head(p, in, *len);
	case HTTP_IN_BODY: return parse_body(p, in, *len);
	case HTTP_IN_CHUNKS: return parse_chunks(p, in, len);
	case HTTP_DONE: break;
	}
	UNREACHABLE();
}

bool http_parser_started(const struct http_parser *p)
{
	return p->head.fed > 0;
}

const char *http_method_name(enum http_method method)
{
	static const char *const names[HTTP_METHOD_COUNT] = {
		"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "OTHER",
	};

	CHECK((unsigned)method < HTTP_METHOD_COUNT);
	return names[method];
}
