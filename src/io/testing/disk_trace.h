/* disk_trace: a disk that writes down, in order, each call that changed another one, with marks
 * that its user puts between them. What a crash can make of it is for disk_states. Calls that
 * change something are made one at a time, so that the order written down is the order they took
 * effect in; those that fail are not written down, of a short write what it wrote. Any thread. Only
 * for tests. */
#ifndef BOURN_IO_TESTING_DISK_TRACE_H
#define BOURN_IO_TESTING_DISK_TRACE_H

#include "io/disk.h"

#include <pthread.h>

/* The call, and: */
enum { TRACE_MARK = DISK_CALL_COUNT };

struct trace_step {
	int call;       /* enum disk_call, or TRACE_MARK. DISK_PWRITEV_SYNC comes after a
	                   DISK_PWRITEV of the same bytes, and makes them (not the rest) last */
	int fd;         /* OPEN: what it gave */
	int flags;      /* OPEN: O_* */
	int64_t at;     /* PWRITEV, PWRITEV_SYNC: where; TRUNCATE: the new size */
	size_t len;     /* PWRITEV, PWRITEV_SYNC */
	uint8_t *bytes; /* owned; PWRITEV: what was written; else NULL */
	char *path;     /* owned; OPEN SYNC_DIR RENAME LINK UNLINK MKDIR RMDIR; else NULL */
	char *to;       /* owned; RENAME LINK; else NULL */
};

struct disk_trace {
	struct disk base;
	struct disk *inner; /* borrowed */
	pthread_mutex_t mutex;
	struct trace_step *steps; /* owned */
	size_t count, cap;
};

/* `inner` is borrowed until fini; for the states to be right it is empty now. */
void disk_trace_init(struct disk_trace *t, struct disk *inner);
void disk_trace_fini(struct disk_trace *t);

/* Everything that happened before this is written down before it, and the other way round. */
void disk_trace_mark(struct disk_trace *t);

/* "pwritev 7 at 4096, 8192 bytes", for what is said of a failure. */
const char *trace_step_text(const struct trace_step *s, char *into, size_t cap);

#endif
