#include "wire/ws.h"

#include "base/check.h"
#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <wslay/wslay.h>

static const uint8_t key[4] = {0x37, 0xfa, 0x21, 0x3d};

/* Frames as a client sends them. */
static void append(struct buf *out, enum ws_opcode opcode, bool fin, struct slice payload)
{
	uint8_t header[WS_HEADER_BYTES_MAX];

	buf_append(out, header, ws_header_write(header, opcode, fin, payload.len, key));
	buf_append_slice(out, payload);
	ws_mask(out->ptr + out->len - payload.len, payload.len, key, 0);
}

static void log_event(struct buf *log, const char *kind, uint16_t code, struct slice payload)
{
	buf_printf(log, "%s %u %zu:", kind, code, payload.len);
	buf_append_slice(log, payload);
	buf_append_lit(log, "\n");
}

static const char *const kinds[] = {
	[WS_EVENT_PING] = "ping",
	[WS_EVENT_PONG] = "pong",
	[WS_EVENT_CLOSE] = "close",
	[WS_EVENT_FAILED] = "failed",
};

/* What our server makes of `input`, `step` bytes at a time, written down in `log`; the largest
 * number of bytes it made its caller hold. */
static size_t run(struct slice input, size_t step, size_t limit, struct buf *log)
{
	struct buf in = BUF_INIT(1 << 24);
	struct ws_parser p;
	size_t held_max = 0;

	ws_parser_init(&p, WS_SERVER);
	p.message_bytes_max = limit;
	while (input.len > 0) {
		size_t more = input.len < step ? input.len : step;
		enum ws_event event;

		buf_append(&in, input.ptr, more);
		input = slice_of(input.ptr + more, input.len - more);
		while ((event = ws_parse(&p, in.ptr, &in.len)) != WS_EVENT_MORE) {
			const char *kind = event == WS_EVENT_MESSAGE ? p.text ? "text" : "binary"
			                                             : kinds[event];

			log_event(log, kind, p.close_code,
			          event == WS_EVENT_FAILED ? SLICE_NONE : p.payload);
			if (event == WS_EVENT_CLOSE || event == WS_EVENT_FAILED)
				goto done;
			buf_consume(&in, p.consumed);
		}
		held_max = in.len > held_max ? in.len : held_max;
	}
done:
	buf_fini(&in);
	return held_max;
}

/* `input` gives `expected`, however it is cut into pieces. */
static void assert_events(struct buf *input, const char *expected)
{
	for (size_t step = 1; step <= input->len; step++) {
		struct buf log = BUF_INIT(1 << 20);

		run(buf_slice(input), step, 1 << 20, &log);
		assert_int_equal(log.len, strlen(expected));
		assert_memory_equal(log.ptr, expected, log.len);
		buf_fini(&log);
	}
	buf_fini(input);
}

static void assert_failed(const void *bytes, size_t len, uint16_t code)
{
	struct buf input = BUF_INIT(1 << 20);
	char expected[32];

	buf_append(&input, bytes, len);
	snprintf(expected, sizeof(expected), "failed %u 0:\n", code);
	assert_events(&input, expected);
}

#define FAILED(text, code) assert_failed(text, sizeof(text) - 1, code)

TEST(ws_parse__the_example_of_the_rfc)
{
	struct buf input = BUF_INIT(64);

	buf_append_lit(&input, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
	assert_events(&input, "text 0 5:Hello\n");
}

TEST(ws_parse__fragments_become_one_slice_with_control_frames_between)
{
	struct buf input = BUF_INIT(1 << 16);

	append(&input, WS_PING, true, SLICE_LIT("early"));
	append(&input, WS_TEXT, false, SLICE_LIT("one\xe2\x82"));
	append(&input, WS_PING, true, SLICE_LIT("now"));
	append(&input, WS_CONTINUATION, false, SLICE_LIT("\xac"));
	append(&input, WS_PONG, true, SLICE_NONE);
	append(&input, WS_CONTINUATION, false, SLICE_NONE);
	append(&input, WS_CONTINUATION, true, SLICE_LIT("two"));
	append(&input, WS_BINARY, true, SLICE_LIT("\xff\0x"));
	append(&input, WS_TEXT, true, SLICE_NONE);
	append(&input, WS_BINARY, false, SLICE_NONE);
	append(&input, WS_CLOSE, true,
	       SLICE_LIT("\x03\xe8"
	                 "bye"));
	append(&input, WS_TEXT, true, SLICE_LIT("unread"));
	/* The binary's payload holds a NUL, so the log is compared in parts. */
	for (size_t step = 1; step <= input.len; step++) {
		struct buf log = BUF_INIT(1 << 16);

		run(buf_slice(&input), step, 1 << 20, &log);
		assert_true(slice_eq(buf_slice(&log),
		                     SLICE_LIT("ping 0 5:early\nping 0 3:now\npong 0 0:\n"
		                               "text 0 9:one\xe2\x82\xactwo\nbinary 0 3:\xff\0x\n"
		                               "text 0 0:\nclose 1000 3:bye\n")));
		buf_fini(&log);
	}
	buf_fini(&input);
}

TEST(ws_parse__rules_broken_are_1002)
{
	FAILED("\x81\x05hello", 1002); /* not masked */
	FAILED("\xc1\x80....", 1002);  /* reserved bits */
	FAILED("\xa1\x80....", 1002);
	FAILED("\x91\x80....", 1002);
	FAILED("\x83\x80....", 1002); /* unknown opcodes */
	FAILED("\x8b\x80....", 1002);
	FAILED("\x80\x80....", 1002);                     /* continuation of nothing */
	FAILED("\x01\x80....\x81\x80....", 1002);         /* a message in a message */
	FAILED("\x09\x80....", 1002);                     /* fragmented control */
	FAILED("\x89\xfe\x00\x7e....", 1002);             /* long control */
	FAILED("\x82\xfe\x00\x7d....", 1002);             /* 125 in 16 bits */
	FAILED("\x82\xff\0\0\0\0\0\0\xff\xff....", 1002); /* 65535 in 64 bits */
	FAILED("\x82\xff\xff\0\0\0\0\0\0\0....", 1002);   /* 64 bits and a sign */
	FAILED("\x88\x81\0\0\0\0\x03", 1002);             /* half a close code */
	FAILED("\x88\x82\0\0\0\0\x03\xed", 1002);         /* 1005 must not be sent */
}

TEST(ws_parse__text_that_is_not_utf8_is_1007)
{
	FAILED("\x81\x81\0\0\0\0\xff", 1007);
	FAILED("\x81\x82\0\0\0\0\xe2\x82", 1007);                 /* cut off */
	FAILED("\x01\x81\0\0\0\0\xe2\x80\x81\0\0\0\0\x28", 1007); /* wrong in the next fragment */
	FAILED("\x01\x81\0\0\0\0\xff", 1007);                     /* at once, not at the end */
	FAILED("\x88\x83\0\0\0\0\x03\xe8\xff", 1007);
}

TEST(ws_parse__beyond_the_limit_is_1009_before_the_payload_came)
{
	static const struct {
		struct slice head;
		bool fails;
	} rows[] = {
		{SLICE_LIT("\x82\x88"), false},
		{SLICE_LIT("\x82\x89"), true},
		{SLICE_LIT("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff"), true},
		{SLICE_LIT("\x02\x83\0\0\0\0abc\x80\x85"), false},
		{SLICE_LIT("\x02\x83\0\0\0\0abc\x80\x86"), true},
	};

	for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
		struct buf log = BUF_INIT(1024);

		run(rows[i].head, SIZE_MAX, 8, &log);
		assert_true(slice_eq(buf_slice(&log),
		                     rows[i].fails ? SLICE_LIT("failed 1009 0:\n") : SLICE_NONE));
		buf_fini(&log);
	}
}

TEST(ws_parse__headers_of_fragments_do_not_pile_up)
{
	struct buf input = BUF_INIT(1 << 20), log = BUF_INIT(1 << 20);

	append(&input, WS_TEXT, false, SLICE_LIT("x"));
	for (size_t i = 0; i < 1000; i++)
		append(&input, WS_CONTINUATION, false, SLICE_LIT("x"));
	assert_in_range(run(buf_slice(&input), 50, 2000, &log), 1000, 1060);
	assert_int_equal(log.len, 0);
	buf_fini(&input);
	buf_fini(&log);
}

TEST(ws_parse__a_client_wants_frames_unmasked)
{
	uint8_t right[] = {0x81, 2, 'h', 'i'}, wrong[] = {0x81, 0x82, 0, 0, 0, 0, 'h', 'i'};
	size_t len = sizeof(right);
	struct ws_parser p;

	ws_parser_init(&p, WS_CLIENT);
	assert_int_equal(ws_parse(&p, right, &len), WS_EVENT_MESSAGE);
	assert_true(slice_eq(p.payload, SLICE_LIT("hi")));
	assert_int_equal(p.consumed, 4);
	len = sizeof(wrong);
	assert_int_equal(ws_parse(&p, wrong, &len), WS_EVENT_FAILED);
	assert_int_equal(p.close_code, 1002);
}

TEST(ws_mask__by_words_as_by_bytes)
{
	for (size_t len = 0; len < 100; len++) {
		for (size_t at = 0; at < 5; at++) {
			uint8_t bytes[100], expected[100];

			for (size_t i = 0; i < len; i++) {
				bytes[i] = (uint8_t)(i * 7);
				expected[i] = bytes[i] ^ key[(at + i) & 3];
			}
			ws_mask(bytes, len, key, at);
			assert_memory_equal(bytes, expected, len);
		}
	}
}

TEST(ws_append_close__a_long_reason_ends_at_a_character)
{
	struct buf out = BUF_INIT(1024), reason = BUF_INIT(1024);
	size_t len;
	struct ws_parser p;

	for (size_t i = 0; i < 61; i++)
		buf_append_lit(&reason, "\xc3\xa9");
	buf_append_lit(&reason, "\xe2\x82\xac\xe2\x82\xac");
	ws_append_close(&out, WS_CLOSE_TOO_SLOW, buf_slice(&reason), NULL);
	ws_parser_init(&p, WS_CLIENT);
	len = out.len;
	assert_int_equal(ws_parse(&p, out.ptr, &len), WS_EVENT_CLOSE);
	assert_int_equal(p.close_code, WS_CLOSE_TOO_SLOW);
	assert_int_equal(p.payload.len, 122);
	buf_clear(&out);
	ws_append_close(&out, WS_CLOSE_NONE, SLICE_NONE, NULL);
	assert_true(slice_eq(buf_slice(&out), SLICE_LIT("\x88\x00")));
	buf_fini(&out);
	buf_fini(&reason);
}

TEST(ws_accept__the_example_of_the_rfc)
{
	char accept[WS_ACCEPT_LEN + 1];

	assert_int_equal(ws_accept(SLICE_LIT("dGhlIHNhbXBsZSBub25jZQ=="), accept), OK);
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
	assert_int_equal(ws_accept(SLICE_LIT("dGhlIHNhbXBsZSBub25jZQ="), accept), ERR_BAD_REQUEST);
	assert_int_equal(ws_accept(SLICE_LIT("c2hvcnQ="), accept), ERR_BAD_REQUEST);
	assert_int_equal(ws_accept(SLICE_LIT("dGhlIHNhbXBsZSBub25jZSEhISEh"), accept),
	                 ERR_BAD_REQUEST);
	assert_int_equal(ws_accept(SLICE_NONE, accept), ERR_BAD_REQUEST);
}

/* --- wslay as oracle -------------------------------------------------------------------------- */

struct oracle {
	struct slice input;
	struct buf *log;
};

static ssize_t oracle_recv(wslay_event_context_ptr ctx, uint8_t *to, size_t len,
                           int flags __attribute__((unused)), void *user)
{
	struct oracle *o = user;
	size_t n = o->input.len < len ? o->input.len : len;

	if (n == 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	memcpy(to, o->input.ptr, n);
	o->input = slice_of(o->input.ptr + n, o->input.len - n);
	return (ssize_t)n;
}

static ssize_t oracle_send(wslay_event_context_ptr ctx __attribute__((unused)),
                           const uint8_t *bytes __attribute__((unused)), size_t len,
                           int flags __attribute__((unused)), void *user __attribute__((unused)))
{
	return (ssize_t)len;
}

static void oracle_message(wslay_event_context_ptr ctx __attribute__((unused)),
                           const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
	static const char *const names[] = {
		[1] = "text", [2] = "binary", [8] = "close", [9] = "ping", [10] = "pong"};
	struct oracle *o = user;
	struct slice payload = slice_of(arg->msg, arg->msg_length);
	uint16_t code = 0;

	if (arg->opcode == WSLAY_CONNECTION_CLOSE) {
		code = payload.len ? arg->status_code : WS_CLOSE_NONE;
		payload = payload.len ? slice_of(payload.ptr + 2, payload.len - 2) : payload;
	}
	log_event(o->log, names[arg->opcode], code, payload);
}

/* What wslay as a server makes of `input`. */
static void run_oracle(struct slice input, struct buf *log)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = oracle_recv,
		.send_callback = oracle_send,
		.on_msg_recv_callback = oracle_message,
	};
	struct oracle o = {.input = input, .log = log};
	wslay_event_context_ptr ctx;
	uint16_t sent;

	assert_int_equal(wslay_event_context_server_init(&ctx, &callbacks, &o), 0);
	wslay_event_config_set_max_recv_msg_length(ctx, 1 << 20);
	wslay_event_recv(ctx);
	while (wslay_event_want_write(ctx))
		assert_int_equal(wslay_event_send(ctx), 0);
	sent = wslay_event_get_status_code_sent(ctx);
	/* To frames that it cannot read at all it answers with no code. */
	if (wslay_event_get_close_sent(ctx) && !wslay_event_get_close_received(ctx))
		log_event(log, "failed", sent == WS_CLOSE_NONE ? WS_CLOSE_PROTOCOL : sent,
		          SLICE_NONE);
	wslay_event_context_free(ctx);
}

static void append_random(struct buf *out, unsigned *seed)
{
	static const enum ws_opcode controls[] = {WS_PING, WS_PONG};
	static const size_t lengths[] = {0, 1, 5, 125, 126, 127, 1000, 65535, 65536, 70000};
	uint8_t *payload = malloc(70000);
	enum ws_opcode opcode = rand_r(seed) % 2 ? WS_TEXT : WS_BINARY;
	int fragments = 1 + rand_r(seed) % 3;

	for (int i = 0; i < fragments; i++) {
		size_t len = lengths[(size_t)rand_r(seed) % ARRAY_COUNT(lengths)];

		memset(payload, 'a' + rand_r(seed) % 26, len);
		append(out, i ? WS_CONTINUATION : opcode, i == fragments - 1,
		       slice_of(payload, len));
		if (rand_r(seed) % 3 == 0)
			append(out, controls[rand_r(seed) % 2], true, slice_of(payload, len % 126));
	}
	free(payload);
}

TEST(ws_parse__agrees_with_wslay_on_random_streams_whole_and_damaged)
{
	for (unsigned round = 0; round < 400; round++) {
		struct buf input = BUF_INIT(1 << 22), ours = BUF_INIT(1 << 24),
			   its = BUF_INIT(1 << 24);
		unsigned seed = round;

		for (int i = 0; i < 4; i++)
			append_random(&input, &seed);
		if (round % 2) /* the header of the first frame: the rest hangs on it */
			input.ptr[(size_t)rand_r(&seed) % 8] ^= (uint8_t)(1 << rand_r(&seed) % 8);
		run(buf_slice(&input), 1 + (size_t)rand_r(&seed) % 5000, 1 << 20, &ours);
		run_oracle(buf_slice(&input), &its);
		/* It looks at text before the frame is whole; we do not. */
		if (its.len > ours.len && slice_eq(slice_of(its.ptr + ours.len, its.len - ours.len),
		                                   SLICE_LIT("failed 1007 0:\n")))
			its.len = ours.len;
		if (!slice_eq(buf_slice(&ours), buf_slice(&its)))
			fail_msg("seed %u: ours %.60s, wslay's %.60s", round,
			         ours.len ? (char *)ours.ptr : "", its.len ? (char *)its.ptr : "");
		buf_fini(&input);
		buf_fini(&ours);
		buf_fini(&its);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(ws_parse__the_example_of_the_rfc),
		cmocka_unit_test(ws_parse__fragments_become_one_slice_with_control_frames_between),
		cmocka_unit_test(ws_parse__rules_broken_are_1002),
		cmocka_unit_test(ws_parse__text_that_is_not_utf8_is_1007),
		cmocka_unit_test(ws_parse__beyond_the_limit_is_1009_before_the_payload_came),
		cmocka_unit_test(ws_parse__headers_of_fragments_do_not_pile_up),
		cmocka_unit_test(ws_parse__a_client_wants_frames_unmasked),
		cmocka_unit_test(ws_mask__by_words_as_by_bytes),
		cmocka_unit_test(ws_append_close__a_long_reason_ends_at_a_character),
		cmocka_unit_test(ws_accept__the_example_of_the_rfc),
		cmocka_unit_test(ws_parse__agrees_with_wslay_on_random_streams_whole_and_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
