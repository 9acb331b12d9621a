/* hook: what users put between requests and the broker. Each configured hook is loaded once and
 * opened once a shard; a shard's hooks of one point stand in a chain, in the order of the
 * configuration, and each sees what those before it changed.
 *
 *	hook_set_load ─> hooks_new (each shard) ─> hooks_chain(point) ─> hook_run_start …
 *
 * Where there are none, hooks_chain gives NULL: whoever keeps that pointer pays a branch for an
 * event, and nothing else.
 *
 *   point.h     the points and verdicts            spec.h      one hook, as configured
 *   call.h      one event or request on its way    carrier.h   what runs a hook
 *   arena.h     what hooks make                    stats.h     what is counted */
#ifndef BOURN_HOOK_HOOK_H
#define BOURN_HOOK_HOOK_H

#include "hook/call.h"
#include "hook/spec.h"
#include "io/log.h"
#include "io/loop.h"

/* False: built with -DBOURN_WITHOUT_HOOKS, for bench/hooks.sh to see what it costs that there might
 * be some. Such a broker refuses to load any. */
#ifdef BOURN_WITHOUT_HOOKS
enum { HOOKS_BUILT = false };
#else
enum { HOOKS_BUILT = true };
#endif

/* All hooks of the process: loaded, not running. */
struct hook_set;

/* `specs` are checked and borrowed until hook_set_free. ERR_CONFIG names the hook and says why it
 * cannot be loaded. */
enum err hook_set_load(const struct hook_spec *specs, size_t count, struct hook_set **out,
                       struct fault *f) MUST_CHECK;
void hook_set_free(struct hook_set *set);

/* Open and close each, as `shard` of one would: does it run? */
enum err hook_set_check(struct hook_set *set, struct fault *f) MUST_CHECK;

/* Read again what can be, on a worker thread; one line in the log for each hook. Then hooks_renew
 * on each shard's own thread puts it to use. All shards must be through before the next.
 * Returns how many have changed. */
unsigned hook_set_refresh(struct hook_set *set, struct log *log);
struct hooks;
void hooks_renew(struct hooks *hooks);

/* A shard's. `out` becomes NULL when the set is empty. On the main thread, before the loops run;
 * the loop and the set are borrowed. */
enum err hooks_new(struct hook_set *set, struct loop *l, unsigned shard, unsigned shard_count,
                   struct hooks **out, struct fault *f) MUST_CHECK;
void hooks_free(struct hooks *hooks); /* NULL: nothing */

/* Those of one point, in order; NULL: none. `hooks` may be NULL. */
struct hook_chain;
struct hook_chain *hooks_chain(const struct hooks *hooks, enum bourn_point point);

/* The chain's own memory, for what hooks make in runs that do not wait; whoever takes it resets
 * it. */
struct arena *hook_chain_arena(struct hook_chain *chain);

/* What became of it. */
enum hook_outcome {
	HOOK_PASSED,  /* go on */
	HOOK_STOPPED, /* it is dropped, or ends here */
	HOOK_REFUSED, /* run->fault, and what the call's refusal says more */
};

/* A call on its way through a chain. */
struct hook_run {
	struct call call;                 /* in and out; call_init came before */
	void (*done)(struct hook_run *r); /* in: when it had to wait */
	enum hook_outcome outcome;        /* out */
	bool changed;                     /* out: a hook modified something */
	enum bourn_verdict verdict;       /* out: of the last that was asked */
	const char *why;                  /* out, if that is BOURN_FAIL; until the next call */
	struct fault fault;               /* out, if refused: HOOK_REFUSED or HOOK_FAILED */

	/* the chain's own */
	struct hook_chain *chain;
	size_t next;                /* link */
	struct call_content before; /* the link that is asked */
	int64_t asked_us;           /* 0: this call is not timed */
};

/* Have the call pass all hooks of the chain that it concerns. True: it has. False: one of them
 * answers later; `done` follows, on the loop, and what the call points to must stay until then. */
bool hook_run_start(struct hook_chain *chain, struct hook_run *run);

/* Can a run for such an event have to wait? */
bool hook_chain_waits(const struct hook_chain *chain, enum bourn_front front, struct slice topic);

/* For hooks that say something themselves. */
void hook_log(const struct hook *hook, enum log_level level, const char *text);

/* Each hook's counters in the Prometheus text format, summed over `count` shards; NULLs among them
 * are passed over. Any thread. */
void hooks_render(struct buf *out, struct hooks *const *shards, unsigned count);

#endif
