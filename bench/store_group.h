/* store_group: groups of single events written as a broker's log would be, by nothing but system
 * calls: to blocks that were written before, past the page cache, each group in one piece and then
 * flushed. */
#ifndef BOURN_BENCH_STORE_GROUP_H
#define BOURN_BENCH_STORE_GROUP_H

#include "bench.h"

#include <stddef.h>
#include <sys/types.h>

enum { STORE_GROUP_EVENTS_MAX = 512 };

struct store_group {
	uint8_t *buffer; /* owned, aligned; what is written, whatever it holds */
	char path[4096];
	int fd; /* -1: not open */
	off_t at;
	struct failure *failure; /* borrowed */
};

/* Makes the file in `dir`. What failed is closed all the same. */
bool store_group_open(struct store_group *g, const char *dir, struct failure *f);

/* `count` events of 1 KiB, from 1 to STORE_GROUP_EVENTS_MAX: they are on the disk when this
 * returns. */
bool store_group_write(struct store_group *g, int64_t count);

/* Removes the file. */
void store_group_close(struct store_group *g);

#endif
