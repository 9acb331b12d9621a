#include "io/stream.h"

#include "base/test.h"
#include "io/log.h"
#include "io/metrics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

/* The system's clock; a loop asks it once a turn, and once more before it waits for a timer. */
struct counting_clock {
	struct clock base;
	unsigned asked;
};

static struct now counting_now(struct clock *c)
{
	CONTAINER_OF(c, struct counting_clock, base)->asked++;
	return clock_system()->now(clock_system());
}

struct fixture {
	struct counting_clock clock;
	struct metrics metrics;
	struct log *log;
	struct loop *l;
};

static void set_up(struct fixture *fx)
{
	struct loop_config config;

	*fx = (struct fixture){
		.clock.base.now = counting_now,
		.log = log_new(STDERR_FILENO, LOG_OFF, false, clock_system()),
	};
	config = (struct loop_config){.clock = &fx->clock.base,
	                              .entropy = entropy_system(),
	                              .log = fx->log,
	                              .metrics = &fx->metrics};
	fx->l = loop_new(&config, NULL);
	assert_non_null(fx->l);
}

static void tear_down(struct fixture *fx)
{
	loop_free(fx->l);
	log_free(fx->log);
}

static int64_t metric(struct fixture *fx, enum metric id)
{
	return atomic_load(&fx->metrics.values[id]);
}

/* Sends `out`, receives until the peer's end, then closes: one end of a conversation. */
struct talker {
	struct stream *s;
	const uint8_t *out; /* NULL: echo what comes */
	size_t out_len, sent;
	uint8_t *in;
	size_t in_cap, received;
	unsigned stalls; /* writes the socket did not take */
	bool finished, ended, closed;
	int failed; /* -errno of a read or write */
};

static void talker_write(struct talker *t)
{
	const uint8_t *from = t->out ? t->out : t->in;
	size_t until = t->out ? t->out_len : t->received;
	ssize_t got = 0;

	while (t->sent < until && got >= 0) {
		size_t half = (until - t->sent) / 2;
		struct iovec iov[2] = {
			{(void *)(uintptr_t)(from + t->sent), half},
			{(void *)(uintptr_t)(from + t->sent + half), until - t->sent - half}};

		got = stream_writev(t->s, iov, 2);
		t->sent += got > 0 ? (size_t)got : 0;
	}
	if (got == -EAGAIN)
		t->stalls++;
	else if (got < 0)
		t->failed = (int)got;
	if (t->sent == until && (t->out || t->ended) && !t->finished) {
		t->finished = true;
		stream_finish(t->s);
	}
}

static void talker_read(struct talker *t)
{
	struct stream_scratch scratch = stream_scratch(stream_loop(t->s));
	ssize_t got = stream_read(t->s, scratch.ptr, scratch.cap);

	if (got == 0)
		t->ended = true;
	else if (got < 0 && got != -EAGAIN)
		t->failed = (int)got;
	if (got <= 0)
		return;
	assert_true((size_t)got <= t->in_cap - t->received);
	memcpy(t->in + t->received, scratch.ptr, (size_t)got);
	t->received += (size_t)got;
}

static void talker_ready(struct stream *s, void *owner, unsigned ready)
{
	struct talker *t = owner;
	size_t until;

	if (ready & STREAM_READABLE)
		talker_read(t);
	talker_write(t);
	if (t->failed || (t->ended && t->finished)) {
		stream_close(s);
		return;
	}
	until = t->out ? t->out_len : t->received;
	stream_want(s, (t->ended ? 0u : STREAM_READABLE) |
	                       (t->sent < until ? (unsigned)STREAM_WRITABLE : 0u));
}

static void talker_closed(struct stream *s __attribute__((unused)), void *owner)
{
	((struct talker *)owner)->closed = true;
}

static const struct stream_events talker_events = {.ready = talker_ready, .closed = talker_closed};

static void talker_open(struct talker *t, struct loop *l, int fd)
{
	t->s = stream_open(l, fd, &talker_events, t, NULL);
	assert_non_null(t->s);
	stream_want(t->s, STREAM_READABLE | (t->out ? (unsigned)STREAM_WRITABLE : 0u));
}

static void socket_pair(int fds[2], int buffer_bytes)
{
	int got = socketpair(AF_UNIX, SOCK_STREAM, 0, fds);

	assert_int_equal(got, 0);
	if (!buffer_bytes)
		return;
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes));
}

TEST(stream__echoes_a_megabyte_through_a_small_socket)
{
	enum { BYTES = 1 << 20 };
	struct fixture fx;
	struct talker asks = {.out_len = BYTES, .in_cap = BYTES}, echoes = {.in_cap = BYTES};
	uint8_t *out = malloc(BYTES);
	int fds[2];

	set_up(&fx);
	entropy_system()->fill(entropy_system(), out, BYTES);
	asks.out = out;
	asks.in = malloc(BYTES);
	echoes.in = malloc(BYTES);
	socket_pair(fds, 4096);
	talker_open(&asks, fx.l, fds[0]);
	talker_open(&echoes, fx.l, fds[1]);
	assert_true(loop_run_until(fx.l, &asks.closed, PATIENCE_MS));
	assert_int_equal(asks.failed, 0);
	assert_int_equal(asks.received, BYTES);
	assert_memory_equal(asks.in, out, BYTES);
	assert_true(asks.stalls > 0);
	assert_int_equal(metric(&fx, METRIC_BYTES_IN), 2 * BYTES);
	assert_int_equal(metric(&fx, METRIC_BYTES_OUT), 2 * BYTES);
	assert_true(loop_run_until(fx.l, &echoes.closed, PATIENCE_MS));
	tear_down(&fx);
	free(out);
	free(asks.in);
	free(echoes.in);
}

/* Counts what it is told, reads nothing. */
struct counter {
	unsigned ready[4]; /* by mask */
	bool told, closed;
};

static void counter_ready(struct stream *s __attribute__((unused)), void *owner, unsigned ready)
{
	struct counter *c = owner;

	c->ready[ready]++;
	c->told = true;
}

static void counter_closed(struct stream *s __attribute__((unused)), void *owner)
{
	((struct counter *)owner)->closed = true;
}

static const struct stream_events counter_events = {.ready = counter_ready,
                                                    .closed = counter_closed};

TEST(stream_want__only_what_is_wanted_is_told)
{
	struct fixture fx;
	struct counter c = {0};
	struct stream *s;
	bool never = false;
	int fds[2];

	set_up(&fx);
	socket_pair(fds, 0);
	s = stream_open(fx.l, fds[0], &counter_events, &c, NULL);
	stream_want(s, STREAM_READABLE);
	assert_false(loop_run_until(fx.l, &never, 5));
	assert_int_equal(write(fds[1], "x", 1), 1);
	stream_want(s, 0);
	fx.clock.asked = 0;
	assert_false(loop_run_until(fx.l, &never, 20));
	assert_false(c.told);
	assert_true(fx.clock.asked < 10); /* it slept, though there is something to read */
	stream_want(s, STREAM_WRITABLE);
	assert_true(loop_run_until(fx.l, &c.told, PATIENCE_MS));
	assert_true(c.ready[STREAM_WRITABLE] > 0);
	c.told = false;
	stream_want(s, STREAM_READABLE);
	assert_true(loop_run_until(fx.l, &c.told, PATIENCE_MS));
	assert_true(c.ready[STREAM_READABLE] > 0);
	stream_close(s);
	assert_true(loop_run_until(fx.l, &c.closed, PATIENCE_MS));
	close(fds[1]);
	tear_down(&fx);
}

TEST(stream_close__nothing_is_told_after_it_but_closed)
{
	struct fixture fx;
	struct counter c = {0};
	struct stream *s;
	int fds[2];

	set_up(&fx);
	socket_pair(fds, 0);
	s = stream_open(fx.l, fds[0], &counter_events, &c, NULL);
	stream_want(s, STREAM_WRITABLE);
	stream_close(s);
	assert_false(c.closed); /* never from inside the call */
	assert_true(loop_run_until(fx.l, &c.closed, PATIENCE_MS));
	assert_false(c.told);
	close(fds[1]);
	tear_down(&fx);
}

/* Two ends of a TCP connection on loopback. */
static void tcp_pair(int fds[2])
{
	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in4);
	int listening = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(listening, (struct sockaddr *)&in4, sizeof(in4)), 0);
	assert_int_equal(listen(listening, 1), 0);
	getsockname(listening, (struct sockaddr *)&in4, &len);
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fds[0], (struct sockaddr *)&in4, sizeof(in4)), 0);
	fds[1] = accept(listening, NULL, NULL);
	close(listening);
}

TEST(stream__a_reset_is_found_by_whoever_wants_to_read)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	struct fixture fx;
	struct counter c = {0};
	struct stream *s;
	bool never = false;
	char byte;
	int fds[2];

	set_up(&fx);
	tcp_pair(fds);
	s = stream_open(fx.l, fds[0], &counter_events, &c, NULL);
	stream_want(s, STREAM_READABLE);
	assert_false(loop_run_until(fx.l, &never, 5));
	stream_want(s, 0);
	setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fds[1]);
	fx.clock.asked = 0;
	assert_false(loop_run_until(fx.l, &never, 20));
	assert_false(c.told);
	assert_true(fx.clock.asked < 10);
	stream_want(s, STREAM_READABLE);
	assert_true(loop_run_until(fx.l, &c.told, PATIENCE_MS));
	assert_int_equal(stream_read(s, &byte, 1), -ECONNRESET);
	stream_close(s);
	assert_true(loop_run_until(fx.l, &c.closed, PATIENCE_MS));
	tear_down(&fx);
}

/* Notes the turn's moment, and lets time pass. */
struct watcher {
	int64_t now_us;
	bool told;
};

static void watcher_ready(struct stream *s, void *owner, unsigned ready __attribute__((unused)))
{
	struct clock *clock = clock_system();
	struct watcher *w = owner;

	w->now_us = loop_now(stream_loop(s)).mono_us;
	w->told = true;
	while (clock->now(clock).mono_us < w->now_us + 2000)
		;
	stream_close(s);
}

static void watcher_closed(struct stream *s __attribute__((unused)),
                           void *owner __attribute__((unused)))
{
}

TEST(stream__all_that_is_ready_at_once_sees_one_moment)
{
	static const struct stream_events events = {watcher_ready, watcher_closed};
	struct watcher watchers[2] = {0};
	struct fixture fx;
	int fds[2];

	set_up(&fx);
	socket_pair(fds, 0);
	for (unsigned i = 0; i < 2; i++)
		stream_want(stream_open(fx.l, fds[i], &events, &watchers[i], NULL),
		            STREAM_WRITABLE);
	assert_true(loop_run_until(fx.l, &watchers[0].told, PATIENCE_MS));
	assert_true(watchers[1].told);
	assert_int_equal(watchers[0].now_us, watchers[1].now_us);
	tear_down(&fx);
}

TEST(stream_open__a_descriptor_that_cannot_be_watched_is_a_fault)
{
	struct counter c = {0};
	struct fixture fx;
	struct fault f;
	int fd = open("/dev/null", O_RDONLY); /* epoll refuses it */

	set_up(&fx);
	assert_null(stream_open(fx.l, fd, &counter_events, &c, &f));
	assert_int_equal(f.code, ERR_INTERNAL);
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed */
	tear_down(&fx);
}

/* --- listening ----------------------------------------------------------------------- */

struct hall {
	struct loop *l;
	int fds[64];
	struct sockaddr_storage peers[64];
	unsigned guests, expected;
	bool all;
};

static void hall_accept(void *arg, int fd, const struct sockaddr_storage *peer)
{
	struct hall *h = arg;

	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	h->peers[h->guests] = *peer;
	h->fds[h->guests++] = fd;
	h->all = h->guests == h->expected;
}

static int connect_to(int family, uint16_t port)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET,
	                          .sin_port = htons(port),
	                          .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
	                           .sin6_port = htons(port),
	                           .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(family, SOCK_STREAM, 0);

	if (fd < 0)
		return -1;
	if (family == AF_INET ? connect(fd, (struct sockaddr *)&in4, sizeof(in4)) == 0
	                      : connect(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0)
		return fd;
	close(fd);
	return -1;
}

static bool has_ipv6(void)
{
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = socket(AF_INET6, SOCK_STREAM, 0);
	bool has = fd >= 0 && bind(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;

	if (fd >= 0)
		close(fd);
	return has;
}

TEST(listener__localhost_is_both_families_on_one_free_port)
{
	struct fixture fx;
	struct hall hall = {.expected = has_ipv6() ? 2 : 1};
	struct counter c = {0};
	struct listener *ln;
	struct stream *s;
	char expected[64];
	struct sockaddr_in self;
	socklen_t self_len = sizeof(self);
	int clients[2];

	set_up(&fx);
	ln = listener_open(fx.l, "localhost", 0, hall_accept, &hall, NULL);
	assert_non_null(ln);
	assert_true(listener_port(ln) > 0);
	clients[0] = connect_to(AF_INET, listener_port(ln));
	clients[1] = connect_to(AF_INET6, listener_port(ln));
	assert_true(clients[0] >= 0);
	assert_true(clients[1] >= 0 || !has_ipv6());
	assert_true(loop_run_until(fx.l, &hall.all, PATIENCE_MS));
	assert_int_equal(metric(&fx, METRIC_ACCEPTED), hall.expected);

	for (unsigned i = 0; i < hall.guests; i++) {
		c.closed = false;
		s = stream_open(fx.l, hall.fds[i], &counter_events, &c, NULL);
		assert_true(stream_peer_is_loopback(s));
		getsockname(clients[0], (struct sockaddr *)&self, &self_len);
		snprintf(expected, sizeof(expected), "127.0.0.1:%u", ntohs(self.sin_port));
		if (hall.peers[i].ss_family == AF_INET)
			assert_string_equal(stream_peer(s), expected);
		else
			assert_memory_equal(stream_peer(s), "[::1]:", 6);
		stream_close(s);
		assert_true(loop_run_until(fx.l, &c.closed, PATIENCE_MS));
	}
	listener_close(ln);
	tear_down(&fx);
	close(clients[0]);
	close(clients[1]);
}

static int option_of(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_int_equal(getsockopt(fd, level, option, &value, &len), 0);
	return value;
}

TEST(stream_reap__asks_the_kernel_to_look_after_the_peer)
{
	struct fixture fx;
	struct hall hall = {.expected = 1};
	struct counter c = {0};
	struct listener *ln;
	struct stream *s;
	int client, fd;

	set_up(&fx);
	ln = listener_open(fx.l, "127.0.0.1", 0, hall_accept, &hall, NULL);
	client = connect_to(AF_INET, listener_port(ln));
	assert_true(loop_run_until(fx.l, &hall.all, PATIENCE_MS));
	fd = hall.fds[0];
	s = stream_open(fx.l, fd, &counter_events, &c, NULL);
	stream_reap(s, 75000);
	assert_int_equal(option_of(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), 20);
	assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), 10);
	assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 75000);
	stream_reap(s, INT64_MAX);
	assert_int_equal(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), INT_MAX);
	stream_close(s);
	assert_true(loop_run_until(fx.l, &c.closed, PATIENCE_MS));
	listener_close(ln);
	tear_down(&fx);
	close(client);
}

TEST(listener__a_used_port_is_named_with_a_remedy)
{
	struct fixture fx;
	struct hall hall = {0};
	struct listener *ln;
	char expected[64];
	struct fault f;

	set_up(&fx);
	ln = listener_open(fx.l, "127.0.0.1", 0, hall_accept, &hall, NULL);
	assert_non_null(ln);
	assert_null(listener_open(fx.l, "localhost", listener_port(ln), hall_accept, &hall, &f));
	assert_int_equal(f.code, ERR_LISTEN);
	assert_int_equal(f.os_errno, EADDRINUSE);
	snprintf(expected, sizeof(expected), "127.0.0.1:%u is used by", listener_port(ln));
	assert_memory_equal(f.where, expected, strlen(expected));
	listener_close(ln);
	tear_down(&fx);
}

TEST(listener__an_unknown_or_foreign_host_is_a_fault)
{
	struct fixture fx;
	struct hall hall = {0};
	struct fault f;

	set_up(&fx);
	assert_null(listener_open(fx.l, "no such host", 0, hall_accept, &hall, &f));
	assert_int_equal(f.code, ERR_LISTEN);
	assert_null(listener_open(fx.l, "192.0.2.1", 0, hall_accept, &hall, &f));
	assert_int_equal(f.os_errno, EADDRNOTAVAIL);
	tear_down(&fx);
}

/* Use up all descriptors below a low limit; returns how many it opened. */
static unsigned use_up_descriptors(int *into, unsigned max)
{
	unsigned count = 0;

	while (count < max && (into[count] = dup(STDERR_FILENO)) >= 0)
		count++;
	assert_int_equal(errno, EMFILE);
	return count;
}

TEST(listener__without_descriptors_waiting_peers_are_closed_at_once)
{
	struct fixture fx;
	struct hall hall = {.expected = 1};
	struct rlimit usual, low;
	struct listener *ln;
	int hoard[256], clients[3];
	unsigned hoarded;
	bool never = false;
	char byte;

	set_up(&fx);
	hall.l = fx.l;
	ln = listener_open(fx.l, "127.0.0.1", 0, hall_accept, &hall, NULL);
	for (unsigned i = 0; i < 3; i++)
		clients[i] = connect_to(AF_INET, listener_port(ln));
	getrlimit(RLIMIT_NOFILE, &usual);
	low = (struct rlimit){.rlim_cur = 200, .rlim_max = usual.rlim_max};
	setrlimit(RLIMIT_NOFILE, &low);
	hoarded = use_up_descriptors(hoard, 256);

	assert_false(loop_run_until(fx.l, &never, 20));
	assert_int_equal(hall.guests, 0);
	assert_int_equal(metric(&fx, METRIC_REFUSED), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(read(clients[i], &byte, 1) <= 0); /* told at once */
		close(clients[i]);
	}

	while (hoarded > 0)
		close(hoard[--hoarded]);
	setrlimit(RLIMIT_NOFILE, &usual);
	clients[0] = connect_to(AF_INET, listener_port(ln));
	assert_true(loop_run_until(fx.l, &hall.all, PATIENCE_MS));
	close(hall.fds[0]);
	close(clients[0]);
	listener_close(ln);
	tear_down(&fx);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(stream__echoes_a_megabyte_through_a_small_socket),
		cmocka_unit_test(stream_want__only_what_is_wanted_is_told),
		cmocka_unit_test(stream_close__nothing_is_told_after_it_but_closed),
		cmocka_unit_test(stream__a_reset_is_found_by_whoever_wants_to_read),
		cmocka_unit_test(stream__all_that_is_ready_at_once_sees_one_moment),
		cmocka_unit_test(stream_open__a_descriptor_that_cannot_be_watched_is_a_fault),
		cmocka_unit_test(listener__localhost_is_both_families_on_one_free_port),
		cmocka_unit_test(stream_reap__asks_the_kernel_to_look_after_the_peer),
		cmocka_unit_test(listener__a_used_port_is_named_with_a_remedy),
		cmocka_unit_test(listener__an_unknown_or_foreign_host_is_a_fault),
		cmocka_unit_test(listener__without_descriptors_waiting_peers_are_closed_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
