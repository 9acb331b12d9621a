#include "core/topic_pattern.h"

#include "core/topic.h"

bool topic_pattern_is(struct slice text)
{
	return text.len > 0 && memchr(text.ptr, '*', text.len);
}

enum err topic_pattern_check(struct slice text, struct fault *f)
{
	if (text.len == 0 || text.len > TOPIC_NAME_BYTES_MAX)
		return fault_set(f, ERR_BAD_TOPIC, 0,
		                 "a pattern has 1 to %d characters, this one %zu",
		                 TOPIC_NAME_BYTES_MAX, text.len);
	for (size_t i = 0; i < text.len; i++) {
		if (text.ptr[i] != '*' && !topic_name_has(text.ptr[i]))
			return fault_set(f, ERR_BAD_TOPIC, 0,
			                 "byte 0x%02x at %zu; allowed are A-Z a-z 0-9 . _ - *",
			                 text.ptr[i], i);
	}
	return OK;
}

static struct slice without_first(struct slice s, size_t len)
{
	return slice_of(s.ptr + len, s.len - len);
}

static bool ends_with(struct slice s, struct slice end)
{
	return s.len >= end.len && slice_eq(without_first(s, s.len - end.len), end);
}

/* What stands between two stars is taken where it comes first: if the rest of the pattern fits
 * behind a later place, it fits behind this one too. So nothing is ever tried again. */
bool topic_pattern_matches(struct slice pattern, struct slice name)
{
	bool is_plain = !topic_pattern_is(pattern);
	struct slice piece = slice_cut(&pattern, '*');
	const uint8_t *at;

	if (is_plain)
		return slice_eq(piece, name);
	if (!slice_starts_with(name, piece))
		return false;
	name = without_first(name, piece.len);
	for (;;) {
		piece = slice_cut(&pattern, '*');
		if (!pattern.ptr)
			return ends_with(name, piece);
		at = memmem(name.ptr, name.len, piece.ptr, piece.len);
		if (!at)
			return false;
		name = without_first(name, (size_t)(at - name.ptr) + piece.len);
	}
}
