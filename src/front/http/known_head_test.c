/* The same head again, through real sockets: it asks for the same, and nothing that may change in
 * between is taken from memory. */
#include "front/testing/front_fixture.h"

#include "base/test.h"

#include <stdlib.h>

#define HOST             "Host: localhost:3030\r\n"
#define POST(path, more) "POST " path " HTTP/1.1\r\n" HOST more "Content-Length: 5\r\n\r\n"
#define JSON             "Content-Type: application/json\r\n"

static struct front_fixture fx;
static struct peer peer;

static int setup(void **state)
{
	(void)state;
	peer = (struct peer){.fd = -1};
	front_fixture_init(&fx);
	front_fixture_start(&fx, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	peer_close(&peer);
	front_fixture_stop(&fx);
	return 0;
}

static const char *ask(const char *requests)
{
	peer_close(&peer);
	return peer_ask(&peer, &fx, requests);
}

TEST(known_head__asks_for_the_same)
{
	ask(POST("/produce/a", JSON "Event-Header-X: 1\r\nce-id: 7\r\n") "\"one\"" POST(
		"/produce/a", JSON
		"Event-Header-X: 1\r\nce-id: 7\r\n") "\"two\"" POST("/produce/a", JSON
	                                                            "Event-Header-X: 1\r\nce-id: 7\r\n") "[333]"
	                                                                                                 "GET /consume/a HTTP/1.1\r\n" HOST
	                                                                                                 "\r\n");
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 3);
	assert_int_equal(peer_count(&peer, "[[\"x\",\"1\"],[\"ce_id\",\"7\"]]"), 3);
	assert_int_equal(peer_count(&peer, "\"encoding\":\"json\""), 3);
	assert_true(peer_has(&peer, "\"value\":\"two\""));
	assert_true(peer_has(&peer, "\"value\":[333]"));
}

TEST(known_head__another_asks_for_something_else)
{
	ask(POST("/produce/a", "") "one.." POST("/produce/a", "") "two.." POST("/produce/b", "") "three" POST("/produce/b", "Event-Key: k\r\n") "four." POST(
		"/produce/b",
		"Event-Key: k\r\n") "five." POST("/produce/b?ack=none",
	                                         "") "six.." POST("/produce/b?ack=none",
	                                                          "") "seven" POST("/produce/a",
	                                                                           "") "eight"
	                                                                               "GET /consume/b HTTP/1.1\r\n" HOST
	                                                                               "\r\n");
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 6);
	assert_int_equal(peer_count(&peer, "HTTP/1.1 202"), 2);
	assert_true(peer_has(&peer, "{\"topic\":\"a\",\"partition\":0,\"offset\":2,"));
	assert_int_equal(peer_count(&peer, "\"key\":\"k\""), 2);
	assert_true(peer_has(&peer, "\"value\":\"seven\""));
}

TEST(known_head__the_body_is_held_against_its_type_each_time)
{
	ask(POST("/produce/a", JSON) "12345" POST("/produce/a", JSON) "12345" POST(
		"/produce/a", JSON) "{{{{{" POST("/produce/a", JSON) "12345");
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 3);
	assert_int_equal(peer_count(&peer, "\"code\":\"bad_json\""), 1);
}

TEST(known_head__a_refused_one_is_refused_again)
{
	const char *const foreign = "POST /produce/a HTTP/1.1\r\nHost: evil.example\r\n"
				    "Content-Length: 0\r\n\r\n";
	const char *const page = "POST /produce/a HTTP/1.1\r\n" HOST
				 "Origin: http://evil.example\r\nContent-Length: 0\r\n\r\n";
	struct buf all = BUF_INIT(1 << 16);

	for (int i = 0; i < 3; i++) {
		buf_append_str(&all, POST("/produce/a", "") "hello");
		buf_append_str(&all, foreign);
		buf_append_str(&all, foreign);
		buf_append_str(&all, page);
		buf_append_str(&all, page);
	}
	buf_append(&all, "", 1);
	ask((const char *)all.ptr);
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 3);
	assert_int_equal(peer_count(&peer, "HTTP/1.1 421"), 6);
	assert_int_equal(peer_count(&peer, "HTTP/1.1 403"), 6);
	buf_fini(&all);
}

TEST(known_head__the_topic_is_looked_for_each_time)
{
	ask(POST("/produce/a", "") "one.." POST(
		"/produce/a", "") "two.."
	                          "DELETE /v1/topics/a HTTP/1.1\r\n" HOST "\r\n" POST(
					  "/produce/a", "") "three" POST("/produce/a", "") "four.");
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 4);
	assert_int_equal(peer_count(&peer, "HTTP/1.1 204"), 1);
	assert_int_equal(peer_count(&peer, "\"offset\":0,"), 2);
	assert_int_equal(peer_count(&peer, "\"offset\":1,"), 2);
}

TEST(known_head__of_another_connection_is_as_good)
{
	for (int i = 0; i < 3; i++) {
		ask(POST("/produce/a", "Expected-Offset: 0\r\n") "hello");
		assert_true(peer_has(&peer, i ? "HTTP/1.1 409" : "HTTP/1.1 201"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(known_head__asks_for_the_same),
		T(known_head__another_asks_for_something_else),
		T(known_head__the_body_is_held_against_its_type_each_time),
		T(known_head__a_refused_one_is_refused_again),
		T(known_head__the_topic_is_looked_for_each_time),
		T(known_head__of_another_connection_is_as_good),
#undef T
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
