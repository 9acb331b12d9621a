#include "store_stream.h"

#include "link.h"
#include "store_batches.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SILENCE_MS = 10000, EVENTS = STORE_BATCHES * STORE_BATCH_EVENTS };

struct stream_run {
	const struct store_stream_options *o;
	struct failure *failure;
	struct link link;
	struct link_scratch *scratch; /* owned */
	uint8_t *events;              /* owned; all that there are */
	int64_t next;                 /* offset that must come */
};

static bool take(struct stream_run *r)
{
	const uint8_t *want = r->events + r->next % EVENTS * STORE_EVENT_BYTES;

	if (r->link.payload.len != STORE_EVENT_BYTES ||
	    memcmp(r->link.payload.ptr, want, STORE_EVENT_BYTES) != 0)
		return bench_fail(r->failure, "event %" PRId64 " is not what was stored", r->next);
	r->next++;
	return true;
}

static bool take_all(struct stream_run *r)
{
	for (;;) {
		switch (link_next(&r->link, r->scratch, r->failure)) {
		case LINK_MORE: return true;
		case LINK_OPENED:
		case LINK_NOTHING: break;
		case LINK_PAYLOAD:
			if (!take(r))
				return false;
			break;
		case LINK_FAILED: return false;
		}
	}
}

static bool run(struct stream_run *r)
{
	while (r->next < r->o->events) {
		struct epoll_event ready;
		int count = epoll_wait(r->link.epoll, &ready, 1, SILENCE_MS);

		if (count <= 0)
			return bench_fail(r->failure, "silence after %" PRId64 " events", r->next);
		if (!link_ready(&r->link, ready.events, r->scratch, r->failure) || !take_all(r))
			return false;
	}
	return true;
}

static bool measure(struct stream_run *r, const struct address *to, int epoll,
                    struct store_stream_result *result)
{
	const struct dialect *dialect = r->o->sse ? &dialect_sse : &dialect_ws_subscriber;
	int64_t began = bench_now_ns(), cpu = process_own_cpu_ns();
	struct process_usage before, after;
	bool ok = process_usage(&r->o->pid, 1, &before, r->failure) &&
	          link_open(&r->link, dialect, to, epoll, r->failure);

	if (!ok)
		return false;
	ok = run(r) && process_usage(&r->o->pid, 1, &after, r->failure);
	result->elapsed_ns = bench_now_ns() - began;
	result->own_cpu_ns = process_own_cpu_ns() - cpu;
	result->bytes = r->next * STORE_EVENT_BYTES;
	if (ok)
		result->server_cpu_ns = after.cpu_ns - before.cpu_ns;
	link_close(&r->link);
	return ok;
}

bool store_stream_run(const struct store_stream_options *o, struct store_stream_result *result,
                      struct failure *f)
{
	struct address to = {.port = o->port, .path = "/subscribe/bench?offset=earliest"};
	struct stream_run r = {.o = o, .failure = f};
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	bool ok = false;

	*result = (struct store_stream_result){0};
	r.scratch = malloc(sizeof(*r.scratch));
	r.events = malloc((size_t)EVENTS * STORE_EVENT_BYTES);
	if (r.scratch && r.events && epoll >= 0) {
		for (int64_t i = 0; i < EVENTS; i++)
			store_batches_event(i, r.events + i * STORE_EVENT_BYTES);
		ok = measure(&r, &to, epoll, result);
	} else {
		bench_fail(f, "no memory");
	}
	if (epoll >= 0)
		close(epoll);
	free(r.scratch);
	free(r.events);
	return ok;
}
