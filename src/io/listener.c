#include "base/check.h"
#include "io/address.h"
#include "io/log.h"
#include "io/loop_internal.h"
#include "io/metrics.h"
#include "io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	ADDRESSES_MAX = 8,
	BACKLOG = 4096, /* the system may cap it (net.core.somaxconn) */
	ACCEPTS_PER_TURN = 64,
	PORT_TRIES_MAX = 32,
	PAUSE_MS = 100, /* when not even a spare descriptor can be had */
};

/* The addresses of one host. */
struct addresses {
	unsigned count;
	bool second_is_optional; /* "localhost" where there may be no IPv6 */
	struct sockaddr_storage list[ADDRESSES_MAX];
};

struct endpoint {
	uv_poll_t poll; /* its `data` is the listener */
	int fd;         /* owned */
};

struct listener {
	struct loop *loop;
	listener_accept_cb *accept;
	void *arg;
	uint16_t port;
	bool closing;
	int spare_fd; /* given up to accept one more when all are used; -1: gone itself */
	struct timer pause;
	struct log_limiter limiter;
	unsigned handles; /* endpoints whose `poll` is not closed yet */
	unsigned count;
	struct endpoint endpoints[ADDRESSES_MAX];
};

/* --- addresses ----------------------------------------------------------------------- */

static void add_address(struct addresses *to, const void *address, size_t len)
{
	struct sockaddr_storage one = {.ss_family = AF_UNSPEC};

	CHECK(len <= sizeof(one));
	memcpy(&one, address, len);
	for (unsigned i = 0; i < to->count; i++)
		if (memcmp(&to->list[i], &one, sizeof(one)) == 0)
			return;
	if (to->count < ADDRESSES_MAX)
		to->list[to->count++] = one;
}

static void add_localhost(struct addresses *to)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

	add_address(to, &in4, sizeof(in4));
	add_address(to, &in6, sizeof(in6));
	to->second_is_optional = true;
}

static enum err resolve(struct addresses *to, const char *host, struct fault *f)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found;
	int got;

	if (strcasecmp(host, "localhost") == 0) {
		add_localhost(to);
		return OK;
	}
	got = getaddrinfo(host, NULL, &hints, &found);
	if (got)
		return fault_set(f, ERR_LISTEN, got == EAI_SYSTEM ? errno : 0, "%s: %s", host,
		                 gai_strerror(got));
	for (struct addrinfo *one = found; one; one = one->ai_next)
		add_address(to, one->ai_addr, one->ai_addrlen);
	freeaddrinfo(found);
	return OK;
}

static void set_port(struct sockaddr_storage *address, uint16_t port)
{
	if (address->ss_family == AF_INET)
		((struct sockaddr_in *)address)->sin_port = htons(port);
	else
		((struct sockaddr_in6 *)address)->sin6_port = htons(port);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
	socklen_t len = sizeof(address);
	int got = getsockname(fd, (struct sockaddr *)&address, &len);

	CHECK(got == 0);
	return ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
	                                          : ((struct sockaddr_in6 *)&address)->sin6_port);
}

/* --- binding ------------------------------------------------------------------------- */

/* A listening socket, or -errno. */
static int listen_on(const struct sockaddr_storage *address)
{
	int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, got;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (address->ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 &&
	    listen(fd, BACKLOG) == 0)
		return fd;
	got = -errno;
	close(fd);
	return got;
}

static void close_sockets(struct listener *ln)
{
	while (ln->count > 0)
		close(ln->endpoints[--ln->count].fd);
}

/* 0, or -errno and nothing is open; `*at` is then the address that failed. */
static int bind_all(struct listener *ln, struct addresses *addresses, uint16_t port, unsigned *at)
{
	for (unsigned i = 0; i < addresses->count; i++) {
		int fd;

		set_port(&addresses->list[i], port);
		fd = listen_on(&addresses->list[i]);
		if (i > 0 && addresses->second_is_optional &&
		    (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL))
			continue;
		if (fd < 0) {
			*at = i;
			close_sockets(ln);
			return fd;
		}
		ln->endpoints[ln->count++].fd = fd;
		port = port_of(fd);
	}
	ln->port = port;
	return 0;
}

static enum err bind_fault(struct fault *f, const struct sockaddr_storage *address, int os_errno)
{
	const char *remedy = "";
	char text[ADDRESS_TEXT_MAX];

	if (os_errno == EADDRINUSE)
		remedy = " is used by another program, perhaps another broker; stop it or choose "
			 "another port (0: any free one)";
	else if (os_errno == EACCES)
		remedy = " needs a privilege; choose a port from 1024 on";
	else if (os_errno == EADDRNOTAVAIL)
		remedy = " is not an address of this machine";
	address_format(address, text);
	return fault_set(f, ERR_LISTEN, os_errno, "%s%s", text, remedy);
}

static enum err bind_host(struct listener *ln, const char *host, uint16_t port, struct fault *f)
{
	struct addresses addresses = {0};
	unsigned at = 0, tries = port == 0 ? PORT_TRIES_MAX : 1;
	enum err err = resolve(&addresses, host, f);
	int got;

	if (err)
		return err;
	do { /* what is free on the first address may be used on the second */
		got = bind_all(ln, &addresses, port, &at);
	} while (got == -EADDRINUSE && --tries > 0);
	return got < 0 ? bind_fault(f, &addresses.list[at], -got) : OK;
}

/* --- accepting ----------------------------------------------------------------------- */

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct listener *ln)
{
	for (unsigned i = 0; i < ln->count; i++)
		uv_poll_start(&ln->endpoints[i].poll, UV_READABLE, on_poll);
}

static int open_spare(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void pause_over(struct timer *t)
{
	struct listener *ln = CONTAINER_OF(t, struct listener, pause);

	if (ln->spare_fd < 0)
		ln->spare_fd = open_spare();
	watch(ln);
}

static void pause_accepting(struct listener *ln)
{
	for (unsigned i = 0; i < ln->count; i++)
		uv_poll_stop(&ln->endpoints[i].poll);
	timer_start(ln->loop, &ln->pause, PAUSE_MS);
}

/* Descriptors are used up: tell the waiting peer by closing, else it would wait and we would be
 * woken for ever. False: even the spare one is gone. */
static bool refuse_one(struct listener *ln, int listen_fd)
{
	int fd;

	if (ln->spare_fd < 0)
		return false;
	close(ln->spare_fd);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		metric_add(ln->loop->config.metrics, METRIC_REFUSED, 1);
	}
	ln->spare_fd = open_spare();
	log_limited(ln->loop->config.log, &ln->limiter, LOG_WARN, "listen",
	            "connection refused: all file descriptors are used; raise the limit "
	            "(ulimit -n)");
	return true;
}

/* Of one waiting connection; false: there is none, or accepting is paused. */
static bool accept_one(struct listener *ln, int listen_fd)
{
	struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
	socklen_t peer_len = sizeof(peer);
	int fd = accept4(listen_fd, (struct sockaddr *)&peer, &peer_len,
	                 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		metric_add(ln->loop->config.metrics, METRIC_ACCEPTED, 1);
		ln->accept(ln->arg, fd, &peer);
		return true;
	}
	switch (errno) {
	case EAGAIN: return false;
	case EMFILE:
	case ENFILE:
		if (refuse_one(ln, listen_fd))
			return true;
		break;
	case ENOMEM:
	case ENOBUFS: break;
	default: return true; /* this one connection failed, as accept(2) explains */
	}
	pause_accepting(ln);
	return false;
}

static void on_poll(uv_poll_t *poll, int status __attribute__((unused)),
                    int events __attribute__((unused)))
{
	struct endpoint *e = CONTAINER_OF(poll, struct endpoint, poll);
	struct listener *ln = poll->data;

	loop_turn_begin(ln->loop);
	for (unsigned i = 0; i < ACCEPTS_PER_TURN && !ln->closing; i++)
		if (!accept_one(ln, e->fd))
			return;
}

/* --- life ---------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *handle)
{
	struct listener *ln = handle->data;

	if (--ln->handles == 0)
		free(ln);
}

void listener_close(struct listener *ln)
{
	CHECK(!ln->closing);
	ln->closing = true;
	timer_stop(ln->loop, &ln->pause);
	for (unsigned i = 0; i < ln->handles; i++)
		uv_close((uv_handle_t *)&ln->endpoints[i].poll, on_closed);
	close_sockets(ln);
	if (ln->spare_fd >= 0)
		close(ln->spare_fd);
	if (ln->handles == 0)
		free(ln);
}

struct listener *listener_open(struct loop *l, const char *host, uint16_t port,
                               listener_accept_cb *accept, void *arg, struct fault *f)
{
	struct listener *ln = calloc(1, sizeof(*ln));
	int got = 0;

	CHECK(ln);
	ln->loop = l;
	ln->accept = accept;
	ln->arg = arg;
	ln->pause.fire = pause_over;
	ln->spare_fd = open_spare();
	if (bind_host(ln, host, port, f))
		goto close_listener;
	while (ln->handles < ln->count && got == 0) {
		struct endpoint *e = &ln->endpoints[ln->handles];

		e->poll.data = ln;
		got = uv_poll_init(&l->uv, &e->poll, e->fd);
		ln->handles += got == 0;
	}
	if (got < 0) {
		fault_set(f, ERR_LISTEN, -got, "%s", host);
		goto close_listener;
	}
	watch(ln);
	return ln;

close_listener:
	listener_close(ln);
	return NULL;
}

uint16_t listener_port(const struct listener *ln)
{
	return ln->port;
}
