/* The engine `log` where it differs: what is read from segments, how little a start reads, which
 * directories it takes over. */
#include "base/test.h"
#include "io/testing/disk_poke.h"
#include "store/chunklog/cold.h"
#include "store/chunklog/engine.h"
#include "store/chunklog/partition.h"
#include "store/testing/event_log.h"
#include "store/testing/resident.h"
#include "store/testing/sim_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { DISK_BYTES = 1 << 30, PATH_BYTES = 256, MIB = 1 << 20 };

static int setup(void **state)
{
	struct sim_store *x = calloc(1, sizeof(*x));

	sim_store_init(x, &store_log, 1, 3, DISK_BYTES);
	x->rig.memory_bytes = 1;
	sim_store_open(x);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct sim_store *x = *state;

	sim_store_fini(x);
	free(x);
	return 0;
}

#define FIXTURE_TEST(name) static void name(void **state)

static void append(struct sim_store *x, int64_t from, int64_t to, size_t bytes)
{
	assert_int_equal(event_log_append(&x->rig, x->p, from, to, bytes), OK);
}

static void checkpoint(struct sim_store *x)
{
	assert_int_equal(rig_checkpoint(&x->rig), OK);
}

/* The process dies: the next start begins a new epoch, and with it a new segment. */
static void kill_and_start(struct sim_store *x)
{
	disk_fault_arm(x->faults, DISK_OPEN, 1, EIO, 0, true);
	rig_shut(&x->rig);
	disk_fault_disarm(x->faults);
	disk_sim_kill(x->sim);
	sim_store_open(x);
}

/* Segments of 100 events each, all but the last one finished. */
static void make_segments(struct sim_store *x, int count)
{
	for (int i = 0; i < count; i++) {
		append(x, i * 100, i * 100 + 100, 500);
		checkpoint(x);
		if (i + 1 < count)
			kill_and_start(x);
	}
}

static unsigned calls(struct sim_store *x, enum disk_call call)
{
	return disk_fault_calls(x->faults, call);
}

static const char *file_path(struct sim_store *x, int64_t base, const char *suffix,
                             char into[PATH_BYTES])
{
	char topic[UUID_TEXT_LEN + 1];

	snprintf(into, PATH_BYTES, "/data/topics/%s/0/%020lld.%s", uuid_format(&x->p->topic, topic),
	         (long long)base, suffix);
	return into;
}

/* --- where it is read from -------------------------------------------------------------------- */

FIXTURE_TEST(log__reads_from_segments_what_it_let_go_of)
{
	struct sim_store *x = *state;
	unsigned before;

	append(x, 0, 200, 1000);
	before = calls(x, DISK_PREAD);
	assert_true(event_log_is_whole(&x->rig, x->p, 200));
	assert_int_equal(calls(x, DISK_PREAD), before);
	checkpoint(x);
	assert_true(event_log_is_whole(&x->rig, x->p, 200));
	assert_true(calls(x, DISK_PREAD) > before);
	append(x, 200, 210, 1000); /* behind what is cold */
	assert_true(event_log_is_whole(&x->rig, x->p, 210));
	checkpoint(x); /* the segment that is open for reading grew */
	assert_true(event_log_is_whole(&x->rig, x->p, 210));
}

FIXTURE_TEST(log__what_the_budget_holds_is_read_from_memory)
{
	struct sim_store *x = *state;
	unsigned before;
	enum err why;

	rig_shut(&x->rig);
	x->rig.memory_bytes = 4 * MIB;
	sim_store_open(x);
	for (int64_t n = 0; n < 1000; n += 50) {
		append(x, n, n + 50, 20000);
		checkpoint(x);
	}
	before = calls(x, DISK_PREAD);
	assert_int_equal(event_log_read(&x->rig, x->p, 900, &why), 1000);
	assert_int_equal(calls(x, DISK_PREAD), before);
	assert_true(event_log_is_whole(&x->rig, x->p, 1000));
	assert_true(calls(x, DISK_PREAD) > before);
}

FIXTURE_TEST(log__memory_stays_within_the_budget)
{
	enum { EVENTS = 40, EVENT_BYTES = 50000, ROUNDS = 48, BUDGET = 8 * MIB };
	struct store_rig r;
	struct store_partition *p;
	int64_t before, held;

	(void)state; /* on the real disk: the simulated one is memory too */
	rig_open(&r, &store_log, 1, false, 5);
	r.memory_bytes = BUDGET;
	rig_reopen(&r);
	p = rig_topic(&r, "a", 1)->partitions[0];
	before = resident_bytes();
	for (int64_t n = 0; n < ROUNDS; n++) {
		assert_int_equal(
			event_log_append(&r, p, n * EVENTS, n * EVENTS + EVENTS, EVENT_BYTES), OK);
		assert_int_equal(rig_checkpoint(&r), OK);
	}
	held = resident_bytes() - before;
	print_message("%lld KiB held of %d KiB appended\n", (long long)held >> 10,
	              ROUNDS * EVENTS * EVENT_BYTES / 1024);
	assert_true(held < BUDGET + 24 * MIB); /* 16 of free chunks, the WAL's buffer, the tail */
	assert_true(event_log_is_whole(&r, p, ROUNDS * EVENTS));
	rig_close(&r);
}

/* One read, whose batches must be events one behind the other; the offset where it ends. */
static int64_t one_read(struct sim_store *x, int64_t offset, size_t bytes_max)
{
	struct shared *holder;
	struct slice rest;
	struct batch b;

	assert_int_equal(rig_read(&x->rig, x->p, offset, bytes_max, &rest, &holder), OK);
	while (rest.len > 0) {
		assert_int_equal(batch_validate(rest, &b, NULL), OK);
		assert_int_equal(b.base_offset, offset);
		offset = b.last_offset + 1;
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	shared_put(holder);
	return offset;
}

FIXTURE_TEST(log__one_read_joins_the_runs_of_many_checkpoints)
{
	struct sim_store *x = *state;

	for (int64_t n = 0; n < 200; n += 20) { /* with zeros between */
		append(x, n, n + 20, 1000);
		checkpoint(x);
	}
	assert_int_equal(one_read(x, 0, MIB), 200);
	assert_int_equal(one_read(x, 33, MIB), 200);
	assert_in_range(one_read(x, 33, 50000), 33 + 45, 33 + 50);
	assert_int_equal(one_read(x, 33, 1), 34);
	kill_and_start(x); /* without an index it is read from the start, a window at a time */
	assert_in_range(one_read(x, 150, 30000), 150 + 25, 150 + 30);
	assert_true(event_log_is_whole(&x->rig, x->p, 200));
}

FIXTURE_TEST(log__a_batch_may_be_larger_than_what_is_asked_for)
{
	struct sim_store *x = *state;

	append(x, 0, 3, MIB);
	append(x, 3, 10, 1000);
	checkpoint(x);
	assert_int_equal(one_read(x, 0, 1000), 1);
	assert_int_equal(one_read(x, 2, 1000), 3);
	assert_int_equal(one_read(x, 3, MIB), 10);
}

FIXTURE_TEST(log__a_read_keeps_what_retention_removes)
{
	struct sim_store *x = *state;
	struct shared *holder;
	struct slice batches;
	struct batch b;
	char path[PATH_BYTES];

	make_segments(x, 3);
	assert_int_equal(rig_read(&x->rig, x->p, 50, 2000, &batches, &holder), OK);
	assert_int_equal(rig_trim(&x->rig, x->p, 150), OK);
	checkpoint(x);
	assert_false(disk_poke_exists(x->disk, file_path(x, 0, "seg", path)));
	assert_false(disk_poke_exists(x->disk, file_path(x, 0, "idx", path)));
	assert_true(disk_poke_size(x->disk, file_path(x, 100, "seg", path)) > 0);
	assert_int_equal(batch_validate(batches, &b, NULL), OK);
	assert_int_equal(b.base_offset, 50);
	shared_put(holder);
	assert_int_equal(x->p->state.log_start, 150);
	assert_true(event_log_is_whole(&x->rig, x->p, 300));
}

FIXTURE_TEST(log__more_segments_than_descriptors)
{
	enum { TOPICS = COLD_FILES_MAX + 50 };
	struct sim_store *x = *state;
	const struct store_topic *t = rig_topic(&x->rig, "many", TOPICS);
	unsigned opened;

	for (uint32_t i = 0; i < TOPICS; i++)
		assert_int_equal(event_log_append(&x->rig, t->partitions[i], 0, 2, 10), OK);
	checkpoint(x);
	opened = calls(x, DISK_OPEN) - calls(x, DISK_CLOSE);
	for (int round = 0; round < 2; round++)
		for (uint32_t i = 0; i < TOPICS; i++)
			assert_true(event_log_is_whole(&x->rig, t->partitions[i], 2));
	assert_in_range(calls(x, DISK_OPEN) - calls(x, DISK_CLOSE) - opened, 1, COLD_FILES_MAX);
}

/* --- starts ----------------------------------------------------------------------------------- */

static unsigned reads_of_a_start(struct sim_store *x)
{
	unsigned before;

	rig_shut(&x->rig);
	before = calls(x, DISK_PREAD);
	sim_store_open(x);
	return calls(x, DISK_PREAD) - before;
}

FIXTURE_TEST(log__a_clean_start_reads_no_segment)
{
	struct sim_store *x = *state;
	unsigned small, large;

	append(x, 0, 10, 100);
	small = reads_of_a_start(x);
	for (int64_t n = 10; n < 2010; n += 100)
		append(x, n, n + 100, 50000);
	rig_shut(&x->rig);
	sim_store_open(x); /* the WAL has let go of its files now */
	large = reads_of_a_start(x);
	print_message("disk reads at start: %u with 2 KiB, %u with 100 MB in segments\n", small,
	              large);
	assert_true(large < small + 4); /* the WAL has more files to use again */
	assert_true(event_log_is_whole(&x->rig, x->p, 2010));
}

FIXTURE_TEST(log__epochs_and_ends_come_from_the_manifest)
{
	struct sim_store *x = *state;

	make_segments(x, 3);
	rig_shut(&x->rig);
	sim_store_open(x);
	assert_int_equal(x->p->state.leader_epoch, 2);
	assert_int_equal(x->rig.ops->epoch_end(x->p, 0), 100);
	assert_int_equal(x->rig.ops->epoch_end(x->p, 1), 200);
	assert_int_equal(x->p->state.high_watermark, 300);
	assert_true(x->p->state.bytes > 300 * 500);
}

FIXTURE_TEST(log__takes_over_what_memory_made_for_good)
{
	struct sim_store *x = *state;
	struct fault f = {0};

	rig_shut(&x->rig);
	snprintf(x->rig.dir, sizeof(x->rig.dir), "/other");
	x->rig.ops = &store_memory;
	sim_store_open(x);
	append(x, 0, 100, 1000);
	rig_shut(&x->rig);

	x->rig.ops = &store_log;
	sim_store_open(x);
	assert_string_equal(rig_find(&x->rig, "a")->spec.engine, "log");
	assert_true(event_log_is_whole(&x->rig, x->p, 100));
	append(x, 100, 120, 1000);
	rig_shut(&x->rig);

	x->rig.ops = &store_memory;
	assert_int_equal(rig_try_open(&x->rig, &f), ERR_CONFIG);
	assert_non_null(strstr(f.where, "storage.type: log"));
	x->rig.ops = &store_log;
	sim_store_open(x);
	assert_true(event_log_is_whole(&x->rig, x->p, 120));
}

/* --- indexes ---------------------------------------------------------------------------------- */

static void check_all(struct sim_store *x, int64_t end)
{
	int64_t offset;

	for (int64_t n = end - 1; n >= 0; n -= 7) { /* event n bears the time n */
		assert_int_equal(rig_lookup(&x->rig, x->p, n, &offset), OK);
		assert_int_equal(offset, n);
	}
	assert_int_equal(rig_lookup(&x->rig, x->p, end, &offset), OK);
	assert_int_equal(offset, end);
	assert_true(event_log_is_whole(&x->rig, x->p, end));
}

static void read_file(struct sim_store *x, const char *path, struct buf *into)
{
	struct fault f;

	*into = BUF_INIT(MIB);
	assert_int_equal(disk_read_file(x->disk, path, into, &f), OK);
}

static void set_segment_bytes(struct sim_store *x, int64_t bytes)
{
	struct topic_spec spec = {.uuid = x->p->topic, .settings = x->p->settings};

	spec.settings.segment_bytes = bytes;
	assert_int_equal(rig_alter(&x->rig, &spec, NULL, NULL), OK);
}

FIXTURE_TEST(log__a_new_segment_is_begun_rather_than_grow_beyond)
{
	struct sim_store *x = *state;
	const struct sealed *sealed;

	set_segment_bytes(x, MIB);
	for (int64_t n = 0; n < 1000; n += 20) {
		append(x, n, n + 20, 12000);
		if (n % 100 == 80)
			checkpoint(x);
	}
	sealed = partition_of(x->p)->sealed;
	assert_in_range(sealed->count, 12, 24);
	for (uint32_t i = 0; i < sealed->count; i++)
		assert_true(sealed->segments[i].bytes <= MIB);
	assert_true(event_log_is_whole(&x->rig, x->p, 1000));
	set_segment_bytes(x, 64 * MIB);
	append(x, 1000, 1100, 12000);
	checkpoint(x);
	sealed = partition_of(x->p)->sealed;
	assert_true(sealed->segments[sealed->count - 1].bytes > MIB);
}

/* Event n bears the time n. */
FIXTURE_TEST(log__a_lookup_leaves_out_segments_that_are_older)
{
	struct sim_store *x = *state;
	int64_t offset;
	unsigned before;

	make_segments(x, 4);
	rig_shut(&x->rig);
	sim_store_open(x);
	before = calls(x, DISK_OPEN);
	assert_int_equal(rig_lookup(&x->rig, x->p, 350, &offset), OK);
	assert_int_equal(offset, 350);
	assert_int_equal(calls(x, DISK_OPEN), before + 1);
	assert_int_equal(rig_lookup(&x->rig, x->p, 1000, &offset), OK);
	assert_int_equal(offset, 400);
	assert_int_equal(calls(x, DISK_OPEN), before + 1);
}

/* By a checkpoint, which knows what it appended; and the same when it is made by reading. */
FIXTURE_TEST(log__a_checkpoint_makes_indexes_from_memory)
{
	struct sim_store *x = *state;
	struct buf noted, read;
	char path[PATH_BYTES];
	unsigned before = calls(x, DISK_PREAD);
	int64_t end = 0;

	set_segment_bytes(x, MIB);
	while (!disk_poke_exists(x->disk, file_path(x, 0, "idx", path))) {
		for (int i = 0; i < 9; i++, end += 7)
			append(x, end, end + 7, (size_t)(i == 8 ? 10 : 1200 + 1000 * i));
		checkpoint(x);
		assert_true(end < 10000);
	}
	assert_int_equal(calls(x, DISK_PREAD), before);
	read_file(x, path, &noted);
	rig_shut(&x->rig);
	assert_int_equal(x->disk->ops->unlink(x->disk, path), 0);
	sim_store_open(x);
	assert_true(event_log_is_whole(&x->rig, x->p, end));
	read_file(x, path, &read);
	assert_true(slice_eq(buf_slice(&noted), buf_slice(&read)));
	buf_fini(&noted);
	buf_fini(&read);
}

/* What a start found and what checkpoints append to it. */
FIXTURE_TEST(log__an_index_goes_on_after_a_start)
{
	struct sim_store *x = *state;
	unsigned before;
	int64_t offset;

	for (int64_t n = 0; n < 2000; n += 200) {
		append(x, n, n + 200, 1000);
		checkpoint(x);
	}
	rig_shut(&x->rig);
	sim_store_open(x);
	assert_true(event_log_is_whole(&x->rig, x->p, 2000));
	append(x, 2000, 3000, 1000);
	checkpoint(x);
	before = calls(x, DISK_PREAD);
	assert_int_equal(rig_lookup(&x->rig, x->p, 2900, &offset), OK);
	assert_int_equal(offset, 2900);
	assert_int_equal(calls(x, DISK_PREAD), before + 1);
}

FIXTURE_TEST(log__a_reader_makes_the_index_of_a_finished_segment)
{
	struct sim_store *x = *state;
	char path[PATH_BYTES];

	make_segments(x, 3);
	assert_false(disk_poke_exists(x->disk, file_path(x, 0, "idx", path)));
	assert_true(event_log_is_whole(&x->rig, x->p, 300));
	assert_true(disk_poke_size(x->disk, file_path(x, 0, "idx", path)) > 0);
	assert_true(disk_poke_size(x->disk, file_path(x, 100, "idx", path)) > 0);
	assert_false(disk_poke_exists(x->disk, file_path(x, 200, "idx", path)));
	rig_shut(&x->rig);
	sim_store_open(x);
	check_all(x, 300);
}

FIXTURE_TEST(log__a_missing_index_is_made_anew)
{
	struct sim_store *x = *state;
	char path[PATH_BYTES];

	make_segments(x, 2);
	assert_true(event_log_is_whole(&x->rig, x->p, 200));
	file_path(x, 0, "idx", path);
	rig_shut(&x->rig);
	assert_int_equal(x->disk->ops->unlink(x->disk, path), 0);
	sim_store_open(x);
	check_all(x, 200);
	assert_true(disk_poke_size(x->disk, path) > 0);
}

FIXTURE_TEST(log__no_flipped_bit_of_an_index_matters)
{
	struct sim_store *x = *state;
	char path[PATH_BYTES];
	int64_t bits;

	make_segments(x, 2);
	assert_true(event_log_is_whole(&x->rig, x->p, 200));
	file_path(x, 0, "idx", path);
	bits = disk_poke_size(x->disk, path) * 8;
	for (int64_t bit = 0; bit < bits; bit += 37) {
		rig_shut(&x->rig);
		disk_poke_flip(x->disk, path, bit);
		sim_store_open(x);
		check_all(x, 200);
		assert_int_equal(x->p->state.fenced.code, OK);
	}
}

FIXTURE_TEST(log__damage_is_found_when_it_is_read)
{
	struct sim_store *x = *state;
	char path[PATH_BYTES];
	int64_t offset, stopped;
	enum err why;

	make_segments(x, 3);
	assert_true(event_log_is_whole(&x->rig, x->p, 300));
	file_path(x, 100, "seg", path);
	rig_shut(&x->rig);
	disk_poke_flip(x->disk, path, (4096 + 30000) * 8);
	sim_store_open(x);
	assert_int_equal(x->p->state.fenced.code, OK);
	assert_int_equal(rig_lookup(&x->rig, x->p, 250, &offset), OK); /* not near it */
	stopped = event_log_read(&x->rig, x->p, 0, &why);
	assert_in_range(stopped, 101, 199);
	assert_int_equal(why, ERR_CORRUPT);
	assert_int_equal(x->p->state.fenced.code, ERR_FENCED);
	assert_int_equal(event_log_append(&x->rig, x->p, 300, 301, 10), ERR_FENCED);
	assert_int_equal(event_log_read(&x->rig, x->p, 200, &why), 300);
	assert_int_equal(why, OK);
	assert_int_equal(rig_lookup(&x->rig, x->p, 50, &offset), OK);
	assert_int_equal(rig_lookup(&x->rig, x->p, 250, &offset), ERR_CORRUPT);
	rig_shut(&x->rig); /* it is remembered */
	sim_store_open(x);
	assert_int_equal(x->p->state.fenced.code, ERR_FENCED);
	assert_int_equal(rig_trim(&x->rig, x->p, 200), OK);
	assert_int_equal(x->p->state.fenced.code, OK);
	append(x, 300, 310, 10);
	assert_true(event_log_is_whole(&x->rig, x->p, 310));
}

FIXTURE_TEST(log__a_read_that_fails_is_no_damage)
{
	struct sim_store *x = *state;
	struct slice batches;
	struct shared *holder;

	append(x, 0, 50, 500);
	checkpoint(x);
	disk_fault_arm(x->faults, DISK_PREAD, 1, EIO, 0, false);
	assert_int_equal(rig_read(&x->rig, x->p, 0, 100, &batches, &holder), ERR_IO);
	assert_int_equal(x->p->state.fenced.code, OK);
	assert_true(event_log_is_whole(&x->rig, x->p, 50));
}

/* --- retention -------------------------------------------------------------------------------- */

static void set_retention(struct sim_store *x, int64_t bytes, int64_t count)
{
	struct topic_spec spec = {.uuid = x->p->topic, .settings = x->p->settings};

	spec.settings.retention_bytes = bytes;
	spec.settings.retention_count = count;
	assert_int_equal(rig_alter(&x->rig, &spec, NULL, NULL), OK);
}

FIXTURE_TEST(log__retention_reaches_what_is_cold)
{
	struct sim_store *x = *state;
	int64_t all;

	make_segments(x, 4);
	all = x->p->state.bytes;
	set_retention(x, all * 5 / 8, -1); /* whole segments, never less than allowed */
	assert_int_equal(x->p->state.log_start, 100);
	assert_in_range(x->p->state.bytes, all * 3 / 4 - 1000, all * 3 / 4 + 1000);
	set_retention(x, -1, 110);
	assert_int_equal(x->p->state.log_start, 290);
	set_retention(x, 0, -1);
	assert_int_equal(x->p->state.log_start, 300);
	assert_true(event_log_is_whole(&x->rig, x->p, 400));
	assert_int_equal(rig_trim(&x->rig, x->p, -1), OK);
	assert_int_equal(x->p->state.bytes, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(log__reads_from_segments_what_it_let_go_of),
		T(log__what_the_budget_holds_is_read_from_memory),
		T(log__memory_stays_within_the_budget),
		T(log__one_read_joins_the_runs_of_many_checkpoints),
		T(log__a_batch_may_be_larger_than_what_is_asked_for),
		T(log__a_read_keeps_what_retention_removes),
		T(log__more_segments_than_descriptors),
		T(log__a_clean_start_reads_no_segment),
		T(log__epochs_and_ends_come_from_the_manifest),
		T(log__takes_over_what_memory_made_for_good),
		T(log__a_new_segment_is_begun_rather_than_grow_beyond),
		T(log__a_lookup_leaves_out_segments_that_are_older),
		T(log__a_checkpoint_makes_indexes_from_memory),
		T(log__an_index_goes_on_after_a_start),
		T(log__a_reader_makes_the_index_of_a_finished_segment),
		T(log__a_missing_index_is_made_anew),
		T(log__no_flipped_bit_of_an_index_matters),
		T(log__damage_is_found_when_it_is_read),
		T(log__a_read_that_fails_is_no_damage),
		T(log__retention_reaches_what_is_cold),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
