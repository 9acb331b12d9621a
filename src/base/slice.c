#include "base/slice.h"

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + ('a' - 'A')) : c;
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (a.ptr[i] != b.ptr[i] && lower(a.ptr[i]) != lower(b.ptr[i]))
			return false;
	return true;
}

bool slice_starts_with(struct slice s, struct slice prefix)
{
	return s.len >= prefix.len && slice_eq(slice_of(s.ptr, prefix.len), prefix);
}

static bool is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
	while (s.len && is_blank(s.ptr[0])) {
		s.ptr++;
		s.len--;
	}
	while (s.len && is_blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

struct slice slice_cut(struct slice *rest, uint8_t at)
{
	struct slice all = *rest;
	const uint8_t *found = all.len ? memchr(all.ptr, at, all.len) : NULL;
	size_t before;

	if (!found) {
		*rest = SLICE_NONE;
		return all;
	}
	before = (size_t)(found - all.ptr);
	*rest = slice_of(found + 1, all.len - before - 1);
	return slice_of(all.ptr, before);
}

bool slice_to_int64(struct slice s, int64_t *out)
{
	bool negative = s.len && s.ptr[0] == '-';
	int64_t value = 0;

	if (negative) {
		s.ptr++;
		s.len--;
	}
	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c < '0' || c > '9')
			return false;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_sub_overflow(value, c - '0', &value))
			return false;
	}
	if (!negative && __builtin_sub_overflow(0, value, &value))
		return false;
	*out = value;
	return true;
}
