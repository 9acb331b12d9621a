/* log: what the broker says to the person who runs it; one line an event, to stderr.
 *
 * text: "2026-11-21T21:07:58.123Z warn  http: refused 413 too_large … peer=127.0.0.1:4711"
 * json: {"time":…,"level":…,"area":…,"message":…}
 * A message ends after 1 KiB. Thread safe: one write(2) a line. Never called on a hot path. */
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

/* `area` is a short noun: "http", "wal". The text becomes one line whatever it holds: control bytes
 * and what is not UTF-8 are escaped (\xHH in text, \uHHHH or U+FFFD in JSON). */
void log_line(struct log *g, enum log_level level, const char *area, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* For lines an outsider can cause: at most LOG_BURST a second per limiter; the first line of a
 * later second is preceded by one that says how many were held back. A limiter belongs to one
 * thread and starts zeroed. */
enum { LOG_BURST = 10 };
struct log_limiter {
	int64_t second;     /* of the monotonic clock, plus 1; 0: none yet */
	unsigned said;      /* lines in that second */
	unsigned held_back; /* lines not said since */
};
void log_limited(struct log *g, struct log_limiter *limiter, enum log_level level, const char *area,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));

#endif
