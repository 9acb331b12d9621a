#include "io/log.h"

#include "base/check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	MESSAGE_BYTES_MAX = 1024,
	LINE_BYTES_MAX = 4096, /* what a pipe takes whole (PIPE_BUF) */
	TAIL_BYTES = 8,        /* kept free for what ends a line */
};

struct log {
	int fd; /* borrowed */
	bool json;
	_Atomic int level;
	struct clock *clock; /* borrowed */
};

struct line {
	size_t len;
	char text[LINE_BYTES_MAX];
};

static const char *const level_names[] = {"debug", "info", "warn", "error", "off"};

struct log *log_new(int fd, enum log_level level, bool json, struct clock *clock)
{
	struct log *g = malloc(sizeof(*g));

	CHECK(g);
	g->fd = fd;
	g->json = json;
	g->clock = clock;
	atomic_init(&g->level, level);
	return g;
}

void log_free(struct log *g)
{
	free(g);
}

void log_set_level(struct log *g, enum log_level level)
{
	atomic_store_explicit(&g->level, level, memory_order_relaxed);
}

/* What does not fit is dropped; `keep` bytes stay free. */
static void line_put(struct line *line, const char *text, size_t len, size_t keep)
{
	if (len > sizeof(line->text) - keep - line->len)
		return;
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void line_put_str(struct line *line, const char *text)
{
	line_put(line, text, strlen(text), TAIL_BYTES);
}

static void line_put_time(struct line *line, int64_t wall_ms)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	char text[64];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
	         tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
	         (int)(wall_ms % 1000));
	line_put_str(line, text);
}

/* Bytes of the well-formed UTF-8 character at `at`; 0 when there is none. */
static size_t utf8_char_len(const uint8_t *at, size_t len)
{
	size_t more = at[0] < 0x80 ? 0 : at[0] < 0xe0 ? 1 : at[0] < 0xf0 ? 2 : 3;
	/* The second byte's range tells overlong forms, surrogates and numbers beyond U+10FFFF. */
	uint8_t low = at[0] == 0xe0 ? 0xa0 : at[0] == 0xf0 ? 0x90 : 0x80;
	uint8_t high = at[0] == 0xed ? 0x9f : at[0] == 0xf4 ? 0x8f : 0xbf;

	if (more == 0)
		return 1;
	if (at[0] < 0xc2 || at[0] > 0xf4 || more >= len || at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i <= more; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return more + 1;
}

/* C0, DEL and C1: what a terminal may obey. */
static bool is_control(const uint8_t *at, size_t char_len)
{
	return (char_len == 1 && (at[0] < 0x20 || at[0] == 0x7f)) ||
	       (char_len == 2 && at[0] == 0xc2 && at[1] < 0xa0);
}

static void line_put_escaped(struct line *line, const char *text, bool json)
{
	const uint8_t *at = (const uint8_t *)text;
	size_t len = strlen(text);

	while (len > 0) {
		size_t char_len = utf8_char_len(at, len);
		char escape[8];

		if (char_len > 0 && !is_control(at, char_len)) {
			if (json && (at[0] == '"' || at[0] == '\\'))
				line_put_str(line, "\\");
			line_put(line, (const char *)at, char_len, TAIL_BYTES);
		} else if (json) {
			unsigned point = char_len == 0 ? 0xfffd : at[char_len - 1];

			snprintf(escape, sizeof(escape), "\\u%04x", point);
			line_put_str(line, escape);
		} else {
			char_len = 1;
			snprintf(escape, sizeof(escape), "\\x%02x", at[0]);
			line_put_str(line, escape);
		}
		char_len += char_len == 0;
		at += char_len;
		len -= char_len;
	}
}

static void line_write(const struct line *line, int fd)
{
	ssize_t written;

	do {
		written = write(fd, line->text, line->len);
	} while (written < 0 && errno == EINTR);
	/* Nobody could be told that the log cannot be written. */
}

static bool log_wants(struct log *g, enum log_level level)
{
	return (int)level >= atomic_load_explicit(&g->level, memory_order_relaxed);
}

static void log_write(struct log *g, enum log_level level, const char *area, const char *message)
{
	struct line line = {.len = 0};

	line_put_str(&line, g->json ? "{\"time\":\"" : "");
	line_put_time(&line, g->clock->now(g->clock).wall_ms);
	line_put_str(&line, g->json ? "\",\"level\":\"" : " ");
	line_put_str(&line, level_names[level]);
	line_put_str(&line, g->json                          ? "\",\"area\":\""
	                    : strlen(level_names[level]) < 5 ? "  "
	                                                     : " ");
	line_put_escaped(&line, area, g->json);
	line_put_str(&line, g->json ? "\",\"message\":\"" : ": ");
	line_put_escaped(&line, message, g->json);
	line_put(&line, g->json ? "\"}\n" : "\n", g->json ? 3 : 1, 0);
	line_write(&line, g->fd);
}

static void log_vline(struct log *g, enum log_level level, const char *area, const char *format,
                      va_list args)
{
	char message[MESSAGE_BYTES_MAX];

	vsnprintf(message, sizeof(message), format, args);
	log_write(g, level, area, message);
}

void log_line(struct log *g, enum log_level level, const char *area, const char *format, ...)
{
	va_list args;

	CHECK(level < LOG_OFF);
	if (!log_wants(g, level))
		return;
	va_start(args, format);
	log_vline(g, level, area, format, args);
	va_end(args);
}

void log_limited(struct log *g, struct log_limiter *limiter, enum log_level level, const char *area,
                 const char *format, ...)
{
	int64_t second =
		g->clock->now(g->clock).mono_us / 1000000 + 1; /* 0 is a zeroed limiter's */
	va_list args;

	CHECK(level < LOG_OFF);
	if (!log_wants(g, level))
		return;
	if (limiter->second != second) {
		unsigned held_back = limiter->held_back;

		*limiter = (struct log_limiter){.second = second};
		if (held_back > 0)
			log_line(g, level, area, "%u lines like the next one were held back",
			         held_back);
	}
	if (limiter->said == LOG_BURST) {
		limiter->held_back++;
		return;
	}
	limiter->said++;
	va_start(args, format);
	log_vline(g, level, area, format, args);
	va_end(args);
}
