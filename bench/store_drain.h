/* store_drain: a socket whose other end is a thread that reads all that comes, counts it and takes
 * its CRC-32C. */
#ifndef BOURN_BENCH_STORE_DRAIN_H
#define BOURN_BENCH_STORE_DRAIN_H

#include "bench.h"

#include "base/slice.h"

#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

struct drain {
	pthread_t thread;
	int to;   /* where bytes go in: TCP on loopback, blocking */
	int from; /* the thread's */
	int64_t bytes;
	uint32_t crc;
};

bool drain_open(struct drain *d, struct failure *f);

/* Ends what is sent and waits until all has been read: bytes and crc are there then. */
void drain_close(struct drain *d);

bool drain_write(struct drain *d, struct slice bytes, struct failure *f);

/* Of `fd`, `len` bytes from `at` on, by sendfile. */
bool drain_send(struct drain *d, int fd, off_t at, int64_t len, struct failure *f);

#endif
