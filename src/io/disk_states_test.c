/* What disk_states says a crash may leave behind, held against what the trace did. */
#include "io/testing/disk_states.h"

#include "base/test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { DISK_BYTES = 1 << 20, RANDOM_STEPS = TEST_TIMES(400), BLOCK = MODEL_BLOCK_BYTES };

struct fixture {
	struct disk_sim *sim;
	struct disk_trace trace;
	struct disk *disk; /* the trace's */
	size_t seen;       /* states */
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	x->sim = disk_sim_new(1, DISK_BYTES);
	disk_trace_init(&x->trace, disk_sim_disk(x->sim));
	x->disk = &x->trace.base;
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	disk_trace_fini(&x->trace);
	disk_sim_free(x->sim);
	free(x);
	return 0;
}

#define FIXTURE_TEST(name) static void name(void **state)

static int create(struct fixture *x, const char *path)
{
	int fd = x->disk->ops->open(x->disk, path, O_RDWR | O_CREAT);

	assert_true(fd >= 0);
	return fd;
}

static void put(struct fixture *x, int fd, char letter, size_t len, int64_t at)
{
	char bytes[3 * BLOCK];
	struct iovec iov = {bytes, len};

	memset(bytes, letter, sizeof(bytes));
	assert_int_equal(x->disk->ops->pwritev(x->disk, fd, &iov, 1, at), len);
}

static void sync_all(struct fixture *x, int fd)
{
	assert_int_equal(x->disk->ops->sync(x->disk, fd), 0);
	assert_int_equal(x->disk->ops->sync_dir(x->disk, "/"), 0);
}

static void each_state(struct fixture *x, size_t from_mark, disk_state_cb *each)
{
	struct disk_states_config config = {
		.trace = &x->trace,
		.from_mark = from_mark,
		.random_count = 20,
		.seed = 3,
	};

	assert_true(disk_states_each(&config, each, x) > 0);
	assert_true(x->seen > 0);
}

static const struct disk_state_entry *find(const struct disk_state *s, const char *path)
{
	for (size_t i = 0; i < s->entry_count; i++)
		if (strcmp(s->entries[i].path, path) == 0)
			return &s->entries[i];
	return NULL;
}

static char byte_at(const struct disk_state_entry *e, int64_t at)
{
	const struct model_block *b = e->content.blocks[at / BLOCK];

	return b ? (char)b->bytes[at % BLOCK] : '\0';
}

/* --- what was synced stays -------------------------------------------------------------------- */

static bool holds_a(void *arg, const struct disk_state *s)
{
	const struct disk_state_entry *e = find(s, "/f");

	assert_non_null(e);
	assert_true(e->content.size >= BLOCK);
	for (int64_t at = 0; at < BLOCK; at += 64)
		assert_int_equal(byte_at(e, at), 'a');
	((struct fixture *)arg)->seen++;
	return true;
}

FIXTURE_TEST(disk_states__what_was_synced_stays)
{
	struct fixture *x = *state;
	int fd = create(x, "/f");

	put(x, fd, 'a', BLOCK, 0);
	sync_all(x, fd);
	disk_trace_mark(&x->trace);
	put(x, fd, 'b', 2 * BLOCK, BLOCK);
	put(x, fd, 'c', 100, 3 * BLOCK);
	x->disk->ops->unlink(x->disk, "/none");
	assert_int_equal(x->disk->ops->truncate(x->disk, fd, 2 * BLOCK), 0);
	each_state(x, 1, holds_a);
}

/* --- two names of one file -------------------------------------------------------------------- */

static bool second_name_alone(void *arg, const struct disk_state *s)
{
	struct disk_sim *sim = disk_sim_new(2, DISK_BYTES);
	struct disk *d = disk_sim_disk(sim);
	const struct disk_state_entry *first = find(s, "/f"), *second = find(s, "/g");
	int fd;

	if (second) {
		assert_ptr_equal(first->file, second->file);
		disk_state_write(s, d);
		fd = d->ops->open(d, "/g", O_RDONLY);
		assert_int_equal(d->ops->links(d, fd), 2);
		((struct fixture *)arg)->seen++;
	}
	disk_sim_free(sim);
	return true;
}

FIXTURE_TEST(disk_states__two_names_lead_to_one_file)
{
	struct fixture *x = *state;
	int fd = create(x, "/f");

	put(x, fd, 'a', BLOCK, 0);
	sync_all(x, fd);
	disk_trace_mark(&x->trace);
	assert_int_equal(x->disk->ops->link(x->disk, "/f", "/g"), 0);
	put(x, fd, 'b', BLOCK, 0);
	each_state(x, 1, second_name_alone);
}

/* --- what was not may be anything between ----------------------------------------------------- */

enum { SAW_NONE = 1, SAW_OLD = 2, SAW_NEW = 4, SAW_TORN = 8, SAW_SHORT = 16 };

static bool note_mix(void *arg, const struct disk_state *s)
{
	struct fixture *x = arg;
	const struct disk_state_entry *e = find(s, "/f");

	if (!e)
		x->seen |= SAW_NONE;
	else if (e->content.size < 2 * BLOCK)
		x->seen |= SAW_SHORT;
	else if (byte_at(e, 0) != byte_at(e, BLOCK - 1))
		x->seen |= SAW_TORN;
	else
		x->seen |= byte_at(e, 0) == 'a' ? SAW_OLD : SAW_NEW;
	return true;
}

FIXTURE_TEST(disk_states__what_was_not_synced_is_old_new_torn_or_missing)
{
	struct fixture *x = *state;
	int fd = create(x, "/f");

	put(x, fd, 'a', BLOCK, 0);
	assert_int_equal(x->disk->ops->sync(x->disk, fd), 0);
	put(x, fd, 'b', 2 * BLOCK, 0);
	each_state(x, 0, note_mix);
	assert_int_equal(x->seen, SAW_NONE | SAW_OLD | SAW_NEW | SAW_TORN | SAW_SHORT);
}

static bool is_old_or_new(void *arg, const struct disk_state *s)
{
	const struct disk_state_entry *e = find(s, "/f");

	assert_non_null(e);
	assert_int_equal(e->content.size, BLOCK);
	assert_int_equal(byte_at(e, 0), byte_at(e, BLOCK - 1));
	((struct fixture *)arg)->seen++;
	return true;
}

FIXTURE_TEST(disk_states__a_replaced_file_is_the_old_or_the_new_one)
{
	struct fixture *x = *state;
	char bytes[BLOCK];
	struct fault f;

	for (char letter = 'a'; letter < 'd'; letter++) {
		memset(bytes, letter, sizeof(bytes));
		assert_int_equal(
			disk_replace_file(x->disk, "/", "f", slice_of(bytes, sizeof(bytes)), &f),
			OK);
		disk_trace_mark(&x->trace);
	}
	each_state(x, 1, is_old_or_new);
}

static bool is_synced_range(void *arg, const struct disk_state *s)
{
	const struct disk_state_entry *e = find(s, "/f");

	assert_non_null(e);
	assert_int_equal(byte_at(e, BLOCK), 'b');
	((struct fixture *)arg)->seen |= byte_at(e, 0) == 'a' ? SAW_NEW : SAW_OLD;
	return true;
}

FIXTURE_TEST(disk_states__a_synced_write_makes_only_itself_last)
{
	struct fixture *x = *state;
	int fd = create(x, "/f");
	char bytes[BLOCK];
	struct iovec iov = {bytes, BLOCK};

	memset(bytes, 'b', sizeof(bytes));
	sync_all(x, fd);
	put(x, fd, 'a', BLOCK, 0);
	assert_int_equal(x->disk->ops->pwritev_sync(x->disk, fd, &iov, 1, BLOCK), BLOCK);
	disk_trace_mark(&x->trace);
	put(x, fd, 'c', BLOCK, 2 * BLOCK);
	each_state(x, 1, is_synced_range);
	assert_int_equal(x->seen, SAW_NEW | SAW_OLD);
}

/* --- against the disk itself ------------------------------------------------------------------ */

static void random_step(struct fixture *x, struct entropy_seeded *dice)
{
	uint8_t roll[6];
	char path[8], to[8];
	int fd;

	dice->base.fill(&dice->base, roll, sizeof(roll));
	snprintf(path, sizeof(path), "/%c", 'a' + roll[0] % 4);
	snprintf(to, sizeof(to), "/%c", 'a' + roll[1] % 4);
	switch (roll[2] % 8) {
	case 0: (void)!x->disk->ops->rename(x->disk, path, to); return;
	case 1: (void)!x->disk->ops->unlink(x->disk, path); return;
	case 2: assert_int_equal(x->disk->ops->sync_dir(x->disk, "/"), 0); return;
	default: break;
	}
	fd = create(x, path);
	if (roll[2] % 8 == 3)
		assert_int_equal(x->disk->ops->sync(x->disk, fd), 0);
	else if (roll[2] % 8 == 4)
		assert_int_equal(x->disk->ops->truncate(x->disk, fd, roll[3] * 50), 0);
	else
		put(x, fd, (char)roll[4], 1 + roll[3] * 20u, roll[5] * 40);
	x->disk->ops->close(x->disk, fd);
}

static void expect_same_file(struct disk *one, struct disk *other, const char *path)
{
	struct buf a = BUF_INIT(DISK_BYTES), b = BUF_INIT(DISK_BYTES);

	assert_int_equal(disk_read_file(one, path, &a, NULL),
	                 disk_read_file(other, path, &b, NULL));
	assert_int_equal(a.len, b.len);
	if (a.len > 0)
		assert_memory_equal(a.ptr, b.ptr, a.len);
	buf_fini(&a);
	buf_fini(&b);
}

/* Of the last crash point: what a kill leaves is what is there. */
static bool kill_leaves_all(void *arg, const struct disk_state *s)
{
	struct fixture *x = arg;
	struct disk_sim *copy;

	if (!s->kept_all || s->step + 1 < x->trace.count)
		return true;
	copy = disk_sim_new(2, DISK_BYTES);
	disk_state_write(s, disk_sim_disk(copy));
	disk_sim_crash(copy);
	for (char c = 'a'; c < 'e'; c++)
		expect_same_file(disk_sim_disk(x->sim), disk_sim_disk(copy), (char[]){'/', c, 0});
	disk_sim_free(copy);
	x->seen++;
	return true;
}

FIXTURE_TEST(disk_states__a_kill_leaves_what_is_there)
{
	struct fixture *x = *state;
	struct entropy_seeded dice;

	entropy_seeded_init(&dice, 5);
	for (unsigned i = 0; i < RANDOM_STEPS; i++)
		random_step(x, &dice);
	assert_int_equal(x->disk->ops->sync_dir(x->disk, "/"), 0);
	each_state(x, 0, kill_leaves_all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(disk_states__what_was_synced_stays),
		T(disk_states__two_names_lead_to_one_file),
		T(disk_states__what_was_not_synced_is_old_new_torn_or_missing),
		T(disk_states__a_replaced_file_is_the_old_or_the_new_one),
		T(disk_states__a_synced_write_makes_only_itself_last),
		T(disk_states__a_kill_leaves_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
