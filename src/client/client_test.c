/* The client against a server that says what a test wants it to. */
#include "client/client.h"

#include "base/check.h"
#include "base/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum ending {
	WAITS, /* for the peer's end */
	HANGS_UP,
	BABBLES, /* sends on and on, and no line feed */
};

/* Answers requests on one connection, each with the next text, and then ends as it says. */
struct script {
	const char *const *answers; /* NULL ends them */
	enum ending ending;
	int listener;
	pthread_t thread;
};

static void babble(int fd)
{
	static const uint8_t piece[1 << 20] = {'x'};

	while (send(fd, piece, sizeof(piece), MSG_NOSIGNAL) > 0)
		continue;
}

static void *play(void *arg)
{
	struct script *s = arg;
	int fd = accept(s->listener, NULL, NULL);
	char head[4096];

	CHECK(fd >= 0);
	for (size_t i = 0; s->answers[i]; i++) {
		size_t len = strlen(s->answers[i]);

		CHECK(recv(fd, head, sizeof(head), 0) > 0); /* these requests come in one piece */
		CHECK(send(fd, s->answers[i], len, MSG_NOSIGNAL) == (ssize_t)len);
	}
	if (s->ending == BABBLES)
		babble(fd);
	while (s->ending == WAITS && recv(fd, head, sizeof(head), 0) > 0)
		continue;
	close(fd);
	return NULL;
}

static struct client *script_start(struct script *s, const atomic_bool *stop)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	struct client *c = NULL;
	struct fault f;
	char url[64];

	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(s->listener, (struct sockaddr *)&address, len) == 0);
	CHECK(listen(s->listener, 1) == 0);
	CHECK(getsockname(s->listener, (struct sockaddr *)&address, &len) == 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", ntohs(address.sin_port));
	CHECK(pthread_create(&s->thread, NULL, play, s) == 0);
	CHECK(client_new(url, stop, &c, &f) == OK);
	return c;
}

static void script_end(struct script *s, struct client *c)
{
	client_free(c);
	pthread_join(s->thread, NULL);
	close(s->listener);
}

static const struct client_request get = {.method = "GET", .path = SLICE_LIT("/x")};

/* One stream from such a server, to its end: the lines and how it ended. */
static enum err read_all(const char *answer, enum ending ending, struct buf *lines)
{
	const char *const answers[] = {answer, NULL};
	struct script s = {.answers = answers, .ending = ending};
	struct client *c = script_start(&s, NULL);
	struct client_response response;
	struct slice some = SLICE_NONE;
	struct fault f;
	enum err err;

	client_response_init(&response);
	err = client_stream_open(c, &get, &response, &f);
	while (err == OK) {
		err = client_stream_lines(c, &some, &f);
		if (err || !some.ptr)
			break;
		assert_int_equal(some.ptr[some.len - 1], '\n');
		buf_append_slice(lines, some);
	}
	client_stream_close(c);
	client_response_fini(&response);
	script_end(&s, c);
	return err;
}

static void assert_stream(const char *answer, enum ending ending, enum err err,
                          const char *expected)
{
	struct buf lines = BUF_INIT(1024);

	assert_int_equal(read_all(answer, ending, &lines), err);
	assert_true(slice_eq(buf_slice(&lines), slice_str(expected)));
	buf_fini(&lines);
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

TEST(client_stream__lines_are_whole_however_chunks_cut_them)
{
	assert_stream(CHUNKED "1\r\na\r\n4\r\nb\nc\n\r\n2\r\nde\r\n3\r\nf\n\n\r\n0\r\n\r\n", WAITS,
	              OK, "ab\nc\ndef\n\n");
}

TEST(client_stream__the_end_of_the_connection_ends_an_answer_without_length)
{
	assert_stream("HTTP/1.1 200 OK\r\n\r\na\nb\n", HANGS_UP, OK, "a\nb\n");
}

TEST(client_stream__a_line_cut_off_is_not_handed_out)
{
	assert_stream("HTTP/1.1 200 OK\r\n\r\na\nb", HANGS_UP, OK, "a\n");
	assert_stream(CHUNKED "4\r\na\nbc\r\n", HANGS_UP, ERR_UNREACHABLE, "a\n");
}

TEST(client_stream__a_break_within_an_answer_is_told)
{
	assert_stream(CHUNKED "2\r\na\n\r\n", HANGS_UP, ERR_UNREACHABLE, "a\n");
	assert_stream(CHUNKED "zz\r\n", WAITS, ERR_UNREACHABLE, "");
}

TEST(client_stream__a_refusal_comes_whole_and_the_connection_stays)
{
	static const char *const answers[] = {
		"HTTP/1.1 410 Gone\r\nContent-Length: 44\r\n\r\n"
		"{\"code\":\"offset_trimmed\",\"detail\":\"below 7\"}",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nEvent-Next: 7\r\n\r\na\n", NULL};
	struct script s = {.answers = answers};
	struct client *c = script_start(&s, NULL);
	struct client_response response;
	struct slice lines;
	struct fault f;

	client_response_init(&response);
	assert_int_equal(client_stream_open(c, &get, &response, &f), OK);
	assert_int_equal(response.status, 410);
	assert_int_equal(client_problem(&response, &f), ERR_TRIMMED);
	assert_string_equal(f.where, "below 7");
	assert_int_equal(client_stream_open(c, &get, &response, &f), OK);
	assert_int_equal(response.status, 200);
	assert_true(slice_eq(buf_slice(&response.next), SLICE_LIT("7")));
	assert_int_equal(client_stream_lines(c, &lines, &f), OK);
	assert_true(slice_eq(lines, SLICE_LIT("a\n")));
	assert_int_equal(client_stream_lines(c, &lines, &f), OK);
	assert_null(lines.ptr);
	client_response_fini(&response);
	script_end(&s, c);
}

TEST(client_stream__a_silent_one_ends_when_told_to_stop)
{
	static const char *const answers[] = {CHUNKED, NULL};
	struct script s = {.answers = answers};
	atomic_bool stop = false;
	struct client *c = script_start(&s, &stop);
	struct client_response response;
	struct slice lines;
	struct fault f;

	client_response_init(&response);
	assert_int_equal(client_stream_open(c, &get, &response, &f), OK);
	atomic_store(&stop, true);
	assert_int_equal(client_stream_lines(c, &lines, &f), ERR_SHUTTING_DOWN);
	client_stream_close(c);
	client_response_fini(&response);
	script_end(&s, c);
}

TEST(client_stream__a_line_without_end_is_given_up)
{
	assert_stream("HTTP/1.1 200 OK\r\n\r\na\n", BABBLES, ERR_TOO_LARGE, "a\n");
}

TEST(client_new__only_plain_http_urls)
{
	static const char *const good[] = {"http://localhost", "http://[::1]:3030/",
	                                   "http://a.b:1"};
	static const char *const bad[] = {"localhost:3030",   "https://a",  "http://",
	                                  "http://a:0",       "http://a:x", "http://[::1",
	                                  "http://a:3030/v1", "http://a/x"};
	struct client *c = NULL;
	struct fault f;

	for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
		assert_int_equal(client_new(good[i], NULL, &c, &f), OK);
		client_free(c);
	}
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
		assert_int_equal(client_new(bad[i], NULL, &c, &f), ERR_BAD_PARAMETER);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(client_stream__lines_are_whole_however_chunks_cut_them),
		cmocka_unit_test(
			client_stream__the_end_of_the_connection_ends_an_answer_without_length),
		cmocka_unit_test(client_stream__a_line_cut_off_is_not_handed_out),
		cmocka_unit_test(client_stream__a_break_within_an_answer_is_told),
		cmocka_unit_test(client_stream__a_refusal_comes_whole_and_the_connection_stays),
		cmocka_unit_test(client_stream__a_silent_one_ends_when_told_to_stop),
		cmocka_unit_test(client_stream__a_line_without_end_is_given_up),
		cmocka_unit_test(client_new__only_plain_http_urls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
