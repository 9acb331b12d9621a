/* reading: what all requests that read events have in common: where from, and how it is refused. */
#ifndef BOURN_FRONT_HTTP_READING_H
#define BOURN_FRONT_HTTP_READING_H

#include "broker/reader.h"
#include "front/http/exchange.h"
#include "front/http/params.h"
#include "front/subscription.h"

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

/* Of a request to subscribe: the topics of the path or of ?topic=, and where it begins:
 * Last-Event-ID beats ?last_event_id= beats ?cursor= beats ?offset= (default end). The names are
 * borrowed from `params`, to be freed by params_fini when it went well. `keep_unreadable`: of a
 * cursor that cannot be read none of the topics is known; else it is refused. Sets x->fault. */
enum err reading_subscription(struct exchange *x, const struct http_request *r,
                              bool keep_unreadable, struct params *params,
                              struct subscription_request *out) MUST_CHECK;

/* Open a reader on the path's topic, to consume. NULL: no memory. */
struct reader *reading_open(struct exchange *x, const struct reading *reading, bool follow,
                            void (*wake)(void *owner), void *owner);

/* What is known of the only partition, as members of the problem; returns how many (<= 2). */
size_t reading_members(const struct reader_bounds *bounds, uint32_t count,
                       struct problem_member members[2]);

/* Answer with x->fault. `r` may be NULL. */
void reading_problem(struct exchange *x, const struct reader *r);

#endif
