/* known head: what was made of a request's head, kept for the next one of the same bytes.
 *
 * Clients on kept connections send one head over and over. What follows from its bytes and the
 * front's config alone is found once: whether guard and router let it pass, where to, and what it
 * says about an event. What depends on anything else is asked each time: the clock, whether the
 * broker serves, whether the topic is there. Refusals are not kept.
 *
 * One stands beside each parser, whose head_id tells which head that is. */
#ifndef BOURN_FRONT_HTTP_KNOWN_HEAD_H
#define BOURN_FRONT_HTTP_KNOWN_HEAD_H

#include "core/topic.h"
#include "wire/http.h"

struct exchange;

enum {
	KNOWN_ARGUMENT_BYTES = 24,
	KNOWN_HEADERS_BYTES = 256, /* what says more about an event is read each time */
};

/* Where a produce request asks its events to go. */
struct produce_options {
	int32_t partition;       /* -1: the broker chooses */
	int64_t expected_offset; /* -1: any */
	bool no_ack;
};

/* Of a single event without a key or a time of its own. */
struct known_event {
	uint64_t head_id; /* 0: of none */
	struct produce_options options;
	bool is_json; /* the body has to be */
	uint32_t header_count;
	uint32_t headers_bytes;
	uint8_t headers[KNOWN_HEADERS_BYTES]; /* encoded, content-type too */
};

struct known_head {
	uint64_t head_id; /* 0: of none */
	const struct route *route;
	const char *cors_origin;
	size_t name_len;
	char name[TOPIC_NAME_BYTES_MAX + 1];
	char argument[KNOWN_ARGUMENT_BYTES];
	struct known_event event;
};

/* Do what guard_check and router_find did with this head before. False: it is not the one. */
bool known_head_recall(const struct known_head *k, struct exchange *x,
                       const struct http_request *r);

/* `x` passed guard and router with the head of `r`. */
void known_head_keep(struct known_head *k, const struct exchange *x, const struct http_request *r);

#endif
