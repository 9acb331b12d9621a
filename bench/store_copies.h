/* store_copies: the copies and writes that storing makes, and nothing else; to see what a machine
 * gives for them.
 *
 * One thread copies batches into a ring of memory, as a shard does into its chunks; a second writes
 * each to where the caller says, as the WAL's thread does; a third, whenever half of the ring is
 * not saved, writes that behind each other into new files, as a spill does into segments: into the
 * page cache, or past it. */
#ifndef BOURN_BENCH_STORE_COPIES_H
#define BOURN_BENCH_STORE_COPIES_H

#include "store_batches.h"

#include <pthread.h>

struct copies {
	const char *dir;                     /* borrowed, as is the next */
	const struct store_batches *batches; /* all of one size */
	bool (*log)(void *arg, int64_t number,
	            struct slice batch); /* on a thread of its own; false: it said why */
	void *arg;
	bool saves_direct; /* past the page cache */
	uint8_t *ring;     /* owned; a batch a slot */
	int64_t slot_count;
	size_t batch_bytes;
	size_t slot_bytes; /* whole blocks */
	pthread_t saver;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t moved; /* any of the three counts */
	pthread_cond_t half;  /* so much is to be saved, or nothing more */
	int64_t batch_count;
	int64_t taken; /* so many batches are in memory … */
	int64_t logged;
	int64_t saved;
	bool failed;
	struct failure save_failure; /* its thread's */
};

/* `memory_bytes` of ring. */
bool copies_open(struct copies *c, int64_t memory_bytes, struct failure *f);
void copies_close(struct copies *c);

/* Returns when all are logged: what is not saved then may stay in memory. */
bool copies_run(struct copies *c, int64_t batch_count, struct failure *f);

/* After each run: waits for what is being saved, and removes it. False: something had failed. */
bool copies_settle(struct copies *c, struct failure *f);

#endif
