/* Transcripts: bytes in, bytes out, through real sockets. */
#include "front/testing/front_fixture.h"

#include "base/test.h"
#include "front/shard.h"

#include <stdio.h>
#include <stdlib.h>

#define HOST "Host: localhost:3030\r\n"

static struct front_fixture fx;
static struct peer peer;

static void start(void)
{
	front_fixture_init(&fx);
	front_fixture_start(&fx, 1);
}

static int stop(void **state)
{
	(void)state;
	peer_close(&peer);
	front_fixture_stop(&fx);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	peer = (struct peer){.fd = -1};
	start();
	return 0;
}

static void expect(const char *text)
{
	if (!peer_has(&peer, text))
		print_error("not in the answer: %s\n%s\n", text, (char *)peer.got.ptr);
	assert_true(peer_has(&peer, text));
}

static void expect_not(const char *text)
{
	if (peer_has(&peer, text))
		print_error("in the answer: %s\n%s\n", text, (char *)peer.got.ptr);
	assert_false(peer_has(&peer, text));
}

static void ask(const char *request)
{
	peer_close(&peer);
	peer_ask(&peer, &fx, request);
}

#define POST_HELLO "POST /produce/t HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello"

/* --- produce ---------------------------------------------------------------------------------- */

TEST(produce__one_event_is_answered_with_its_place)
{
	ask("POST /produce/t HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
	    "Content-Length: 23\r\n\r\n{\"event\": \"Event Data\"}");
	expect("HTTP/1.1 201 Created\r\n");
	expect("{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"timestamp\":");
	expect(",\"durability\":\"commit\"}\n");
}

TEST(produce__pipelined_are_answered_in_order)
{
	ask(POST_HELLO POST_HELLO POST_HELLO "GET /consume/t?limit=1 HTTP/1.1\r\n" HOST
	                                     "\r\n" POST_HELLO);
	assert_int_equal(peer_count(&peer, "HTTP/1.1 201"), 4);
	expect("\"offset\":3,");
	assert_true(strstr((char *)peer.got.ptr, "\"offset\":2,") <
	            strstr((char *)peer.got.ptr, "HTTP/1.1 200"));
	assert_true(strstr((char *)peer.got.ptr, "HTTP/1.1 200") <
	            strstr((char *)peer.got.ptr, "\"offset\":3,"));
}

TEST(produce__bytewise_and_chunked)
{
	static const char request[] =
		"POST /produce/t HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
		"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\nGET /v1/topics/t/events/0 HTTP/1.1\r\n" HOST
		"Connection: close\r\n\r\n";

	peer_connect(&peer, &fx);
	for (size_t i = 0; i + 1 < sizeof(request); i++) {
		peer_send(&peer, request + i, 1);
		front_fixture_run(&fx, 0);
	}
	assert_true(peer_wait_end(&peer));
	expect("HTTP/1.1 201");
	expect("Event-Offset: 0\r\n");
	expect("\r\n\r\nhello");
}

TEST(produce__expect_continue)
{
	peer_connect(&peer, &fx);
	peer_say(&peer, "POST /produce/t HTTP/1.1\r\n" HOST
	                "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	assert_true(peer_wait_text(&peer, "HTTP/1.1 100 Continue\r\n\r\n"));
	peer_say(&peer, "hello");
	assert_true(peer_wait_text(&peer, "\"offset\":0"));
}

TEST(produce__expect_continue_of_what_is_refused_gets_the_refusal)
{
	peer_connect(&peer, &fx);
	peer_say(&peer, "POST /nowhere HTTP/1.1\r\n" HOST
	                "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	assert_true(peer_wait_text(&peer, "\"code\":\"not_found\""));
	assert_true(peer_wait_end(&peer));
	expect_not("100 Continue");
}

TEST(produce__bad_json_says_where)
{
	ask("POST /produce/t HTTP/1.1\r\n" HOST "Content-Type: application/json\r\n"
	    "Content-Length: 7\r\n\r\n{\"a\":x}");
	expect("HTTP/1.1 400 Bad Request\r\n");
	expect("Content-Type: application/problem+json\r\n");
	expect("\"code\":\"bad_json\"");
	expect("at byte 5 of 7");
}

TEST(produce__too_large_is_413_and_read_by_the_client)
{
	size_t len = (1 << 20) + 1;
	char *body = calloc(1, len);

	peer_connect(&peer, &fx);
	peer_say(&peer, "POST /produce/t HTTP/1.1\r\n" HOST "Content-Length: 1048577\r\n\r\n");
	peer_send(&peer, body, len);
	assert_true(peer_wait_text(&peer, "HTTP/1.1 413"));
	assert_true(peer_wait_end(&peer));
	free(body);
	ask(POST_HELLO);
	expect("HTTP/1.1 201");
}

TEST(produce__a_megabyte_comes_back_byte_by_byte)
{
	size_t len = 1 << 20;
	uint8_t *body = malloc(len);
	const uint8_t *at;

	for (size_t i = 0; i < len; i++)
		body[i] = (uint8_t)(i * 7919 >> 3);
	peer_connect(&peer, &fx);
	peer_say(&peer, "POST /produce/t HTTP/1.1\r\n" HOST "Content-Length: 1048576\r\n\r\n");
	peer_send(&peer, body, len);
	assert_true(peer_wait_text(&peer, "HTTP/1.1 201"));
	ask("GET /v1/topics/t/events/0 HTTP/1.1\r\n" HOST "\r\n");
	at = memmem(peer.got.ptr, peer.got.len, "\r\n\r\n", 4);
	assert_non_null(at);
	assert_int_equal(peer.got.len - (size_t)(at + 4 - peer.got.ptr), len);
	assert_memory_equal(at + 4, body, len);
	free(body);
}

TEST(produce__fields_become_the_record)
{
	ask("POST /v1/topics/t/events HTTP/1.1\r\n" HOST
	    "Content-Type: text/plain\r\nEvent-Key: k\r\nEvent-Timestamp: 1000\r\n"
	    "Event-Header-A: 1\r\nevent-header-A: 2\r\ntraceparent: 00-x\r\nCE-Id: 7\r\n"
	    "Content-Length: 2\r\n\r\nhi");
	expect("\"timestamp\":1000,");
	ask("GET /consume/t HTTP/1.1\r\n" HOST "\r\n");
	expect("{\"offset\":0,\"partition\":0,\"timestamp\":1000,\"key\":\"k\",\"headers\":[[\"a\","
	       "\"1\"],[\"a\",\"2\"],[\"traceparent\",\"00-x\"],[\"ce_id\",\"7\"]],"
	       "\"content_type\":\"text/plain\",\"encoding\":\"text\",\"value\":\"hi\"}");
	expect("\"next\":\"1\",\"partitions\":[{\"partition\":0,\"earliest\":0,\"high_watermark\":1}]}");
	ask("GET /v1/topics/t/events/0 HTTP/1.1\r\n" HOST "\r\n");
	expect("Event-Key: k\r\n");
	expect("Event-Header-a: 2\r\n");
	expect("ce-id: 7\r\n");
	expect("traceparent: 00-x\r\n");
}

TEST(produce__a_timestamp_far_ahead_is_refused)
{
	ask("POST /produce/t HTTP/1.1\r\n" HOST
	    "Event-Timestamp: 9999-01-01T00:00:00Z\r\nContent-Length: 2\r\n\r\nhi");
	expect("\"code\":\"bad_timestamp\"");
}

TEST(produce__lines_of_values_are_one_batch)
{
	ask("POST /produce/t HTTP/1.1\r\n" HOST
	    "Content-Type: application/x-ndjson\r\nContent-Length: 14\r\n\r\n{\"a\":1}\n\"two\"\n");
	expect("\"offset\":0,\"count\":2,");
	ask("GET /consume/t HTTP/1.1\r\n" HOST "Accept: application/x-ndjson\r\n\r\n");
	expect("Event-Next: 2\r\n");
	expect("\"value\":{\"a\":1}}\n");
	expect("\"value\":\"two\"}\n");
	ask("POST /produce/t HTTP/1.1\r\n" HOST
	    "Content-Type: application/x-ndjson\r\nContent-Length: 2\r\n\r\n3\n");
	expect("\"offset\":2,\"count\":1,");
}

TEST(produce__a_bad_line_refuses_all)
{
	ask("POST /produce/t HTTP/1.1\r\n" HOST
	    "Content-Type: application/x-ndjson\r\nContent-Length: 12\r\n\r\n{\"a\":1}\nnope");
	expect("HTTP/1.1 400");
	expect("line 2: not JSON at byte 1");
	ask("GET /consume/t HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 404");
}

static void post(const char *type, const char *body)
{
	char request[2048];

	snprintf(request, sizeof(request),
	         "POST /produce/t HTTP/1.1\r\n" HOST
	         "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n%s",
	         type, strlen(body), body);
	ask(request);
}

TEST(produce__envelopes)
{
	post("application/vnd.bourn.events+x-ndjson",
	     "{\"key\":\"k\",\"headers\":[[\"h\",\"v\"]],\"value\":{\"a\":1}}\n"
	     "{\"value\":\"aGk=\",\"encoding\":\"base64\",\"timestamp\":5}\n"
	     "{\"key\":\"k\",\"encoding\":\"none\"}\n"
	     "{\"value\":\"t\\u00e9xt\",\"content_type\":\"text/plain\"}\n");
	expect("{\"topic\":\"t\",\"results\":[{\"partition\":0,\"offset\":0,\"count\":4}],\"durability\":"
	       "\"commit\"}");
	ask("GET /consume/t HTTP/1.1\r\n" HOST "Accept: application/x-ndjson\r\n\r\n");
	expect("\"key\":\"k\",\"headers\":[[\"h\",\"v\"]],\"content_type\":\"application/json\","
	       "\"encoding\":\"json\",\"value\":{\"a\":1}}\n");
	expect("\"timestamp\":5,\"encoding\":\"text\",\"value\":\"hi\"}\n");
	expect("\"key\":\"k\",\"encoding\":\"none\",\"value\":null}\n");
	expect("\"content_type\":\"text/plain\",\"encoding\":\"text\",\"value\":\"t\xc3\xa9xt\"}\n");
}

TEST(produce__an_unknown_envelope_member_is_refused)
{
	post("application/vnd.bourn.events+x-ndjson", "{\"value\":1,\"vlaue\":2}");
	expect("line 1: unknown member \\\"vlaue\\\"");
	post("application/vnd.bourn.events+x-ndjson",
	     "{\"value\":1,\"headers\":[[\"h\",\"v\",null]]}");
	expect("line 1: a header is not [name, value]");
}

TEST(produce__cloudevents)
{
	post("application/cloudevents+json",
	     "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\",\"partitionkey\":\"k\","
	     "\"data\":{\"x\":1}}");
	expect("HTTP/1.1 201");
	post("application/cloudevents-batch+json",
	     "[{\"specversion\":\"1.0\",\"id\":\"2\",\"source\":\"/s\",\"type\":\"t\",\"data_base64\":"
	     "\"aGk=\",\"datacontenttype\":\"text/plain\"}]");
	expect("\"results\":[{\"partition\":0,\"offset\":1,\"count\":1}]");
	post("application/cloudevents+json", "{\"specversion\":\"1.0\"}");
	expect("a CloudEvent needs id");
	ask("GET /consume/t HTTP/1.1\r\n" HOST "Accept: application/x-ndjson\r\n\r\n");
	expect("\"key\":\"k\",\"headers\":[[\"ce_specversion\",\"1.0\"],[\"ce_id\",\"1\"],[\"ce_source\","
	       "\"/s\"],[\"ce_type\",\"t\"],[\"ce_partitionkey\",\"k\"]],\"content_type\":\"application/"
	       "json\",\"encoding\":\"json\",\"value\":{\"x\":1}}");
	expect("\"content_type\":\"text/plain\",\"encoding\":\"text\",\"value\":\"hi\"}");
}

TEST(produce__tombstone)
{
	ask("POST /produce/t HTTP/1.1\r\n" HOST
	    "Event-Key: k\r\nEvent-Tombstone: true\r\nContent-Length: 0\r\n\r\n");
	expect("HTTP/1.1 201");
	ask("GET /v1/topics/t/events/0 HTTP/1.1\r\n" HOST "\r\n");
	expect("Event-Tombstone: true\r\n");
}

TEST(produce__no_ack)
{
	ask("POST /produce/t?ack=none HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi");
	expect("HTTP/1.1 202 Accepted\r\n");
	ask("GET /consume/t?wait=5 HTTP/1.1\r\n" HOST "\r\n");
	expect("\"value\":\"hi\"");
}

TEST(produce__expected_offset)
{
	ask(POST_HELLO);
	ask("POST /produce/t HTTP/1.1\r\n" HOST
	    "Expected-Offset: 0\r\nContent-Length: 2\r\n\r\nhi");
	expect("HTTP/1.1 409");
	expect("\"code\":\"offset_mismatch\"");
	ask("POST /produce/t HTTP/1.1\r\n" HOST
	    "Expected-Offset: 1\r\nContent-Length: 2\r\n\r\nhi");
	expect("HTTP/1.1 201");
}

TEST(produce__bad_names_are_refused)
{
	static const char *const names[] = {"..", "%2e%2e%2f", "a%00b", "a%2fb", "%zz", "a%20b"};
	char request[256];

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		snprintf(request, sizeof(request),
		         "POST /produce/%s HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\nhi",
		         names[i]);
		ask(request);
		expect("HTTP/1.1 400");
		expect("\"code\":\"bad_topic_name\"");
	}
}

TEST(produce__what_is_not_built_is_said)
{
	ask("POST /produce/t HTTP/1.1\r\n" HOST
	    "Idempotency-Key: x\r\nContent-Length: 2\r\n\r\nhi");
	expect("HTTP/1.1 501");
	ask("GET /consume/t?group=g HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 501");
	ask("GET /v1/groups HTTP/1.1\r\n" HOST "\r\n");
	expect("\"code\":\"not_implemented\"");
}

/* --- consume ---------------------------------------------------------------------------------- */

TEST(consume__positions)
{
	ask(POST_HELLO POST_HELLO POST_HELLO);
	ask("GET /consume/t?offset=last HTTP/1.1\r\n" HOST "\r\n");
	expect("\"events\":[{\"offset\":2,");
	ask("GET /consume/t?offset=1&limit=1 HTTP/1.1\r\n" HOST "\r\n");
	expect("\"events\":[{\"offset\":1,");
	expect("\"next\":\"2\"");
	ask("GET /consume/t?cursor=2 HTTP/1.1\r\n" HOST "\r\n");
	expect("\"events\":[{\"offset\":2,");
	ask("GET /consume/t?offset=end HTTP/1.1\r\n" HOST "\r\n");
	expect("\"events\":[],\"next\":\"3\"");
	ask("GET /consume/t?offset=3 HTTP/1.1\r\n" HOST "\r\n");
	expect("\"events\":[],\"next\":\"3\"");
	ask("GET /consume/t?offset=-1h HTTP/1.1\r\n" HOST "\r\n");
	expect("\"events\":[{\"offset\":0,");
	ask("GET /consume/t?offset=4 HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 416");
	expect("\"earliest\":0,\"high_watermark\":3");
	ask("GET /consume/t?offset=soon HTTP/1.1\r\n" HOST "\r\n");
	expect("\"code\":\"bad_parameter\"");
	ask("GET /consume/t?cursor=soon HTTP/1.1\r\n" HOST "\r\n");
	expect("\"code\":\"bad_cursor\"");
	ask("GET /consume/t?ofset=1 HTTP/1.1\r\n" HOST "\r\n");
	expect("did you mean 'offset'?");
}

/* They are put together in memory that the one before was in. */
TEST(consume__large_answers_are_right_each_time)
{
	size_t len = 300000;
	uint8_t *body = malloc(len);

	peer_connect(&peer, &fx);
	for (char c = 'a'; c < 'e'; c++) {
		memset(body, c, len);
		peer_say(&peer, "POST /produce/t HTTP/1.1\r\n" HOST
		                "Content-Type: text/plain\r\nContent-Length: 300000\r\n\r\n");
		peer_send(&peer, body, len);
		assert_true(peer_wait_text(&peer, "HTTP/1.1 201"));
		peer_forget(&peer);
	}
	for (char c = 'a'; c < 'd'; c++) {
		char request[] = "GET /consume/t?limit=2&offset=0 HTTP/1.1\r\n" HOST "\r\n";
		const uint8_t *at;

		request[strcspn(request, "0")] = (char)('0' + c - 'a');
		ask(request);
		for (int i = 0; i < 2; i++) {
			memset(body, c + i, len);
			at = memmem(peer.got.ptr, peer.got.len, body, len);
			assert_non_null(at);
			assert_int_equal(at[-1], '"');
			assert_int_equal(at[len], '"');
		}
		assert_true(peer.got.len < 2 * len + 1000);
		assert_in_range(fx.front->large_buf_count, 1, FRONT_LARGE_BUFS);
	}
	free(body);
}

TEST(consume__waits_for_the_first_event)
{
	struct peer other;

	ask(POST_HELLO);
	peer_close(&peer);
	peer_connect(&peer, &fx);
	peer_say(&peer, "GET /consume/t?offset=end&wait=30 HTTP/1.1\r\n" HOST "\r\n");
	front_fixture_run(&fx, 20);
	assert_false(peer_has(&peer, "HTTP"));
	peer_ask(&other, &fx, POST_HELLO);
	assert_true(peer_wait_text(&peer, "\"events\":[{\"offset\":1,"));
	peer_close(&other);
}

TEST(consume__gives_up_waiting)
{
	ask(POST_HELLO);
	ask("GET /consume/t?offset=end&wait=20ms HTTP/1.1\r\n" HOST "\r\n");
	expect("\"events\":[],\"next\":\"1\"");
}

TEST(consume__head_is_get_without_its_body)
{
	ask(POST_HELLO);
	ask("HEAD /consume/t HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 200");
	expect("Content-Length: ");
	expect_not("\"events\"");
}

TEST(event__beyond_and_unknown)
{
	ask(POST_HELLO);
	ask("GET /v1/topics/t/events/1 HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 416");
	ask("GET /v1/topics/t/events/x HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 400");
	ask("GET /v1/topics/nope/events/0 HTTP/1.1\r\n" HOST "\r\n");
	expect("\"code\":\"topic_unknown\"");
}

/* --- subscribe -------------------------------------------------------------------------------- */

TEST(stream__replay_then_live)
{
	struct peer other;

	ask(POST_HELLO);
	peer_close(&peer);
	peer_connect(&peer, &fx);
	peer_say(&peer, "GET /subscribe/t?offset=earliest HTTP/1.1\r\n" HOST "\r\n");
	assert_true(peer_wait_text(&peer, "\"offset\":0,"));
	expect("Transfer-Encoding: chunked\r\n");
	peer_ask(&other, &fx, POST_HELLO);
	assert_true(peer_wait_text(&peer, "\"offset\":1,"));
	peer_close(&other);
}

TEST(stream__waits_for_a_topic_that_is_not_there)
{
	struct peer other;

	peer_connect(&peer, &fx);
	peer_say(&peer, "GET /subscribe/later HTTP/1.1\r\n" HOST "\r\n");
	assert_true(peer_wait_text(&peer, "HTTP/1.1 200"));
	peer_ask(&other, &fx,
	         "POST /produce/later HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello");
	assert_true(peer_wait_text(&peer, "\"offset\":0,"));
	peer_close(&other);
}

TEST(stream__a_slow_reader_gets_all_of_it)
{
	char request[70000] = "";
	size_t head;

	head = (size_t)snprintf(request, sizeof(request),
	                        "POST /produce/t HTTP/1.1\r\n" HOST
	                        "Content-Length: 65536\r\n\r\n");
	memset(request + head, 'x', 65536);
	peer_connect(&peer, &fx);
	for (int i = 0; i < 64; i++)
		peer_send(&peer, request, head + 65536);
	assert_true(peer_wait_text(&peer, "\"offset\":63,"));
	peer_close(&peer);
	peer_connect(&peer, &fx);
	peer_say(&peer, "GET /subscribe/t?offset=0 HTTP/1.1\r\n" HOST "\r\n");
	front_fixture_run(&fx, 100);
	assert_true(peer_wait_text(&peer, "\"offset\":63,"));
	assert_true(peer_wait_bytes(&peer, 64 * 65536));
}

TEST(stream__ends_when_the_topic_is_deleted)
{
	struct peer other;

	ask(POST_HELLO);
	peer_close(&peer);
	peer_connect(&peer, &fx);
	peer_say(&peer, "GET /subscribe/t HTTP/1.1\r\n" HOST "\r\n");
	assert_true(peer_wait_text(&peer, "HTTP/1.1 200"));
	peer_ask(&other, &fx, "DELETE /v1/topics/t HTTP/1.1\r\n" HOST "\r\n");
	assert_true(peer_has(&other, "HTTP/1.1 204"));
	assert_true(peer_wait_text(&peer, "\"code\":\"topic_gone\""));
	assert_true(peer_wait_text(&peer, "\r\n0\r\n\r\n"));
	peer_close(&other);
}

/* --- topics and facts ------------------------------------------------------------------------- */

static void put(const char *body)
{
	char request[512];

	snprintf(request, sizeof(request),
	         "PUT /v1/topics/n HTTP/1.1\r\n" HOST "Content-Length: %zu\r\n\r\n%s", strlen(body),
	         body);
	ask(request);
}

TEST(topics__created_described_listed_changed_deleted)
{
	put("{\"partitions\":3,\"settings\":{\"durability\":\"os\"}}");
	expect("HTTP/1.1 201");
	expect("{\"name\":\"n\",\"partitions\":[{\"partition\":0,\"earliest\":0,");
	expect("\"durability\":\"os\"");
	put("{\"partitions\":3,\"settings\":{\"durability\":\"os\"}}");
	expect("HTTP/1.1 200");
	put("{\"partitions\":4}");
	expect("HTTP/1.1 409");
	put("{\"partition\":4}");
	expect("did you mean 'partitions'?");
	ask("GET /v1/topics HTTP/1.1\r\n" HOST "\r\n");
	expect("{\"topics\":[{\"name\":\"n\",\"partitions\":3,");
	ask("PATCH /v1/topics/n HTTP/1.1\r\n" HOST
	    "Content-Length: 39\r\n\r\n{\"settings\":{\"retention.bytes\":123456}}");
	expect("\"retention.bytes\":123456");
	expect("\"durability\":\"os\"");
	ask("DELETE /v1/topics/n HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 204");
	ask("GET /v1/topics/n HTTP/1.1\r\n" HOST "\r\n");
	expect("\"code\":\"topic_unknown\"");
}

TEST(topics__purge_empties_and_below_the_start_is_gone)
{
	ask(POST_HELLO POST_HELLO);
	ask("POST /v1/topics/t/purge HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
	expect("HTTP/1.1 200");
	ask("GET /consume/t?offset=0 HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 410");
	expect("\"earliest\":2,");
	ask("GET /v1/topics/t/events/0 HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 410");
}

TEST(topics__partition_required)
{
	put("{\"partitions\":2}");
	ask("GET /consume/n?offset=0 HTTP/1.1\r\n" HOST "\r\n");
	expect("\"code\":\"partition_required\"");
	ask("GET /consume/n HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 200");
}

TEST(admin__facts)
{
	ask("GET /livez HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 200");
	ask("GET /readyz HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 200");
	ask("GET /metrics HTTP/1.1\r\n" HOST "\r\n");
	expect("bourn_http_requests_total 2\n");
	ask("GET /v1/info HTTP/1.1\r\n" HOST "\r\n");
	expect("\"version\":\"0.0.0\"");
}

/* --- who may what ----------------------------------------------------------------------------- */

TEST(router__methods_and_paths)
{
	ask("GET /produce/t HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 405");
	expect("Allow: POST, OPTIONS\r\n");
	ask("OPTIONS /consume/t HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 204");
	expect("Allow: GET, HEAD, OPTIONS\r\n");
	ask("GET /nowhere HTTP/1.1\r\n" HOST "\r\n");
	expect("\"code\":\"not_found\"");
	ask("GET /consume/t/ HTTP/1.1\r\n" HOST "\r\n");
	expect("HTTP/1.1 404");
}

TEST(guard__hosts_and_origins)
{
	ask("GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n");
	expect("HTTP/1.1 421");
	ask("GET /livez HTTP/1.1\r\nHost: broker.example:99\r\n\r\n");
	expect("HTTP/1.1 200");
	ask("GET /livez HTTP/1.1\r\nHost: [::1]:3030\r\n\r\n");
	expect("HTTP/1.1 200");
	ask("POST /produce/t HTTP/1.1\r\n" HOST "Origin: null\r\nContent-Length: 2\r\n\r\nhi");
	expect("HTTP/1.1 403");
	ask("POST /produce/t HTTP/1.1\r\n" HOST
	    "Origin: http://localhost:8080\r\nContent-Length: 2\r\n\r\nhi");
	expect("\"code\":\"foreign_origin\"");
	ask("POST /produce/t HTTP/1.1\r\n" HOST
	    "Origin: http://localhost:3030\r\nContent-Length: 2\r\n\r\nhi");
	expect("HTTP/1.1 201");
	ask("GET /consume/t HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\n\r\n");
	expect("HTTP/1.1 200");
	expect_not("Access-Control");
}

TEST(connection__version_1_0_closes)
{
	peer_connect(&peer, &fx);
	peer_say(&peer, "GET /livez HTTP/1.0\r\n\r\n");
	assert_true(peer_wait_end(&peer));
	expect("HTTP/1.1 200");
	expect("Connection: close\r\n");
}

TEST(connection__lost_framing_is_answered_and_closed)
{
	peer_connect(&peer, &fx);
	peer_say(&peer, POST_HELLO "POST /produce/t HTTP/1.1\r\n" HOST
	                           "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_true(peer_wait_end(&peer));
	expect("HTTP/1.1 201");
	expect("HTTP/1.1 400");
}

TEST(connection__a_peer_that_vanishes_leaves_nothing)
{
	peer_connect(&peer, &fx);
	peer_say(&peer, POST_HELLO POST_HELLO POST_HELLO);
	peer_close(&peer);
	for (int i = 0; i < 1000 && front_connection_count(fx.front) > 0; i++)
		front_fixture_run(&fx, 2);
	assert_int_equal(front_connection_count(fx.front), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, stop)
	const struct CMUnitTest tests[] = {
		T(produce__one_event_is_answered_with_its_place),
		T(produce__pipelined_are_answered_in_order),
		T(produce__bytewise_and_chunked),
		T(produce__expect_continue),
		T(produce__expect_continue_of_what_is_refused_gets_the_refusal),
		T(produce__bad_json_says_where),
		T(produce__too_large_is_413_and_read_by_the_client),
		T(produce__a_megabyte_comes_back_byte_by_byte),
		T(produce__fields_become_the_record),
		T(produce__a_timestamp_far_ahead_is_refused),
		T(produce__lines_of_values_are_one_batch),
		T(produce__a_bad_line_refuses_all),
		T(produce__envelopes),
		T(produce__an_unknown_envelope_member_is_refused),
		T(produce__cloudevents),
		T(produce__tombstone),
		T(produce__no_ack),
		T(produce__expected_offset),
		T(produce__bad_names_are_refused),
		T(produce__what_is_not_built_is_said),
		T(consume__positions),
		T(consume__large_answers_are_right_each_time),
		T(consume__waits_for_the_first_event),
		T(consume__gives_up_waiting),
		T(consume__head_is_get_without_its_body),
		T(event__beyond_and_unknown),
		T(stream__replay_then_live),
		T(stream__waits_for_a_topic_that_is_not_there),
		T(stream__a_slow_reader_gets_all_of_it),
		T(stream__ends_when_the_topic_is_deleted),
		T(topics__created_described_listed_changed_deleted),
		T(topics__purge_empties_and_below_the_start_is_gone),
		T(topics__partition_required),
		T(admin__facts),
		T(router__methods_and_paths),
		T(guard__hosts_and_origins),
		T(connection__version_1_0_closes),
		T(connection__lost_framing_is_answered_and_closed),
		T(connection__a_peer_that_vanishes_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
