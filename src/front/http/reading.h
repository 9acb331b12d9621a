/* reading: what all requests that read events have in common: where from, and how it is refused. */
#ifndef BOURN_FRONT_HTTP_READING_H
#define BOURN_FRONT_HTTP_READING_H

#include "broker/reader.h"
#include "front/http/exchange.h"
#include "front/http/params.h"

/* Stays where it was filled in: `position` may point into `cursor`. */
struct reading {
	int32_t partition; /* -1: all */
	struct position position;
	struct cursor cursor; /* decoded; undefined when the position is another */
};

/* partition, offset and cursor of the query. */
enum err reading_parse(const struct front *f, const struct params *params,
                       enum position_kind fallback, struct reading *out,
                       struct fault *fault) MUST_CHECK;

/* Of a request to subscribe, which may resume: Last-Event-ID beats ?last_event_id= beats ?cursor=
 * beats ?offset= (default end). Sets x->fault. */
enum err reading_subscription(struct exchange *x, const struct http_request *r,
                              struct reading *out) MUST_CHECK;

/* Open a reader on the path's topic. A subscription waits for a topic that is not there. NULL: no
 * memory. */
struct reader *reading_open(struct exchange *x, const struct reading *reading,
                            enum operation operation, bool follow, void (*wake)(void *owner),
                            void *owner);

/* The bounds that a refused reader knows, as members of the problem; returns how many (<= 2). */
size_t reading_members(const struct reader *r, struct problem_member members[2]);

/* Append each partition of an open reader as one of its connection's subscriptions. */
void reading_describe(const struct reader *r, struct slice topic, struct buf *json);

/* Answer with x->fault. `r` may be NULL. */
void reading_problem(struct exchange *x, const struct reader *r);

#endif
