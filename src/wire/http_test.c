#include "wire/http.h"

#include "base/buf.h"
#include "base/test.h"

#include <stdlib.h>

/* Bytes of a connection that arrive `step` at a time into a buffer that moves each time. */
struct wire {
	struct http_parser parser;
	struct slice input; /* the original; the parser works on copies */
	size_t arrived;
	size_t step;
	uint8_t *bytes; /* owned: what is at hand from the current request's start */
	size_t len;
	unsigned heads;
};

static void wire_init(struct wire *w, struct slice input, size_t step)
{
	*w = (struct wire){.input = input, .step = step};
	http_parser_init(&w->parser);
}

static void wire_fini(struct wire *w)
{
	free(w->bytes);
}

static void arrive(struct wire *w)
{
	size_t left = w->input.len - w->arrived;
	size_t more = left < w->step ? left : w->step;
	uint8_t *moved = malloc(w->len + more + 1);

	if (w->len)
		memcpy(moved, w->bytes, w->len);
	memcpy(moved + w->len, w->input.ptr + w->arrived, more);
	free(w->bytes);
	w->bytes = moved;
	w->len += more;
	w->arrived += more;
}

/* Up to the next MESSAGE or REFUSED, or MORE when the input ends before. */
static enum http_event next(struct wire *w)
{
	for (;;) {
		enum http_event event = HTTP_EVENT_MORE;

		if (w->len > 0)
			event = http_parse(&w->parser, w->bytes, &w->len);
		if (event == HTTP_EVENT_HEAD)
			w->heads++;
		else if (event != HTTP_EVENT_MORE)
			return event;
		else if (w->arrived == w->input.len)
			return event;
		else
			arrive(w);
	}
}

static void skip_message(struct wire *w)
{
	memmove(w->bytes, w->bytes + w->parser.consumed, w->len - w->parser.consumed);
	w->len -= w->parser.consumed;
	http_parser_next(&w->parser);
}

static void assert_slice(struct slice s, const char *expected)
{
	assert_int_equal(s.len, strlen(expected));
	assert_memory_equal(s.ptr, expected, s.len);
}

/* `text` is refused with `err`, however it is cut into pieces. */
static void assert_refused(struct slice text, enum err err)
{
	static const size_t steps[] = {1, 7, SIZE_MAX};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct wire w;

		wire_init(&w, text, steps[i]);
		assert_int_equal(next(&w), HTTP_EVENT_REFUSED);
		assert_string_equal(err_slug(w.parser.err), err_slug(err));
		wire_fini(&w);
	}
}

#define REFUSED(text, err) assert_refused(SLICE_LIT(text), err)

TEST(http__a_post_in_pieces_of_any_size)
{
	struct slice text =
		SLICE_LIT("POST /produce/t?ack=none HTTP/1.1\r\nHost: localhost:3030\r\n"
	                  "Empty:\r\nContent-Type:  text/plain \t\r\n"
	                  "Content-Length: 5\r\n\r\nhello");

	for (size_t step = 1; step <= text.len; step++) {
		struct wire w;
		const struct http_request *r = &w.parser.request;

		wire_init(&w, text, step);
		assert_int_equal(next(&w), HTTP_EVENT_MESSAGE);
		assert_int_equal(w.heads, 1);
		assert_int_equal(r->method, HTTP_METHOD_POST);
		assert_int_equal(r->content_length, 5);
		assert_true(r->keep_alive);
		assert_slice(r->target, "/produce/t?ack=none");
		assert_slice(r->path, "/produce/t");
		assert_slice(r->query, "ack=none");
		assert_slice(r->host, "localhost:3030");
		assert_slice(http_field(r, HTTP_FIELD_CONTENT_TYPE), "text/plain");
		assert_slice(http_header(r, "empty"), "");
		assert_null(http_header(r, "absent").ptr);
		assert_slice(r->body, "hello");
		assert_int_equal(w.parser.consumed, text.len);
		wire_fini(&w);
	}
}

TEST(http__chunks_become_one_slice_and_what_follows_stays)
{
	struct slice text =
		SLICE_LIT("POST /t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n"
	                  "5 ;a=\"b\";c\r\nhello\r\n00006\r\n world\r\n0\r\nTrailer: 1\r\n\r\n"
	                  "GET /next HTTP/1.1\r\nHost: y\r\n\r\n");

	for (size_t step = 1; step <= text.len; step++) {
		struct wire w;

		wire_init(&w, text, step);
		assert_int_equal(next(&w), HTTP_EVENT_MESSAGE);
		assert_slice(w.parser.request.body, "hello world");
		skip_message(&w);
		assert_int_equal(next(&w), HTTP_EVENT_MESSAGE);
		assert_slice(w.parser.request.path, "/next");
		assert_int_equal(w.parser.request.body.len, 0);
		skip_message(&w);
		assert_int_equal(w.len, 0);
		wire_fini(&w);
	}
}

TEST(http__the_head_is_reported_before_the_body_is_there)
{
	struct slice text = SLICE_LIT("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\n"
	                              "Content-Length: 10\r\n\r\n");
	struct wire w;

	wire_init(&w, text, SIZE_MAX);
	assert_false(http_parser_started(&w.parser));
	assert_int_equal(next(&w), HTTP_EVENT_MORE);
	assert_true(http_parser_started(&w.parser));
	assert_int_equal(w.heads, 1);
	assert_true(w.parser.request.expect_continue);
	wire_fini(&w);
}

TEST(http__a_body_beyond_the_limit_is_refused_at_once)
{
	static const char *const texts[] = {
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n5\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct wire w;

		wire_init(&w, slice_str(texts[i]), SIZE_MAX);
		w.parser.body_bytes_max = 8;
		assert_int_equal(next(&w), HTTP_EVENT_REFUSED);
		assert_int_equal(w.parser.err, ERR_TOO_LARGE);
		wire_fini(&w);
	}
}

TEST(http__a_body_of_exactly_the_limit_passes)
{
	struct wire w;

	wire_init(&w,
	          SLICE_LIT("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	                    "4\r\nabcd\r\n4\r\nefgh\r\n0\r\n\r\n"),
	          SIZE_MAX);
	w.parser.body_bytes_max = 8;
	assert_int_equal(next(&w), HTTP_EVENT_MESSAGE);
	assert_slice(w.parser.request.body, "abcdefgh");
	wire_fini(&w);
}

TEST(http__whoever_reads_the_framing_in_two_ways_is_refused)
{
	REFUSED("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
	        ERR_BAD_REQUEST);
	REFUSED("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
	        ERR_BAD_REQUEST);
	REFUSED("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
	        ERR_BAD_REQUEST);
	REFUSED("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", ERR_BAD_REQUEST);
	REFUSED("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1,1\r\n\r\na", ERR_BAD_REQUEST);
	REFUSED("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9223372036854775808\r\n\r\n",
	        ERR_BAD_REQUEST);
	REFUSED("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	        ERR_BAD_REQUEST);
	REFUSED("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n",
	        ERR_TRANSFER_ENCODING);
	REFUSED("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
	        ERR_TRANSFER_ENCODING);
	REFUSED("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
	        ERR_TRANSFER_ENCODING);
	REFUSED("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
	        ERR_TRANSFER_ENCODING);
}

TEST(http__lines_that_are_not_lines_are_refused)
{
	REFUSED("GET / HTTP/1.1\nHost: x\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET / HTTP/1.1\r\nHost: x\nA: b\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET / HTTP/1.1\r\nHost: x\r\n\n", ERR_BAD_REQUEST);
	REFUSED("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET / HTTP/1.1\r\nHost: x\r\nA:\r\n c\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n \r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET / HTTP/1.1\r\nHost: x\r\nA:\r\n\t\r\nB: c\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET / HTTP/1.1\r\n Host: x\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET / HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET /  HTTP/1.1\r\nHost: x\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("get / HTTP/1.1\r\nHost: x\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("\x16\x03\x01\x02", ERR_BAD_REQUEST);
}

TEST(http__chunk_framing_that_is_not_strict_is_refused)
{
#define CHUNKS(rest)                                                                               \
	REFUSED("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" rest,           \
	        ERR_BAD_REQUEST)
	CHUNKS("1\na\r\n0\r\n\r\n");
	CHUNKS("1;x\ny\r\na\r\n0\r\n\r\n");
	CHUNKS("1;x\ry\r\na\r\n0\r\n\r\n");
	CHUNKS("1\r\nab\r\n0\r\n\r\n");
	CHUNKS("1 1\r\na\r\n0\r\n\r\n");
	CHUNKS("1 \r\na\r\n0\r\n\r\n");
	CHUNKS("\r\n");
	CHUNKS("0x1\r\na\r\n0\r\n\r\n");
	CHUNKS("-1\r\na\r\n0\r\n\r\n");
	CHUNKS("00000000000000001\r\na\r\n0\r\n\r\n");
	CHUNKS("0\r\n folded\r\n\r\n");
	CHUNKS("0\r\nA: b\n\r\n");
	CHUNKS("0\r\nA b\r\n\r\n");
	CHUNKS("0\r\nContent-length: 3\r\n\r\n");
#undef CHUNKS
}

/* A request whose parts are repeated to reach sizes. */
static void assert_sized(const char *before, char fill, size_t count, const char *after,
                         enum err err)
{
	struct buf b = BUF_INIT(1 << 20);
	struct wire w;

	buf_append_str(&b, before);
	for (size_t i = 0; i < count; i++)
		buf_append(&b, &fill, 1);
	buf_append_str(&b, after);
	wire_init(&w, buf_slice(&b), 4096);
	assert_int_equal(next(&w), err ? HTTP_EVENT_REFUSED : HTTP_EVENT_MESSAGE);
	assert_int_equal(w.parser.err, err);
	wire_fini(&w);
	buf_fini(&b);
}

TEST(http__sizes_at_and_beyond_their_limits)
{
	assert_sized("GET /", 'a', 8000, " HTTP/1.1\r\nHost: x\r\n\r\n", OK);
	assert_sized("GET /", 'a', 8200, " HTTP/1.1\r\nHost: x\r\n\r\n", ERR_URI_LONG);
	assert_sized("GET /", 'a', 100000, "", ERR_URI_LONG);
	assert_sized("GET / HTTP/1.1\r\nHost: x\r\nA: ", 'a', 32000, "\r\n\r\n", OK);
	assert_sized("GET / HTTP/1.1\r\nHost: x\r\nA: ", 'a', 33000, "\r\n\r\n", ERR_HEADERS_LARGE);
	assert_sized("GET / HTTP/1.1\r\nHost: x\r\nA: ", 'a', 100000, "", ERR_HEADERS_LARGE);
	assert_sized("", '\n', 100000, "", ERR_URI_LONG);
	assert_sized("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", 'a',
	             1000, "\r\na\r\n0\r\n\r\n", OK);
	assert_sized("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1;", 'a',
	             1100, "\r\na\r\n0\r\n\r\n", ERR_BAD_REQUEST);
}

TEST(http__more_than_a_hundred_fields_are_refused)
{
	for (size_t count = HTTP_FIELDS_MAX - 1; count <= HTTP_FIELDS_MAX; count++) {
		struct buf b = BUF_INIT(1 << 20);
		struct wire w;

		buf_append_lit(&b, "GET / HTTP/1.1\r\nHost: x\r\n");
		for (size_t i = 0; i < count; i++)
			buf_printf(&b, "X-%zu: y\r\n", i);
		buf_append_lit(&b, "\r\n");
		wire_init(&w, buf_slice(&b), SIZE_MAX);
		assert_int_equal(next(&w),
		                 count < HTTP_FIELDS_MAX ? HTTP_EVENT_MESSAGE : HTTP_EVENT_REFUSED);
		assert_int_equal(w.parser.err, count < HTTP_FIELDS_MAX ? OK : ERR_HEADERS_LARGE);
		wire_fini(&w);
		buf_fini(&b);
	}
}

TEST(http__trailers_are_bounded)
{
	struct buf b = BUF_INIT(1 << 20);
	struct wire w;

	buf_append_lit(&b, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
	for (size_t i = 0; i < 1000; i++)
		buf_append_lit(&b, "Trailer: more\r\n");
	wire_init(&w, buf_slice(&b), 100);
	assert_int_equal(next(&w), HTTP_EVENT_REFUSED);
	assert_int_equal(w.parser.err, ERR_HEADERS_LARGE);
	wire_fini(&w);
	buf_fini(&b);
}

TEST(http__framing_does_not_pile_up_in_the_buffer)
{
	struct buf b = BUF_INIT(1 << 20);
	struct wire w;
	size_t len_max = 0;

	buf_append_lit(&b, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (size_t i = 0; i < 1000; i++)
		buf_append_lit(&b, "1;ext=something\r\nx\r\n");
	buf_append_lit(&b, "0\r\n\r\n");
	wire_init(&w, buf_slice(&b), 64);
	do {
		arrive(&w);
		len_max = w.len > len_max ? w.len : len_max;
	} while (http_parse(&w.parser, w.bytes, &w.len) != HTTP_EVENT_MESSAGE);
	assert_int_equal(w.parser.request.body.len, 1000);
	assert_in_range(len_max, 1000, 1200);
	wire_fini(&w);
	buf_fini(&b);
}

TEST(http__versions_other_than_1_0_and_1_1_are_refused)
{
	REFUSED("GET /\r\n\r\n", ERR_HTTP_VERSION);
	REFUSED("GET / HTTP/0.9\r\n\r\n", ERR_HTTP_VERSION);
	REFUSED("GET / HTTP/1.2\r\nHost: x\r\n\r\n", ERR_HTTP_VERSION);
	REFUSED("GET / HTTP/2.0\r\nHost: x\r\n\r\n", ERR_HTTP_VERSION);
	REFUSED("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ERR_HTTP_VERSION);
	REFUSED("OPTIONS / RTSP/1.0\r\nHost: x\r\n\r\n", ERR_HTTP_VERSION);
}

TEST(http__exactly_one_host)
{
	struct wire w;

	REFUSED("GET / HTTP/1.1\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET http://a/ HTTP/1.1\r\n\r\n", ERR_BAD_REQUEST);
	wire_init(&w, SLICE_LIT("GET / HTTP/1.0\r\n\r\n"), SIZE_MAX);
	assert_int_equal(next(&w), HTTP_EVENT_MESSAGE);
	assert_null(w.parser.request.host.ptr);
	assert_false(w.parser.request.keep_alive);
	wire_fini(&w);
}

TEST(http__an_absolute_target_replaces_host)
{
	static const struct {
		const char *target, *host, *path, *query;
	} rows[] = {
		{"http://a:1/b?c", "a:1", "/b", "c"},
		{"HTTP://a", "a", "/", NULL},
		{"https://a?q", "a", "/", "q"},
		{"/b?", "h", "/b", ""},
		{"//b", "h", "//b", NULL},
		{"/b?c?d", "h", "/b", "c?d"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = BUF_INIT(1 << 20);
		struct wire w;

		buf_printf(&b, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", rows[i].target);
		wire_init(&w, buf_slice(&b), 3);
		assert_int_equal(next(&w), HTTP_EVENT_MESSAGE);
		assert_slice(w.parser.request.host, rows[i].host);
		assert_slice(w.parser.request.path, rows[i].path);
		if (rows[i].query)
			assert_slice(w.parser.request.query, rows[i].query);
		else
			assert_null(w.parser.request.query.ptr);
		wire_fini(&w);
		buf_fini(&b);
	}
	REFUSED("GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET ftp://h/ HTTP/1.1\r\nHost: h\r\n\r\n", ERR_BAD_REQUEST);
	REFUSED("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", ERR_BAD_REQUEST);
}

TEST(http__upgrade_means_websocket_or_nothing)
{
	static const struct {
		const char *text;
		bool wanted;
	} rows[] = {
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n"
	         "Upgrade: WebSocket\r\n\r\nrest",
	         true},
		{"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nrest",
	         false},
		{"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\nrest", false},
		{"POST / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	         "Content-Length: 0\r\n\r\nrest",
	         false},
		{"GET / HTTP/1.0\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nrest",
	         false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct wire w;

		wire_init(&w, slice_str(rows[i].text), SIZE_MAX);
		assert_int_equal(next(&w), HTTP_EVENT_MESSAGE);
		assert_int_equal(w.parser.request.upgrade_websocket, rows[i].wanted);
		assert_int_equal(w.len - w.parser.consumed, strlen("rest"));
		wire_fini(&w);
	}
}

TEST(http__other_methods_are_reported_not_refused)
{
	struct wire w;

	wire_init(&w, SLICE_LIT("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"), 1);
	assert_int_equal(next(&w), HTTP_EVENT_MESSAGE);
	assert_int_equal(w.parser.request.method, HTTP_METHOD_OTHER);
	assert_false(w.parser.request.keep_alive);
	wire_fini(&w);
	wire_init(&w, SLICE_LIT("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"), 1);
	assert_int_equal(next(&w), HTTP_EVENT_MESSAGE);
	assert_int_equal(w.parser.request.method, HTTP_METHOD_OTHER);
	wire_fini(&w);
}

TEST(http__only_100_continue_may_be_expected)
{
	REFUSED("GET / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", ERR_EXPECTATION);
}

TEST(http__empty_lines_before_a_request_are_skipped)
{
	struct wire w;

	wire_init(&w, SLICE_LIT("\r\n\r\nGET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"),
	          1);
	assert_int_equal(next(&w), HTTP_EVENT_MESSAGE);
	assert_slice(w.parser.request.path, "/a");
	assert_false(w.parser.request.keep_alive);
	wire_fini(&w);
}

/* Each request differs from the one before in a single way, or in none. */
TEST(http__a_known_head_is_read_as_if_it_were_new)
{
	static const struct {
		const char *text, *path, *body;
		int64_t content_length;
	} requests[] = {
		{"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", "/a", "hi", 2},
		{"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nyo", "/a", "yo", 2},
		{"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "/a", "abc", 3},
		{"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc", "/b", "abc", 3},
		{"POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nX: y\r\n\r\nabc", "/b", "abc",
	         3},
		{"GET /b HTTP/1.1\r\nHost: h\r\n\r\n", "/b", "", -1},
		{"GET /b HTTP/1.1\r\nHost: h\r\n\r\n", "/b", "", -1},
	};
	static const size_t steps[] = {1, 50, SIZE_MAX};

	for (size_t s = 0; s < ARRAY_COUNT(steps); s++) {
		struct buf input = BUF_INIT(1 << 16);
		struct wire w;

		for (size_t i = 0; i < ARRAY_COUNT(requests); i++)
			buf_append_str(&input, requests[i].text);
		wire_init(&w, buf_slice(&input), steps[s]);
		for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
			uint64_t id_before = w.parser.request.head_id;

			assert_int_equal(next(&w), HTTP_EVENT_MESSAGE);
			if (steps[s] == SIZE_MAX)
				assert_int_equal(w.parser.request.head_id - id_before,
				                 i == 1 || i == 6 ? 0 : 1);
			assert_slice(w.parser.request.path, requests[i].path);
			assert_slice(w.parser.request.host, "h");
			assert_slice(w.parser.request.body, requests[i].body);
			assert_int_equal(w.parser.request.content_length,
			                 requests[i].content_length);
			skip_message(&w);
		}
		assert_int_equal(w.heads, ARRAY_COUNT(requests));
		wire_fini(&w);
		buf_fini(&input);
	}
}

TEST(http__a_head_with_a_secret_is_not_remembered)
{
	struct wire w;

	wire_init(&w, SLICE_LIT("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: x\r\n\r\n"), SIZE_MAX);
	assert_int_equal(next(&w), HTTP_EVENT_MESSAGE);
	assert_int_equal(w.parser.known_bytes, 0);
	wire_fini(&w);
}

TEST(http_list_has__looks_at_whole_elements)
{
	assert_true(http_list_has(SLICE_LIT("a, B ,c"), SLICE_LIT("b")));
	assert_false(http_list_has(SLICE_LIT("ab, c"), SLICE_LIT("b")));
	assert_false(http_list_has(SLICE_NONE, SLICE_LIT("b")));
}

TEST(http_fields__every_well_known_name_is_found_in_any_case)
{
	static const char *const names[HTTP_FIELD_COUNT] = {
#define X(name, text) text,
		HTTP_FIELDS(X)
#undef X
	};

	for (unsigned i = 0; i < HTTP_FIELD_COUNT; i++) {
		struct http_head h;
		struct buf b = BUF_INIT(1 << 16);

		buf_printf(&b, "HTTP/1.1 200 OK\r\n%s: 7\r\n\r\n", names[i]);
		b.ptr[17] = (uint8_t)(b.ptr[17] - ('a' - 'A'));
		http_head_init(&h, HTTP_RESPONSE);
		assert_int_equal(http_head_parse(&h, b.ptr, b.len), OK);
		assert_true(h.complete);
		assert_slice(http_fields_get(&h.fields, (enum http_field)i), "7");
		assert_slice(http_fields_find(&h.fields, names[i]), "7");
		if (i > 0)
			assert_true(strlen(names[i]) >= strlen(names[i - 1]));
		buf_fini(&b);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(http__a_post_in_pieces_of_any_size),
		cmocka_unit_test(http__chunks_become_one_slice_and_what_follows_stays),
		cmocka_unit_test(http__the_head_is_reported_before_the_body_is_there),
		cmocka_unit_test(http__a_body_beyond_the_limit_is_refused_at_once),
		cmocka_unit_test(http__a_body_of_exactly_the_limit_passes),
		cmocka_unit_test(http__whoever_reads_the_framing_in_two_ways_is_refused),
		cmocka_unit_test(http__lines_that_are_not_lines_are_refused),
		cmocka_unit_test(http__chunk_framing_that_is_not_strict_is_refused),
		cmocka_unit_test(http__sizes_at_and_beyond_their_limits),
		cmocka_unit_test(http__more_than_a_hundred_fields_are_refused),
		cmocka_unit_test(http__trailers_are_bounded),
		cmocka_unit_test(http__framing_does_not_pile_up_in_the_buffer),
		cmocka_unit_test(http__versions_other_than_1_0_and_1_1_are_refused),
		cmocka_unit_test(http__exactly_one_host),
		cmocka_unit_test(http__an_absolute_target_replaces_host),
		cmocka_unit_test(http__upgrade_means_websocket_or_nothing),
		cmocka_unit_test(http__other_methods_are_reported_not_refused),
		cmocka_unit_test(http__only_100_continue_may_be_expected),
		cmocka_unit_test(http__empty_lines_before_a_request_are_skipped),
		cmocka_unit_test(http__a_known_head_is_read_as_if_it_were_new),
		cmocka_unit_test(http__a_head_with_a_secret_is_not_remembered),
		cmocka_unit_test(http_list_has__looks_at_whole_elements),
		cmocka_unit_test(http_fields__every_well_known_name_is_found_in_any_case),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
