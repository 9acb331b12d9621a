/* What a client may use up, and how long it may take: with the deadlines made short. */
#include "front/testing/front_fixture.h"

#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>

#define HOST       "Host: localhost:3030\r\n"
#define POST_HELLO "POST /produce/t HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"

static struct front_fixture fx;
static struct peer peer;

static int setup(void **state)
{
	(void)state;
	peer = (struct peer){.fd = -1};
	front_fixture_init(&fx);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	peer_close(&peer);
	front_fixture_stop(&fx);
	return 0;
}

TEST(head__must_come_in_time)
{
	fx.config.limits.header_ms = 40;
	front_fixture_start(&fx, 1);
	peer_connect(&peer, &fx);
	peer_say(&peer, "POST /produce/t HT");
	assert_true(peer_wait_end(&peer));
	assert_true(peer_has(&peer, "HTTP/1.1 408"));
	assert_true(peer_has(&peer, "\"code\":\"request_timeout\""));
}

TEST(idle__is_closed_without_a_word)
{
	fx.config.limits.idle_ms = 40;
	front_fixture_start(&fx, 1);
	peer_connect(&peer, &fx);
	assert_true(peer_wait_end(&peer));
	assert_int_equal(peer.got.len, 0);
}

TEST(idle__begins_anew_after_each_request)
{
	fx.config.limits.idle_ms = 300;
	front_fixture_start(&fx, 1);
	peer_connect(&peer, &fx);
	for (int i = 0; i < 3; i++) {
		peer_forget(&peer);
		peer_say(&peer, POST_HELLO);
		assert_true(peer_wait_text(&peer, "HTTP/1.1 201"));
		front_fixture_run(&fx, 150);
		assert_false(peer.ended);
	}
}

TEST(body__must_advance)
{
	fx.config.limits.body_window_ms = 40;
	front_fixture_start(&fx, 1);
	peer_connect(&peer, &fx);
	peer_say(&peer, "POST /produce/t HTTP/1.1\r\n" HOST "Content-Length: 100000\r\n\r\nslow");
	assert_true(peer_wait_end(&peer));
	assert_true(peer_has(&peer, "HTTP/1.1 408"));
}

TEST(body__that_advances_is_waited_for)
{
	fx.config.limits.body_window_ms = 100;
	fx.config.limits.body_window_bytes = 4;
	front_fixture_start(&fx, 1);
	peer_connect(&peer, &fx);
	peer_say(&peer, "POST /produce/t HTTP/1.1\r\n" HOST "Content-Length: 50\r\n\r\n");
	for (int i = 0; i < 10; i++) {
		peer_say(&peer, "12345");
		front_fixture_run(&fx, 30);
	}
	assert_true(peer_wait_text(&peer, "HTTP/1.1 201"));
}

/* 20 MB of answers that nobody takes. */
TEST(output__that_nobody_takes_ends_the_connection)
{
	static char body[1 << 20];
	struct produced produced;

	fx.config.limits.stall_ms = 60;
	front_fixture_start(&fx, 1);
	memset(body, 'x', sizeof(body) - 1);
	produced_init(&produced, &fx.broker, 0, "t", body);
	produced_start(&produced);
	signal_wait(&fx.broker, &produced.done);
	peer_connect(&peer, &fx);
	for (int i = 0; i < 40; i++)
		peer_say(&peer, "GET /v1/topics/t/events/0 HTTP/1.1\r\n" HOST "\r\n");
	for (int i = 0; i < 1000 && front_connection_count(fx.front) > 0; i++)
		front_fixture_run(&fx, 10);
	assert_int_equal(front_connection_count(fx.front), 0);
}

TEST(output__waits_for_a_slow_reader_and_loses_nothing)
{
	static char body[1 << 20];
	struct produced produced;

	front_fixture_start(&fx, 1);
	memset(body, 'x', sizeof(body) - 1);
	produced_init(&produced, &fx.broker, 0, "t", body);
	produced_start(&produced);
	signal_wait(&fx.broker, &produced.done);
	peer_connect(&peer, &fx);
	for (int i = 0; i < 20; i++)
		peer_say(&peer, "GET /v1/topics/t/events/0 HTTP/1.1\r\n" HOST "\r\n");
	front_fixture_run(&fx, 50);
	assert_true(peer_wait_bytes(&peer, 20 * sizeof(body)));
	assert_int_equal(peer_count(&peer, "HTTP/1.1 200 OK"), 20);
}

TEST(pipelined__more_than_may_be_under_way)
{
	struct buf requests = BUF_INIT(1 << 20);

	fx.config.limits.pipelined = 4;
	front_fixture_start(&fx, 1);
	for (int i = 0; i < 1000; i++)
		buf_append_lit(&requests, POST_HELLO);
	peer_connect(&peer, &fx);
	peer_send(&peer, requests.ptr, requests.len);
	buf_fini(&requests);
	assert_true(peer_wait_text(&peer, "\"offset\":999,"));
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 1000);
}

TEST(pipelined__more_than_the_broker_has_credits_for)
{
	struct buf requests = BUF_INIT(1 << 20);
	struct peer other;

	front_fixture_start(&fx, 1);
	for (int i = 0; i < 500; i++)
		buf_append_lit(&requests, POST_HELLO);
	peer_connect(&peer, &fx);
	peer_connect(&other, &fx);
	peer_send(&peer, requests.ptr, requests.len);
	peer_send(&other, requests.ptr, requests.len);
	buf_fini(&requests);
	assert_true(peer_wait_text(&peer, "\r\n\r\n"));
	for (int i = 0; i < 2000 && peer_count(&peer, "HTTP/1.1 201") < 500; i++)
		peer_wait_bytes(&peer, peer.got.len + 1);
	for (int i = 0; i < 2000 && peer_count(&other, "HTTP/1.1 201") < 500; i++)
		peer_wait_bytes(&other, other.got.len + 1);
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 500);
	assert_int_equal(peer_count(&other, "HTTP/1.1 201"), 500);
	peer_close(&other);
}

static void refused(const char *request, const char *status)
{
	peer_connect(&peer, &fx);
	peer_say(&peer, request);
	assert_true(peer_wait_text(&peer, status));
	assert_true(peer_wait_end(&peer));
	peer_close(&peer);
}

TEST(sizes__line_fields_body)
{
	static char request[80000];
	size_t at;

	front_fixture_start(&fx, 1);
	memset(request, 'a', 9000);
	memcpy(request, "GET /", 5);
	snprintf(request + 9000, 100, " HTTP/1.1\r\n" HOST "\r\n");
	refused(request, "HTTP/1.1 414");

	at = (size_t)snprintf(request, sizeof(request), "GET /livez HTTP/1.1\r\n" HOST "X: ");
	memset(request + at, 'a', 40000);
	snprintf(request + at + 40000, 100, "\r\n\r\n");
	refused(request, "HTTP/1.1 431");

	at = (size_t)snprintf(request, sizeof(request), "GET /livez HTTP/1.1\r\n" HOST);
	for (int i = 0; i < 101; i++)
		at += (size_t)snprintf(request + at, sizeof(request) - at, "X: a\r\n");
	snprintf(request + at, sizeof(request) - at, "\r\n");
	refused(request, "HTTP/1.1 431");

	refused("POST /produce/t HTTP/1.1\r\n" HOST "Content-Length: 99999999999\r\n\r\n",
	        "HTTP/1.1 413");
	refused("POST /produce/t HTTP/1.1\r\n" HOST
	        "Content-Type: application/x-ndjson\r\nContent-Length: 16777217\r\n\r\n",
	        "HTTP/1.1 413");
	refused("PUT /v1/topics/t HTTP/1.1\r\n" HOST "Content-Length: 70000\r\n\r\n",
	        "HTTP/1.1 413");
}

TEST(events__more_than_a_request_may_have)
{
	fx.config.limits.request_events = 2;
	front_fixture_start(&fx, 1);
	peer_ask(&peer, &fx,
	         "POST /produce/t HTTP/1.1\r\n" HOST
	         "Content-Type: application/x-ndjson\r\nContent-Length: 6\r\n\r\n1\n2\n3\n");
	assert_true(peer_has(&peer, "HTTP/1.1 413"));
	assert_true(peer_has(&peer, "a request has at most 2 events"));
}

TEST(connections__beyond_the_limit_are_closed)
{
	struct peer other;

	fx.admission = admission_new(1, 1000);
	fx.config.admission = fx.admission;
	front_fixture_start(&fx, 1);
	peer_connect(&peer, &fx);
	peer_say(&peer, POST_HELLO);
	assert_true(peer_wait_text(&peer, "HTTP/1.1 201"));
	peer_connect(&other, &fx);
	assert_true(peer_wait_end(&other));
	peer_close(&other);
	peer_close(&peer);
	for (int i = 0; i < 1000 && front_connection_count(fx.front) > 0; i++)
		front_fixture_run(&fx, 2);
	peer_ask(&peer, &fx, POST_HELLO);
	assert_true(peer_has(&peer, "HTTP/1.1 201"));
}

/* --- stopping --------------------------------------------------------------------------------- */

TEST(stop__idle_connections_end_and_streams_end_cleanly)
{
	struct peer stream;
	bool stopped = false;

	front_fixture_start(&fx, 1);
	peer_connect(&peer, &fx);
	peer_say(&peer, POST_HELLO);
	assert_true(peer_wait_text(&peer, "HTTP/1.1 201"));
	peer_connect(&stream, &fx);
	peer_say(&stream, "GET /subscribe/t HTTP/1.1\r\n" HOST "\r\n");
	assert_true(peer_wait_text(&stream, "HTTP/1.1 200"));
	front_stop(fx.front, front_fixture_noted, &stopped);
	assert_true(peer_wait_end(&peer));
	assert_true(peer_wait_end(&stream));
	assert_true(peer_has(&stream, "\r\n0\r\n\r\n"));
	assert_true(loop_run_until(fx.broker.loops[0], &stopped, 1000));
	peer_close(&stream);
}

TEST(stop__what_was_asked_is_answered)
{
	bool stopped = false;

	front_fixture_start(&fx, 1);
	peer_connect(&peer, &fx);
	peer_say(&peer, "GET /consume/t?wait=50 HTTP/1.1\r\n" HOST "\r\n");
	peer_forget(&peer);
	peer_say(&peer, POST_HELLO);
	assert_true(peer_wait_text(&peer, "topic_unknown"));
	peer_forget(&peer);
	peer_say(&peer, "GET /consume/t?offset=end&wait=50 HTTP/1.1\r\n" HOST "\r\n");
	front_fixture_run(&fx, 30);
	front_stop(fx.front, front_fixture_noted, &stopped);
	assert_true(peer_wait_end(&peer));
	assert_true(peer_has(&peer, "\"events\":[]"));
	assert_true(peer_has(&peer, "Connection: close\r\n"));
	assert_true(loop_run_until(fx.broker.loops[0], &stopped, 1000));
}

TEST(stop__a_peer_that_does_not_go_is_cut_off)
{
	static char body[1 << 20];
	struct produced produced;
	bool stopped = false;

	fx.config.limits.stop_ms = 60;
	front_fixture_start(&fx, 1);
	memset(body, 'x', sizeof(body) - 1);
	produced_init(&produced, &fx.broker, 0, "t", body);
	produced_start(&produced);
	signal_wait(&fx.broker, &produced.done);
	peer_connect(&peer, &fx);
	for (int i = 0; i < 40; i++)
		peer_say(&peer, "GET /v1/topics/t/events/0 HTTP/1.1\r\n" HOST "\r\n");
	front_fixture_run(&fx, 30);
	front_stop(fx.front, front_fixture_noted, &stopped);
	assert_true(loop_run_until(fx.broker.loops[0], &stopped, 5000));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(head__must_come_in_time),
		T(idle__is_closed_without_a_word),
		T(idle__begins_anew_after_each_request),
		T(body__must_advance),
		T(body__that_advances_is_waited_for),
		T(output__that_nobody_takes_ends_the_connection),
		T(output__waits_for_a_slow_reader_and_loses_nothing),
		T(pipelined__more_than_may_be_under_way),
		T(pipelined__more_than_the_broker_has_credits_for),
		T(sizes__line_fields_body),
		T(events__more_than_a_request_may_have),
		T(connections__beyond_the_limit_are_closed),
		T(stop__idle_connections_end_and_streams_end_cleanly),
		T(stop__what_was_asked_is_answered),
		T(stop__a_peer_that_does_not_go_is_cut_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
