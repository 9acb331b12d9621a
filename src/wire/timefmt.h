/* timefmt: times, durations and sizes as people write them. No clock: "-10m" is the caller's. */
#ifndef BOURN_WIRE_TIMEFMT_H
#define BOURN_WIRE_TIMEFMT_H

#include "base/buf.h"

enum { TIME_TEXT_LEN = 24 };

/* RFC 3339, "2024-02-29T12:00:00.5+02:00" (any number of fraction digits, "T" or "t" or a blank,
 * "Z" or an offset), to ms since 1970, cut down to the ms; years 0 to 9999. A leap second counts as
 * the second after it. False when malformed or no such day. */
bool time_parse(struct slice text, int64_t *ms);

/* "2024-02-29T10:00:00.500Z", NUL-terminated; returns `text`. Beyond years 0 to 9999 it is clamped.
 */
const char *time_format(int64_t ms, char text[TIME_TEXT_LEN + 1]);

/* "500ms" "5s" "2m" "1h" "7d", or a bare number of seconds; decimals allowed ("1.5s"), cut down to
 * the ms. Not negative. False when malformed or beyond int64. */
bool duration_parse(struct slice text, int64_t *ms);

/* "100" "64KiB" "1MiB" "2GiB" "1TiB" (powers of 1024), "1KB" "1MB" … (powers of 1000), "1B"; any
 * case, a blank before the unit allowed. Not negative. False when malformed or beyond int64. */
bool bytes_parse(struct slice text, int64_t *bytes);

/* A civil date and time in UTC. */
struct civil {
	int32_t year;
	uint8_t month;   /* 1 to 12 */
	uint8_t day;     /* 1 to 31 */
	uint8_t hour;    /* 0 to 23 */
	uint8_t minute;  /* 0 to 59 */
	uint8_t second;  /* 0 to 59 */
	uint8_t weekday; /* 0: Sunday */
	uint16_t ms;     /* 0 to 999 */
};

/* `ms` since 1970, clamped to years 0 to 9999, as a date of the proleptic Gregorian calendar. */
struct civil civil_from_ms(int64_t ms);

#endif
