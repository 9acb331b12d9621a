#include "link.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool failed(const struct link *l, const char *step, int error, struct failure *f)
{
	return bench_fail(f, "127.0.0.1:%d %s: %s: %s", l->address->port, l->address->path, step,
	                  strerror(error));
}

static bool tell_epoll(struct link *l, int operation, bool writing, struct failure *f)
{
	struct epoll_event e = {.events = EPOLLIN | (writing ? EPOLLOUT : 0), .data.ptr = l};

	l->writing = writing;
	if (epoll_ctl(l->epoll, operation, l->fd, &e) != 0)
		return failed(l, "epoll", errno, f);
	return true;
}

static bool begin_connecting(struct link *l, struct failure *f)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
	                         .sin_port = htons(l->address->port),
	                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int on = 1;

	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return failed(l, "socket", errno, f);
	setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(l->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS)
		return failed(l, "connect", errno, f);
	return tell_epoll(l, EPOLL_CTL_ADD, true, f);
}

bool link_open(struct link *l, const struct dialect *dialect, const struct address *address,
               int epoll, struct failure *f)
{
	*l = (struct link){.dialect = dialect,
	                   .address = address,
	                   .epoll = epoll,
	                   .out = BUF_INIT(LINK_OUT_BYTES_MAX),
	                   .held = BUF_INIT(LINK_SCRATCH_BYTES / 2),
	                   .line = BUF_INIT(LINK_SCRATCH_BYTES),
	                   .event = BUF_INIT(LINK_SCRATCH_BYTES)};
	if (!begin_connecting(l, f)) {
		link_close(l);
		return false;
	}
	dialect->open(l);
	return true;
}

void link_close(struct link *l)
{
	struct linger at_once = {.l_onoff = 1};

	if (l->dialect && l->fd >= 0) {
		setsockopt(l->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(l->fd);
	}
	buf_fini(&l->out);
	buf_fini(&l->held);
	buf_fini(&l->line);
	buf_fini(&l->event);
	l->fd = -1;
}

bool link_flush(struct link *l, struct failure *f)
{
	size_t sent = 0;

	if (l->out.failed)
		return bench_fail(f, "the broker takes nothing: %d MiB wait to be sent",
		                  LINK_OUT_BYTES_MAX >> 20);
	while (l->connected && sent < l->out.len) {
		ssize_t n = send(l->fd, l->out.ptr + sent, l->out.len - sent, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return failed(l, "send", errno, f);
		if (n < 0)
			break;
		sent += (size_t)n;
	}
	buf_consume(&l->out, sent);
	if (l->connected && l->writing != (l->out.len > 0))
		return tell_epoll(l, EPOLL_CTL_MOD, l->out.len > 0, f);
	return true;
}

static bool finish_connecting(struct link *l, struct failure *f)
{
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
		error = errno;
	if (error)
		return failed(l, "connect", error, f);
	l->connected = true;
	return true;
}

bool link_ready(struct link *l, uint32_t events, struct link_scratch *scratch, struct failure *f)
{
	ssize_t got;

	scratch->in = scratch->bytes;
	scratch->fresh = false;
	if (!l->connected && !finish_connecting(l, f))
		return false;
	if ((events & EPOLLOUT) && !link_flush(l, f))
		return false;
	if (!(events & ~(uint32_t)EPOLLOUT))
		return true;
	if (l->held.len)
		memcpy(scratch->bytes, l->held.ptr, l->held.len);
	got = recv(l->fd, scratch->bytes + l->held.len, LINK_SCRATCH_BYTES - l->held.len, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got < 0)
		return failed(l, "receive", errno, f);
	if (got == 0)
		return bench_fail(f, "127.0.0.1:%d %s: the broker closed the connection",
		                  l->address->port, l->address->path);
	scratch->len = l->held.len + (size_t)got;
	scratch->fresh = true;
	buf_clear(&l->held);
	return true;
}

enum link_event link_next(struct link *l, struct link_scratch *scratch, struct failure *f)
{
	enum link_event event = LINK_MORE;

	l->consumed = 0;
	if (scratch->fresh)
		event = l->dialect->next(l, scratch->in, &scratch->len, f);
	scratch->in += l->consumed;
	scratch->len -= l->consumed;
	if (event == LINK_OPENED)
		l->open = true;
	if (event != LINK_MORE)
		return event;
	if (scratch->fresh)
		buf_append(&l->held, scratch->in, scratch->len);
	scratch->fresh = false;
	if (l->held.failed) {
		bench_fail(f, "a message of more than %d KiB", LINK_SCRATCH_BYTES >> 11);
		return LINK_FAILED;
	}
	if (l->out.len > 0 && !l->writing && !link_flush(l, f))
		return LINK_FAILED;
	return LINK_MORE;
}
