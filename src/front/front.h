/* front: everything that clients of one shard are connected through; one `struct front` a shard.
 *
 * A socket is moved here by front_accept, on the shard's loop. It begins as HTTP (http/) and may
 * become a WebSocket (ws/). What clients ask goes to the broker of the same shard; there is no
 * storage knowledge here.
 *
 *   main:    admission_new, then front_new per shard, before the loops run
 *   loop:    front_accept … front_serve … front_accept … front_stop → stopped(arg)
 *   main:    front_free per shard, admission_free, after the loops ended */
#ifndef BOURN_FRONT_FRONT_H
#define BOURN_FRONT_FRONT_H

#include "broker/broker.h"
#include "front/admission.h"
#include "io/metrics.h"

struct front;
struct hooks;

/* Everything a client can use up, and how long it may take. All finite. */
struct front_limits {
	size_t event_bytes;       /* one event's value */
	size_t body_bytes;        /* a whole request body */
	size_t message_bytes;     /* a WebSocket message, all its fragments together */
	size_t output_bytes;      /* waiting for one socket; at this its requests wait */
	uint32_t request_events;  /* events in one produce request */
	uint32_t pipelined;       /* requests of one connection under way */
	int64_t header_ms;        /* from a request's first byte to the end of its head */
	int64_t idle_ms;          /* between requests */
	int64_t body_window_ms;   /* in every window of this length … */
	size_t body_window_bytes; /* … at least so much of a body must come */
	int64_t stall_ms;         /* a socket that takes no byte for so long is closed */
	int64_t ping_after_ms;    /* of silence on a WebSocket */
	int64_t pong_ms;          /* to answer a ping, or a close */
	int64_t stop_ms;          /* from front_stop to closing what is left by force */
	int64_t future_ms;        /* how far ahead an Event-Timestamp may be */
};

struct front_limits front_limits_default(void);

/* Copied by front_new, but all it points to is borrowed until front_free. */
struct front_config {
	struct front_limits limits;
	struct admission *admission;      /* one for all shards */
	const char *version;              /* "0.1.0" */
	const char *host;                 /* server.host: a name this broker answers to */
	const char *const *allowed_hosts; /* more of them */
	size_t allowed_host_count;
	const char *const *allowed_origins; /* "https://app.example"; "*": any */
	size_t allowed_origin_count;
	struct metrics *const *metrics; /* of all shards, for /metrics */
	struct hooks *const *hooks; /* the same; each may be NULL, and so may all: there are none */
	struct front *const *fronts; /* the same, for /v1/connections; filled in by front_serve */
	unsigned shard_count;
	const char *cwd;                 /* what paths of the store that are not whole begin at */
	const char *engine;              /* storage.type, for /v1/info */
	const char *const *capabilities; /* what the engine can do, for /v1/info */
	size_t capability_count;
};

/* Until front_serve all but /livez, /readyz and /metrics is refused with ERR_NOT_READY.
 * Memory ends: NULL. */
struct front *front_new(struct loop *l, const struct front_config *config);

/* The store has recovered: from now on requests go to `b`, which is borrowed until front_free. On
 * the front's loop, or before it runs. Once. */
void front_serve(struct front *f, struct broker *b);

/* Take over a connected socket, on the front's loop. Closed at once when a limit is reached. */
void front_accept(struct front *f, int fd);

/* Connections of this shard; on its loop. */
size_t front_connection_count(const struct front *f);

/* End all connections: idle ones now, others when what they asked for is answered; WebSockets are
 * told 1001, streams end. What is left after limits.stop_ms is closed by force. `stopped` runs
 * once, later, on the loop, when no connection is left. */
void front_stop(struct front *f, void (*stopped)(void *arg), void *arg);

/* No connection is left. */
void front_free(struct front *f);

#endif
