/* The same head again, through real sockets: it asks for the same, and nothing that may change in
 * between is taken from memory. */
#include "front/testing/front_fixture.h"

#include "base/test.h"

#include <string.h>

#define JSON "Content-Type: application/json\r\n"

static struct front_fixture fx;
static struct peer peer;
static struct buf asked; /* requests, to be sent at once */

static int setup(void **state)
{
	(void)state;
	peer = (struct peer){.fd = -1};
	asked = BUF_INIT(1 << 16);
	front_fixture_init(&fx);
	front_fixture_start(&fx, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	peer_close(&peer);
	buf_fini(&asked);
	front_fixture_stop(&fx);
	return 0;
}

/* One request more to be asked. */
static void add(const char *method, const char *path, const char *fields, const char *body)
{
	buf_printf(&asked, "%s %s HTTP/1.1\r\n%s", method, path, fields);
	if (!strstr(fields, "Host:"))
		buf_append_lit(&asked, "Host: localhost:3030\r\n");
	if (body)
		buf_printf(&asked, "Content-Length: %zu\r\n", strlen(body));
	buf_printf(&asked, "\r\n%s", body ? body : "");
}

static void post(const char *path, const char *fields, const char *body)
{
	add("POST", path, fields, body);
}

/* All that was added, at once, on a new connection. */
static void ask(void)
{
	buf_append(&asked, "", 1);
	assert_false(asked.failed);
	peer_close(&peer);
	peer_ask(&peer, &fx, (const char *)asked.ptr);
	buf_clear(&asked);
}

TEST(known_head__asks_for_the_same)
{
	static const char fields[] = JSON "Event-Header-X: 1\r\nce-id: 7\r\n";

	post("/produce/a", fields, "\"one\"");
	post("/produce/a", fields, "\"two\"");
	post("/produce/a", fields, "[333]");
	add("GET", "/consume/a", "", NULL);
	ask();
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 3);
	assert_int_equal(peer_count(&peer, "[[\"x\",\"1\"],[\"ce_id\",\"7\"]]"), 3);
	assert_int_equal(peer_count(&peer, "\"encoding\":\"json\""), 3);
	assert_true(peer_has(&peer, "\"value\":\"two\""));
	assert_true(peer_has(&peer, "\"value\":[333]"));
}

TEST(known_head__another_asks_for_something_else)
{
	post("/produce/a", "", "one..");
	post("/produce/a", "", "two..");
	post("/produce/b", "", "three");
	post("/produce/b", "Event-Key: k\r\n", "four.");
	post("/produce/b", "Event-Key: k\r\n", "five.");
	post("/produce/b?ack=none", "", "six..");
	post("/produce/b?ack=none", "", "seven");
	post("/produce/a", "", "eight");
	add("GET", "/consume/b", "", NULL);
	ask();
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 6);
	assert_int_equal(peer_count(&peer, "HTTP/1.1 202"), 2);
	assert_true(peer_has(&peer, "{\"topic\":\"a\",\"partition\":0,\"offset\":2,"));
	assert_int_equal(peer_count(&peer, "\"key\":\"k\""), 2);
	assert_true(peer_has(&peer, "\"value\":\"seven\""));
}

TEST(known_head__the_body_is_held_against_its_type_each_time)
{
	post("/produce/a", JSON, "12345");
	post("/produce/a", JSON, "12345");
	post("/produce/a", JSON, "{{{{{");
	post("/produce/a", JSON, "12345");
	ask();
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 3);
	assert_int_equal(peer_count(&peer, "\"code\":\"bad_json\""), 1);
}

TEST(known_head__a_refused_one_is_refused_again)
{
	for (int i = 0; i < 3; i++) {
		post("/produce/a", "", "hello");
		post("/produce/a", "Host: evil.example\r\n", "");
		post("/produce/a", "Host: evil.example\r\n", "");
		post("/produce/a", "Origin: http://evil.example\r\n", "");
		post("/produce/a", "Origin: http://evil.example\r\n", "");
	}
	ask();
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 3);
	assert_int_equal(peer_count(&peer, "HTTP/1.1 421"), 6);
	assert_int_equal(peer_count(&peer, "HTTP/1.1 403"), 6);
}

TEST(known_head__the_topic_is_looked_for_each_time)
{
	post("/produce/a", "", "one..");
	post("/produce/a", "", "two..");
	add("DELETE", "/v1/topics/a", "", NULL);
	post("/produce/a", "", "three");
	post("/produce/a", "", "four.");
	ask();
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 4);
	assert_int_equal(peer_count(&peer, "HTTP/1.1 204"), 1);
	assert_int_equal(peer_count(&peer, "\"offset\":0,"), 2);
	assert_int_equal(peer_count(&peer, "\"offset\":1,"), 2);
}

TEST(known_head__of_another_connection_is_as_good)
{
	for (int i = 0; i < 3; i++) {
		post("/produce/a", "Expected-Offset: 0\r\n", "hello");
		ask();
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
