#include "front/http/params.h"

#include "base/check.h"
#include "base/suggest.h"
#include "wire/timefmt.h"

static bool is_known(struct slice name, const char *const *known, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (slice_eq(name, slice_str(known[i])))
			return true;
	return false;
}

static enum err refuse_unknown(struct slice name, const char *const *known, size_t count,
                               struct fault *f)
{
	static const char *const planned[] = {"group"};
	const char *near = suggest(name, known, count);

	if (is_known(name, planned, ARRAY_COUNT(planned)))
		return fault_set(f, ERR_NOT_IMPLEMENTED, 0, "parameter '%.*s'", SLICE_FMT(name));
	if (near)
		return fault_set(f, ERR_BAD_PARAMETER, 0,
		                 "unknown parameter '%.*s'; did you mean '%s'?", SLICE_FMT(name),
		                 near);
	return fault_set(f, ERR_BAD_PARAMETER, 0, "unknown parameter '%.*s'", SLICE_FMT(name));
}

static bool may_repeat(struct slice name)
{
	return slice_eq(name, SLICE_LIT("topic"));
}

static enum err check(const struct url_query *q, const char *const *known, size_t known_count,
                      struct fault *f)
{
	for (size_t i = 0; i < q->count; i++) {
		struct slice name = q->params[i].name;

		if (!is_known(name, known, known_count))
			return refuse_unknown(name, known, known_count, f);
		for (size_t j = 0; j < i && !may_repeat(name); j++)
			if (slice_eq(name, q->params[j].name))
				return fault_set(f, ERR_BAD_PARAMETER, 0, "'%.*s' is given twice",
				                 SLICE_FMT(name));
	}
	return OK;
}

enum err params_parse(struct slice query, const char *const *known, size_t known_count,
                      struct params *p, struct fault *f)
{
	enum err err;

	if (query.len == 0) {
		p->query.count = 0;
		p->query.decoded = BUF_INIT(0);
		return OK;
	}
	err = url_query_parse(query, &p->query, f);
	if (err)
		return err;
	err = check(&p->query, known, known_count, f);
	if (err)
		url_query_fini(&p->query);
	return err;
}

void params_fini(struct params *p)
{
	url_query_fini(&p->query);
}

enum err params_none(struct slice query, struct fault *f)
{
	struct params params;
	enum err err = params_parse(query, NULL, 0, &params, f);

	if (!err)
		params_fini(&params);
	return err;
}

struct slice params_text(const struct params *p, const char *name)
{
	const struct url_param *param = url_query_find(&p->query, name);

	if (!param)
		return SLICE_NONE;
	return param->value.ptr ? param->value : SLICE_LIT("");
}

static enum err refuse(const char *name, struct slice text, const char *wanted, struct fault *f)
{
	return fault_set(f, ERR_BAD_PARAMETER, 0, "%s '%.*s' is not %s", name, SLICE_FMT(text),
	                 wanted);
}

enum err params_int(const struct params *p, const char *name, int64_t min, int64_t max,
                    int64_t *value, struct fault *f)
{
	struct slice text = params_text(p, name);
	int64_t number;

	if (!text.ptr)
		return OK;
	if (!slice_to_int64(text, &number))
		return refuse(name, text, "a number", f);
	if (number < min || number > max)
		return fault_set(f, ERR_BAD_PARAMETER, 0, "%s %lld is not in %lld to %lld", name,
		                 (long long)number, (long long)min, (long long)max);
	*value = number;
	return OK;
}

enum err params_bytes(const struct params *p, const char *name, int64_t *value, struct fault *f)
{
	struct slice text = params_text(p, name);

	if (!text.ptr || bytes_parse(text, value))
		return OK;
	return refuse(name, text, "a size, as 65536 or 64KiB", f);
}

enum err params_duration(const struct params *p, const char *name, int64_t *ms, struct fault *f)
{
	struct slice text = params_text(p, name);

	if (!text.ptr || duration_parse(text, ms))
		return OK;
	return refuse(name, text, "a duration, as 5, 500ms or 2m", f);
}

enum err params_partition(const struct params *p, int32_t *partition, struct fault *f)
{
	int64_t value = -1;
	enum err err = params_int(p, "partition", 0, INT32_MAX, &value, f);

	*partition = (int32_t)value;
	return err;
}
