/* http: one HTTP/1 request out of the bytes of a connection. Not a connection: no I/O, no routes.
 *
 * Pull style, in one contiguous buffer without copies. The caller holds the connection's bytes from
 * the start of the current request, may move them between calls, and calls
 *
 *	http_parser_init(&p);
 *	for (;;) {
 *		switch (http_parse(&p, in, &len)) {
 *		case HTTP_EVENT_MORE:    read more behind in + len, then call again
 *		case HTTP_EVENT_HEAD:    look at p.request; set p.body_bytes_max; perhaps answer
 *		                         "100 Continue"; then call again, also without new bytes
 *		case HTTP_EVENT_MESSAGE: serve p.request; in += p.consumed, len -= p.consumed;
 *		                         http_parser_next(&p); the next request may be there already
 *		case HTTP_EVENT_REFUSED: answer p.err (p.detail says why), then close: framing is
 *lost
 *		}
 *	}
 *
 * Only new bytes are looked at, and a head that is the last one again, byte for byte, is not parsed
 * again: clients on kept connections send few others. The body becomes one slice: for that the
 * framing of a chunked one is cut out of the buffer, and `len` shrinks by as much. llhttp reads the
 * head; a body with a length needs no parser, chunks are read by chunked.h, which is stricter.
 *
 * Refused beyond what llhttp refuses: folded lines; a missing (in 1.1) or repeated Host, fragments
 * and user info in the target, Transfer-Encoding in 1.0 or beside Content-Length: 400; a version
 * other than 1.0 and 1.1, or none: 505; Transfer-Encoding other than `chunked`: 501; an Expect
 * other than 100-continue: 417; a request line above 8 KiB: 414; fields above 32 KiB or 100: 431;
 * a body beyond p.body_bytes_max: 413, as soon as that is known. An Upgrade other than to
 * `websocket` is ignored. */
#ifndef BOURN_WIRE_HTTP_H
#define BOURN_WIRE_HTTP_H

#include "wire/chunked.h"
#include "wire/http_head.h"

enum {
	HTTP_BODY_BYTES_MAX_DEFAULT = 16 << 20,
	HTTP_KNOWN_BYTES_MAX = 512, /* a longer head is parsed each time */
};

enum http_event {
	HTTP_EVENT_MORE,
	HTTP_EVENT_HEAD,    /* once a message */
	HTTP_EVENT_BODY,    /* http_response.h only */
	HTTP_EVENT_MESSAGE, /* once a message, the last */
	HTTP_EVENT_REFUSED, /* the last of the connection */
};

enum http_method {
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_PATCH,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_OTHER, /* CONNECT, TRACE, …: to be answered with 405 */
	HTTP_METHOD_COUNT,
};

/* All slices are borrowed from the buffer, until the caller changes it or calls http_parse. */
struct http_request {
	enum http_method method;
	uint8_t version_minor; /* 0 or 1 */
	bool chunked;
	bool keep_alive;        /* the connection may carry another request */
	bool expect_continue;   /* the client waits for "100 Continue" before it sends the body */
	bool upgrade_websocket; /* a GET in 1.1 with Connection: upgrade and Upgrade: websocket */
	int64_t content_length; /* -1: none stated */
	uint64_t head_id;    /* from 1; this parser's next head has the same: the same bytes. 0: no
				   parser's, nothing may be kept of it */
	struct slice target; /* as sent, for logs */
	struct slice host;   /* Host, or the authority of an absolute target; NONE in 1.0 without */
	struct slice path;   /* not decoded; "/…", or "*", or what CONNECT names */
	struct slice query;  /* not decoded, without "?"; NONE: no "?" */
	struct slice body;   /* valid at HTTP_EVENT_MESSAGE; empty when there is none */
	const struct http_fields *fields;
};

struct http_parser {
	struct http_request request; /* valid from HTTP_EVENT_HEAD on */
	size_t body_bytes_max; /* set by http_parser_init, may be changed up to the call after HEAD
				*/
	size_t consumed;       /* at MESSAGE: bytes of this request, from its first */
	enum err err;          /* at REFUSED */
	const char *detail;    /* at REFUSED: one line for a person, static text */

	/* Ours. */
	enum { HTTP_IN_HEAD, HTTP_IN_BODY, HTTP_IN_CHUNKS, HTTP_DONE } state;
	uint32_t head_bytes;
	struct http_span host;
	struct http_span path;
	struct http_span query;
	bool has_host;
	bool has_query;
	struct chunked chunks;
	struct http_head head;
	uint32_t known_bytes;                /* of `known`; 0: none */
	uint8_t known[HTTP_KNOWN_BYTES_MAX]; /* the head that `request` and `head` tell of */
};

/* Ready for a request's first byte. No memory is owned: there is no fini. */
void http_parser_init(struct http_parser *p);

/* The same for one that was used, in whatever state, be it for another connection. */
void http_parser_next(struct http_parser *p);

/* See the file head. `in`: the request's first byte; `*len`: all bytes at hand from there, reduced
 * by chunk framing that was cut out. Must not be called after MESSAGE or REFUSED. */
enum http_event http_parse(struct http_parser *p, uint8_t *in, size_t *len);

/* True once a byte of the request has come: the header deadline runs, the connection is not idle.
 */
bool http_parser_started(const struct http_parser *p);

/* The first value of a well-known field, and of any field by its lower-case name; NONE without. */
static inline struct slice http_field(const struct http_request *r, enum http_field field)
{
	return http_fields_get(r->fields, field);
}

static inline struct slice http_header(const struct http_request *r, const char *lower_name)
{
	return http_fields_find(r->fields, lower_name);
}

/* "GET", …; "OTHER" for HTTP_METHOD_OTHER. */
const char *http_method_name(enum http_method method);

#endif
