/* watch: readiness of a socket that a library owns, told on a loop. Loop thread only. */
#ifndef BOURN_IO_WATCH_H
#define BOURN_IO_WATCH_H

#include "io/loop.h"
#include "io/stream.h"

struct watch;

/* `ready`: what of STREAM_READABLE and STREAM_WRITABLE has come; both when the socket is broken. */
typedef void watch_cb(void *owner, int fd, unsigned ready);

/* The descriptor stays its owner's. NULL: it cannot be watched, or no memory. */
struct watch *watch_new(struct loop *l, int fd, watch_cb *ready, void *owner);

/* Which readiness to be told of from now on. */
void watch_want(struct watch *w, unsigned ready);

/* No callback after this; the descriptor may be closed at once. */
void watch_free(struct watch *w);

#endif
