#include "front/position.h"

#include "wire/timefmt.h"

#include <ctype.h>

static enum err from_cursor(struct slice cursor, struct position *out, struct cursor *decoded,
                            struct fault *f)
{
	if (slice_to_int64(cursor, &out->value) && out->value >= 0) {
		out->kind = POSITION_NUMBER;
		return OK;
	}
	if (cursor_decode(cursor, decoded))
		return fault_set(f, ERR_BAD_CURSOR, 0, "'%.*s'", SLICE_FMT(cursor));
	out->kind = POSITION_CURSOR;
	out->entries = decoded->entries;
	out->entry_count = decoded->count;
	return OK;
}

enum err position_partition(const struct position *position, const struct cursor *decoded,
                            int32_t *partition, struct fault *f)
{
	int32_t of;

	if (position->kind != POSITION_CURSOR || position->entry_count == 0 || !decoded->is_alone)
		return OK;
	of = (int32_t)decoded->entries[0].partition;
	if (*partition >= 0 && *partition != of)
		return fault_set(f, ERR_BAD_CURSOR, 0, "it is of partition %d, not of %d", of,
		                 *partition);
	*partition = of;
	return OK;
}

static bool named(struct slice text, enum position_kind *kind)
{
	static const struct {
		const char *name;
		enum position_kind kind;
	} names[] = {
		{"earliest", POSITION_EARLIEST},
		{"last", POSITION_LAST},
		{"end", POSITION_END},
		{"latest", POSITION_END},
	};

	for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
		if (!slice_eq(text, slice_str(names[i].name)))
			continue;
		*kind = names[i].kind;
		return true;
	}
	return false;
}

/* "-10m". The unit must be there: "-1" is more often a wrong offset than a second ago. */
static bool ago(struct slice text, int64_t now_ms, int64_t *ms)
{
	int64_t back;

	if (text.len < 3 || text.ptr[0] != '-' || isdigit(text.ptr[text.len - 1]))
		return false;
	if (!duration_parse(slice_of(text.ptr + 1, text.len - 1), &back))
		return false;
	*ms = back < now_ms ? now_ms - back : 0;
	return true;
}

static enum err from_offset(struct slice text, int64_t now_ms, struct position *out,
                            struct fault *f)
{
	if (named(text, &out->kind))
		return OK;
	if (slice_to_int64(text, &out->value) && out->value >= 0) {
		out->kind = POSITION_OFFSET;
		return OK;
	}
	if (ago(text, now_ms, &out->value) || time_parse(text, &out->value)) {
		out->kind = POSITION_TIME;
		return OK;
	}
	return fault_set(f, ERR_BAD_PARAMETER, 0,
	                 "offset '%.*s' is no number, earliest, last, end, RFC 3339 time or -10m",
	                 SLICE_FMT(text));
}

enum err position_parse(struct slice offset, struct slice cursor, enum position_kind fallback,
                        int64_t now_ms, struct position *out, struct cursor *decoded,
                        struct fault *f)
{
	*out = (struct position){0};
	if (cursor.ptr)
		return from_cursor(cursor, out, decoded, f);
	if (offset.ptr)
		return from_offset(offset, now_ms, out, f);
	out->kind = fallback;
	return OK;
}
