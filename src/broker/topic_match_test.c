#include "broker/topic_match.h"

#include "base/test.h"
#include "broker/testing/broker_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static struct fixture f;

struct finder {
	struct topic_match *match;
	struct broker *broker;
	const char *pattern;
	char text[1 << 10]; /* "a . +b ": those found, the new ones with a plus, the end */
	unsigned count;
	void (*then)(struct finder *d, struct slice name, bool is_new); /* NULL: nothing */
};

static void start(unsigned shards)
{
	fixture_start(&f, &(struct fixture_options){.shards = shards});
}

static void find(void *owner, struct slice name, bool is_new)
{
	struct finder *d = owner;
	size_t used = strlen(d->text);

	if (name.ptr)
		snprintf(d->text + used, sizeof(d->text) - used, "%s%.*s ", is_new ? "+" : "",
		         SLICE_FMT(name));
	else
		snprintf(d->text + used, sizeof(d->text) - used, ". ");
	d->count += name.ptr != NULL;
	if (d->then && name.ptr)
		d->then(d, name, is_new);
}

static void open_here(struct broker *b, void *arg)
{
	struct finder *d = arg;
	char pattern[64];

	snprintf(pattern, sizeof(pattern), "%s", d->pattern);
	d->broker = b;
	d->match = topic_match_open(b, &f.caller, slice_str(pattern), find, d);
	assert_non_null(d->match);
	memset(pattern, '*', sizeof(pattern));
	assert_int_equal(d->count, 0);
}

static void close_here(struct broker *b, void *arg)
{
	struct finder *d = arg;

	(void)b;
	topic_match_close(d->match);
	d->match = NULL;
}

static void copy_text(struct broker *b, void *arg)
{
	char *const *copy = arg;
	const struct finder *d = (const struct finder *)copy[0];

	(void)b;
	memcpy(copy[1], d->text, sizeof(d->text));
}

/* What was found so far, on a shard that has had a turn since. */
static const char *found_on(unsigned shard, struct finder *d)
{
	static char text[sizeof(d->text)];
	char *copy[2] = {(char *)d, text};

	for (int i = 0; i < 3; i++)
		fixture_on(&f, shard, copy_text, copy);
	return text;
}

TEST(topic_match__tells_what_there_is_and_what_comes)
{
	struct finder all = {.pattern = "*"};
	struct finder some = {.pattern = "b.*"};
	struct finder one = {.pattern = "b"};

	start(2);
	create_topic(&f, "b.2", 1);
	create_topic(&f, "b", 1);
	create_topic(&f, "a", 1);
	create_topic(&f, "b.1", 3);
	fixture_on(&f, 1, open_here, &all);
	fixture_on(&f, 1, open_here, &some);
	fixture_on(&f, 0, open_here, &one);
	assert_string_equal(found_on(1, &all), "a b b.1 b.2 . ");
	assert_string_equal(found_on(1, &some), "b.1 b.2 . ");
	create_topic(&f, "c", 1);
	produce_one(&f, 0, "b.0", "x");
	assert_string_equal(found_on(1, &all), "a b b.1 b.2 . +c +b.0 ");
	assert_string_equal(found_on(1, &some), "b.1 b.2 . +b.0 ");
	assert_string_equal(found_on(0, &one), "b . ");
	fixture_on(&f, 1, close_here, &some);
	create_topic(&f, "b.3", 1);
	assert_string_equal(found_on(1, &all), "a b b.1 b.2 . +c +b.0 +b.3 ");
	assert_string_equal(found_on(1, &some), "b.1 b.2 . +b.0 ");
	fixture_on(&f, 1, close_here, &all);
	fixture_on(&f, 0, close_here, &one);
	fixture_stop(&f);
}

TEST(topic_match__a_name_that_comes_again_is_told_again)
{
	struct finder d = {.pattern = "t*"};

	start(1);
	create_topic(&f, "t", 1);
	fixture_on(&f, 0, open_here, &d);
	assert_string_equal(found_on(0, &d), "t . ");
	assert_int_equal(administer(&f, 0, ADMIN_TOPIC_DELETE, "t"), OK);
	assert_string_equal(found_on(0, &d), "t . ");
	create_topic(&f, "t", 1);
	assert_string_equal(found_on(0, &d), "t . +t ");
	fixture_on(&f, 0, close_here, &d);
	fixture_stop(&f);
}

static void close_before_a_turn(struct broker *b, void *arg)
{
	open_here(b, arg);
	close_here(b, arg);
}

TEST(topic_match__closed_before_its_first_step_tells_nothing)
{
	struct finder d = {.pattern = "*"};

	start(1);
	create_topic(&f, "t", 1);
	fixture_on(&f, 0, close_before_a_turn, &d);
	assert_string_equal(found_on(0, &d), "");
	fixture_stop(&f);
}

/* --- from inside found ------------------------------------------------------------------------ */

static struct finder other;

static void close_both(struct finder *d, struct slice name, bool is_new)
{
	(void)name;
	(void)is_new;
	close_here(d->broker, d);
	close_here(d->broker, &other);
}

/* In one turn, so that `other` is there when the first of them tells something. */
static void open_both(struct broker *b, void *arg)
{
	open_here(b, arg);
	open_here(b, &other);
}

TEST(topic_match__closes_from_inside_found)
{
	struct finder d = {.pattern = "*", .then = close_both};

	start(1);
	create_topic(&f, "a", 1);
	create_topic(&f, "b", 1);
	other = (struct finder){.pattern = "*"};
	fixture_on(&f, 0, open_both, &d);
	assert_string_equal(found_on(0, &d), "a ");
	assert_string_equal(found_on(0, &other), "");

	d = (struct finder){.pattern = "c", .then = close_both};
	other = (struct finder){.pattern = "c*"};
	fixture_on(&f, 0, open_both, &d);
	create_topic(&f, "c", 1);
	assert_string_equal(found_on(0, &d), ". +c ");
	assert_string_equal(found_on(0, &other), ". ");
	fixture_stop(&f);
}

static void open_other(struct finder *d, struct slice name, bool is_new)
{
	(void)name;
	(void)is_new;
	open_here(d->broker, &other);
}

TEST(topic_match__opens_from_inside_found)
{
	struct finder d = {.pattern = "*", .then = open_other};

	start(1);
	fixture_on(&f, 0, open_here, &d);
	other = (struct finder){.pattern = "*"};
	create_topic(&f, "a", 1);
	assert_string_equal(found_on(0, &d), ". +a ");
	assert_string_equal(found_on(0, &other), "a . ");
	fixture_on(&f, 0, close_here, &d);
	fixture_on(&f, 0, close_here, &other);
	fixture_stop(&f);
}

struct listener {
	struct finder finder;
	struct reader *reader;
	int64_t offsets; /* 1 for 0, 2 for 1, 4 for 2, … */
	struct signal complete;
};

enum { LISTENED_EVENTS = 3 };

static void listen(void *owner)
{
	struct listener *l = owner;
	struct delivery delivery;

	while (reader_take(l->reader, &delivery) == READER_EVENT)
		l->offsets |= 1LL << delivery.record.offset;
	if (l->offsets == (1 << LISTENED_EVENTS) - 1)
		signal_raise(&f, &l->complete);
}

static void open_reader(struct finder *d, struct slice name, bool is_new)
{
	struct listener *l = CONTAINER_OF(d, struct listener, finder);
	struct reader_options options = {
		.caller = &f.caller,
		.operation = OPERATION_SUBSCRIBE,
		.topic = name,
		.partition = -1,
		.follow = true,
	};

	assert_true(is_new);
	l->reader = reader_open(d->broker, &options, listen, l);
	assert_non_null(l->reader);
}

static void stop_listening(struct broker *b, void *arg)
{
	struct listener *l = arg;

	reader_close(l->reader);
	close_here(b, &l->finder);
}

TEST(topic_match__a_reader_opened_when_a_topic_comes_misses_nothing)
{
	start(3);
	for (unsigned i = 0; i < 12; i++) {
		char topic[] = {(char)('a' + i), '\0'};
		struct listener l = {.finder = {.pattern = topic, .then = open_reader}};

		fixture_on(&f, i % 3, open_here, &l.finder);
		for (int k = 0; k < LISTENED_EVENTS; k++)
			produce_one(&f, 0, topic, "x");
		signal_wait(&f, &l.complete);
		fixture_on(&f, i % 3, stop_listening, &l);
	}
	fixture_stop(&f);
}

/* --- a long walk ------------------------------------------------------------------------------ */

enum { TOPICS = 2500, NAMES_PER_TURN = 1000 };

struct walk {
	struct finder finder;
	struct task turn; /* once a turn */
	bool stop;
	unsigned before; /* found when the turn began */
	unsigned most;   /* found in one turn */
	bool is_changed;
	struct administered changes[8];
	unsigned change_count;
	unsigned told[TOPICS];
	char news[64];
	struct signal complete;
};

static void note_turn(struct task *t)
{
	struct walk *w = CONTAINER_OF(t, struct walk, turn);
	unsigned count = w->finder.count - w->before;

	w->before = w->finder.count;
	w->most = count > w->most ? count : w->most;
	if (!w->stop)
		loop_defer(broker_loop(w->finder.broker), LOOP_WRITE, &w->turn);
}

static void change(struct walk *w, enum admin_kind kind, const char *name)
{
	struct administered *a = &w->changes[w->change_count++];

	administered_init(a, &f, 0, kind, name);
	broker_admin(&a->admin);
}

/* In the middle of the first turn: done before the second. */
static void note_walk(struct finder *d, struct slice name, bool is_new)
{
	struct walk *w = CONTAINER_OF(d, struct walk, finder);
	size_t used = strlen(w->news);

	if (is_new)
		snprintf(w->news + used, sizeof(w->news) - used, "%.*s ", SLICE_FMT(name));
	else
		w->told[atoi((const char *)name.ptr + 1)]++;
	d->text[0] = '\0';
	if (d->count != NAMES_PER_TURN / 2)
		return;
	change(w, ADMIN_TOPIC_CREATE, "t0");
	change(w, ADMIN_TOPIC_CREATE, "tz");
	change(w, ADMIN_TOPIC_DELETE, "t0007");
	change(w, ADMIN_TOPIC_DELETE, "t1000"); /* where the walk is to go on */
	change(w, ADMIN_TOPIC_DELETE, "t2000");
	change(w, ADMIN_TOPIC_DELETE, "t2100");
	change(w, ADMIN_TOPIC_CREATE, "t2100");
}

static void walk_begins(struct broker *b, void *arg)
{
	struct walk *w = arg;

	open_here(b, &w->finder);
	w->turn.run = note_turn;
	loop_defer(broker_loop(b), LOOP_WRITE, &w->turn);
}

static void walk_ends(struct broker *b, void *arg)
{
	struct walk *w = arg;

	w->stop = true;
	close_here(b, &w->finder);
}

TEST(topic_match__a_walk_through_a_changing_table_skips_and_repeats_nothing)
{
	static struct walk w = {.finder = {.pattern = "t*", .then = note_walk}};

	start(1);
	create_topic(&f, "s", 1);
	create_topic(&f, "u", 1);
	for (unsigned i = 0; i < TOPICS; i++) {
		char name[16];

		snprintf(name, sizeof(name), "t%04u", i);
		create_topic(&f, name, 1);
	}
	fixture_on(&f, 0, walk_begins, &w);
	for (int i = 0; i < 4; i++)
		found_on(0, &w.finder); /* three turns each */
	for (unsigned i = 0; i < w.change_count; i++) {
		assert_int_equal(administered_wait(&w.changes[i]), OK);
		broker_admin_fini(&w.changes[i].admin);
	}
	fixture_on(&f, 0, walk_ends, &w);
	found_on(0, &w.finder);
	assert_string_equal(w.news, "t0 tz t2100 ");
	for (unsigned i = 0; i < TOPICS; i++) {
		bool is_deleted = i == 1000 || i == 2000 || i == 2100;

		assert_int_equal(w.told[i], !is_deleted);
	}
	assert_in_range(w.most, NAMES_PER_TURN - 1, NAMES_PER_TURN + 3);
	fixture_stop(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topic_match__tells_what_there_is_and_what_comes),
		cmocka_unit_test(topic_match__a_name_that_comes_again_is_told_again),
		cmocka_unit_test(topic_match__closed_before_its_first_step_tells_nothing),
		cmocka_unit_test(topic_match__closes_from_inside_found),
		cmocka_unit_test(topic_match__opens_from_inside_found),
		cmocka_unit_test(topic_match__a_reader_opened_when_a_topic_comes_misses_nothing),
		cmocka_unit_test(
			topic_match__a_walk_through_a_changing_table_skips_and_repeats_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
