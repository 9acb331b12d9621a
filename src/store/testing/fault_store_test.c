#include "store/testing/fault_store.h"

#include "base/test.h"
#include "store/testing/remote_sim.h"
#include "store/testing/store_rig.h"

#include <stdlib.h>

enum { BATCH_LIMIT = 1 << 16, APPENDS = 10 };

static int open_rig(void **state)
{
	struct store_rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	rig_open(r, &store_remote_sim, 1, true, 1);
	*state = r;
	return 0;
}

static int close_rig(void **state)
{
	rig_close(*state);
	free(*state);
	return 0;
}

/* Ten appends given at once; the code and place of each completion. */
struct burst {
	struct buf batch;
	struct one {
		struct store_append op;
		struct burst *of;
		unsigned place;
	} appends[APPENDS];
	unsigned completed;
	bool all;
};

static void one_done(struct store_append *a)
{
	struct one *one = CONTAINER_OF(a, struct one, op);

	one->place = ++one->of->completed;
	one->of->all = one->of->completed == APPENDS;
}

static void burst_run(struct store_rig *r, struct burst *b, struct store_partition *p)
{
	struct slice batch = rig_batch(&b->batch, "v", NULL, 1);

	for (unsigned i = 0; i < APPENDS; i++) {
		struct one *one = &b->appends[i];

		one->of = b;
		one->op = (struct store_append){
			.partition = p, .batches = batch, .expected_offset = -1, .done = one_done};
		r->store->ops->append(&one->op);
		assert_int_equal(one->place, 0);
	}
	assert_true(rig_run(r, &b->all));
	buf_fini(&b->batch);
}

static size_t records_in(struct store_rig *r, struct store_partition *p)
{
	struct slice batches;
	struct shared *holder;
	struct batch b;
	size_t count = 0;

	assert_int_equal(rig_read(r, p, 0, 1 << 20, &batches, &holder), OK);
	for (struct slice rest = batches; rest.len;) {
		assert_int_equal(batch_parse(rest, &b, NULL), OK);
		count += b.attributes & BATCH_CONTROL ? 0 : b.record_count;
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	if (holder)
		shared_put(holder);
	return count;
}

static void check_one_fails(struct store_rig *r, enum fault_effect effect, size_t records)
{
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	struct burst b = {.batch = BUF_INIT(BATCH_LIMIT)};

	fault_store_arm(r->faults, STORE_APPEND, 4, ERR_DISK_FULL, effect, false);
	burst_run(r, &b, p);
	for (unsigned i = 0; i < APPENDS; i++) {
		assert_int_equal(b.appends[i].place, i + 1);
		assert_int_equal(b.appends[i].op.fault.code, i == 3 ? ERR_DISK_FULL : OK);
	}
	assert_int_equal(fault_store_injected(r->faults, STORE_APPEND), 1);
	assert_int_equal(records_in(r, p), records);
}

TEST(fault_store__before__the_append_never_happens_and_order_holds)
{
	check_one_fails(*state, FAULT_BEFORE, APPENDS - 1);
}

TEST(fault_store__after__the_append_is_there_all_the_same)
{
	check_one_fails(*state, FAULT_AFTER, APPENDS);
}

TEST(fault_store__sticky_until_disarmed)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	struct burst b = {.batch = BUF_INIT(BATCH_LIMIT)};
	struct burst again = {.batch = BUF_INIT(BATCH_LIMIT)};

	fault_store_arm(r->faults, STORE_APPEND, 3, ERR_IO, FAULT_BEFORE, true);
	burst_run(r, &b, p);
	for (unsigned i = 0; i < APPENDS; i++)
		assert_int_equal(b.appends[i].op.fault.code, i < 2 ? OK : ERR_IO);
	fault_store_disarm(r->faults, STORE_APPEND);
	burst_run(r, &again, p);
	for (unsigned i = 0; i < APPENDS; i++)
		assert_int_equal(again.appends[i].op.fault.code, OK);
}

TEST(fault_store__each_other_operation_fails_once)
{
	struct store_rig *r = *state;
	const struct store_topic *topic = rig_topic(r, "t", 1);
	struct store_partition *p = topic->partitions[0];
	struct topic_spec spec = rig_spec(r, "u", 1);
	struct slice batches;
	struct shared *holder;
	const struct store_topic *created;
	int64_t offset;

	for (enum store_call call = STORE_READ; call < STORE_CALL_COUNT; call++)
		fault_store_arm(r->faults, call, 1, ERR_IO, FAULT_BEFORE, false);
	assert_int_equal(rig_read(r, p, 0, 1, &batches, &holder), ERR_IO);
	assert_int_equal(rig_read(r, p, 0, 1, &batches, &holder), OK);
	assert_int_equal(rig_lookup(r, p, 0, &offset), ERR_IO);
	assert_int_equal(rig_lookup(r, p, 0, &offset), OK);
	assert_int_equal(rig_trim(r, p, 0), ERR_IO);
	assert_int_equal(rig_trim(r, p, 0), OK);
	assert_int_equal(rig_create(r, &spec, &created, NULL), ERR_IO);
	assert_int_equal(rig_create(r, &spec, &created, NULL), OK);
	spec.partition_count = 3;
	assert_int_equal(rig_alter(r, &spec, NULL, NULL), ERR_IO);
	assert_int_equal(created->spec.partition_count, 1);
	assert_int_equal(rig_alter(r, &spec, &created, NULL), OK);
	assert_int_equal(created->spec.partition_count, 3);
	assert_int_equal(rig_delete(r, topic, NULL), ERR_IO);
	assert_int_equal(rig_delete(r, topic, NULL), OK);
}

TEST(fault_store__after__a_topic_operation_has_happened)
{
	struct store_rig *r = *state;
	struct topic_spec spec = rig_spec(r, "t", 1);
	struct fault f;
	const struct store_topic *topic;

	fault_store_arm(r->faults, STORE_TOPIC_CREATE, 1, ERR_IO, FAULT_AFTER, false);
	assert_int_equal(rig_create(r, &spec, &topic, &f), ERR_IO);
	assert_string_equal(f.where, "injected");
	assert_int_equal(rig_create(r, &spec, &topic, NULL), ERR_TOPIC_EXISTS);
	topic = rig_find(r, "t");
	fault_store_arm(r->faults, STORE_TRIM, 1, ERR_IO, FAULT_AFTER, false);
	assert_int_equal(rig_trim(r, topic->partitions[0], -1), ERR_IO);
	fault_store_arm(r->faults, STORE_TOPIC_DELETE, 1, ERR_IO, FAULT_AFTER, false);
	assert_int_equal(rig_delete(r, topic, NULL), ERR_IO);
	assert_null(rig_find(r, "t"));
}

int main(void)
{
#define ON_RIG(test) cmocka_unit_test_setup_teardown(test, open_rig, close_rig)
	const struct CMUnitTest tests[] = {
		ON_RIG(fault_store__before__the_append_never_happens_and_order_holds),
		ON_RIG(fault_store__after__the_append_is_there_all_the_same),
		ON_RIG(fault_store__sticky_until_disarmed),
		ON_RIG(fault_store__each_other_operation_fails_once),
		ON_RIG(fault_store__after__a_topic_operation_has_happened),
	};
#undef ON_RIG

	return cmocka_run_group_tests(tests, NULL, NULL);
}
