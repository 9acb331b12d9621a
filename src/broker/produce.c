#include "broker/produce.h"

#include "broker/produce_hooks.h"
#include "broker/produce_steps.h"
#include "broker/topic_wait.h"
#include "broker/turn_batch.h"

#include <stdlib.h>

enum { COPIED_BYTES_MAX = 32 << 20 }; /* of records that wait for topics and hooks, per shard */

/* --- the end of a request --------------------------------------------------------------------- */

static void produce_end(struct produce *p)
{
	shard_end(p->broker);
	p->done(p);
}

static void run_finished(struct task *task)
{
	struct broker *b = CONTAINER_OF(task, struct broker, finish);
	struct list finished;
	struct list *node;

	list_init(&finished);
	list_move_all(&finished, &b->finished);
	while ((node = list_take_first(&finished)))
		produce_end(LIST_ENTRY(node, struct produce, node));
}

void produce_finish(struct produce *p, enum err err)
{
	struct broker *b = p->broker;

	p->fault.code = err;
	list_append(&b->finished, &p->node);
	loop_defer(b->loop, LOOP_WORK, &b->finish);
}

static void part_end(struct produce_part *part)
{
	struct produce *p = part->produce;

	CHECK(p->parts_left > 0);
	p->parts_left--;
	if (p->parts_left == 0)
		produce_end(p);
}

void produce_part_stored(struct produce_part *part, int64_t offset, enum durability durability)
{
	struct produce *p = part->produce;

	if (durability < p->durability)
		p->durability = durability;
	p->results[part - p->parts].offset = offset;
	part_end(part);
}

void produce_part_failed(struct produce_part *part, const struct fault *fault)
{
	struct produce *p = part->produce;

	if (p->fault.code == OK)
		p->fault = *fault;
	part_end(part);
}

void broker_produce_fini(struct produce *p)
{
	if (p->results != &p->one)
		free(p->results);
	p->results = NULL;
	p->result_count = 0;
}

void produce_init(struct broker *b)
{
	list_init(&b->finished);
	b->finish.run = run_finished;
	b->turn = 1; /* no topic was written in it */
}

/* --- checks that need no partition ------------------------------------------------------------ */

static enum err check_bytes(struct produce *p, size_t bytes, int32_t bytes_max)
{
	if (BATCH_HEADER_BYTES + bytes <= (size_t)bytes_max)
		return OK;
	return fault_set(&p->fault, ERR_TOO_LARGE, 0, "%zu bytes encoded; max.message.bytes is %d",
	                 BATCH_HEADER_BYTES + bytes, bytes_max);
}

static bool goes_to_one_partition(const struct produce *p, uint32_t count, uint32_t partition_count)
{
	return count == 1 || p->partition >= 0 || p->atomic || partition_count == 1;
}

static size_t records_bytes(const struct record *records, uint32_t count)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < count; i++)
		bytes += record_encoded_bytes_max(&records[i]);
	return bytes;
}

static enum err check_request(struct produce *p, uint32_t partition_count)
{
	if (p->partition >= 0 && (uint32_t)p->partition >= partition_count)
		return fault_set(&p->fault, ERR_PARTITION_UNKNOWN, 0,
		                 "partition %d; the topic has %u", p->partition, partition_count);
	if (p->expected_offset < 0)
		return OK;
	if (!(p->broker->ops->capabilities & STORE_EXPECTED_OFFSET))
		return fault_set(&p->fault, ERR_NOT_IMPLEMENTED, 0,
		                 "this storage engine has no Expected-Offset");
	if (p->partition < 0 && partition_count > 1)
		return fault_set(&p->fault, ERR_PARTITION_REQUIRED, 0, "Expected-Offset");
	return OK;
}

/* --- one partition ---------------------------------------------------------------------------- */

static uint32_t sticky_partition(struct broker *b, struct topic *t)
{
	if (t->sticky_turn != b->turn) {
		t->sticky_turn = b->turn;
		t->sticky = (t->sticky + 1) % t->facts->spec.partition_count;
	}
	return t->sticky;
}

static uint32_t partition_for(struct broker *b, struct topic *t, const struct record *r)
{
	uint32_t partition_count = t->facts->spec.partition_count;

	if (partition_count == 1)
		return 0;
	return r->key.ptr ? partition_for_key(r->key, partition_count) : sticky_partition(b, t);
}

/* Where all the records of one request go: its partition, or that of the first key. */
static uint32_t partition_for_all(const struct produce *p, struct topic *t,
                                  const struct record *records, uint32_t count)
{
	uint32_t first = 0;

	if (p->partition >= 0)
		return (uint32_t)p->partition;
	while (first + 1 < count && !records[first].key.ptr)
		first++;
	return partition_for(p->broker, t, &records[first]);
}

static void use_one_result(struct produce *p, uint32_t partition, uint32_t count)
{
	p->one = (struct produce_result){.partition = partition, .count = count, .offset = -1};
	p->results = &p->one;
	p->result_count = 1;
	p->part.produce = p;
	p->parts = &p->part;
	p->parts_left = 1;
}

static enum err append_to_one(struct produce *p, struct topic *t, const struct record *records,
                              uint32_t count)
{
	struct broker *b = p->broker;
	size_t bytes = records_bytes(records, count);
	uint32_t partition = partition_for_all(p, t, records, count);
	bool alone = p->expected_offset >= 0;
	struct turn_batch *tb;
	enum err err;

	err = check_bytes(p, bytes, t->facts->spec.settings.max_message_bytes);
	if (err)
		return err;
	if (alone && t->open[partition])
		turn_batch_send(t->open[partition], -1);
	err = turn_batch_open(b, t, partition, bytes, &tb);
	if (err)
		return err;
	use_one_result(p, partition, count);
	turn_batch_join(tb, &p->part);
	for (uint32_t i = 0; i < count; i++)
		turn_batch_add(tb, &records[i]);
	if (alone)
		turn_batch_send(tb, p->expected_offset);
	return OK;
}

/* --- several partitions ----------------------------------------------------------------------- */

/* Which record goes where; one allocation, gone when the call returns. */
struct split {
	struct split_row {
		size_t bytes;
		uint32_t count;
		uint32_t part_index;
	} * rows;               /* by partition */
	uint32_t *partition_of; /* by record */
	uint32_t used;          /* rows with records */
};

static bool split_init(struct split *s, struct broker *b, struct topic *t,
                       const struct record *records, uint32_t count)
{
	size_t rows_bytes = t->facts->spec.partition_count * sizeof(*s->rows);

	s->rows = calloc(1, rows_bytes + count * sizeof(*s->partition_of));
	if (!s->rows)
		return false;
	s->partition_of = (uint32_t *)(void *)((char *)s->rows + rows_bytes);
	s->used = 0;
	for (uint32_t i = 0; i < count; i++) {
		uint32_t partition = partition_for(b, t, &records[i]);
		struct split_row *row = &s->rows[partition];

		s->partition_of[i] = partition;
		s->used += row->count == 0;
		row->count++;
		row->bytes += record_encoded_bytes_max(&records[i]);
	}
	return true;
}

static bool use_results(struct produce *p, uint32_t count)
{
	struct produce_result *results;

	if (count == 1) {
		use_one_result(p, 0, 0);
		return true;
	}
	results = calloc(count, sizeof(*p->results) + sizeof(*p->parts));
	if (!results)
		return false;
	p->results = results;
	p->result_count = count;
	p->parts = (struct produce_part *)(void *)(results + count);
	p->parts_left = count;
	return true;
}

/* Nobody joins a batch before there is room in all of them. */
static enum err split_open(struct produce *p, struct topic *t, struct split *s)
{
	struct produce_part *part = p->parts;
	struct produce_result *result = p->results;
	enum err err;

	for (uint32_t i = 0; i < t->facts->spec.partition_count; i++) {
		struct split_row *row = &s->rows[i];

		if (row->count == 0)
			continue;
		err = turn_batch_open(p->broker, t, i, row->bytes, &part->batch);
		if (err)
			return err;
		*result = (struct produce_result){i, row->count, -1};
		row->part_index = (uint32_t)(part - p->parts);
		part->produce = p;
		part++;
		result++;
	}
	return OK;
}

static enum err split_check(struct produce *p, struct topic *t, const struct split *s)
{
	enum err err = OK;

	for (uint32_t i = 0; i < t->facts->spec.partition_count && !err; i++)
		err = check_bytes(p, s->rows[i].bytes, t->facts->spec.settings.max_message_bytes);
	return err;
}

static enum err append_to_several(struct produce *p, struct topic *t, const struct record *records,
                                  uint32_t count)
{
	struct split s;
	enum err err;

	if (!split_init(&s, p->broker, t, records, count))
		return ERR_NO_MEMORY;
	err = split_check(p, t, &s);
	if (err)
		goto free_split;
	if (!use_results(p, s.used)) {
		err = ERR_NO_MEMORY;
		goto free_split;
	}
	err = split_open(p, t, &s);
	if (err)
		goto free_results;
	for (uint32_t i = 0; i < s.used; i++)
		turn_batch_join(p->parts[i].batch, &p->parts[i]);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t part_index = s.rows[s.partition_of[i]].part_index;

		turn_batch_add(p->parts[part_index].batch, &records[i]);
	}
	free(s.rows);
	return OK;

free_results:
	broker_produce_fini(p);
free_split:
	free(s.rows);
	return err;
}

static enum err check_keys(struct produce *p, const struct topic *t, const struct record *records,
                           uint32_t count)
{
	if (!topic_is_compacted(&t->facts->spec.settings))
		return OK;
	for (uint32_t i = 0; i < count; i++) {
		if (!records[i].key.ptr)
			return fault_set(&p->fault, ERR_KEY_REQUIRED, 0,
			                 "event %u of %u; cleanup.policy of '%s' has 'compact'",
			                 i + 1, count, t->facts->spec.name);
	}
	return OK;
}

static enum err append_to(struct produce *p, struct topic *t, const struct record *records,
                          uint32_t count)
{
	uint32_t partition_count = t->facts->spec.partition_count;
	enum err err = check_request(p, partition_count);

	if (!err)
		err = check_keys(p, t, records, count);
	if (err)
		return err;
	if (goes_to_one_partition(p, count, partition_count))
		return append_to_one(p, t, records, count);
	return append_to_several(p, t, records, count);
}

/* --- a topic that is not there yet ------------------------------------------------------------ */

static struct slice copy_slice(uint8_t **at, struct slice s)
{
	struct slice copy = {s.ptr ? *at : NULL, s.len};

	if (s.len)
		memcpy(*at, s.ptr, s.len);
	*at += s.len;
	return copy;
}

enum err produce_copy_new(struct broker *b, const struct record *records, uint32_t count,
                          struct produce_copy **out)
{
	size_t bytes = sizeof(struct produce_copy) + count * sizeof(*records);
	struct produce_copy *copy;
	uint8_t *at;

	if (b->copied_bytes > COPIED_BYTES_MAX)
		return ERR_BUSY;
	for (uint32_t i = 0; i < count; i++)
		bytes += records[i].key.len + records[i].value.len + records[i].headers.len;
	copy = malloc(bytes);
	if (!copy)
		return ERR_NO_MEMORY;
	copy->bytes = bytes;
	copy->count = count;
	at = (uint8_t *)(copy->records + count);
	for (uint32_t i = 0; i < count; i++) {
		struct record *r = &copy->records[i];

		*r = records[i];
		r->key = copy_slice(&at, records[i].key);
		r->value = copy_slice(&at, records[i].value);
		r->headers = copy_slice(&at, records[i].headers);
	}
	b->copied_bytes += bytes;
	*out = copy;
	return OK;
}

void produce_copy_free(struct broker *b, struct produce_copy *copy)
{
	b->copied_bytes -= copy->bytes;
	free(copy);
}

static void copy_drop(struct produce *p)
{
	produce_copy_free(p->broker, p->copy);
	p->copy = NULL;
}

void produce_topic_appeared(struct produce *p, struct topic *t)
{
	enum err err = append_to(p, t, p->copy->records, p->copy->count);

	copy_drop(p);
	if (err)
		produce_finish(p, err);
}

void produce_topic_failed(struct produce *p, const struct fault *fault)
{
	copy_drop(p);
	p->fault = *fault;
	produce_finish(p, fault->code);
}

/* What the defaults of a new topic would refuse must not leave the topic behind. */
static enum err check_for_new_topic(struct produce *p, const struct record *records, uint32_t count)
{
	struct broker *b = p->broker;
	uint32_t partition_count = b->group->config.default_partitions;
	enum err err;

	err = topic_name_check(p->topic, &p->fault);
	if (err)
		return err;
	if (!b->group->config.auto_create)
		return fault_set(&p->fault, ERR_TOPIC_UNKNOWN, 0, "'%.*s'", SLICE_FMT(p->topic));
	err = broker_authorize(p->caller, OPERATION_TOPIC_CREATE, p->topic);
	if (err)
		return err;
	err = check_request(p, partition_count);
	if (err)
		return err;
	if (!goes_to_one_partition(p, count, partition_count))
		return OK;
	return check_bytes(p, records_bytes(records, count),
	                   broker_default_settings(b).max_message_bytes);
}

static enum err wait_for_topic(struct produce *p, const struct record *records, uint32_t count)
{
	struct broker *b = p->broker;
	enum err err = check_for_new_topic(p, records, count);
	struct topic_wait *w;

	if (err)
		return err;
	err = produce_copy_new(b, records, count, &p->copy);
	if (err)
		return err;
	w = topic_wait_get(b, p->topic);
	if (!w) {
		copy_drop(p);
		return ERR_NO_MEMORY;
	}
	list_append(&w->produces, &p->node);
	topic_wait_create(w, p->caller);
	return OK;
}

/* --- the call --------------------------------------------------------------------------------- */

static void produce_begin(struct produce *p)
{
	shard_begin(p->broker);
	p->fault.code = OK;
	p->fault.os_errno = 0;
	p->fault.where[0] = '\0';
	p->durability = DURABILITY_COMMIT;
	p->node = (struct list){0};
	p->results = &p->one;
	p->result_count = 0;
	p->dropped_count = 0;
	p->copy = NULL;
}

enum err produce_store(struct produce *p, const struct record *records, uint32_t count)
{
	struct topic *t = topics_find(&p->broker->topics, p->topic);

	return t ? append_to(p, t, records, count) : wait_for_topic(p, records, count);
}

/* When the shard drains, or has hooks: neither costs those anything who have none. */
static void produce_specially(struct produce *p, const struct record *records, uint32_t count)
{
	struct broker *b = p->broker;
	enum err err = b->draining ? ERR_SHUTTING_DOWN
	                           : broker_authorize(p->caller, OPERATION_PRODUCE, p->topic);

	if (err)
		produce_finish(p, err);
	else
		produce_hooks(p, records, count);
}

void broker_produce(struct produce *p, const struct record *records, uint32_t count)
{
	struct broker *b = p->broker;
	struct topic *t;
	enum err err;

	CHECK(count > 0);
	produce_begin(p);
	if (b->produce_is_special) {
		produce_specially(p, records, count);
		return;
	}
	err = broker_authorize(p->caller, OPERATION_PRODUCE, p->topic);
	if (!err) {
		t = topics_find(&b->topics, p->topic);
		err = t ? append_to(p, t, records, count) : wait_for_topic(p, records, count);
	}
	if (err)
		produce_finish(p, err);
}
