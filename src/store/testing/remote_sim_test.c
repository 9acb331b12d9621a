#include "store/testing/remote_sim.h"

#include "base/test.h"
#include "store/testing/remote_log.h"
#include "store/testing/store_rig.h"

#include <stdlib.h>

enum { BATCH_LIMIT = 1 << 16, APPENDS = 100 };

/* --- remote_log: pure ------------------------------------------------------------------------ */

static void fill(struct remote_log *l, uint64_t seed, unsigned gap_percent)
{
	struct buf batch = BUF_INIT(BATCH_LIMIT);

	remote_log_init(l, seed, gap_percent);
	for (unsigned i = 0; i < APPENDS; i++)
		remote_log_append(l, rig_batch(&batch, "v", NULL, 2));
	buf_fini(&batch);
}

TEST(remote_log__without_gaps_it_is_dense)
{
	struct remote_log l;

	fill(&l, 1, 0);
	assert_int_equal(l.end, 2 * APPENDS);
	assert_int_equal(l.count, APPENDS);
	remote_log_fini(&l);
}

TEST(remote_log__gaps_are_holes_and_control_batches)
{
	struct remote_log l;
	size_t holes = 0;
	size_t markers = 0;

	fill(&l, 1, 50);
	for (size_t i = 1; i < l.count; i++) {
		struct batch b;

		assert_int_equal(batch_parse(l.batches[i].bytes, &b, NULL), OK);
		assert_true(batch_crc_ok(&b));
		holes += l.batches[i].base_offset > l.batches[i - 1].last_offset + 1;
		markers += (b.attributes & BATCH_CONTROL) != 0;
	}
	assert_in_range(holes, APPENDS / 10, APPENDS / 2);
	assert_in_range(markers, APPENDS / 10, APPENDS / 2);
	remote_log_fini(&l);
}

TEST(remote_log__the_same_seed_gives_the_same_log)
{
	struct remote_log a;
	struct remote_log b;
	struct remote_log c;

	fill(&a, 7, 30);
	fill(&b, 7, 30);
	fill(&c, 8, 30);
	assert_int_equal(a.end, b.end);
	assert_int_equal(a.count, b.count);
	assert_true(a.end != c.end || a.count != c.count);
	remote_log_fini(&a);
	remote_log_fini(&b);
	remote_log_fini(&c);
}

TEST(remote_log__a_saved_one_cut_anywhere_is_refused)
{
	struct buf saved = BUF_INIT(1 << 20);
	struct remote_log l;
	struct slice from;

	fill(&l, 3, 30);
	remote_log_trim(&l, 20);
	remote_log_save(&l, &saved);
	remote_log_fini(&l);
	for (size_t len = 0; len < saved.len; len += 7) {
		from = slice_of(saved.ptr, len);
		remote_log_init(&l, 3, 30);
		assert_int_equal(remote_log_load(&l, &from, NULL), ERR_CORRUPT);
		remote_log_fini(&l);
	}
	from = buf_slice(&saved);
	remote_log_init(&l, 3, 30);
	assert_int_equal(remote_log_load(&l, &from, NULL), OK);
	assert_int_equal(l.start, 20);
	assert_int_equal(from.len, 0);
	remote_log_fini(&l);
	buf_fini(&saved);
}

/* --- the engine ------------------------------------------------------------------------------ */

static int open_rig(void **state)
{
	struct store_rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	rig_open(r, &store_remote_sim, 1, false, 1);
	*state = r;
	return 0;
}

static int close_rig(void **state)
{
	rig_close(*state);
	free(*state);
	return 0;
}

struct watcher {
	struct store_watch watch;
	struct store_partition *p;
	int64_t wanted;
	bool reached;
};

static void moved(struct store_watch *w)
{
	struct watcher *watcher = CONTAINER_OF(w, struct watcher, watch);

	watcher->reached = watcher->p->state.high_watermark >= watcher->wanted;
}

TEST(remote_sim__foreign_appends_come_by_themselves_and_wake_readers)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	struct watcher w = {.watch = {.moved = moved}, .p = p, .wanted = 10};
	struct slice batches;
	struct shared *holder;
	struct batch b;

	store_watch_add(p, &w.watch);
	remote_sim_foreign(p, 10);
	assert_int_equal(p->state.high_watermark, 0);
	assert_true(rig_run(r, &w.reached));
	store_watch_remove(&w.watch);
	assert_int_equal(rig_read(r, p, 0, 1, &batches, &holder), OK);
	assert_int_equal(batch_validate(batches, &b, NULL), OK);
	assert_int_equal(b.record_count, 1);
	shared_put(holder);
}

/* A writer that waits, and readers that may know before it does. */
struct early {
	struct store_append op;
	struct store_watch watch;
	unsigned seen_before;
	bool seen;
	bool done;
};

static void early_seen(struct store_watch *w)
{
	CONTAINER_OF(w, struct early, watch)->seen = true;
}

static void early_done(struct store_append *a)
{
	struct early *e = CONTAINER_OF(a, struct early, op);

	e->seen_before += e->seen;
	e->done = true;
}

TEST(remote_sim__readers_may_see_a_batch_before_its_writer_hears_of_it)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	struct early e = {.watch = {.moved = early_seen}};
	struct buf batch = BUF_INIT(BATCH_LIMIT);

	store_watch_add(p, &e.watch);
	for (int i = 0; i < 20; i++) {
		e.op = (struct store_append){.partition = p,
		                             .batches = rig_batch(&batch, "v", NULL, 1),
		                             .expected_offset = -1,
		                             .done = early_done};
		e.seen = false;
		e.done = false;
		r->store->ops->append(&e.op);
		assert_true(rig_run(r, &e.done));
	}
	assert_true(e.seen_before > 0);
	store_watch_remove(&e.watch);
	buf_fini(&batch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(remote_log__without_gaps_it_is_dense),
		cmocka_unit_test(remote_log__gaps_are_holes_and_control_batches),
		cmocka_unit_test(remote_log__the_same_seed_gives_the_same_log),
		cmocka_unit_test(remote_log__a_saved_one_cut_anywhere_is_refused),
		cmocka_unit_test_setup_teardown(
			remote_sim__foreign_appends_come_by_themselves_and_wake_readers, open_rig,
			close_rig),
		cmocka_unit_test_setup_teardown(
			remote_sim__readers_may_see_a_batch_before_its_writer_hears_of_it, open_rig,
			close_rig),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
