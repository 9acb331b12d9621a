#include "store/wal.h"

#include "base/check.h"
#include "base/test.h"
#include "io/disk.h"
#include "store/testing/wal_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- a directory of the system's ---------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void begin(struct wal_fixture *fx)
{
	char dir[] = "/tmp/bourn-wal-XXXXXX";
	char wal[sizeof(dir) + 4];

	assert_non_null(mkdtemp(dir));
	snprintf(wal, sizeof(wal), "%s/wal", dir);
	wal_fixture_init(fx, disk_real(), wal);
}

static void end(struct wal_fixture *fx)
{
	char dir[sizeof(fx->dir)];

	memcpy(dir, fx->dir, sizeof(dir));
	*strrchr(dir, '/') = '\0';
	wal_fixture_fini(fx);
	remove_tree(dir);
}

static void open_well(struct wal_fixture *fx)
{
	struct fault f = {0};

	assert_int_equal(wal_fixture_open(fx, &f), OK);
	assert_false(fx->replayed_wrong);
}

static void copy_file(const char *from, const char *to)
{
	uint8_t bytes[4096];
	FILE *in = fopen(from, "rb");
	FILE *out = fopen(to, "wb");
	size_t len;

	assert_non_null(in);
	assert_non_null(out);
	while ((len = fread(bytes, 1, sizeof(bytes), in)))
		assert_int_equal(fwrite(bytes, 1, len, out), len);
	fclose(in);
	fclose(out);
}

/* What a kill -9 at this moment would leave, under another fixture. */
static void begin_killed(struct wal_fixture *killed, const struct wal_fixture *live)
{
	DIR *dir = opendir(live->dir);
	struct dirent *entry;
	char from[512];
	char to[512];

	begin(killed);
	assert_int_equal(mkdir(killed->dir, 0700), 0);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(from, sizeof(from), "%s/%s", live->dir, entry->d_name);
		snprintf(to, sizeof(to), "%s/%s", killed->dir, entry->d_name);
		copy_file(from, to);
	}
	closedir(dir);
}

static unsigned count_files(const struct wal_fixture *fx)
{
	DIR *dir = opendir(fx->dir);
	struct dirent *entry;
	unsigned count = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

static bool has_file(const struct wal_fixture *fx, unsigned number)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%u.wal", fx->dir, number);
	return access(path, F_OK) == 0;
}

static void write_ids(struct wal_fixture *fx, int64_t from, int64_t to, enum durability durability)
{
	for (int64_t id = from; id < to; id++)
		wal_fixture_write(fx, id, durability);
	assert_true(wal_fixture_wait(fx));
	for (size_t i = 0; i < fx->probe_count; i++)
		assert_int_equal(fx->probes[i]->ww.fault.code, OK);
}

static void assert_replayed(const struct wal_fixture *fx, int64_t from, int64_t to)
{
	assert_false(fx->replayed_wrong);
	assert_int_equal(fx->report.damage_count, 0);
	assert_int_equal(fx->replayed_count, to - from);
	assert_int_equal(fx->report.frame_count, to - from);
	for (int64_t id = from; id < to; id++)
		assert_int_equal(fx->replayed[id - from], id);
}

/* --- what goes in comes out ---------------------------------------------------------------- */

TEST(wal_open__a_new_directory_is_empty)
{
	struct wal_fixture fx;

	begin(&fx);
	open_well(&fx);
	assert_int_equal(fx.report.last_sequence, 0);
	assert_replayed(&fx, 0, 0);
	assert_int_equal(wal_stats(fx.wal).bytes, 0);
	assert_int_equal(wal_stats(fx.wal).oldest_ms, 0);
	end(&fx);
}

TEST(wal_write__comes_back_over_restarts)
{
	struct wal_fixture fx;

	begin(&fx);
	for (int64_t round = 0; round < 5; round++) {
		open_well(&fx);
		assert_replayed(&fx, 0, round * 300);
		assert_int_equal(fx.report.cut_bytes, 0);
		write_ids(&fx, round * 300, round * 300 + 300,
		          (enum durability)(round % (DURABILITY_COMMIT + 1)));
		wal_fixture_close(&fx);
	}
	open_well(&fx);
	assert_replayed(&fx, 0, 1500);
	end(&fx);
}

TEST(wal_write__survives_a_kill_in_every_class)
{
	for (int class = DURABILITY_NONE; class <= DURABILITY_COMMIT; class ++) {
		struct wal_fixture fx;
		struct wal_fixture killed;

		begin(&fx);
		open_well(&fx);
		write_ids(&fx, 0, 500, (enum durability) class);
		begin_killed(&killed, &fx);
		open_well(&killed);
		assert_replayed(&killed, 0, 500);
		end(&killed);
		end(&fx);
	}
}

TEST(wal_write__payloads_of_every_size_come_back)
{
	static const size_t sizes[] = {0,
	                               1,
	                               7,
	                               8,
	                               4008,
	                               4009,
	                               (16 << 10) - 1,
	                               16 << 10,
	                               (16 << 10) + 1,
	                               3,
	                               70001,
	                               1 << 20,
	                               (4 << 20) - 88,
	                               (4 << 20) - 87,
	                               (9 << 20) + 5,
	                               WAL_PAYLOAD_BYTES_MAX};
	struct wal_fixture fx;
	uint8_t *large = calloc(1, WAL_PAYLOAD_BYTES_MAX);

	for (size_t i = 0; i < WAL_PAYLOAD_BYTES_MAX; i++)
		large[i] = (uint8_t)(i + i / 251);
	begin(&fx);
	open_well(&fx);
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++)
		wal_fixture_write_payload(&fx, (int64_t)i, slice_of(large, sizes[i]));
	assert_true(wal_fixture_wait(&fx));
	wal_fixture_close(&fx);
	assert_int_equal(wal_fixture_open(&fx, NULL), OK);
	assert_int_equal(fx.report.frame_count, ARRAY_COUNT(sizes));
	assert_int_equal(fx.report.damage_count, 0);
	free(large);
	end(&fx);
}

/* --- when it is done ------------------------------------------------------------------------ */

TEST(wal_write__frames_of_a_loop_are_done_in_order)
{
	struct wal_fixture fx;

	begin(&fx);
	open_well(&fx);
	write_ids(&fx, 0, 5000, DURABILITY_COMMIT);
	for (size_t i = 0; i < fx.probe_count; i++) {
		assert_int_equal(fx.probes[i]->done_order, i + 1);
		if (i)
			assert_true(fx.probes[i]->ww.frame.sequence >
			            fx.probes[i - 1]->ww.frame.sequence);
	}
	assert_true(wal_stats(fx.wal).group_count < 5000);
	end(&fx);
}

TEST(wal_write__only_commit_waits_for_a_flush)
{
	struct wal_fixture fx;
	struct wal_probe *p;

	begin(&fx);
	fx.config.flush_ms = 3600000;
	open_well(&fx);
	for (int class = DURABILITY_NONE; class < DURABILITY_COMMIT; class ++) {
		p = wal_fixture_write(&fx, 1, (enum durability) class);
		assert_true(wal_fixture_wait(&fx));
		assert_int_equal(p->flush_count, 0);
	}
	p = wal_fixture_write(&fx, 1, DURABILITY_COMMIT);
	assert_true(wal_fixture_wait(&fx));
	assert_true(p->flush_count >= 1);
	end(&fx);
}

/* Each a group. */
static void write_one_by_one(struct wal_fixture *fx, int64_t count)
{
	for (int64_t id = 0; id < count; id++) {
		wal_fixture_write(fx, id, DURABILITY_OS);
		assert_true(wal_fixture_wait(fx));
	}
}

/* Files of 64 KiB, groups of one block. */
TEST(wal_write__a_next_file_waits_for_no_flush)
{
	struct wal_fixture fx;
	struct wal_probe *p;

	begin(&fx);
	open_well(&fx);
	write_one_by_one(&fx, 50);
	assert_true(has_file(&fx, 3));
	assert_int_equal(wal_stats(fx.wal).flush_count, 0);
	p = wal_fixture_write(&fx, 50, DURABILITY_COMMIT);
	assert_true(wal_fixture_wait(&fx));
	assert_int_equal(p->flush_count, 1);
	end(&fx);
}

/* Turns of the loop until `reached` says so; the loop has nothing else to do, so a turn is
 * short. */
static void wait_until(struct wal_fixture *fx, bool (*reached)(struct wal_fixture *fx))
{
	bool never = false;

	for (int turn = 0; turn < 10000 && !reached(fx); turn++)
		loop_run_until(fx->loop, &never, 2);
	assert_true(reached(fx));
}

static bool has_flushed(struct wal_fixture *fx)
{
	return wal_stats(fx->wal).flush_count > 0;
}

TEST(wal_write__interval_is_flushed_soon)
{
	struct wal_fixture fx;

	begin(&fx);
	open_well(&fx);
	wal_fixture_write(&fx, 1, DURABILITY_INTERVAL);
	assert_true(wal_fixture_wait(&fx));
	wait_until(&fx, has_flushed);
	end(&fx);
}

static bool has_marked(struct wal_fixture *fx)
{
	return wal_stats(fx->wal).group_count >= 2;
}

TEST(wal_write__a_mark_follows_a_lone_flush)
{
	struct wal_fixture fx;
	struct wal_fixture killed;

	begin(&fx);
	open_well(&fx);
	write_ids(&fx, 0, 1, DURABILITY_COMMIT);
	wait_until(&fx, has_marked);
	begin_killed(&killed, &fx);
	open_well(&killed);
	assert_replayed(&killed, 0, 1);
	assert_int_equal(killed.report.last_sequence, 2);
	end(&killed);
	end(&fx);
}

TEST(wal_write__a_mark_is_flushed_before_the_answer)
{
	struct wal_fixture fx;
	struct wal_fixture killed;

	begin(&fx);
	fx.config.mark_before_ack = true;
	open_well(&fx);
	wal_fixture_write(&fx, 0, DURABILITY_COMMIT);
	assert_true(wal_fixture_wait(&fx));
	assert_int_equal(fx.probes[0]->flush_count, 2);
	begin_killed(&killed, &fx);
	open_well(&killed);
	assert_int_equal(killed.report.last_sequence, 2);
	end(&killed);
	end(&fx);
}

/* --- files ----------------------------------------------------------------------------------- */

TEST(wal_roll__says_the_last_sequence_before_it)
{
	struct wal_fixture fx;
	uint64_t last;

	begin(&fx);
	open_well(&fx);
	write_ids(&fx, 0, 10, DURABILITY_OS);
	assert_int_equal(wal_fixture_roll(&fx, &last), OK);
	assert_int_equal(last, fx.probes[9]->ww.frame.sequence);
	assert_true(has_file(&fx, 2));
	assert_int_equal(wal_fixture_roll(&fx, &last), OK);
	assert_false(has_file(&fx, 3));
	end(&fx);
}

TEST(wal_roll__comes_after_the_writes_before_it)
{
	struct wal_fixture fx;
	uint64_t last;

	begin(&fx);
	open_well(&fx);
	for (int64_t id = 0; id < 3000; id++)
		wal_fixture_write(&fx, id, DURABILITY_COMMIT);
	assert_int_equal(wal_fixture_roll(&fx, &last), OK);
	assert_int_equal(fx.done_count, 3000);
	assert_true(last >= fx.probes[2999]->ww.frame.sequence);
	end(&fx);
}

TEST(wal_free_through__recycles_files_and_never_reads_their_old_frames)
{
	struct wal_fixture fx;
	struct wal_fixture killed;
	uint64_t last = 0;
	int64_t id = 0;

	begin(&fx);
	open_well(&fx);
	for (int round = 0; round < 12; round++) {
		write_ids(&fx, id, id + 200, DURABILITY_COMMIT);
		id += 200;
		assert_int_equal(wal_fixture_roll(&fx, &last), OK);
		wal_free_through(fx.wal, last);
	}
	write_ids(&fx, id, id + 3, DURABILITY_COMMIT);
	assert_false(has_file(&fx, 1));
	assert_true(count_files(&fx) <= 8); /* six spare ones, one sealed, one in use */
	begin_killed(&killed, &fx);
	killed.config.checkpointed = last;
	open_well(&killed);
	assert_replayed(&killed, id, id + 3);
	assert_int_equal(killed.report.cut_bytes, 0);
	end(&killed);
	end(&fx);
}

/* `next.tmp`; -1: there is none. */
static int64_t ahead_bytes(const struct wal_fixture *fx)
{
	char path[512];
	struct stat st;

	snprintf(path, sizeof(path), "%s/next.tmp", fx->dir);
	return stat(path, &st) == 0 ? st.st_size : -1;
}

TEST(wal_files__the_next_is_made_ahead_under_load)
{
	struct wal_fixture fx;
	struct wal_fixture killed;
	int64_t id = 0;

	begin(&fx);
	fx.config.file_bytes = 1 << 20;
	open_well(&fx);
	for (; id < 1000 && ahead_bytes(&fx) < 512 << 10; id++)
		write_ids(&fx, id, id + 1, DURABILITY_COMMIT);
	assert_true(ahead_bytes(&fx) >= 512 << 10);
	assert_false(has_file(&fx, 2));
	begin_killed(&killed, &fx);
	open_well(&killed);
	assert_replayed(&killed, 0, id);
	assert_int_equal(ahead_bytes(&killed), -1);
	end(&killed);
	for (; id < 1000 && !has_file(&fx, 2); id++)
		write_ids(&fx, id, id + 1, DURABILITY_COMMIT);
	assert_true(has_file(&fx, 2));
	wal_fixture_close(&fx);
	assert_int_equal(ahead_bytes(&fx), -1);
	open_well(&fx);
	assert_replayed(&fx, 0, id);
	end(&fx);
}

/* Their bytes are in the page cache; there, a file that grows holds nobody up for long. */
TEST(wal_files__none_is_made_ahead_where_nobody_waits_for_a_flush)
{
	struct wal_fixture fx;

	begin(&fx);
	fx.config.file_bytes = 1 << 20;
	open_well(&fx);
	for (int64_t id = 0; id < 500; id++) {
		wal_fixture_write(&fx, id, DURABILITY_OS);
		assert_true(wal_fixture_wait(&fx));
		assert_int_equal(ahead_bytes(&fx), -1);
	}
	end(&fx);
}

TEST(wal_stats__counts_bytes_until_they_are_freed)
{
	struct wal_fixture fx;
	uint64_t last;

	begin(&fx);
	open_well(&fx);
	write_ids(&fx, 0, 100, DURABILITY_COMMIT);
	assert_int_equal(wal_fixture_roll(&fx, &last), OK);
	assert_true(wal_stats(fx.wal).bytes > 100 * WAL_FRAME_HEADER_BYTES);
	assert_true(wal_stats(fx.wal).oldest_ms > 0);
	wal_free_through(fx.wal, last);
	assert_int_equal(wal_fixture_roll(&fx, &last), OK);
	assert_int_equal(wal_stats(fx.wal).bytes, 0);
	assert_int_equal(wal_stats(fx.wal).oldest_ms, 0);
	end(&fx);
}

TEST(wal_open__what_a_checkpoint_holds_is_not_replayed)
{
	struct wal_fixture fx;
	struct wal_fixture killed;

	begin(&fx);
	open_well(&fx);
	write_ids(&fx, 0, 100, DURABILITY_OS);
	begin_killed(&killed, &fx);
	killed.config.checkpointed = fx.probes[59]->ww.frame.sequence;
	open_well(&killed);
	assert_replayed(&killed, 60, 100);
	end(&killed);
	end(&fx);
}

TEST(wal_open__leaves_no_trail_of_files_behind)
{
	struct wal_fixture fx;

	begin(&fx);
	for (int round = 0; round < 10; round++) {
		open_well(&fx);
		wal_fixture_close(&fx);
	}
	assert_true(count_files(&fx) <= 3);
	end(&fx);
}

TEST(wal_open__another_store_or_kind_is_refused)
{
	struct wal_fixture fx;
	struct fault f;

	begin(&fx);
	open_well(&fx);
	write_ids(&fx, 0, 1, DURABILITY_COMMIT);
	wal_fixture_close(&fx);
	fx.config.store_id.bytes[15] = 1;
	assert_int_equal(wal_fixture_open(&fx, &f), ERR_DIR_FOREIGN);
	assert_non_null(strstr(f.where, "1.wal"));
	fx.config.store_id.bytes[15] = 0;
	memcpy(fx.config.kind, "ctlg", 5);
	assert_int_equal(wal_fixture_open(&fx, &f), ERR_DIR_FOREIGN);
	memcpy(fx.config.kind, "data", 5);
	open_well(&fx);
	assert_replayed(&fx, 0, 1);
	end(&fx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wal_open__a_new_directory_is_empty),
		cmocka_unit_test(wal_write__comes_back_over_restarts),
		cmocka_unit_test(wal_write__survives_a_kill_in_every_class),
		cmocka_unit_test(wal_write__payloads_of_every_size_come_back),
		cmocka_unit_test(wal_write__frames_of_a_loop_are_done_in_order),
		cmocka_unit_test(wal_write__only_commit_waits_for_a_flush),
		cmocka_unit_test(wal_write__a_next_file_waits_for_no_flush),
		cmocka_unit_test(wal_write__interval_is_flushed_soon),
		cmocka_unit_test(wal_write__a_mark_follows_a_lone_flush),
		cmocka_unit_test(wal_write__a_mark_is_flushed_before_the_answer),
		cmocka_unit_test(wal_roll__says_the_last_sequence_before_it),
		cmocka_unit_test(wal_roll__comes_after_the_writes_before_it),
		cmocka_unit_test(wal_free_through__recycles_files_and_never_reads_their_old_frames),
		cmocka_unit_test(wal_files__the_next_is_made_ahead_under_load),
		cmocka_unit_test(wal_files__none_is_made_ahead_where_nobody_waits_for_a_flush),
		cmocka_unit_test(wal_stats__counts_bytes_until_they_are_freed),
		cmocka_unit_test(wal_open__what_a_checkpoint_holds_is_not_replayed),
		cmocka_unit_test(wal_open__leaves_no_trail_of_files_behind),
		cmocka_unit_test(wal_open__another_store_or_kind_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
