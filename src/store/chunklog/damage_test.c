/* Both engines, `log` with next to no memory, on disks that rot, fail and fill up: nothing wrong is
 * ever served, what is damaged is fenced alone, what was acknowledged is there. */
#include "base/endian.h"
#include "base/test.h"
#include "io/disk.h"
#include "io/testing/disk_poke.h"
#include "store/chunklog/engine.h"
#include "store/testing/event_log.h"
#include "store/wal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { DISK_BYTES = 256 << 20, PATH_BYTES = 256 };

struct variant {
	const struct store_ops *ops;
	int64_t memory_bytes;
};

struct fixture {
	const struct variant *variant;
	struct disk_sim *sim;
	struct disk_fault *faults;
	struct disk *disk; /* the faults' */
	struct store_rig rig;
};

static void open_store(struct fixture *x)
{
	struct fault f = {0};

	if (rig_try_open(&x->rig, &f))
		fail_msg("%s", f.where);
}

static int setup(void **state)
{
	const struct variant *v = *state;
	struct fixture *x = calloc(1, sizeof(*x));

	x->sim = disk_sim_new(11, DISK_BYTES);
	x->faults = disk_fault_new(disk_sim_disk(x->sim));
	x->disk = disk_fault_disk(x->faults);
	x->variant = v;
	rig_init(&x->rig, v->ops, 2, x->disk, "/data", 11);
	x->rig.memory_bytes = v->memory_bytes;
	open_store(x);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	disk_fault_disarm(x->faults);
	rig_fini(&x->rig);
	disk_fault_free(x->faults);
	disk_sim_free(x->sim);
	free(x);
	return 0;
}

static void set_up_anew(void **state)
{
	const struct variant *v = ((struct fixture *)*state)->variant;

	teardown(state);
	*state = (void *)(uintptr_t)v;
	setup(state);
}

#define FIXTURE_TEST(name) static void name(void **state)

static struct store_partition *partition(struct fixture *x, const char *topic, uint32_t index)
{
	const struct store_topic *t = rig_find(&x->rig, topic);

	assert_non_null(t);
	return t->partitions[index];
}

static void restart(struct fixture *x)
{
	rig_shut(&x->rig);
	open_store(x);
}

/* --- flipped bits ---------------------------------------------------------------------------- */

static const char *segment_path(struct store_partition *p, int64_t base, char into[PATH_BYTES])
{
	char topic[UUID_TEXT_LEN + 1];

	snprintf(into, PATH_BYTES, "/data/topics/%s/%u/%020lld.seg", uuid_format(&p->topic, topic),
	         p->index, (long long)base);
	return into;
}

/* Ten events in each of two partitions of "a", saved in segments; the store is shut. */
static void make_saved(struct fixture *x, char path[PATH_BYTES])
{
	const struct store_topic *t = rig_topic(&x->rig, "a", 2);

	for (uint32_t i = 0; i < 2; i++)
		assert_int_equal(event_log_append(&x->rig, t->partitions[i], 0, 10, 100), OK);
	segment_path(t->partitions[0], 0, path);
	rig_shut(&x->rig);
}

FIXTURE_TEST(engine__no_flipped_bit_of_a_segment_serves_a_wrong_event)
{
	struct fixture *x = *state;
	char path[PATH_BYTES];
	int64_t bits;

	make_saved(x, path);
	bits = disk_poke_size(x->disk, path) * 8;
	for (int64_t bit = 0; bit < bits; bit += bit < 4000 * 8 ? 1009 : 53) {
		struct store_partition *p;
		enum err why;
		int64_t end;

		disk_poke_flip(x->disk, path, bit);
		open_store(x);
		p = partition(x, "a", 0);
		end = event_log_read(&x->rig, p, 0, &why);
		/* Only the leader epochs may be put right unseen. */
		assert_true(why == ERR_CORRUPT || end == 10);
		assert_int_equal(p->state.fenced.code, why ? ERR_FENCED : OK);
		assert_int_equal(p->state.high_watermark, 10);
		assert_true(event_log_is_whole(&x->rig, partition(x, "a", 1), 10));
		rig_shut(&x->rig);
		disk_poke_flip(x->disk, path, bit);
	}
}

/* A partition whose 7th event rotted, and that was read. */
static void make_damaged(struct fixture *x)
{
	char path[PATH_BYTES];
	enum err why;

	make_saved(x, path);
	disk_poke_flip(x->disk, path, (disk_poke_size(x->disk, path) / 10 * 8) * 8);
	open_store(x);
	(void)event_log_read(&x->rig, partition(x, "a", 0), 0, &why);
}

FIXTURE_TEST(engine__damage_fences_one_partition_until_it_is_trimmed)
{
	struct fixture *x = *state;
	struct store_partition *p;
	enum err why;

	make_damaged(x);
	p = partition(x, "a", 0);
	assert_int_equal(event_log_append(&x->rig, p, 10, 11, 10), ERR_FENCED);
	assert_int_equal(event_log_append(&x->rig, partition(x, "a", 1), 10, 11, 10), OK);
	restart(x);
	p = partition(x, "a", 0);
	assert_true(event_log_read(&x->rig, p, 0, &why) < 10);
	assert_int_equal(why, ERR_CORRUPT);
	assert_int_equal(event_log_append(&x->rig, p, 10, 11, 10), ERR_FENCED);

	assert_int_equal(rig_trim(&x->rig, p, -1), OK);
	assert_int_equal(p->state.fenced.code, OK);
	assert_int_equal(event_log_append(&x->rig, p, 10, 12, 10), OK);
	restart(x);
	assert_int_equal(partition(x, "a", 0)->state.log_start, 10);
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), 12));
}

FIXTURE_TEST(engine__a_cut_or_missing_segment_is_damage)
{
	struct fixture *x = *state;
	char path[PATH_BYTES];
	enum err why;
	int fd;

	make_saved(x, path);
	fd = x->disk->ops->open(x->disk, path, O_RDWR);
	assert_int_equal(x->disk->ops->truncate(x->disk, fd, disk_poke_size(x->disk, path) - 1), 0);
	x->disk->ops->close(x->disk, fd);
	open_store(x);
	assert_int_equal(event_log_read(&x->rig, partition(x, "a", 0), 0, &why), 9);
	assert_int_equal(why, ERR_CORRUPT);
	rig_shut(&x->rig);

	assert_int_equal(x->disk->ops->unlink(x->disk, path), 0);
	open_store(x);
	assert_int_equal(event_log_read(&x->rig, partition(x, "a", 0), 0, &why), 0);
	assert_int_equal(why, ERR_CORRUPT);
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 1), 10));
}

/* Where the frame that begins at this offset of partition `index` of "a" stands in the first
 * file. */
static int64_t find_frame(struct fixture *x, uint32_t index, int64_t base_offset)
{
	struct buf file = BUF_INIT(64 << 20);
	int64_t found = -1;

	assert_int_equal(disk_read_file(x->disk, "/data/wal/1.wal", &file, NULL), OK);
	for (size_t at = 4096; at + WAL_FRAME_HEADER_BYTES < file.len && found < 0; at += 8) {
		const uint8_t *h = file.ptr + at;

		if (memcmp(h, "bWAL", 4) == 0 && h[52] == WAL_BATCHES &&
		    load_le32(h + 48) == index && load_le64(h + 56) == (uint64_t)base_offset)
			found = (int64_t)at;
	}
	buf_fini(&file);
	assert_true(found > 0);
	return found;
}

/* Eight events in each partition of "a", one a frame, all in the WAL only; the store is shut. */
static void make_logged(struct fixture *x)
{
	const struct store_topic *t = rig_topic(&x->rig, "a", 2);

	for (int64_t n = 0; n < 8; n++)
		for (uint32_t i = 0; i < 2; i++)
			assert_int_equal(event_log_append(&x->rig, t->partitions[i], n, n + 1, 100),
			                 OK);
	disk_fault_arm(x->faults, DISK_OPEN, 1, EIO, 0, true); /* no last checkpoint */
	rig_shut(&x->rig);
	disk_fault_disarm(x->faults);
}

FIXTURE_TEST(engine__a_damaged_wal_frame_fences_its_partition)
{
	struct fixture *x = *state;
	enum err why;

	make_logged(x);
	disk_poke_flip(x->disk, "/data/wal/1.wal",
	               (find_frame(x, 0, 3) + WAL_FRAME_HEADER_BYTES + 20) * 8);
	open_store(x);
	for (int i = 0; i < 3; i++) { /* it stays so, also when the WAL is gone */
		struct store_partition *p = partition(x, "a", 0);

		assert_int_equal(event_log_read(&x->rig, p, 0, &why), 3);
		assert_int_equal(why, ERR_CORRUPT);
		assert_int_equal(event_log_read(&x->rig, p, 4, &why), 8);
		assert_int_equal(why, OK);
		assert_int_equal(event_log_append(&x->rig, p, 8, 9, 10), ERR_FENCED);
		assert_true(event_log_is_whole(&x->rig, partition(x, "a", 1), 8));
		restart(x);
	}
	assert_int_equal(rig_trim(&x->rig, partition(x, "a", 0), 4), OK);
	assert_int_equal(event_log_append(&x->rig, partition(x, "a", 0), 8, 9, 10), OK);
	restart(x);
	assert_int_equal(partition(x, "a", 0)->state.log_start, 4);
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), 9));
}

FIXTURE_TEST(engine__a_lost_wal_header_fences_what_no_later_frame_confirms)
{
	struct fixture *x = *state;

	make_logged(x);
	disk_poke_flip(x->disk, "/data/wal/1.wal", (find_frame(x, 0, 7) + 40) * 8);
	open_store(x);
	assert_int_equal(partition(x, "a", 0)->state.fenced.code, ERR_FENCED);
	assert_int_equal(partition(x, "a", 1)->state.fenced.code, OK);
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), 7));
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 1), 8));
	restart(x);
	assert_int_equal(partition(x, "a", 0)->state.fenced.code, ERR_FENCED);
	assert_int_equal(rig_trim(&x->rig, partition(x, "a", 0), -1), OK);
	assert_int_equal(partition(x, "a", 0)->state.fenced.code, OK);
}

FIXTURE_TEST(engine__a_damaged_manifest_is_gone_round)
{
	struct fixture *x = *state;
	int64_t end = 0;

	rig_topic(&x->rig, "a", 1);
	for (int64_t n = 0; n < 40; n++) {
		/* Some of it saved by the manifest before, some by the last one, some replayed. */
		assert_int_equal(event_log_append(&x->rig, partition(x, "a", 0), end, end + 5, 500),
		                 OK);
		end += 5;
		if (n % 2)
			assert_int_equal(rig_checkpoint(&x->rig), OK);
		rig_shut(&x->rig);
		disk_poke_flip(x->disk, "/data/manifest",
		               (n * 37) % (disk_poke_size(x->disk, "/data/manifest") * 8));
		open_store(x);
		assert_int_equal(partition(x, "a", 0)->state.fenced.code, OK);
		assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), end));
	}
}

FIXTURE_TEST(engine__without_a_manifest_there_is_no_start)
{
	struct fixture *x = *state;
	char path[PATH_BYTES];
	struct fault f = {0};

	make_saved(x, path);
	disk_poke_flip(x->disk, "/data/manifest", 77);
	disk_poke_flip(x->disk, "/data/manifest.prev", 77);
	assert_int_equal(rig_try_open(&x->rig, &f), ERR_CORRUPT);
	assert_non_null(strstr(f.where, "backup"));
	disk_poke_flip(x->disk, "/data/manifest", 77);
	open_store(x);
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), 10));
}

/* --- errors ---------------------------------------------------------------------------------- */

/* Appends until the armed call fails (or all are in); returns how many were acknowledged. */
static int64_t append_until_fault(struct fixture *x)
{
	for (int64_t n = 0; n < 200; n++) {
		enum err err = event_log_append(&x->rig, partition(x, "a", 0), n, n + 1, 100);

		if (n % 20 == 10)
			(void)!rig_checkpoint(&x->rig);
		if (err == OK)
			continue;
		if (err != ERR_BUSY) { /* nothing can go to segments: memory is full */
			assert_int_equal(err, ERR_IO);
			assert_int_equal(
				event_log_append(&x->rig, partition(x, "a", 0), n, n + 1, 100),
				ERR_FENCED);
		}
		assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), n));
		return n;
	}
	return 200;
}

/* False: there was no n-th call. */
static bool fail_nth(struct fixture *x, enum disk_call call, unsigned n)
{
	int64_t acked;
	struct store_partition *p;
	unsigned calls;
	bool came;

	rig_topic(&x->rig, "a", 1);
	calls = disk_fault_calls(x->faults, call);
	disk_fault_arm(x->faults, call, n, EIO, n % 2 ? 0 : 100, false);
	acked = append_until_fault(x);
	came = disk_fault_calls(x->faults, call) - calls >= n;
	disk_fault_disarm(x->faults);
	rig_shut(&x->rig);
	disk_sim_crash(x->sim);
	open_store(x);
	p = partition(x, "a", 0);
	assert_int_equal(p->state.fenced.code, OK);
	assert_in_range(p->state.high_watermark, acked, acked + 1);
	assert_true(event_log_is_whole(&x->rig, p, p->state.high_watermark));
	return came;
}

FIXTURE_TEST(engine__an_error_is_never_acknowledged_and_never_trusted)
{
	static const enum disk_call calls[] = {DISK_PWRITEV,  DISK_SYNC,   DISK_PWRITEV_SYNC,
	                                       DISK_SYNC_DIR, DISK_RENAME, DISK_OPEN};
	unsigned shown = 0;

	for (size_t i = 0; i < ARRAY_COUNT(calls); i++) {
		bool came = true;

		for (unsigned n = 1; n <= 50 && came; n += TEST_STEP(4)) {
			came = fail_nth(*state, calls[i], n);
			shown += came;
			set_up_anew(state);
		}
	}
	assert_true(shown >= 20);
}

FIXTURE_TEST(engine__a_start_that_fails_modifies_nothing_it_needs)
{
	static const enum disk_call calls[] = {DISK_OPEN,     DISK_PREAD,   DISK_PWRITEV, DISK_SYNC,
	                                       DISK_SYNC_DIR, DISK_RENAME,  DISK_SIZE,    DISK_LIST,
	                                       DISK_MKDIR,    DISK_TRUNCATE};
	struct fixture *x = *state;
	char path[PATH_BYTES];

	make_saved(x, path);
	for (size_t i = 0; i < ARRAY_COUNT(calls); i++) {
		for (unsigned n = 1; n <= 12; n++) {
			struct fault f;

			disk_fault_arm(x->faults, calls[i], n, EIO, 0, false);
			if (rig_try_open(&x->rig, &f) == OK)
				rig_shut(&x->rig);
			disk_fault_disarm(x->faults);
		}
		open_store(x);
		assert_true(event_log_is_whole(&x->rig, partition(x, "a", 1), 10));
		rig_shut(&x->rig);
	}
}

/* --- no space -------------------------------------------------------------------------------- */

FIXTURE_TEST(engine__a_full_disk_refuses_writes_and_goes_on_when_there_is_space)
{
	struct fixture *x = *state;
	struct store_partition *p = rig_topic(&x->rig, "a", 1)->partitions[0];
	int64_t end = 0;
	enum err err = OK;

	disk_sim_set_capacity(x->sim, 32 << 20);
	while (!err && end < 1000) {
		err = event_log_append(&x->rig, p, end, end + 1, 100000);
		end += err == OK;
	}
	assert_int_equal(err, ERR_DISK_FULL);
	assert_true(event_log_is_whole(&x->rig, p, end));
	assert_int_equal(p->state.fenced.code, OK);
	assert_int_not_equal(rig_checkpoint(&x->rig), OK);
	assert_int_equal(rig_trim(&x->rig, p, 5), OK);
	rig_topic(&x->rig, "b", 1);

	disk_sim_set_capacity(x->sim, DISK_BYTES);
	assert_int_equal(rig_checkpoint(&x->rig), OK); /* tried again by itself within a second */
	assert_int_equal(event_log_append(&x->rig, p, end, end + 1, 100000), OK);
	restart(x);
	assert_int_equal(partition(x, "a", 0)->state.log_start, 5);
	assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), end + 1));
}

FIXTURE_TEST(engine__a_checkpoint_that_fails_loses_nothing)
{
	static const enum disk_call calls[] = {DISK_PWRITEV, DISK_SYNC,  DISK_SYNC_DIR,
	                                       DISK_RENAME,  DISK_MKDIR, DISK_OPEN};
	struct fixture *x = *state;
	int64_t end = 0;
	enum err failed;

	rig_topic(&x->rig, "a", 1);
	for (size_t i = 0; i < ARRAY_COUNT(calls); i++) {
		for (unsigned n = 1; n <= 6; n++) {
			struct store_partition *p = partition(x, "a", 0);

			assert_int_equal(event_log_append(&x->rig, p, end, end + 3, 5000), OK);
			end += 3;
			disk_fault_arm(x->faults, calls[i], n, ENOSPC, 0, true);
			failed = rig_checkpoint(&x->rig);
			disk_fault_disarm(x->faults);
			if (n % 2 == 0) /* after a failed flush none is made */
				assert_true(!rig_checkpoint(&x->rig) ||
				            (failed &&
				             (calls[i] == DISK_SYNC || calls[i] == DISK_SYNC_DIR)));
			disk_fault_arm(x->faults, DISK_OPEN, 1, EIO, 0, true);
			rig_shut(&x->rig);
			disk_fault_disarm(x->faults);
			disk_sim_crash(x->sim);
			open_store(x);
			assert_true(event_log_is_whole(&x->rig, partition(x, "a", 0), end));
		}
	}
}

static int run(struct variant v)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_prestate_setup_teardown(name, setup, teardown, &v)
		T(engine__no_flipped_bit_of_a_segment_serves_a_wrong_event),
		T(engine__damage_fences_one_partition_until_it_is_trimmed),
		T(engine__a_cut_or_missing_segment_is_damage),
		T(engine__a_damaged_wal_frame_fences_its_partition),
		T(engine__a_lost_wal_header_fences_what_no_later_frame_confirms),
		T(engine__a_damaged_manifest_is_gone_round),
		T(engine__without_a_manifest_there_is_no_start),
		T(engine__an_error_is_never_acknowledged_and_never_trusted),
		T(engine__a_start_that_fails_modifies_nothing_it_needs),
		T(engine__a_full_disk_refuses_writes_and_goes_on_when_there_is_space),
		T(engine__a_checkpoint_that_fails_loses_nothing),
	};

	return cmocka_run_group_tests_name(v.ops->name, tests, NULL, NULL);
}

int main(void)
{
	return run((struct variant){&store_memory, 0}) + run((struct variant){&store_log, 1});
}
