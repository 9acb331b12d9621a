/* store_append: appends through the store against a bare loop that writes the same bytes.
 *
 * Bare: pwritev of one batch, filled up with zeros to whole blocks, into files that are pre-written
 * and synced, one behind the other and in turn, as the WAL's are; for `commit` each followed by
 * fdatasync. The store has the same batches, one under way in each of two partitions, so that one
 * is taken in while the other is written; a group is one batch, as in the bare loop.
 *
 * For `os` a third side: the copies that this class makes (store_copies.h), into the bare loop's
 * files, without a store; it goes with the bare loop.
 *
 * Rounds go A-B, B-A, …; after each what was written is read back and compared. */
#ifndef BOURN_BENCH_STORE_APPEND_H
#define BOURN_BENCH_STORE_APPEND_H

#include "store_driver.h"

enum { STORE_ROUNDS_MAX = 100 };

/* Of one side in one round. */
struct store_figures {
	int64_t elapsed_ns;
	int64_t cpu_ns; /* of all threads */
	int64_t bytes;  /* of batches */
	int64_t groups; /* writes */
	int64_t flushes;
};

struct store_append_options {
	struct driver_options driver;
	uint32_t rounds;
	int64_t batches; /* a round, in all partitions together */
};

struct store_append_result {
	struct store_figures bare[STORE_ROUNDS_MAX];
	struct store_figures copies[STORE_ROUNDS_MAX]; /* `os` only */
	struct store_figures ours[STORE_ROUNDS_MAX];
};

/* In `o->driver.dir`, an empty directory. False: void. */
bool store_append_run(const struct store_append_options *o, struct store_append_result *result,
                      struct failure *f);

#endif
