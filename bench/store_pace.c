#include "store_pace.h"

#include "process.h"
#include "store_group.h"

#include <sys/prctl.h>
#include <time.h>

struct pace {
	const struct store_pace_options *o;
	struct store_pace_result *result;
	struct store_group group;
	int64_t began;
};

static int64_t due_at(const struct pace *p, int64_t number, int64_t now)
{
	if (p->o->rate == 0)
		return now;
	return p->began + (int64_t)((double)number * NS_PER_SECOND / p->o->rate);
}

static void sleep_until(int64_t at_ns)
{
	struct timespec at = {.tv_sec = at_ns / NS_PER_SECOND, .tv_nsec = at_ns % NS_PER_SECOND};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* What is due now, as one group. */
static bool turn(struct pace *p)
{
	struct store_pace_result *result = p->result;
	int64_t now = bench_now_ns(), first = result->events, end = first;

	while (end - first < p->o->at_once && due_at(p, end, now) <= now)
		end++;
	if (end == first) {
		sleep_until(due_at(p, first, now));
		return true;
	}
	if (!store_group_write(&p->group, end - first))
		return false;
	result->events = end;
	for (int64_t number = first; number < end; number++)
		histogram_add(&result->latency, bench_now_ns() - due_at(p, number, now));
	return true;
}

/* What was due within the time is waited for, however late. */
static bool run(struct pace *p)
{
	int64_t cpu = process_own_cpu_ns();
	int64_t ends;

	p->began = bench_now_ns();
	ends = p->began + p->o->run_ns;
	while (due_at(p, p->result->events, bench_now_ns()) < ends)
		if (!turn(p))
			return false;
	p->result->elapsed_ns = bench_now_ns() - p->began;
	p->result->cpu_ns = process_own_cpu_ns() - cpu;
	return true;
}

bool store_pace_run(const struct store_pace_options *o, struct store_pace_result *result,
                    struct failure *f)
{
	struct pace p = {.o = o, .result = result};
	bool ok;

	prctl(PR_SET_TIMERSLACK, 1); /* else the kernel may wake us 50 µs late */
	ok = store_group_open(&p.group, o->dir, f) && run(&p);
	store_group_close(&p.group);
	return ok;
}
