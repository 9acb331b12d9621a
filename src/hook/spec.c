#include "hook/spec.h"

#include "core/topic_pattern.h"

#include <stdlib.h>

static const char *const types[HOOK_TYPE_COUNT] = {
	[HOOK_SO] = "so",
	[HOOK_LUA] = "lua",
	[HOOK_HTTP] = "http",
};

enum {
	BUILT = (1 << BOURN_COMMIT) - 1,
	WITHOUT_TOPIC = 1 << BOURN_CONNECT,
	OF_HTTP = 1 << BOURN_REQUEST_RECEIVED | 1 << BOURN_REQUEST_EXECUTED |
	          1 << BOURN_BEFORE_RESPONSE_SEND | 1 << BOURN_AFTER_RESPONSE_SEND |
	          1 << BOURN_CONNECT,
};

const unsigned hook_points_that_wait =
	1 << BOURN_PRODUCE | 1 << BOURN_REQUEST_RECEIVED | 1 << BOURN_REQUEST_EXECUTED |
	1 << BOURN_BEFORE_RESPONSE_SEND | 1 << BOURN_AFTER_RESPONSE_SEND;

const char *hook_type_name(enum hook_type type)
{
	return types[type];
}

enum hook_type hook_type_parse(struct slice name)
{
	unsigned i = 0;

	while (i < HOOK_TYPE_COUNT && !slice_eq(name, slice_str(types[i])))
		i++;
	return (enum hook_type)i;
}

void hook_spec_init(struct hook_spec *spec)
{
	*spec = (struct hook_spec){
		.type = HOOK_TYPE_COUNT,
		.instructions = HOOK_INSTRUCTIONS_DEFAULT,
		.memory_bytes = HOOK_MEMORY_BYTES_DEFAULT,
		.retries = HOOK_RETRIES_DEFAULT,
		.in_flight = HOOK_IN_FLIGHT_DEFAULT,
		.failures_max = HOOK_FAILURES_DEFAULT,
	};
}

int64_t hook_spec_timeout_ms(const struct hook_spec *spec)
{
	if (spec->timeout_ms > 0)
		return spec->timeout_ms;
	return spec->type == HOOK_LUA ? HOOK_LUA_TIMEOUT_MS_DEFAULT : HOOK_HTTP_TIMEOUT_MS_DEFAULT;
}

bool hook_name_ok(struct slice name)
{
	if (name.len == 0 || name.len > HOOK_NAME_BYTES_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_' && c != '-')
			return false;
	}
	return true;
}

enum err hook_spec_check(const struct hook_spec *spec, struct fault *f)
{
	if (!spec->name)
		return fault_set(f, ERR_CONFIG, 0, "it has no name");
	if (spec->type == HOOK_TYPE_COUNT)
		return fault_set(f, ERR_CONFIG, 0, "it has no type");
	if (!spec->path)
		return fault_set(f, ERR_CONFIG, 0, "it has no %s",
		                 spec->type == HOOK_HTTP ? "url" : "path");
	return hook_spec_check_points(spec, spec->points, f);
}

static const char *first_point(unsigned points)
{
	return point_name((enum bourn_point)__builtin_ctz(points));
}

enum err hook_spec_check_points(const struct hook_spec *spec, unsigned points, struct fault *f)
{
	for (unsigned i = 0; i < BOURN_POINT_COUNT; i++)
		if (points & ~(unsigned)BUILT & 1u << i)
			return fault_set(f, ERR_CONFIG, 0, "the point '%s' is not built yet",
			                 point_name((enum bourn_point)i));
	if (spec->type == HOOK_HTTP && points & ~hook_points_that_wait)
		return fault_set(f, ERR_CONFIG, 0,
		                 "over HTTP it cannot be asked at '%s', where nothing may wait; "
		                 "'lua' and 'so' can",
		                 first_point(points & ~hook_points_that_wait));
	if (spec->fronts && !(spec->fronts & 1u << BOURN_FRONT_HTTP) && points & OF_HTTP)
		return fault_set(f, ERR_CONFIG, 0,
		                 "'connect' and the stages of a request are of http; name other "
		                 "'points'");
	if (spec->topic_count > 0 && points & WITHOUT_TOPIC)
		return fault_set(f, ERR_CONFIG, 0, "'connect' is of no topic; leave 'topics' out");
	return OK;
}

bool hook_spec_wants_topic(const struct hook_spec *spec, struct slice topic)
{
	if (spec->topic_count == 0)
		return true;
	for (size_t i = 0; i < spec->topic_count; i++)
		if (topic.ptr && topic_pattern_matches(slice_str(spec->topics[i]), topic))
			return true;
	return false;
}

void hook_spec_fini(struct hook_spec *spec)
{
	for (size_t i = 0; i < spec->topic_count; i++)
		free(spec->topics[i]);
	free(spec->topics);
	free(spec->name);
	free(spec->path);
	free(spec->options);
	*spec = (struct hook_spec){0};
}
