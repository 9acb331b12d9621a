/* shard: what the connections of one front share: pools, the date, the log's limiter. For the code
 * in this folder only. */
#ifndef BOURN_FRONT_SHARD_H
#define BOURN_FRONT_SHARD_H

#include "base/buf.h"
#include "front/feed.h"
#include "front/front.h"
#include "front/http/known_head.h"
#include "hook/hook.h"
#include "io/log.h"
#include "io/loop.h"
#include "record/batch.h"
#include "wire/http.h"
#include "wire/http_write.h"

enum {
	FRONT_POOLED_BUFS = 256,
	FRONT_POOLED_BUF_BYTES = 64 << 10, /* of larger ones few are kept … */
	FRONT_LARGE_BUFS = 2,
	FRONT_LARGE_BUF_BYTES = 2 << 20, /* … and none beyond this */
	FRONT_POOLED_PARSERS = 32,
	FRONT_POOLED_EXCHANGES = 1024,
};

/* What the pool of parsers holds. */
struct front_parser {
	struct http_parser http;
	struct known_head known; /* by the parser */
};

struct front {
	struct loop *loop;
	struct broker *broker; /* NULL until front_serve */
	struct front_config config;
	struct metrics *metrics; /* this shard's own */
	struct log *log;
	struct log_limiter refusals; /* one line per refused request, but not too many */

	struct hook_chain *chains[BOURN_POINT_COUNT]; /* this shard's hooks; NULL: none there */
	bool hooks_requests; /* one of the four stages of a request has some */

	/* struct connection; also those whose last request is not home yet */
	struct list connections;
	size_t connection_count;
	uint64_t last_connection; /* number */
	uint64_t last_request_id; /* the shard's number is in its upper 16 bits */

	struct list idle_exchanges; /* struct exchange, for use again */
	size_t idle_exchange_count;
	struct front_parser *idle_parsers[FRONT_POOLED_PARSERS];
	size_t idle_parser_count;
	struct buf idle_bufs[FRONT_POOLED_BUFS];
	size_t idle_buf_count;
	struct buf large_bufs[FRONT_LARGE_BUFS];
	size_t large_buf_count;

	struct feeds feeds;      /* what subscribers share */
	struct list catching_up; /* struct source: has something to read */
	struct task catch_up;
	struct log_limiter slow; /* one line per slow one, but not too many */
	struct buf event; /* of a subscriber that reads for itself; scratch, as is the next */
	struct buf cursor;

	struct buf headers;  /* record headers of the request at hand; scratch */
	int64_t date_second; /* which second the next two are of */
	char date[HTTP_DATE_LEN + 1];
	struct buf created_head;
	struct buf produced_tail;            /* of an answer to a produce request … */
	int64_t produced_at;                 /* … with this timestamp … */
	enum durability produced_durability; /* … and class */

	struct list starved; /* struct connection that waits for the broker's credits */
	struct timer starved_timer;

	unsigned telling; /* hooks that are told of something and not done with it */
	bool stopping;
	bool told; /* `stopped` ran */
	struct timer stop_timer;
	void (*stopped)(void *arg);
	void *stopped_arg;
	struct task stopped_task;
};

/* Give `b` (owns nothing) memory from the pool; it keeps its limit. And back. */
void front_buf_take(struct front *f, struct buf *b);
void front_buf_give(struct front *f, struct buf *b);
/* As buf_reserve, but where that means much memory, some that was used before serves if there is
 * any: what is new costs the kernel more than filling it. */
void front_buf_reserve(struct front *f, struct buf *b, size_t more);

/* NULL: no memory. */
struct front_parser *front_parser_take(struct front *f);
void front_parser_give(struct front *f, struct front_parser *p);

/* "Sun, 06 Nov 1994 08:49:37 GMT" of this turn. */
const char *front_date(struct front *f);

/* The most common head there is, made once a second: a 201 with JSON, up to the digits of its
 * Content-Length. Borrowed until the turn ends. */
struct slice front_created_head(struct front *f);

uint64_t front_next_request_id(struct front *f);

/* Call connection_again(c) in a while: the broker is out of credits. */
struct connection;
void front_starve(struct front *f, struct connection *c);

/* Something that a stop waits for has ended. */
void front_quieter(struct front *f);

/* The connection's memory is gone. */
void front_connection_gone(struct front *f);

static inline struct now front_now(const struct front *f)
{
	return loop_now(f->loop);
}

static inline const struct front_limits *front_limits(const struct front *f)
{
	return &f->config.limits;
}

#endif
