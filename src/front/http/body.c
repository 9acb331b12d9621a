#include "front/http/body.h"

#include "base/check.h"
#include "base/suggest.h"

enum { BODY_MEMBERS_MAX = 32 }; /* of those that are known */

static enum err refuse_unknown(struct slice key, const char *const *known, size_t count,
                               struct fault *f)
{
	struct slice name = slice_of(key.ptr + 1, key.len - 2);
	const char *near = suggest(name, known, count);

	return fault_set(f, ERR_BAD_REQUEST, 0, "unknown member '%.*s'%s%s%s", SLICE_FMT(name),
	                 near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static enum err check(struct json_value root, const char *const *known, size_t count,
                      struct fault *f)
{
	uint32_t seen = 0;
	struct json_iter it;
	struct json_value value;
	struct slice key;

	CHECK(count <= BODY_MEMBERS_MAX);
	json_iter_init(&it, root);
	while (json_iter_next(&it, &key, &value)) {
		size_t i = 0;

		while (i < count && !json_string_is(key, known[i]))
			i++;
		if (i == count)
			return refuse_unknown(key, known, count, f);
		if (seen & 1U << i)
			return fault_set(f, ERR_BAD_REQUEST, 0, "'%s' is given twice", known[i]);
		seen |= 1U << i;
	}
	return OK;
}

enum err body_parse(struct slice body, const char *const *known, size_t known_count,
                    struct json_value *root, struct fault *f)
{
	size_t at;

	if (body.len == 0)
		body = SLICE_LIT("{}");
	if (!json_validate(body, JSON_DEPTH_MAX, &at))
		return fault_set(f, ERR_BAD_JSON, 0, "at byte %zu of %zu", at, body.len);
	*root = json_root(body);
	if (root->kind != JSON_OBJECT)
		return fault_set(f, ERR_BAD_REQUEST, 0, "the body is not an object");
	return check(*root, known, known_count, f);
}

enum err body_int(struct json_value root, const char *name, int64_t min, int64_t max,
                  int64_t *value, struct fault *f)
{
	struct json_value member;
	int64_t number;

	if (!json_object_get(root, name, &member))
		return OK;
	if (member.kind != JSON_NUMBER || !json_to_int64(member, &number))
		return fault_set(f, ERR_BAD_REQUEST, 0, "%s is not an integer", name);
	if (number < min || number > max)
		return fault_set(f, ERR_BAD_REQUEST, 0, "%s %lld is not in %lld to %lld", name,
		                 (long long)number, (long long)min, (long long)max);
	*value = number;
	return OK;
}
