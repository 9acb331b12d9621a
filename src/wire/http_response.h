/* http_response: responses out of the bytes of a connection, for our own client. Bodies may be
 * endless, so they are handed out in pieces as they come.
 *
 *	http_response_init(&p, false);
 *	for (;;) {
 *		enum http_event event = http_response_parse(&p, in, &len);
 *		… use what the event gives …
 *		in += p.consumed, len -= p.consumed;      (after every event, before the next call)
 *	}
 *
 * MORE: read more. HEAD: p.response is there (interim 1xx answers but 101 are skipped). BODY:
 *p.body is the next piece. MESSAGE: the body is complete; init again for the next response.
 *REFUSED: p.err, p.detail; close. After 101 the rest of the connection is not HTTP: MESSAGE follows
 *HEAD at once. */
#ifndef BOURN_WIRE_HTTP_RESPONSE_H
#define BOURN_WIRE_HTTP_RESPONSE_H

#include "wire/http.h"

/* Slices and fields are borrowed from the buffer, until the caller changes it. */
struct http_response {
	int status;
	bool chunked;
	bool keep_alive;
	int64_t content_length; /* -1: none stated */
	struct slice reason;
	const struct http_fields *fields;
};

struct http_response_parser {
	struct http_response response; /* at HEAD */
	struct slice body;             /* at BODY: not empty */
	size_t consumed;               /* bytes to drop from the front before the next call */
	enum err err;                  /* at REFUSED */
	const char *detail;            /* at REFUSED; static text */

	/* Ours. */
	enum {
		HTTP_RESPONSE_HEAD,
		HTTP_RESPONSE_LENGTH,
		HTTP_RESPONSE_CHUNKS,
		HTTP_RESPONSE_UNTIL_EOF,
		HTTP_RESPONSE_DONE
	} state;
	bool to_head;  /* answers a HEAD request: no body whatever the fields say */
	uint64_t left; /* of a body with a length */
	struct chunked chunks;
	struct http_head head;
};

/* `to_head`: the request was a HEAD. No memory is owned: there is no fini. */
void http_response_init(struct http_response_parser *p, bool to_head);

enum http_event http_response_parse(struct http_response_parser *p, uint8_t *in, size_t *len);

/* The peer has closed: true when that is how this body ends, false when the response is cut off. */
bool http_response_eof(const struct http_response_parser *p);

#endif
