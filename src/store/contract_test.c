/* What store.h promises, held against every engine: those of the release and remote_sim, each bare
 * on one shard and behind a (disarmed) fault_store on two. BOURN_SEED=n runs another seed. */
#include "base/test.h"
#include "io/disk.h"
#include "store/chunklog/engine.h"
#include "store/rocksdb/engine.h"
#include "store/testing/remote_sim.h"
#include "store/testing/store_rig.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	BATCH_LIMIT = 4 << 20,
	SEEN_MAX = 4096,
	PIPELINE_MAX = 64,
	ALL = 1 << 30, /* bytes_max: no limit */
};

/* --- readers -------------------------------------------------------------------------------- */

struct seen {
	int64_t offset;
	int64_t timestamp;
	char value[32];
};

/* What a reader that starts at `from` and follows the log to its end gets. */
struct reading {
	struct seen events[SEEN_MAX];
	size_t count;
	struct bounds {
		int64_t base_offset;
		int64_t last_offset;
	} batches[SEEN_MAX]; /* also those without events */
	size_t batch_count;
};

static void see_batch(struct reading *out, const struct batch *b, int64_t from)
{
	struct batch_iter it;
	struct record r;
	bool corrupt;

	for (batch_iter_init(&it, b); batch_iter_next(&it, &r, &corrupt);) {
		struct seen *event = &out->events[out->count];

		if (r.offset < from)
			continue;
		assert_true(out->count < SEEN_MAX);
		*event = (struct seen){.offset = r.offset, .timestamp = r.timestamp};
		snprintf(event->value, sizeof(event->value), "%.*s", SLICE_FMT(r.value));
		out->count++;
	}
	assert_false(corrupt);
}

/* One read's batches: whole, checked, in order, the first one that of `from` or the next. Returns
 * the offset after them. */
static int64_t see(struct reading *out, const struct store_partition *p, struct slice rest,
                   size_t bytes_max, int64_t from)
{
	int64_t next = from;
	bool single = true;

	assert_true(rest.len <= bytes_max || batch_peek_size(rest, rest.len, &bytes_max));
	assert_true(rest.len <= bytes_max);
	for (; rest.len; single = false) {
		struct batch b;

		assert_int_equal(batch_parse(rest, &b, NULL), OK);
		assert_true(batch_crc_ok(&b));
		assert_true(b.last_offset >= next);
		assert_true(single || b.base_offset >= next);
		assert_true(b.last_offset < p->state.high_watermark);
		assert_in_range(b.leader_epoch, 0, p->state.leader_epoch);
		see_batch(out, &b, from);
		assert_true(out->batch_count < SEEN_MAX);
		out->batches[out->batch_count++] = (struct bounds){b.base_offset, b.last_offset};
		next = b.last_offset + 1;
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	return next;
}

static struct reading *read_from(struct store_rig *r, struct store_partition *p, int64_t from,
                                 size_t bytes_max)
{
	struct reading *out = calloc(1, sizeof(*out));

	assert_non_null(out);
	for (;;) {
		struct slice batches;
		struct shared *holder;

		assert_int_equal(rig_read(r, p, from, bytes_max, &batches, &holder), OK);
		if (!holder)
			break;
		from = see(out, p, batches, bytes_max, from);
		shared_put(holder);
	}
	assert_int_equal(from, p->state.high_watermark);
	return out;
}

static size_t count_from(struct store_rig *r, struct store_partition *p, int64_t from)
{
	struct reading *reading = read_from(r, p, from, ALL);
	size_t count = reading->count;

	free(reading);
	return count;
}

/* --- writers -------------------------------------------------------------------------------- */

/* Append `count` records as one batch; returns its base offset. */
static int64_t append(struct store_rig *r, struct store_partition *p, const char *value,
                      uint32_t count)
{
	struct buf batch = BUF_INIT(BATCH_LIMIT);
	int64_t base_offset;

	assert_int_equal(rig_append(r, p, rig_batch(&batch, value, NULL, count), &base_offset), OK);
	buf_fini(&batch);
	return base_offset;
}

static int64_t append_at_times(struct store_rig *r, struct store_partition *p,
                               const int64_t *timestamps, uint32_t count)
{
	struct buf batch = BUF_INIT(BATCH_LIMIT);
	int64_t base_offset;

	assert_int_equal(
		rig_append(r, p, rig_batch(&batch, "timed", timestamps, count), &base_offset), OK);
	buf_fini(&batch);
	return base_offset;
}

/* Appends given at once; `order` notes in which order they completed. */
struct pipeline {
	struct store_rig *rig;
	struct pipelined {
		struct store_append op;
		struct pipeline *of;
		struct buf batch;
		unsigned place; /* of its completion, from 1; 0: not yet */
	} appends[PIPELINE_MAX];
	unsigned count;
	unsigned completed;
	bool all;
};

static void pipelined_done(struct store_append *a)
{
	struct pipelined *p = CONTAINER_OF(a, struct pipelined, op);

	assert_int_equal(p->place, 0);
	p->place = ++p->of->completed;
	buf_fini(&p->batch); /* the store must not look at it again */
	p->of->all = p->of->completed == p->of->count;
}

static void pipeline_add(struct pipeline *l, struct store_partition *p, int64_t expected_offset)
{
	struct pipelined *a = &l->appends[l->count];
	char value[16];

	snprintf(value, sizeof(value), "piped %u", l->count);
	l->count++;
	a->of = l;
	a->batch = BUF_INIT(BATCH_LIMIT);
	a->op = (struct store_append){.partition = p,
	                              .batches = rig_batch(&a->batch, value, NULL, 1),
	                              .expected_offset = expected_offset,
	                              .done = pipelined_done};
	l->all = false;
	l->rig->store->ops->append(&a->op);
	assert_int_equal(a->place, 0);
}

/* --- append --------------------------------------------------------------------------------- */

TEST(append__base_offsets_rise_and_the_state_follows)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	int64_t next = 0;

	assert_int_equal(p->state.high_watermark, 0);
	for (int i = 0; i < 10; i++) {
		int64_t base_offset = append(r, p, "v", 3);

		assert_true(base_offset >= next);
		next = base_offset + 3;
		assert_true(p->state.high_watermark >= next);
		assert_true(p->state.log_end >= p->state.high_watermark);
		assert_int_equal(p->state.last_stable, p->state.high_watermark);
		assert_true(p->state.bytes > 0);
		if (!(r->ops->capabilities & STORE_REMOTE))
			assert_int_equal(p->state.log_end, next);
	}
}

TEST(append__pipelined_complete_later_once_and_in_order)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	struct pipeline l = {.rig = r};
	struct reading *reading;

	for (int i = 0; i < PIPELINE_MAX; i++)
		pipeline_add(&l, p, -1);
	assert_true(rig_run(r, &l.all));
	for (unsigned i = 0; i < PIPELINE_MAX; i++) {
		assert_int_equal(l.appends[i].place, i + 1);
		assert_int_equal(l.appends[i].op.fault.code, OK);
		if (i)
			assert_true(l.appends[i].op.base_offset > l.appends[i - 1].op.base_offset);
	}
	reading = read_from(r, p, 0, ALL);
	assert_int_equal(reading->count, PIPELINE_MAX);
	for (unsigned i = 0; i < PIPELINE_MAX; i++)
		assert_int_equal(reading->events[i].offset, l.appends[i].op.base_offset);
	free(reading);
}

TEST(append__partitions_do_not_mix)
{
	struct store_rig *r = *state;
	const struct store_topic *topic = rig_topic(r, "t", 8);
	struct pipeline l = {.rig = r};

	for (uint32_t i = 0; i < PIPELINE_MAX; i++)
		pipeline_add(&l, topic->partitions[i % 8], -1);
	assert_true(rig_run(r, &l.all));
	for (uint32_t i = 0; i < 8; i++) {
		struct reading *reading = read_from(r, topic->partitions[i], 0, ALL);

		assert_int_equal(l.appends[i].op.durability, DURABILITY_COMMIT);
		assert_int_equal(reading->count, PIPELINE_MAX / 8);
		for (uint32_t j = 0; j < reading->count; j++) {
			char value[16];

			snprintf(value, sizeof(value), "piped %u 0", j * 8 + i);
			assert_string_equal(reading->events[j].value, value);
		}
		free(reading);
	}
}

TEST(append__larger_than_the_topic_allows_is_refused_in_its_turn)
{
	struct store_rig *r = *state;
	struct topic_spec spec = rig_spec(r, "t", 1);
	const struct store_topic *topic;
	struct buf batch = BUF_INIT(BATCH_LIMIT);
	struct slice bytes = rig_batch(&batch, "v", NULL, 200);

	spec.settings.max_message_bytes = (int32_t)bytes.len;
	assert_int_equal(rig_create(r, &spec, &topic, NULL), OK);
	assert_int_equal(rig_append(r, topic->partitions[0], bytes, NULL), OK);
	bytes = rig_batch(&batch, "v", NULL, 201);
	assert_int_equal(rig_append(r, topic->partitions[0], bytes, NULL), ERR_TOO_LARGE);
	assert_int_equal(count_from(r, topic->partitions[0], 0), 200);
	buf_fini(&batch);
}

TEST(append__expected_offset_lets_one_of_two_in)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	struct pipeline l = {.rig = r};

	if (!(r->ops->capabilities & STORE_EXPECTED_OFFSET))
		return;
	pipeline_add(&l, p, 0);
	pipeline_add(&l, p, 0);
	pipeline_add(&l, p, 1);
	pipeline_add(&l, p, 3);
	pipeline_add(&l, p, -1);
	assert_true(rig_run(r, &l.all));
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(l.appends[i].place, i + 1);
	assert_int_equal(l.appends[0].op.fault.code, OK);
	assert_int_equal(l.appends[1].op.fault.code, ERR_OFFSET_MISMATCH);
	assert_int_equal(l.appends[2].op.fault.code, OK);
	assert_int_equal(l.appends[3].op.fault.code, ERR_OFFSET_MISMATCH);
	assert_int_equal(l.appends[4].op.base_offset, 2);
}

/* --- read ----------------------------------------------------------------------------------- */

TEST(read__returns_what_was_appended_at_any_size)
{
	static const size_t sizes[] = {1, 200, 1000, ALL};
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];

	for (uint32_t i = 1; i <= 9; i++)
		append(r, p, "v", i);
	for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
		struct reading *reading = read_from(r, p, 0, sizes[i]);

		assert_int_equal(reading->count, 45);
		assert_string_equal(reading->events[0].value, "v 0");
		assert_string_equal(reading->events[44].value, "v 8");
		free(reading);
	}
}

/* At every offset there is, also in gaps: the batch that holds it, or the next. */
TEST(read__starts_at_the_batch_that_contains_the_offset)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	const struct bounds *expected;
	struct reading *all;

	for (uint32_t i = 0; i < 8; i++)
		append(r, p, "v", 4);
	all = read_from(r, p, 0, ALL);
	expected = all->batches;
	for (int64_t offset = 0; offset < p->state.high_watermark; offset++) {
		struct slice batches;
		struct shared *holder;
		struct batch b;

		if (expected->last_offset < offset)
			expected++;
		assert_int_equal(rig_read(r, p, offset, 1, &batches, &holder), OK);
		assert_int_equal(batch_parse(batches, &b, NULL), OK);
		assert_int_equal(b.base_offset, expected->base_offset);
		assert_int_equal(b.bytes.len, batches.len);
		shared_put(holder);
	}
	free(all);
}

TEST(read__one_batch_comes_however_large)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	struct buf big = BUF_INIT(BATCH_LIMIT);
	struct slice batches;
	struct shared *holder;
	struct batch b;
	int64_t base_offset;

	append(r, p, "small", 1);
	rig_batch(&big, "large", NULL, 40000);
	assert_true(big.len > (1 << 19));
	assert_int_equal(rig_append(r, p, buf_slice(&big), &base_offset), OK);
	append(r, p, "small", 1);
	assert_int_equal(rig_read(r, p, base_offset + 39999, 100, &batches, &holder), OK);
	assert_int_equal(batches.len, big.len);
	assert_int_equal(batch_validate(batches, &b, NULL), OK);
	assert_int_equal(b.base_offset, base_offset);
	shared_put(holder);
	buf_fini(&big);
}

TEST(read__at_the_high_watermark_is_empty_and_beyond_it_refused)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	struct slice batches;
	struct shared *holder;

	assert_int_equal(rig_read(r, p, 0, ALL, &batches, &holder), OK);
	assert_null(holder);
	append(r, p, "v", 2);
	assert_int_equal(rig_read(r, p, p->state.high_watermark, ALL, &batches, &holder), OK);
	assert_null(holder);
	assert_int_equal(rig_read(r, p, p->state.high_watermark + 1, ALL, &batches, &holder),
	                 ERR_OUT_OF_RANGE);
}

TEST(read__what_it_returned_stays_whatever_happens)
{
	struct store_rig *r = *state;
	const struct store_topic *topic = rig_topic(r, "t", 1);
	struct slice batches;
	struct shared *holder;
	struct batch b;

	append(r, topic->partitions[0], "kept", 3);
	assert_int_equal(rig_read(r, topic->partitions[0], 0, ALL, &batches, &holder), OK);
	assert_int_equal(rig_trim(r, topic->partitions[0], -1), OK);
	assert_int_equal(rig_delete(r, topic, NULL), OK);
	assert_int_equal(batch_validate(batches, &b, NULL), OK);
	assert_int_equal(b.record_count, 3);
	shared_put(holder);
}

/* What a range says and what is there, and what comes without asking for one. */
static void check_range(struct store_rig *r, struct store_partition *p, int64_t offset,
                        const struct store_range *range)
{
	struct slice bytes = {malloc((size_t)range->bytes), (size_t)range->bytes};
	struct slice rest = bytes, batches;
	int64_t next = range->base_offset;
	struct shared *holder;
	struct fault f = {0};

	assert_non_null(bytes.ptr);
	assert_int_equal(disk_read_all(r->disk, range->fd, (void *)(uintptr_t)bytes.ptr, bytes.len,
	                               range->at, "range", &f),
	                 OK);
	while (rest.len > 0) {
		struct batch b;

		assert_int_equal(batch_parse(rest, &b, NULL), OK);
		assert_true(batch_crc_ok(&b));
		assert_int_equal(b.base_offset, next);
		assert_true(b.last_offset >= offset);
		next = b.last_offset + 1;
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	assert_int_equal(next, range->next_offset);
	assert_int_equal(rig_read(r, p, offset, ALL, &batches, &holder), OK);
	assert_memory_equal(batches.ptr, bytes.ptr,
	                    batches.len < bytes.len ? batches.len : bytes.len);
	shared_put(holder);
	free((void *)(uintptr_t)bytes.ptr);
}

/* Where the next read goes on. Counts in `*ranges` when what came was one. */
static int64_t read_range_at(struct store_rig *r, struct store_partition *p, int64_t offset,
                             int64_t bytes_max, unsigned *ranges)
{
	struct store_range range;
	struct slice batches;
	struct shared *holder;
	struct batch b;
	int64_t next;

	assert_int_equal(rig_read_range(r, p, offset, bytes_max, &range, &batches, &holder), OK);
	if (range.bytes > 0) {
		assert_true(range.bytes <= bytes_max);
		check_range(r, p, offset, &range);
		next = range.next_offset;
		++*ranges;
	} else {
		assert_int_equal(batch_parse(batches, &b, NULL), OK);
		assert_true(b.last_offset >= offset); /* there may be a gap */
		next = b.last_offset + 1;
	}
	shared_put(holder);
	return next;
}

TEST(read__a_range_is_what_batches_would_be)
{
	static const int64_t sizes[] = {1, 5000, 20000, 70000, 1 << 30};
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	unsigned ranges = 0;

	for (int i = 0; i < 6; i++) {
		for (int j = 0; j < 50; j++)
			append(r, p, "value value value value value value value value value", 10);
		(void)!rig_checkpoint(r);
	}
	r->memory_bytes = 1; /* nothing is kept in memory that need not be */
	rig_reopen(r);
	p = rig_find(r, "t")->partitions[0];
	/* An engine that has none is asked for the largest only: a remote one takes its time. */
	for (size_t i = sizeof(sizes) / sizeof(sizes[0]); i-- > 0;) {
		for (int64_t offset = 0; offset < p->state.high_watermark;)
			offset = read_range_at(r, p, offset, sizes[i], &ranges);
		if (ranges == 0)
			break;
		for (int64_t offset = 0; offset < p->state.high_watermark; offset += 37)
			read_range_at(r, p, offset, sizes[i], &ranges);
	}
}

/* --- watch ---------------------------------------------------------------------------------- */

struct watcher {
	struct store_watch watch;
	struct store_partition *p;
	unsigned times;
	int64_t log_start;
	int64_t high_watermark;
	bool deleted;
	bool once; /* removes itself */
	bool woken;
};

static void watcher_moved(struct store_watch *w)
{
	struct watcher *watcher = CONTAINER_OF(w, struct watcher, watch);

	watcher->times++;
	watcher->woken = true;
	watcher->log_start = watcher->p->state.log_start;
	watcher->high_watermark = watcher->p->state.high_watermark;
	watcher->deleted = watcher->p->state.deleted;
	if (watcher->once || watcher->deleted)
		store_watch_remove(w);
}

static void watch(struct watcher *w, struct store_partition *p, bool once)
{
	*w = (struct watcher){.watch = {.moved = watcher_moved}, .p = p, .once = once};
	store_watch_add(p, &w->watch);
}

TEST(watch__wakes_when_the_high_watermark_has_moved)
{
	struct store_rig *r = *state;
	const struct store_topic *topic = rig_topic(r, "t", 2);
	struct watcher w;
	struct watcher other;

	watch(&w, topic->partitions[0], false);
	watch(&other, topic->partitions[1], false);
	append(r, topic->partitions[0], "v", 5);
	assert_true(rig_run(r, &w.woken));
	assert_true(w.high_watermark >= 5);
	assert_int_equal(other.times, 0);
	store_watch_remove(&w.watch);
	store_watch_remove(&other.watch);
}

TEST(watch__removed_it_is_not_called_again)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	struct watcher once;
	struct watcher removed;
	struct watcher stays;

	watch(&once, p, true);
	watch(&removed, p, false);
	watch(&stays, p, false);
	store_watch_remove(&removed.watch);
	append(r, p, "v", 1);
	append(r, p, "v", 1);
	append(r, p, "v", 1);
	assert_true(rig_run(r, &stays.woken));
	assert_int_equal(once.times, 1);
	assert_int_equal(removed.times, 0);
	store_watch_remove(&stays.watch);
}

TEST(watch__wakes_on_trim)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	struct watcher w;

	append(r, p, "v", 5);
	watch(&w, p, false);
	assert_int_equal(rig_trim(r, p, 3), OK);
	assert_true(rig_run(r, &w.woken));
	assert_int_equal(w.log_start, 3);
	store_watch_remove(&w.watch);
}

/* A reader that lives on the watch: reads what is there, waits, reads on. */
struct follower {
	struct store_watch watch;
	struct store_read read;
	struct store_rig *rig;
	struct reading *got;
	int64_t next;
	size_t wanted;
	bool idle;
	bool has_all;
};

static void follower_read(struct follower *f)
{
	f->idle = false;
	f->read.offset = f->next;
	f->rig->store->ops->read(&f->read);
}

static void follower_moved(struct store_watch *w)
{
	struct follower *f = CONTAINER_OF(w, struct follower, watch);

	if (f->idle)
		follower_read(f);
}

static void follower_got(struct store_read *r)
{
	struct follower *f = CONTAINER_OF(r, struct follower, read);

	assert_int_equal(r->fault.code, OK);
	f->idle = true;
	f->next = see(f->got, r->partition, r->batches, r->bytes_max, f->next);
	if (r->holder)
		shared_put(r->holder);
	f->has_all = f->got->count == f->wanted;
	if (f->next < r->partition->state.high_watermark)
		follower_read(f);
}

TEST(watch__a_follower_loses_nothing_and_sees_nothing_twice)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	struct pipeline l = {.rig = r};
	struct follower f = {
		.watch = {.moved = follower_moved},
		.read = {.partition = p, .bytes_max = 300, .done = follower_got},
		.rig = r,
		.got = calloc(1, sizeof(*f.got)),
		.wanted = PIPELINE_MAX,
		.idle = true,
	};

	assert_non_null(f.got);
	store_watch_add(p, &f.watch);
	for (int i = 0; i < PIPELINE_MAX; i++) {
		pipeline_add(&l, p, -1);
		if (i % 8 == 7)
			assert_true(rig_run(r, &l.all));
	}
	assert_true(rig_run(r, &f.has_all));
	for (unsigned i = 0; i < PIPELINE_MAX; i++)
		assert_int_equal(f.got->events[i].offset, l.appends[i].op.base_offset);
	store_watch_remove(&f.watch);
	assert_true(rig_run(r, &f.idle));
	free(f.got);
}

/* --- trim ----------------------------------------------------------------------------------- */

TEST(trim__moves_the_log_start_and_forgets_what_is_below)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	int64_t base_offset = 0;
	struct slice batches;
	struct shared *holder;

	for (int i = 0; i < 5; i++)
		base_offset = append(r, p, "v", 4);
	assert_int_equal(rig_trim(r, p, base_offset + 1), OK); /* inside a batch */
	assert_int_equal(p->state.log_start, base_offset + 1);
	assert_int_equal(rig_read(r, p, base_offset, ALL, &batches, &holder), ERR_TRIMMED);
	assert_int_equal(rig_read(r, p, 0, ALL, &batches, &holder), ERR_TRIMMED);
	assert_int_equal(count_from(r, p, base_offset + 1), 3);
}

TEST(trim__everything_and_offsets_go_on)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	int64_t base_offset;

	append(r, p, "v", 4);
	assert_int_equal(rig_trim(r, p, -1), OK);
	assert_int_equal(p->state.log_start, p->state.high_watermark);
	assert_int_equal(p->state.bytes, 0);
	base_offset = append(r, p, "after", 1);
	assert_true(base_offset >= 4);
	assert_int_equal(count_from(r, p, p->state.log_start), 1);
}

TEST(trim__below_the_start_is_nothing_and_beyond_the_end_refused)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];

	append(r, p, "v", 4);
	assert_int_equal(rig_trim(r, p, 2), OK);
	assert_int_equal(rig_trim(r, p, 1), OK);
	assert_int_equal(p->state.log_start, 2);
	assert_int_equal(rig_trim(r, p, p->state.high_watermark + 1), ERR_OUT_OF_RANGE);
	assert_int_equal(p->state.log_start, 2);
}

/* --- offset for time ------------------------------------------------------------------------ */

TEST(lookup_time__is_exact_to_the_record)
{
	static const int64_t first[] = {100, 300, 200};
	static const int64_t second[] = {250, 400};
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	int64_t a = append_at_times(r, p, first, 3);
	int64_t b = append_at_times(r, p, second, 2);
	const struct {
		int64_t time_ms;
		int64_t offset;
	} cases[] = {
		{INT64_MIN, a}, {100, a},     {101, a + 1}, {250, a + 1},
		{300, a + 1},   {301, b + 1}, {400, b + 1},
	};
	int64_t offset;

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_int_equal(rig_lookup(r, p, cases[i].time_ms, &offset), OK);
		assert_int_equal(offset, cases[i].offset);
	}
	assert_int_equal(rig_lookup(r, p, 401, &offset), OK);
	assert_int_equal(offset, p->state.high_watermark);
}

TEST(lookup_time__looks_from_the_log_start_on)
{
	static const int64_t times[] = {500, 100, 300};
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	int64_t base_offset = append_at_times(r, p, times, 3);
	int64_t offset;

	assert_int_equal(rig_trim(r, p, base_offset + 1), OK);
	assert_int_equal(rig_lookup(r, p, 200, &offset), OK);
	assert_int_equal(offset, base_offset + 2);
	assert_int_equal(rig_lookup(r, p, 400, &offset), OK);
	assert_int_equal(offset, p->state.high_watermark);
}

/* --- gaps ----------------------------------------------------------------------------------- */

/* `before` offsets that hold nothing, a record (unless `value` is NULL), `after` more of them. */
static int64_t append_sparse(struct store_rig *r, struct store_partition *p, uint32_t before,
                             const char *value, uint32_t after, int64_t time_ms)
{
	struct buf to = BUF_INIT(4096);
	struct batch_builder b;
	int64_t base_offset;

	batch_begin(&b, &to);
	b.base_timestamp = b.max_timestamp = time_ms;
	batch_skip(&b, before);
	if (value)
		batch_add(&b, &(struct record){.timestamp = time_ms, .value = slice_str(value)});
	batch_skip(&b, after);
	assert_int_equal(rig_append(r, p, batch_finish(&b), &base_offset), OK);
	buf_fini(&to);
	return base_offset;
}

/* "a" is the record at 2 of 6 offsets from `a` on, then nothing comes, then "b" is the last of
 * 2^30. */
static void check_gaps(struct store_rig *r, struct store_partition *p, int64_t a, int64_t b)
{
	struct reading *all = read_from(r, p, p->state.log_start, ALL);
	int64_t offset;

	assert_int_equal(all->count, 2);
	assert_int_equal(all->events[0].offset, a + 2);
	assert_string_equal(all->events[0].value, "a");
	assert_int_equal(all->events[1].offset, b + (1 << 30) - 1);
	assert_string_equal(all->events[1].value, "b");
	assert_true(p->state.log_end >= b + (1 << 30));
	assert_int_equal(p->state.high_watermark, p->state.log_end);
	free(all);
	all = read_from(r, p, a + 3, ALL);
	assert_int_equal(all->count, 1);
	free(all);
	assert_int_equal(rig_lookup(r, p, 100, &offset), OK);
	assert_int_equal(offset, a + 2);
	assert_int_equal(rig_lookup(r, p, 101, &offset), OK);
	assert_int_equal(offset, b + (1 << 30) - 1);
	assert_int_equal(rig_lookup(r, p, 301, &offset), OK);
	assert_int_equal(offset, p->state.high_watermark);
}

TEST(gaps__are_kept_and_read_over)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	int64_t a = append_sparse(r, p, 2, "a", 3, 100);
	int64_t b;

	append_sparse(r, p, 10, NULL, 0, 200);
	b = append_sparse(r, p, (1 << 30) - 1, "b", 0, 300);
	check_gaps(r, p, a, b);
	if (r->ops->capabilities & STORE_CHECKPOINT)
		assert_int_equal(rig_checkpoint(r), OK);
	check_gaps(r, p, a, b);
	for (int i = 0; i < 2; i++) {
		rig_reopen(r);
		p = rig_find(r, "t")->partitions[0];
		check_gaps(r, p, a, b);
	}
}

TEST(gaps__a_log_may_begin_with_one_that_is_trimmed)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	int64_t base_offset = append_sparse(r, p, INT32_MAX, NULL, 0, 100);
	struct reading *all;

	assert_int_equal(rig_trim(r, p, -1), OK);
	rig_reopen(r);
	p = rig_find(r, "t")->partitions[0];
	assert_int_equal(p->state.log_start, base_offset + INT32_MAX);
	assert_int_equal(p->state.log_end, base_offset + INT32_MAX);
	base_offset = append_sparse(r, p, 0, "first", 0, 100);
	all = read_from(r, p, p->state.log_start, ALL);
	assert_int_equal(all->count, 1);
	assert_int_equal(all->events[0].offset, base_offset);
	free(all);
}

/* --- topics --------------------------------------------------------------------------------- */

TEST(topic_create__gives_partitions_on_their_shards)
{
	struct store_rig *r = *state;
	struct topic_spec spec = rig_spec(r, "orders", 5);
	const struct store_topic *topic;

	assert_int_equal(rig_create(r, &spec, &topic, NULL), OK);
	assert_string_equal(topic->spec.name, "orders");
	assert_string_equal(topic->spec.engine, r->ops->name);
	assert_true(uuid_eq(&topic->spec.uuid, &spec.uuid));
	assert_int_equal(topic->spec.partition_count, 5);
	for (uint32_t i = 0; i < 5; i++) {
		const struct store_partition *p = topic->partitions[i];

		assert_int_equal(p->index, i);
		assert_int_equal(p->shard, partition_shard(&spec.uuid, i, r->shard_count));
		assert_true(uuid_eq(&p->topic, &spec.uuid));
		assert_int_equal(p->state.fenced.code, OK);
		assert_true(p->state.leader_epoch >= 0);
	}
}

TEST(topic_create__a_second_of_that_name_is_refused)
{
	struct store_rig *r = *state;
	struct topic_spec spec = rig_spec(r, "t", 1);
	const struct store_topic *topic;

	rig_topic(r, "t", 3);
	assert_int_equal(rig_create(r, &spec, &topic, NULL), ERR_TOPIC_EXISTS);
}

TEST(topic_create__knows_its_durability_classes)
{
	struct store_rig *r = *state;
	bool classes = r->ops->capabilities & STORE_CLASSES;

	for (unsigned d = DURABILITY_NONE; d <= DURABILITY_COMMIT; d++) {
		enum err expected = classes || d == DURABILITY_COMMIT ? OK : ERR_NOT_IMPLEMENTED;
		struct topic_spec spec = rig_spec(r, durability_name((enum durability)d), 1);
		const struct store_topic *topic;

		spec.settings.durability = (enum durability)d;
		assert_int_equal(rig_create(r, &spec, &topic, NULL), expected);
		if (!expected) {
			append(r, topic->partitions[0], "v", 3);
			assert_int_equal(count_from(r, topic->partitions[0], 0), 3);
		}
	}
}

TEST(topic_alter__takes_hold_at_once_and_stays)
{
	struct store_rig *r = *state;
	struct topic_spec spec = rig_spec(r, "t", 3);
	const struct store_topic *topic;

	assert_int_equal(rig_create(r, &spec, &topic, NULL), OK);
	spec.settings.max_message_bytes = 5000;
	spec.settings.retention_ms = 1000000;
	assert_int_equal(rig_alter(r, &spec, &topic, NULL), OK);
	assert_int_equal(topic->spec.settings.max_message_bytes, 5000);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(topic->partitions[i]->settings.max_message_bytes, 5000);
	rig_reopen(r);
	topic = rig_find(r, "t");
	assert_int_equal(topic->spec.settings.retention_ms, 1000000);
	assert_int_equal(topic->partitions[2]->settings.max_message_bytes, 5000);
}

/* Those there were stay what they are, for whoever holds them. */
TEST(topic_alter__adds_partitions)
{
	struct store_rig *r = *state;
	struct topic_spec spec = rig_spec(r, "t", 2);
	const struct store_topic *before, *topic;

	assert_int_equal(rig_create(r, &spec, &before, NULL), OK);
	store_topic_get(before);
	append(r, before->partitions[1], "v", 3);
	spec.partition_count = 5;
	spec.settings.retention_count = 1000000;
	assert_int_equal(rig_alter(r, &spec, &topic, NULL), OK);
	assert_int_equal(before->spec.partition_count, 2);
	assert_int_equal(topic->spec.partition_count, 5);
	for (uint32_t i = 0; i < 2; i++)
		assert_ptr_equal(topic->partitions[i], before->partitions[i]);
	store_topic_put(before);
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(topic->partitions[i]->index, i);
		assert_int_equal(topic->partitions[i]->settings.retention_count, 1000000);
		append(r, topic->partitions[i], "v", i + 1);
	}
	spec.partition_count = 3; /* they never go */
	assert_int_equal(rig_alter(r, &spec, &topic, NULL), OK);
	assert_int_equal(topic->spec.partition_count, 5);
	for (unsigned reopened = 0; reopened < 2; reopened++) {
		assert_int_equal(count_from(r, topic->partitions[1], 0), 3 + 2);
		assert_int_equal(count_from(r, topic->partitions[4], 0), 5);
		append(r, topic->partitions[2], "v", 1);
		assert_int_equal(count_from(r, topic->partitions[2], 0), 4 + reopened);
		rig_reopen(r);
		topic = rig_find(r, "t");
		assert_int_equal(topic->spec.partition_count, 5);
	}
	assert_int_equal(rig_delete(r, topic, NULL), OK);
}

TEST(topic_delete__tells_its_watchers_and_frees_the_name)
{
	struct store_rig *r = *state;
	const struct store_topic *topic = rig_topic(r, "t", 4);
	struct watcher w[4];

	append(r, topic->partitions[0], "v", 3);
	for (uint32_t i = 0; i < 4; i++)
		watch(&w[i], topic->partitions[i], false);
	assert_int_equal(rig_delete(r, topic, NULL), OK);
	for (uint32_t i = 0; i < 4; i++)
		assert_true(w[i].deleted);
	topic = rig_topic(r, "t", 2);
	assert_int_equal(topic->partitions[0]->state.high_watermark, 0);
	assert_int_equal(count_from(r, topic->partitions[0], 0), 0);
	rig_reopen(r);
	assert_int_equal(rig_find(r, "t")->spec.partition_count, 2);
}

struct deletion {
	struct store_topic_op op;
	const struct pipeline *pipeline;
	bool done;
};

static void deletion_done(struct store_topic_op *o)
{
	struct deletion *d = CONTAINER_OF(o, struct deletion, op);

	assert_true(d->pipeline->all);
	d->done = true;
}

TEST(topic_delete__completes_what_is_under_way_before_it_is_done)
{
	struct store_rig *r = *state;
	const struct store_topic *topic = rig_topic(r, "t", 4);
	struct pipeline l = {.rig = r};
	struct deletion d = {
		.op = {.store = r->store, .topic = topic, .done = deletion_done},
		.pipeline = &l,
	};

	for (uint32_t i = 0; i < PIPELINE_MAX; i++)
		pipeline_add(&l, topic->partitions[i % 4], -1);
	r->store->ops->topic_delete(&d.op);
	assert_true(rig_run(r, &d.done));
	assert_int_equal(d.op.fault.code, OK);
	for (uint32_t i = 0; i < PIPELINE_MAX; i++)
		assert_true(l.appends[i].op.fault.code == OK ||
		            l.appends[i].op.fault.code == ERR_TOPIC_GONE);
}

/* --- retention and checkpoints -------------------------------------------------------------- */

static void retained_moved(struct store_watch *w)
{
	struct watcher *watcher = CONTAINER_OF(w, struct watcher, watch);

	watcher->woken = watcher->p->state.log_start >= watcher->log_start;
}

/* Twenty events where ten may stay: whole batches of four go, never the last one. */
static void check_retention(struct store_rig *r, const struct topic_spec *spec)
{
	const struct store_topic *topic;
	struct watcher w = {.watch = {.moved = retained_moved}, .log_start = 10};

	assert_int_equal(rig_create(r, spec, &topic, NULL), OK);
	w.p = topic->partitions[0];
	store_watch_add(w.p, &w.watch);
	for (int i = 0; i < 5; i++)
		append(r, w.p, "v", 4);
	assert_true(rig_run(r, &w.woken));
	store_watch_remove(&w.watch);
	assert_true(w.p->state.log_start <= 16);
	assert_int_equal(count_from(r, w.p, w.p->state.log_start), 20 - w.p->state.log_start);
}

TEST(retention__keeps_the_newest_by_count)
{
	struct store_rig *r = *state;
	struct topic_spec spec = rig_spec(r, "t", 1);

	spec.settings.retention_count = 10;
	if (r->ops->capabilities & STORE_RETENTION)
		check_retention(r, &spec);
}

TEST(retention__keeps_the_newest_by_bytes)
{
	struct store_rig *r = *state;
	struct topic_spec spec = rig_spec(r, "t", 1);
	struct buf batch = BUF_INIT(BATCH_LIMIT);

	spec.settings.retention_bytes = (int64_t)rig_batch(&batch, "v", NULL, 4).len * 5 / 2;
	if (r->ops->capabilities & STORE_RETENTION)
		check_retention(r, &spec);
	buf_fini(&batch);
}

TEST(checkpoint__keeps_everything_or_is_not_there)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	bool built = r->ops->capabilities & STORE_CHECKPOINT;

	for (int i = 0; i < 3; i++) {
		append(r, p, "v", 5);
		assert_int_equal(rig_checkpoint(r), built ? OK : ERR_NOT_IMPLEMENTED);
	}
	append(r, p, "after", 1);
	assert_int_equal(count_from(r, p, 0), 16);
	rig_reopen(r);
	assert_int_equal(count_from(r, rig_find(r, "t")->partitions[0], 0), 16);
}

TEST(backup__is_a_directory_of_its_own_or_is_not_there)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	struct store_backup_op o = {.verb = BACKUP_MAKE, .name = "b"};

	append(r, p, "v", 5);
	if (!(r->ops->capabilities & STORE_BACKUP)) {
		assert_int_equal(rig_backup(r, &o), ERR_NOT_IMPLEMENTED);
		return;
	}
	assert_int_equal(rig_backup(r, &o), OK);
	assert_int_equal(o.count, 1);
	assert_string_equal(o.backups[0].name, "b");
	assert_int_equal(o.backups[0].topic_count, 1);
	free(o.backups);
	assert_int_equal(rig_backup(r, &o), ERR_BACKUP_EXISTS);
	append(r, p, "after", 1);
	o.verb = BACKUP_LIST;
	assert_int_equal(rig_backup(r, &o), OK);
	assert_int_equal(o.count, 1);
	free(o.backups);
	o.verb = BACKUP_REMOVE;
	assert_int_equal(rig_backup(r, &o), OK);
	assert_int_equal(rig_backup(r, &o), ERR_BACKUP_UNKNOWN);
	rig_reopen(r);
	assert_int_equal(count_from(r, rig_find(r, "t")->partitions[0], 0), 6);
}

/* --- across a restart ----------------------------------------------------------------------- */

TEST(reopen__everything_is_where_it_was)
{
	struct store_rig *r = *state;
	const struct store_topic *topic = rig_topic(r, "t", 3);
	struct reading *before[3];
	int64_t log_start;
	int64_t high_watermark;

	rig_topic(r, "empty", 1);
	for (uint32_t i = 0; i < 30; i++)
		append(r, topic->partitions[i % 3], "v", i % 5 + 1);
	assert_int_equal(rig_trim(r, topic->partitions[1], 7), OK);
	for (uint32_t i = 0; i < 3; i++)
		before[i] = read_from(r, topic->partitions[i],
		                      topic->partitions[i]->state.log_start, ALL);
	log_start = topic->partitions[1]->state.log_start;
	high_watermark = topic->partitions[1]->state.high_watermark;

	rig_reopen(r);
	topic = rig_find(r, "t");
	assert_non_null(topic);
	assert_non_null(rig_find(r, "empty"));
	assert_int_equal(topic->partitions[1]->state.log_start, log_start);
	assert_int_equal(topic->partitions[1]->state.high_watermark, high_watermark);
	for (uint32_t i = 0; i < 3; i++) {
		struct store_partition *p = topic->partitions[i];
		struct reading *after = read_from(r, p, p->state.log_start, ALL);

		assert_int_equal(after->count, before[i]->count);
		assert_memory_equal(after->events, before[i]->events, sizeof(after->events));
		free(before[i]);
		free(after);
	}
}

TEST(reopen__offsets_go_on_and_epochs_never_back)
{
	struct store_rig *r = *state;
	struct store_partition *p = rig_topic(r, "t", 1)->partitions[0];
	int64_t base_offset = append(r, p, "v", 3);
	int32_t epoch = p->state.leader_epoch;

	rig_reopen(r);
	p = rig_find(r, "t")->partitions[0];
	assert_true(p->state.leader_epoch >= epoch);
	assert_true(append(r, p, "w", 1) >= base_offset + 3);
	assert_int_equal(count_from(r, p, 0), 4);
	assert_int_equal(r->store->ops->epoch_end(p, p->state.leader_epoch), p->state.log_end);
}

/* --- against a model ------------------------------------------------------------------------ */

/* What must be in a partition: the events acknowledged, by offset. */
struct model {
	struct store_partition *p;
	int64_t offsets[SEEN_MAX];
	int64_t timestamps[SEEN_MAX];
	size_t first; /* index of the first one not trimmed */
	size_t count;
};

static unsigned roll(struct store_rig *r, unsigned sides)
{
	uint32_t random;

	r->dice.base.fill(&r->dice.base, &random, sizeof(random));
	return random % sides;
}

static void model_append(struct store_rig *r, struct model *m)
{
	uint32_t count = 1 + roll(r, 20);
	int64_t timestamps[20];
	int64_t base_offset;

	for (uint32_t i = 0; i < count; i++)
		timestamps[i] = roll(r, 1000);
	base_offset = append_at_times(r, m->p, timestamps, count);
	for (uint32_t i = 0; i < count && m->count < SEEN_MAX; i++) {
		m->offsets[m->count] = base_offset + i;
		m->timestamps[m->count++] = timestamps[i];
	}
}

static void model_trim(struct store_rig *r, struct model *m)
{
	int64_t start = m->p->state.log_start;
	int64_t upto = start + roll(r, 1 + (unsigned)(m->p->state.high_watermark - start) / 2);

	assert_int_equal(rig_trim(r, m->p, upto), OK);
	assert_int_equal(m->p->state.log_start, upto);
	while (m->first < m->count && m->offsets[m->first] < upto)
		m->first++;
}

static void model_read(struct store_rig *r, struct model *m)
{
	int64_t start = m->p->state.log_start;
	int64_t from = start + roll(r, 1 + (unsigned)(m->p->state.high_watermark - start));
	struct reading *reading = read_from(r, m->p, from, 1 + roll(r, 4000));
	size_t at = m->first;

	while (at < m->count && m->offsets[at] < from)
		at++;
	assert_int_equal(reading->count, m->count - at);
	for (size_t i = 0; i < reading->count; i++) {
		assert_int_equal(reading->events[i].offset, m->offsets[at + i]);
		assert_int_equal(reading->events[i].timestamp, m->timestamps[at + i]);
	}
	free(reading);
}

static void model_lookup(struct store_rig *r, struct model *m)
{
	int64_t time_ms = roll(r, 1100);
	size_t at = m->first;
	int64_t offset;

	while (at < m->count && m->timestamps[at] < time_ms)
		at++;
	assert_int_equal(rig_lookup(r, m->p, time_ms, &offset), OK);
	assert_int_equal(offset, at < m->count ? m->offsets[at] : m->p->state.high_watermark);
}

static void model_restart(struct store_rig *r, struct model *m)
{
	if (roll(r, 2))
		rig_checkpoint(r);
	if (roll(r, 3) == 0) {
		rig_reopen(r);
		m->p = rig_find(r, "t")->partitions[0];
	}
}

TEST(model__agrees_under_random_operations)
{
	struct store_rig *r = *state;
	struct model *m = calloc(1, sizeof(*m));

	assert_non_null(m);
	m->p = rig_topic(r, "t", 1)->partitions[0];
	for (int i = 0; i < 150; i++) {
		switch (roll(r, 8)) {
		case 0: model_trim(r, m); break;
		case 1: model_read(r, m); break;
		case 2: model_lookup(r, m); break;
		case 3: model_restart(r, m); break;
		default: model_append(r, m);
		}
	}
	model_read(r, m);
	free(m);
}

/* --- engines -------------------------------------------------------------------------------- */

struct variant {
	const struct store_ops *ops;
	uint64_t seed;
	unsigned shard_count;
	bool wrapped;
	int64_t memory_bytes; /* 0: the default */
};

static int open_rig(void **state)
{
	const struct variant *v = *state;
	struct store_rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	rig_open(r, v->ops, v->shard_count, v->wrapped, v->seed);
	if (v->memory_bytes) {
		r->memory_bytes = v->memory_bytes;
		rig_reopen(r);
	}
	*state = r;
	return 0;
}

static int close_rig(void **state)
{
	rig_close(*state);
	free(*state);
	return 0;
}

static int run(struct variant v)
{
	char name[64];
#define UNDER_CONTRACT(test) cmocka_unit_test_prestate_setup_teardown(test, open_rig, close_rig, &v)
	const struct CMUnitTest tests[] = {
		UNDER_CONTRACT(append__base_offsets_rise_and_the_state_follows),
		UNDER_CONTRACT(append__pipelined_complete_later_once_and_in_order),
		UNDER_CONTRACT(append__partitions_do_not_mix),
		UNDER_CONTRACT(append__larger_than_the_topic_allows_is_refused_in_its_turn),
		UNDER_CONTRACT(append__expected_offset_lets_one_of_two_in),
		UNDER_CONTRACT(read__returns_what_was_appended_at_any_size),
		UNDER_CONTRACT(read__starts_at_the_batch_that_contains_the_offset),
		UNDER_CONTRACT(read__one_batch_comes_however_large),
		UNDER_CONTRACT(read__at_the_high_watermark_is_empty_and_beyond_it_refused),
		UNDER_CONTRACT(read__what_it_returned_stays_whatever_happens),
		UNDER_CONTRACT(read__a_range_is_what_batches_would_be),
		UNDER_CONTRACT(watch__wakes_when_the_high_watermark_has_moved),
		UNDER_CONTRACT(watch__removed_it_is_not_called_again),
		UNDER_CONTRACT(watch__wakes_on_trim),
		UNDER_CONTRACT(watch__a_follower_loses_nothing_and_sees_nothing_twice),
		UNDER_CONTRACT(trim__moves_the_log_start_and_forgets_what_is_below),
		UNDER_CONTRACT(trim__everything_and_offsets_go_on),
		UNDER_CONTRACT(trim__below_the_start_is_nothing_and_beyond_the_end_refused),
		UNDER_CONTRACT(lookup_time__is_exact_to_the_record),
		UNDER_CONTRACT(lookup_time__looks_from_the_log_start_on),
		UNDER_CONTRACT(gaps__are_kept_and_read_over),
		UNDER_CONTRACT(gaps__a_log_may_begin_with_one_that_is_trimmed),
		UNDER_CONTRACT(topic_create__gives_partitions_on_their_shards),
		UNDER_CONTRACT(topic_create__a_second_of_that_name_is_refused),
		UNDER_CONTRACT(topic_create__knows_its_durability_classes),
		UNDER_CONTRACT(topic_alter__takes_hold_at_once_and_stays),
		UNDER_CONTRACT(topic_alter__adds_partitions),
		UNDER_CONTRACT(topic_delete__tells_its_watchers_and_frees_the_name),
		UNDER_CONTRACT(topic_delete__completes_what_is_under_way_before_it_is_done),
		UNDER_CONTRACT(retention__keeps_the_newest_by_count),
		UNDER_CONTRACT(retention__keeps_the_newest_by_bytes),
		UNDER_CONTRACT(checkpoint__keeps_everything_or_is_not_there),
		UNDER_CONTRACT(backup__is_a_directory_of_its_own_or_is_not_there),
		UNDER_CONTRACT(reopen__everything_is_where_it_was),
		UNDER_CONTRACT(reopen__offsets_go_on_and_epochs_never_back),
		UNDER_CONTRACT(model__agrees_under_random_operations),
	};
#undef UNDER_CONTRACT

	snprintf(name, sizeof(name), "%s, %u shard(s)%s", v.ops->name, v.shard_count,
	         v.wrapped ? ", wrapped" : "");
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	const struct store_registry *released = store_registry_default();
	const char *chosen = getenv("BOURN_SEED");
	uint64_t seed = chosen ? strtoull(chosen, NULL, 10) : 20260101;
	int failed = 0;

	for (size_t i = 0; i <= released->count; i++) {
		const struct store_ops *ops =
			i < released->count ? released->engines[i] : &store_remote_sim;

		printf("engine %s, seed %llu\n", ops->name, (unsigned long long)seed);
		if (!rig_has_engine(ops))
			continue;
		failed += run((struct variant){ops, seed, 1, false, 0});
		failed += run((struct variant){ops, seed, 2, true, 0});
	}
	printf("with next to no memory\n");
	failed += run((struct variant){&store_log, seed, 2, false, 1});
	if (rig_has_engine(&store_rocksdb))
		failed += run((struct variant){&store_rocksdb, seed, 2, false, 1});
	return failed;
}
