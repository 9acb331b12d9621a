#include "store/compact/compact_rewrite.h"

#include "base/check.h"
#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	LOG_BYTES_MAX = 8 << 20,
	MAP_BYTES = 64 << 10,
	KEYS = 12,
	MODEL_RECORDS = 4000,
	MODEL_RUNS = 60,
	DAY_MS = 86400000,
	EPOCH = 7,
};

static const struct siphash_key hash_key = {{1, 2}};

/* --- a log of batches ------------------------------------------------------------------------- */

/* "a=1 b c" is a batch of three records: a value for key a, tombstones for b and c; "=1" has no
 * key. Timestamps are offsets. */
static void log_append(struct buf *log, int64_t base, const char *text)
{
	struct slice rest = slice_str(text);
	struct batch_builder b;
	int64_t offset = base;

	batch_begin(&b, log);
	while (rest.len > 0) {
		struct slice value = slice_cut(&rest, ' '), key;
		bool is_tombstone = memchr(value.ptr, '=', value.len) == NULL;

		key = slice_cut(&value, '=');
		batch_add(&b, &(struct record){.timestamp = offset,
		                               .key = key.len ? key : SLICE_NONE,
		                               .value = is_tombstone ? SLICE_NONE : value});
		offset++;
	}
	batch_assign((uint8_t *)(uintptr_t)batch_finish(&b).ptr, base, 0);
}

/* "4:a=1 5:b 6:=x", and "|" between batches, "(7)" for one without records that ends before 7. */
static void log_print(struct slice rest, struct buf *out)
{
	const char *between = "";

	while (rest.len > 0) {
		struct batch_iter it;
		struct record r;
		struct batch b;
		bool corrupt;

		assert_int_equal(batch_parse(rest, &b, NULL), OK);
		assert_true(batch_crc_ok(&b));
		buf_printf(out, "%s", between);
		if (b.record_count == 0)
			buf_printf(out, "(%lld)", (long long)b.last_offset + 1);
		between = "";
		for (batch_iter_init(&it, &b); batch_iter_next(&it, &r, &corrupt);) {
			assert_int_equal(r.timestamp, r.offset);
			buf_printf(out, "%s%lld:%.*s%s%.*s", between, (long long)r.offset,
			           SLICE_FMT(r.key), r.value.ptr ? "=" : "", SLICE_FMT(r.value));
			between = " ";
		}
		assert_false(corrupt);
		between = " | ";
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
}

/* Its offsets go from `base` to `end` without a hole. */
static void check_covers(struct slice rest, int64_t base, int64_t end)
{
	while (rest.len > 0) {
		struct batch b;

		assert_int_equal(batch_parse(rest, &b, NULL), OK);
		assert_int_equal(b.base_offset, base);
		assert_int_equal(b.leader_epoch, EPOCH);
		base = b.last_offset + 1;
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	assert_int_equal(base, end);
}

/* --- a run ------------------------------------------------------------------------------------ */

struct run {
	int64_t clean; /* all below is; afterwards: too */
	int64_t end;   /* of the log */
	int64_t log_start;
	int64_t now_ms;
	size_t map_bytes;
};

static void note_dirty(struct compact_map *m, struct run *run, struct slice rest)
{
	int64_t upto = run->clean;

	while (rest.len > 0) {
		struct batch b;

		assert_int_equal(batch_parse(rest, &b, NULL), OK);
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
		if (b.last_offset < upto)
			continue;
		assert_int_equal(compact_map_note(m, &b, &upto, NULL), OK);
		if (upto <= b.last_offset)
			break;
	}
	run->clean = upto;
}

/* `log` becomes what is left of it. */
static void run_compact(struct run *run, struct buf *log, int64_t base)
{
	struct slice rest = buf_slice(log);
	struct compact_rewrite w;
	struct compact_map m;

	assert_true(compact_map_init(&m, &hash_key, UINT64_MAX, run->map_bytes));
	note_dirty(&m, run, rest);
	compact_rewrite_init(&w,
	                     &(struct compact_rules){.map = &m,
	                                             .leader_epoch = EPOCH,
	                                             .log_start = run->log_start,
	                                             .upto = run->clean,
	                                             .now_ms = run->now_ms,
	                                             .horizon_ms = run->now_ms + DAY_MS},
	                     base);
	while (rest.len > 0) {
		struct batch b;

		assert_int_equal(batch_parse(rest, &b, NULL), OK);
		assert_int_equal(compact_rewrite_put(&w, &b, NULL), OK);
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	assert_int_equal(compact_rewrite_end(&w, NULL), OK);
	check_covers(buf_slice(&w.out), base, run->end);
	buf_clear(log);
	buf_append_slice(log, buf_slice(&w.out));
	assert_false(log->failed);
	compact_rewrite_fini(&w);
	compact_map_fini(&m);
}

static void expect(const struct buf *log, const char *text)
{
	struct buf out = BUF_INIT(LOG_BYTES_MAX);

	log_print(buf_slice(log), &out);
	buf_append(&out, "", 1);
	assert_string_equal((const char *)out.ptr, text);
	buf_fini(&out);
}

static struct buf three_batches(void)
{
	struct buf log = BUF_INIT(LOG_BYTES_MAX);

	log_append(&log, 0, "a=1 b=1 a=2");
	log_append(&log, 3, "c=1 a=3 b=2");
	log_append(&log, 6, "=x d=1 c=2");
	return log;
}

TEST(rewrite__the_last_record_of_each_key_stays)
{
	struct run run = {.end = 9, .map_bytes = MAP_BYTES};
	struct buf log = three_batches();

	run_compact(&run, &log, 0);
	expect(&log, "4:a=3 5:b=2 6:=x 7:d=1 8:c=2");
	assert_int_equal(run.clean, 9);
	run_compact(&run, &log, 0);
	expect(&log, "4:a=3 5:b=2 6:=x 7:d=1 8:c=2");
	buf_fini(&log);
}

TEST(rewrite__what_is_below_the_log_start_goes)
{
	struct run run = {.end = 9, .log_start = 7, .map_bytes = MAP_BYTES};
	struct buf log = three_batches();

	run_compact(&run, &log, 0);
	expect(&log, "7:d=1 8:c=2");
	run.log_start = 9;
	run_compact(&run, &log, 0);
	expect(&log, "(9)");
	buf_fini(&log);
}

TEST(rewrite__a_full_map_cleans_what_it_has_room_for)
{
	struct run run = {.end = 75, .map_bytes = 1}; /* 24 keys, the least there is */
	struct buf log = BUF_INIT(LOG_BYTES_MAX), out = BUF_INIT(LOG_BYTES_MAX);
	char text[16];

	for (int64_t i = 0; i < 75; i++) {
		snprintf(text, sizeof(text), "k%d=%d", (int)(i % 25), (int)i);
		log_append(&log, i, text);
	}
	run_compact(&run, &log, 0);
	assert_int_equal(run.clean, 24);
	run_compact(&run, &log, 0);
	assert_int_equal(run.clean, 48);
	run_compact(&run, &log, 0);
	run_compact(&run, &log, 0);
	assert_int_equal(run.clean, 75);
	log_print(buf_slice(&log), &out);
	assert_int_equal(strncmp((const char *)out.ptr, "50:k0=50 51:k1=51", 17), 0);
	buf_fini(&out);
	buf_fini(&log);
}

TEST(rewrite__a_tombstone_goes_when_its_horizon_has_passed)
{
	struct run run = {.end = 4, .now_ms = 1000, .map_bytes = MAP_BYTES};
	struct buf log = BUF_INIT(LOG_BYTES_MAX);

	log_append(&log, 0, "a=1 b=1 a c=1");
	run_compact(&run, &log, 0);
	expect(&log, "1:b=1 | 2:a 3:c=1");
	run.now_ms += DAY_MS - 1;
	run_compact(&run, &log, 0); /* which must not put it off */
	expect(&log, "1:b=1 | 2:a 3:c=1");
	run.now_ms++;
	run_compact(&run, &log, 0);
	expect(&log, "1:b=1 3:c=1");
	buf_fini(&log);
}

TEST(rewrite__a_tombstone_that_was_not_passed_gets_no_horizon)
{
	struct run run = {.end = 26, .now_ms = 1000, .map_bytes = 1};
	struct buf log = BUF_INIT(LOG_BYTES_MAX);
	char text[16];

	log_append(&log, 0, "a");
	for (int64_t i = 1; i < 25; i++) {
		snprintf(text, sizeof(text), "k%d=", (int)i);
		log_append(&log, i, text);
	}
	log_append(&log, 25, "k1");
	run_compact(&run, &log, 0); /* up to 24: k24 found no room */
	assert_int_equal(run.clean, 24);
	run.now_ms += DAY_MS;
	run_compact(&run, &log, 0); /* the first tombstone goes, the other one is passed just now */
	assert_int_equal(run.clean, 26);
	run_compact(&run, &log, 0);
	run.now_ms += DAY_MS - 1;
	run_compact(&run, &log, 0);
	{
		struct buf out = BUF_INIT(LOG_BYTES_MAX);

		log_print(buf_slice(&log), &out);
		buf_append(&out, "", 1);
		assert_null(strstr((const char *)out.ptr, "0:a"));
		assert_non_null(strstr((const char *)out.ptr, "25:k1"));
		assert_null(strstr((const char *)out.ptr, " 1:k1="));
		buf_fini(&out);
	}
	buf_fini(&log);
}

TEST(rewrite__a_gap_larger_than_a_batch_can_have_is_covered)
{
	const int64_t far = 1 + 3LL * INT32_MAX;
	struct run run = {.end = far + 1, .map_bytes = MAP_BYTES};
	struct buf log = BUF_INIT(LOG_BYTES_MAX);
	struct batch_builder b;

	log_append(&log, 0, "a=1");
	for (int64_t at = 1; at < far; at += INT32_MAX) {
		int64_t end = at + INT32_MAX < far ? at + INT32_MAX : far;

		batch_begin(&b, &log);
		batch_skip(&b, (uint32_t)(end - at));
		batch_assign((uint8_t *)(uintptr_t)batch_finish(&b).ptr, at, 0);
	}
	log_append(&log, far, "a=2");
	run_compact(&run, &log, 0);
	expect(&log, "(2147483647) | (4294967294) | (6442450941) | (6442450942) | 6442450942:a=2");
	buf_fini(&log);
}

TEST(rewrite__batches_are_not_joined_without_limit)
{
	struct buf log = BUF_INIT(LOG_BYTES_MAX);
	struct run run = {.end = 100, .map_bytes = MAP_BYTES};
	struct slice rest;
	unsigned batches = 0;
	char text[1024];

	for (int64_t i = 0; i < run.end; i++) {
		snprintf(text, sizeof(text), "k%d=%0900d", (int)i, (int)i);
		log_append(&log, i, text);
	}
	run_compact(&run, &log, 0);
	for (rest = buf_slice(&log); rest.len > 0; batches++) {
		struct batch b;

		assert_int_equal(batch_parse(rest, &b, NULL), OK);
		assert_in_range(b.bytes.len, 1, COMPACT_BATCH_BYTES);
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	assert_in_range(batches, 6, 7);
	buf_fini(&log);
}

/* --- against a model -------------------------------------------------------------------------- */

struct model {
	struct {
		int key; /* -1: none */
		bool is_tombstone;
		int64_t passed_ms; /* when it became clean; -1: not yet */
		bool gone;
	} records[MODEL_RECORDS];
	int64_t end;
};

static unsigned roll(uint64_t *seed, unsigned below)
{
	*seed = *seed * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((*seed >> 33) % below);
}

static void model_append(struct model *m, struct buf *log, uint64_t *seed)
{
	struct buf text = BUF_INIT(1024);
	int64_t base = m->end;

	for (unsigned left = 1 + roll(seed, 5); left > 0; left--, m->end++) {
		int key = (int)roll(seed, KEYS);
		bool has_key = roll(seed, 20) > 0, is_tombstone = has_key && roll(seed, 3) == 0;

		m->records[m->end].key = has_key ? key : -1;
		m->records[m->end].is_tombstone = is_tombstone;
		m->records[m->end].passed_ms = -1;
		if (m->end > base)
			buf_append_lit(&text, " ");
		if (has_key)
			buf_printf(&text, "%c", 'a' + key);
		if (!is_tombstone)
			buf_printf(&text, "=%lld", (long long)m->end);
	}
	buf_append(&text, "", 1);
	log_append(log, base, (const char *)text.ptr);
	buf_fini(&text);
}

static void model_compact(struct model *m, const struct run *run)
{
	int64_t latest[KEYS];

	for (int k = 0; k < KEYS; k++)
		latest[k] = -1;
	for (int64_t i = run->clean - 1; i >= 0; i--) {
		int key = m->records[i].key;

		if (i < run->log_start || (key >= 0 && latest[key] > i)) {
			m->records[i].gone = true;
			continue;
		}
		if (key < 0)
			continue;
		latest[key] = i;
		if (!m->records[i].is_tombstone)
			continue;
		if (m->records[i].passed_ms < 0)
			m->records[i].passed_ms = run->now_ms;
		else if (m->records[i].passed_ms + DAY_MS <= run->now_ms)
			m->records[i].gone = true;
	}
}

static void model_check(const struct model *m, struct slice rest)
{
	int64_t next = 0;

	while (rest.len > 0) {
		struct batch_iter it;
		struct record r;
		struct batch b;
		bool corrupt;

		assert_int_equal(batch_parse(rest, &b, NULL), OK);
		for (batch_iter_init(&it, &b); batch_iter_next(&it, &r, &corrupt); next++) {
			for (; next < r.offset; next++)
				assert_true(m->records[next].gone);
			assert_false(m->records[next].gone);
			assert_int_equal(!r.key.ptr, m->records[next].key < 0);
			assert_int_equal(!r.value.ptr, m->records[next].is_tombstone);
		}
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	for (; next < m->end; next++)
		assert_true(m->records[next].gone);
}

static void play(uint64_t seed)
{
	struct model *m = calloc(1, sizeof(*m));
	struct buf log = BUF_INIT(LOG_BYTES_MAX);
	struct run run = {.map_bytes = MAP_BYTES};

	assert_non_null(m);
	while (m->end < MODEL_RECORDS - 8) {
		for (unsigned left = 1 + roll(&seed, 40); left > 0 && m->end < MODEL_RECORDS - 8;
		     left--)
			model_append(m, &log, &seed);
		run.end = m->end;
		run.now_ms += roll(&seed, 2 * DAY_MS);
		if (roll(&seed, 4) == 0)
			run.log_start += roll(&seed, (unsigned)(m->end - run.log_start));
		run_compact(&run, &log, 0);
		assert_int_equal(run.clean, m->end);
		model_compact(m, &run);
		model_check(m, buf_slice(&log));
	}
	buf_fini(&log);
	free(m);
}

TEST(rewrite__what_is_left_is_what_a_model_leaves)
{
	for (uint64_t seed = 1; seed <= TEST_TIMES(MODEL_RUNS); seed++) {
		print_message("seed %llu\n", (unsigned long long)seed);
		play(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rewrite__the_last_record_of_each_key_stays),
		cmocka_unit_test(rewrite__what_is_below_the_log_start_goes),
		cmocka_unit_test(rewrite__a_full_map_cleans_what_it_has_room_for),
		cmocka_unit_test(rewrite__a_tombstone_goes_when_its_horizon_has_passed),
		cmocka_unit_test(rewrite__a_tombstone_that_was_not_passed_gets_no_horizon),
		cmocka_unit_test(rewrite__a_gap_larger_than_a_batch_can_have_is_covered),
		cmocka_unit_test(rewrite__batches_are_not_joined_without_limit),
		cmocka_unit_test(rewrite__what_is_left_is_what_a_model_leaves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
