#include "wire/http_response.h"

#include "base/buf.h"
#include "base/test.h"

/* All of `text`, `step` bytes at a time: the body in `body`, the last event returned. */
static enum http_event run(const char *text, size_t step, struct http_response_parser *p,
                           struct buf *body)
{
	struct buf in = BUF_INIT(1 << 20);
	struct slice rest = slice_str(text);
	enum http_event event = HTTP_EVENT_MORE;

	while (event != HTTP_EVENT_MESSAGE && event != HTTP_EVENT_REFUSED) {
		if (event == HTTP_EVENT_MORE) {
			size_t more = rest.len < step ? rest.len : step;

			if (more == 0)
				break;
			buf_append(&in, rest.ptr, more);
			rest = slice_of(rest.ptr + more, rest.len - more);
		}
		event = http_response_parse(p, in.ptr, &in.len);
		buf_append_slice(body, p->body);
		buf_consume(&in, p->consumed);
	}
	buf_fini(&in);
	return event;
}

static void assert_body(const char *text, enum http_event last, int status, const char *expected)
{
	for (size_t step = 1; step <= strlen(text); step++) {
		struct http_response_parser p;
		struct buf body = BUF_INIT(1 << 20);

		http_response_init(&p, false);
		assert_int_equal(run(text, step, &p, &body), last);
		if (last != HTTP_EVENT_REFUSED)
			assert_int_equal(p.response.status, status);
		assert_true(slice_eq(buf_slice(&body), slice_str(expected)));
		buf_fini(&body);
	}
}

TEST(http_response__bodies_by_length_chunks_and_end_of_stream)
{
	assert_body("HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello", HTTP_EVENT_MESSAGE,
	            201, "hello");
	assert_body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n"
	            "0\r\n\r\n",
	            HTTP_EVENT_MESSAGE, 200, "hello");
	assert_body("HTTP/1.1 200 \r\n\r\nhello", HTTP_EVENT_MORE, 200, "hello");
	assert_body("HTTP/1.1 204 No Content\r\n\r\n", HTTP_EVENT_MESSAGE, 204, "");
}

TEST(http_response__interim_answers_are_skipped)
{
	assert_body("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nA: b\r\n\r\n"
	            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
	            HTTP_EVENT_MESSAGE, 200, "ok");
	assert_body("HTTP/1.1 101 Switching Protocols\r\n\r\n\x81", HTTP_EVENT_MESSAGE, 101, "");
}

TEST(http_response__what_is_malformed_is_refused)
{
	assert_body("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", HTTP_EVENT_REFUSED, 0, "");
	assert_body("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", HTTP_EVENT_REFUSED, 0,
	            "");
	assert_body("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
	            HTTP_EVENT_REFUSED, 0, "");
	assert_body("SSH-2.0-OpenSSH\r\n", HTTP_EVENT_REFUSED, 0, "");
}

TEST(http_response__an_answer_to_head_has_no_body)
{
	struct http_response_parser p;
	struct buf body = BUF_INIT(64);

	http_response_init(&p, true);
	assert_int_equal(run("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 9, &p, &body),
	                 HTTP_EVENT_MESSAGE);
	assert_int_equal(p.response.content_length, 5);
	assert_true(p.response.keep_alive);
	assert_int_equal(body.len, 0);
}

TEST(http_response__only_an_unbounded_body_may_end_with_the_stream)
{
	struct http_response_parser p;
	struct buf body = BUF_INIT(64);

	http_response_init(&p, false);
	run("HTTP/1.1 200 OK\r\n\r\nhel", SIZE_MAX, &p, &body);
	assert_true(http_response_eof(&p));
	assert_false(p.response.keep_alive);
	http_response_init(&p, false);
	run("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", SIZE_MAX, &p, &body);
	assert_false(http_response_eof(&p));
	buf_fini(&body);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(http_response__bodies_by_length_chunks_and_end_of_stream),
		cmocka_unit_test(http_response__interim_answers_are_skipped),
		cmocka_unit_test(http_response__what_is_malformed_is_refused),
		cmocka_unit_test(http_response__an_answer_to_head_has_no_body),
		cmocka_unit_test(http_response__only_an_unbounded_body_may_end_with_the_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
