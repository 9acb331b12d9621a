#include "io/stream.h"

#include "base/check.h"
#include "io/address.h"
#include "io/loop_internal.h"
#include "io/metrics.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PROBE_AFTER_S = 20, PROBE_EVERY_S = 10 };

static_assert((int)STREAM_READABLE == (int)UV_READABLE, "readiness is passed on as it comes");
static_assert((int)STREAM_WRITABLE == (int)UV_WRITABLE, "readiness is passed on as it comes");

struct stream {
	const struct stream_ops *ops;
	struct loop *loop;
	const struct stream_events *events; /* borrowed */
	void *owner;                        /* borrowed */
	uv_poll_t poll;
	struct task arm; /* tells the kernel `want` right before poll */
	int fd;          /* owned; -1: closed */
	uint8_t want;    /* STREAM_*: what the owner asked for last */
	uint8_t watched; /* STREAM_*: what the kernel reports */
	bool peer_is_loopback;
	char peer[]; /* as text */
};

/* By the calls themselves, here and below: the library's recv and send may be cancelled by another
 * thread while they wait, as soon as there is one, and take two locked operations each for that, 50
 * of 270 ns. Nobody waits here. */
static ssize_t plain_read(struct stream *s, void *into, size_t cap)
{
	ssize_t got;

	do {
		got = syscall(SYS_recvfrom, s->fd, into, cap, 0, NULL, NULL);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static ssize_t plain_writev(struct stream *s, const struct iovec *iov, int count)
{
	struct msghdr message = {
		.msg_iov = (struct iovec *)(uintptr_t)iov,
		.msg_iovlen = (size_t)(count < IOV_MAX ? count : IOV_MAX),
	};
	ssize_t got;

	do { /* one piece, as most answers are, costs the kernel less without a message around it */
		got = count == 1 ? syscall(SYS_sendto, s->fd, iov->iov_base, iov->iov_len,
		                           MSG_NOSIGNAL, NULL, 0)
		                 : syscall(SYS_sendmsg, s->fd, &message, MSG_NOSIGNAL);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

static void plain_finish(struct stream *s)
{
	shutdown(s->fd, SHUT_WR); /* a broken connection is found by the next read */
}

static const struct stream_ops plain_ops = {
	.read = plain_read,
	.writev = plain_writev,
	.finish = plain_finish,
};

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct stream *s = poll->data;
	unsigned ready = (unsigned)events;

	loop_turn_begin(s->loop);
	if (status < 0) {
		/* libuv has stopped watching; the owner finds what is wrong by doing what it
		 * wants. */
		s->watched = 0;
		ready = s->want;
		loop_before_poll(s->loop, &s->arm);
	}
	if (ready & ~(unsigned)s->want)
		loop_before_poll(s->loop, &s->arm);
	ready &= s->want;
	if (ready)
		s->events->ready(s, s->owner, ready);
}

static void arm(struct task *t)
{
	struct stream *s = CONTAINER_OF(t, struct stream, arm);

	if (s->want == s->watched)
		return;
	uv_poll_start(&s->poll, s->want, on_poll);
	s->watched = s->want;
}

void stream_want(struct stream *s, unsigned ready)
{
	CHECK(s->fd >= 0);
	CHECK((ready & ~(unsigned)(STREAM_READABLE | STREAM_WRITABLE)) == 0);
	s->want = (uint8_t)ready;
	/* What is no longer wanted stays watched until it comes: most often it is wanted again
	 * before, and two system calls are saved. */
	if (ready & ~(unsigned)s->watched)
		loop_before_poll(s->loop, &s->arm);
}

struct stream *stream_open(struct loop *l, int fd, const struct stream_events *events, void *owner,
                           struct fault *f)
{
	struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
	socklen_t peer_len = sizeof(peer);
	char text[ADDRESS_TEXT_MAX];
	struct stream *s;
	int on = 1, got;

	getpeername(fd, (struct sockaddr *)&peer, &peer_len); /* fails when it has gone again */
	address_format(&peer, text);
	s = calloc(1, sizeof(*s) + strlen(text) + 1); /* most are short, and there are many */
	if (!s) {
		fault_set(f, ERR_NO_MEMORY, 0, "a connection");
		goto close_fd;
	}
	got = uv_poll_init(&l->uv, &s->poll, fd); /* makes it non-blocking, too */
	if (got < 0) {
		fault_set(f, ERR_INTERNAL, -got, "watch a connection");
		goto free_stream;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* not on a Unix socket */
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	strcpy(s->peer, text);
	s->peer_is_loopback = address_is_loopback(&peer);
	s->ops = &plain_ops;
	s->loop = l;
	s->events = events;
	s->owner = owner;
	s->poll.data = s;
	s->arm.run = arm;
	s->fd = fd;
	return s;

free_stream:
	free(s);
close_fd:
	close(fd);
	return NULL;
}

static void set_option(int fd, int level, int option, int value)
{
	/* Where there is none of it, a vanished peer is only found later. */
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

/* TCP_KEEPCNT has no say: Linux counts probes by TCP_USER_TIMEOUT when that is set. */
void stream_reap(struct stream *s, int64_t after_ms)
{
	set_option(s->fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set_option(s->fd, IPPROTO_TCP, TCP_KEEPIDLE, PROBE_AFTER_S);
	set_option(s->fd, IPPROTO_TCP, TCP_KEEPINTVL, PROBE_EVERY_S);
	set_option(s->fd, IPPROTO_TCP, TCP_USER_TIMEOUT,
	           after_ms < INT_MAX ? (int)after_ms : INT_MAX);
}

static void on_closed(uv_handle_t *handle)
{
	struct stream *s = handle->data;

	s->events->closed(s, s->owner);
	free(s);
}

void stream_close(struct stream *s)
{
	CHECK(s->fd >= 0);
	task_cancel(&s->arm);
	uv_close((uv_handle_t *)&s->poll, on_closed);
	close(s->fd);
	s->fd = -1;
}

ssize_t stream_read(struct stream *s, void *into, size_t cap)
{
	ssize_t got = s->ops->read(s, into, cap);

	if (got > 0)
		metric_add(s->loop->config.metrics, METRIC_BYTES_IN, got);
	return got;
}

ssize_t stream_writev(struct stream *s, const struct iovec *iov, int count)
{
	ssize_t got = s->ops->writev(s, iov, count);

	if (got > 0)
		metric_add(s->loop->config.metrics, METRIC_BYTES_OUT, got);
	return got;
}

void stream_finish(struct stream *s)
{
	s->ops->finish(s);
}

struct loop *stream_loop(const struct stream *s)
{
	return s->loop;
}

const char *stream_peer(const struct stream *s)
{
	return s->peer;
}

bool stream_peer_is_loopback(const struct stream *s)
{
	return s->peer_is_loopback;
}

struct stream_scratch stream_scratch(struct loop *l)
{
	return l->scratch;
}
