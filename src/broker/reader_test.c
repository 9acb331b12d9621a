#include "broker/reader.h"

#include "base/test.h"
#include "broker/testing/broker_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static struct fixture f;
static struct ear l; /* both are large */
static struct ear_notes notes;

static void start(struct fixture_options options)
{
	fixture_start(&f, &options);
}

static void produce_to(const char *topic, uint32_t partition, const char *value)
{
	struct produced p;

	produced_init(&p, &f, 0, topic, value);
	p.produce.partition = (int32_t)partition;
	produced_start(&p);
	assert_int_equal(produced_wait(&p), OK);
}

static void produce_letters(const char *letters)
{
	for (; *letters; letters++) {
		char value[] = {*letters, '\0'};

		produce_one(&f, 0, "t", value);
	}
}

/* What a look from `position` gives. */
static const char *look(enum position_kind kind, int64_t value)
{
	ear_init(&l, &f, 0, "t");
	l.options.follow = false;
	l.options.position = (struct position){.kind = kind, .value = value};
	ear_open(&l);
	ear_await_caught_up(&l, &notes);
	ear_close(&l);
	return notes.text;
}

static enum err look_fails(enum position_kind kind, int64_t value)
{
	ear_init(&l, &f, 0, "t");
	l.options.follow = false;
	l.options.position = (struct position){.kind = kind, .value = value};
	ear_open(&l);
	ear_await_failed(&l, &notes);
	ear_close(&l);
	return notes.failed;
}

TEST(reader__positions)
{
	start((struct fixture_options){0});
	produce_letters("abc");
	assert_string_equal(look(POSITION_EARLIEST, 0), "0@0=a 0@1=b 0@2=c ");
	assert_string_equal(look(POSITION_LAST, 0), "0@2=c ");
	assert_string_equal(look(POSITION_END, 0), "");
	assert_string_equal(look(POSITION_OFFSET, 1), "0@1=b 0@2=c ");
	assert_string_equal(look(POSITION_OFFSET, 3), "");
	assert_string_equal(look(POSITION_TIME, 1000), "0@0=a 0@1=b 0@2=c ");
	assert_string_equal(look(POSITION_TIME, 9999), "");
	assert_int_equal(look_fails(POSITION_OFFSET, 4), ERR_OUT_OF_RANGE);
	assert_int_equal(notes.bounds[0].high_watermark, 3);
	fixture_stop(&f);
}

TEST(reader__last_of_an_empty_topic_is_its_end)
{
	start((struct fixture_options){0});
	create_topic(&f, "t", 1);
	assert_string_equal(look(POSITION_LAST, 0), "");
	assert_int_equal(notes.bounds[0].next_offset, 0);
	fixture_stop(&f);
}

TEST(reader__bounds_and_cursor_say_where_it_stands)
{
	start((struct fixture_options){0});
	produce_letters("abc");
	look(POSITION_OFFSET, 1);
	assert_int_equal(notes.bounds_count, 1);
	assert_int_equal(notes.bounds[0].earliest, 0);
	assert_int_equal(notes.bounds[0].high_watermark, 3);
	assert_int_equal(notes.bounds[0].next_offset, 3);
	assert_string_equal(notes.cursor, "3");
	fixture_stop(&f);
}

static void set_gap(struct broker *b, void *arg)
{
	(void)b;
	plain_store_knobs(f.store, 0)->gap = *(int64_t *)arg;
}

static void set_gap_before(struct broker *b, void *arg)
{
	(void)b;
	plain_store_knobs(f.store, 0)->gap_before = *(int64_t *)arg;
}

TEST(reader__gaps_are_legal)
{
	int64_t gap = 1000;
	int64_t before = 5;

	start((struct fixture_options){0});
	create_topic(&f, "t", 1);
	fixture_on(&f, 0, set_gap_before, &before);
	produce_letters("a");
	fixture_on(&f, 0, set_gap, &gap);
	produce_letters("bc");
	assert_string_equal(look(POSITION_EARLIEST, 0), "0@5=a 0@6=b 0@1007=c ");
	assert_int_equal(notes.bounds[0].next_offset, 2008);
	assert_string_equal(look(POSITION_OFFSET, 7), "0@1007=c ");
	assert_string_equal(look(POSITION_LAST, 0), "0@1007=c ");
	assert_string_equal(look(POSITION_OFFSET, 1500), "");
	fixture_stop(&f);
}

static void set_gap_inside(struct broker *b, void *arg)
{
	(void)b;
	plain_store_knobs(f.store, 0)->gap_inside = *(uint32_t *)arg;
}

/* Batches of three records that keep a gap behind them, as compaction leaves them. */
TEST(reader__begins_and_ends_inside_a_batch)
{
	struct produced p;
	uint32_t gap = 10;

	start((struct fixture_options){0});
	create_topic(&f, "t", 1);
	fixture_on(&f, 0, set_gap_inside, &gap);
	for (int i = 0; i < 2; i++) {
		produced_init(&p, &f, 0, "t", "a");
		p.count = 3;
		p.events[1].value = "b";
		p.events[2].value = "c";
		produced_start(&p);
		assert_int_equal(produced_wait(&p), OK);
	}
	assert_string_equal(look(POSITION_OFFSET, 1), "0@1=b 0@2=c 0@13=a 0@14=b 0@15=c ");
	assert_string_equal(look(POSITION_OFFSET, 5), "0@13=a 0@14=b 0@15=c ");
	assert_string_equal(look(POSITION_LAST, 0), "0@15=c ");
	assert_string_equal(look(POSITION_TIME, 1002), "0@2=c 0@13=a 0@14=b 0@15=c ");
	assert_int_equal(notes.bounds[0].next_offset, 26);
	assert_string_equal(look(POSITION_OFFSET, 20), "");
	fixture_stop(&f);
}

TEST(reader__follows_what_comes)
{
	start((struct fixture_options){0});
	produce_letters("ab");
	ear_init(&l, &f, 0, "t");
	l.options.position.kind = POSITION_END;
	ear_open(&l);
	ear_await_caught_up(&l, &notes);
	assert_string_equal(notes.text, "");
	produce_letters("cd");
	ear_await_events(&l, 2, &notes);
	assert_string_equal(notes.text, "0@2=c 0@3=d ");
	ear_close(&l);
	fixture_stop(&f);
}

static void count_wakes(struct broker *b, void *arg)
{
	(void)b;
	*(uint32_t *)arg = l.wakes;
}

TEST(reader__is_not_woken_again_before_it_took)
{
	uint32_t wakes;

	start((struct fixture_options){0});
	create_topic(&f, "t", 3);
	ear_init(&l, &f, 0, "t");
	ear_open(&l);
	ear_await_caught_up(&l, &notes);
	l.stopped = true;
	l.wakes = 0;
	for (uint32_t i = 0; i < 6; i++)
		produce_to("t", i % 3, "x");
	fixture_on(&f, 0, count_wakes, &wakes);
	assert_int_equal(wakes, 1);
	ear_close(&l);
	fixture_stop(&f);
}

TEST(reader__reads_all_partitions_of_all_shards)
{
	enum { PARTITIONS = 8, EVENTS = 5 };

	start((struct fixture_options){.shards = 2});
	create_topic(&f, "t", PARTITIONS);
	for (unsigned shard = 0; shard < 2; shard++) {
		int64_t sum = 0;

		ear_init(&l, &f, shard, "t");
		ear_open(&l);
		for (uint32_t i = 0; i < EVENTS * PARTITIONS; i++)
			produce_to("t", i % PARTITIONS, "x");
		ear_await_events(&l, EVENTS * PARTITIONS * (shard + 1), &notes);
		ear_await_caught_up(&l, &notes);
		assert_int_equal(notes.bounds_count, PARTITIONS);
		for (uint32_t i = 0; i < PARTITIONS; i++)
			sum += notes.bounds[i].next_offset;
		assert_int_equal(sum, EVENTS * PARTITIONS * (shard + 1));
		ear_close(&l);
	}
	fixture_stop(&f);
}

TEST(reader__order_holds_within_a_foreign_partition)
{
	enum { EVENTS = 300 };
	char wanted[32];

	start((struct fixture_options){.shards = 3});
	for (unsigned shard = 0; shard < 3; shard++) {
		struct produced *ps = calloc(EVENTS, sizeof(*ps));
		char topic[] = {'t', (char)('0' + shard), '\0'};
		char *at;

		ear_init(&l, &f, shard, topic);
		l.options.wait_for_topic = true;
		ear_open(&l);
		for (int i = 0; i < EVENTS; i++) {
			produced_init(&ps[i], &f, 0, topic, "x");
			produced_start(&ps[i]);
		}
		ear_await_events(&l, EVENTS, &notes);
		at = notes.text;
		for (int i = 0; i < EVENTS; i++) {
			snprintf(wanted, sizeof(wanted), "0@%d=x ", i);
			assert_memory_equal(at, wanted, strlen(wanted));
			at += strlen(wanted);
			assert_int_equal(produced_wait(&ps[i]), OK);
		}
		ear_close(&l);
		free(ps);
	}
	fixture_stop(&f);
}

static struct cursor decoded(const char *text)
{
	struct cursor c;

	assert_int_equal(cursor_decode(slice_str(text), &c), OK);
	return c;
}

static struct position at_cursor(const struct cursor *c)
{
	return (struct position){
		.kind = POSITION_CURSOR, .entries = c->entries, .entry_count = c->count};
}

TEST(reader__cursor_continues_in_every_partition)
{
	struct cursor cursor;

	start((struct fixture_options){.shards = 2});
	create_topic(&f, "t", 3);
	produce_to("t", 0, "a");
	produce_to("t", 2, "b");
	look(POSITION_EARLIEST, 0);
	cursor = decoded(notes.cursor);
	produce_to("t", 1, "c");
	produce_to("t", 2, "d");
	ear_init(&l, &f, 1, "t");
	l.options.position = at_cursor(&cursor);
	ear_open(&l);
	ear_await_events(&l, 2, &notes);
	assert_non_null(strstr(notes.text, "1@0=c "));
	assert_non_null(strstr(notes.text, "2@1=d "));
	ear_close(&l);

	ear_init(&l, &f, 1, "t");
	l.options.position = at_cursor(&cursor);
	l.options.partition = 2;
	l.options.follow = false;
	ear_open(&l);
	ear_await_caught_up(&l, &notes);
	assert_string_equal(notes.text, "2@1=d ");
	ear_close(&l);
	fixture_stop(&f);
}

static void grow(uint32_t partitions)
{
	struct administered a;

	administered_init(&a, &f, 0, ADMIN_TOPIC_ALTER, "t");
	a.admin.partition_count = partitions;
	administered_start(&a);
	assert_int_equal(administered_wait(&a), OK);
	broker_admin_fini(&a.admin);
}

TEST(reader__is_told_once_that_its_topic_grew)
{
	start((struct fixture_options){.shards = 2});
	create_topic(&f, "t", 2);
	produce_to("t", 1, "a");
	ear_init(&l, &f, 1, "t");
	ear_open(&l);
	ear_await_events(&l, 1, &notes);
	grow(4);
	produce_to("t", 3, "b"); /* not its own */
	produce_to("t", 0, "c");
	ear_await_events(&l, 2, &notes);
	assert_string_equal(notes.text, "1@0=a 0@0=c ");
	assert_int_equal(notes.grew, 1);
	assert_int_equal(notes.bounds_count, 2);
	ear_close(&l);
	fixture_stop(&f);
}

TEST(reader__cursor_reads_new_partitions_from_their_beginning)
{
	struct cursor cursor;

	start((struct fixture_options){.shards = 2});
	create_topic(&f, "t", 2);
	produce_to("t", 0, "a");
	look(POSITION_EARLIEST, 0);
	cursor = decoded(notes.cursor);
	assert_false(cursor.is_alone);
	grow(3);
	produce_to("t", 2, "b");
	ear_init(&l, &f, 1, "t");
	l.options.position = at_cursor(&cursor);
	ear_open(&l);
	ear_await_events(&l, 1, &notes);
	assert_string_equal(notes.text, "2@0=b ");
	ear_close(&l);

	ear_init(&l, &f, 1, "t");
	l.options.position = at_cursor(&cursor);
	l.options.partition = 2;
	ear_open(&l);
	ear_await_events(&l, 1, &notes);
	assert_string_equal(notes.text, "2@0=b ");
	assert_true(decoded(notes.cursor).is_alone);
	ear_close(&l);
	fixture_stop(&f);
}

TEST(reader__number_is_a_place_in_the_first_partition)
{
	start((struct fixture_options){0});
	create_topic(&f, "t", 1);
	produce_to("t", 0, "a");
	produce_to("t", 0, "b");
	assert_string_equal(look(POSITION_NUMBER, 1), "0@1=b ");
	grow(2);
	produce_to("t", 1, "c");
	look(POSITION_NUMBER, 1);
	assert_int_equal(notes.events, 2);
	assert_non_null(strstr(notes.text, "0@1=b "));
	assert_non_null(strstr(notes.text, "1@0=c "));
	assert_int_equal(look_fails(POSITION_NUMBER, 3), ERR_OUT_OF_RANGE);
	fixture_stop(&f);
}

static enum err cursor_fails(const struct cursor *cursor)
{
	ear_init(&l, &f, 0, "t");
	l.options.position = at_cursor(cursor);
	ear_open(&l);
	ear_await_failed(&l, &notes);
	ear_close(&l);
	return notes.failed;
}

static void raise_epoch(struct broker *b, void *arg)
{
	(void)b;
	plain_store_raise_epoch(arg, 7, 1);
}

TEST(reader__cursor_of_lost_events_or_of_another_topic_is_told_so)
{
	struct cursor cursor;

	start((struct fixture_options){0});
	create_topic(&f, "t", 2);
	produce_to("t", 0, "a");
	produce_to("t", 0, "b");
	look(POSITION_EARLIEST, 0);
	cursor = decoded(notes.cursor);
	fixture_on(&f, 0, raise_epoch, partition_of(&f, "t", 0));
	assert_int_equal(cursor_fails(&cursor), ERR_TRUNCATED);
	cursor.entries[0].leader_epoch = 8;
	assert_int_equal(cursor_fails(&cursor), ERR_TRUNCATED);
	cursor.entries[0].partition = 2;
	assert_int_equal(cursor_fails(&cursor), ERR_BAD_CURSOR);
	for (size_t i = 0; i < cursor.count; i++)
		cursor.entries[i].topic[0] ^= 1;
	assert_int_equal(cursor_fails(&cursor), ERR_TOPIC_GONE);
	fixture_stop(&f);
}

static void open_otherwise(const struct cursor *cursor, const struct position *otherwise)
{
	ear_init(&l, &f, 0, "t");
	l.options.position = at_cursor(cursor);
	l.options.otherwise = otherwise;
	l.options.wait_for_topic = true;
	ear_open(&l);
}

TEST(reader__cursor_of_another_topic_begins_otherwise)
{
	struct position last = {.kind = POSITION_LAST};
	struct position offset = {.kind = POSITION_OFFSET};
	struct cursor cursor;

	start((struct fixture_options){0});
	create_topic(&f, "t", 2);
	produce_to("t", 0, "a");
	produce_to("t", 0, "b");
	look(POSITION_EARLIEST, 0);
	cursor = decoded(notes.cursor);
	open_otherwise(&cursor, &last); /* it names this one */
	ear_await_caught_up(&l, &notes);
	assert_string_equal(notes.text, "");
	ear_close(&l);
	for (size_t i = 0; i < cursor.count; i++)
		cursor.entries[i].topic[0] ^= 1;
	open_otherwise(&cursor, &last);
	ear_await_caught_up(&l, &notes);
	assert_string_equal(notes.text, "0@1=b ");
	ear_close(&l);
	open_otherwise(&cursor, &offset);
	ear_await_failed(&l, &notes);
	assert_int_equal(notes.failed, ERR_PARTITION_REQUIRED);
	ear_close(&l);
	fixture_stop(&f);
}

/* What it was given is gone when the topic comes. */
TEST(reader__a_topic_waited_for_begins_otherwise_than_a_cursor)
{
	struct position otherwise = {.kind = POSITION_END};
	struct cursor cursor = {.count = 2, .entries = {{.partition = 0}, {.partition = 1}}};

	start((struct fixture_options){0});
	open_otherwise(&cursor, &otherwise);
	memset(&cursor, 0xff, sizeof(cursor));
	otherwise.kind = POSITION_LAST;
	ear_await_caught_up(&l, &notes);
	produce_letters("ab");
	ear_await_events(&l, 2, &notes);
	assert_string_equal(notes.text, "0@0=a 0@1=b ");
	ear_close(&l);

	assert_int_equal(administer(&f, 0, ADMIN_TOPIC_DELETE, "t"), OK);
	cursor.count = 1;
	open_otherwise(&cursor, NULL);
	ear_await_caught_up(&l, &notes);
	produce_letters("c");
	ear_await_failed(&l, &notes);
	assert_int_equal(notes.failed, ERR_TOPIC_GONE);
	ear_close(&l);
	fixture_stop(&f);
}

static void copy_prefix(struct broker *b, void *arg)
{
	const uint8_t *prefix = reader_topic_prefix(l.reader);

	(void)b;
	if (prefix)
		memcpy(arg, prefix, 8);
}

TEST(reader__knows_what_its_cursor_is_made_of)
{
	uint8_t prefix[8] = {0};
	struct cursor cursor;

	start((struct fixture_options){0});
	ear_init(&l, &f, 0, "t");
	l.options.wait_for_topic = true;
	ear_open(&l);
	ear_await_caught_up(&l, &notes);
	fixture_on(&f, 0, copy_prefix, prefix);
	assert_memory_equal(prefix, (uint8_t[8]){0}, 8);
	create_topic(&f, "t", 2);
	fixture_on(&f, 0, raise_epoch, partition_of(&f, "t", 1));
	produce_to("t", 1, "a");
	ear_await_events(&l, 1, &notes);
	ear_await_caught_up(&l, &notes);
	fixture_on(&f, 0, copy_prefix, prefix);
	cursor = decoded(notes.cursor);
	assert_int_equal(cursor.count, 2);
	for (uint32_t i = 0; i < 2; i++) {
		assert_memory_equal(cursor.entries[i].topic, prefix, 8);
		assert_int_equal(cursor.entries[i].partition, notes.bounds[i].partition);
		assert_int_equal(cursor.entries[i].next_offset, notes.bounds[i].next_offset);
		assert_int_equal(cursor.entries[i].leader_epoch, notes.bounds[i].leader_epoch);
	}
	assert_int_equal(notes.bounds[1].leader_epoch, 7);
	ear_close(&l);
	fixture_stop(&f);
}

static void sum_bounds(struct broker *b, void *arg)
{
	uint32_t count;
	const struct reader_bounds *bounds = reader_bounds(l.reader, &count);
	int64_t *sum = arg;

	(void)b;
	*sum = 0;
	for (uint32_t i = 0; i < count; i++)
		*sum += bounds[i].next_offset;
}

/* More than the text of a cursor holds, in no order, between those of other topics. */
TEST(reader__position_may_have_an_entry_for_every_partition)
{
	enum { PARTITIONS = 300 };
	static struct cursor_entry entries[2 * PARTITIONS];
	int64_t sum;

	start((struct fixture_options){.shards = 2});
	create_topic(&f, "t", PARTITIONS);
	for (uint32_t i = 0; i < PARTITIONS; i++) {
		const struct store_partition *p = partition_of(&f, "t", i);

		produce_to("t", i, "x");
		entries[2 * i].partition = i;
		entries[2 * i + 1] = (struct cursor_entry){.partition = PARTITIONS - 1 - i,
		                                           .next_offset = i % 2};
		memcpy(entries[2 * i + 1].topic, p->topic.bytes, 8);
	}
	for (unsigned shard = 0; shard < 2; shard++) {
		ear_init(&l, &f, shard, "t");
		l.options.position = (struct position){.kind = POSITION_CURSOR,
		                                       .entries = entries,
		                                       .entry_count = ARRAY_COUNT(entries)};
		ear_open(&l);
		ear_await_events(&l, PARTITIONS / 2, &notes);
		ear_await_caught_up(&l, &notes);
		assert_int_equal(notes.events, PARTITIONS / 2);
		fixture_on(&f, shard, sum_bounds, &sum);
		assert_int_equal(sum, PARTITIONS);
		ear_close(&l);
	}
	fixture_stop(&f);
}

static enum err open_fails(const char *topic, int32_t partition, enum position_kind kind)
{
	ear_init(&l, &f, 0, topic);
	l.options.partition = partition;
	l.options.position.kind = kind;
	ear_open(&l);
	ear_await_failed(&l, &notes);
	ear_close(&l);
	return notes.failed;
}

TEST(reader__bad_options_fail_later)
{
	start((struct fixture_options){0});
	create_topic(&f, "t", 2);
	assert_int_equal(open_fails("u", -1, POSITION_EARLIEST), ERR_TOPIC_UNKNOWN);
	assert_int_equal(open_fails("a b", -1, POSITION_EARLIEST), ERR_BAD_TOPIC);
	assert_int_equal(open_fails("t", 2, POSITION_EARLIEST), ERR_PARTITION_UNKNOWN);
	assert_int_equal(open_fails("t", -1, POSITION_OFFSET), ERR_PARTITION_REQUIRED);
	fixture_stop(&f);
}

TEST(reader__waits_for_its_topic_and_misses_nothing)
{
	start((struct fixture_options){.shards = 2});
	for (char topic[] = "a"; *topic < 'k'; (*topic)++) { /* on either shard */
		ear_init(&l, &f, 1, topic);
		l.options.position.kind = POSITION_END;
		l.options.wait_for_topic = true;
		ear_open(&l);
		ear_await_caught_up(&l, &notes);
		assert_int_equal(notes.bounds_count, 0);
		produce_one(&f, 0, topic, "x");
		ear_await_events(&l, 1, &notes);
		assert_string_equal(notes.text, "0@0=x ");
		ear_close(&l);
	}

	ear_init(&l, &f, 1, "never");
	l.options.wait_for_topic = true;
	ear_open(&l);
	ear_close(&l);
	fixture_stop(&f);
}

static void purge(int64_t upto)
{
	struct administered a;

	administered_init(&a, &f, 0, ADMIN_TOPIC_PURGE, "t");
	a.admin.upto = upto;
	administered_start(&a);
	assert_int_equal(administered_wait(&a), OK);
	broker_admin_fini(&a.admin);
}

static void take_again(struct broker *b, void *arg)
{
	struct delivery d;

	(void)b;
	l.stopped = *(bool *)arg;
	while (reader_take(l.reader, &d) == READER_EVENT)
		;
}

TEST(reader__below_the_log_start_is_trimmed)
{
	start((struct fixture_options){0});
	produce_letters("abc");
	purge(2);
	assert_int_equal(look_fails(POSITION_OFFSET, 1), ERR_TRIMMED);
	assert_int_equal(notes.bounds[0].earliest, 2);
	assert_string_equal(look(POSITION_EARLIEST, 0), "0@2=c ");
	assert_string_equal(look(POSITION_TIME, 0), "0@2=c ");
	fixture_stop(&f);
}

/* It holds one run; what was trimmed behind that run is missed, and it is told. */
TEST(reader__a_slow_one_that_retention_passes_is_trimmed)
{
	char value[200001] = "";

	memset(value, 'v', sizeof(value) - 1);
	start((struct fixture_options){.shards = 2});
	for (int i = 0; i < 4; i++)
		produce_one(&f, 0, "t", value);
	for (unsigned shard = 0; shard < 2; shard++) {
		ear_init(&l, &f, shard, "t");
		l.stopped = true;
		ear_open(&l);
		fixture_on(&f, shard, take_again, &(bool){true});
		produce_one(&f, shard, "t", value); /* a round trip: its first run is there */
		purge(-1);
		fixture_on(&f, shard, take_again, &(bool){false}); /* the run, and asks on */
		produce_one(&f, shard, "t", value);
		ear_await_failed(&l, &notes);
		assert_int_equal(notes.failed, ERR_TRIMMED);
		ear_close(&l);
		for (int i = 0; i < 4; i++)
			produce_one(&f, 0, "t", value);
	}
	fixture_stop(&f);
}

static void damage(struct broker *b, void *arg)
{
	(void)b;
	plain_store_damage(arg);
}

TEST(reader__damage_fails_it_after_what_stands_before)
{
	start((struct fixture_options){0});
	produce_letters("abc");
	fixture_on(&f, 0, damage, partition_of(&f, "t", 0));
	assert_int_equal(look_fails(POSITION_EARLIEST, 0), ERR_CORRUPT);
	assert_string_equal(notes.text, "0@0=a 0@1=b ");
	assert_non_null(strstr(notes.fault.where, "offset 2"));
	assert_int_equal(look_fails(POSITION_LAST, 0), ERR_CORRUPT);
	fixture_stop(&f);
}

TEST(reader__closes_at_any_time)
{
	start((struct fixture_options){.shards = 2});
	create_topic(&f, "t", 8);
	for (unsigned i = 0; i < 40; i++) {
		ear_init(&l, &f, i % 2, "t");
		ear_open(&l);
		if (i % 4 < 2)
			ear_await_caught_up(&l, &notes);
		produce_letters("ab");
		ear_close(&l);
	}
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reader__positions),
		cmocka_unit_test(reader__last_of_an_empty_topic_is_its_end),
		cmocka_unit_test(reader__bounds_and_cursor_say_where_it_stands),
		cmocka_unit_test(reader__gaps_are_legal),
		cmocka_unit_test(reader__begins_and_ends_inside_a_batch),
		cmocka_unit_test(reader__follows_what_comes),
		cmocka_unit_test(reader__is_not_woken_again_before_it_took),
		cmocka_unit_test(reader__reads_all_partitions_of_all_shards),
		cmocka_unit_test(reader__order_holds_within_a_foreign_partition),
		cmocka_unit_test(reader__cursor_continues_in_every_partition),
		cmocka_unit_test(reader__is_told_once_that_its_topic_grew),
		cmocka_unit_test(reader__cursor_reads_new_partitions_from_their_beginning),
		cmocka_unit_test(reader__number_is_a_place_in_the_first_partition),
		cmocka_unit_test(reader__cursor_of_lost_events_or_of_another_topic_is_told_so),
		cmocka_unit_test(reader__cursor_of_another_topic_begins_otherwise),
		cmocka_unit_test(reader__a_topic_waited_for_begins_otherwise_than_a_cursor),
		cmocka_unit_test(reader__knows_what_its_cursor_is_made_of),
		cmocka_unit_test(reader__position_may_have_an_entry_for_every_partition),
		cmocka_unit_test(reader__bad_options_fail_later),
		cmocka_unit_test(reader__waits_for_its_topic_and_misses_nothing),
		cmocka_unit_test(reader__below_the_log_start_is_trimmed),
		cmocka_unit_test(reader__a_slow_one_that_retention_passes_is_trimmed),
		cmocka_unit_test(reader__damage_fails_it_after_what_stands_before),
		cmocka_unit_test(reader__closes_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
