/* bourn-bench-hooks: what hooks cost an event that passes them at `produce`: the chain, as the
 * broker calls it, and nothing else. Each hook is a file: a shared object, or a script in Lua.
 *
 *	bourn-bench-hooks [--count N] FILE...
 *
 * Prints, for each, nanoseconds of CPU an event: the median of nine rounds, the least and the
 * most. */
#include "hook/hook.h"

#include "base/check.h"
#include "io/metrics.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 9, COUNT_DEFAULT = 200000 };

struct bench {
	struct metrics metrics;
	struct log *log;
	struct loop *loop;
	struct hook_set *set;
	struct hooks *hooks;
	struct record record;
	struct buf headers;
};

static int64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* A hundred bytes of JSON. */
static void make_record(struct bench *b)
{
	static const char value[] =
		"{\"id\":123456,\"name\":\"somebody\",\"note\":\"0123456789012345"
		"678901234567890123456789012345678901\"}";

	b->headers = BUF_INIT(256);
	header_append(&b->headers, SLICE_LIT("content-type"), SLICE_LIT("application/json"));
	b->record = (struct record){
		.timestamp = 1700000000000,
		.key = SLICE_LIT("key"),
		.value = slice_str(value),
		.headers = buf_slice(&b->headers),
		.header_count = 1,
	};
}

static void pass(struct bench *b, struct hook_chain *chain)
{
	static const struct bourn_caller caller = {.bytes = sizeof(caller),
	                                           .peer = "127.0.0.1:4711"};
	struct record record = b->record;
	struct hook_run run;

	call_init(&run.call, BOURN_PRODUCE, &caller, hook_chain_arena(chain));
	run.call.pub.topic = slice_out(SLICE_LIT("orders"));
	call_set_record(&run.call, &record);
	CHECK(hook_run_start(chain, &run));
	CHECK(run.outcome == HOOK_PASSED);
	CHECK(!run.changed || call_get_record(&run.call, &record));
	arena_reset(hook_chain_arena(chain));
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(struct bench *b, struct hook_chain *chain, const char *name, int64_t count)
{
	double took[ROUNDS];

	for (int round = 0; round < ROUNDS; round++) {
		int64_t started = cpu_ns();

		for (int64_t i = 0; i < count; i++)
			pass(b, chain);
		took[round] = (double)(cpu_ns() - started) / (double)count;
	}
	qsort(took, ROUNDS, sizeof(took[0]), by_size);
	printf("%-24s %7.0f ns (%.0f to %.0f)\n", name, took[ROUNDS / 2], took[0],
	       took[ROUNDS - 1]);
}

static int run(struct bench *b, char *path, int64_t count)
{
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	const char *ends = strrchr(name, '.');
	struct hook_spec spec;
	struct fault f;

	hook_spec_init(&spec);
	spec.name = (char *)(uintptr_t) "bench";
	spec.path = path;
	spec.type = ends && strcmp(ends, ".lua") == 0 ? HOOK_LUA : HOOK_SO;
	spec.points = 1u << BOURN_PRODUCE;
	if (hook_set_load(&spec, 1, &b->set, &f) != OK ||
	    hooks_new(b->set, b->loop, 0, 1, &b->hooks, &f) != OK) {
		fprintf(stderr, "bourn-bench-hooks: %s\n", f.where);
		return 1;
	}
	measure(b, hooks_chain(b->hooks, BOURN_PRODUCE), name, count);
	hooks_free(b->hooks);
	hook_set_free(b->set);
	return 0;
}

int main(int argc, char **argv)
{
	struct bench b = {0};
	struct loop_config config = {
		.clock = clock_system(), .entropy = entropy_system(), .metrics = &b.metrics};
	int64_t count = COUNT_DEFAULT;
	struct fault f;
	int failed = 0;
	int first = 1;

	if (argc > 2 && strcmp(argv[1], "--count") == 0) {
		count = strtoll(argv[2], NULL, 10);
		first = 3;
	}
	if (first >= argc || count < 1) {
		fprintf(stderr, "usage: bourn-bench-hooks [--count N] FILE...\n");
		return 2;
	}
	b.log = log_new(STDERR_FILENO, LOG_WARN, false, clock_system());
	config.log = b.log;
	b.loop = loop_new(&config, &f);
	CHECK(b.loop);
	make_record(&b);
	for (int i = first; i < argc; i++)
		failed |= run(&b, argv[i], count);
	buf_fini(&b.headers);
	loop_free(b.loop);
	log_free(b.log);
	return failed;
}
