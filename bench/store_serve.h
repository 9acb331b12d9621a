/* store_serve: the least that a server of single durable events can do. It knows no protocol and
 * keeps no event: what came on all connections is received, as many events are written as one group
 * and flushed (store_group), and each connection is sent the same bytes, which read as bourn's
 * answer to a POST. So what the kernel and this machine need for such an event is left, and no
 * server is much quicker. */
#ifndef BOURN_BENCH_STORE_SERVE_H
#define BOURN_BENCH_STORE_SERVE_H

#include "bench.h"

/* On a free port of 127.0.0.1, which it prints as bourn does; the file is made in `dir`. Ends by a
 * signal, or false. Each connection may have one request of at least 1 KiB under way. */
bool store_serve_run(const char *dir, struct failure *f);

#endif
