/* Backups of both engines: what they hold, that they and their source live on their own, and that
 * nothing half-made stays, whatever fails. Crashes are crash_states_test.c's. */
#include "base/test.h"
#include "io/disk.h"
#include "store/chunklog/engine.h"
#include "store/chunklog/manifest.h"
#include "store/datadir.h"
#include "store/testing/event_log.h"
#include "store/verify/cut.h"
#include "store/wal_recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { DISK_BYTES = 256 << 20, EVENT_BYTES = 300, LOAD_OPS = 16 };

#define LIVE   "/data"
#define BACKUP "/data/backups/b"

struct fixture {
	struct disk_sim *sim;
	struct disk_fault *faults;
	struct disk *disk;
	struct store_rig live;
	struct store_rig restored; /* of the backup "b" */
};

static void open_rig(struct store_rig *r)
{
	struct fault f = {0};

	if (rig_try_open(r, &f))
		fail_msg("%s", f.where);
}

static int setup(void **state)
{
	const struct store_ops *ops = *state;
	struct fixture *x = calloc(1, sizeof(*x));

	x->sim = disk_sim_new(5, DISK_BYTES);
	x->faults = disk_fault_new(disk_sim_disk(x->sim));
	x->disk = disk_fault_disk(x->faults);
	rig_init(&x->live, ops, 2, x->disk, LIVE, 5);
	rig_init(&x->restored, ops, 1, x->disk, BACKUP, 6);
	x->live.memory_bytes = 1;
	x->restored.memory_bytes = 1;
	open_rig(&x->live);
	rig_topic(&x->live, "t", 1);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	rig_fini(&x->restored);
	rig_fini(&x->live);
	disk_fault_free(x->faults);
	disk_sim_free(x->sim);
	free(x);
	return 0;
}

#define FIXTURE_TEST(name) static void name(void **state)

static struct store_partition *partition(struct store_rig *r)
{
	const struct store_topic *t = rig_find(r, "t");

	assert_non_null(t);
	return t->partitions[0];
}

static void append(struct store_rig *r, int64_t from, int64_t to)
{
	assert_int_equal(event_log_append(r, partition(r), from, to, EVENT_BYTES), OK);
}

static enum err backup(struct store_rig *r, enum store_backup_verb verb, const char *name,
                       size_t *count)
{
	struct store_backup_op o = {.verb = verb, .name = name};
	enum err err = rig_backup(r, &o);

	*count = o.count;
	free(o.backups);
	return err;
}

static enum err make_backup(struct fixture *x, const char *name)
{
	size_t count;

	return backup(&x->live, BACKUP_MAKE, name, &count);
}

/* --- what verify says ------------------------------------------------------------------------- */

static void found(void *arg __attribute__((unused)), const struct verify_finding *f)
{
	if (f->is_damage)
		print_message("%s: %s\n", f->file, f->what);
}

static bool progress(void *arg __attribute__((unused)), int64_t done __attribute__((unused)),
                     int64_t all __attribute__((unused)))
{
	return true;
}

static struct verify_config verify_config(struct fixture *x, const char *path)
{
	return (struct verify_config){.path = path,
	                              .disk = x->disk,
	                              .clock = clock_system(),
	                              .found = found,
	                              .progress = progress};
}

static void assert_clean(struct fixture *x, const char *path)
{
	const struct verify_config config = verify_config(x, path);
	struct verify_totals totals = {0};
	struct fault f;

	assert_int_equal(verify_run(&config, &totals, &f), OK);
	assert_int_equal(totals.damages, 0);
}

/* --- two lives -------------------------------------------------------------------------------- */

/* kill -9, in effect, and a start. */
static void kill_rig(struct fixture *x, struct store_rig *r)
{
	for (enum disk_call call = 0; call < DISK_CALL_COUNT; call++)
		disk_fault_arm(x->faults, call, 1, EIO, 0, true);
	rig_shut(r);
	disk_fault_disarm(x->faults);
	disk_sim_kill(x->sim);
	open_rig(r);
}

/* Both are written, saved, stopped or killed, and started again, in turns. */
static void live_on(struct fixture *x, int64_t live_end, int64_t restored_end)
{
	for (int round = 0; round < 3; round++) {
		append(&x->live, live_end, live_end + 7);
		append(&x->restored, restored_end, restored_end + 5);
		live_end += 7;
		restored_end += 5;
		assert_int_equal(rig_checkpoint(&x->restored), OK);
		assert_int_equal(rig_checkpoint(&x->live), OK);
		if (round == 1) {
			rig_reopen(&x->restored);
			rig_shut(&x->live);
			kill_rig(x, &x->restored);
			rig_shut(&x->restored);
			open_rig(&x->live);
			kill_rig(x, &x->live);
			open_rig(&x->restored);
		}
		assert_true(event_log_is_whole(&x->live, partition(&x->live), live_end));
		assert_true(
			event_log_is_whole(&x->restored, partition(&x->restored), restored_end));
	}
	rig_shut(&x->live);
	rig_shut(&x->restored);
	assert_clean(x, LIVE);
	assert_clean(x, BACKUP);
}

FIXTURE_TEST(backup__holds_what_was_acknowledged_and_lives_on_its_own)
{
	struct fixture *x = *state;
	int32_t epoch;

	append(&x->live, 0, 20);
	assert_int_equal(rig_checkpoint(&x->live), OK);
	append(&x->live, 20, 30);
	epoch = partition(&x->live)->state.leader_epoch;
	assert_int_equal(make_backup(x, "b"), OK);
	assert_clean(x, BACKUP);
	append(&x->live, 30, 40);
	open_rig(&x->restored);
	assert_true(event_log_is_whole(&x->restored, partition(&x->restored), 30));
	assert_true(partition(&x->restored)->state.leader_epoch > epoch + 100);
	live_on(x, 40, 30);
}

static void read_first_segment(struct fixture *x, const char *dir, struct buf *into)
{
	char path[256], topic[UUID_TEXT_LEN + 1];

	snprintf(path, sizeof(path), "%s/topics/%s/0/%020d.seg", dir,
	         uuid_format(&partition(&x->live)->topic, topic), 0);
	*into = BUF_INIT(1 << 20);
	assert_int_equal(disk_read_file(x->disk, path, into, NULL), OK);
}

FIXTURE_TEST(backup__and_its_source_share_files_that_stay_as_they_are)
{
	struct buf before, after;
	struct fixture *x = *state;

	append(&x->live, 0, 20);
	assert_int_equal(make_backup(x, "b"), OK);
	read_first_segment(x, BACKUP, &before);
	append(&x->live, 20, 30);
	assert_int_equal(rig_checkpoint(&x->live), OK);
	open_rig(&x->restored);
	append(&x->restored, 20, 25);
	assert_int_equal(rig_checkpoint(&x->restored), OK);
	read_first_segment(x, LIVE, &after);
	assert_true(slice_eq(buf_slice(&before), buf_slice(&after)));
	buf_fini(&after);
	read_first_segment(x, BACKUP, &after);
	assert_true(slice_eq(buf_slice(&before), buf_slice(&after)));
	buf_fini(&after);
	buf_fini(&before);
}

FIXTURE_TEST(backup__copies_where_files_have_one_name_only)
{
	struct fixture *x = *state;

	append(&x->live, 0, 20);
	disk_fault_arm(x->faults, DISK_LINK, 1, EPERM, 0, true);
	assert_int_equal(make_backup(x, "b"), OK);
	assert_clean(x, BACKUP);
	open_rig(&x->restored);
	live_on(x, 20, 20);
}

FIXTURE_TEST(backup__of_a_backup_is_one)
{
	struct fixture *x = *state;
	size_t count;

	append(&x->live, 0, 20);
	assert_int_equal(make_backup(x, "b"), OK);
	open_rig(&x->restored);
	append(&x->restored, 20, 25);
	assert_int_equal(backup(&x->restored, BACKUP_MAKE, "c", &count), OK);
	assert_clean(x, BACKUP "/backups/c");
	live_on(x, 20, 25);
}

FIXTURE_TEST(backup__stays_when_its_source_removes_all)
{
	struct fixture *x = *state;

	append(&x->live, 0, 20);
	assert_int_equal(make_backup(x, "b"), OK);
	append(&x->live, 20, 25);
	assert_int_equal(rig_trim(&x->live, partition(&x->live), -1), OK);
	assert_int_equal(rig_checkpoint(&x->live), OK);
	assert_int_equal(rig_delete(&x->live, rig_find(&x->live, "t"), NULL), OK);
	assert_int_equal(rig_checkpoint(&x->live), OK);
	rig_shut(&x->live);
	assert_clean(x, BACKUP);
	open_rig(&x->restored);
	assert_true(event_log_is_whole(&x->restored, partition(&x->restored), 20));
}

FIXTURE_TEST(backup__of_nothing_is_one)
{
	struct fixture *x = *state;

	assert_int_equal(make_backup(x, "b"), OK);
	assert_clean(x, BACKUP);
	open_rig(&x->restored);
	live_on(x, 0, 0);
}

/* --- one moment ------------------------------------------------------------------------------- */

/* Appends without end, so that some are under way at every moment. */
struct load_op {
	struct store_append op;
	struct load *load;
};

struct load {
	struct load_op ops[LOAD_OPS];
	struct buf batch;
	struct slice bytes;
	unsigned left;
	bool stopping;
	bool stopped;
};

static void load_next(struct load *l, struct store_append *a)
{
	a->batches = l->bytes;
	a->expected_offset = -1;
	a->partition->store->ops->append(a);
}

static void load_done(struct store_append *a)
{
	struct load *l = CONTAINER_OF(a, struct load_op, op)->load;

	CHECK(a->fault.code == OK);
	if (!l->stopping)
		load_next(l, a);
	else
		l->stopped = --l->left == 0;
}

static void load_start(struct load *l, const struct store_topic *t)
{
	*l = (struct load){.batch = BUF_INIT(1 << 20), .left = LOAD_OPS};
	l->bytes = rig_batch(&l->batch, "event", NULL, 1);
	for (unsigned i = 0; i < LOAD_OPS; i++) {
		l->ops[i].load = l;
		l->ops[i].op.partition = t->partitions[i % 2];
		l->ops[i].op.done = load_done;
		load_next(l, &l->ops[i].op);
	}
}

static enum err ignore_partition(void *arg __attribute__((unused)),
                                 const struct uuid *topic __attribute__((unused)),
                                 uint32_t partition __attribute__((unused)),
                                 const struct saved *s __attribute__((unused)),
                                 struct fault *f __attribute__((unused)))
{
	return OK;
}

static struct wal_config live_wal(struct fixture *x)
{
	struct wal_config config = {.dir = LIVE "/wal", .kind = "data", .disk = x->disk};
	struct buf manifest = BUF_INIT(1 << 20);
	char engine[DATADIR_ENGINE_BYTES];
	struct datadir dir;
	struct manifest m;
	struct fault f;

	assert_int_equal(datadir_examine(BACKUP, x->disk, &dir, engine, &f), OK);
	assert_int_equal(disk_read_file(x->disk, BACKUP "/manifest", &manifest, &f), OK);
	assert_int_equal(
		manifest_decode(buf_slice(&manifest), &dir.id, &m, ignore_partition, NULL, &f), OK);
	config.store_id = dir.id;
	config.checkpointed = m.checkpointed;
	config.clock = clock_system();
	config.log = x->live.log;
	datadir_close(&dir);
	buf_fini(&manifest);
	return config;
}

struct beyond {
	int64_t ends[2]; /* of the backup */
	int64_t next[2]; /* of the first frame beyond its sequence */
};

static enum err see_frame(void *arg, const struct wal_frame *frame,
                          struct fault *f __attribute__((unused)))
{
	struct beyond *b = arg;

	if (frame->type == WAL_BATCHES && b->next[frame->partition] < 0)
		b->next[frame->partition] = frame->base_offset;
	return OK;
}

/* All that the WAL has up to the backup's sequence is in it, and nothing that came after: whatever
 * partition. */
static void assert_one_moment(struct fixture *x)
{
	const struct wal_config config = live_wal(x);
	const struct store_topic *t;
	struct beyond b = {.next = {-1, -1}};
	struct wal_found found_wal;
	struct fault f;

	assert_int_equal(wal_recover(&config, see_frame, &b, &found_wal, &f), OK);
	wal_found_fini(&found_wal);
	open_rig(&x->restored);
	t = rig_find(&x->restored, "load");
	for (int i = 0; i < 2; i++)
		if (b.next[i] >= 0)
			assert_int_equal(t->partitions[i]->state.high_watermark, b.next[i]);
	rig_shut(&x->restored);
}

FIXTURE_TEST(backup__is_of_one_moment_for_all_partitions)
{
	struct fixture *x = *state;
	struct load *l = malloc(sizeof(*l));

	load_start(l, rig_topic(&x->live, "load", 2));
	for (int i = 0; i < 10; i++) {
		size_t count;

		assert_int_equal(make_backup(x, "b"), OK);
		assert_one_moment(x);
		assert_int_equal(backup(&x->live, BACKUP_REMOVE, "b", &count), OK);
	}
	l->stopping = true;
	assert_true(l->stopped || rig_run(&x->live, &l->stopped));
	buf_fini(&l->batch);
	free(l);
}

/* --- refusals --------------------------------------------------------------------------------- */

FIXTURE_TEST(backup__names_are_as_topics_but_for_tmp)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "a b", "x.tmp", ".tmp"};
	struct fixture *x = *state;
	char long_name[TOPIC_NAME_BYTES_MAX + 1] = {0};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(make_backup(x, bad[i]), ERR_BAD_PARAMETER);
	memset(long_name, 'n', sizeof(long_name) - 1);
	assert_int_equal(make_backup(x, long_name), OK);
}

struct two {
	struct store_backup_op ops[2];
	unsigned ended;
	bool both_ended;
};

static void first_ended(struct store_backup_op *o)
{
	struct two *two = CONTAINER_OF(o, struct two, ops[0]);

	two->both_ended = ++two->ended == 2;
}

static void second_ended(struct store_backup_op *o)
{
	struct two *two = CONTAINER_OF(o, struct two, ops[1]);

	two->both_ended = ++two->ended == 2;
}

FIXTURE_TEST(backup__only_one_at_a_time)
{
	struct fixture *x = *state;
	struct store *live = x->live.store;
	struct two two = {.ops = {{.store = live, .name = "a", .done = first_ended},
	                          {.store = live, .name = "b", .done = second_ended}}};

	live->ops->backup(&two.ops[0]);
	live->ops->backup(&two.ops[1]);
	assert_true(rig_run(&x->live, &two.both_ended));
	assert_int_equal(two.ops[0].fault.code, OK);
	assert_int_equal(two.ops[1].fault.code, ERR_BACKUP_BUSY);
	free(two.ops[0].backups);
}

/* --- what fails ------------------------------------------------------------------------------- */

static int count_name(void *arg, const char *name __attribute__((unused)))
{
	++*(unsigned *)arg;
	return 0;
}

static unsigned names_in(struct fixture *x, const char *dir)
{
	unsigned count = 0;
	int got = x->disk->ops->list(x->disk, dir, count_name, &count);

	assert_true(got >= 0 || got == -ENOENT);
	return count;
}

/* True: it was made in spite of it. */
static bool fails_cleanly(struct fixture *x, enum disk_call call, unsigned n, int os_errno)
{
	enum err err;

	disk_fault_arm(x->faults, call, n, os_errno, 0, false);
	err = make_backup(x, "b");
	disk_fault_disarm(x->faults);
	if (err == OK) {
		size_t count;

		assert_clean(x, BACKUP);
		assert_int_equal(backup(&x->live, BACKUP_REMOVE, "b", &count), OK);
	} else if (os_errno == ENOSPC) {
		assert_int_equal(err, ERR_DISK_FULL);
	}
	assert_int_equal(names_in(x, LIVE "/backups"), 0);
	rig_reopen(&x->live); /* a failed flush of the WAL is final */
	return err == OK;
}

FIXTURE_TEST(backup__leaves_nothing_when_a_call_fails)
{
	static const struct {
		enum disk_call call;
		int os_errno;
	} faults[] = {
		{DISK_OPEN, EIO},     {DISK_PWRITEV, ENOSPC}, {DISK_SYNC, EIO},
		{DISK_SYNC_DIR, EIO}, {DISK_RENAME, EIO},     {DISK_LINK, EIO},
		{DISK_MKDIR, EIO},    {DISK_LINK, ENOSPC},    {DISK_MKDIR, ENOSPC},
	};
	struct fixture *x = *state;
	int64_t end = 0;

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		for (unsigned n = 1;; n += TEST_STEP(4)) {
			append(&x->live, end, end + 3);
			end += 3;
			if (fails_cleanly(x, faults[i].call, n, faults[i].os_errno) && n > 2)
				break;
		}
	}
	assert_true(event_log_is_whole(&x->live, partition(&x->live), end));
	rig_shut(&x->live);
	assert_clean(x, LIVE);
}

FIXTURE_TEST(backup__a_missing_segment_is_told)
{
	struct fixture *x = *state;
	char path[256], topic[UUID_TEXT_LEN + 1];

	append(&x->live, 0, 5);
	assert_int_equal(rig_checkpoint(&x->live), OK);
	snprintf(path, sizeof(path), LIVE "/topics/%s/0/%020d.seg",
	         uuid_format(&partition(&x->live)->topic, topic), 0);
	assert_int_equal(x->disk->ops->unlink(x->disk, path), 0);
	assert_int_equal(make_backup(x, "b"), ERR_CORRUPT);
	assert_int_equal(names_in(x, LIVE "/backups"), 0);
}

FIXTURE_TEST(backup__what_a_crash_left_goes_at_the_next_start)
{
	struct fixture *x = *state;

	append(&x->live, 0, 5);
	assert_int_equal(make_backup(x, "b"), OK);
	assert_int_equal(x->disk->ops->rename(x->disk, BACKUP, BACKUP ".tmp"), 0);
	rig_reopen(&x->live);
	assert_int_equal(names_in(x, LIVE "/backups"), 0);
	assert_true(event_log_is_whole(&x->live, partition(&x->live), 5));
}

/* --- repairs ---------------------------------------------------------------------------------- */

FIXTURE_TEST(backup__is_cut_without_harm_to_its_source)
{
	struct fixture *x = *state;
	struct verify_plan plan = {0};
	struct verify_config config = verify_config(x, BACKUP);
	struct cut_partition cut = {.from = 10, .to = 20};
	struct verify_totals totals = {0};
	struct fault f = {0};

	append(&x->live, 0, 20);
	assert_int_equal(make_backup(x, "b"), OK);
	config.plan = &plan;
	assert_int_equal(verify_run(&config, &totals, &f), OK);
	cut.topic = partition(&x->live)->topic;
	plan.partitions = malloc(sizeof(cut));
	plan.partitions[0] = cut;
	plan.partition_count = 1;
	assert_int_equal(verify_cut(&config, &plan, &f), OK);
	verify_plan_fini(&plan);
	assert_clean(x, BACKUP);
	open_rig(&x->restored);
	assert_true(event_log_is_whole(&x->restored, partition(&x->restored), 10));
	live_on(x, 20, 10);
}

int main(void)
{
#define T(name)                                                                                    \
	cmocka_unit_test_prestate_setup_teardown(name, setup, teardown, (void *)(uintptr_t)ops)
	int failed = 0;

	for (int i = 0; i < 2; i++) {
		const struct store_ops *ops = i ? &store_log : &store_memory;
		const struct CMUnitTest tests[] = {
			T(backup__holds_what_was_acknowledged_and_lives_on_its_own),
			T(backup__and_its_source_share_files_that_stay_as_they_are),
			T(backup__copies_where_files_have_one_name_only),
			T(backup__of_a_backup_is_one),
			T(backup__stays_when_its_source_removes_all),
			T(backup__of_nothing_is_one),
			T(backup__is_of_one_moment_for_all_partitions),
			T(backup__names_are_as_topics_but_for_tmp),
			T(backup__only_one_at_a_time),
			T(backup__leaves_nothing_when_a_call_fails),
			T(backup__a_missing_segment_is_told),
			T(backup__what_a_crash_left_goes_at_the_next_start),
			T(backup__is_cut_without_harm_to_its_source),
		};

		failed += cmocka_run_group_tests_name(ops->name, tests, NULL, NULL);
	}
	return failed;
}
