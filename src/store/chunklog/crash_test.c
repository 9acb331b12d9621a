/* Crashes at every call: random appends of all classes, trims, changes of class and checkpoints on
 * a simulated disk whose power goes (or whose process is killed) in the middle of any of it; then a
 * start, with another number of shards, is held against what had been answered.
 *
 * The oracle: a record says which append it was. What was acknowledged is there if its class
 * promises so, at the offset that was told; what was lost is a suffix, and its readers can tell by
 * the epoch; nothing appears twice, out of order, or after it was once found missing. */
#include "base/test.h"
#include "store/chunklog/engine.h"
#include "store/testing/disk_power.h"
#include "store/testing/store_rig.h"
#include "store/verify/verify.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	SEEDS = TEST_TIMES(500),
	ROUNDS = 5,
	STEPS_MAX = 120,
	TOPICS = 4,
	PARTITIONS = 2,
	TRACKS = TOPICS * PARTITIONS, /* at the beginning */
	TRACKS_MAX = TRACKS + 4,      /* the last topic grows */
	SENT_MAX = 4096,
	BATCH_LIMIT = 64 << 10,
	IN_FLIGHT_MAX = 12,
};

enum outcome { PENDING, ACKED, UNKNOWN, LOST };

struct sent {
	enum outcome outcome;
	enum durability durability;
	int64_t base_offset; /* -1: not told */
	uint32_t count;
	int32_t epoch;
	bool safe; /* no crash may take it */
	bool seen; /* by this round's verification */
};

/* What is known of one partition. */
struct track {
	char name[8];
	uint32_t index;
	struct store_partition *partition;
	struct sent sent[SENT_MAX];
	size_t count;
	int64_t trim_asked; /* highest */
	int64_t trim_safe;
};

struct world {
	uint64_t seed;
	struct entropy_seeded dice;
	struct disk_power power;
	struct store_rig rig;
	struct track tracks[TRACKS_MAX];
	unsigned track_count;
	unsigned in_flight;
	bool settled; /* in_flight == 0 */
	bool kills;   /* this round's crash */
};

static unsigned roll(struct world *w, unsigned below)
{
	uint32_t n;

	w->dice.base.fill(&w->dice.base, &n, sizeof(n));
	return n % below;
}

/* --- appends ---------------------------------------------------------------------------------- */

struct shot {
	struct store_append op;
	struct world *world;
	struct sent *sent;
	struct buf batch;
};

static void shot_done(struct store_append *a)
{
	struct shot *s = CONTAINER_OF(a, struct shot, op);
	struct world *w = s->world;

	if (a->fault.code == OK) {
		s->sent->outcome = ACKED;
		s->sent->base_offset = a->base_offset;
		s->sent->epoch = a->partition->state.leader_epoch;
	} else {
		s->sent->outcome = a->fault.code == ERR_IO ? UNKNOWN : LOST;
	}
	buf_fini(&s->batch);
	free(s);
	w->settled = --w->in_flight == 0;
}

static struct slice make_batch(struct world *w, const struct track *t, struct buf *to,
                               uint32_t count)
{
	static char value[2048];
	struct batch_builder b;

	batch_begin(&b, to);
	for (uint32_t i = 0; i < count; i++) {
		int len = snprintf(value, sizeof(value), "%s/%u %zu %u ", t->name, t->index,
		                   t->count, i);
		size_t filler = roll(w, 8) == 0 ? roll(w, 1900) : roll(w, 40);

		memset(value + len, 'x', filler);
		batch_add(&b, &(struct record){.timestamp = (int64_t)t->count,
		                               .value = slice_of(value, (size_t)len + filler)});
	}
	return batch_finish(&b);
}

static void shoot(struct world *w)
{
	struct track *t = &w->tracks[roll(w, w->track_count)];
	struct shot *s = calloc(1, sizeof(*s));
	uint32_t count = 1 + roll(w, 6);

	assert_non_null(s);
	assert_true(t->count < SENT_MAX);
	s->world = w;
	s->batch = BUF_INIT(BATCH_LIMIT);
	s->op = (struct store_append){
		.partition = t->partition,
		.batches = make_batch(w, t, &s->batch, count),
		.expected_offset = -1,
		.done = shot_done,
	};
	s->sent = &t->sent[t->count++];
	*s->sent = (struct sent){
		.base_offset = -1,
		.count = count,
		.durability = t->partition->settings.durability,
	};
	w->in_flight++;
	w->settled = false;
	w->rig.store->ops->append(&s->op);
}

static void settle(struct world *w)
{
	if (w->in_flight > 0)
		assert_true(rig_run(&w->rig, &w->settled));
}

/* --- other steps ------------------------------------------------------------------------------ */

static void all_acked_is_safe(struct track *t)
{
	for (size_t i = 0; i < t->count; i++)
		t->sent[i].safe |= t->sent[i].outcome == ACKED;
}

static void step_checkpoint(struct world *w)
{
	bool was_acked[TRACKS_MAX][SENT_MAX];

	for (unsigned i = 0; i < w->track_count; i++)
		for (size_t k = 0; k < w->tracks[i].count; k++)
			was_acked[i][k] = w->tracks[i].sent[k].outcome == ACKED;
	if (rig_checkpoint(&w->rig))
		return;
	for (unsigned i = 0; i < w->track_count; i++)
		for (size_t k = 0; k < w->tracks[i].count; k++)
			w->tracks[i].sent[k].safe |= was_acked[i][k];
}

static void step_trim(struct world *w)
{
	struct track *t = &w->tracks[roll(w, w->track_count)];
	const struct partition_state *s = &t->partition->state;
	int64_t upto = s->log_start;
	enum durability d = t->partition->settings.durability;

	upto += roll(w, (unsigned)(s->high_watermark - s->log_start) / 2 + 1);
	if (upto > t->trim_asked)
		t->trim_asked = upto;
	if (rig_trim(&w->rig, t->partition, upto) || upto < t->trim_safe)
		return;
	if (d == DURABILITY_COMMIT || (w->kills && d != DURABILITY_NONE))
		t->trim_safe = upto;
}

/* Partitions of the last topic there are tracks for now. */
static uint32_t partitions_of_last(const struct world *w)
{
	return w->track_count - (TRACKS - PARTITIONS);
}

/* The last topic has so many partitions, perhaps more than before. */
static void take_growth(struct world *w, const struct store_topic *topic)
{
	const struct track *first = &w->tracks[TRACKS - PARTITIONS];

	for (uint32_t i = partitions_of_last(w); i < topic->spec.partition_count; i++) {
		struct track *t = &w->tracks[w->track_count++];

		memcpy(t->name, first->name, sizeof(t->name));
		t->index = i;
		t->partition = topic->partitions[i];
	}
}

/* The last topic changes between all classes, and grows. */
static void step_alter(struct world *w)
{
	struct track *first = &w->tracks[TRACKS - PARTITIONS];
	struct topic_spec spec = {.uuid = first->partition->topic};
	enum durability before = first->partition->settings.durability;
	const struct store_topic *topic;

	settle(w);
	if (w->track_count < TRACKS_MAX && roll(w, 3) == 0)
		spec.partition_count = partitions_of_last(w) + 1;
	spec.settings = first->partition->settings;
	spec.settings.durability = (enum durability)roll(w, DURABILITY_COMMIT + 1);
	if (rig_alter(&w->rig, &spec, &topic, NULL))
		return;
	take_growth(w, topic);
	assert_true(partitions_of_last(w) >= spec.partition_count);
	assert_int_equal(first->partition->settings.durability, spec.settings.durability);
	if (before == DURABILITY_NONE && spec.settings.durability != DURABILITY_NONE)
		for (unsigned i = TRACKS - PARTITIONS; i < w->track_count; i++)
			all_acked_is_safe(&w->tracks[i]);
}

static void step(struct world *w)
{
	switch (roll(w, 24)) {
	case 0: step_checkpoint(w); break;
	case 1: step_trim(w); break;
	case 2: step_alter(w); break;
	case 3:
	case 4: settle(w); break;
	default: shoot(w); break;
	}
	if (w->in_flight > IN_FLIGHT_MAX)
		settle(w);
}

/* --- verification ----------------------------------------------------------------------------- */

static void fail_with(const struct world *w, const struct track *t, const char *what, long long at)
{
	fail_msg("seed %llu, %s/%u: %s at %lld", (unsigned long long)w->seed, t->name, t->index,
	         what, at);
}

/* Which append is this batch, and is it whole? */
static struct sent *recognize(const struct world *w, struct track *t, const struct batch *b)
{
	struct batch_iter it;
	struct record r;
	bool corrupt = false;
	char expected[64];
	size_t id = SENT_MAX;
	uint32_t i = 0;

	if (!batch_crc_ok(b))
		fail_with(w, t, "wrong checksum", b->base_offset);
	for (batch_iter_init(&it, b); batch_iter_next(&it, &r, &corrupt); i++) {
		int len;

		if (i == 0)
			id = (size_t)r.timestamp;
		len = snprintf(expected, sizeof(expected), "%s/%u %zu %u ", t->name, t->index, id,
		               i);
		if (r.value.len < (size_t)len || memcmp(r.value.ptr, expected, (size_t)len) != 0)
			fail_with(w, t, "a foreign record", r.offset);
	}
	if (corrupt || id >= t->count || i != t->sent[id].count)
		fail_with(w, t, "a broken batch", b->base_offset);
	return &t->sent[id];
}

static void check_batch(const struct world *w, struct track *t, const struct batch *b,
                        const struct sent **last)
{
	struct sent *s = recognize(w, t, b);

	if (*last && s <= *last)
		fail_with(w, t, "disorder or a duplicate", b->base_offset);
	if (s->outcome == LOST)
		fail_with(w, t, "what was refused or once missing is back", b->base_offset);
	if (s->base_offset >= 0 && s->base_offset != b->base_offset)
		fail_with(w, t, "an event moved", b->base_offset);
	s->base_offset = b->base_offset;
	s->seen = true;
	*last = s;
}

static void read_back(struct world *w, struct track *t)
{
	const struct partition_state *s = &t->partition->state;
	int64_t next = s->log_start;
	const struct sent *last = NULL;
	bool first = true;

	while (next < s->high_watermark) {
		struct slice rest;
		struct shared *holder;

		if (rig_read(&w->rig, t->partition, next, 3000, &rest, &holder))
			fail_with(w, t, "read refused", next);
		while (rest.len > 0) {
			struct batch b;

			assert_int_equal(batch_parse(rest, &b, NULL), OK);
			if (first ? b.base_offset > next || b.last_offset < next
			          : b.base_offset != next)
				fail_with(w, t, "a hole", next);
			check_batch(w, t, &b, &last);
			next = b.last_offset + 1;
			first = false;
			rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
		}
		shared_put(holder);
	}
	if (next != s->high_watermark)
		fail_with(w, t, "more than the high watermark", next);
}

static bool must_be_there(const struct world *w, const struct sent *s)
{
	if (s->safe || s->durability == DURABILITY_COMMIT)
		return true;
	return w->kills && s->durability != DURABILITY_NONE;
}

/* Readers saw it: whatever is at its offset now, they can tell. */
static void check_loss_can_be_told(const struct world *w, const struct track *t,
                                   const struct sent *s)
{
	struct store_partition *p = t->partition;

	if (s->base_offset >= p->state.log_start &&
	    p->store->ops->epoch_end(p, s->epoch) > s->base_offset)
		fail_with(w, t, "a reader cannot tell its loss", s->base_offset);
}

static void check_missing(const struct world *w, const struct track *t, struct sent *s)
{
	const struct partition_state *state = &t->partition->state;

	if (s->outcome == ACKED) {
		if (s->base_offset + s->count <= state->log_start)
			return; /* trimmed */
		if (must_be_there(w, s))
			fail_with(w, t, "an acknowledged event is lost", s->base_offset);
		if (s->base_offset < state->high_watermark)
			fail_with(w, t, "not a suffix was lost", s->base_offset);
	}
	s->outcome = LOST;
}

static void verify_track(struct world *w, struct track *t)
{
	const struct partition_state *state = &t->partition->state;

	if (state->fenced.code)
		fail_with(w, t, state->fenced.where, state->log_end);
	if (state->log_start > t->trim_asked || state->log_start < t->trim_safe)
		fail_with(w, t, "wrong log start", state->log_start);
	for (size_t i = 0; i < t->count; i++)
		t->sent[i].seen = false;
	read_back(w, t);
	for (size_t i = 0; i < t->count; i++) {
		struct sent *s = &t->sent[i];

		if (!s->seen) {
			check_missing(w, t, s);
			if (s->outcome == LOST && s->base_offset >= 0)
				check_loss_can_be_told(w, t, s);
			continue;
		}
		/* Recovered means on disk, whatever had been promised before. */
		s->outcome = ACKED;
		s->safe = true;
		s->epoch = state->leader_epoch;
	}
	t->trim_safe = state->log_start;
}

/* --- the loop --------------------------------------------------------------------------------- */

static void find_partitions(struct world *w)
{
	for (unsigned i = 0; i < w->track_count; i++) {
		const struct store_topic *topic = rig_find(&w->rig, w->tracks[i].name);

		assert_non_null(topic);
		assert_in_range(w->tracks[i].index, 0, topic->spec.partition_count - 1);
		w->tracks[i].partition = topic->partitions[w->tracks[i].index];
		if (i == TRACKS - 1) /* what was not answered may have happened */
			take_growth(w, topic);
	}
}

static void say_finding(void *arg, const struct verify_finding *finding)
{
	const struct world *w = arg;

	if (finding->is_damage)
		fail_msg("seed %llu: verify says %s byte %lld: %s", (unsigned long long)w->seed,
		         finding->file, (long long)finding->at, finding->what);
}

static bool go_on(void *arg __attribute__((unused)), int64_t done __attribute__((unused)),
                  int64_t all __attribute__((unused)))
{
	return true;
}

/* Whatever a crash leaves behind is no damage. */
static void check_by_verify(struct world *w)
{
	const struct verify_config config = {
		.path = "/data",
		.disk = &w->power.base,
		.clock = clock_system(),
		.found = say_finding,
		.progress = go_on,
		.arg = w,
	};
	struct verify_totals totals;
	struct fault f = {0};

	if (verify_run(&config, &totals, &f))
		fail_msg("seed %llu: verify: %s", (unsigned long long)w->seed, f.where);
}

static void start(struct world *w)
{
	struct fault f = {0};

	w->rig.shard_count = 1 + roll(w, 3);
	/* Sometimes the power goes again while it recovers. */
	if (roll(w, 3) == 0) {
		disk_power_on(&w->power, 1 + roll(w, 40), roll(w, 2));
		if (rig_try_open(&w->rig, &f) == OK)
			rig_shut(&w->rig);
	}
	disk_power_on(&w->power, UINT_MAX, true);
	if (w->seed % 4 == 0)
		check_by_verify(w);
	if (rig_try_open(&w->rig, &f))
		fail_msg("seed %llu: does not start: %s", (unsigned long long)w->seed, f.where);
	find_partitions(w);
}

/* By a crash, or sometimes well. */
static void stop(struct world *w)
{
	settle(w);
	if (roll(w, 4) == 0 && disk_power_keep(&w->power)) {
		for (unsigned i = 0; i < w->track_count; i++)
			all_acked_is_safe(&w->tracks[i]);
	} else if (!disk_power_is_off(&w->power)) {
		disk_power_on(&w->power, 1, roll(w, 2));
	}
	rig_shut(&w->rig);
}

static void play_round(struct world *w)
{
	unsigned steps = 1 + roll(w, STEPS_MAX);

	w->kills = roll(w, 2);
	w->power.kills = w->kills;
	disk_power_on(&w->power, 1 + roll(w, 300), roll(w, 2));
	for (unsigned i = 0; i < steps && !disk_power_is_off(&w->power); i++)
		step(w);
	stop(w);
	start(w);
	for (unsigned i = 0; i < w->track_count; i++)
		verify_track(w, &w->tracks[i]);
}

static void make_topics(struct world *w)
{
	w->track_count = TRACKS;
	for (unsigned i = 0; i < TOPICS; i++) {
		struct topic_spec spec;
		const struct store_topic *topic;
		char name[8];

		snprintf(name, sizeof(name), "t%u", i);
		spec = rig_spec(&w->rig, name, PARTITIONS);
		spec.settings.durability = (enum durability)i;
		assert_int_equal(rig_create(&w->rig, &spec, &topic, NULL), OK);
		for (uint32_t p = 0; p < PARTITIONS; p++) {
			struct track *t = &w->tracks[i * PARTITIONS + p];

			memcpy(t->name, name, sizeof(name));
			t->index = p;
			t->partition = topic->partitions[p];
		}
	}
}

/* How often events were spilled. */
static int64_t play(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));
	struct fault f;
	int64_t spills;

	assert_non_null(w);
	w->seed = seed;
	entropy_seeded_init(&w->dice, seed);
	disk_power_init(&w->power, seed, 256 << 20);
	/* Every other seed plays `log`, as good as all of it read from segments. */
	rig_init(&w->rig, seed % 2 ? &store_memory : &store_log, 2, &w->power.base, "/data", seed);
	w->rig.memory_bytes = roll(w, 2) ? 1 : 20000;
	assert_int_equal(rig_try_open(&w->rig, &f), OK);
	make_topics(w);
	for (unsigned i = 0; i < ROUNDS; i++)
		play_round(w);
	spills = atomic_load(&w->rig.metrics[0].values[METRIC_SPILLS]);
	rig_fini(&w->rig);
	disk_power_fini(&w->power);
	free(w);
	return spills;
}

TEST(engine__keeps_its_promises_whenever_it_dies)
{
	const char *only = getenv("BOURN_SEED");
	int64_t spills = 0;

	if (only) {
		play(strtoull(only, NULL, 10));
		return;
	}
	for (uint64_t seed = 1; seed <= SEEDS; seed++)
		spills += play(seed);
	printf("%lld spills\n", (long long)spills);
	assert_true(spills > SEEDS); /* else they were not tested */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(engine__keeps_its_promises_whenever_it_dies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
