/* hook_fixture: hooks of one shard, on a loop of its own, and an event that passes them. For
 * tests. */
#ifndef BOURN_HOOK_TESTING_HOOK_FIXTURE_H
#define BOURN_HOOK_TESTING_HOOK_FIXTURE_H

#include "hook/hook.h"
#include "io/metrics.h"

struct hook_fixture {
	struct metrics metrics;
	struct log *log; /* says nothing */
	struct loop *loop;
	struct hook_set *set; /* owned */
	struct hooks *hooks;
	struct hook_chain *chain; /* at PRODUCE */
	struct hook_run run;
	struct record record; /* as it goes in, then as it came out */
	struct buf headers;   /* of the record, encoded; empty: it has none */
};

/* `set` is the fixture's from here on. The test fails if they cannot be opened. */
void hook_fixture_start(struct hook_fixture *fx, struct hook_set *set);
void hook_fixture_stop(struct hook_fixture *fx);

/* What becomes of `fx->record` with the fixture's headers, in that topic. */
enum hook_outcome hook_fixture_pass(struct hook_fixture *fx, const struct bourn_caller *caller,
                                    const char *topic);

#endif
