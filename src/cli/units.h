/* units: sizes and durations as a person reads them, to three digits. */
#ifndef BOURN_CLI_UNITS_H
#define BOURN_CLI_UNITS_H

#include <stdint.h>

enum { UNITS_TEXT_BYTES = 32 };

/* "636 B", "1.06 MiB"; returns `into`. */
const char *units_bytes(double bytes, char into[UNITS_TEXT_BYTES]);

/* "50 ms", "7 d"; returns `into`. */
const char *units_duration(int64_t ms, char into[UNITS_TEXT_BYTES]);

/* What follows a noun after that number: "" or "s". */
static inline const char *units_plural(int64_t count)
{
	return count == 1 ? "" : "s";
}

#endif
