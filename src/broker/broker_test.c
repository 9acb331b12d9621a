/* The broker over every engine, on two shards: what fronts rely on does not depend on who keeps the
 * events. Offsets may have gaps, so only their order is looked at. */
#include "broker/broker.h"

#include "base/test.h"
#include "broker/testing/broker_fixture.h"
#include "store/testing/remote_sim.h"
#include "store/testing/store_rig.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHARDS = 2, PARTITIONS = 4, LOAD = 120 };

static struct fixture f;
static struct ear ears[SHARDS];
static struct ear_notes notes;
static struct produced load[LOAD];
static char values[LOAD][16];

static void start(const struct store_ops *engine)
{
	fixture_start(&f, &(struct fixture_options){
				  .shards = SHARDS, .partitions = PARTITIONS, .engine = engine});
}

/* LOAD events from all shards to all partitions; event i to partition i % PARTITIONS, so a
 * partition gets its events from one shard, in the order of i. */
static void start_load(void)
{
	for (unsigned i = 0; i < LOAD; i++) {
		struct produced *p = &load[i];

		snprintf(values[i], sizeof(values[i]), "e%u", i);
		produced_init(p, &f, i % SHARDS, "t", values[i]);
		p->produce.partition = (int32_t)(i % PARTITIONS);
		produced_start(p);
	}
}

static void check_load(void)
{
	int64_t last[PARTITIONS];

	for (unsigned i = 0; i < PARTITIONS; i++)
		last[i] = -1;
	for (unsigned i = 0; i < LOAD; i++) {
		const struct produce *p = &load[i].produce;

		assert_int_equal(produced_wait(&load[i]), OK);
		assert_true(p->one.offset > last[i % PARTITIONS]);
		last[i % PARTITIONS] = p->one.offset;
	}
}

/* `notes` holds each event once, at the offset its producer was told, in order in its partition. */
static void check_notes(unsigned events)
{
	int64_t last[PARTITIONS];
	const char *at = notes.text;
	unsigned count = 0;

	for (unsigned i = 0; i < PARTITIONS; i++)
		last[i] = -1;
	for (int used; *at; at += used, count++) {
		unsigned partition;
		unsigned i;
		long long offset;

		assert_int_equal(sscanf(at, "%u@%lld=e%u %n", &partition, &offset, &i, &used), 3);
		assert_true(i < LOAD);
		assert_true(partition < PARTITIONS);
		assert_int_equal(partition, i % PARTITIONS);
		assert_int_equal(offset, load[i].produce.one.offset);
		assert_true(offset > last[partition]);
		last[partition] = offset;
	}
	assert_int_equal(count, events);
}

static void listen_everywhere(void)
{
	for (unsigned i = 0; i < SHARDS; i++) {
		ear_init(&ears[i], &f, i, "t");
		ears[i].options.wait_for_topic = true;
		ear_open(&ears[i]);
	}
}

static void events_reach_every_listener_once_and_in_order(const struct store_ops *engine)
{
	start(engine);
	listen_everywhere();
	start_load();
	check_load();
	for (unsigned i = 0; i < SHARDS; i++) {
		ear_await_events(&ears[i], LOAD, &notes);
		ear_await_caught_up(&ears[i], &notes);
		check_notes(LOAD);
		ear_close(&ears[i]);
	}
	fixture_stop(&f);
}

static void look(const struct position *position)
{
	ear_init(&ears[1], &f, 1, "t");
	ears[1].options.follow = false;
	ears[1].options.position = *position;
	ear_open(&ears[1]);
	ear_await_caught_up(&ears[1], &notes);
	ear_close(&ears[1]);
}

static void a_restart_keeps_events_and_cursors(const struct store_ops *engine)
{
	struct position at_cursor = {.kind = POSITION_CURSOR};
	struct cursor cursor;
	struct fixture_options options = {.shards = SHARDS, .partitions = PARTITIONS};
	struct produced p;

	start(engine);
	start_load();
	check_load();
	look(&(struct position){.kind = POSITION_EARLIEST});
	check_notes(LOAD);
	assert_int_equal(cursor_decode(slice_str(notes.cursor), &cursor), OK);
	at_cursor.entries = cursor.entries;
	at_cursor.entry_count = cursor.count;
	fixture_restart(&f, &options);
	look(&(struct position){.kind = POSITION_EARLIEST});
	check_notes(LOAD);
	produced_init(&p, &f, 0, "t", "after");
	p.produce.partition = 3;
	produced_start(&p);
	assert_int_equal(produced_wait(&p), OK);
	assert_true(p.produce.one.offset > load[LOAD - 1].produce.one.offset);
	look(&at_cursor);
	assert_non_null(strstr(notes.text, "=after "));
	assert_int_equal(notes.events, 1);
	fixture_stop(&f);
}

static void positions_find_their_events(const struct store_ops *engine)
{
	struct administered a;

	start(engine);
	start_load();
	check_load();
	look(&(struct position){.kind = POSITION_LAST});
	check_notes(PARTITIONS);
	look(&(struct position){.kind = POSITION_END});
	check_notes(0);
	look(&(struct position){.kind = POSITION_TIME, .value = 1000});
	check_notes(LOAD);
	look(&(struct position){.kind = POSITION_TIME, .value = 1001});
	check_notes(0);
	administered_init(&a, &f, 1, ADMIN_TOPIC_PURGE, "t");
	administered_start(&a);
	assert_int_equal(administered_wait(&a), OK);
	broker_admin_fini(&a.admin);
	look(&(struct position){.kind = POSITION_EARLIEST});
	check_notes(0);
	look(&(struct position){.kind = POSITION_LAST});
	check_notes(0);
	fixture_stop(&f);
}

static void deletes_under_load_answer_everybody(const struct store_ops *engine)
{
	enum { ROUNDS = 8 };

	start(engine);
	for (unsigned round = 0; round < ROUNDS; round++) {
		struct administered a;

		listen_everywhere();
		start_load();
		administered_init(&a, &f, round % SHARDS, ADMIN_TOPIC_DELETE, "t");
		administered_start(&a);
		for (unsigned i = 0; i < LOAD; i++) {
			enum err err = produced_wait(&load[i]);

			assert_true(err == OK || err == ERR_TOPIC_GONE || err == ERR_TOPIC_UNKNOWN);
		}
		if (administered_wait(&a) == OK)
			ear_await_failed(&ears[0], &notes);
		for (unsigned i = 0; i < SHARDS; i++)
			ear_close(&ears[i]);
	}
	fixture_stop(&f);
}

static void foreign_events_here(struct broker *b, void *arg)
{
	(void)b;
	remote_sim_foreign(arg, 5);
}

TEST(listeners__get_what_others_append)
{
	struct store_partition *p;

	start(&store_remote_sim);
	create_topic(&f, "t", 1);
	listen_everywhere();
	p = partition_of(&f, "t", 0);
	fixture_on(&f, p->shard, foreign_events_here, p);
	for (unsigned i = 0; i < SHARDS; i++) {
		ear_await_events(&ears[i], 5, &notes);
		assert_non_null(strstr(notes.text, "=foreign "));
		ear_close(&ears[i]);
	}
	fixture_stop(&f);
}

/* --- each of these over each engine ----------------------------------------------------------- */

static const struct {
	const char *name;
	void (*run)(const struct store_ops *engine);
} promises[] = {
	{"events_reach_every_listener_once_and_in_order",
         events_reach_every_listener_once_and_in_order},
	{"a_restart_keeps_events_and_cursors", a_restart_keeps_events_and_cursors},
	{"positions_find_their_events", positions_find_their_events},
	{"deletes_under_load_answer_everybody", deletes_under_load_answer_everybody},
};

enum { ENGINES_MAX = 8, PROMISES = ARRAY_COUNT(promises) };

struct held_promise {
	char name[128];
	size_t promise;
	const struct store_ops *engine;
};

static void promise_is_held(void **state)
{
	const struct held_promise *held = *state;

	promises[held->promise].run(held->engine);
}

static size_t add_engine(struct CMUnitTest *tests, struct held_promise *held,
                         const struct store_ops *engine)
{
	for (size_t i = 0; i < PROMISES; i++) {
		held[i].promise = i;
		held[i].engine = engine;
		snprintf(held[i].name, sizeof(held[i].name), "broker__%s__%s", promises[i].name,
		         engine->name);
		tests[i] = (struct CMUnitTest){
			held[i].name, promise_is_held, NULL, NULL, &held[i],
		};
	}
	return PROMISES;
}

int main(void)
{
	const struct store_registry *registry = store_registry_default();
	struct CMUnitTest tests[ENGINES_MAX * PROMISES + 1] = {
		cmocka_unit_test(listeners__get_what_others_append),
	};
	struct held_promise held[ENGINES_MAX * PROMISES];
	size_t count = 0;

	assert_true(registry->count < ENGINES_MAX);
	count += add_engine(tests + 1, held, &store_remote_sim);
	for (size_t i = 0; i < registry->count; i++)
		if (rig_has_engine(registry->engines[i]))
			count += add_engine(tests + 1 + count, held + count, registry->engines[i]);
	return _cmocka_run_group_tests("broker", tests, count + 1, NULL, NULL);
}
