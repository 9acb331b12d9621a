#include "store_serve.h"

#include "store_group.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_BYTES_MIN = 1024, RECEIVE_BYTES = 64 << 10 };

static const char answer[] =
	"HTTP/1.1 201 Created\r\nDate: Sun, 22 Nov 2026 10:08:11 GMT\r\nContent-Type: "
	"application/json\r\nContent-Length: 96\r\n\r\n{\"topic\":\"bench\",\"partition\":0,"
	"\"offset\":1000000,\"timestamp\":1795342091482,\"durability\":\"commit\"}";

struct serve {
	int listener;
	int epoll;
	struct store_group group;
	struct failure *failure;
	int came[STORE_GROUP_EVENTS_MAX]; /* descriptors, each with a request */
	int count;
};

static bool failed(struct serve *s, const char *what)
{
	return bench_fail(s->failure, "bare server: %s: %s", what, strerror(errno));
}

static bool watch(struct serve *s, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &e) == 0 || failed(s, "epoll");
}

static bool begin(struct serve *s)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);

	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->epoll < 0 || s->listener < 0 || bind(s->listener, (struct sockaddr *)&at, len) ||
	    listen(s->listener, SOMAXCONN) ||
	    getsockname(s->listener, (struct sockaddr *)&at, &len))
		return failed(s, "listen");
	printf("listening on http://127.0.0.1:%d\n", ntohs(at.sin_port));
	fflush(stdout);
	return watch(s, s->listener);
}

static bool take_connection(struct serve *s)
{
	int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;

	if (fd < 0)
		return failed(s, "accept");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return watch(s, fd);
}

static bool take_request(struct serve *s, int fd)
{
	static char bytes[RECEIVE_BYTES];
	ssize_t got = recv(fd, bytes, sizeof(bytes), 0);

	if (got == 0 || (got < 0 && errno == ECONNRESET))
		close(fd);
	else if (got < REQUEST_BYTES_MIN)
		return bench_fail(s->failure, "bare server: %zd bytes are no request", got);
	else
		s->came[s->count++] = fd;
	return true;
}

/* All that are ready, as one group. */
static bool turn(struct serve *s)
{
	struct epoll_event ready[STORE_GROUP_EVENTS_MAX];
	int count = epoll_wait(s->epoll, ready, STORE_GROUP_EVENTS_MAX, -1);

	s->count = 0;
	for (int i = 0; i < count; i++)
		if (!(ready[i].data.fd == s->listener ? take_connection(s)
		                                      : take_request(s, ready[i].data.fd)))
			return false;
	if (s->count > 0 && !store_group_write(&s->group, s->count))
		return false;
	for (int i = 0; i < s->count; i++)
		(void)!send(s->came[i], answer, sizeof(answer) - 1, MSG_NOSIGNAL);
	return true;
}

bool store_serve_run(const char *dir, struct failure *f)
{
	struct serve s = {.failure = f};
	bool ok = store_group_open(&s.group, dir, f) && begin(&s);

	while (ok)
		ok = turn(&s);
	store_group_close(&s.group);
	return false;
}
