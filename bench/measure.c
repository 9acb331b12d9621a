#include "measure.h"

bool measure_begin(struct measuring *m, const struct measure_options *o, int64_t now_ns,
                   struct failure *f)
{
	m->began_ns = now_ns;
	m->own_cpu_ns = process_own_cpu_ns();
	return process_usage(o->pids, o->pid_count, &m->usage, f);
}

bool measure_end(const struct measuring *m, const struct measure_options *o, int64_t now_ns,
                 struct measure_result *out, struct failure *f)
{
	struct process_usage usage;

	if (!process_usage(o->pids, o->pid_count, &usage, f))
		return false;
	*out = (struct measure_result){
		.elapsed_ns = now_ns - m->began_ns,
		.server_cpu_ns = usage.cpu_ns - m->usage.cpu_ns,
		.server_rss_kib = usage.rss_kib,
		.own_cpu_ns = process_own_cpu_ns() - m->own_cpu_ns,
	};
	return true;
}
