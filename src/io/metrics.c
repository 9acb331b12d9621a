#include "io/metrics.h"

struct metric_row {
	const char *name;
	const char *type;
	const char *help;
};

static int64_t metric_sum(struct metrics *const *sets, unsigned count, unsigned id)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < count; i++)
		sum += atomic_load_explicit(&sets[i]->values[id], memory_order_relaxed);
	return sum;
}

void metrics_render(struct buf *out, struct metrics *const *sets, unsigned count)
{
	static const struct metric_row rows[METRIC_COUNT] = {
#define X(id, name, type, help) [id] = {name, type, help},
		METRICS(X)
#undef X
	};

	for (unsigned id = 0; id < METRIC_COUNT; id++) {
		const struct metric_row *row = &rows[id];

		buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s ", row->name, row->help, row->name,
		           row->type, row->name);
		buf_append_int64(out, metric_sum(sets, count, id));
		buf_append_lit(out, "\n");
	}
}
