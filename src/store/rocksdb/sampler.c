#include "store/rocksdb/sampler.h"

#include "io/metrics.h"
#include "store/rocksdb/rocks.h"

#include <stdlib.h>

enum { SAMPLE_MS = 500, SAMPLES = 6 };

/* What is sampled: a counter among the statistics, or a number of the database. */
static const struct {
	enum metric metric;
	const char *ticker;
	const char *number;
} sources[SAMPLES] = {
	{METRIC_ROCKSDB_CACHE_HITS, "rocksdb.block.cache.hit", NULL},
	{METRIC_ROCKSDB_CACHE_MISSES, "rocksdb.block.cache.miss", NULL},
	{METRIC_ROCKSDB_STALL_US, "rocksdb.stall.micros", NULL},
	{METRIC_ROCKSDB_PENDING_BYTES, NULL, "rocksdb.estimate-pending-compaction-bytes"},
	{METRIC_ROCKSDB_MEMTABLE_BYTES, NULL, "rocksdb.cur-size-all-mem-tables"},
	{METRIC_ROCKSDB_FILE_BYTES, NULL, "rocksdb.live-sst-files-size"},
};

struct sampler {
	struct rocks *store;
	struct timer timer;
	struct message start;
	bool started;
	struct work work;
	int64_t reported[SAMPLES];
	int64_t sampled[SAMPLES];
	struct writer_stats writer; /* reported */
};

int64_t sampler_ticker(struct slice statistics, const char *name)
{
	while (statistics.ptr) {
		struct slice line = slice_cut(&statistics, '\n');
		int64_t count;

		if (slice_eq(slice_cut(&line, ' '), slice_str(name)) &&
		    slice_eq(slice_cut(&line, ' '), SLICE_LIT("COUNT")) &&
		    slice_eq(slice_cut(&line, ' '), SLICE_LIT(":")) &&
		    slice_to_int64(slice_trim(line), &count))
			return count;
	}
	return 0;
}

static void sample(struct work *w)
{
	struct sampler *sampler = CONTAINER_OF(w, struct sampler, work);
	const struct database *d = &sampler->store->database;
	char *text = d->lib.options_statistics_get_string(d->options);

	for (size_t i = 0; i < SAMPLES; i++)
		sampler->sampled[i] = sources[i].ticker
		                              ? sampler_ticker(slice_str(text), sources[i].ticker)
		                              : database_number(d, sources[i].number);
	d->lib.free(text);
}

static void report_writer(struct sampler *sampler, struct metrics *m)
{
	struct writer_stats now = writer_stats(sampler->store->writer);
	struct writer_stats before = sampler->writer;

	metric_add(m, METRIC_WAL_GROUPS, (int64_t)(now.group_count - before.group_count));
	metric_add(m, METRIC_WAL_BYTES, (int64_t)(now.written_bytes - before.written_bytes));
	metric_add(m, METRIC_WAL_FLUSHES, (int64_t)(now.flush_count - before.flush_count));
	sampler->writer = now;
}

static void sampled(struct work *w)
{
	struct sampler *sampler = CONTAINER_OF(w, struct sampler, work);
	struct loop *home = sampler->store->shards[0].loop;
	struct metrics *m = loop_metrics(home);

	for (size_t i = 0; i < SAMPLES; i++) {
		metric_add(m, sources[i].metric, sampler->sampled[i] - sampler->reported[i]);
		sampler->reported[i] = sampler->sampled[i];
	}
	report_writer(sampler, m);
	sampler->store->operations--;
	if (sampler->started)
		timer_start(home, &sampler->timer, SAMPLE_MS);
}

static void fire(struct timer *t)
{
	struct sampler *sampler = CONTAINER_OF(t, struct sampler, timer);

	sampler->store->operations++;
	sampler->work = (struct work){.run = sample, .done = sampled};
	loop_work(sampler->store->shards[0].loop, &sampler->work);
}

static void start(struct message *m)
{
	struct sampler *sampler = CONTAINER_OF(m, struct sampler, start);

	sampler->started = true;
	timer_start(sampler->store->shards[0].loop, &sampler->timer, SAMPLE_MS);
}

void sampler_start(struct rocks *s)
{
	struct sampler *sampler = calloc(1, sizeof(*sampler));

	CHECK(sampler);
	sampler->store = s;
	sampler->timer.fire = fire;
	sampler->start.deliver = start;
	s->sampler = sampler;
	loop_post(s->shards[0].loop, &sampler->start);
}

void sampler_stop(struct rocks *s)
{
	struct loop *home = s->shards[0].loop;

	while (!s->sampler->started)
		(void)loop_run_until(home, &s->sampler->started, 1);
	s->sampler->started = false;
	timer_stop(home, &s->sampler->timer);
}
