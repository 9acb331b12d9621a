/* http_head: the start line and header fields of one HTTP/1 message, found by llhttp.
 *
 * What requests (http.h) and responses (http_response.h) have in common; nobody else needs to call
 * the functions that read. The message's bytes are contiguous from its first byte and may move
 * between calls, so all that is found is kept as 16-bit offsets (a head is below 64 KiB) and
 * resolved against `base` when asked for.
 *
 *   POST /produce/t HTTP/1.1\r\n      start line: at most HTTP_LINE_BYTES_MAX
 *   Host: localhost:3030\r\n          fields: at most HTTP_FIELDS_BYTES_MAX and HTTP_FIELDS_MAX
 *   \r\n
 *
 * llhttp checks the grammar. On top of it the layout is checked byte by byte: between a name and
 * its value stands only a colon and blanks, between a value and the next name only CRLF. So folded
 * lines, bare line feeds and blanks before a colon cannot pass, whatever llhttp makes of them. */
#ifndef BOURN_WIRE_HTTP_HEAD_H
#define BOURN_WIRE_HTTP_HEAD_H

#include "base/check.h"
#include "base/err.h"
#include "base/slice.h"

#include <llhttp.h>

enum {
	HTTP_LINE_BYTES_MAX = 8 << 10,
	HTTP_FIELDS_BYTES_MAX = 32 << 10,
	HTTP_FIELDS_MAX = 100,
	HTTP_HEAD_BYTES_MAX = HTTP_LINE_BYTES_MAX + HTTP_FIELDS_BYTES_MAX,
};

/* Fields that are looked up by number, at no cost: name here, name on the wire in lower case, in
 * order of its length. */
#define HTTP_FIELDS(X)                                                                             \
	X(HOST, "host")                                                                            \
	X(ACCEPT, "accept")                                                                        \
	X(ORIGIN, "origin")                                                                        \
	X(EXPECT, "expect")                                                                        \
	X(UPGRADE, "upgrade")                                                                      \
	X(EVENT_KEY, "event-key")                                                                  \
	X(CONNECTION, "connection")                                                                \
	X(PRODUCER_ID, "producer-id")                                                              \
	X(TRACEPARENT, "traceparent")                                                              \
	X(CONTENT_TYPE, "content-type")                                                            \
	X(PRODUCER_SEQ, "producer-seq")                                                            \
	X(AUTHORIZATION, "authorization")                                                          \
	X(LAST_EVENT_ID, "last-event-id")                                                          \
	X(CONTENT_LENGTH, "content-length")                                                        \
	X(PRODUCER_EPOCH, "producer-epoch")                                                        \
	X(EVENT_TIMESTAMP, "event-timestamp")                                                      \
	X(EVENT_TOMBSTONE, "event-tombstone")                                                      \
	X(EXPECTED_OFFSET, "expected-offset")                                                      \
	X(IDEMPOTENCY_KEY, "idempotency-key")                                                      \
	X(TRANSFER_ENCODING, "transfer-encoding")                                                  \
	X(WS_KEY, "sec-websocket-key")                                                             \
	X(WS_ACCEPT, "sec-websocket-accept")                                                       \
	X(WS_VERSION, "sec-websocket-version")                                                     \
	X(WS_PROTOCOL, "sec-websocket-protocol")

enum http_field {
#define X(name, text) HTTP_FIELD_##name,
	HTTP_FIELDS(X)
#undef X
		HTTP_FIELD_COUNT,
};

struct http_span {
	uint16_t at; /* from the message's first byte */
	uint16_t len;
};

struct http_fields {
	const uint8_t
		*base; /* borrowed: the message's first byte, as of the last call that parsed */
	uint16_t count;
	uint8_t first[HTTP_FIELD_COUNT]; /* 1 + index of the first field of that name; 0: none */
	uint32_t repeated;               /* bit per well-known name: several fields bear it */
	struct http_span names[HTTP_FIELDS_MAX];
	struct http_span values[HTTP_FIELDS_MAX]; /* without blanks at either end */
};

static inline struct slice http_span_slice(const struct http_fields *fields, struct http_span span)
{
	return slice_of(fields->base + span.at, span.len);
}

/* Name and value of field `index` < count; borrowed from the message. */
static inline struct slice http_fields_name(const struct http_fields *fields, size_t index)
{
	CHECK(index < fields->count);
	return http_span_slice(fields, fields->names[index]);
}

static inline struct slice http_fields_value(const struct http_fields *fields, size_t index)
{
	CHECK(index < fields->count);
	return http_span_slice(fields, fields->values[index]);
}

/* The first value of a well-known field; SLICE_NONE when there is no such field. */
static inline struct slice http_fields_get(const struct http_fields *fields, enum http_field field)
{
	if (fields->first[field] == 0)
		return SLICE_NONE;
	return http_fields_value(fields, fields->first[field] - 1u);
}

/* The same for any name, given in lower case; looks at each field. */
struct slice http_fields_find(const struct http_fields *fields, const char *lower_name);

/* True when several fields bear that well-known name. */
bool http_fields_repeated(const struct http_fields *fields, enum http_field field);

/* True when `list`, a comma-separated field value, has the element `token` (any case). */
bool http_list_has(struct slice list, struct slice token);

struct http_head {
	llhttp_t llhttp;
	struct http_span target; /* a request's target as sent; of a response its reason phrase */
	uint16_t version_end;    /* place after the version; 0: not there yet */
	uint32_t fed;            /* bytes given to llhttp so far */
	bool in_name;            /* the last span belongs to a field's name */
	bool complete;
	enum err err;              /* why the head is refused */
	const char *detail;        /* more about it for a person; static text, or NULL */
	struct http_fields fields; /* last: its arrays need not be zeroed */
};

/* `type`: HTTP_REQUEST or HTTP_RESPONSE of llhttp. */
void http_head_init(struct http_head *h, llhttp_type_t type);

/* Look at the bytes that are new since the last call. `in` is the message's first byte, `len` all
 * bytes at hand from there. OK: look at `complete`; then `fed` is the head's size. Else h->err. */
enum err http_head_parse(struct http_head *h, const uint8_t *in, size_t len) MUST_CHECK;

/* Sets err and detail, returns err. */
enum err http_head_refuse(struct http_head *h, enum err err, const char *detail);

#endif
