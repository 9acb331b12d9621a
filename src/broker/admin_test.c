#include "broker/admin.h"

#include "base/test.h"
#include "broker/testing/broker_fixture.h"

#include <stdlib.h>

static struct fixture f;
static struct ear l; /* both are large */
static struct ear_notes notes;

static void start(struct fixture_options options)
{
	fixture_start(&f, &options);
}

TEST(create__again_is_fine_with_the_same_and_refused_with_other_settings)
{
	struct administered a;

	start((struct fixture_options){.shards = 2});
	create_topic(&f, "t", 3);
	administered_init(&a, &f, 1, ADMIN_TOPIC_CREATE, "t");
	administered_start(&a);
	assert_int_equal(administered_wait(&a), OK);
	assert_false(a.admin.created);
	assert_int_equal(a.admin.topic.spec.partition_count, 3);
	broker_admin_fini(&a.admin);
	a.admin.partition_count = 4;
	administered_start(&a);
	assert_int_equal(administered_wait(&a), ERR_TOPIC_EXISTS);
	a.admin.partition_count = 3;
	a.admin.settings.retention_ms = 5;
	administered_start(&a);
	assert_int_equal(administered_wait(&a), ERR_TOPIC_EXISTS);
	fixture_stop(&f);
}

TEST(create__refusals)
{
	struct administered a;

	start((struct fixture_options){0});
	assert_int_equal(administer(&f, 0, ADMIN_TOPIC_CREATE, ".."), ERR_BAD_TOPIC);
	administered_init(&a, &f, 0, ADMIN_TOPIC_CREATE, "t");
	a.admin.partition_count = TOPIC_PARTITIONS_MAX + 1;
	administered_start(&a);
	assert_int_equal(administered_wait(&a), ERR_BAD_SETTING);
	assert_int_equal(administer(&f, 0, ADMIN_TOPIC_DESCRIBE, "t"), ERR_TOPIC_UNKNOWN);
	assert_int_equal(administer(&f, 0, ADMIN_TOPIC_DELETE, "t"), ERR_TOPIC_UNKNOWN);
	fixture_stop(&f);
}

TEST(describe__gathers_from_all_shards)
{
	struct administered a;
	struct produced p;
	bool seen[3] = {false};

	start((struct fixture_options){.shards = 3});
	create_topic(&f, "t", 16);
	for (int i = 0; i < 16; i++) {
		produced_init(&p, &f, 0, "t", "x");
		p.produce.partition = i;
		produced_start(&p);
		assert_int_equal(produced_wait(&p), OK);
	}
	administered_init(&a, &f, 2, ADMIN_TOPIC_DESCRIBE, "t");
	administered_start(&a);
	assert_int_equal(administered_wait(&a), OK);
	for (uint32_t i = 0; i < 16; i++) {
		const struct partition_description *d = &a.admin.topic.partitions[i];

		assert_int_equal(d->partition, i);
		assert_int_equal(d->high_watermark, 1);
		assert_true(d->bytes > 0);
		assert_int_equal(d->earliest_ms, 1000);
		assert_int_equal(d->latest_ms, 1000);
		seen[d->shard] = true;
	}
	assert_true(seen[0] && seen[1] && seen[2]);
	broker_admin_fini(&a.admin);
	fixture_stop(&f);
}

static void describe_one(struct administered *a, const char *topic)
{
	administered_init(a, &f, 0, ADMIN_TOPIC_DESCRIBE, topic);
	administered_start(a);
	assert_int_equal(administered_wait(a), OK);
}

static void produce_three(const char *topic)
{
	struct produced p;

	produced_init(&p, &f, 0, topic, "x");
	p.events[1] = p.events[0];
	p.events[2] = p.events[0];
	p.count = 3;
	produced_start(&p);
	assert_int_equal(produced_wait(&p), OK);
}

TEST(describe__times_are_of_the_first_and_the_last_event_there_is)
{
	struct administered a, purge;

	start((struct fixture_options){.shards = 2});
	create_topic(&f, "t", 1);
	produce_three("t");
	describe_one(&a, "t");
	assert_int_equal(a.admin.topic.partitions[0].earliest_ms, 1000);
	assert_int_equal(a.admin.topic.partitions[0].latest_ms, 1002);
	broker_admin_fini(&a.admin);

	administered_init(&purge, &f, 0, ADMIN_TOPIC_PURGE, "t");
	purge.admin.upto = 1;
	administered_start(&purge);
	assert_int_equal(administered_wait(&purge), OK);
	assert_int_equal(purge.admin.topic.partitions[0].earliest_ms, 1001);
	broker_admin_fini(&purge.admin);

	assert_int_equal(administer(&f, 0, ADMIN_TOPIC_PURGE, "t"), OK);
	describe_one(&a, "t");
	assert_int_equal(a.admin.topic.partitions[0].earliest_ms, -1);
	assert_int_equal(a.admin.topic.partitions[0].latest_ms, -1);
	broker_admin_fini(&a.admin);
	fixture_stop(&f);
}

static void damage(struct broker *b, void *arg)
{
	(void)b;
	plain_store_damage(arg);
}

TEST(describe__what_is_damaged_has_no_time)
{
	struct administered a;

	start((struct fixture_options){0});
	create_topic(&f, "t", 1);
	produce_one(&f, 0, "t", "x");
	produce_one(&f, 0, "t", "y");
	fixture_on(&f, 0, damage, partition_of(&f, "t", 0));
	describe_one(&a, "t");
	assert_int_equal(a.admin.topic.partitions[0].high_watermark, 2);
	assert_int_equal(a.admin.topic.partitions[0].earliest_ms, 1000);
	assert_int_equal(a.admin.topic.partitions[0].latest_ms, -1);
	broker_admin_fini(&a.admin);
	fixture_stop(&f);
}

static void settings_here(struct broker *b, void *arg)
{
	*(int64_t *)arg = broker_topic(b, SLICE_LIT("t"))->settings.retention_ms;
}

TEST(alter__is_seen_on_every_shard)
{
	struct administered a;

	start((struct fixture_options){.shards = 3});
	create_topic(&f, "t", 1);
	administered_init(&a, &f, 1, ADMIN_TOPIC_ALTER, "t");
	a.admin.settings.retention_ms = 77;
	administered_start(&a);
	assert_int_equal(administered_wait(&a), OK);
	assert_int_equal(a.admin.topic.spec.settings.retention_ms, 77);
	broker_admin_fini(&a.admin);
	for (unsigned i = 0; i < 3; i++) {
		int64_t retention_ms = 0;

		fixture_on(&f, i, settings_here, &retention_ms);
		assert_int_equal(retention_ms, 77);
	}
	assert_int_equal(produce_one(&f, 2, "t", "x"), 0);
	assert_int_equal(administer(&f, 0, ADMIN_TOPIC_DELETE, "t"), OK);
	assert_int_equal(administer(&f, 0, ADMIN_TOPIC_DESCRIBE, "t"), ERR_TOPIC_UNKNOWN);
	fixture_stop(&f);
}

static enum err alter_to(uint32_t partitions)
{
	struct administered a;
	enum err err;

	administered_init(&a, &f, 1, ADMIN_TOPIC_ALTER, "t");
	a.admin.partition_count = partitions;
	administered_start(&a);
	err = administered_wait(&a);
	if (!err)
		assert_int_equal(a.admin.topic.spec.partition_count, partitions);
	broker_admin_fini(&a.admin);
	return err;
}

static void count_here(struct broker *b, void *arg)
{
	*(uint32_t *)arg = broker_topic(b, SLICE_LIT("t"))->partition_count;
}

TEST(alter__adds_partitions_on_every_shard)
{
	struct produced p;
	uint32_t count;

	start((struct fixture_options){.shards = 3});
	create_topic(&f, "t", 2);
	produce_one(&f, 0, "t", "x");
	assert_int_equal(alter_to(7), OK);
	assert_int_equal(alter_to(7), OK);
	assert_int_equal(alter_to(6), ERR_BAD_SETTING);
	assert_int_equal(alter_to(TOPIC_PARTITIONS_MAX + 1), ERR_BAD_SETTING);
	for (unsigned shard = 0; shard < 3; shard++) {
		fixture_on(&f, shard, count_here, &count);
		assert_int_equal(count, 7);
		for (int i = 2; i < 7; i++) {
			produced_init(&p, &f, shard, "t", "x");
			p.produce.partition = i;
			produced_start(&p);
			assert_int_equal(produced_wait(&p), OK);
			assert_int_equal(p.produce.results[0].offset, shard);
			broker_produce_fini(&p.produce);
		}
	}
	fixture_stop(&f);
}

TEST(alter__that_fails_adds_none)
{
	uint32_t count;

	start((struct fixture_options){.shards = 2});
	create_topic(&f, "t", 2);
	plain_store_knobs(f.store, 0)->topic_op_fails = ERR_DISK_FULL;
	assert_int_equal(alter_to(3), ERR_DISK_FULL);
	fixture_on(&f, 1, count_here, &count);
	assert_int_equal(count, 2);
	plain_store_knobs(f.store, 0)->topic_op_fails = OK;
	assert_int_equal(alter_to(3), OK);
	fixture_stop(&f);
}

static void bytes_max_here(struct broker *b, void *arg)
{
	*(int32_t *)arg = broker_topic(b, SLICE_LIT("t"))->settings.max_message_bytes;
}

/* Smaller batches hold for the shards before the store knows: what it refuses is taken back. */
TEST(alter__that_fails_leaves_the_settings)
{
	struct administered a;
	int32_t bytes_max;

	start((struct fixture_options){.shards = 2});
	create_topic(&f, "t", 1);
	for (int fails = 1; fails >= 0; fails--) {
		plain_store_knobs(f.store, 0)->topic_op_fails = fails ? ERR_DISK_FULL : OK;
		administered_init(&a, &f, 1, ADMIN_TOPIC_ALTER, "t");
		a.admin.before = a.admin.settings;
		a.admin.settings.max_message_bytes = 2000;
		administered_start(&a);
		assert_int_equal(administered_wait(&a), fails ? ERR_DISK_FULL : OK);
		broker_admin_fini(&a.admin);
		for (unsigned shard = 0; shard < 2; shard++) {
			fixture_on(&f, shard, bytes_max_here, &bytes_max);
			assert_int_equal(bytes_max, fails ? BATCH_BYTES_MAX_DEFAULT : 2000);
		}
	}
	fixture_stop(&f);
}

TEST(purge__empties_and_offsets_go_on)
{
	struct administered a;

	start((struct fixture_options){.shards = 2});
	produce_one(&f, 0, "t", "a");
	produce_one(&f, 0, "t", "b");
	administered_init(&a, &f, 1, ADMIN_TOPIC_PURGE, "t");
	administered_start(&a);
	assert_int_equal(administered_wait(&a), OK);
	assert_int_equal(a.admin.topic.partitions[0].earliest, 2);
	broker_admin_fini(&a.admin);
	assert_int_equal(produce_one(&f, 0, "t", "c"), 2);
	administered_init(&a, &f, 1, ADMIN_TOPIC_PURGE, "t");
	a.admin.upto = 4;
	administered_start(&a);
	assert_int_equal(administered_wait(&a), ERR_OUT_OF_RANGE);
	broker_admin_fini(&a.admin);
	fixture_stop(&f);
}

TEST(purge__of_one_partition_leaves_the_others)
{
	struct administered a;
	struct produced p;

	start((struct fixture_options){.shards = 2});
	create_topic(&f, "t", 4);
	for (int i = 0; i < 4; i++) {
		produced_init(&p, &f, 0, "t", "x");
		p.produce.partition = i;
		produced_start(&p);
		assert_int_equal(produced_wait(&p), OK);
	}
	administered_init(&a, &f, 0, ADMIN_TOPIC_PURGE, "t");
	a.admin.partition = 2;
	administered_start(&a);
	assert_int_equal(administered_wait(&a), OK);
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(a.admin.topic.partitions[i].earliest, i == 2);
	broker_admin_fini(&a.admin);
	a.admin.partition = 4;
	administered_start(&a);
	assert_int_equal(administered_wait(&a), ERR_PARTITION_UNKNOWN);
	a.admin.partition = -1;
	a.admin.upto = 1;
	administered_start(&a);
	assert_int_equal(administered_wait(&a), ERR_PARTITION_REQUIRED);
	fixture_stop(&f);
}

TEST(delete__readers_are_told_and_the_name_is_free)
{
	start((struct fixture_options){.shards = 2});
	for (unsigned shard = 0; shard < 2; shard++) {
		produce_one(&f, 0, "t", "old");
		ear_init(&l, &f, shard, "t");
		ear_open(&l);
		ear_await_caught_up(&l, &notes);
		assert_int_equal(administer(&f, 1 - shard, ADMIN_TOPIC_DELETE, "t"), OK);
		ear_await_failed(&l, &notes);
		assert_int_equal(notes.failed, ERR_TOPIC_GONE);
		assert_string_equal(notes.text, "0@0=old ");
		assert_int_equal(fixture_metric(&f, METRIC_TOPICS), 0);
		ear_close(&l);
	}
	assert_int_equal(produce_one(&f, 1, "t", "new"), 0);
	fixture_stop(&f);
}

static void fail_topic_ops(struct broker *b, void *arg)
{
	(void)b;
	plain_store_knobs(f.store, 0)->topic_op_fails = *(enum err *)arg;
}

TEST(delete__that_fails_leaves_the_topic_there)
{
	enum err full = ERR_DISK_FULL;

	start((struct fixture_options){.shards = 2});
	produce_one(&f, 0, "t", "a");
	fixture_on(&f, 0, fail_topic_ops, &full);
	assert_int_equal(administer(&f, 1, ADMIN_TOPIC_DELETE, "t"), ERR_DISK_FULL);
	assert_int_equal(produce_one(&f, 1, "t", "b"), 1);
	assert_int_equal(fixture_metric(&f, METRIC_TOPICS), 1);
	fixture_stop(&f);
}

/* Producers on all shards, readers come and go, the topic is deleted again and again: every request
 * is answered, an offset is 0 or follows one that was given out. */
TEST(delete__under_load_answers_everybody)
{
	enum { ROUNDS = 30, LOAD = 24 };
	struct produced *ps = calloc(LOAD, sizeof(*ps));
	uint64_t stored = 0;

	start((struct fixture_options){.shards = 3, .partitions = 5});
	for (int round = 0; round < ROUNDS; round++) {
		struct administered a;

		ear_init(&l, &f, (unsigned)round % 3, "t");
		l.options.wait_for_topic = true;
		ear_open(&l);
		for (int i = 0; i < LOAD; i++) {
			produced_init(&ps[i], &f, (unsigned)i % 3, "t", "x");
			produced_start(&ps[i]);
			if (i == LOAD / 2) {
				administered_init(&a, &f, (unsigned)(round + 1) % 3,
				                  ADMIN_TOPIC_DELETE, "t");
				administered_start(&a);
			}
		}
		for (int i = 0; i < LOAD; i++) {
			enum err err = produced_wait(&ps[i]);

			assert_true(err == OK || err == ERR_TOPIC_UNKNOWN || err == ERR_TOPIC_GONE);
			stored += err == OK;
		}
		if (administered_wait(&a) == OK && round % 2)
			ear_await_failed(&l, &notes);
		ear_close(&l);
	}
	assert_true(stored > 0);
	assert_int_equal(fixture_metric(&f, METRIC_EVENTS_IN), stored);
	fixture_stop(&f);
	free(ps);
}

static void list_here(struct broker *b, void *arg)
{
	const struct topic_spec *specs[8];
	size_t count = broker_topics(b, SLICE_NONE, 2, specs);

	(void)arg;
	assert_int_equal(count, 2);
	assert_string_equal(specs[0]->name, "a");
	assert_string_equal(specs[1]->name, "b");
	count = broker_topics(b, SLICE_LIT("b"), 8, specs);
	assert_int_equal(count, 2);
	assert_string_equal(specs[0]->name, "ba");
	assert_string_equal(specs[1]->name, "c");
	assert_int_equal(broker_topics(b, SLICE_LIT("bb"), 8, specs), 1);
	assert_int_equal(broker_topic_count(b), 4);
	assert_null(broker_topic(b, SLICE_LIT("d")));
}

TEST(list__is_by_name_a_page_at_a_time)
{
	start((struct fixture_options){.shards = 2});
	create_topic(&f, "c", 1);
	create_topic(&f, "a", 1);
	create_topic(&f, "ba", 1);
	create_topic(&f, "b", 1);
	fixture_on(&f, 0, list_here, NULL);
	fixture_on(&f, 1, list_here, NULL);
	fixture_stop(&f);
}

TEST(snapshot__says_how_much_was_written)
{
	struct administered a;

	start((struct fixture_options){.shards = 2});
	administered_init(&a, &f, 1, ADMIN_SNAPSHOT, NULL);
	administered_start(&a);
	assert_int_equal(administered_wait(&a), OK);
	assert_int_equal(a.admin.snapshot_bytes, 4711);
	broker_admin_fini(&a.admin);
	fixture_stop(&f);
}

static void fence(struct broker *b, void *arg)
{
	struct store_partition *p = arg;

	(void)b;
	store_partition_fence(p, ERR_IO, "flush");
}

TEST(fenced__names_the_partitions)
{
	struct administered a;
	struct store_partition *p;

	start((struct fixture_options){.shards = 3});
	create_topic(&f, "t", 8);
	create_topic(&f, "u", 1);
	for (uint32_t i = 2; i < 8; i += 3) {
		p = partition_of(&f, "t", i);
		fixture_on(&f, p->shard, fence, p);
	}
	administered_init(&a, &f, 2, ADMIN_FENCED, NULL);
	administered_start(&a);
	assert_int_equal(administered_wait(&a), OK);
	assert_int_equal(a.admin.fenced_count, 1);
	assert_string_equal(a.admin.fenced[0].spec.name, "t");
	assert_int_equal(a.admin.fenced[0].spec.partition_count, 2);
	assert_int_equal(a.admin.fenced[0].partitions[0].fenced.code, ERR_IO);
	broker_admin_fini(&a.admin);
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			create__again_is_fine_with_the_same_and_refused_with_other_settings),
		cmocka_unit_test(create__refusals),
		cmocka_unit_test(describe__gathers_from_all_shards),
		cmocka_unit_test(describe__times_are_of_the_first_and_the_last_event_there_is),
		cmocka_unit_test(describe__what_is_damaged_has_no_time),
		cmocka_unit_test(alter__is_seen_on_every_shard),
		cmocka_unit_test(alter__adds_partitions_on_every_shard),
		cmocka_unit_test(alter__that_fails_adds_none),
		cmocka_unit_test(alter__that_fails_leaves_the_settings),
		cmocka_unit_test(purge__empties_and_offsets_go_on),
		cmocka_unit_test(purge__of_one_partition_leaves_the_others),
		cmocka_unit_test(delete__readers_are_told_and_the_name_is_free),
		cmocka_unit_test(delete__that_fails_leaves_the_topic_there),
		cmocka_unit_test(delete__under_load_answers_everybody),
		cmocka_unit_test(list__is_by_name_a_page_at_a_time),
		cmocka_unit_test(snapshot__says_how_much_was_written),
		cmocka_unit_test(fenced__names_the_partitions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
