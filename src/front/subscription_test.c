/* Streams of events as clients see them: what SSE and lines look like, how they resume, and that
 * sharing makes no difference. */
#include "front/shard.h"
#include "front/testing/front_fixture.h"

#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>

#define HOST "Host: localhost:3030\r\n"
#define SSE  "Accept: text/event-stream\r\n"

static struct front_fixture fx;
static struct peer peer;

static int start(uint32_t partitions)
{
	front_fixture_init(&fx);
	front_fixture_start(&fx, partitions);
	peer = (struct peer){.fd = -1};
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return start(1);
}

static int setup_partitions(void **state)
{
	(void)state;
	return start(3);
}

static int teardown(void **state)
{
	(void)state;
	peer_close(&peer);
	front_fixture_stop(&fx);
	return 0;
}

static void ask(const char *request)
{
	struct peer other;

	peer_ask(&other, &fx, request);
	if (!peer_has(&other, "HTTP/1.1 2"))
		print_error("%s\n%s\n", request, (char *)other.got.ptr);
	assert_true(peer_has(&other, "HTTP/1.1 2"));
	peer_close(&other);
}

static void post_as(const char *topic, const char *type, const char *body)
{
	char request[1024];

	snprintf(request, sizeof(request),
	         "POST /produce/%s HTTP/1.1\r\n" HOST "Content-Type: %s\r\n"
	         "Content-Length: %zu\r\n\r\n%s",
	         topic, type, strlen(body), body);
	ask(request);
}

static void post(const char *topic, const char *body)
{
	post_as(topic, "text/plain", body);
}

/* HTTP/1.0: the events stand there without chunks. */
static void open_stream(struct peer *p, const char *target, const char *fields)
{
	char request[2048];

	snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\n" HOST "%s\r\n", target, fields);
	peer_connect(p, &fx);
	peer_say(p, request);
	assert_true(peer_wait_text(p, "\r\n\r\n"));
}

static void expect(const char *text)
{
	if (!peer_wait_text(&peer, text))
		print_error("not in the stream: %s\n%s\n", text, (char *)peer.got.ptr);
	assert_true(peer_has(&peer, text));
}

static void expect_not(const char *text)
{
	assert_false(peer_has(&peer, text));
}

/* The id of the last event, as a header to resume with. */
static const char *last_id(const struct peer *p)
{
	static char field[1100];
	const char *at = (const char *)p->got.ptr, *id = NULL;

	while ((at = strstr(at, "id: ")))
		id = at += 4;
	assert_non_null(id);
	snprintf(field, sizeof(field), SSE "Last-Event-ID: %.*s\r\n", (int)strcspn(id, "\n"), id);
	return field;
}

/* --- Server-Sent Events ----------------------------------------------------------------------- */

TEST(sse__begins_with_its_place_then_events)
{
	post("t", "old");
	open_stream(&peer, "/subscribe/t", SSE);
	expect("Content-Type: text/event-stream\r\n");
	expect("Cache-Control: no-store\r\n");
	expect("X-Accel-Buffering: no\r\n");
	expect("\r\n\r\nretry: 1000\nid: 1\n\n");
	post("t", "one\ntwo");
	expect("id: 2\ndata: one\ndata: two\n\n");
	expect_not("old");
}

TEST(sse__says_what_is_no_text)
{
	open_stream(&peer, "/subscribe/t?offset=earliest", SSE);
	post_as("t", "application/octet-stream", "\x01\xff");
	expect("event: binary\ndata: Af8=\n\n");
	post("t", "a\rb");
	expect("event: binary\ndata: YQ1i\n\n");
	ask("POST /produce/t HTTP/1.1\r\n" HOST
	    "Event-Tombstone: true\r\nContent-Length: 0\r\n\r\n");
	expect("id: 3\nevent: tombstone\ndata: \n\n");
}

TEST(sse__chunks_of_http_1_1_hold_whole_events)
{
	peer_connect(&peer, &fx);
	peer_say(&peer, "GET /subscribe/t?offset=0 HTTP/1.1\r\n" HOST SSE "\r\n");
	post("t", "x");
	expect("0000000f\r\nid: 1\ndata: x\n\n\r\n");
}

TEST(sse__resumes_behind_the_last_id)
{
	post("t", "a");
	post("t", "b");
	open_stream(&peer, "/subscribe/t?offset=earliest&last_event_id=0",
	            SSE "Last-Event-ID: 1\r\n");
	expect("id: 2\ndata: b\n\n");
	expect_not("data: a");
	expect_not("gap");
}

TEST(sse__what_was_trimmed_is_a_gap)
{
	post("t", "a");
	post("t", "b");
	ask("POST /v1/topics/t/purge HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
	post("t", "c");
	open_stream(&peer, "/subscribe/t", SSE "Last-Event-ID: 1\r\n");
	expect("event: gap\nid: 2\n"
	       "data: {\"requested\":\"1\",\"resumed_from\":\"2\",\"reason\":\"trimmed\"}\n\n"
	       "id: 3\ndata: c\n\n");
}

TEST(sse__an_unknown_place_is_a_gap)
{
	static const char *const ids[] = {"99", "what?", "AairF9rAi0Y6AAACrlzcag"};

	post("t", "a");
	for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
		char fields[256], gap[256];

		snprintf(fields, sizeof(fields), SSE "Last-Event-ID: %s\r\n", ids[i]);
		snprintf(gap, sizeof(gap),
		         "data: {\"requested\":\"%s\",\"resumed_from\":\"0\","
		         "\"reason\":\"unknown\"}\n\nid: 1\ndata: a\n\n",
		         ids[i]);
		open_stream(&peer, "/subscribe/t", fields);
		expect(gap);
		peer_close(&peer);
	}
	open_stream(&peer, "/subscribe/t?offset=end", SSE "Last-Event-ID: what?\r\n");
	expect("\"resumed_from\":\"1\"");
}

TEST(sse__an_asked_offset_that_is_none_is_refused)
{
	post("t", "a");
	open_stream(&peer, "/subscribe/t?offset=9", SSE);
	expect("HTTP/1.1 416");
}

TEST(sse__a_deleted_topic_is_gone)
{
	post("t", "a");
	open_stream(&peer, "/subscribe/t?offset=earliest", SSE);
	expect("data: a");
	ask("DELETE /v1/topics/t HTTP/1.1\r\n" HOST "\r\n");
	assert_true(peer_wait_end(&peer));
	expect("event: gone\ndata: {\"topic\":\"t\"}\n\n");
}

TEST(sse__head_has_no_events)
{
	post("t", "a");
	peer_ask(&peer, &fx, "HEAD /subscribe/t?offset=0 HTTP/1.1\r\n" HOST SSE "\r\n");
	expect("HTTP/1.1 200 OK\r\n");
	expect("Event-Next: 0\r\n");
	expect_not("data");
}

/* --- several topics --------------------------------------------------------------------------- */

TEST(several__by_name_and_pattern_also_those_to_come)
{
	post("a.1", "x");
	open_stream(&peer, "/v1/subscribe?topic=a.*&topic=b&offset=earliest", "");
	expect("{\"topic\":\"a.1\",\"offset\":0,");
	post("a.2", "y");
	expect("{\"topic\":\"a.2\",\"offset\":0,");
	post("b", "z");
	expect("{\"topic\":\"b\",\"offset\":0,");
	post("c", "no");
	post("a.1", "more");
	expect("{\"topic\":\"a.1\",\"offset\":1,");
	expect_not("\"c\"");
}

TEST(several__resume_with_one_id)
{
	struct peer again;

	post("a", "a0");
	post("b", "b0");
	open_stream(&peer, "/v1/subscribe?topic=a&topic=b&offset=earliest", SSE);
	expect("\"value\":\"a0\"");
	expect("\"value\":\"b0\"");
	open_stream(&again, "/v1/subscribe?topic=a&topic=b&offset=earliest", last_id(&peer));
	post("b", "b1");
	post("c", "c0");
	assert_true(peer_wait_text(&again, "\"value\":\"b1\""));
	assert_false(peer_has(&again, "\"value\":\"a0\""));
	assert_false(peer_has(&again, "\"value\":\"b0\""));
	peer_close(&again);
	/* A topic that the cursor does not know came later: from its beginning. */
	open_stream(&again, "/v1/subscribe?topic=*", last_id(&peer));
	assert_true(peer_wait_text(&again, "\"value\":\"c0\""));
	assert_true(peer_wait_text(&again, "\"value\":\"b1\""));
	assert_false(peer_has(&again, "\"value\":\"b0\""));
	peer_close(&again);
}

TEST(several__go_on_when_one_is_gone)
{
	post("a", "a0");
	post("b", "b0");
	open_stream(&peer, "/v1/subscribe?topic=a&topic=b&offset=earliest", "");
	expect("\"value\":\"b0\"");
	ask("DELETE /v1/topics/a HTTP/1.1\r\n" HOST "\r\n");
	expect("{\"gone\":{\"topic\":\"a\"}}\n");
	post("b", "b1");
	expect("\"value\":\"b1\"");
	ask("DELETE /v1/topics/b HTTP/1.1\r\n" HOST "\r\n");
	assert_true(peer_wait_end(&peer));
	expect("{\"error\":{");
}

TEST(several__not_too_many)
{
	char request[4096] = "GET /v1/subscribe?";
	struct peer other;

	for (int i = 0; i < 65; i++)
		snprintf(request + strlen(request), sizeof(request) - strlen(request), "topic=t%d&",
		         i);
	strcat(request, " HTTP/1.1\r\n" HOST "\r\n");
	peer_ask(&other, &fx, request);
	assert_true(peer_has(&other, "HTTP/1.1 400"));
	assert_true(peer_has(&other, "\"code\":\"too_many_topics\""));
	peer_close(&other);
}

TEST(several__too_many_partitions_that_come_later_end_it)
{
	open_stream(&peer, "/v1/subscribe?topic=p*", "");
	ask("PUT /v1/topics/p1 HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
	    "Content-Length: 18\r\n\r\n{\"partitions\": 40}");
	ask("PUT /v1/topics/p2 HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
	    "Content-Length: 18\r\n\r\n{\"partitions\": 40}");
	assert_true(peer_wait_end(&peer));
	expect("\"code\":\"too_many_topics\"");
}

TEST(partitions__each_id_gives_exactly_the_rest)
{
	struct peer again;
	char body[16];

	open_stream(&peer, "/subscribe/t?offset=earliest", SSE);
	for (int i = 0; i < 9; i++) {
		snprintf(body, sizeof(body), "e %d", i); /* no cursor has a blank */
		post("t", body);
		expect(body);
		open_stream(&again, "/subscribe/t", last_id(&peer));
		post("t", "next");
		assert_true(peer_wait_text(&again, "data: next"));
		assert_int_equal(peer_count(&again, "data: "), 1);
		peer_close(&again);
		expect("data: next");
		peer_forget(&peer);
	}
}

/* --- sharing ---------------------------------------------------------------------------------- */

enum { CROWD = 300 }; /* more than have their turn in one of the loop */

TEST(feed__a_crowd_gets_the_same)
{
	static struct peer crowd[CROWD];

	for (int i = 0; i < CROWD; i++) {
		open_stream(&crowd[i], "/subscribe/t?offset=0", "");
		peer_forget(&crowd[i]);
	}
	for (int i = 0; i < 3; i++)
		post("t", i == 2 ? "last" : "some");
	for (int i = 0; i < CROWD; i++) {
		assert_true(peer_wait_text(&crowd[i], "last"));
		assert_int_equal(peer_count(&crowd[i], "\"value\":\"some\""), 2);
		assert_int_equal(crowd[i].got.len, crowd[0].got.len);
		assert_memory_equal(crowd[i].got.ptr, crowd[0].got.ptr, crowd[0].got.len);
	}
	for (int i = 0; i < CROWD; i++)
		peer_close(&crowd[i]);
}

static void post_large(unsigned number, size_t bytes)
{
	char head[256];
	char *body = malloc(bytes);
	struct peer other;

	memset(body, 'x', bytes);
	snprintf(body, 16, "number %06u", number);
	body[13] = ' ';
	snprintf(head, sizeof(head),
	         "POST /produce/t HTTP/1.1\r\n" HOST "Content-Type: text/plain\r\n"
	         "Connection: close\r\nContent-Length: %zu\r\n\r\n",
	         bytes);
	peer_connect(&other, &fx);
	peer_say(&other, head);
	peer_send(&other, body, bytes);
	assert_true(peer_wait_text(&other, "HTTP/1.1 201"));
	peer_close(&other);
	free(body);
}

/* Every number once, in order. */
static void expect_numbers(struct peer *p, unsigned count)
{
	char number[32];
	const char *at;

	snprintf(number, sizeof(number), "number %06u", count - 1);
	assert_true(peer_wait_text(p, number));
	at = (const char *)p->got.ptr;
	for (unsigned i = 0; i < count; i++) {
		snprintf(number, sizeof(number), "number %06u", i);
		at = strstr(at, "number ");
		assert_non_null(at);
		assert_memory_equal(at, number, strlen(number));
		at += strlen(number);
	}
	assert_int_equal(peer_count(p, "number "), count);
}

TEST(feed__who_takes_nothing_slows_nobody_and_misses_nothing)
{
	enum { EVENTS = 300, BYTES = 60000 }; /* far more than sockets and feeds hold */
	struct peer slow;
	size_t held = 0;

	open_stream(&peer, "/subscribe/t?offset=0", "");
	open_stream(&slow, "/subscribe/t?offset=0", "");
	for (unsigned i = 0; i < EVENTS; i++) {
		post_large(i, BYTES);
		if (fx.front->feeds.bytes > held)
			held = fx.front->feeds.bytes;
	}
	expect_numbers(&peer, EVENTS);
	assert_true(held > BYTES);
	assert_true(held < 2 << 20);
	expect_numbers(&slow, EVENTS);
	/* It has caught up and shares again. */
	post_large(EVENTS, BYTES);
	expect_numbers(&slow, EVENTS + 1);
	expect_numbers(&peer, EVENTS + 1);
	peer_close(&slow);
}

TEST(feed__events_larger_than_its_room_pass)
{
	open_stream(&peer, "/subscribe/t?offset=0", "");
	for (unsigned i = 0; i < 4; i++)
		post_large(i, 1 << 20);
	expect_numbers(&peer, 4);
}

TEST(feed__is_gone_with_its_last_member)
{
	struct peer second;

	open_stream(&peer, "/subscribe/t?offset=0", "");
	open_stream(&second, "/subscribe/t?offset=0", SSE);
	post("t", "x");
	expect("\"x\"");
	assert_true(peer_wait_text(&second, "data: x"));
	assert_non_null(fx.front->feeds.by_key);
	peer_close(&peer);
	peer_close(&second);
	for (int i = 0; i < 400 && fx.front->feeds.by_key; i++)
		front_fixture_run(&fx, 5);
	assert_null(fx.front->feeds.by_key);
	assert_int_equal(fx.front->feeds.bytes, 0);
}

#define T(name)            cmocka_unit_test_setup_teardown(name, setup, teardown)
#define T_PARTITIONS(name) cmocka_unit_test_setup_teardown(name, setup_partitions, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(sse__begins_with_its_place_then_events),
		T(sse__says_what_is_no_text),
		T(sse__chunks_of_http_1_1_hold_whole_events),
		T(sse__resumes_behind_the_last_id),
		T(sse__what_was_trimmed_is_a_gap),
		T(sse__an_unknown_place_is_a_gap),
		T(sse__an_asked_offset_that_is_none_is_refused),
		T(sse__a_deleted_topic_is_gone),
		T(sse__head_has_no_events),
		T(several__by_name_and_pattern_also_those_to_come),
		T(several__resume_with_one_id),
		T(several__go_on_when_one_is_gone),
		T(several__not_too_many),
		T(several__too_many_partitions_that_come_later_end_it),
		T_PARTITIONS(partitions__each_id_gives_exactly_the_rest),
		T(feed__a_crowd_gets_the_same),
		T(feed__who_takes_nothing_slows_nobody_and_misses_nothing),
		T(feed__events_larger_than_its_room_pass),
		T(feed__is_gone_with_its_last_member),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
