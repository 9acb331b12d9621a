/* Several frames of one partition on their way to the disk: what is refused leaves no hole. */
#include "base/test.h"
#include "store/chunklog/engine.h"
#include "store/testing/event_log.h"
#include "store/testing/sim_store.h"

#include <errno.h>
#include <stdlib.h>

enum {
	DISK_BYTES = 64 << 20,
	FLUSH_MS = 100, /* long enough for what follows to be under way when it ends */
	WAL_FILE_BYTES = 256 << 10,
	SMALL = 10,
	LARGE = 900 << 10, /* more than a WAL file has left */
	APPENDS_MAX = 16,
};

struct append {
	struct store_append base;
	struct fixture *fixture;
	struct buf batch;
	int order; /* of done, from 1 */
};

struct fixture {
	struct sim_store store;
	struct append appends[APPENDS_MAX];
	int begun;
	int done;
	bool all_done;
};

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));

	sim_store_init(&x->store, &store_log, 1, 5, DISK_BYTES);
	x->store.rig.wal_file_bytes = WAL_FILE_BYTES;
	sim_store_open(&x->store);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	for (int i = 0; i < x->begun; i++)
		buf_fini(&x->appends[i].batch);
	sim_store_fini(&x->store);
	free(x);
	return 0;
}

#define FIXTURE_TEST(name) static void name(void **state)

static void done(struct store_append *base)
{
	struct append *a = CONTAINER_OF(base, struct append, base);

	a->order = ++a->fixture->done;
	a->fixture->all_done = a->fixture->done == a->fixture->begun;
}

/* One record with a value of so many bytes; in a turn of its own, so in a frame of its own. */
static struct append *begin_if(struct fixture *x, size_t bytes, int64_t expected_offset)
{
	struct append *a = &x->appends[x->begun++];
	struct batch_builder builder;
	uint8_t *value = calloc(1, bytes);
	bool never = false;

	a->fixture = x;
	a->batch = (struct buf)BUF_INIT(2 << 20);
	batch_begin(&builder, &a->batch);
	batch_add(&builder, &(struct record){.value = slice_of(value, bytes)});
	free(value);
	a->base = (struct store_append){
		.partition = x->store.p,
		.batches = batch_finish(&builder),
		.expected_offset = expected_offset,
		.done = done,
	};
	x->all_done = false;
	x->store.rig.ops->append(&a->base);
	loop_run_until(x->store.rig.loops[0], &never, 2);
	return a;
}

static struct append *begin(struct fixture *x, size_t bytes)
{
	return begin_if(x, bytes, -1);
}

static void wait_for_all(struct fixture *x)
{
	assert_true(rig_run(&x->store.rig, &x->all_done));
}

FIXTURE_TEST(frames__are_acknowledged_in_their_order)
{
	struct fixture *x = *state;

	disk_fault_slow_sync(x->store.faults, FLUSH_MS);
	for (int i = 0; i < APPENDS_MAX; i++)
		begin(x, SMALL);
	assert_true(x->done < APPENDS_MAX); /* else there was nothing in flight */
	wait_for_all(x);
	for (int i = 0; i < APPENDS_MAX; i++) {
		assert_int_equal(x->appends[i].base.fault.code, OK);
		assert_int_equal(x->appends[i].base.base_offset, i);
		assert_int_equal(x->appends[i].order, i + 1);
	}
	assert_int_equal(x->store.p->state.high_watermark, APPENDS_MAX);
}

FIXTURE_TEST(frames__a_refused_one_takes_along_those_behind_it)
{
	struct fixture *x = *state;
	struct append *first, *large, *behind, *later;

	disk_fault_slow_sync(x->store.faults, FLUSH_MS);
	first = begin(x, SMALL);
	disk_sim_set_capacity(x->store.sim, 0);
	large = begin(x, LARGE);
	behind = begin(x, SMALL);
	wait_for_all(x);
	assert_int_equal(first->base.fault.code, OK);
	assert_int_equal(large->base.fault.code, ERR_DISK_FULL);
	assert_int_equal(behind->base.fault.code, ERR_DISK_FULL);
	assert_true(first->order < large->order);
	assert_true(large->order < behind->order);
	assert_int_equal(x->store.p->state.log_end, 1);
	disk_sim_set_capacity(x->store.sim, DISK_BYTES);
	later = begin(x, SMALL);
	wait_for_all(x);
	assert_int_equal(later->base.fault.code, OK);
	assert_int_equal(later->base.base_offset, 1);
}

/* It was judged by a log end that never came. */
FIXTURE_TEST(frames__what_was_refused_behind_a_failed_one_failed_with_it)
{
	struct fixture *x = *state;
	struct append *first, *second;

	disk_fault_slow_sync(x->store.faults, FLUSH_MS);
	disk_fault_arm(x->store.faults, DISK_SYNC, 1, EIO, 0, true);
	first = begin(x, SMALL);
	second = begin_if(x, SMALL, 0);
	wait_for_all(x);
	assert_int_equal(first->base.fault.code, ERR_IO);
	assert_int_equal(second->base.fault.code, ERR_IO);
	assert_int_equal(x->store.p->state.log_end, 0);
	assert_int_equal(x->store.p->state.fenced.code, ERR_FENCED);
}

#define WITH_FIXTURE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_FIXTURE(frames__are_acknowledged_in_their_order),
		WITH_FIXTURE(frames__a_refused_one_takes_along_those_behind_it),
		WITH_FIXTURE(frames__what_was_refused_behind_a_failed_one_failed_with_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
