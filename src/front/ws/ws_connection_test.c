/* WebSocket transcripts through real sockets: upgrade, frames, closing, time-outs. */
#include "front/testing/front_fixture.h"
#include "wire/ws.h"

#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>

#define HOST "Host: localhost:3030\r\n"
#define UPGRADE                                                                                    \
	"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"               \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static struct front_fixture fx;
static struct peer peer;
static struct ws_parser parser;
static const uint8_t mask[4] = {1, 2, 3, 4};

static int setup(void **state)
{
	(void)state;
	front_fixture_init(&fx);
	front_fixture_start(&fx, 1);
	peer = (struct peer){.fd = -1};
	return 0;
}

/* For tests of what happens when nothing happens. */
static int setup_pinging(void **state)
{
	(void)state;
	front_fixture_init(&fx);
	fx.config.limits.ping_after_ms = 40;
	fx.config.limits.pong_ms = 400;
	front_fixture_start(&fx, 1);
	peer = (struct peer){.fd = -1};
	return 0;
}

static int setup_stalling(void **state)
{
	(void)state;
	front_fixture_init(&fx);
	fx.config.limits.stall_ms = 40;
	front_fixture_start(&fx, 1);
	peer = (struct peer){.fd = -1};
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	peer_close(&peer);
	front_fixture_stop(&fx);
	return 0;
}

static void open_socket(const char *path)
{
	char request[512];
	uint8_t *end;

	snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n" HOST UPGRADE "\r\n", path);
	peer_connect(&peer, &fx);
	peer_say(&peer, request);
	assert_true(peer_wait_text(&peer, "\r\n\r\n"));
	assert_true(peer_has(&peer, "HTTP/1.1 101 Switching Protocols\r\n"));
	assert_true(peer_has(&peer, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	end = memmem(peer.got.ptr, peer.got.len, "\r\n\r\n", 4);
	buf_consume(&peer.got, (size_t)(end + 4 - peer.got.ptr));
	ws_parser_init(&parser, WS_CLIENT);
}

static void send_frame(enum ws_opcode opcode, struct slice payload)
{
	struct buf frame = BUF_INIT(8 << 20);

	ws_append_frame(&frame, opcode, payload, mask);
	peer_send(&peer, frame.ptr, frame.len);
	buf_fini(&frame);
}

static void send_close(uint16_t code)
{
	struct buf frame = BUF_INIT(256);

	ws_append_close(&frame, code, SLICE_NONE, mask);
	peer_send(&peer, frame.ptr, frame.len);
	buf_fini(&frame);
}

/* The next frame; its payload stays until the next call. */
static enum ws_event next_frame(void)
{
	enum ws_event event;
	size_t had;

	buf_consume(&peer.got, parser.consumed);
	parser.consumed = 0;
	for (;;) {
		size_t len = peer.got.len;

		event = ws_parse(&parser, peer.got.ptr, &len);
		peer.got.len = len;
		if (event != WS_EVENT_MORE)
			return event;
		had = peer.got.len;
		if (!peer_wait_bytes(&peer, had + 1))
			return WS_EVENT_MORE;
	}
}

static void expect_message(const char *payload, bool text)
{
	assert_int_equal(next_frame(), WS_EVENT_MESSAGE);
	assert_int_equal(parser.payload.len, strlen(payload));
	assert_memory_equal(parser.payload.ptr, payload, strlen(payload));
	assert_int_equal(parser.text, text);
}

static void expect_close(uint16_t code, const char *reason)
{
	assert_int_equal(next_frame(), WS_EVENT_CLOSE);
	assert_int_equal(parser.close_code, code);
	if (reason)
		assert_non_null(
			memmem(parser.payload.ptr, parser.payload.len, reason, strlen(reason)));
}

static void post(const char *type, const char *body)
{
	struct peer other;
	char request[512];

	snprintf(request, sizeof(request),
	         "POST /produce/t HTTP/1.1\r\n" HOST "Content-Type: %s\r\n"
	         "Content-Length: %zu\r\n\r\n%s",
	         type, strlen(body), body);
	peer_ask(&other, &fx, request);
	assert_true(peer_has(&other, "HTTP/1.1 201"));
	peer_close(&other);
}

static void expect_topic(const char *text)
{
	struct peer other;

	peer_ask(&other, &fx,
	         "GET /consume/t HTTP/1.1\r\n" HOST "Accept: application/x-ndjson\r\n\r\n");
	if (!peer_has(&other, text))
		print_error("%s\n", (char *)other.got.ptr);
	assert_true(peer_has(&other, text));
	peer_close(&other);
}

/* --- subscribe -------------------------------------------------------------------------------- */

TEST(subscribe__payloads_only_text_or_binary)
{
	post("application/json", "{\"event\": \"Event Data\"}");
	post("application/octet-stream", "bytes");
	open_socket("/subscribe/t?offset=0");
	expect_message("{\"event\": \"Event Data\"}", true);
	expect_message("bytes", false);
	post("text/plain", "live");
	expect_message("live", true);
}

TEST(subscribe__begins_at_the_end_of_a_topic_yet_to_come)
{
	open_socket("/subscribe/t");
	post("text/plain", "first");
	expect_message("first", true);
}

TEST(subscribe__close_is_answered)
{
	open_socket("/subscribe/t");
	send_close(1000);
	expect_close(1000, NULL);
	assert_true(peer_wait_end(&peer));
}

TEST(subscribe__ping_is_answered)
{
	open_socket("/subscribe/t");
	send_frame(WS_PING, SLICE_LIT("are you there"));
	assert_int_equal(next_frame(), WS_EVENT_PONG);
	assert_int_equal(parser.payload.len, 13);
}

TEST(subscribe__takes_no_messages)
{
	open_socket("/subscribe/t");
	send_frame(WS_TEXT, SLICE_LIT("hello"));
	expect_close(WS_CLOSE_UNSUPPORTED, NULL);
}

TEST(subscribe__unmasked_frames_break_the_rules)
{
	open_socket("/subscribe/t");
	peer_send(&peer, "\x81\x02hi", 4);
	expect_close(WS_CLOSE_PROTOCOL, NULL);
	assert_true(peer_wait_end(&peer));
}

TEST(subscribe__a_position_that_is_gone)
{
	struct peer other;

	post("text/plain", "x");
	peer_ask(&other, &fx,
	         "POST /v1/topics/t/purge HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
	peer_close(&other);
	open_socket("/subscribe/t?offset=0");
	expect_close(WS_CLOSE_POSITION_GONE, NULL);
}

TEST(subscribe__a_topic_that_goes)
{
	struct peer other;

	post("text/plain", "x");
	open_socket("/subscribe/t?offset=0");
	expect_message("x", true);
	peer_ask(&other, &fx, "DELETE /v1/topics/t HTTP/1.1\r\n" HOST "\r\n");
	peer_close(&other);
	expect_close(WS_CLOSE_TOPIC_GONE, NULL);
}

TEST(subscribe__silence_is_asked_and_answered)
{
	open_socket("/subscribe/t");
	assert_int_equal(next_frame(), WS_EVENT_PING);
	send_frame(WS_PONG, SLICE_NONE);
	assert_int_equal(next_frame(), WS_EVENT_PING);
}

TEST(subscribe__a_dead_peer_is_given_up)
{
	open_socket("/subscribe/t");
	assert_int_equal(next_frame(), WS_EVENT_PING);
	assert_true(peer_wait_end(&peer));
}

/* More than the socket's buffers take, and nobody reads. */
TEST(subscribe__a_peer_that_takes_nothing_is_told_where_to_go_on)
{
	struct fixture *broker = &fx.broker;
	struct produced produced;
	static char value[1 << 20];

	memset(value, 'x', sizeof(value) - 1);
	for (int i = 0; i < 12; i++) {
		produced_init(&produced, broker, 0, "t", value);
		produced_start(&produced);
		signal_wait(broker, &produced.done);
	}
	open_socket("/subscribe/t?offset=0");
	for (int i = 0; i < 500 && fixture_metric(broker, METRIC_SUBSCRIBERS) > 0; i++)
		front_fixture_run(&fx, 20);
	for (unsigned i = 0; i < 12; i++) {
		enum ws_event event = next_frame();

		if (event == WS_EVENT_CLOSE) {
			char cursor[16];

			assert_int_equal(parser.close_code, WS_CLOSE_TOO_SLOW);
			snprintf(cursor, sizeof(cursor), "%u", i);
			assert_int_equal(parser.payload.len, strlen(cursor));
			assert_memory_equal(parser.payload.ptr, cursor, strlen(cursor));
			return;
		}
		assert_int_equal(event, WS_EVENT_MESSAGE);
	}
	fail();
}

TEST(subscribe__is_told_that_the_broker_stops)
{
	bool stopped = false;

	open_socket("/subscribe/t");
	front_stop(fx.front, front_fixture_noted, &stopped);
	expect_close(WS_CLOSE_GOING_AWAY, NULL);
	send_close(WS_CLOSE_GOING_AWAY);
	assert_true(peer_wait_end(&peer));
	front_fixture_run(&fx, 20);
	assert_true(stopped);
}

/* --- produce ---------------------------------------------------------------------------------- */

TEST(produce__each_message_is_an_event)
{
	open_socket("/produce/t");
	send_frame(WS_TEXT, SLICE_LIT("{\"a\":1}"));
	send_frame(WS_TEXT, SLICE_LIT("hello"));
	send_frame(WS_BINARY, SLICE_LIT("\xff\x00"));
	send_close(1000);
	expect_close(1000, NULL);
	expect_topic(
		"\"content_type\":\"application/json\",\"encoding\":\"json\",\"value\":{\"a\":1}}");
	expect_topic("\"content_type\":\"text/plain\",\"encoding\":\"text\",\"value\":\"hello\"}");
	expect_topic("\"encoding\":\"base64\",\"value\":\"/wA=\"}");
}

TEST(produce__many_keep_their_order)
{
	struct buf frames = BUF_INIT(1 << 20);
	char text[16];

	open_socket("/produce/t");
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "%d", i);
		ws_append_frame(&frames, WS_TEXT, slice_str(text), mask);
	}
	peer_send(&peer, frames.ptr, frames.len);
	buf_fini(&frames);
	send_close(1000);
	expect_close(1000, NULL);
	peer_close(&peer);
	open_socket("/subscribe/t?offset=0");
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "%d", i);
		expect_message(text, true);
	}
}

TEST(produce__the_first_that_is_refused_is_named)
{
	char *large = calloc(1, (1 << 20) + 1);

	open_socket("/produce/t");
	send_frame(WS_TEXT, SLICE_LIT("fine"));
	send_frame(WS_BINARY, slice_of(large, (1 << 20) + 1));
	expect_close(WS_CLOSE_TOO_BIG, "message 1");
	free(large);
	expect_topic("\"value\":\"fine\"");
}

TEST(produce__a_vanished_producer_leaves_what_it_sent)
{
	open_socket("/produce/t");
	send_frame(WS_TEXT, SLICE_LIT("last words"));
	peer_close(&peer);
	front_fixture_run(&fx, 50);
	expect_topic("\"value\":\"last words\"");
}

/* --- handshakes ------------------------------------------------------------------------------- */

static void refuse(const char *request, const char *what)
{
	peer_close(&peer);
	peer_ask(&peer, &fx, request);
	if (!peer_has(&peer, what))
		print_error("%s\n", (char *)peer.got.ptr);
	assert_true(peer_has(&peer, what));
}

TEST(handshake__refusals)
{
	refuse("GET /subscribe/t HTTP/1.1\r\n" HOST
	       "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n\r\n",
	       "HTTP/1.1 426");
	refuse("GET /subscribe/t HTTP/1.1\r\n" HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n"
	       "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
	       "HTTP/1.1 400");
	refuse("GET /subscribe/t HTTP/1.1\r\n" HOST UPGRADE "Origin: http://evil.example\r\n\r\n",
	       "HTTP/1.1 403");
	refuse("GET /subscribe/t HTTP/1.1\r\n" HOST UPGRADE
	       "Sec-WebSocket-Protocol: bourn.v1.json\r\n\r\n",
	       "HTTP/1.1 501");
	refuse("GET /subscribe/t?offset=soon HTTP/1.1\r\n" HOST UPGRADE "\r\n", "HTTP/1.1 400");
	refuse("GET /subscribe/a%20b HTTP/1.1\r\n" HOST UPGRADE "\r\n", "bad_topic_name");
	refuse("GET /livez HTTP/1.1\r\n" HOST UPGRADE "\r\n", "HTTP/1.1 200");
}

TEST(handshake__frames_may_follow_at_once)
{
	struct buf bytes = BUF_INIT(1024);

	buf_append_lit(&bytes, "GET /produce/t HTTP/1.1\r\n" HOST UPGRADE "\r\n");
	ws_append_frame(&bytes, WS_TEXT, SLICE_LIT("eager"), mask);
	ws_append_close(&bytes, 1000, SLICE_NONE, mask);
	peer_connect(&peer, &fx);
	peer_send(&peer, bytes.ptr, bytes.len);
	buf_fini(&bytes);
	assert_true(peer_wait_end(&peer));
	expect_topic("\"value\":\"eager\"");
}

int main(void)
{
#define T(name)        cmocka_unit_test_setup_teardown(name, setup, teardown)
#define PINGING(name)  cmocka_unit_test_setup_teardown(name, setup_pinging, teardown)
#define STALLING(name) cmocka_unit_test_setup_teardown(name, setup_stalling, teardown)
	const struct CMUnitTest tests[] = {
		T(subscribe__payloads_only_text_or_binary),
		T(subscribe__begins_at_the_end_of_a_topic_yet_to_come),
		T(subscribe__close_is_answered),
		T(subscribe__ping_is_answered),
		T(subscribe__takes_no_messages),
		T(subscribe__unmasked_frames_break_the_rules),
		T(subscribe__a_position_that_is_gone),
		T(subscribe__a_topic_that_goes),
		PINGING(subscribe__silence_is_asked_and_answered),
		PINGING(subscribe__a_dead_peer_is_given_up),
		STALLING(subscribe__a_peer_that_takes_nothing_is_told_where_to_go_on),
		T(subscribe__is_told_that_the_broker_stops),
		T(produce__each_message_is_an_event),
		T(produce__many_keep_their_order),
		T(produce__the_first_that_is_refused_is_named),
		T(produce__a_vanished_producer_leaves_what_it_sent),
		T(handshake__refusals),
		T(handshake__frames_may_follow_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
