#include "io/log.h"

#include "base/test.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct fixture {
	struct clock_manual clock;
	int fds[2]; /* the log writes to [1] */
	struct log *g;
	char said[16384];
};

static void open_log(struct fixture *fx, bool json)
{
	int failed = pipe2(fx->fds, O_NONBLOCK);

	assert_int_equal(failed, 0);
	clock_manual_init(&fx->clock, (struct now){.wall_ms = 1795295278123, .mono_us = 0});
	fx->g = log_new(fx->fds[1], LOG_INFO, json, &fx->clock.base);
}

/* What was written since the last call. */
static const char *said(struct fixture *fx)
{
	ssize_t got = read(fx->fds[0], fx->said, sizeof(fx->said) - 1);

	fx->said[got > 0 ? got : 0] = '\0';
	return fx->said;
}

static void close_log(struct fixture *fx)
{
	log_free(fx->g);
	close(fx->fds[0]);
	close(fx->fds[1]);
}

TEST(log_line__text)
{
	struct fixture fx;

	open_log(&fx, false);
	log_line(fx.g, LOG_WARN, "http", "refused %d", 413);
	assert_string_equal(said(&fx), "2026-11-21T21:07:58.123Z warn  http: refused 413\n");
	log_line(fx.g, LOG_ERROR, "wal", "ü");
	assert_string_equal(said(&fx), "2026-11-21T21:07:58.123Z error wal: ü\n");
	close_log(&fx);
}

TEST(log_line__json)
{
	struct fixture fx;

	open_log(&fx, true);
	log_line(fx.g, LOG_INFO, "http", "a \"b\" \\ \n \xff ü");
	assert_string_equal(said(&fx), "{\"time\":\"2026-11-21T21:07:58.123Z\",\"level\":\"info\","
	                               "\"area\":\"http\",\"message\":"
	                               "\"a \\\"b\\\" \\\\ \\u000a \\ufffd ü\"}\n");
	close_log(&fx);
}

TEST(log_line__control_bytes_cannot_forge_a_line)
{
	struct fixture fx;

	open_log(&fx, false);
	log_line(fx.g, LOG_INFO, "http", "a\nb\x1b[2J\x7f \xc2\x9b \xff \xed\xa0\x80 \xc0\xaf");
	assert_string_equal(said(&fx) + strlen("2026-11-21T21:07:58.123Z info  "),
	                    "http: a\\x0ab\\x1b[2J\\x7f \\xc2\\x9b \\xff \\xed\\xa0\\x80 "
	                    "\\xc0\\xaf\n");
	close_log(&fx);
}

TEST(log_line__an_endless_message_is_still_one_whole_line)
{
	static const char escaped_to_six[] = "\x01\x01\x01\x01\x01\x01\x01\x01";
	char message[4096];
	struct fixture fx;
	size_t len;

	for (size_t at = 0; at < sizeof(message); at += 8)
		memcpy(message + at, escaped_to_six, 8);
	open_log(&fx, true);
	log_line(fx.g, LOG_INFO, "http", "%.*s", (int)sizeof(message), message);
	len = strlen(said(&fx));
	assert_in_range(len, 4000, 4096);
	assert_string_equal(fx.said + len - 3, "\"}\n");
	close_log(&fx);
}

TEST(log_line__below_the_level_is_silent)
{
	struct fixture fx;

	open_log(&fx, false);
	log_line(fx.g, LOG_DEBUG, "http", "x");
	log_set_level(fx.g, LOG_OFF);
	log_line(fx.g, LOG_ERROR, "http", "x");
	assert_string_equal(said(&fx), "");
	close_log(&fx);
}

static unsigned count_lines(const char *text)
{
	unsigned lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

TEST(log_limited__a_burst_a_second_then_a_count)
{
	struct log_limiter limiter = {0};
	struct fixture fx;

	open_log(&fx, false);
	for (int i = 0; i < LOG_BURST + 7; i++)
		log_limited(fx.g, &limiter, LOG_WARN, "http", "refused");
	assert_int_equal(count_lines(said(&fx)), LOG_BURST);
	clock_manual_advance(&fx.clock, 1000000);
	log_limited(fx.g, &limiter, LOG_WARN, "http", "refused");
	assert_int_equal(count_lines(said(&fx)), 2);
	assert_non_null(strstr(fx.said, "http: 7 lines"));
	close_log(&fx);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(log_line__text),
		cmocka_unit_test(log_line__json),
		cmocka_unit_test(log_line__control_bytes_cannot_forge_a_line),
		cmocka_unit_test(log_line__an_endless_message_is_still_one_whole_line),
		cmocka_unit_test(log_line__below_the_level_is_silent),
		cmocka_unit_test(log_limited__a_burst_a_second_then_a_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
