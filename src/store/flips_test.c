/* F5: one bit flipped at thousands of random places of a small store's files, of each kind.
 * Whatever it hits: no event is served that was not sent, none at another offset; what is missing
 * is said to be (the partition is fenced, a read refused); other partitions serve; only a damaged
 * catalog or marker refuses the start. BOURN_LONG flips more; BOURN_SEED another set. */
#include "base/test.h"
#include "io/testing/disk_poke.h"
#include "io/testing/disk_states.h"
#include "store/testing/crash_run.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	DISK_BYTES = 64 << 20,
	FLIPS_SHORT = TEST_TIMES(2000),
	FLIPS_LONG = TEST_TIMES(10000),
	TOPICS = 3,
	READ_BYTES = 64 << 10,
	EVENT_LIMIT = RUN_EVENT_BYTES_MAX + 64,
	CANDIDATES_MAX = 64,
	LIES_MAX = 10,
};

/* By the path's ending; in this order. */
enum kind { SEGMENT, INDEX, WAL, CATALOG, MANIFEST, MARKER, OTHER, KINDS };

static const char *const kind_names[KINDS] = {"segment",  "index",  "wal",  "catalog",
                                              "manifest", "marker", "other"};

struct tally {
	unsigned flips, refused, fenced, harmless, lies;
	unsigned rejected; /* damage that the reader's own check of a batch found */
};

struct flipper {
	struct crash_run run;
	struct entropy_seeded dice;
	const struct disk_state *image;
	const struct disk_state_entry *hit;
	uint64_t flips;
	struct tally tallies[KINDS];
	uint64_t corrupt_served, misplaced;
};

static unsigned roll(struct flipper *x, unsigned below)
{
	uint32_t n;

	x->dice.base.fill(&x->dice.base, &n, sizeof(n));
	return n % below;
}

/* --- the store: two segments a partition, a manifest and its predecessor, and a WAL ----------- */

static void fill_store(struct crash_run *r)
{
	run_create(r, 0, "a", DURABILITY_COMMIT);
	run_create(r, 1, "b", DURABILITY_COMMIT);
	run_create(r, 2, "last", DURABILITY_COMMIT);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 8; i++) {
			for (unsigned p = 0; p < 4; p++)
				run_append(r, p / 2, p % 2, 1 + run_roll(r, 3), run_roll(r, 600));
			run_settle(r);
		}
		if (round < 2)
			CHECK(run_checkpoint(r) == OK);
		run_age_segments(r);
	}
	/* Damage in the last group looks like a torn write: it is another topic's. */
	run_append(r, 2, 0, 1, 100);
	run_settle(r);
}

/* --- flipping --------------------------------------------------------------------------------- */

static bool ends_with(const char *path, const char *end)
{
	size_t len = strlen(path), end_len = strlen(end);

	return len >= end_len && strcmp(path + len - end_len, end) == 0;
}

static enum kind kind_of(const char *path)
{
	if (ends_with(path, ".seg"))
		return SEGMENT;
	if (ends_with(path, ".idx"))
		return INDEX;
	if (strstr(path, "/catalog/"))
		return CATALOG;
	if (ends_with(path, ".wal"))
		return WAL;
	if (strstr(path, "/manifest"))
		return MANIFEST;
	return ends_with(path, "/bourn.dir") ? MARKER : OTHER;
}

/* Where its content ends and only what was written ahead of use follows. */
static int64_t used_bytes(const struct disk_state_entry *e)
{
	int64_t end = 0;

	for (size_t i = 0; i < e->content.count; i++)
		if (e->content.blocks[i])
			end = ((int64_t)i + 1) * MODEL_BLOCK_BYTES;
	return end < e->content.size ? end : e->content.size;
}

/* One of that kind, by chance; NULL: there is none. */
static const struct disk_state_entry *pick_file(struct flipper *x, enum kind kind)
{
	const struct disk_state_entry *found[CANDIDATES_MAX];
	unsigned count = 0;

	for (size_t i = 0; i < x->image->entry_count && count < CANDIDATES_MAX; i++) {
		const struct disk_state_entry *e = &x->image->entries[i];

		if (!e->is_dir && kind_of(e->path) == kind && used_bytes(e) > 0)
			found[count++] = e;
	}
	return count > 0 ? found[roll(x, count)] : NULL;
}

static uint8_t byte_of(const struct disk_state_entry *e, int64_t at)
{
	const struct model_block *b = e->content.blocks[at / MODEL_BLOCK_BYTES];

	return b ? b->bytes[at % MODEL_BLOCK_BYTES] : 0;
}

/* Mostly not in padding. */
static int64_t pick_byte(struct flipper *x)
{
	bool anywhere = roll(x, 8) == 0;
	int64_t at;

	do
		at = (int64_t)roll(x, (unsigned)used_bytes(x->hit));
	while (!anywhere && byte_of(x->hit, at) == 0);
	return at;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct reading {
	struct flipper *flipper;
	struct store_rig rig;
	unsigned topic;
	struct store_partition *partition;
	bool present[RUN_EVENTS_MAX];
	struct tally *tally;
};

static bool is_event(const struct reading *g, int64_t number, struct slice value)
{
	const struct run_topic *t = &g->flipper->run.topics[g->topic];
	uint32_t p = g->partition->index;
	struct buf expected = BUF_INIT(EVENT_LIMIT);
	struct slice e;
	bool same;

	if (number < 0 || number >= t->partitions[p].asked)
		return false;
	e = run_event(&expected, g->topic, p, number, t->partitions[p].bytes[number]);
	same = e.len == value.len && memcmp(e.ptr, value.ptr, e.len) == 0;
	buf_fini(&expected);
	return same;
}

/* Event n was given offset n. */
static void check_record(struct reading *g, const struct record *r)
{
	struct flipper *x = g->flipper;

	if (is_event(g, r->offset, r->value) && r->timestamp == r->offset)
		g->present[r->offset] = true;
	else if (is_event(g, r->timestamp, r->value))
		x->misplaced++;
	else
		x->corrupt_served++;
}

/* Returns the offset after what was read; a batch that fails its checksum is not taken. */
static int64_t check_batches(struct reading *g, struct slice rest, int64_t at)
{
	while (rest.len > 0) {
		bool corrupt = false;
		struct batch_iter it;
		struct record r;
		struct batch b;

		if (batch_parse(rest, &b, NULL) || !batch_crc_ok(&b)) {
			g->tally->rejected++;
			return at + 1;
		}
		for (batch_iter_init(&it, &b); batch_iter_next(&it, &r, &corrupt);)
			check_record(g, &r);
		at = b.last_offset + 1;
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	return at;
}

/* All that can be had; returns how many events could not. */
static int64_t read_partition(struct reading *g)
{
	struct store_partition *p = g->partition;
	int64_t asked = g->flipper->run.topics[g->topic].partitions[p->index].asked;
	int64_t missing = 0, at = p->state.log_start;

	memset(g->present, 0, sizeof(g->present));
	while (at < p->state.high_watermark) {
		struct shared *holder;
		struct slice batches;
		int64_t next = at + 1;

		if (rig_read(&g->rig, p, at, READ_BYTES, &batches, &holder) == OK) {
			next = check_batches(g, batches, at);
			if (holder)
				shared_put(holder);
		}
		at = next > at ? next : at + 1;
	}
	for (int64_t n = 0; n < asked; n++)
		missing += !g->present[n];
	return missing;
}

/* --- judging ---------------------------------------------------------------------------------- */

static void lie(struct flipper *x, struct tally *t, const char *what, int64_t at, unsigned bit)
{
	if (t->lies++ < LIES_MAX)
		fprintf(stderr, "flip %llu, %s byte %lld bit %u: %s\n",
		        (unsigned long long)x->flips, x->hit->path, (long long)at, bit, what);
}

static const struct store_topic *find_topic(struct reading *g, unsigned topic)
{
	return rig_find(&g->rig, g->flipper->run.topics[topic].spec.name);
}

/* Is that partition's the segment that was hit? */
static bool is_hit(const struct reading *g)
{
	char home[UUID_TEXT_LEN + 16], uuid[UUID_TEXT_LEN + 1];

	snprintf(home, sizeof(home), "/%s/%u/", uuid_format(&g->partition->topic, uuid),
	         g->partition->index);
	return strstr(g->flipper->hit->path, home) != NULL;
}

/* What is wrong with what is left of it; NULL: nothing. `*hurt` counts partitions that lost
 * some. */
static const char *judge_partition(struct reading *g, enum kind kind, unsigned *hurt)
{
	int64_t missing = read_partition(g);
	bool fenced = g->partition->state.fenced.code;
	bool is_last = g->topic == TOPICS - 1 && kind == WAL;

	if (kind == SEGMENT && !is_hit(g) && (missing || fenced))
		return "another partition suffers";
	if (kind != SEGMENT && kind != WAL && kind != OTHER && (missing || fenced))
		return "events are missing";
	if (missing && !fenced && !is_last)
		return "events are missing and nothing is fenced";
	*hurt += missing && !is_last;
	return NULL;
}

static void judge(struct reading *g, enum kind kind, int64_t at, unsigned bit)
{
	struct flipper *x = g->flipper;
	uint64_t served = x->corrupt_served + x->misplaced;
	unsigned hurt = 0, fenced = 0;

	for (g->topic = 0; g->topic < TOPICS; g->topic++) {
		const struct store_topic *t = find_topic(g, g->topic);

		for (uint32_t p = 0; p < RUN_PARTITIONS; p++) {
			const char *wrong = "a topic is missing";

			if (t) {
				g->partition = t->partitions[p];
				wrong = judge_partition(g, kind, &hurt);
				fenced += g->partition->state.fenced.code != OK;
			}
			if (wrong)
				lie(x, g->tally, wrong, at, bit);
		}
	}
	if (hurt > 1)
		lie(x, g->tally, "more than one partition lost events", at, bit);
	if (x->corrupt_served + x->misplaced != served)
		lie(x, g->tally, "a wrong event was served", at, bit);
	g->tally->fenced += fenced > 0;
	g->tally->harmless += fenced == 0;
}

static void flip_one(struct flipper *x, enum kind kind)
{
	struct disk_sim *sim = disk_sim_new(1, DISK_BYTES);
	struct reading g = {.flipper = x, .tally = &x->tallies[kind]};
	int64_t at = pick_byte(x);
	unsigned bit = roll(x, 8);
	struct fault f = {0};

	disk_state_write(x->image, disk_sim_disk(sim));
	disk_poke_flip(disk_sim_disk(sim), x->hit->path, at * 8 + bit);
	rig_init(&g.rig, x->run.rig.ops, 1, disk_sim_disk(sim), "/data", 1);
	x->flips++;
	g.tally->flips++;
	if (rig_try_open(&g.rig, &f) == OK) {
		judge(&g, kind, at, bit);
	} else {
		g.tally->refused++;
		if ((kind != CATALOG && kind != MARKER) || f.where[0] == '\0')
			lie(x, g.tally, f.where, at, bit);
	}
	rig_fini(&g.rig);
	disk_sim_free(sim);
}

/* Of the last crash point: all that was written is there. */
static bool flip_many(void *arg, const struct disk_state *s)
{
	struct flipper *x = arg;
	uint64_t wanted = x->flips + (getenv("BOURN_LONG") ? FLIPS_LONG : FLIPS_SHORT) / 2u;

	if (!s->kept_all || s->marks_most < x->run.line_count)
		return true;
	x->image = s;
	while (x->flips < wanted) {
		enum kind kind = (enum kind)roll(x, KINDS);

		x->hit = pick_file(x, kind);
		if (x->hit)
			flip_one(x, kind);
	}
	return false;
}

/* --- the test --------------------------------------------------------------------------------- */

static void flip_in_store(struct flipper *x, const struct store_ops *ops, uint64_t seed, bool clean)
{
	struct disk_states_config config = {.trace = &x->run.trace, .seed = seed};

	crash_run_init(&x->run, ops, seed, DISK_BYTES);
	run_open(&x->run);
	fill_store(&x->run);
	config.from_mark = x->run.line_count - 1;
	if (clean)
		run_close(&x->run);
	else
		run_die(&x->run);
	disk_states_each(&config, flip_many, x);
	crash_run_fini(&x->run);
}

static unsigned print_tally(const struct tally *t, const char *name)
{
	printf(",\"%s\":{\"n\":%u,\"fenced\":%u,\"refused\":%u,\"harmless\":%u,\"rejected\":%u}",
	       name, t->flips, t->fenced, t->refused, t->harmless, t->rejected);
	return t->lies;
}

static void flip_engine(const char *engine)
{
	const struct store_ops *ops = store_registry_find(store_registry_default(), engine);
	const char *only = getenv("BOURN_SEED");
	uint64_t seed = only ? strtoull(only, NULL, 10) : 1;
	struct flipper *x = calloc(1, sizeof(*x));
	unsigned lies = 0;

	assert_non_null(ops);
	entropy_seeded_init(&x->dice, seed);
	flip_in_store(x, ops, seed, false);
	flip_in_store(x, ops, seed + 1, true);
	printf("{\"test\":\"F5 flipped bits, %s\",\"seed\":%llu,\"n\":%llu", engine,
	       (unsigned long long)seed, (unsigned long long)x->flips);
	for (int kind = 0; kind < KINDS; kind++)
		if (x->tallies[kind].flips > 0)
			lies += print_tally(&x->tallies[kind], kind_names[kind]);
	printf(",\"corrupt_served\":%llu,\"misplaced\":%llu,\"wrong\":%u,\"verdict\":\"%s\"}\n",
	       (unsigned long long)x->corrupt_served, (unsigned long long)x->misplaced, lies,
	       lies ? "FAILED" : "passed");
	fflush(stdout);
	free(x);
	assert_int_equal(lies, 0);
}

TEST(memory__serves_nothing_wrong_whatever_bit_is_flipped)
{
	flip_engine("memory");
}

TEST(log__serves_nothing_wrong_whatever_bit_is_flipped)
{
	flip_engine("log");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory__serves_nothing_wrong_whatever_bit_is_flipped),
		cmocka_unit_test(log__serves_nothing_wrong_whatever_bit_is_flipped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
