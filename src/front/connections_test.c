/* /v1/connections on one shard; over several: tests/e2e/test_connections.py. */
#include "front/connections.h"
#include "front/testing/front_fixture.h"

#include "base/test.h"

#include <stdio.h>

#define HOST "Host: localhost:3030\r\n"
#define UPGRADE                                                                                    \
	HOST "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"          \
	     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

static struct front_fixture fx;
static struct peer admin; /* asks */
static struct peer peer;  /* is asked about: the first connection */

static int setup(void **state)
{
	(void)state;
	admin = (struct peer){.fd = -1};
	front_fixture_init(&fx);
	fx.config.limits.output_bytes = 64 << 10;
	front_fixture_start(&fx, 1);
	peer_connect(&peer, &fx);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	peer_close(&peer);
	peer_close(&admin);
	front_fixture_stop(&fx);
	return 0;
}

/* The peer says `text`, and what it is answered begins with `answer`. */
static void peer_does(const char *text, const char *answer)
{
	peer_say(&peer, text);
	assert_true(peer_wait_text(&peer, answer));
}

static void ask(const char *method, const char *path)
{
	char request[256];

	snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\n" HOST "\r\n", method, path);
	peer_close(&admin);
	peer_ask(&admin, &fx, request);
}

static void expect(const char *text)
{
	if (!peer_has(&admin, text))
		print_error("not in the answer: %s\n%s\n", text, (char *)admin.got.ptr);
	assert_true(peer_has(&admin, text));
}

/* --- ids -------------------------------------------------------------------------------------- */

TEST(connection_id__what_is_none_is_refused)
{
	static const char *const bad[] = {"",    "1",     "-1",      "0-",
	                                  "0-0", "0--1",  "a-1",     "0-1-2",
	                                  "0-b", "-1--1", "70000-1", "0-99999999999999999999"};
	struct connection_id id;

	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_false(connection_id_parse(slice_str(bad[i]), &id));
	assert_true(connection_id_parse(SLICE_LIT("3-17"), &id));
	assert_int_equal(id.shard, 3);
	assert_int_equal(id.number, 17);
}

/* --- who is there ----------------------------------------------------------------------------- */

TEST(connections__an_idle_one_says_who_it_is)
{
	char text[128];

	peer_does("GET /livez HTTP/1.1\r\n" HOST "\r\n", "\r\n\r\nok\n");
	ask("GET", "/v1/connections");
	expect("HTTP/1.1 200 OK\r\n");
	expect("{\"connections\":[{\"id\":\"0-1\",\"protocol\":\"http\",\"peer\":\"127.0.0.1:");
	snprintf(text, sizeof(text),
	         "\"pending_bytes\":0,\"sent_bytes\":%zu,\"slow\":false,\"subscriptions\":[]},",
	         peer.got.len);
	expect(text);
	expect("{\"id\":\"0-2\",");
	expect("],\"total\":2}\n");
}

TEST(connections__a_subscription_says_where_it_stands)
{
	peer_does("POST /produce/t HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n1", "\"offset\":0");
	peer_does("GET /subscribe/t?offset=0 HTTP/1.1\r\n" UPGRADE, "HTTP/1.1 101");
	assert_true(peer_wait_text(&peer, "\r\n\r\n\x81\x01"
	                                  "1"));
	ask("GET", "/v1/connections/0-1");
	expect("{\"id\":\"0-1\",\"protocol\":\"websocket\",");
	expect("\"subscriptions\":[{\"topic\":\"t\",\"partition\":0,\"next_offset\":1,\"lag\":0}]}\n");
}

TEST(connections__a_stream_says_what_it_waits_for)
{
	peer_does("GET /subscribe/later HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 200");
	ask("GET", "/v1/connections");
	expect("\"protocol\":\"ndjson\",");
	expect("\"subscriptions\":[{\"topic\":\"later\"}]}");
}

TEST(connections__one_that_does_not_read_is_slow)
{
	static char body[64 << 10];
	char head[128];

	memset(body, 'x', sizeof(body));
	snprintf(head, sizeof(head),
	         "POST /produce/t HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n", sizeof(body));
	for (int i = 0; i < 200; i++) {
		peer_say(&peer, head);
		peer_send(&peer, body, sizeof(body));
	}
	peer_does("", "\"offset\":199");
	peer_say(&peer, "GET /subscribe/t?offset=0 HTTP/1.1\r\n" HOST "\r\n");
	do
		ask("GET", "/v1/connections/0-1");
	while (!peer_has(&admin, "\"slow\":true"));
	expect("\"protocol\":\"ndjson\",");
	assert_false(peer_has(&admin, "\"pending_bytes\":0,"));
	assert_false(peer_has(&admin, "\"lag\":0"));
	ask("DELETE", "/v1/connections/0-1");
	expect("HTTP/1.1 204 No Content\r\n");
	assert_int_equal(front_connection_count(fx.front), 0);
}

TEST(connections__those_beyond_the_limit_are_counted)
{
	ask("GET", "/v1/connections?limit=1");
	assert_int_equal(peer_count(&admin, "\"id\":"), 1);
	expect("\"id\":\"0-1\"");
	expect("],\"total\":2}\n");
	ask("GET", "/v1/connections?limit=0");
	expect("\"code\":\"bad_parameter\"");
}

TEST(connections__an_unknown_one_is_404)
{
	ask("GET", "/v1/connections/0-99");
	expect("HTTP/1.1 404");
	expect("\"code\":\"connection_unknown\"");
	ask("DELETE", "/v1/connections/1-1");
	expect("\"code\":\"connection_unknown\"");
	ask("DELETE", "/v1/connections/nobody");
	expect("\"code\":\"connection_unknown\"");
	ask("POST", "/v1/connections/0-1");
	expect("HTTP/1.1 405");
	expect("Allow: GET, HEAD, DELETE, OPTIONS\r\n");
}

/* --- closing ---------------------------------------------------------------------------------- */

static void kick(void)
{
	ask("DELETE", "/v1/connections/0-1");
	expect("HTTP/1.1 204 No Content\r\n");
}

TEST(kick__an_idle_one_is_closed)
{
	peer_does("GET /livez HTTP/1.1\r\n" HOST "\r\n", "\r\n\r\nok\n");
	kick();
	assert_true(peer_wait_end(&peer));
}

TEST(kick__one_that_waits_is_answered_then_closed)
{
	peer_does("POST /produce/t HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n1", "\"offset\":0");
	peer_forget(&peer);
	peer_say(&peer, "GET /consume/t?offset=end&wait=60s HTTP/1.1\r\n" HOST "\r\n");
	kick();
	assert_true(peer_wait_end(&peer));
	assert_true(peer_has(&peer, "HTTP/1.1 200 OK\r\n"));
	assert_true(peer_has(&peer, "Connection: close\r\n"));
}

TEST(kick__a_stream_ends)
{
	peer_does("GET /subscribe/t HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 200");
	kick();
	assert_true(peer_wait_end(&peer));
	assert_true(peer_has(&peer, "0\r\n\r\n"));
}

TEST(kick__a_websocket_is_told)
{
	peer_does("GET /subscribe/t HTTP/1.1\r\n" UPGRADE, "\r\n\r\n");
	kick();
	assert_true(peer_wait_text(&peer, "\x88\x1c\x03\xf0"
	                                  "closed by an administrator"));
	peer_send(&peer, "\x88\x80\0\0\0\0", 6);
	assert_true(peer_wait_end(&peer));
}

TEST(kick__oneself_is_answered)
{
	peer_does("DELETE /v1/connections/0-1 HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 204");
	assert_true(peer_wait_end(&peer));
	assert_true(peer_has(&peer, "Connection: close\r\n"));
}

TEST(kick__not_by_a_foreign_page)
{
	peer_does("DELETE /v1/connections/0-1 HTTP/1.1\r\n" HOST
	          "Origin: https://evil.example\r\n\r\n",
	          "\"code\":\"foreign_origin\"");
	ask("GET", "/v1/connections/0-1");
	expect("HTTP/1.1 200 OK\r\n");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, stop)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connection_id__what_is_none_is_refused),
		T(connections__an_idle_one_says_who_it_is),
		T(connections__a_subscription_says_where_it_stands),
		T(connections__a_stream_says_what_it_waits_for),
		T(connections__one_that_does_not_read_is_slow),
		T(connections__those_beyond_the_limit_are_counted),
		T(connections__an_unknown_one_is_404),
		T(kick__an_idle_one_is_closed),
		T(kick__one_that_waits_is_answered_then_closed),
		T(kick__a_stream_ends),
		T(kick__a_websocket_is_told),
		T(kick__oneself_is_answered),
		T(kick__not_by_a_foreign_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
