#include "broker/produce.h"

#include "base/test.h"
#include "broker/shard.h"
#include "broker/testing/broker_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static void start(struct fixture *f, struct fixture_options options)
{
	fixture_start(f, &options);
}

/* All of a topic as a fresh reader on shard 0 sees it. */
static void read_all(struct fixture *f, const char *topic, struct ear_notes *notes)
{
	struct ear *l = malloc(sizeof(*l));

	ear_init(l, f, 0, topic);
	l->options.follow = false;
	ear_open(l);
	ear_await_caught_up(l, notes);
	ear_close(l);
	free(l);
}

static struct ear_notes notes; /* too large for the stack; the last read_all */

TEST(produce__first_event_creates_the_topic)
{
	struct fixture f;

	start(&f, (struct fixture_options){0});
	assert_int_equal(produce_one(&f, 0, "t", "a"), 0);
	assert_int_equal(produce_one(&f, 0, "t", "b"), 1);
	read_all(&f, "t", &notes);
	assert_string_equal(notes.text, "0@0=a 0@1=b ");
	assert_int_equal(fixture_metric(&f, METRIC_EVENTS_IN), 2);
	assert_int_equal(fixture_metric(&f, METRIC_TOPICS), 1);
	fixture_stop(&f);
}

static enum err produce_code(struct fixture *f, const char *topic, int32_t partition,
                             int64_t expected, const char *value)
{
	struct produced p;
	enum err err;

	produced_init(&p, f, 0, topic, value);
	p.produce.partition = partition;
	p.produce.expected_offset = expected;
	produced_start(&p);
	err = produced_wait(&p);
	broker_produce_fini(&p.produce);
	return err;
}

TEST(produce__refusals_name_their_reason)
{
	struct fixture f;

	start(&f, (struct fixture_options){.no_auto_create = true});
	create_topic(&f, "t", 3);
	assert_int_equal(produce_code(&f, "other", -1, -1, "x"), ERR_TOPIC_UNKNOWN);
	assert_int_equal(produce_code(&f, "a/b", -1, -1, "x"), ERR_BAD_TOPIC);
	assert_int_equal(produce_code(&f, "t", 3, -1, "x"), ERR_PARTITION_UNKNOWN);
	assert_int_equal(produce_code(&f, "t", -1, 0, "x"), ERR_PARTITION_REQUIRED);
	assert_int_equal(produce_code(&f, "t", 2, 1, "x"), ERR_OFFSET_MISMATCH);
	assert_int_equal(produce_code(&f, "t", 2, 0, "x"), OK);
	fixture_stop(&f);
}

TEST(produce__too_large_is_refused_before_anything_is_appended_or_created)
{
	struct fixture f;
	size_t len = BATCH_BYTES_MAX_DEFAULT;
	char *large = malloc(len + 1);

	memset(large, 'x', len);
	large[len] = '\0';
	start(&f, (struct fixture_options){0});
	assert_int_equal(produce_code(&f, "t", -1, -1, large), ERR_TOO_LARGE);
	assert_int_equal(fixture_metric(&f, METRIC_TOPICS), 0);
	produce_one(&f, 0, "t", "a");
	assert_int_equal(produce_code(&f, "t", -1, -1, large), ERR_TOO_LARGE);
	large[EVENT_BYTES_MAX] = '\0';
	assert_int_equal(produce_code(&f, "t", -1, -1, large), OK);
	assert_int_equal(produce_one(&f, 0, "t", "b"), 2);
	fixture_stop(&f);
	free(large);
}

enum { MANY = 200 };

static void start_many(struct broker *b, void *arg)
{
	struct produced *ps = arg;

	(void)b;
	for (int i = 0; i < MANY; i++)
		produced_start_here(&ps[i]);
}

TEST(produce__events_of_one_turn_share_a_batch)
{
	struct fixture f;
	struct produced *ps = calloc(MANY, sizeof(*ps));

	start(&f, (struct fixture_options){0});
	produce_one(&f, 0, "t", "first");
	for (int i = 0; i < MANY; i++)
		produced_init(&ps[i], &f, 0, "t", "x");
	fixture_on(&f, 0, start_many, ps);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(produced_wait(&ps[i]), OK);
		assert_int_equal(ps[i].produce.one.offset, 1 + i);
		assert_int_equal(ps[i].produce.one.count, 1);
	}
	assert_int_equal(plain_store_knobs(f.store, 0)->appends, 2);
	fixture_stop(&f);
	free(ps);
}

TEST(produce__a_full_batch_is_sent_and_the_order_stays)
{
	struct fixture f;
	struct produced *ps = calloc(MANY, sizeof(*ps));
	char value[1001] = "";

	memset(value, 'v', sizeof(value) - 1);
	start(&f, (struct fixture_options){.shards = 2});
	for (int i = 0; i < MANY; i++)
		produced_init(&ps[i], &f, 1, "t", value);
	fixture_on(&f, 1, start_many, ps);
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(produced_wait(&ps[i]), OK);
		assert_int_equal(ps[i].produce.one.offset, i);
	}
	read_all(&f, "t", &notes);
	assert_int_equal(notes.events, MANY);
	fixture_stop(&f);
	free(ps);
}

TEST(produce__keys_choose_partitions_and_results_are_by_partition)
{
	struct fixture f;
	struct produced p;
	uint32_t records = 0;

	start(&f, (struct fixture_options){.shards = 2, .partitions = 4});
	produced_init(&p, &f, 0, "t", "0");
	p.count = 8;
	for (uint32_t i = 0; i < p.count; i++) {
		static const char *const keys[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

		p.events[i] = (struct event){keys[i], keys[i]};
	}
	produced_start(&p);
	assert_int_equal(produced_wait(&p), OK);
	assert_true(p.produce.result_count > 1);
	for (uint32_t i = 0; i < p.produce.result_count; i++) {
		assert_int_equal(p.produce.results[i].offset, 0);
		assert_true(i == 0 ||
		            p.produce.results[i - 1].partition < p.produce.results[i].partition);
		records += p.produce.results[i].count;
	}
	assert_int_equal(records, 8);
	broker_produce_fini(&p.produce);
	read_all(&f, "t", &notes);
	for (uint32_t i = 0; i < 8; i++) {
		char key[] = {(char)('a' + i), '\0'};
		char wanted[32];

		snprintf(wanted, sizeof(wanted), "=%s ", key);
		assert_non_null(strstr(notes.text, wanted));
	}
	assert_int_equal(notes.events, 8);
	fixture_stop(&f);
}

TEST(produce__atomic_events_go_where_the_first_key_goes)
{
	struct fixture f;
	struct produced p;

	start(&f, (struct fixture_options){.partitions = 4});
	produced_init(&p, &f, 0, "t", "0");
	p.produce.atomic = true;
	p.count = 3;
	p.events[1] = (struct event){"k", "1"};
	p.events[2] = (struct event){"other", "2"};
	produced_start(&p);
	assert_int_equal(produced_wait(&p), OK);
	assert_int_equal(p.produce.result_count, 1);
	assert_int_equal(p.produce.one.count, 3);
	assert_int_equal(p.produce.one.partition, partition_for_key(SLICE_LIT("k"), 4));
	fixture_stop(&f);
}

TEST(produce__events_without_key_take_turns_between_partitions)
{
	struct fixture f;
	struct produced p;
	bool used[4] = {false};

	start(&f, (struct fixture_options){.partitions = 4});
	for (int i = 0; i < 4; i++) {
		produced_init(&p, &f, 0, "t", "x");
		produced_start(&p);
		assert_int_equal(produced_wait(&p), OK);
		used[p.produce.one.partition] = true;
	}
	assert_true(used[0] && used[1] && used[2] && used[3]);
	fixture_stop(&f);
}

/* Both shards find the topic missing at the same time; every event is stored once, in the order of
 * its shard. */
TEST(produce__racing_creations_make_one_topic)
{
	struct fixture f;
	struct produced *ps = calloc(MANY, sizeof(*ps));

	start(&f, (struct fixture_options){.shards = 2});
	for (int i = 0; i < MANY; i++) {
		produced_init(&ps[i], &f, (unsigned)i % 2, "t", i % 2 ? "odd" : "even");
		produced_start(&ps[i]);
	}
	for (int i = 0; i < MANY; i++) {
		assert_int_equal(produced_wait(&ps[i]), OK);
		assert_true(i < 2 || ps[i].produce.one.offset > ps[i - 2].produce.one.offset);
	}
	read_all(&f, "t", &notes);
	assert_int_equal(notes.events, MANY);
	assert_int_equal(fixture_metric(&f, METRIC_TOPICS), 1);
	fixture_stop(&f);
	free(ps);
}

TEST(produce__copies_made_while_a_topic_is_created_are_given_back)
{
	struct fixture f;
	char *value = malloc(EVENT_BYTES_MAX + 1);
	char topic[16];

	memset(value, 'x', EVENT_BYTES_MAX);
	value[EVENT_BYTES_MAX] = '\0';
	start(&f, (struct fixture_options){0});
	for (int i = 0; i < 40; i++) { /* more than may be held at once */
		snprintf(topic, sizeof(topic), "t%d", i);
		assert_int_equal(produce_one(&f, 0, topic, value), 0);
	}
	fixture_stop(&f);
	free(value);
}

static void start_three(struct broker *b, void *arg)
{
	struct produced *ps = arg;

	(void)b;
	for (int i = 0; i < 3; i++)
		produced_start_here(&ps[i]);
}

TEST(produce__expected_offset_comes_after_what_was_asked_before)
{
	struct fixture f;
	struct produced ps[3];

	start(&f, (struct fixture_options){0});
	assert_int_equal(produce_one(&f, 0, "t", "x"), 0);
	for (int i = 0; i < 3; i++)
		produced_init(&ps[i], &f, 0, "t", "x");
	ps[1].produce.expected_offset = 2;
	fixture_on(&f, 0, start_three, ps);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(produced_wait(&ps[i]), OK);
		assert_int_equal(ps[i].produce.one.offset, 1 + i);
	}
	fixture_stop(&f);
}

static void fail_topic_ops(struct broker *b, void *arg)
{
	enum err *err = arg;

	plain_store_knobs(b->group->config.store, 0)->topic_op_fails = *err;
}

TEST(produce__a_creation_that_fails_fails_all_who_wait)
{
	struct fixture f;
	struct produced ps[3];
	enum err full = ERR_DISK_FULL;
	enum err none = OK;

	start(&f, (struct fixture_options){.shards = 2});
	fixture_on(&f, 0, fail_topic_ops, &full);
	for (int i = 0; i < 3; i++) {
		produced_init(&ps[i], &f, 1, "t", "x");
		produced_start(&ps[i]);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(produced_wait(&ps[i]), ERR_DISK_FULL);
	fixture_on(&f, 0, fail_topic_ops, &none);
	assert_int_equal(produce_one(&f, 1, "t", "x"), 0);
	fixture_stop(&f);
}

static void fail_appends(struct broker *b, void *arg)
{
	plain_store_knobs(b->group->config.store, b->index)->append_fails = *(enum err *)arg;
}

TEST(produce__a_failed_append_fails_its_requests)
{
	struct fixture f;
	enum err io = ERR_IO;

	start(&f, (struct fixture_options){0});
	produce_one(&f, 0, "t", "a");
	fixture_on(&f, 0, fail_appends, &io);
	assert_int_equal(produce_code(&f, "t", -1, -1, "b"), ERR_IO);
	assert_int_equal(fixture_metric(&f, METRIC_EVENTS_IN), 1);
	fixture_stop(&f);
}

static void hold_appends(struct broker *b, void *arg)
{
	(void)arg;
	plain_store_knobs(b->group->config.store, b->index)->hold_appends = true;
}

static void release_appends(struct broker *b, void *arg)
{
	(void)arg;
	plain_store_release(b->group->config.store, b->index);
}

static void ask_credits(struct broker *b, void *arg)
{
	*(bool *)arg = broker_room(b, &(struct caller){.peer = ""}) == BROKER_HAS_ROOM;
}

/* Any partition of shard 1 will do. */
static int32_t partition_on_shard_1(struct fixture *f, const char *topic, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		if (partition_of(f, topic, i)->shard == 1)
			return (int32_t)i;
	}
	fail_msg("no partition of %u on shard 1", count);
	return -1;
}

TEST(produce__without_credits_it_is_busy_and_they_come_back)
{
	enum { CREDITS = 8 };
	struct fixture f;
	struct produced ps[CREDITS];
	int32_t partition;
	bool has;

	start(&f, (struct fixture_options){.shards = 2, .credits = CREDITS});
	create_topic(&f, "t", 64);
	partition = partition_on_shard_1(&f, "t", 64);
	fixture_on(&f, 1, hold_appends, NULL);
	for (int i = 0; i < CREDITS; i++) {
		produced_init(&ps[i], &f, 0, "t", "x");
		ps[i].produce.partition = partition;
		ps[i].produce.expected_offset = i; /* a batch, so a message, of its own */
		produced_start(&ps[i]);
	}
	assert_int_equal(produce_code(&f, "t", partition, -1, "y"), ERR_BUSY);
	fixture_on(&f, 0, ask_credits, &has);
	assert_false(has);
	fixture_on(&f, 1, release_appends, NULL);
	for (int i = 0; i < CREDITS; i++)
		assert_int_equal(produced_wait(&ps[i]), OK);
	fixture_on(&f, 0, ask_credits, &has);
	assert_true(has);
	assert_int_equal(produce_code(&f, "t", partition, -1, "y"), OK);
	fixture_stop(&f);
}

static void set_flag(void *arg)
{
	*(bool *)arg = true;
}

TEST(drain__waits_for_what_is_under_way_and_refuses_the_rest)
{
	struct fixture f;
	struct produced held;
	bool drained = false;
	bool has;

	start(&f, (struct fixture_options){.shards = 2});
	produce_one(&f, 1, "t", "a");
	fixture_on(&f, 0, hold_appends, NULL);
	fixture_on(&f, 1, hold_appends, NULL);
	produced_init(&held, &f, 1, "t", "b");
	produced_start(&held);
	broker_group_drain(f.group, set_flag, &drained);
	for (int i = 0; i < 10; i++)
		fixture_on(&f, 1, ask_credits, &has); /* round trips that a drain would need */
	assert_false(drained);
	assert_int_equal(produce_code(&f, "t", -1, -1, "c"), ERR_SHUTTING_DOWN);
	fixture_on(&f, 0, release_appends, NULL);
	fixture_on(&f, 1, release_appends, NULL);
	assert_int_equal(produced_wait(&held), OK);
	assert_true(loop_run_until(f.loops[0], &drained, 20000));
	assert_int_equal(administer(&f, 1, ADMIN_TOPIC_DELETE, "t"), ERR_SHUTTING_DOWN);
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(produce__first_event_creates_the_topic),
		cmocka_unit_test(produce__refusals_name_their_reason),
		cmocka_unit_test(
			produce__too_large_is_refused_before_anything_is_appended_or_created),
		cmocka_unit_test(produce__events_of_one_turn_share_a_batch),
		cmocka_unit_test(produce__a_full_batch_is_sent_and_the_order_stays),
		cmocka_unit_test(produce__keys_choose_partitions_and_results_are_by_partition),
		cmocka_unit_test(produce__atomic_events_go_where_the_first_key_goes),
		cmocka_unit_test(produce__events_without_key_take_turns_between_partitions),
		cmocka_unit_test(produce__racing_creations_make_one_topic),
		cmocka_unit_test(produce__copies_made_while_a_topic_is_created_are_given_back),
		cmocka_unit_test(produce__expected_offset_comes_after_what_was_asked_before),
		cmocka_unit_test(produce__a_creation_that_fails_fails_all_who_wait),
		cmocka_unit_test(produce__a_failed_append_fails_its_requests),
		cmocka_unit_test(produce__without_credits_it_is_busy_and_they_come_back),
		cmocka_unit_test(drain__waits_for_what_is_under_way_and_refuses_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
