#include "wire/media_type.h"

struct slice media_type_name(struct slice content_type)
{
	struct slice rest = content_type;

	return slice_trim(slice_cut(&rest, ';'));
}

bool media_type_is(struct slice content_type, const char *name)
{
	struct slice given = media_type_name(content_type);
	struct slice wanted = slice_str(name);

	return slice_eq(given, wanted) || slice_eq_nocase(given, wanted);
}

static bool ends_with(struct slice name, struct slice end)
{
	if (name.len < end.len)
		return false;
	return slice_eq_nocase(slice_of(name.ptr + name.len - end.len, end.len), end);
}

static bool starts_with(struct slice name, struct slice start)
{
	return name.len >= start.len && slice_eq_nocase(slice_of(name.ptr, start.len), start);
}

enum media_kind media_kind(struct slice content_type)
{
	struct slice name;

	if (content_type.len == 0)
		return MEDIA_TEXT;
	name = media_type_name(content_type);
	if (slice_eq_nocase(name, SLICE_LIT("application/json")) ||
	    ends_with(name, SLICE_LIT("+json")))
		return MEDIA_JSON;
	if (starts_with(name, SLICE_LIT("text/")) ||
	    slice_eq_nocase(name, SLICE_LIT("application/x-www-form-urlencoded")) ||
	    slice_eq_nocase(name, SLICE_LIT("application/xml")) ||
	    ends_with(name, SLICE_LIT("+xml")))
		return MEDIA_TEXT;
	return MEDIA_OTHER;
}

bool media_accepts(struct slice accept, const char *name)
{
	while (accept.ptr) {
		struct slice element = slice_cut(&accept, ',');

		if (media_type_is(element, name))
			return true;
	}
	return false;
}
