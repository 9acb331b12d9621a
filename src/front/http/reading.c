#include "front/http/reading.h"

#include "front/hooked.h"
#include "front/http/connection.h"
#include "front/position.h"

#include <stdio.h>

enum err reading_parse(const struct front *f, const struct params *params,
                       enum position_kind fallback, struct reading *out, struct fault *fault)
{
	enum err err = params_partition(params, &out->partition, fault);

	if (err)
		return err;
	err = position_parse(params_text(params, "offset"), params_text(params, "cursor"), fallback,
	                     front_now(f).wall_ms, &out->position, &out->cursor, fault);
	return err ? err : position_partition(&out->position, &out->cursor, &out->partition, fault);
}

/* An empty id is what a client sends that has none yet. */
static struct slice resume_at(const struct http_request *r, const struct params *params)
{
	struct slice id = http_header(r, "last-event-id");

	if (id.len == 0)
		id = params_text(params, "last_event_id");
	return id.len ? id : params_text(params, "cursor");
}

static enum err add_name(struct subscription_request *out, struct slice name, struct fault *f)
{
	if (out->name_count == SUBSCRIPTION_NAMES_MAX)
		return fault_set(f, ERR_TOO_MANY_TOPICS, 0, "%d at most", SUBSCRIPTION_NAMES_MAX);
	out->names[out->name_count++] = name;
	if (topic_pattern_is(name))
		return topic_pattern_check(name, f);
	return topic_name_check(name, f);
}

static enum err read_names(const struct exchange *x, const struct params *params,
                           struct subscription_request *out, struct fault *f)
{
	enum err err = OK;

	out->name_count = 0;
	if (x->name_len > 0)
		return add_name(out, exchange_name(x), f);
	for (size_t i = 0; i < params->query.count && !err; i++) {
		const struct url_param *p = &params->query.params[i];

		if (slice_eq(p->name, SLICE_LIT("topic")))
			err = add_name(out, p->value, f);
	}
	if (!err && out->name_count == 0)
		return fault_set(f, ERR_BAD_PARAMETER, 0, "'topic' is missing: ?topic=a&topic=b.*");
	if (!err && out->partition >= 0 && !subscription_request_is_alone(out))
		return fault_set(f, ERR_BAD_PARAMETER, 0, "'partition' goes with one topic only");
	return err;
}

static enum err read_position(struct exchange *x, struct slice resume, const struct params *params,
                              bool keep_unreadable, struct subscription_request *out)
{
	struct slice offset = params_text(params, "offset");
	int64_t now_ms = front_now(x->front).wall_ms;
	struct fault *f = &x->fault;
	enum err err = position_parse(offset, SLICE_NONE, POSITION_EARLIEST, now_ms,
	                              &out->otherwise, NULL, f);

	if (err)
		return err;
	out->requested[0] = '\0';
	if (resume.len == 0)
		return position_parse(offset, SLICE_NONE, POSITION_END, now_ms, &out->position,
		                      NULL, f);
	snprintf(out->requested, sizeof(out->requested), "%.*s", SLICE_FMT(resume));
	err = position_parse(SLICE_NONE, resume, POSITION_END, now_ms, &out->position, &out->cursor,
	                     f);
	if (!err && out->position.kind != POSITION_CURSOR && !subscription_request_is_alone(out))
		err = fault_set(f, ERR_BAD_CURSOR, 0, "'%.*s' is a place in one topic",
		                SLICE_FMT(resume));
	if (!err && subscription_request_is_alone(out))
		err = position_partition(&out->position, &out->cursor, &out->partition, f);
	if (err && keep_unreadable) {
		out->position = (struct position){.kind = POSITION_CURSOR};
		f->code = OK;
		return OK;
	}
	return err;
}

/* About topics by name; those of patterns are asked about when they are found. */
static enum err ask_hooks(struct exchange *x, const struct http_request *r,
                          const struct subscription_request *request)
{
	enum bourn_front front = r->upgrade_websocket ? BOURN_FRONT_WEBSOCKET : BOURN_FRONT_HTTP;
	struct refusal *refusal = NULL;
	enum err err = OK;

	(void)exchange_caller(x);
	for (size_t i = 0; i < request->name_count && !err; i++)
		if (!topic_pattern_is(request->names[i]))
			err = hooked_subscribe(x->http->connection, front, request->names[i],
			                       &x->fault, &refusal);
	exchange_set_refusal(x, refusal);
	return err;
}

enum err reading_subscription(struct exchange *x, const struct http_request *r,
                              bool keep_unreadable, struct params *params,
                              struct subscription_request *out)
{
	static const char *const known[] = {"partition", "offset", "cursor", "last_event_id",
	                                    "topic"};
	size_t known_count = ARRAY_COUNT(known) - (x->name_len > 0); /* the path names it */
	enum err err = params_parse(r->query, known, known_count, params, &x->fault);

	if (err)
		return err;
	out->cursor.count = 0;
	err = params_partition(params, &out->partition, &x->fault);
	if (!err)
		err = read_names(x, params, out, &x->fault);
	if (!err)
		err = read_position(x, resume_at(r, params), params, keep_unreadable, out);
	if (!err)
		err = ask_hooks(x, r, out);
	if (err)
		params_fini(params);
	return err;
}

struct reader *reading_open(struct exchange *x, const struct reading *reading, bool follow,
                            void (*wake)(void *owner), void *owner)
{
	struct reader_options options = {
		.caller = exchange_caller(x),
		.operation = OPERATION_CONSUME,
		.topic = exchange_name(x),
		.partition = reading->partition,
		.position = reading->position,
		.follow = follow,
	};

	return reader_open(x->front->broker, &options, wake, owner);
}

size_t reading_members(const struct reader_bounds *bounds, uint32_t count,
                       struct problem_member members[2])
{
	if (count != 1 || bounds[0].high_watermark < 0)
		return 0;
	members[0] = (struct problem_member){"earliest", bounds[0].earliest};
	members[1] = (struct problem_member){"high_watermark", bounds[0].high_watermark};
	return 2;
}

void reading_problem(struct exchange *x, const struct reader *r)
{
	struct problem_member members[2];
	const struct reader_bounds *bounds = NULL;
	uint32_t count = 0;

	if (r)
		bounds = reader_bounds(r, &count);
	reply_problem(x, members, reading_members(bounds, count, members));
}
