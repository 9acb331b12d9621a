/* transfers: libcurl's requests under way, on a shard's loop: its sockets and its times are the
 * loop's. Private to hook/; loop thread only. */
#ifndef BOURN_HOOK_TRANSFERS_H
#define BOURN_HOOK_TRANSFERS_H

#include "hook/curl.h"
#include "io/loop.h"

/* One request; a part of what its owner has of it. */
struct transfer {
	CURL *easy;       /* owner's; its CURLOPT_PRIVATE is this struct */
	struct list node; /* in `under_way` */
};

/* One is over: take it out (transfers_remove). */
typedef void transfers_done(struct transfer *transfer, CURLcode code);

struct transfers {
	const struct curl *curl; /* borrowed */
	struct loop *loop;       /* borrowed; NULL: nothing will ever be added */
	CURLM *multi;            /* NULL: not open, or given up: the next that is added opens it */
	long connections_max;
	struct list under_way; /* struct transfer */
	transfers_done *done;
	struct timer timer;  /* when libcurl wants to be called */
	struct task at_once; /* the same, now */
};

/* `connections_max` are kept for the next. False: no memory; transfers_close is fine. */
bool transfers_open(struct transfers *t, const struct curl *curl, struct loop *loop,
                    int64_t connections_max, transfers_done *done) MUST_CHECK;

/* After all were removed; zeroed: nothing. */
void transfers_close(struct transfers *t);

/* `done` follows, never from in here. False: no memory. */
bool transfers_add(struct transfers *t, struct transfer *transfer) MUST_CHECK;
void transfers_remove(struct transfers *t, struct transfer *transfer);

#endif
