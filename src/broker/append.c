#include "broker/append.h"

#include "broker/shard.h"
#include "io/metrics.h"

/* --- home again ------------------------------------------------------------------------------- */

static void append_end(struct append *a)
{
	shard_end(a->broker);
	a->done(a);
}

static void run_finish(struct task *t)
{
	append_end(CONTAINER_OF(t, struct append, finish));
}

static bool is_foreign(const struct append *a)
{
	return a->target->shard != a->broker->index;
}

static void came_home(struct append *a)
{
	metric_add(a->broker->metrics, METRIC_EVENTS_IN, a->event_count);
	if (is_foreign(a))
		credit_give(a->broker, a->target->shard);
	topic_release(a->row, a->broker->loop);
	append_end(a);
}

static void message_came_home(struct message *m)
{
	came_home(CONTAINER_OF(m, struct append, message));
}

/* --- on the owner ----------------------------------------------------------------------------- */

static void owner_done(struct append *a)
{
	if (is_foreign(a)) {
		a->message.deliver = message_came_home;
		loop_post(a->broker->loop, &a->message);
	} else {
		came_home(a);
	}
}

static struct batch first_batch(const struct append *a)
{
	struct batch b;

	CHECK(batch_parse(a->rest, &b, NULL) == OK); /* it was checked */
	return b;
}

static int64_t offset_count(const struct batch *b)
{
	return b->last_offset - b->base_offset + 1;
}

static void store_next(struct append *a);

static void stored(struct store_append *s)
{
	struct append *a = CONTAINER_OF(s, struct append, store);
	struct batch b = first_batch(a);

	if (s->fault.code) {
		a->fault = s->fault;
		owner_done(a);
		return;
	}
	a->next_offset += offset_count(&b);
	a->event_count += b.record_count;
	if (s->durability < a->durability)
		a->durability = s->durability;
	a->rest = slice_of(a->rest.ptr + b.bytes.len, a->rest.len - b.bytes.len);
	if (a->rest.len > 0)
		store_next(a);
	else
		owner_done(a);
}

static void store_next(struct append *a)
{
	struct batch b = first_batch(a);

	a->store = (struct store_append){
		.partition = a->target,
		.batches = b.bytes,
		.expected_offset = a->next_offset,
		.done = stored,
	};
	a->broker->ops->append(&a->store);
}

static void message_arrived(struct message *m)
{
	store_next(CONTAINER_OF(m, struct append, message));
}

/* --- checks ----------------------------------------------------------------------------------- */

static enum err check_batch(const struct append *a, const struct batch *b, size_t bytes_max,
                            struct fault *f)
{
	if (b->bytes.len > bytes_max)
		return fault_set(f, ERR_TOO_LARGE, 0, "%zu bytes; max.message.bytes is %zu",
		                 b->bytes.len, bytes_max);
	if (b->producer_id >= 0)
		return fault_set(f, ERR_NOT_IMPLEMENTED, 0, "it has a producer id");
	if (b->max_timestamp > a->timestamp_max)
		return fault_set(f, ERR_BAD_TIMESTAMP, 0, "%lld is too far in the future",
		                 (long long)b->max_timestamp);
	return OK;
}

/* Damage is the caller's here; which batch it is, is said. */
static enum err refuse_batch(struct append *a, unsigned number, const struct fault *why)
{
	enum err code = why->code == ERR_CORRUPT ? ERR_BAD_RECORD : why->code;

	return fault_set(&a->fault, code, 0, "number %u: %s", number, why->where);
}

static enum err check_batches(struct append *a, size_t bytes_max)
{
	struct slice rest = buf_slice(&a->batches);
	int64_t end = a->expected_offset;

	if (rest.len == 0)
		return fault_set(&a->fault, ERR_BAD_REQUEST, 0, "there is no batch in the body");
	for (unsigned number = 1; rest.len > 0; number++) {
		struct fault why = {0};
		struct batch b;

		if (batch_validate_sparse(rest, &b, &why) || check_batch(a, &b, bytes_max, &why))
			return refuse_batch(a, number, &why);
		if (end > INT64_MAX - offset_count(&b))
			return fault_set(&a->fault, ERR_BAD_REQUEST, 0,
			                 "number %u: there are no such offsets", number);
		end += offset_count(&b);
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	return OK;
}

static enum err find_partition(struct append *a, const struct topic *t)
{
	uint32_t count = t->facts->spec.partition_count;

	if (!(a->broker->ops->capabilities & STORE_EXPECTED_OFFSET))
		return fault_set(&a->fault, ERR_NOT_IMPLEMENTED, 0,
		                 "this storage engine has no Expected-Offset");
	if (a->partition < 0 && count > 1)
		return fault_set(&a->fault, ERR_PARTITION_REQUIRED, 0, "to append batches");
	if (a->partition >= 0 && (uint32_t)a->partition >= count)
		return fault_set(&a->fault, ERR_PARTITION_UNKNOWN, 0,
		                 "partition %d; the topic has %u", a->partition, count);
	a->target = t->facts->stored->partitions[a->partition < 0 ? 0 : a->partition];
	return OK;
}

static enum err append_check(struct append *a, struct topic **row)
{
	struct topic *t;
	enum err err = topic_name_check(a->topic, &a->fault);

	if (!err)
		err = broker_authorize(a->caller, OPERATION_PRODUCE, a->topic);
	if (err)
		return err;
	t = topics_find(&a->broker->topics, a->topic);
	if (!t)
		return fault_set(&a->fault, ERR_TOPIC_UNKNOWN, 0, "'%.*s'", SLICE_FMT(a->topic));
	err = find_partition(a, t);
	if (!err)
		err = check_batches(a, (size_t)t->facts->spec.settings.max_message_bytes);
	if (!err)
		*row = t;
	return err;
}

/* --- the call --------------------------------------------------------------------------------- */

static enum err append_start(struct append *a)
{
	struct broker *b = a->broker;
	struct topic *row = NULL;
	enum err err = b->draining ? ERR_SHUTTING_DOWN : append_check(a, &row);

	if (err)
		return err;
	if (is_foreign(a) && !credit_take(b, a->target->shard))
		return ERR_BUSY;
	a->row = row;
	a->rest = buf_slice(&a->batches);
	topic_use(row);
	if (is_foreign(a)) {
		a->message.deliver = message_arrived;
		loop_post(shard_of(b, a->target->shard)->loop, &a->message);
	} else {
		store_next(a);
	}
	return OK;
}

void broker_append(struct append *a)
{
	enum err err;

	CHECK(a->expected_offset >= 0);
	shard_begin(a->broker);
	a->fault = (struct fault){0};
	a->next_offset = a->expected_offset;
	a->event_count = 0;
	a->durability = DURABILITY_COMMIT;
	err = append_start(a);
	if (err) {
		a->fault.code = err;
		a->finish.run = run_finish;
		loop_defer(a->broker->loop, LOOP_WORK, &a->finish);
	}
}

void broker_append_fini(struct append *a)
{
	buf_fini(&a->batches);
}
