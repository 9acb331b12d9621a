#include "wire/timefmt.h"

#include <stdio.h>

enum { MS_PER_SECOND = 1000, SECONDS_PER_DAY = 86400 };

static const int64_t ms_min = -62167219200000; /* 0000-01-01T00:00:00.000Z */
static const int64_t ms_max = 253402300799999; /* 9999-12-31T23:59:59.999Z */

/* Days since 1970 of a date in the proleptic Gregorian calendar, which repeats every 400 years
 * ("eras", 146097 days). A year is taken to begin in March, so that a leap day comes last. */
static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
	int64_t y = year - (month <= 2);
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t year_of_era = y - era * 400;
	int64_t day_of_year = (153 * (int64_t)((month + 9) % 12) + 2) / 5 + day - 1;
	int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

	return era * 146097 + day_of_era - 719468;
}

static void date_from_days(int64_t days, struct civil *c)
{
	int64_t z = days + 719468;
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t day_of_era = z - era * 146097;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t month_from_march = (5 * day_of_year + 2) / 153;

	c->day = (uint8_t)(day_of_year - (153 * month_from_march + 2) / 5 + 1);
	c->month = (uint8_t)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
	c->year = (int32_t)(year_of_era + era * 400 + (c->month <= 2));
	c->weekday = (uint8_t)(((days + 4) % 7 + 7) % 7); /* 1970 began on a Thursday */
}

struct civil civil_from_ms(int64_t ms)
{
	struct civil c;
	int64_t seconds, days, of_day;

	if (ms < ms_min)
		ms = ms_min;
	if (ms > ms_max)
		ms = ms_max;
	c.ms = (uint16_t)((ms % MS_PER_SECOND + MS_PER_SECOND) % MS_PER_SECOND);
	seconds = (ms - c.ms) / MS_PER_SECOND;
	of_day = (seconds % SECONDS_PER_DAY + SECONDS_PER_DAY) % SECONDS_PER_DAY;
	days = (seconds - of_day) / SECONDS_PER_DAY;
	c.hour = (uint8_t)(of_day / 3600);
	c.minute = (uint8_t)(of_day / 60 % 60);
	c.second = (uint8_t)(of_day % 60);
	date_from_days(days, &c);
	return c;
}

const char *time_format(int64_t ms, char text[TIME_TEXT_LEN + 1])
{
	struct civil c = civil_from_ms(ms);

	/* The remainders tell the compiler what civil_from_ms promises: nothing is cut off. */
	snprintf(text, TIME_TEXT_LEN + 1, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
	         (unsigned)c.year % 10000, c.month % 100u, c.day % 100u, c.hour % 100u,
	         c.minute % 100u, c.second % 100u, c.ms % 1000u);
	return text;
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

/* Take exactly `digits` digits from the front. */
static bool take_number(struct slice *text, size_t digits, unsigned *out)
{
	unsigned value = 0;

	if (text->len < digits)
		return false;
	for (size_t i = 0; i < digits; i++) {
		if (!is_digit(text->ptr[i]))
			return false;
		value = value * 10 + (unsigned)(text->ptr[i] - '0');
	}
	*text = slice_of(text->ptr + digits, text->len - digits);
	*out = value;
	return true;
}

/* Take one character of `any` from the front; 0 when another stands there. */
static char take_char(struct slice *text, const char *any)
{
	char c = text->len ? (char)text->ptr[0] : '\0';

	if (c == '\0' || !strchr(any, c))
		return '\0';
	*text = slice_of(text->ptr + 1, text->len - 1);
	return c;
}

/* Take the digits after a decimal point, as thousandths, cut down. */
static bool take_thousandths(struct slice *text, unsigned *out)
{
	unsigned value = 0;
	size_t digits = 0;

	while (text->len && is_digit(text->ptr[0])) {
		if (digits++ < 3)
			value = value * 10 + (unsigned)(text->ptr[0] - '0');
		*text = slice_of(text->ptr + 1, text->len - 1);
	}
	if (digits == 0)
		return false;
	for (; digits < 3; digits++)
		value *= 10;
	*out = value;
	return true;
}

static bool take_date(struct slice *text, int64_t *days)
{
	static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	unsigned year, month, day;
	bool leap;

	if (!take_number(text, 4, &year) || !take_char(text, "-") ||
	    !take_number(text, 2, &month) || !take_char(text, "-") || !take_number(text, 2, &day))
		return false;
	leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	if (month < 1 || month > 12 || day < 1 ||
	    day > month_days[month - 1] + (unsigned)(leap && month == 2))
		return false;
	*days = days_from_civil(year, month, day);
	return true;
}

static bool take_clock(struct slice *text, int64_t *ms)
{
	unsigned hour, minute, second, fraction = 0;

	if (!take_number(text, 2, &hour) || !take_char(text, ":") ||
	    !take_number(text, 2, &minute) || !take_char(text, ":") ||
	    !take_number(text, 2, &second))
		return false;
	if (hour > 23 || minute > 59 || second > 60)
		return false;
	if (take_char(text, ".") && !take_thousandths(text, &fraction))
		return false;
	*ms = ((hour * 60 + minute) * 60 + (int64_t)second) * MS_PER_SECOND + fraction;
	return true;
}

static bool take_zone(struct slice *text, int64_t *ms)
{
	unsigned hours, minutes;
	char sign;

	*ms = 0;
	if (take_char(text, "Zz"))
		return true;
	sign = take_char(text, "+-");
	if (!sign || !take_number(text, 2, &hours) || !take_char(text, ":") ||
	    !take_number(text, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ms = (int64_t)(hours * 60 + minutes) * 60 * MS_PER_SECOND * (sign == '-' ? -1 : 1);
	return true;
}

bool time_parse(struct slice text, int64_t *ms)
{
	int64_t days, clock, zone;

	if (!take_date(&text, &days) || !take_char(&text, "Tt ") || !take_clock(&text, &clock) ||
	    !take_zone(&text, &zone) || text.len > 0)
		return false;
	*ms = days * SECONDS_PER_DAY * MS_PER_SECOND + clock - zone;
	return true;
}

/* Take a number with an optional fraction: whole part and thousandths. */
static bool take_decimal(struct slice *text, int64_t *whole, unsigned *thousandths)
{
	size_t digits = 0;

	while (digits < text->len && is_digit(text->ptr[digits]))
		digits++;
	if (!slice_to_int64(slice_of(text->ptr, digits), whole))
		return false;
	*text = slice_of(text->ptr + digits, text->len - digits);
	*thousandths = 0;
	return !take_char(text, ".") || take_thousandths(text, thousandths);
}

struct unit {
	const char *name; /* lower case */
	int64_t factor;
};

/* The number times the unit that is the rest of `text`; `units` ends with a NULL name. */
static bool scale(const struct unit *units, struct slice text, int64_t whole, unsigned thousandths,
                  int64_t *out)
{
	int64_t value;

	for (; units->name; units++) {
		if (!slice_eq_nocase(text, slice_str(units->name)))
			continue;
		if (__builtin_mul_overflow(whole, units->factor, &value) ||
		    __builtin_add_overflow(
			    value, (int64_t)((__int128)units->factor * thousandths / 1000), &value))
			return false;
		*out = value;
		return true;
	}
	return false;
}

bool duration_parse(struct slice text, int64_t *ms)
{
	static const struct unit units[] = {
		{"", 1000},     {"ms", 1},       {"s", 1000}, {"m", 60000},
		{"h", 3600000}, {"d", 86400000}, {NULL, 0},
	};
	unsigned thousandths;
	int64_t whole;

	return take_decimal(&text, &whole, &thousandths) &&
	       scale(units, text, whole, thousandths, ms);
}

bool bytes_parse(struct slice text, int64_t *bytes)
{
	static const struct unit units[] = {
		{"", 1},
		{"b", 1},
		{"kb", 1000},
		{"mb", 1000000},
		{"gb", 1000000000},
		{"tb", 1000000000000},
		{"kib", 1ll << 10},
		{"mib", 1ll << 20},
		{"gib", 1ll << 30},
		{"tib", 1ll << 40},
		{NULL, 0},
	};
	unsigned thousandths;
	int64_t whole;

	if (!take_decimal(&text, &whole, &thousandths))
		return false;
	if (take_char(&text, " ") && text.len == 0)
		return false;
	return scale(units, text, whole, thousandths, bytes);
}
