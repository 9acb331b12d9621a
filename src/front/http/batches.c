/* GET and POST /v1/topics/{t}/batches: whole record batches (docs/formats.md#record-batch), just as
 * they are stored: what `bourn dump` and `bourn load` speak.
 *
 *   GET   query partition, offset (default earliest), max_bytes; the batches from the one that
 *         contains the offset, or the first behind it; Event-Next: where to go on. Empty at the
 *         high watermark
 *   POST  query partition; Expected-Offset is required: where the first batch goes. 201 with the
 *         place behind the last. They are checked all before any is appended, and appended one
 *         by one: an answer that is a failure says nothing of how many were */
#include "broker/append.h"
#include "front/http/connection.h"
#include "front/http/handlers.h"
#include "front/http/params.h"
#include "front/http/reading.h"
#include "wire/media_type.h"

#include <stdlib.h>

static const char media_type[] = "application/vnd.bourn.batches";

/* --- GET -------------------------------------------------------------------------------------- */

struct batches_read {
	struct exchange *x;
	struct reader *reader;
	struct buf body;
	size_t bytes_max;
};

static void read_write(struct exchange *x)
{
	struct batches_read *s = x->state;
	const struct reader_bounds *bounds;
	struct buf *out;
	uint32_t count;

	if (x->fault.code) {
		reading_problem(x, s->reader);
		return;
	}
	bounds = reader_bounds(s->reader, &count);
	out = reply_begin(x, 200);
	http_head_field(out, "Content-Type", slice_str(media_type));
	http_head_field_int(out, "Event-Next", bounds[0].next_offset);
	reply_end(x, buf_slice(&s->body));
}

/* True when the answer is complete; else a wake follows. */
static bool read_take(struct batches_read *s)
{
	struct slice batches;

	while (s->body.len < s->bytes_max && !s->body.failed) {
		switch (reader_take_batches(s->reader, &batches)) {
		case READER_EVENT:
			front_buf_reserve(s->x->front, &s->body, batches.len);
			buf_append_slice(&s->body, batches);
			break;
		case READER_WAIT: return false;
		case READER_GREW:
		case READER_CAUGHT_UP: return true;
		case READER_FAILED:
			if (s->body.len == 0)
				s->x->fault = *reader_fault(s->reader);
			return true;
		}
	}
	return true;
}

static void read_step(struct batches_read *s)
{
	if (!read_take(s))
		return;
	if (s->body.failed)
		fault_set(&s->x->fault, ERR_NO_MEMORY, 0, "batches");
	exchange_answer(s->x);
}

static void read_woken(void *owner)
{
	struct batches_read *s = owner;

	if (!s->x->answered)
		read_step(s);
}

static void read_fini(struct exchange *x)
{
	struct batches_read *s = x->state;

	if (s->reader)
		reader_close(s->reader);
	front_buf_give(x->front, &s->body);
	free(s);
}

static const struct exchange_ops read_ops = {
	.write = read_write,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = read_fini,
};

static enum err take_read_query(struct exchange *x, const struct http_request *r,
                                struct reading *reading, int64_t *bytes_max)
{
	static const char *const known[] = {"partition", "offset", "max_bytes"};
	int64_t cap = (int64_t)front_limits(x->front)->output_bytes;
	struct params params;
	enum err err = params_parse(r->query, known, ARRAY_COUNT(known), &params, &x->fault);

	if (err)
		return err;
	*bytes_max = cap;
	err = reading_parse(x->front, &params, POSITION_EARLIEST, reading, &x->fault);
	if (!err)
		err = params_bytes(&params, "max_bytes", bytes_max, &x->fault);
	params_fini(&params);
	if (*bytes_max > cap)
		*bytes_max = cap;
	if (*bytes_max < 1)
		*bytes_max = 1;
	return err;
}

void batches_get_handle(struct exchange *x, const struct http_request *r)
{
	struct batches_read *s;
	struct reading reading;
	int64_t bytes_max;

	if (take_read_query(x, r, &reading, &bytes_max)) {
		exchange_answer(x);
		return;
	}
	s = calloc(1, sizeof(*s));
	if (!s) {
		exchange_refuse(x, ERR_NO_MEMORY, "batches");
		return;
	}
	s->x = x;
	s->bytes_max = (size_t)bytes_max;
	s->body = BUF_INIT(s->bytes_max + BATCH_BYTES_MAX_MOST);
	x->state = s;
	x->ops = &read_ops;
	s->reader = reading_open(x, &reading, false, read_woken, s);
	if (s->reader)
		read_step(s);
	else
		exchange_refuse(x, ERR_NO_MEMORY, "reader");
}

/* --- POST ------------------------------------------------------------------------------------- */

/* {"topic":"t","next":120,"count":20,"durability":"commit"} */
static void append_write(struct exchange *x)
{
	const struct append *a = x->state;
	uint8_t memory[TOPIC_NAME_BYTES_MAX + 128];
	struct buf body = BUF_IN(memory);

	if (x->fault.code) {
		reply_problem(x, NULL, 0);
		return;
	}
	buf_append_lit(&body, "{\"topic\":\"");
	buf_append_slice(&body, exchange_name(x));
	buf_append_lit(&body, "\",\"next\":");
	buf_append_int64(&body, a->next_offset);
	buf_append_lit(&body, ",\"count\":");
	buf_append_int64(&body, a->event_count);
	buf_append_lit(&body, ",\"durability\":\"");
	buf_append_str(&body, durability_name(a->durability));
	buf_append_lit(&body, "\"}\n");
	CHECK(!body.failed);
	reply_created(x, buf_slice(&body));
}

static void append_fini(struct exchange *x)
{
	broker_append_fini(x->state);
	free(x->state);
}

static const struct exchange_ops append_ops = {
	.write = append_write,
	.hurry = exchange_nothing,
	.room = exchange_nothing,
	.fini = append_fini,
};

struct append_exchange {
	struct append append; /* first */
	struct exchange *x;
};

static void appended(struct append *a)
{
	struct exchange *x = CONTAINER_OF(a, struct append_exchange, append)->x;

	x->fault = a->fault;
	exchange_home(x);
}

static enum err take_place(struct exchange *x, const struct http_request *r, struct append *a)
{
	static const char *const known[] = {"partition"};
	struct slice expected = http_field(r, HTTP_FIELD_EXPECTED_OFFSET);
	struct params params;
	enum err err;

	if (!media_type_is(http_field(r, HTTP_FIELD_CONTENT_TYPE), media_type))
		return fault_set(&x->fault, ERR_MEDIA_TYPE, 0, "batches are %s", media_type);
	if (!slice_to_int64(expected, &a->expected_offset) || a->expected_offset < 0)
		return fault_set(&x->fault, ERR_BAD_REQUEST, 0,
		                 "Expected-Offset must say where the first batch goes");
	err = params_parse(r->query, known, ARRAY_COUNT(known), &params, &x->fault);
	if (err)
		return err;
	err = params_partition(&params, &a->partition, &x->fault);
	params_fini(&params);
	return err;
}

static void append_start(struct exchange *x, struct append *a)
{
	struct front *f = x->front;

	a->broker = f->broker;
	a->caller = exchange_caller(x);
	a->topic = exchange_name(x);
	a->timestamp_max = front_now(f).wall_ms + front_limits(f)->future_ms;
	a->done = appended;
	x->busy = true;
	broker_append(a);
}

void batches_post_handle(struct exchange *x, const struct http_request *r)
{
	struct append_exchange *s = calloc(1, sizeof(*s));

	if (!s) {
		exchange_refuse(x, ERR_NO_MEMORY, "batches");
		return;
	}
	s->x = x;
	s->append.batches = BUF_INIT(r->body.len);
	x->state = s;
	x->ops = &append_ops;
	if (take_place(x, r, &s->append)) {
		exchange_answer(x);
		return;
	}
	buf_append_slice(&s->append.batches, r->body);
	if (s->append.batches.failed)
		exchange_refuse(x, ERR_NO_MEMORY, "batches");
	else
		append_start(x, &s->append);
}
