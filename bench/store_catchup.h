/* store_catchup: sealed segments through the store into a socket, against a bare loop of sendfile.
 *
 * Bare: the segment files themselves, each from behind its header to its end. The store is asked
 * for the partition from its first offset on, as a consumer that starts at the beginning would:
 * where it gives a range of a file that goes out by sendfile too, where it gives batches they are
 * written. The other end of the socket (TCP on loopback) is a thread that reads and takes the
 * CRC-32C of all.
 *
 * Rounds go A-B, B-A, …; both sides find the files in the page cache, or neither (`cold`). */
#ifndef BOURN_BENCH_STORE_CATCHUP_H
#define BOURN_BENCH_STORE_CATCHUP_H

#include "store_append.h"

struct store_catchup_options {
	struct driver_options driver;
	uint32_t rounds;
	int64_t batches; /* there are in the one partition */
	bool cold;       /* the page cache is emptied of them before each measurement */
};

struct store_catchup_result {
	struct store_figures
		bare[STORE_ROUNDS_MAX]; /* groups: sendfile calls or ranges and batches */
	struct store_figures ours[STORE_ROUNDS_MAX];
	int64_t range_bytes; /* of a round of ours: went by sendfile */
};

/* `o->driver.dir` holds the store (store_fill). False: void. */
bool store_catchup_run(const struct store_catchup_options *o, struct store_catchup_result *result,
                       struct failure *f);

#endif
