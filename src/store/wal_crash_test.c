/* The WAL on disks that fail, fill up and lose their power: what was answered stays true. */
#include "store/wal.h"

#include "base/check.h"
#include "base/test.h"
#include "io/disk.h"
#include "store/testing/disk_power.h"
#include "store/testing/wal_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static bool was_replayed(const struct wal_fixture *fx, int64_t id)
{
	for (size_t i = 0; i < fx->replayed_count; i++)
		if (fx->replayed[i] == id)
			return true;
	return false;
}

static bool replayed_in_order(const struct wal_fixture *fx)
{
	for (size_t i = 1; i < fx->replayed_count; i++)
		if (fx->replayed[i] <= fx->replayed[i - 1])
			return false;
	return true;
}

static void reopen(struct wal_fixture *fx)
{
	struct fault f = {0};

	assert_int_equal(wal_fixture_open(fx, &f), OK);
	assert_false(fx->replayed_wrong);
	assert_true(replayed_in_order(fx));
	assert_int_equal(fx->report.damage_count, 0);
}

static void assert_reads_back_what_was_acked(struct wal_fixture *fx)
{
	wal_fixture_close(fx);
	reopen(fx);
	for (size_t i = 0; i < fx->probe_count; i++)
		if (fx->probes[i]->ww.fault.code == OK)
			assert_true(was_replayed(fx, fx->probes[i]->id));
}

/* --- errors (F6) ------------------------------------------------------------------------------ */

enum { FRAMES_PER_FAULT = 200, FRAMES_AT_ONCE = 4 };

/* Returns whether the n-th `call` came, and failed. */
static bool fail_nth(enum disk_call call, unsigned n, size_t partial_bytes, bool cut_power)
{
	struct disk_sim *sim = disk_sim_new(n, 64 << 20);
	struct disk_fault *df = disk_fault_new(disk_sim_disk(sim));
	struct wal_fixture fx;
	bool failed = false;

	wal_fixture_init(&fx, disk_fault_disk(df), "/wal");
	fx.config.mark_before_ack = n % 3 == 0;
	reopen(&fx);
	disk_fault_arm(df, call, n, EIO, partial_bytes, false);
	for (int64_t id = 0; id < FRAMES_PER_FAULT; id++) {
		struct wal_probe *p = wal_fixture_write(&fx, id, DURABILITY_COMMIT);

		if (id % FRAMES_AT_ONCE)
			continue;
		assert_true(wal_fixture_wait(&fx));
		assert_true(p->ww.fault.code == OK || p->ww.fault.code == ERR_IO);
		assert_true(!failed || p->ww.fault.code == ERR_IO);
		failed = failed || p->ww.fault.code == ERR_IO;
	}
	assert_true(wal_fixture_wait(&fx));
	assert_int_equal(wal_stats(fx.wal).failed, failed);
	disk_fault_disarm(df);
	if (cut_power) {
		wal_fixture_close(&fx);
		disk_sim_crash(sim);
		reopen(&fx);
	}
	assert_reads_back_what_was_acked(&fx);
	wal_fixture_fini(&fx);
	disk_fault_free(df);
	disk_sim_free(sim);
	return failed;
}

TEST(wal__a_failed_write_is_never_acked_and_final)
{
	for (unsigned n = 1; n <= 50; n++)
		assert_true(fail_nth(DISK_PWRITEV, n, n % 2 ? 0 : n * 40, n % 4 < 2));
}

TEST(wal__a_failed_flush_is_never_acked_and_final)
{
	for (unsigned n = 1; n <= 50; n++)
		assert_true(fail_nth(DISK_SYNC, n, 0, n % 2));
}

/* As many groups as a file takes, of a block each. */
static struct wal_probe *fill_files(struct wal_fixture *fx, int count)
{
	struct wal_probe *p = NULL;

	for (int i = 0; i < count * ((64 << 10) / WAL_BLOCK_BYTES - 1); i++) {
		p = wal_fixture_write(fx, i, DURABILITY_OS);
		assert_true(wal_fixture_wait(fx));
	}
	return p;
}

TEST(wal__of_too_many_files_not_flushed_the_oldest_is_and_that_may_fail)
{
	struct disk_sim *sim = disk_sim_new(1, 64 << 20);
	struct disk_fault *df = disk_fault_new(disk_sim_disk(sim));
	struct wal_fixture fx;
	unsigned syncs;

	wal_fixture_init(&fx, disk_fault_disk(df), "/wal");
	reopen(&fx);
	fill_files(&fx, 2);
	syncs = disk_fault_calls(df, DISK_SYNC);
	fill_files(&fx, 15);
	assert_int_equal(disk_fault_calls(df, DISK_SYNC), syncs);
	fill_files(&fx, 2);
	assert_int_equal(disk_fault_calls(df, DISK_SYNC), syncs + 2);
	disk_fault_arm(df, DISK_SYNC, 1, EIO, 0, false);
	assert_int_equal(fill_files(&fx, 1)->ww.fault.code, ERR_IO);
	assert_true(wal_stats(fx.wal).failed);
	wal_fixture_fini(&fx);
	disk_fault_free(df);
	disk_sim_free(sim);
}

TEST(wal__open_fails_cleanly_at_every_call)
{
	static const enum disk_call calls[] = {DISK_OPEN, DISK_PREAD,    DISK_PWRITEV,
	                                       DISK_SYNC, DISK_SYNC_DIR, DISK_TRUNCATE,
	                                       DISK_SIZE, DISK_LIST};

	for (size_t i = 0; i < ARRAY_COUNT(calls); i++) {
		struct disk_sim *sim = disk_sim_new(i, 64 << 20);
		struct disk_fault *df = disk_fault_new(disk_sim_disk(sim));
		struct wal_fixture fx;
		struct fault f;

		wal_fixture_init(&fx, disk_fault_disk(df), "/wal");
		reopen(&fx);
		for (int64_t id = 0; id < 100; id++)
			wal_fixture_write(&fx, id, DURABILITY_COMMIT);
		assert_true(wal_fixture_wait(&fx));
		wal_fixture_close(&fx);
		disk_fault_arm(df, calls[i], 1, EIO, 0, true);
		if (calls[i] != DISK_TRUNCATE)
			assert_int_equal(wal_fixture_open(&fx, &f), ERR_IO);
		disk_fault_disarm(df);
		if (!fx.wal)
			reopen(&fx);
		assert_reads_back_what_was_acked(&fx);
		wal_fixture_fini(&fx);
		disk_fault_free(df);
		disk_sim_free(sim);
	}
}

TEST(wal__short_writes_and_reads_are_gone_on_with)
{
	struct disk_sim *sim = disk_sim_new(3, 64 << 20);
	struct disk_fault *df = disk_fault_new(disk_sim_disk(sim));
	struct wal_fixture fx;

	disk_fault_shorten(df, 30, 4);
	wal_fixture_init(&fx, disk_fault_disk(df), "/wal");
	reopen(&fx);
	for (int64_t id = 0; id < 500; id++)
		wal_fixture_write(&fx, id, DURABILITY_COMMIT);
	assert_true(wal_fixture_wait(&fx));
	assert_reads_back_what_was_acked(&fx);
	assert_int_equal(fx.replayed_count, 500);
	wal_fixture_fini(&fx);
	disk_fault_free(df);
	disk_sim_free(sim);
}

/* --- a full disk (F8) ------------------------------------------------------------------------- */

/* Writes until one is refused; returns the next id. */
static int64_t fill(struct wal_fixture *fx, int64_t id)
{
	for (;; id++) {
		struct wal_probe *p = wal_fixture_write(fx, id, DURABILITY_COMMIT);

		assert_true(wal_fixture_wait(fx));
		if (p->ww.fault.code == ERR_DISK_FULL)
			return id + 1;
		assert_int_equal(p->ww.fault.code, OK);
	}
}

TEST(wal__a_full_disk_refuses_and_resumes_by_itself)
{
	struct disk_sim *sim = disk_sim_new(5, 200 << 10);
	struct wal_fixture fx;
	struct wal_probe *p;
	int64_t id;

	wal_fixture_init(&fx, disk_sim_disk(sim), "/wal");
	reopen(&fx);
	id = fill(&fx, 0);
	p = wal_fixture_write_reserved(&fx, id++);
	assert_true(wal_fixture_wait(&fx));
	assert_int_equal(p->ww.fault.code, OK);
	disk_sim_set_capacity(sim, 2 << 20);
	p = wal_fixture_write(&fx, id++, DURABILITY_COMMIT);
	assert_true(wal_fixture_wait(&fx));
	assert_int_equal(p->ww.fault.code, OK);
	assert_false(wal_stats(fx.wal).failed);
	assert_reads_back_what_was_acked(&fx);
	wal_fixture_fini(&fx);
	disk_sim_free(sim);
}

static bool has_next(struct disk *disk)
{
	int fd = disk->ops->open(disk, "/wal/next.tmp", O_RDONLY);

	if (fd >= 0)
		disk->ops->close(disk, fd);
	return fd >= 0;
}

TEST(wal__a_full_disk_takes_back_what_was_made_ahead)
{
	struct disk_sim *sim = disk_sim_new(5, 64 << 20);
	struct disk *disk = disk_sim_disk(sim);
	struct wal_fixture fx;
	int64_t id;

	wal_fixture_init(&fx, disk, "/wal");
	fx.config.file_bytes = 1 << 20;
	reopen(&fx);
	for (id = 0; id < 60; id++) {
		wal_fixture_write(&fx, id, DURABILITY_COMMIT);
		assert_true(wal_fixture_wait(&fx));
	}
	assert_true(has_next(disk));
	disk_sim_set_capacity(sim, 1900 << 10);
	for (; id < 400; id++) {
		struct wal_probe *p = wal_fixture_write(&fx, id, DURABILITY_COMMIT);

		assert_true(wal_fixture_wait(&fx));
		assert_int_equal(p->ww.fault.code, OK);
	}
	assert_false(has_next(disk));
	assert_reads_back_what_was_acked(&fx);
	wal_fixture_fini(&fx);
	disk_sim_free(sim);
}

/* The second would fit, and its offsets would follow a hole. */
TEST(wal__a_refusal_takes_along_what_was_submitted_behind_it)
{
	struct disk_sim *sim = disk_sim_new(6, 1 << 20);
	uint8_t *large = calloc(1, 2 << 20);
	struct wal_fixture fx;
	struct wal_probe *p[3];

	wal_fixture_init(&fx, disk_sim_disk(sim), "/wal");
	reopen(&fx);
	p[0] = wal_fixture_write_payload(&fx, 0, slice_of(large, 2 << 20));
	p[1] = wal_fixture_write(&fx, 1, DURABILITY_COMMIT);
	p[2] = wal_fixture_write_reserved(&fx, 2);
	assert_true(wal_fixture_wait(&fx));
	assert_int_equal(p[0]->ww.fault.code, ERR_DISK_FULL);
	assert_int_equal(p[1]->ww.fault.code, ERR_DISK_FULL);
	assert_int_equal(p[2]->ww.fault.code, OK);
	assert_true(p[0]->done_order < p[1]->done_order);
	p[1] = wal_fixture_write(&fx, 3, DURABILITY_COMMIT);
	assert_true(wal_fixture_wait(&fx));
	assert_int_equal(p[1]->ww.fault.code, OK);
	wal_fixture_fini(&fx);
	disk_sim_free(sim);
	free(large);
}

struct stranger {
	struct wal_write ww;
	struct wal_fixture *fixture;
	struct disk_sim *sim;
	struct wal_probe *first, *second; /* the second is after the first */
};

static void write_second(struct wal_write *ww)
{
	struct stranger *s = CONTAINER_OF(ww, struct stranger, ww);

	assert_int_equal(ww->fault.code, ERR_DISK_FULL);
	assert_int_equal(s->first->done_order, 0);
	disk_sim_set_capacity(s->sim, 8 << 20);
	s->second = wal_fixture_write_after(s->fixture, 2, s->first);
}

/* The loop has heard of the stranger's refusal by then, and not of the first's. */
TEST(wal__a_refusal_takes_along_what_comes_after_it_when_another_was_heard_of)
{
	struct disk_sim *sim = disk_sim_new(6, 1 << 20);
	uint8_t *large = calloc(1, 2 << 20);
	struct wal_fixture fx;
	struct stranger stranger = {.fixture = &fx, .sim = sim};

	wal_fixture_init(&fx, disk_sim_disk(sim), "/wal");
	reopen(&fx);
	stranger.ww = (struct wal_write){.frame = {.type = WAL_BATCHES,
	                                           .durability = DURABILITY_COMMIT,
	                                           .payload = slice_of(large, 2 << 20)},
	                                 .loop = fx.loop,
	                                 .done = write_second};
	wal_write(fx.wal, &stranger.ww);
	stranger.first = wal_fixture_write(&fx, 1, DURABILITY_COMMIT);
	assert_true(wal_fixture_wait(&fx));
	assert_int_equal(stranger.first->ww.fault.code, ERR_DISK_FULL);
	assert_int_equal(stranger.second->ww.fault.code, ERR_DISK_FULL);
	wal_fixture_write(&fx, 3, DURABILITY_COMMIT);
	assert_true(wal_fixture_wait(&fx));
	assert_reads_back_what_was_acked(&fx);
	wal_fixture_fini(&fx);
	disk_sim_free(sim);
	free(large);
}

/* A new file must not leave the reserve behind in the old one. */
TEST(wal__a_roll_on_a_full_disk_keeps_the_reserve)
{
	struct disk_sim *sim = disk_sim_new(5, 300 << 10);
	struct wal_fixture fx;
	uint64_t last;
	int64_t id;

	wal_fixture_init(&fx, disk_sim_disk(sim), "/wal");
	fx.config.file_bytes = 1 << 20;
	fx.config.reserve_bytes = 64 << 10;
	reopen(&fx);
	id = fill(&fx, 0);
	disk_sim_set_capacity(sim, 312 << 10); /* enough to begin a file, no more */
	assert_int_equal(wal_fixture_roll(&fx, &last), OK);
	for (int i = 0; i < 10; i++) {
		struct wal_probe *p = wal_fixture_write_reserved(&fx, id++);

		assert_true(wal_fixture_wait(&fx));
		assert_int_equal(p->ww.fault.code, OK);
	}
	assert_reads_back_what_was_acked(&fx);
	wal_fixture_fini(&fx);
	disk_sim_free(sim);
}

TEST(wal__a_checkpoint_frees_a_full_disk)
{
	struct disk_sim *sim = disk_sim_new(7, 200 << 10);
	struct wal_fixture fx;
	uint64_t last;
	int64_t id = 0;

	wal_fixture_init(&fx, disk_sim_disk(sim), "/wal");
	reopen(&fx);
	for (int round = 0; round < 20; round++) {
		struct wal_probe *p;

		id = fill(&fx, id);
		assert_int_equal(wal_fixture_roll(&fx, &last), OK);
		wal_free_through(fx.wal, last);
		p = wal_fixture_write(&fx, id++, DURABILITY_COMMIT);
		assert_true(wal_fixture_wait(&fx));
		assert_int_equal(p->ww.fault.code, OK);
	}
	wal_fixture_fini(&fx);
	disk_sim_free(sim);
}

TEST(wal_open__a_full_disk_is_no_reason_not_to_start)
{
	struct disk_sim *sim = disk_sim_new(8, 200 << 10);
	struct wal_fixture fx;
	struct wal_probe *p;
	int64_t id;

	wal_fixture_init(&fx, disk_sim_disk(sim), "/wal");
	reopen(&fx);
	id = fill(&fx, 0);
	disk_sim_set_capacity(sim, 0);
	wal_fixture_close(&fx);
	reopen(&fx);
	p = wal_fixture_write(&fx, id++, DURABILITY_COMMIT);
	assert_true(wal_fixture_wait(&fx));
	assert_int_equal(p->ww.fault.code, ERR_DISK_FULL);
	disk_sim_set_capacity(sim, 2 << 20);
	p = wal_fixture_write(&fx, id++, DURABILITY_COMMIT);
	assert_true(wal_fixture_wait(&fx));
	assert_int_equal(p->ww.fault.code, OK);
	wal_fixture_fini(&fx);
	disk_sim_free(sim);
}

/* --- power cuts ------------------------------------------------------------------------------- */

enum { SEEDS = TEST_TIMES(1000), ROUNDS = 3, IDS_MAX = 2000 };

/* What was submitted, in order, since the last checkpoint and not known to be lost. */
struct model {
	int64_t ids[IDS_MAX];
	size_t count;
	size_t kept; /* so many of them were acked as flushed, or stand before one that was */
	int64_t next_id;
	unsigned others; /* one frame in so many has any class, the others `os` */
	uint64_t random;
};

static unsigned pick(struct model *m, unsigned below)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(m->random >> 33) % below;
}

/* After a power cut there is a first part of what was submitted, with all that was acked. */
static void check_against_model(const struct wal_fixture *fx, struct model *m)
{
	assert_true(fx->replayed_count >= m->kept);
	assert_true(fx->replayed_count <= m->count);
	for (size_t i = 0; i < fx->replayed_count; i++)
		assert_int_equal(fx->replayed[i], m->ids[i]);
	m->count = fx->replayed_count;
	m->kept = m->count; /* recovery has flushed it */
}

static enum durability pick_class(struct model *m)
{
	return pick(m, m->others) ? DURABILITY_OS : (enum durability)pick(m, 4);
}

static void submit_some(struct wal_fixture *fx, struct model *m)
{
	unsigned frames = 1 + pick(m, 20);
	size_t before = m->count;

	for (unsigned i = 0; i < frames; i++) {
		m->ids[m->count++] = m->next_id;
		wal_fixture_write(fx, m->next_id++, pick_class(m));
		if (pick(m, 4) == 0)
			assert_true(wal_fixture_wait(fx));
	}
	assert_true(wal_fixture_wait(fx));
	for (size_t i = 0; i < fx->probe_count; i++)
		if (fx->probes[i]->ww.fault.code == OK &&
		    fx->probes[i]->ww.frame.durability == DURABILITY_COMMIT)
			m->kept = before + i + 1;
	wal_fixture_forget(fx);
}

static void checkpoint(struct wal_fixture *fx, struct model *m)
{
	uint64_t last;

	if (wal_fixture_roll(fx, &last) != OK)
		return;
	fx->config.checkpointed = last;
	m->count = 0;
	m->kept = 0;
	wal_free_through(fx->wal, last);
}

static void live_until_the_power_goes(struct wal_fixture *fx, struct disk_power *power,
                                      struct model *m)
{
	struct fault f;

	if (wal_fixture_open(fx, &f) == OK) {
		assert_false(fx->replayed_wrong);
		assert_int_equal(fx->report.damage_count, 0);
		check_against_model(fx, m);
		while (!disk_power_is_off(power) && m->count + 20 < IDS_MAX) {
			submit_some(fx, m);
			if (pick(m, 6) == 0)
				checkpoint(fx, m);
		}
		wal_fixture_close(fx);
	}
	assert_true(disk_power_is_off(power));
}

static void cut_power_again_and_again(uint64_t seed)
{
	struct model *m = calloc(1, sizeof(*m));
	struct disk_power power;
	struct wal_fixture fx;
	struct fault f;

	m->random = seed;
	m->others = seed % 3 ? 1 : 100; /* which leaves many files unflushed */
	disk_power_init(&power, seed, 64 << 20);
	wal_fixture_init(&fx, &power.base, "/wal");
	fx.config.mark_before_ack = seed % 4 == 0;
	for (int round = 0; round < ROUNDS; round++) {
		disk_power_on(&power, 1 + pick(m, 80), pick(m, 2));
		live_until_the_power_goes(&fx, &power, m);
	}
	disk_power_on(&power, UINT_MAX, false);
	assert_int_equal(wal_fixture_open(&fx, &f), OK);
	assert_false(fx.replayed_wrong);
	assert_int_equal(fx.report.damage_count, 0);
	check_against_model(&fx, m);
	wal_fixture_fini(&fx);
	disk_power_fini(&power);
	free(m);
}

TEST(wal__a_power_cut_anywhere_loses_nothing_acked)
{
	const char *one = getenv("BOURN_SEED");

	if (one) {
		cut_power_again_and_again(strtoull(one, NULL, 10));
		return;
	}
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		if (seed % 100 == 1)
			print_message("seeds from %u (BOURN_SEED=n runs one)\n", (unsigned)seed);
		cut_power_again_and_again(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wal__a_failed_write_is_never_acked_and_final),
		cmocka_unit_test(wal__a_failed_flush_is_never_acked_and_final),
		cmocka_unit_test(
			wal__of_too_many_files_not_flushed_the_oldest_is_and_that_may_fail),
		cmocka_unit_test(wal__open_fails_cleanly_at_every_call),
		cmocka_unit_test(wal__short_writes_and_reads_are_gone_on_with),
		cmocka_unit_test(wal__a_full_disk_refuses_and_resumes_by_itself),
		cmocka_unit_test(wal__a_full_disk_takes_back_what_was_made_ahead),
		cmocka_unit_test(wal__a_refusal_takes_along_what_was_submitted_behind_it),
		cmocka_unit_test(
			wal__a_refusal_takes_along_what_comes_after_it_when_another_was_heard_of),
		cmocka_unit_test(wal__a_roll_on_a_full_disk_keeps_the_reserve),
		cmocka_unit_test(wal__a_checkpoint_frees_a_full_disk),
		cmocka_unit_test(wal_open__a_full_disk_is_no_reason_not_to_start),
		cmocka_unit_test(wal__a_power_cut_anywhere_loses_nothing_acked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
