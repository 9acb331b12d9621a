#include "front/testing/front_fixture.h"

#include "front/shard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000, PEER_BYTES_MAX = 64 << 20, PUMP_MS = 2 };

static void accepted(void *arg, int fd, const struct sockaddr_storage *peer)
{
	struct front_fixture *fx = arg;

	(void)peer;
	front_accept(fx->front, fd);
}

void front_fixture_init(struct front_fixture *fx)
{
	*fx = (struct front_fixture){0};
	fx->config = (struct front_config){
		.limits = front_limits_default(),
		.version = "0.0.0",
		.host = "broker.example",
		.shard_count = 1,
		.cwd = "/",
		.engine = "plain",
	};
}

void front_fixture_start(struct front_fixture *fx, uint32_t partitions)
{
	struct fixture_options options = {.partitions = partitions};
	struct fault fault = {0};

	fixture_start(&fx->broker, &options);
	fx->metrics = &fx->broker.metrics[0];
	fx->log = log_new(2, LOG_OFF, false, clock_system());
	if (!fx->config.admission)
		fx->admission = admission_new(ADMISSION_CONNECTIONS, ADMISSION_PER_ADDRESS);
	if (fx->admission)
		fx->config.admission = fx->admission;
	fx->config.metrics = &fx->metrics;
	fx->config.fronts = &fx->front;
	fx->front = front_new(fx->broker.loops[0], &fx->config);
	front_serve(fx->front, broker_of(fx->broker.group, 0));
	CHECK(fx->front);
	fx->front->log = fx->log;
	fx->listener = listener_open(fx->broker.loops[0], "127.0.0.1", 0, accepted, fx, &fault);
	CHECK(fx->listener);
}

void front_fixture_noted(void *flag)
{
	*(bool *)flag = true;
}

void front_fixture_stop(struct front_fixture *fx)
{
	bool is_stopped = false;

	listener_close(fx->listener);
	if (!fx->front->stopping) {
		front_stop(fx->front, front_fixture_noted, &is_stopped);
		CHECK(loop_run_until(fx->broker.loops[0], &is_stopped, PATIENCE_MS));
	}
	front_free(fx->front);
	fixture_stop(&fx->broker);
	if (fx->admission)
		admission_free(fx->admission);
	log_free(fx->log);
}

void front_fixture_run(struct front_fixture *fx, int ms)
{
	bool never = false;

	(void)loop_run_until(fx->broker.loops[0], &never, ms);
}

void peer_connect(struct peer *p, struct front_fixture *fx)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_port = htons(listener_port(fx->listener)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};

	*p = (struct peer){.fx = fx, .got = BUF_INIT(PEER_BYTES_MAX)};
	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(p->fd >= 0);
	CHECK(connect(p->fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	CHECK(fcntl(p->fd, F_SETFL, O_NONBLOCK) == 0);
}

void peer_close(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	buf_fini(&p->got);
}

void peer_send(struct peer *p, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (int i = 0; len > 0 && i < PATIENCE_MS / PUMP_MS; i++) {
		ssize_t n = send(p->fd, at, len, MSG_NOSIGNAL);

		if (n < 0 && errno != EAGAIN)
			return; /* the front closed: what came of it is the test's matter */
		if (n > 0) {
			at += n;
			len -= (size_t)n;
		}
		if (len > 0)
			front_fixture_run(p->fx, PUMP_MS);
	}
}

void peer_say(struct peer *p, const char *text)
{
	peer_send(p, text, strlen(text));
}

static void take_what_came(struct peer *p)
{
	ssize_t n;

	do {
		CHECK(buf_reserve(&p->got, 65536));
		n = recv(p->fd, p->got.ptr + p->got.len, 65535, 0);
		if (n > 0)
			p->got.len += (size_t)n;
	} while (n > 0);
	if (n == 0 || (n < 0 && errno != EAGAIN))
		p->ended = true;
	p->got.ptr[p->got.len] = '\0';
}

static bool wait_for(struct peer *p, bool (*came)(const struct peer *p, const void *what),
                     const void *what)
{
	for (int i = 0; i < PATIENCE_MS / PUMP_MS; i++) {
		take_what_came(p);
		if (came(p, what))
			return true;
		if (p->ended)
			return false;
		front_fixture_run(p->fx, PUMP_MS);
	}
	return false;
}

static bool came_bytes(const struct peer *p, const void *what)
{
	return p->got.len >= *(const size_t *)what;
}

static bool came_text(const struct peer *p, const void *what)
{
	return peer_has(p, what);
}

static bool came_end(const struct peer *p, const void *what)
{
	(void)what;
	return p->ended;
}

bool peer_wait_bytes(struct peer *p, size_t len)
{
	return wait_for(p, came_bytes, &len);
}

bool peer_wait_text(struct peer *p, const char *text)
{
	return wait_for(p, came_text, text);
}

bool peer_wait_end(struct peer *p)
{
	return wait_for(p, came_end, NULL);
}

bool peer_has(const struct peer *p, const char *text)
{
	return p->got.len > 0 && memmem(p->got.ptr, p->got.len, text, strlen(text));
}

unsigned peer_count(const struct peer *p, const char *text)
{
	const char *at = (const char *)p->got.ptr;
	unsigned count = 0;

	while (at && (at = strstr(at, text))) {
		count++;
		at += strlen(text);
	}
	return count;
}

void peer_forget(struct peer *p)
{
	buf_clear(&p->got);
	if (p->got.ptr)
		p->got.ptr[0] = '\0';
}

const char *peer_ask(struct peer *p, struct front_fixture *fx, const char *request)
{
	peer_connect(p, fx);
	peer_say(p, request);
	CHECK(shutdown(p->fd, SHUT_WR) == 0);
	CHECK(peer_wait_end(p));
	return (const char *)p->got.ptr;
}
