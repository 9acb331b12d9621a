#include "cli/units.h"

#include "base/check.h"

#include <stdio.h>

struct unit {
	const char *name;
	double step; /* so many are one of the next */
};

/* In the largest of them that is not above it. */
static const char *scale(double value, const struct unit *units, size_t count,
                         char into[UNITS_TEXT_BYTES])
{
	size_t unit = 0;

	while (unit + 1 < count && value >= units[unit].step)
		value /= units[unit++].step;
	snprintf(into, UNITS_TEXT_BYTES, value < 100 && unit > 0 ? "%.3g %s" : "%.0f %s", value,
	         units[unit].name);
	return into;
}

const char *units_bytes(double bytes, char into[UNITS_TEXT_BYTES])
{
	static const struct unit units[] = {
		{"B", 1024}, {"KiB", 1024}, {"MiB", 1024}, {"GiB", 1024}, {"TiB", 1024},
	};

	return scale(bytes, units, ARRAY_COUNT(units), into);
}

const char *units_duration(int64_t ms, char into[UNITS_TEXT_BYTES])
{
	static const struct unit units[] = {
		{"ms", 1000}, {"s", 60}, {"min", 60}, {"h", 24}, {"d", 0},
	};

	return scale((double)ms, units, ARRAY_COUNT(units), into);
}
