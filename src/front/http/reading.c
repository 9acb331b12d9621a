#include "front/http/reading.h"

#include "front/connections.h"
#include "front/http/connection.h"
#include "front/position.h"

enum err reading_parse(const struct front *f, const struct params *params,
                       enum position_kind fallback, struct reading *out, struct fault *fault)
{
	enum err err = params_partition(params, &out->partition, fault);

	if (err)
		return err;
	return position_parse(params_text(params, "offset"), params_text(params, "cursor"),
	                      fallback, front_now(f).wall_ms, &out->position, &out->cursor, fault);
}

/* An empty id is what a client sends that has none yet. */
static struct slice resume_at(const struct http_request *r, const struct params *params)
{
	struct slice id = http_header(r, "last-event-id");

	if (id.len == 0)
		id = params_text(params, "last_event_id");
	return id.len ? id : params_text(params, "cursor");
}

enum err reading_subscription(struct exchange *x, const struct http_request *r, struct reading *out)
{
	static const char *const known[] = {"partition", "offset", "cursor", "last_event_id"};
	struct params params;
	enum err err = params_parse(r->query, known, ARRAY_COUNT(known), &params, &x->fault);

	if (err)
		return err;
	err = params_partition(&params, &out->partition, &x->fault);
	if (!err)
		err = position_parse(params_text(&params, "offset"), resume_at(r, &params),
		                     POSITION_END, front_now(x->front).wall_ms, &out->position,
		                     &out->cursor, &x->fault);
	params_fini(&params);
	return err;
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

void reading_describe(const struct reader *r, struct slice topic, struct buf *json)
{
	uint32_t count;
	const struct reader_bounds *bounds = reader_bounds(r, &count);

	if (count == 0)
		connections_append_subscription(json, topic, -1, 0, 0);
	for (uint32_t i = 0; i < count; i++) {
		const struct reader_bounds *b = &bounds[i];
		int64_t lag = b->high_watermark - b->next_offset;

		if (b->next_offset >= 0)
			connections_append_subscription(json, topic, b->partition, b->next_offset,
			                                lag > 0 ? lag : 0);
	}
}

void reading_problem(struct exchange *x, const struct reader *r)
{
	struct problem_member members[2];
	size_t count = r ? reading_members(r, members) : 0;

	reply_problem(x, members, count);
}
