#include "broker/append.h"

#include "base/test.h"
#include "broker/shard.h"
#include "broker/testing/broker_fixture.h"

#include <stdlib.h>

enum { LIMIT = 1 << 20 };

struct appended {
	struct append append;
	struct fixture *fixture;
	struct signal done;
};

static void append_done(struct append *a)
{
	struct appended *x = CONTAINER_OF(a, struct appended, append);

	signal_raise(x->fixture, &x->done);
}

static void append_start(struct broker *b, void *arg)
{
	struct appended *x = arg;

	x->append.broker = b;
	broker_append(&x->append);
}

static void appended_init(struct appended *x, struct fixture *f, const char *topic,
                          int64_t expected_offset)
{
	*x = (struct appended){.fixture = f};
	x->append.caller = &f->caller;
	x->append.topic = slice_str(topic);
	x->append.partition = -1;
	x->append.expected_offset = expected_offset;
	x->append.timestamp_max = 1000;
	x->append.batches = BUF_INIT(LIMIT);
	x->append.done = append_done;
}

/* One more batch: `skip` offsets, then a record for each letter. */
static void add_batch(struct appended *x, uint32_t skip, const char *letters)
{
	struct batch_builder b;

	batch_begin(&b, &x->append.batches);
	b.base_timestamp = b.max_timestamp = 5;
	batch_skip(&b, skip);
	for (const char *at = letters; *at; at++)
		batch_add(&b, &(struct record){.timestamp = 5, .value = slice_of(at, 1)});
	assert_non_null(batch_finish(&b).ptr);
}

static enum err append_on(struct appended *x, unsigned shard)
{
	fixture_on(x->fixture, shard, append_start, x);
	signal_wait(x->fixture, &x->done);
	return x->append.fault.code;
}

static struct ear_notes notes; /* too large for the stack */

static const char *all_of(struct fixture *f, const char *topic)
{
	struct ear *ear = malloc(sizeof(*ear));

	ear_init(ear, f, 0, topic);
	ear->options.follow = false;
	ear_open(ear);
	ear_await_caught_up(ear, &notes);
	ear_close(ear);
	free(ear);
	return notes.text;
}

static void check_appends(unsigned shards)
{
	struct fixture f;

	fixture_start(&f, &(struct fixture_options){.shards = shards});
	create_topic(&f, "t", 1);
	for (unsigned shard = 0; shard < shards; shard++) {
		struct appended x;

		appended_init(&x, &f, "t", 8 * shard);
		add_batch(&x, 2, "ab");
		add_batch(&x, 3, "");
		add_batch(&x, 0, "c");
		assert_int_equal(append_on(&x, shard), OK);
		assert_int_equal(x.append.next_offset, 8 * shard + 8);
		assert_int_equal(x.append.event_count, 3);
		broker_append_fini(&x.append);
	}
	assert_string_equal(all_of(&f, "t"), shards == 1
	                                             ? "0@2=a 0@3=b 0@7=c "
	                                             : "0@2=a 0@3=b 0@7=c 0@10=a 0@11=b 0@15=c ");
	assert_int_equal(fixture_metric(&f, METRIC_EVENTS_IN), 3 * shards);
	fixture_stop(&f);
}

TEST(append__keeps_gaps)
{
	check_appends(1);
}

TEST(append__goes_to_whichever_shard_owns_the_partition)
{
	check_appends(2);
}

/* Of [0..2) [2..3) at 2, the second batch would fit, as the log ends at 3. */
TEST(append__what_comes_after_a_batch_that_was_refused_is_not_stored)
{
	struct fixture f;
	struct appended x;

	fixture_start(&f, &(struct fixture_options){0});
	produce_one(&f, 0, "t", "0");
	produce_one(&f, 0, "t", "1");
	produce_one(&f, 0, "t", "2");
	appended_init(&x, &f, "t", 1);
	add_batch(&x, 0, "ab");
	add_batch(&x, 0, "c");
	assert_int_equal(append_on(&x, 0), ERR_OFFSET_MISMATCH);
	assert_int_equal(x.append.next_offset, 1);
	broker_append_fini(&x.append);
	assert_string_equal(all_of(&f, "t"), "0@0=0 0@1=1 0@2=2 ");
	fixture_stop(&f);
}

static enum err refused(struct fixture *f, const char *topic, int32_t partition, const char *damage)
{
	struct appended x;
	enum err err;

	appended_init(&x, f, topic, 0);
	x.append.partition = partition;
	if (strcmp(damage, "none at all") != 0) {
		add_batch(&x, 0, "ab");
		add_batch(&x, 0, "c");
	}
	if (strcmp(damage, "cut off") == 0)
		x.append.batches.len--;
	if (strcmp(damage, "flipped") == 0)
		x.append.batches.ptr[x.append.batches.len - 1] ^= 1;
	if (strcmp(damage, "late") == 0)
		x.append.timestamp_max = 4;
	err = append_on(&x, 0);
	broker_append_fini(&x.append);
	return err;
}

TEST(append__refusals_name_their_reason_and_store_nothing)
{
	struct fixture f;

	fixture_start(&f, &(struct fixture_options){0});
	create_topic(&f, "one", 1);
	create_topic(&f, "two", 2);
	assert_int_equal(refused(&f, "none", 0, ""), ERR_TOPIC_UNKNOWN);
	assert_int_equal(refused(&f, "a/b", 0, ""), ERR_BAD_TOPIC);
	assert_int_equal(refused(&f, "two", -1, ""), ERR_PARTITION_REQUIRED);
	assert_int_equal(refused(&f, "two", 2, ""), ERR_PARTITION_UNKNOWN);
	assert_int_equal(refused(&f, "one", -1, "none at all"), ERR_BAD_REQUEST);
	assert_int_equal(refused(&f, "one", -1, "cut off"), ERR_BAD_RECORD);
	assert_int_equal(refused(&f, "one", -1, "flipped"), ERR_BAD_RECORD);
	assert_int_equal(refused(&f, "one", -1, "late"), ERR_BAD_TIMESTAMP);
	assert_string_equal(all_of(&f, "one"), "");
	assert_int_equal(refused(&f, "one", -1, ""), OK);
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(append__keeps_gaps),
		cmocka_unit_test(append__goes_to_whichever_shard_owns_the_partition),
		cmocka_unit_test(append__what_comes_after_a_batch_that_was_refused_is_not_stored),
		cmocka_unit_test(append__refusals_name_their_reason_and_store_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
