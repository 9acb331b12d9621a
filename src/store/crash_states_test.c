/* The crash-state explorer: short scripted runs of each engine are traced to the last write; then
 * the engine is started on what a power cut (or kill -9) may have left at each point, thousands of
 * different contents, and what it finds is held against what it had answered (crash_oracle).
 *
 * A power cut between any two calls, and a kill at each call (F2: `kills`, the states in which all
 * that was written stayed), are both in it. BOURN_LONG plays more seeds; BOURN_SEED one only. */
#include "base/hash.h"
#include "base/test.h"
#include "io/testing/disk_states.h"
#include "store/testing/crash_oracle.h"
#include "store/testing/crash_run.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	DISK_BYTES = 64 << 20,
	WAL_FILE_BYTES = 32 << 10,
	CATALOG_CHANGES = 2044, /* the snapshot comes a few later */
	RANDOM_A_POINT = 24,
	STATES_SHORT = TEST_TIMES(200), /* a script; a seed that was begun is played to its end */
	STATES_LONG = TEST_TIMES(3000),
	IS_SLOW = TEST_TIMES(10) < 10,  /* it runs under a sanitizer */
	EVERY_SHORT = IS_SLOW ? 40 : 4, /* one in so many crash points is looked at */
	EVERY_LONG = IS_SLOW ? 40 : 1,
	THIN = 4, /* … and there, of what a power cut may leave, one state in so many */
	LIE_BYTES = 160,
};

/* --- scripts: what is done to the store, from an empty disk to a clean stop ------------------- */

typedef void run_script(struct crash_run *r);

static void some_appends(struct crash_run *r, unsigned topic, unsigned rounds)
{
	for (unsigned i = 0; i < rounds; i++) {
		for (uint32_t p = 0; p < RUN_PARTITIONS; p++)
			if (run_roll(r, 4))
				run_append(r, topic, p, 1 + run_roll(r, 3), run_roll(r, 400));
		if (run_roll(r, 2))
			run_settle(r);
	}
	run_settle(r);
}

static void play_appends(struct crash_run *r)
{
	run_create(r, 0, "commit", DURABILITY_COMMIT);
	run_create(r, 1, "os", DURABILITY_OS);
	run_create(r, 2, "interval", DURABILITY_INTERVAL);
	for (unsigned i = 0; i < 12; i++) {
		some_appends(r, 1 + run_roll(r, 2), 1 + run_roll(r, 3));
		run_append(r, run_roll(r, 3), run_roll(r, 2), 1, run_roll(r, 9000));
		some_appends(r, 0, 1);
	}
}

static void play_topics(struct crash_run *r)
{
	run_create(r, 0, "a", DURABILITY_COMMIT);
	some_appends(r, 0, 2);
	run_create(r, 1, "b", DURABILITY_OS);
	some_appends(r, 1, 3);
	run_delete(r, 0);
	run_create(r, 2, "a", DURABILITY_COMMIT);
	some_appends(r, 2, 2);
	(void)!run_checkpoint(r);
	run_delete(r, 1);
	some_appends(r, 2, 2);
	run_create(r, 3, "b", DURABILITY_INTERVAL);
	some_appends(r, 3, 2);
	(void)!run_checkpoint(r);
	run_delete(r, 2);
	some_appends(r, 3, 1);
}

/* The first events of new partitions, before and after a checkpoint that knows them. */
static void play_growth(struct crash_run *r)
{
	run_create_small(r, 0, "commit", DURABILITY_COMMIT, 1);
	run_create_small(r, 1, "os", DURABILITY_OS, 1);
	run_append(r, 0, 0, 2, 100);
	run_append(r, 1, 0, 2, 100); /* under way while the other grows */
	run_grow(r, 0);
	some_appends(r, 0, 2);
	CHECK(run_checkpoint(r) == OK);
	run_grow(r, 1);
	some_appends(r, 1, 2);
	run_kill(r);
	some_appends(r, 1, 1);
	run_create_small(r, 2, "none", DURABILITY_NONE, 1);
	run_append(r, 2, 0, 3, 100);
	run_settle(r);
	run_grow(r, 2);
	some_appends(r, 2, 1);
	CHECK(run_checkpoint(r) == OK);
	some_appends(r, 0, 1);
	run_delete(r, 1);
	some_appends(r, 2, 1);
}

static void play_checkpoints(struct crash_run *r)
{
	run_create(r, 0, "commit", DURABILITY_COMMIT);
	run_create(r, 1, "none", DURABILITY_NONE);
	for (unsigned i = 0; i < 5; i++) {
		some_appends(r, 0, 1 + run_roll(r, 3));
		some_appends(r, 1, 1);
		run_append(r, 0, 0, 1, 100); /* under way while it begins */
		if (i % 2 == 1)
			run_age_segments(r);
		CHECK(run_checkpoint(r) == OK);
		run_settle(r);
	}
	some_appends(r, 0, 1);
	run_close(r);
	run_open(r);
	some_appends(r, 0, 1);
}

static void play_trims(struct crash_run *r)
{
	run_create(r, 0, "commit", DURABILITY_COMMIT);
	run_create(r, 1, "os", DURABILITY_OS);
	for (unsigned i = 0; i < 5; i++) {
		unsigned topic = run_roll(r, 2);
		uint32_t partition = run_roll(r, 2);
		const struct store_partition *p;

		some_appends(r, 0, 2);
		some_appends(r, 1, 2);
		p = r->topics[topic].topic->partitions[partition];
		run_trim(
			r, topic, partition,
			p->state.log_start +
				run_roll(r, (unsigned)(p->state.log_end - p->state.log_start) + 1));
		if (run_roll(r, 2))
			CHECK(run_checkpoint(r) == OK);
	}
}

/* Two finished segments and one that is not, of each partition, again and again. */
static void play_compaction(struct crash_run *r)
{
	run_create_compacted(r, 0, "commit", DURABILITY_COMMIT);
	run_create_compacted(r, 1, "os", DURABILITY_OS);
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned segments = 0; segments < 2; segments++) {
			some_appends(r, 0, 1);
			run_append(r, 0, 0, 2, 50);
			run_append(r, 1, 1, 2, run_roll(r, 3000));
			run_settle(r);
			run_age_segments(r);
			CHECK(run_checkpoint(r) == OK);
		}
		some_appends(r, run_roll(r, 2), 1);
		run_append(r, 0, 1, 1, 100); /* under way */
		if (i == 2)
			CHECK(run_compact(r) > 0);
		else if (run_roll(r, 2))
			(void)run_compact(r);
		run_settle(r);
		if (i == 1)
			run_trim(r, 0, 0, r->topics[0].topic->partitions[0]->state.log_start + 5);
		if (run_roll(r, 2))
			run_kill(r);
	}
}

/* What a recovery leaves undone, the next crash would find. */
static void play_restarts(struct crash_run *r)
{
	run_create(r, 0, "commit", DURABILITY_COMMIT);
	run_create(r, 1, "os", DURABILITY_OS);
	for (unsigned i = 0; i < 4; i++) {
		some_appends(r, 0, 1);
		some_appends(r, 1, 1 + run_roll(r, 3));
		run_kill(r);
		if (run_roll(r, 2))
			some_appends(r, 1, 1);
	}
}

/* Of all classes, with appends under way; from the first the segments have two names. */
static void play_backups(struct crash_run *r)
{
	run_create(r, 0, "commit", DURABILITY_COMMIT);
	run_create(r, 1, "none", DURABILITY_NONE);
	for (unsigned i = 0; i < RUN_BACKUPS; i++) {
		some_appends(r, 0, 1 + run_roll(r, 2));
		some_appends(r, 1, 1);
		run_append(r, 0, 0, 1, 100);
		run_append(r, 0, 1, 1, 3000);
		run_backup(r);
		run_settle(r);
		if (run_roll(r, 2)) {
			some_appends(r, 0, 1);
			CHECK(run_checkpoint(r) == OK);
		}
	}
	run_trim(r, 0, 0, r->topics[0].topic->partitions[0]->state.high_watermark);
	run_backup_remove(r, 0);
	some_appends(r, 0, 1);
	CHECK(run_checkpoint(r) == OK);
}

/* Events that are too many for memory, of all that may happen before a checkpoint has them. */
static void play_spills(struct crash_run *r)
{
	run_create(r, 0, "commit", DURABILITY_COMMIT);
	run_create(r, 1, "os", DURABILITY_OS);
	run_create(r, 2, "none", DURABILITY_NONE);
	for (unsigned i = 0; i < 7; i++) {
		for (unsigned n = 0; n < 3; n++) {
			run_append(r, run_roll(r, 3), run_roll(r, 2), 1, 1000 + run_roll(r, 3000));
			run_append(r, 0, run_roll(r, 2), 1, 1000);
			run_settle(r);
		}
		if (i % 3 == 0)
			run_age_segments(r);
		if (i == 4)
			run_trim(r, 0, 0, r->topics[0].topic->partitions[0]->state.high_watermark);
		if (i % 3 == 2)
			CHECK(run_checkpoint(r) == OK);
	}
	run_delete(r, 1);
	some_appends(r, 0, 1);
}

/* Many small files: the next one is begun every few appends, and freed ones are used again. */
static void play_rolls(struct crash_run *r)
{
	run_create(r, 0, "commit", DURABILITY_COMMIT);
	run_create(r, 1, "os", DURABILITY_OS);
	for (unsigned i = 0; i < 12; i++) {
		some_appends(r, run_roll(r, 2), 1);
		run_append(r, 0, 0, 1, 8000);
		run_append(r, 1, 1, 1, 3000);
		if (i % 5 == 4)
			CHECK(run_checkpoint(r) == OK);
		run_settle(r);
	}
}

/* Where the catalog's WAL has grown enough for a snapshot. */
static void play_catalog_snapshot(struct crash_run *r)
{
	run_create(r, 0, "a", DURABILITY_COMMIT);
	run_create(r, 1, "b", DURABILITY_COMMIT);
	for (unsigned i = 0; i < CATALOG_CHANGES; i++)
		run_alter(r, 0);
	some_appends(r, 0, 1);
	run_delete(r, 1);
	r->explore_from = r->line_count - 1;
	for (unsigned i = 0; i < 2; i++)
		run_alter(r, 0);
	run_create(r, 2, "b", DURABILITY_COMMIT);
	some_appends(r, 2, 1);
	run_kill(r);
	run_create(r, 3, "c", DURABILITY_COMMIT);
	some_appends(r, 3, 1);
}

/* As full as it takes for some to be refused, and free again. */
static void play_full_disk(struct crash_run *r)
{
	run_create(r, 0, "commit", DURABILITY_COMMIT);
	run_create(r, 1, "os", DURABILITY_OS);
	some_appends(r, 0, 2);
	disk_sim_set_capacity(r->sim, 0);
	for (unsigned i = 0; i < 40; i++) {
		run_append(r, run_roll(r, 2), run_roll(r, 2), 3, 4000 + run_roll(r, 12000));
		if (i % 10 == 9)
			(void)!run_checkpoint(r);
		run_settle(r);
	}
	run_trim(r, 0, 0, 1);
	disk_sim_set_capacity(r->sim, DISK_BYTES);
	some_appends(r, 0, 2);
	some_appends(r, 1, 2);
	(void)!run_checkpoint(r);
}

/* --- exploring -------------------------------------------------------------------------------- */

struct explored {
	uint64_t hash;
	struct observation seen;
	struct observation *backups[RUN_BACKUPS]; /* owned; NULL: not there */
	UT_hash_handle hh;
};

struct explorer {
	struct crash_run run;
	struct explored *states; /* of this run, by hash */
	uint64_t seeds, points, visits, kills;
	int64_t acked, spills;
	size_t distinct;
	struct verdict verdict;
	uint64_t lies; /* visits at which something was wrong */
};

static bool is_long(void)
{
	return getenv("BOURN_LONG") != NULL;
}

static void report(struct explorer *x, const struct disk_state *s, size_t lines)
{
	const struct disk_trace *t = &x->run.trace;
	size_t first = s->step > 12 ? s->step - 12 : 0;

	fprintf(stderr, "seed %llu, step %zu, %zu lines of the ledger, %s: %s\n",
	        (unsigned long long)x->run.seed, s->step, lines,
	        s->kept_all ? "killed" : "power cut", x->verdict.text);
	for (size_t i = first; i <= s->step; i++) {
		char text[LIE_BYTES];

		fprintf(stderr, "  %s\n", trace_step_text(&t->steps[i], text, sizeof(text)));
	}
	for (size_t i = 0; i < s->entry_count; i++)
		fprintf(stderr, "  %s: %lld bytes\n", s->entries[i].path,
		        (long long)s->entries[i].content.size);
}

static void observe_backups(struct explorer *x, const struct disk_state *s, struct explored *e)
{
	for (unsigned i = 0; i < x->run.backup_count; i++) {
		struct observation *o = malloc(sizeof(*o));

		assert_non_null(o);
		if (oracle_observe_backup(&x->run, s, i, o))
			e->backups[i] = o;
		else
			free(o);
	}
}

static bool is_right(struct explorer *x, const struct disk_state *s, const struct explored *e,
                     size_t lines)
{
	bool right = oracle_judge(&x->run, lines, s->kept_all, &e->seen, &x->verdict);

	for (unsigned i = 0; i < x->run.backup_count && right; i++)
		right = oracle_judge_backup(&x->run, lines, i, e->backups[i], &x->verdict);
	return right;
}

static bool explore_state(void *arg, const struct disk_state *s)
{
	struct explorer *x = arg;
	struct explored *e;

	if (!s->kept_all && s->hash % THIN != 0)
		return true;
	HASH_FIND(hh, x->states, &s->hash, sizeof(s->hash), e);
	if (!e) {
		e = calloc(1, sizeof(*e));
		assert_non_null(e);
		e->hash = s->hash;
		oracle_observe(&x->run, s, &e->seen);
		observe_backups(x, s, e);
		HASH_ADD(hh, x->states, hash, sizeof(e->hash), e);
		x->distinct++;
	}
	x->visits++;
	x->kills += s->kept_all;
	for (size_t lines = s->marks_least; lines <= s->marks_most; lines++) {
		if (is_right(x, s, e, lines))
			continue;
		if (x->lies++ == 0)
			report(x, s, lines);
		break;
	}
	return x->lies < 20;
}

static void play(struct explorer *x, const struct store_ops *ops, run_script *script, uint64_t seed)
{
	struct explored *e, *after;
	struct disk_states_config config = {
		.trace = &x->run.trace,
		.random_count = RANDOM_A_POINT,
		.every = is_long() ? EVERY_LONG : EVERY_SHORT,
		.seed = seed,
	};

	crash_run_init(&x->run, ops, seed, DISK_BYTES);
	x->run.rig.wal_file_bytes = seed % 2 ? WAL_FILE_BYTES : 0;
	run_open(&x->run);
	script(&x->run);
	run_close(&x->run);
	config.from_mark = x->run.explore_from;
	x->points += disk_states_each(&config, explore_state, x);
	x->acked += x->run.acked;
	x->spills += atomic_load(&x->run.rig.metrics[0].values[METRIC_SPILLS]);
	x->seeds++;
	HASH_ITER (hh, x->states, e, after) {
		HASH_DELETE(hh, x->states, e);
		for (unsigned i = 0; i < RUN_BACKUPS; i++)
			free(e->backups[i]);
		free(e);
	}
	crash_run_fini(&x->run);
}

/* `share`: one in so many of the states that other scripts are to reach. How often events were
 * spilled. */
static int64_t explore(const char *engine, const char *name, run_script *script, size_t share)
{
	const struct store_ops *ops = store_registry_find(store_registry_default(), engine);
	const char *only = getenv("BOURN_SEED");
	size_t wanted = is_long() ? STATES_LONG : STATES_SHORT;
	struct explorer x = {0};
	const struct verdict *v = &x.verdict;
	uint64_t seed = only ? strtoull(only, NULL, 10) : 1;

	assert_non_null(ops);
	do
		play(&x, ops, script, seed++);
	while (!only && x.distinct < wanted / share && x.lies == 0);
	printf("{\"test\":\"crash states and F2, %s: %s\",\"seed\":%llu,\"n\":%llu,\"points\":%llu,"
	       "\"states\":%zu,\"kills\":%llu,\"spills\":%lld,\"acked\":%lld,\"missing\":%llu,\"duplicates\":%llu,"
	       "\"disorder\":%llu,\"other\":%llu,\"verdict\":\"%s\"}\n",
	       engine, name, (unsigned long long)(only ? seed - 1 : 1),
	       (unsigned long long)x.visits, (unsigned long long)x.points, x.distinct,
	       (unsigned long long)x.kills, (long long)x.spills, (long long)x.acked,
	       (unsigned long long)v->missing, (unsigned long long)v->duplicates,
	       (unsigned long long)v->disorder, (unsigned long long)v->other,
	       x.lies ? "FAILED" : "passed");
	fflush(stdout);
	assert_int_equal(x.lies, 0);
	return x.spills;
}

#define ENGINE_TESTS(engine)                                                                       \
	TEST(engine##__survives_any_crash_while_appending)                                         \
	{                                                                                          \
		explore(#engine, "appends", play_appends, 1);                                      \
	}                                                                                          \
	TEST(engine##__survives_any_crash_while_topics_come_and_go)                                \
	{                                                                                          \
		explore(#engine, "topics", play_topics, 1);                                        \
	}                                                                                          \
	TEST(engine##__survives_any_crash_while_topics_grow)                                       \
	{                                                                                          \
		explore(#engine, "growth", play_growth, 1);                                        \
	}                                                                                          \
	TEST(engine##__survives_any_crash_around_checkpoints)                                      \
	{                                                                                          \
		explore(#engine, "checkpoints", play_checkpoints, 1);                              \
	}                                                                                          \
	TEST(engine##__survives_any_crash_around_trims)                                            \
	{                                                                                          \
		explore(#engine, "trims", play_trims, 1);                                          \
	}                                                                                          \
	TEST(engine##__survives_any_crash_around_compaction)                                       \
	{                                                                                          \
		explore(#engine, "compaction", play_compaction, 1);                                \
	}                                                                                          \
	TEST(engine##__survives_any_crash_after_others)                                            \
	{                                                                                          \
		explore(#engine, "restarts", play_restarts, 1);                                    \
	}                                                                                          \
	TEST(engine##__survives_any_crash_around_backups)                                          \
	{                                                                                          \
		explore(#engine, "backups", play_backups, 2);                                      \
	}                                                                                          \
	TEST(engine##__survives_any_crash_around_spills)                                           \
	{                                                                                          \
		bool spilled = explore(#engine, "spills", play_spills, 1) > 0;                     \
                                                                                                   \
		assert_int_equal(spilled, strcmp(#engine, "log") == 0);                            \
	}                                                                                          \
	TEST(engine##__survives_any_crash_around_new_wal_files)                                    \
	{                                                                                          \
		explore(#engine, "rolls", play_rolls, 1);                                          \
	}                                                                                          \
	TEST(engine##__survives_any_crash_around_a_catalog_snapshot)                               \
	{                                                                                          \
		explore(#engine, "catalog snapshot", play_catalog_snapshot, 20);                   \
	}                                                                                          \
	TEST(engine##__survives_any_crash_on_a_full_disk)                                          \
	{                                                                                          \
		explore(#engine, "full disk", play_full_disk, 1);                                  \
	}

ENGINE_TESTS(memory)
ENGINE_TESTS(log)

/* BOURN_ENGINE: only that one's. */
static void choose_engine(void)
{
	const char *engine = getenv("BOURN_ENGINE");
	static char pattern[32];

	if (!engine)
		return;
	assert_non_null(store_registry_find(store_registry_default(), engine));
	snprintf(pattern, sizeof(pattern), "%s__*", engine);
	cmocka_set_test_filter(pattern);
}

int main(void)
{
#define ENGINE(name)                                                                               \
	cmocka_unit_test(name##__survives_any_crash_while_appending),                              \
		cmocka_unit_test(name##__survives_any_crash_while_topics_come_and_go),             \
		cmocka_unit_test(name##__survives_any_crash_while_topics_grow),                    \
		cmocka_unit_test(name##__survives_any_crash_around_checkpoints),                   \
		cmocka_unit_test(name##__survives_any_crash_around_trims),                         \
		cmocka_unit_test(name##__survives_any_crash_around_compaction),                    \
		cmocka_unit_test(name##__survives_any_crash_after_others),                         \
		cmocka_unit_test(name##__survives_any_crash_around_backups),                       \
		cmocka_unit_test(name##__survives_any_crash_around_spills),                        \
		cmocka_unit_test(name##__survives_any_crash_around_new_wal_files),                 \
		cmocka_unit_test(name##__survives_any_crash_around_a_catalog_snapshot),            \
		cmocka_unit_test(name##__survives_any_crash_on_a_full_disk)
	const struct CMUnitTest tests[] = {
		ENGINE(memory),
		ENGINE(log),
	};

	choose_engine();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
