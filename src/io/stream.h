/* stream: a connected socket on a loop, behind a table so that TLS fits in later.
 *
 * The owner asks for readiness, then reads and writes itself, as much as it wants: no buffer is
 * held for an idle connection. Loop thread only. */
#ifndef BOURN_IO_STREAM_H
#define BOURN_IO_STREAM_H

#include "io/loop.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

struct stream;

struct stream_ops {
	/* > 0 bytes, 0 at the peer's end, -EAGAIN, or -errno when the connection is broken. */
	ssize_t (*read)(struct stream *s, void *into, size_t cap);
	ssize_t (*writev)(struct stream *s, const struct iovec *iov, int count);
	/* Say that no more will be written (FIN), the receiving half stays open. */
	void (*finish)(struct stream *s);
};

enum stream_ready { STREAM_READABLE = 1, STREAM_WRITABLE = 2 };

/* Opaque but for its owner's two callbacks; `owner` is the owner's own. */
struct stream_events {
	void (*ready)(struct stream *s, void *owner, unsigned ready);
	void (*closed)(struct stream *s, void *owner); /* the last call; the stream is gone after */
};

/* Take over a connected socket (closed on failure too). Non-blocking, TCP_NODELAY, CLOEXEC set.
 * Returns NULL with a fault when it cannot be watched. */
struct stream *stream_open(struct loop *l, int fd, const struct stream_events *events, void *owner,
                           struct fault *f);

/* Have the kernel break the connection when its peer has vanished without a word (a read fails
 * then): `after_ms` after something was sent that nobody acknowledges; of an idle one the peer is
 * asked after 20 s of silence, then every 10 s, and it breaks when nothing comes for `after_ms` in
 * all. A peer that is there but takes no byte for so long counts as vanished too. Nothing on a Unix
 * socket. */
void stream_reap(struct stream *s, int64_t after_ms);

/* Which readiness to be told of from now on: STREAM_* or'ed; 0 is none. Costs nothing until the
 * loop polls, and little then: the kernel is told only of what is new, and of what came
 * unwanted. */
void stream_want(struct stream *s, unsigned ready);

/* Asynchronous: no `ready` after this, `closed` once, later. */
void stream_close(struct stream *s);

/* As in stream_ops; what they move is counted in the loop's metrics. */
ssize_t stream_read(struct stream *s, void *into, size_t cap);
ssize_t stream_writev(struct stream *s, const struct iovec *iov, int count);
void stream_finish(struct stream *s);

struct loop *stream_loop(const struct stream *s);

/* "127.0.0.1:4711", "[::1]:4711" or "unix"; valid as long as the stream. */
const char *stream_peer(const struct stream *s);
bool stream_peer_is_loopback(const struct stream *s);

/* The loop's one read buffer, shared by its connections: valid until the callback returns. */
struct stream_scratch {
	uint8_t *ptr;
	size_t cap; /* 256 KiB */
};
struct stream_scratch stream_scratch(struct loop *l);

/* --- listening ----------------------------------------------------------------------- */

struct listener;

/* Called on the listener's loop for each accepted socket, which is moved to the callee. */
typedef void listener_accept_cb(void *arg, int fd, const struct sockaddr_storage *peer);

/* Bind every address of `host` ("localhost": 127.0.0.1 and, where there is IPv6, ::1) on `port`
 * (0: one free port for all of them) and accept until closed. Descriptors used up (EMFILE): the
 * waiting connection is accepted on a spare one and closed, so accept never spins; told in one
 * rate-limited log line. Accepted and refused are counted in the loop's metrics.
 * NULL and ERR_LISTEN, with a remedy, when an address cannot be had. Resolving a name may block. */
struct listener *listener_open(struct loop *l, const char *host, uint16_t port,
                               listener_accept_cb *accept, void *arg, struct fault *f);
uint16_t listener_port(const struct listener *ln);
/* Stop accepting; the memory goes when the loop has closed its handles. */
void listener_close(struct listener *ln);

#endif
