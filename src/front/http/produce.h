/* produce: what a POST of events says in its header fields, and its body made into records. */
#ifndef BOURN_FRONT_HTTP_PRODUCE_H
#define BOURN_FRONT_HTTP_PRODUCE_H

#include "front/http/exchange.h"
#include "record/batch.h"

/* Said once for all events of the request. Slices are borrowed from the request or front->headers,
 * until the next request of this shard. */
struct event_fields {
	struct slice content_type; /* NONE: none given */
	struct slice key;          /* NONE: none given */
	struct slice headers;      /* encoded; without content-type */
	uint32_t header_count;
	int64_t timestamp;
	bool tombstone;
};

/* The records of one body, and the memory of what had to be decoded. */
struct event_list {
	struct record *records; /* owned */
	uint32_t count;
	uint32_t cap;
	uint32_t count_max;
	struct buf decoded; /* strings; reserved once, so slices into it stay valid */
	struct buf headers; /* encoded; likewise */
};

enum body_kind {
	BODY_EVENT,            /* one event, byte for byte */
	BODY_VALUES,           /* application/x-ndjson: a line, a value */
	BODY_EVENTS,           /* application/vnd.bourn.events+x-ndjson */
	BODY_CLOUDEVENT,       /* application/cloudevents+json */
	BODY_CLOUDEVENT_BATCH, /* application/cloudevents-batch+json */
};

enum body_kind body_kind(struct slice content_type);

/* How large the body of such a request may be. */
size_t produce_body_limit(const struct front_limits *limits, const struct http_request *r);

/* A timestamp as ms since 1970 or RFC 3339; not further ahead than limits.future_ms.
 * ERR_BAD_TIMESTAMP. */
enum err event_timestamp(const struct front *f, struct slice text, int64_t *out,
                         struct fault *fault) MUST_CHECK;

/* Make `body` of that kind (not BODY_EVENT) into records. All or none: on error nothing is owned.
 * Errors: ERR_BAD_JSON, ERR_BAD_RECORD, ERR_BAD_UTF8, ERR_BAD_TIMESTAMP, ERR_TOO_LARGE: the fault
 * names the line or the element. ERR_NO_MEMORY. */
enum err event_list_parse(struct front *f, enum body_kind kind, const struct event_fields *fields,
                          struct slice body, struct event_list *out,
                          struct fault *fault) MUST_CHECK;
void event_list_fini(struct event_list *list);

#endif
