#include "http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { READY_MAX = 256 };

#define PROGRESS_INTERVAL_NS (250 * (int64_t)NS_PER_MS)
#define SILENCE_NS           (10 * (int64_t)NS_PER_SECOND)

struct poster {
	struct link link;    /* first: an epoll's pointer to it is one to us */
	int64_t due;         /* when the request on its way was */
	struct poster *idle; /* the next one that has nothing to do */
};

struct http {
	const struct http_options *o;
	struct http_result *result;
	struct failure *failure;
	struct address to;
	struct poster *posters; /* owned; o->connections of them */
	struct poster *idle;
	uint32_t begun;
	struct link_scratch *scratch; /* owned */
	struct buf body;
	int epoll;

	enum { WARM_UP, MEASURE, DRAIN } phase;
	int64_t now;
	int64_t started;  /* when request 0 was due */
	int64_t measured; /* when the measurement begins, and ends */
	int64_t ends;
	int64_t last_answer;
	int64_t last_progress;
	uint64_t sent;
	uint64_t answered;
	uint64_t answered_before;
	struct measuring measuring;
};

/* Without a rate: at once. */
static int64_t due(const struct http *r, uint64_t number)
{
	if (r->o->rate == 0)
		return r->now;
	return r->started + (int64_t)((double)number * NS_PER_SECOND / r->o->rate);
}

static void rest(struct http *r, struct poster *p)
{
	p->idle = r->idle;
	r->idle = p;
}

static void take_answer(struct http *r, struct poster *p)
{
	if (p->due >= r->measured && p->due < r->ends)
		histogram_add(&r->result->latency, r->now - p->due);
	r->answered++;
	r->last_answer = r->now;
	rest(r, p);
}

static bool serve(struct http *r, const struct epoll_event *e)
{
	struct poster *p = e->data.ptr;

	if (!link_ready(&p->link, e->events, r->scratch, r->failure))
		return false;
	r->now = bench_now_ns();
	for (;;) {
		switch (link_next(&p->link, r->scratch, r->failure)) {
		case LINK_MORE: return true;
		case LINK_OPENED:
		case LINK_NOTHING: break;
		case LINK_PAYLOAD: take_answer(r, p); break;
		case LINK_FAILED: return false;
		}
	}
}

/* True while there are requests that have to be sent, now or later. */
static bool more_to_send(const struct http *r)
{
	return due(r, r->sent) < r->ends;
}

static bool post(struct http *r)
{
	while (r->idle && more_to_send(r) && due(r, r->sent) <= r->now) {
		struct poster *p = r->idle;

		r->idle = p->idle;
		p->due = due(r, r->sent++);
		p->link.dialect->publish(&p->link, buf_slice(&r->body));
		if (!link_flush(&p->link, r->failure))
			return false;
	}
	if (more_to_send(r) && due(r, r->sent + HTTP_BEHIND_MAX) < r->now)
		return bench_fail(r->failure, "the rate is too high: %d requests wait",
		                  HTTP_BEHIND_MAX);
	return true;
}

static bool begin_measuring(struct http *r)
{
	r->phase = MEASURE;
	r->measured = r->now;
	r->ends = r->now + r->o->measure.measure_ns;
	r->answered_before = r->answered;
	return measure_begin(&r->measuring, &r->o->measure, r->now, r->failure);
}

static bool end_measuring(struct http *r)
{
	r->phase = DRAIN;
	r->result->answers = r->answered - r->answered_before;
	return measure_end(&r->measuring, &r->o->measure, r->now, &r->result->measure, r->failure);
}

static void show_progress(struct http *r)
{
	if (r->now < r->last_progress + PROGRESS_INTERVAL_NS)
		return;
	r->last_progress = r->now;
	bench_progress("%s: %llu answers", r->o->path, (unsigned long long)r->answered);
}

static bool turn(struct http *r)
{
	struct epoll_event ready[READY_MAX];
	bool scheduled = r->idle && more_to_send(r);
	int64_t wake = scheduled ? due(r, r->sent) : r->now + PROGRESS_INTERVAL_NS;
	int64_t wait = wake - bench_now_ns();
	struct timespec timeout = {.tv_sec = wait > 0 ? wait / NS_PER_SECOND : 0,
	                           .tv_nsec = wait > 0 ? wait % NS_PER_SECOND : 0};
	int count = epoll_pwait2(r->epoll, ready, READY_MAX, &timeout, NULL);

	if (count < 0 && errno != EINTR)
		return bench_fail(r->failure, "epoll: %s", strerror(errno));
	for (int i = 0; i < count; i++)
		if (!serve(r, &ready[i]))
			return false;
	r->now = bench_now_ns();
	show_progress(r);
	if (r->phase == WARM_UP && r->now >= r->measured && !begin_measuring(r))
		return false;
	if (r->phase == MEASURE && r->now >= r->ends && !end_measuring(r))
		return false;
	if (r->sent > r->answered && r->now > r->last_answer + SILENCE_NS)
		return bench_fail(r->failure, "silence for 10 s: %llu of %llu requests answered",
		                  (unsigned long long)r->answered, (unsigned long long)r->sent);
	return post(r);
}

/* Every request that was due is sent and its answer waited for, however late: their latencies
 * count.
 */
static bool run(struct http *r)
{
	while (r->phase != DRAIN || more_to_send(r) || r->answered < r->sent)
		if (!turn(r))
			return false;
	return true;
}

static bool set_up(struct http *r)
{
	r->posters = calloc(r->o->connections, sizeof(*r->posters));
	r->scratch = calloc(1, sizeof(*r->scratch));
	if (!r->posters || !r->scratch)
		return bench_fail(r->failure, "no memory");
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll < 0)
		return bench_fail(r->failure, "epoll: %s", strerror(errno));
	prctl(PR_SET_TIMERSLACK, 1); /* else the kernel may wake us 50 µs late */
	r->to.port = r->o->measure.port;
	snprintf(r->to.path, sizeof(r->to.path), "%s", r->o->path);
	buf_append_lit(&r->body, "{\"text\":\"");
	while (r->body.len + 2 < r->o->body_bytes)
		buf_append_lit(&r->body, "x");
	buf_append_lit(&r->body, "\"}");
	for (; r->begun < r->o->connections; r->begun++) {
		if (!link_open(&r->posters[r->begun].link, r->o->dialect, &r->to, r->epoll,
		               r->failure))
			return false;
		rest(r, &r->posters[r->begun]);
	}
	r->now = bench_now_ns();
	r->started = r->now;
	r->last_answer = r->now;
	r->measured = r->now + r->o->measure.warm_up_ns;
	r->ends = r->measured + r->o->measure.measure_ns;
	return true;
}

static void tear_down(struct http *r)
{
	for (uint32_t i = 0; i < r->begun; i++)
		link_close(&r->posters[i].link);
	if (r->epoll >= 0)
		close(r->epoll);
	buf_fini(&r->body);
	free(r->posters);
	free(r->scratch);
}

bool http_run(const struct http_options *o, struct http_result *result, struct failure *f)
{
	struct http *r = calloc(1, sizeof(*r));
	bool ok;

	if (!r)
		return bench_fail(f, "no memory");
	*result = (struct http_result){0};
	*r = (struct http){
		.o = o, .result = result, .failure = f, .epoll = -1, .body = BUF_INIT(1 << 20)};
	ok = set_up(r) && run(r);
	result->answers_in_all = r->answered;
	bench_progress(" ");
	tear_down(r);
	free(r);
	return ok;
}
