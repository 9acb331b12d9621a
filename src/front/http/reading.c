#include "front/http/reading.h"

#include "front/http/connection.h"
#include "front/position.h"

enum err reading_parse(const struct front *f, const struct params *params,
                       enum position_kind fallback, struct reading *out, struct fault *fault)
{
	enum err err = params_partition(params, &out->partition, fault);

	if (err)
		return err;
	return position_parse(params_text(params, "offset"), params_text(params, "cursor"),
	                      fallback, front_now(f).wall_ms, &out->position, fault);
}

struct reader *reading_open(struct exchange *x, const struct reading *reading,
                            enum operation operation, bool follow, void (*wake)(void *owner),
                            void *owner)
{
	struct reader_options options = {
		.caller = exchange_caller(x),
		.operation = operation,
		.topic = exchange_name(x),
		.partition = reading->partition,
		.position = reading->position,
		.wait_for_topic = operation == OPERATION_SUBSCRIBE,
		.follow = follow,
	};

	return reader_open(x->front->broker, &options, wake, owner);
}

size_t reading_members(const struct reader *r, struct problem_member members[2])
{
	const struct reader_bounds *bounds;
	uint32_t count;

	bounds = reader_bounds(r, &count);
	if (count != 1 || bounds[0].high_watermark < 0)
		return 0;
	members[0] = (struct problem_member){"earliest", bounds[0].earliest};
	members[1] = (struct problem_member){"high_watermark", bounds[0].high_watermark};
	return 2;
}

void reading_problem(struct exchange *x, const struct reader *r)
{
	struct problem_member members[2];
	size_t count = r ? reading_members(r, members) : 0;

	reply_problem(x, members, count);
}
