/* connection: one client's socket, its unread and unsent bytes and its deadlines, whichever
 * protocol is spoken on it. The protocol is a table and may be exchanged (HTTP becomes WebSocket).
 *
 * An idle connection holds no buffers: what is read lands in the loop's scratch buffer, and only a
 * rest that could not be used is kept. All output of a turn leaves in one write at its end.
 *
 * End of life: the socket breaks, or connection_close, or all output of connection_finish is sent →
 * protocol->closed, once → the protocol calls connection_free when nothing is under way that knows
 * the connection. */
#ifndef BOURN_FRONT_CONNECTION_H
#define BOURN_FRONT_CONNECTION_H

#include "base/buf.h"
#include "broker/caller.h"
#include "io/loop.h"
#include "io/stream.h"

struct connection;
struct front;
struct hooked_answer;

/* All are called on the loop, never from inside a connection_* call. */
struct protocol {
	enum front_kind kind;

	/* Look at all unread bytes; return how many of the first are used up. `*len` is reduced by
	 * bytes that were cut out. Also called without new bytes, after connection_again. */
	size_t (*received)(struct connection *c, uint8_t *bytes, size_t *len);

	/* The peer will send no more. */
	void (*ended)(struct connection *c);

	/* Some output was sent. */
	void (*drained)(struct connection *c);

	/* The moment (monotonic, us) at which `expired` is to be called; INT64_MAX: never. */
	int64_t (*deadline)(const struct connection *c);
	void (*expired)(struct connection *c);

	/* The socket took no byte for limits.stall_ms. Close it. */
	void (*stalled)(struct connection *c);

	/* The broker stops: close as soon as it is decent. */
	void (*stop)(struct connection *c);

	/* An administrator wants it gone: tell the peer, then close as in `stop`. */
	void (*kick)(struct connection *c);

	/* What it is used for now, as /v1/connections calls it: "http", "websocket", "ndjson" … */
	const char *(*name)(const struct connection *c);

	/* Append the subscriptions it feeds (connections_append_subscription, each), if any. */
	void (*describe)(const struct connection *c, struct buf *json);

	/* The socket is gone. connection_free is owed. */
	void (*closed)(struct connection *c);
};

struct connection {
	struct list node;    /* in front->connections */
	struct list starved; /* in front->starved */
	struct front *front; /* borrowed */
	struct stream *stream;
	const struct protocol *protocol;
	void *state; /* the protocol's own */
	struct caller caller;
	uint64_t number;  /* of the front's; never given twice */
	int64_t since_ms; /* wall clock: when it was accepted */
	int64_t sent_bytes;
	struct buf in;  /* read, not used up */
	struct buf out; /* to be sent from out_sent on */
	size_t out_sent;
	struct hooked_answer *answers; /* hooks are to be told when they are sent; in their order */
	struct task flush;             /* LOOP_WRITE */
	struct task again;             /* LOOP_WORK: protocol->received */
	struct timer timer;
	int64_t timer_due_us; /* when it fires; INT64_MAX: it does not run */
	int64_t out_moved_us; /* the socket took a byte, or output began to wait */
	int64_t linger_until_us;
	size_t linger_bytes;
	unsigned want;    /* readiness asked for */
	bool admitted;    /* counted by admission */
	bool paused;      /* the protocol can use nothing now */
	bool out_blocked; /* the socket is full */
	bool input_ended; /* the peer's end was read */
	bool finishing;   /* close when all is sent */
	bool linger;      /* … but read on for a while, lest a reset destroys what was sent */
	bool lingering;
	bool closed; /* no callbacks any more but `closed` */
};

/* Called by front_accept: takes the socket, starts with HTTP. */
void connection_open(struct front *f, int fd);

/* The output buffer, to be appended to; what is in it leaves at the end of the turn. */
struct buf *connection_output(struct connection *c);

static inline size_t connection_pending(const struct connection *c)
{
	return c->out.len - c->out_sent;
}

/* Not all of it has left. */
static inline bool connection_is_sending(const struct connection *c)
{
	return connection_pending(c) > 0 || c->out_blocked;
}

/* Send what is pending and, behind it, bytes that others send too, now and without a copy; `*sent`
 * of these have left. False: the socket takes no more (protocol->drained says when it does again),
 * or is gone. Of what it did not take nothing is kept. */
enum { CONNECTION_SPANS_MAX = 16 };
bool connection_send(struct connection *c, const struct iovec *shared, int count, size_t *sent);

/* Call protocol->received later in this turn (or in the next). */
void connection_again(struct connection *c);

/* The protocol can (not) use input now. Paused, a little is still read, to see the peer's end. */
void connection_pause(struct connection *c, bool paused);

/* Something changed that moves protocol->deadline to an earlier time. */
void connection_arm(struct connection *c);

/* Send what is pending, then close. `linger`: the peer may still be sending; give it time to read
 * our answer before its bytes are met with a reset. */
void connection_finish(struct connection *c, bool linger);

/* Close now; what is pending is lost. */
void connection_close(struct connection *c);

/* An administrator wants it gone. What is ending already, or takes nothing, is closed at once. */
void connection_kick(struct connection *c);

/* From now on `protocol` has the connection; only inside `received`. */
void connection_become(struct connection *c, const struct protocol *protocol, void *state);

/* After protocol->closed. */
void connection_free(struct connection *c);

#endif
