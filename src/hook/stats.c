#include "hook/stats.h"

#include <inttypes.h>

static const int64_t bucket_us[STATS_BUCKETS] = {
	1, 10, 100, 1000, 10000, 100000, 1000000, 10000000,
};
static const char *const bucket_names[STATS_BUCKETS] = {
	"0.000001", "0.00001", "0.0001", "0.001", "0.01", "0.1", "1", "10",
};

void stats_took(struct hook_stats *s, int64_t us)
{
	unsigned i = 0;

	while (i < STATS_BUCKETS && us > bucket_us[i])
		i++;
	if (i < STATS_BUCKETS)
		stats_add(&s->buckets[i], 1);
	stats_add(&s->timed, 1);
	stats_add(&s->microseconds, us);
}

/* The counter that stands `at` bytes into each set. */
static int64_t sum(const struct hook_stats *const *sets, unsigned count, size_t at)
{
	int64_t total = 0;

	for (unsigned i = 0; i < count; i++) {
		const _Atomic int64_t *value = (const void *)((const char *)sets[i] + at);

		total += atomic_load_explicit(value, memory_order_relaxed);
	}
	return total;
}

void stats_render_verdicts(struct buf *out, const char *hook, const struct hook_stats *const *sets,
                           unsigned count)
{
	for (unsigned v = 0; v < VERDICT_COUNT; v++)
		buf_printf(out, "bourn_hook_calls_total{hook=\"%s\",verdict=\"%s\"} %" PRId64 "\n",
		           hook, verdict_name((enum bourn_verdict)v),
		           sum(sets, count, offsetof(struct hook_stats, verdicts[v])));
}

void stats_render_seconds(struct buf *out, const char *hook, const struct hook_stats *const *sets,
                          unsigned count)
{
	int64_t timed = sum(sets, count, offsetof(struct hook_stats, timed));
	int64_t us = sum(sets, count, offsetof(struct hook_stats, microseconds));
	int64_t below = 0;

	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		below += sum(sets, count, offsetof(struct hook_stats, buckets[i]));
		buf_printf(out, "bourn_hook_seconds_bucket{hook=\"%s\",le=\"%s\"} %" PRId64 "\n",
		           hook, bucket_names[i], below);
	}
	buf_printf(out, "bourn_hook_seconds_bucket{hook=\"%s\",le=\"+Inf\"} %" PRId64 "\n", hook,
	           timed);
	buf_printf(out, "bourn_hook_seconds_sum{hook=\"%s\"} %" PRId64 ".%06" PRId64 "\n", hook,
	           us / 1000000, us % 1000000);
	buf_printf(out, "bourn_hook_seconds_count{hook=\"%s\"} %" PRId64 "\n", hook, timed);
}

void stats_render_paused(struct buf *out, const char *hook, const struct hook_stats *const *sets,
                         unsigned count)
{
	buf_printf(out, "bourn_hook_paused{hook=\"%s\"} %" PRId64 "\n", hook,
	           sum(sets, count, offsetof(struct hook_stats, is_paused)));
}

void stats_render_pauses(struct buf *out, const char *hook, const struct hook_stats *const *sets,
                         unsigned count)
{
	buf_printf(out, "bourn_hook_pauses_total{hook=\"%s\"} %" PRId64 "\n", hook,
	           sum(sets, count, offsetof(struct hook_stats, pauses)));
}
