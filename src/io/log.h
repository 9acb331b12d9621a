/* log: what the broker says to the person who runs it; one line an event, to stderr.
 *
 * text: "2026-11-21T21:07:58.123Z warn  http: refused 413 too_large … peer=127.0.0.1:4711"
 * json: {"time":…,"level":…,"area":…,"message":…}
 * Thread safe: one write(2) a line. Never called on a hot path. */
#ifndef BOURN_IO_LOG_H
#define BOURN_IO_LOG_H

#include "base/err.h"
#include "io/clock.h"

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

struct log;

/* fd borrowed. */
struct log *log_new(int fd, enum log_level level, bool json, struct clock *clock);
void log_free(struct log *g);
void log_set_level(struct log *g, enum log_level level);
bool log_level_parse(const char *text, enum log_level *out);

/* `area` is a short noun: "http", "wal". The text is one line; control bytes are escaped. */
void log_line(struct log *g, enum log_level level, const char *area, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* For lines an outsider can cause: at most `burst` per second per limiter, then one that says how
 * many were held back. A limiter belongs to one thread and starts zeroed. */
struct log_limiter {
	int64_t second;
	unsigned said;
	unsigned held_back;
};
void log_limited(struct log *g, struct log_limiter *limiter, enum log_level level, const char *area,
		 const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
