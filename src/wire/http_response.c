#include "wire/http_response.h"

#include "base/check.h"

void http_response_init(struct http_response_parser *p, bool to_head)
{
	*p = (struct http_response_parser){.state = HTTP_RESPONSE_HEAD, .to_head = to_head};
	http_head_init(&p->head, HTTP_RESPONSE);
}

static enum http_event refuse(struct http_response_parser *p, enum err err, const char *detail)
{
	p->err = err;
	p->detail = detail;
	p->state = HTTP_RESPONSE_DONE;
	return HTTP_EVENT_REFUSED;
}

static bool has_no_body(const struct http_response_parser *p)
{
	int status = p->response.status;

	return p->to_head || status < 200 || status == 204 || status == 304;
}

/* How the body is delimited: RFC 9112, 6.3. */
static enum err read_framing(struct http_response_parser *p)
{
	struct http_head *h = &p->head;
	struct http_response *r = &p->response;
	struct slice length = http_fields_get(&h->fields, HTTP_FIELD_CONTENT_LENGTH);
	struct slice coding = http_fields_get(&h->fields, HTTP_FIELD_TRANSFER_ENCODING);

	r->content_length = -1;
	if (length.ptr && (!slice_to_int64(length, &r->content_length) || r->content_length < 0 ||
	                   http_fields_repeated(&h->fields, HTTP_FIELD_CONTENT_LENGTH)))
		return http_head_refuse(h, ERR_BAD_REQUEST, "Content-Length is malformed");
	if (coding.ptr) {
		if (length.ptr || !slice_eq_nocase(coding, SLICE_LIT("chunked")) ||
		    http_fields_repeated(&h->fields, HTTP_FIELD_TRANSFER_ENCODING))
			return http_head_refuse(h, ERR_TRANSFER_ENCODING, NULL);
		r->chunked = true;
	}
	if (has_no_body(p)) {
		p->state = HTTP_RESPONSE_LENGTH;
	} else if (r->chunked) {
		p->state = HTTP_RESPONSE_CHUNKS;
		chunked_init(&p->chunks);
	} else if (length.ptr) {
		p->state = HTTP_RESPONSE_LENGTH;
		p->left = (uint64_t)r->content_length;
	} else {
		p->state = HTTP_RESPONSE_UNTIL_EOF;
	}
	return OK;
}

static enum err read_head(struct http_response_parser *p)
{
	struct http_head *h = &p->head;
	struct http_response *r = &p->response;
	enum err err;

	r->status = llhttp_get_status_code(&h->llhttp);
	r->fields = &h->fields;
	r->reason = http_span_slice(&h->fields, h->target);
	if (r->status < 100 || r->status > 599)
		return http_head_refuse(h, ERR_BAD_REQUEST, "a status beyond 100 to 599");
	err = read_framing(p);
	if (err)
		return err;
	r->keep_alive = p->state != HTTP_RESPONSE_UNTIL_EOF && r->status != 101 &&
	                (h->llhttp.http_minor ? !(h->llhttp.flags & F_CONNECTION_CLOSE)
	                                      : (h->llhttp.flags & F_CONNECTION_KEEP_ALIVE) != 0);
	return OK;
}

static bool is_interim(int status)
{
	return status >= 100 && status < 200 && status != 101;
}

static enum http_event parse_head(struct http_response_parser *p, const uint8_t *in, size_t len)
{
	while (len > p->consumed) {
		enum err err = http_head_parse(&p->head, in + p->consumed, len - p->consumed);

		if (!err && !p->head.complete)
			return HTTP_EVENT_MORE;
		if (!err)
			err = read_head(p);
		if (err)
			return refuse(p, err, p->head.detail);
		p->consumed += p->head.fed;
		if (!is_interim(p->response.status))
			return HTTP_EVENT_HEAD;
		p->state = HTTP_RESPONSE_HEAD;
		p->response = (struct http_response){0};
		http_head_init(&p->head, HTTP_RESPONSE);
	}
	return HTTP_EVENT_MORE;
}

static enum http_event finish(struct http_response_parser *p)
{
	p->state = HTTP_RESPONSE_DONE;
	return HTTP_EVENT_MESSAGE;
}

static enum http_event hand_out(struct http_response_parser *p, const uint8_t *in, size_t len)
{
	if (len == 0)
		return HTTP_EVENT_MORE;
	p->body = slice_of(in, len);
	p->consumed = len;
	return HTTP_EVENT_BODY;
}

static enum http_event parse_length(struct http_response_parser *p, const uint8_t *in, size_t len)
{
	if (p->left == 0)
		return finish(p);
	if (len > p->left)
		len = (size_t)p->left;
	p->left -= len;
	return hand_out(p, in, len);
}

static enum http_event parse_chunks(struct http_response_parser *p, uint8_t *in, size_t *len)
{
	size_t decoded;
	enum err err;

	if (p->chunks.state == CHUNKED_DONE)
		return finish(p);
	err = chunked_decode(&p->chunks, in, len, UINT64_MAX, &decoded);
	if (err)
		return refuse(p, err, p->chunks.detail);
	if (decoded == 0 && p->chunks.state == CHUNKED_DONE)
		return finish(p);
	return hand_out(p, in, decoded);
}

enum http_event http_response_parse(struct http_response_parser *p, uint8_t *in, size_t *len)
{
	p->consumed = 0;
	p->body = SLICE_NONE;
	switch (p->state) {
	case HTTP_RESPONSE_HEAD: return parse_head(p, in, *len);
	case HTTP_RESPONSE_LENGTH: return parse_length(p, in, *len);
	case HTTP_RESPONSE_CHUNKS: return parse_chunks(p, in, len);
	case HTTP_RESPONSE_UNTIL_EOF: return hand_out(p, in, *len);
	case HTTP_RESPONSE_DONE: break;
	}
	UNREACHABLE();
}

bool http_response_eof(const struct http_response_parser *p)
{
	return p->state == HTTP_RESPONSE_UNTIL_EOF || p->state == HTTP_RESPONSE_DONE;
}
