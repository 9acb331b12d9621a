/* exchange: one HTTP request and its answer.
 *
 *   born at the request's head → dispatched to route->handle with the whole request → answered:
 *   now or later, by exchange_answer → ops->write, when all earlier ones of its connection are
 *   written → freed, as soon as the broker holds nothing of it
 *
 * When the client goes away in between, it is freed without write; not before what the broker holds
 * came home (exchange_home). */
#ifndef BOURN_FRONT_HTTP_EXCHANGE_H
#define BOURN_FRONT_HTTP_EXCHANGE_H

#include "broker/produce.h"
#include "core/topic.h"
#include "front/shard.h"
#include "hook/call.h"
#include "wire/http.h"
#include "wire/problem.h"
#include "wire/ws.h"

struct exchange;
struct hooked_target;
struct http_connection;
struct route;

struct exchange_ops {
	/* Append the answer to the connection's output. */
	void (*write)(struct exchange *x);
	/* The broker stops: answer with what there is, end the stream. */
	void (*hurry)(struct exchange *x);
	/* Streams: output was sent, there may be room for more. */
	void (*room)(struct exchange *x);
	/* Free what the handler's state owns, stop waiting. Without write before, when the client
	 * went away; never while the broker holds a request of it. */
	void (*fini)(struct exchange *x);
	/* Streams only, as in struct protocol: what it is called, what it feeds from. */
	const char *(*stream_name)(const struct exchange *x);
	void (*describe)(const struct exchange *x, struct buf *json);
};

/* Of an exchange that hooks have a part in; all owned. */
struct exchange_hooks {
	struct refusal *refusal;      /* what one said more than x->fault; NULL: nothing */
	struct hooked_target *target; /* for those that come later; NULL: there are none */
};

struct exchange {
	struct list node; /* in its connection's queue; in the pool */
	struct http_connection *http;
	struct front *front;
	const struct exchange_ops *ops;
	const struct route *route; /* NULL: refused before one was found */
	const char *cors_origin;   /* for Access-Control-Allow-Origin; NULL: none. The config's */
	uint64_t request_id;
	enum http_method method;
	unsigned allow; /* methods of this address, for 405 and OPTIONS: 1 << enum http_method */
	uint8_t version_minor;
	bool keep_alive;
	bool linger; /* close slowly: the client may still be sending */
	bool answered;
	bool written;       /* ops->write was called */
	bool busy;          /* the broker, or a hook that was shown it, holds a request of it */
	bool held;          /* a hook holds its answer, which was written already */
	bool streaming;     /* written to until exchange_end */
	bool event_source;  /* asks for Server-Sent Events */
	bool counted;       /* produce: the body may hold several, the answer says how many */
	struct fault fault; /* why it is refused; code OK: it is not */
	struct exchange_hooks
		*hooks; /* owned, until it is written; NULL: hooks had no part in it */
	size_t name_len;
	char name[TOPIC_NAME_BYTES_MAX + 1]; /* {topic} of the path, decoded */
	char argument[KNOWN_ARGUMENT_BYTES]; /* the path's second parameter, decoded */
	char accept[WS_ACCEPT_LEN + 1];      /* upgrade: Sec-WebSocket-Accept */
	void *state;                         /* the handler's own */
	int64_t timestamp;                   /* produce: of the (last) event */
	uint32_t event_count;
	struct produce produce;
};

/* NULL: no memory. */
struct exchange *exchange_new(struct http_connection *http, struct front *f);
void exchange_free(struct exchange *x);
void exchange_pool_free(struct front *f);

/* The answer is known: it will be written in its turn, perhaps before this returns; the exchange
 * may be gone then. */
void exchange_answer(struct exchange *x);

/* Answer with a problem. `where`: what was wrong here, for a person; may be "". */
void exchange_refuse(struct exchange *x, enum err code, const char *where, ...)
	__attribute__((format(printf, 3, 4)));

/* Have room for what hooks say. False: no memory. */
bool exchange_hooks_take(struct exchange *x);
void exchange_hooks_drop(struct exchange *x);

/* What a hook said more; moved, may be NULL. */
void exchange_set_refusal(struct exchange *x, struct refusal *refusal);

/* What the broker held came back: answer, if that did not happen yet; free, if nobody waits. */
void exchange_home(struct exchange *x);

/* Its connection is closed (it is in no queue): free it, unless the broker or a hook still has
 * it. */
void exchange_forsake(struct exchange *x);

/* The status of its problem: x->fault is set. */
int exchange_status(const struct exchange *x);

/* A stream is over. `clean`: the connection may go on; else it is closed. */
void exchange_end(struct exchange *x, bool clean);

/* What the broker is told about the one who asks. Call before each request. */
const struct caller *exchange_caller(struct exchange *x);

static inline struct slice exchange_name(const struct exchange *x)
{
	return slice_of(x->name, x->name_len);
}

/* For ops that have nothing to do. */
void exchange_nothing(struct exchange *x);

/* --- answers: for use in ops->write ----------------------------------------------------------- */

/* Status line and the fields that every answer has; add more with http_head_field. */
struct buf *reply_begin(struct exchange *x, int status);

/* End the head and write the body, if the method wants one. */
void reply_end(struct exchange *x, struct slice body);

/* A whole answer. */
void reply(struct exchange *x, int status, const char *content_type, struct slice body);

/* The same; when the body lacks something a refusal that says so. */
void reply_buf(struct exchange *x, int status, const char *content_type, const struct buf *body);

/* 201 with a JSON body: on the hot path of every event. */
void reply_created(struct exchange *x, struct slice body);

/* x->fault as problem+json, with more members. */
void reply_problem(struct exchange *x, const struct problem_member *members, size_t member_count);

/* The problem alone, for use inside a stream. */
void problem_of(const struct exchange *x, const struct problem_member *members, size_t member_count,
                struct buf *out);

#endif
