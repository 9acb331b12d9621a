#include "fanout.h"

#include "ledger.h"
#include "link.h"

#include "base/check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum {
	OPENING_MAX = 64, /* subscribers that connect at the same time */
	READY_MAX = 512,  /* sockets served between two looks at the clock */
	READY_FEW = 64,
	TOPIC_BYTES_MAX = 200, /* fits into an address's path */
	UNSENT_MAX =
		64 << 10, /* bytes: closed loop; then the socket is the limit, not the window */
};

#define HELLO_AFTER_NS       (20 * (int64_t)NS_PER_MS) /* the second; each later one twice that */
#define NAP_NS               (100 * (int64_t)1000)
#define LINGER_NS            (50 * (int64_t)NS_PER_MS)
#define PROGRESS_INTERVAL_NS (250 * (int64_t)NS_PER_MS)
#define SILENCE_NS           (10 * (int64_t)NS_PER_SECOND)

struct fanout_broker {
	const char *name;
	const char *subscribe; /* path: before the topic */
	const char *publish;
	const struct dialect *subscriber;
	const struct dialect *sse; /* NULL: it has none */
	const struct dialect *publisher;
};

static const struct fanout_broker brokers[] = {
	{"bourn", "/subscribe/", "/produce/", &dialect_ws_subscriber, &dialect_sse,
         &dialect_ws_publisher},
	{"nchan", "/sub/", "/pub/", &dialect_ws_subscriber, &dialect_sse, &dialect_ws_publisher},
	{"nats", "", "", &dialect_nats_subscriber, NULL, &dialect_nats_publisher},
};

enum phase { CONNECT, GREET, SETTLE, WARM_UP, MEASURE, DRAIN, LINGER, DONE };

static const char *const phase_names[] = {"connecting", "greeting", "settling",  "warming up",
                                          "measuring",  "draining", "lingering", "done"};

struct subscriber {
	struct link link; /* first: an epoll's pointer to it is one to us */
	struct ledger_place place;
};

struct fanout {
	const struct fanout_options *o;
	struct fanout_result *result;
	struct failure *failure;
	const struct dialect *dialect; /* of the subscribers */
	struct address to_subscribe;
	struct address to_publish;

	struct ledger ledger;
	struct subscriber *subscribers; /* owned; o->subscribers of them */
	struct link publisher;
	struct link_scratch *scratch; /* owned */
	int epoll;

	enum phase phase;
	uint32_t begun;  /* subscribers that began to connect */
	uint32_t opened; /* of these, those whom the broker has said yes */
	uint32_t greeted;
	int64_t now;
	int64_t phase_ends; /* when the phase has a length */
	int64_t started;    /* open loop: when event 0 was due */
	int64_t next_hello;
	int64_t hello_after; /* ns: how long the one after waits */
	int64_t last_delivery;
	int64_t last_progress;
	uint64_t shown; /* deliveries at the last progress line */
	uint64_t deliveries_before;
	uint32_t published_before;
	uint32_t oldest_before;
	struct measuring measuring;
};

static const struct fanout_broker *broker_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(brokers); i++)
		if (strcmp(brokers[i].name, name) == 0)
			return &brokers[i];
	return NULL;
}

bool fanout_options_ok(const struct fanout_options *o, struct failure *f)
{
	const struct fanout_broker *broker = broker_find(o->broker);

	if (!broker)
		return bench_fail(f, "there is no target '%s': bourn, nchan, nats", o->broker);
	if (o->sse && !broker->sse)
		return bench_fail(f, "%s has no Server-Sent Events", o->broker);
	if (strlen(o->topic) > TOPIC_BYTES_MAX)
		return bench_fail(f, "a topic of more than %d characters", TOPIC_BYTES_MAX);
	return true;
}

/* --- what comes ------------------------------------------------------------------------------- */

static bool is_open_loop(const struct fanout *r)
{
	return r->o->rate > 0;
}

static int64_t due(const struct fanout *r, uint32_t number)
{
	return r->started + (int64_t)((double)number * NS_PER_SECOND / r->o->rate);
}

static void count_latency(struct fanout *r, uint32_t number)
{
	int64_t scheduled = due(r, number);

	if (r->phase >= MEASURE && scheduled >= r->measuring.began_ns &&
	    scheduled < r->measuring.began_ns + r->o->measure.measure_ns)
		histogram_add(&r->result->latency, r->now - scheduled);
}

static bool take_payload(struct fanout *r, struct subscriber *s)
{
	bool greeted = s->place.greeted;
	enum ledger_verdict verdict = ledger_check(&r->ledger, &s->place, s->link.payload);
	char text[256];

	switch (verdict) {
	case LEDGER_NEXT:
		if (is_open_loop(r))
			count_latency(r, s->place.next - 1);
		return true;
	case LEDGER_HELLO: r->greeted += !greeted; return true;
	default: break;
	}
	return bench_fail(r->failure, "subscriber %td: %s", s - r->subscribers,
	                  ledger_explain(&r->ledger, verdict, &s->place, s->link.payload, text,
	                                 sizeof(text)));
}

/* As many right deliveries as lie at the front of what was read: nearly always all of it. */
static void take_run(struct fanout *r, struct subscriber *s)
{
	struct slice received = slice_of(r->scratch->in, r->scratch->len);
	uint32_t count = ledger_check_run(&r->ledger, &s->place, received);

	if (is_open_loop(r))
		for (uint32_t i = count; i > 0; i--)
			count_latency(r, s->place.next - i);
	link_skip(r->scratch, count * r->ledger.slot_bytes);
}

static bool serve_subscriber(struct fanout *r, struct subscriber *s)
{
	r->now = bench_now_ns();
	r->last_delivery = r->now;
	for (;;) {
		if (r->scratch->fresh && s->link.open)
			take_run(r, s);
		switch (link_next(&s->link, r->scratch, r->failure)) {
		case LINK_MORE: return true;
		case LINK_NOTHING: break;
		case LINK_OPENED: r->opened++; break;
		case LINK_PAYLOAD:
			if (!take_payload(r, s))
				return false;
			break;
		case LINK_FAILED: return false;
		}
	}
}

static bool serve_publisher(struct fanout *r)
{
	for (;;) {
		switch (link_next(&r->publisher, r->scratch, r->failure)) {
		case LINK_MORE: return true;
		case LINK_NOTHING:
		case LINK_PAYLOAD:
		case LINK_OPENED: break;
		case LINK_FAILED: return false;
		}
	}
}

static bool serve(struct fanout *r, const struct epoll_event *e)
{
	struct link *l = e->data.ptr;

	if (!link_ready(l, e->events, r->scratch, r->failure))
		return false;
	return l == &r->publisher ? serve_publisher(r)
	                          : serve_subscriber(r, (struct subscriber *)(void *)l);
}

/* --- what goes out ---------------------------------------------------------------------------- */

static bool connect_more(struct fanout *r)
{
	while (r->begun < r->o->subscribers && r->begun - r->opened < OPENING_MAX) {
		if (!link_open(&r->subscribers[r->begun].link, r->dialect, &r->to_subscribe,
		               r->epoll, r->failure))
			return false;
		r->begun++;
	}
	return true;
}

static bool greet(struct fanout *r)
{
	if (r->now < r->next_hello)
		return true;
	r->next_hello = r->now + r->hello_after;
	r->hello_after *= 2;
	r->publisher.dialect->publish(&r->publisher, ledger_hello(&r->ledger));
	return link_flush(&r->publisher, r->failure);
}

static bool may_publish(const struct fanout *r)
{
	if (is_open_loop(r))
		return r->now >= due(r, r->ledger.published);
	return r->ledger.published - r->ledger.oldest < r->o->window &&
	       r->publisher.out.len < UNSENT_MAX;
}

static bool publish_one(struct fanout *r)
{
	r->publisher.dialect->publish(&r->publisher, ledger_publish(&r->ledger));
	return link_flush(&r->publisher, r->failure);
}

static bool publish(struct fanout *r)
{
	while (may_publish(r)) {
		if (!ledger_has_room(&r->ledger))
			return bench_fail(r->failure,
			                  "the rate is too high: the slowest subscriber is %u "
			                  "events behind",
			                  r->ledger.capacity);
		r->publisher.dialect->publish(&r->publisher, ledger_publish(&r->ledger));
	}
	return r->publisher.out.len == 0 || link_flush(&r->publisher, r->failure);
}

/* --- phases ----------------------------------------------------------------------------------- */

static bool begin_measuring(struct fanout *r)
{
	r->deliveries_before = r->ledger.deliveries;
	r->published_before = r->ledger.published;
	r->oldest_before = r->ledger.oldest;
	return measure_begin(&r->measuring, &r->o->measure, r->now, r->failure);
}

static bool end_measuring(struct fanout *r)
{
	struct fanout_result *result = r->result;

	result->events = r->ledger.published - r->published_before;
	result->deliveries = r->ledger.deliveries - r->deliveries_before;
	return measure_end(&r->measuring, &r->o->measure, r->now, &result->measure, r->failure);
}

static void enter(struct fanout *r, enum phase phase, int64_t length_ns)
{
	r->phase = phase;
	r->phase_ends = r->now + length_ns;
	r->last_delivery = r->now;
}

/* In the closed loop a whole window, too, has to pass in this phase, which began when `oldest` was
 * the first event that somebody had not got: else the figure would be that of its filling. */
static bool long_enough(const struct fanout *r, uint32_t oldest)
{
	return r->now >= r->phase_ends &&
	       (is_open_loop(r) || r->ledger.oldest - oldest >= r->o->window);
}

/* Go on to the next phase when this one is over; publish what this one publishes. */
static bool step(struct fanout *r)
{
	switch (r->phase) {
	case CONNECT:
		if (r->opened == r->o->subscribers && r->publisher.open)
			enter(r, GREET, 0);
		return connect_more(r);
	case GREET:
		if (r->greeted < r->o->subscribers)
			return greet(r);
		enter(r, SETTLE, 0);
		return publish_one(r);
	case SETTLE:
		if (r->ledger.oldest < r->ledger.published)
			return true;
		r->started = r->now;
		enter(r, WARM_UP, r->o->measure.warm_up_ns);
		return true;
	case WARM_UP:
		if (!publish(r))
			return false;
		if (!long_enough(r, 0))
			return true;
		enter(r, MEASURE, r->o->measure.measure_ns);
		return begin_measuring(r);
	case MEASURE:
		if (!publish(r))
			return false;
		if (!long_enough(r, r->oldest_before))
			return true;
		enter(r, DRAIN, 0);
		return end_measuring(r);
	case DRAIN:
		if (r->ledger.oldest == r->ledger.published && r->publisher.out.len == 0)
			enter(r, LINGER, LINGER_NS);
		return true;
	case LINGER:
		if (r->now >= r->phase_ends)
			enter(r, DONE, 0);
		return true;
	case DONE: break;
	}
	return true;
}

/* Who says nothing for so long will not go on. */
static bool check_silence(const struct fanout *r)
{
	if (r->now < r->last_delivery + SILENCE_NS ||
	    (is_open_loop(r) && r->ledger.oldest == r->ledger.published && r->phase >= WARM_UP))
		return true;
	return bench_fail(r->failure,
	                  "silence for 10 s while %s: %u of %u subscribers open, %u greeted, "
	                  "events %u to %u not delivered to all",
	                  phase_names[r->phase], r->opened, r->o->subscribers, r->greeted,
	                  r->ledger.oldest, r->ledger.published);
}

static void show_progress(struct fanout *r)
{
	double seconds = (double)(r->now - r->last_progress) / NS_PER_SECOND;

	if (r->now < r->last_progress + PROGRESS_INTERVAL_NS)
		return;
	bench_progress("%s %s: %u/%u subscribers, event %u, %.2f M deliveries/s", r->o->broker,
	               phase_names[r->phase], r->opened, r->o->subscribers, r->ledger.published,
	               (double)(r->ledger.deliveries - r->shown) / seconds / 1e6);
	r->shown = r->ledger.deliveries;
	r->last_progress = r->now;
}

/* When something is due that no socket will tell of. */
static int64_t next_deadline(const struct fanout *r)
{
	switch (r->phase) {
	case CONNECT:
	case SETTLE:
	case DRAIN: return r->now + PROGRESS_INTERVAL_NS;
	case GREET: return r->next_hello;
	case WARM_UP:
	case MEASURE:
		if (may_publish(r))
			return r->now;
		if (is_open_loop(r) && due(r, r->ledger.published) < r->phase_ends)
			return due(r, r->ledger.published);
		return r->now < r->phase_ends ? r->phase_ends : r->now + PROGRESS_INTERVAL_NS;
	case LINGER: return r->phase_ends;
	case DONE: break;
	}
	return r->now;
}

/* Closed loop: when little was there, sleep a moment outside of epoll. Otherwise a broker that
 * writes one event at a time would have to wake us for each, and pay for it, and we would do little
 * but fall asleep. */
static void nap(const struct fanout *r, int served)
{
	struct timespec moment = {.tv_nsec = NAP_NS};

	if (served < READY_FEW && !is_open_loop(r) && r->phase >= WARM_UP && r->phase <= DRAIN)
		nanosleep(&moment, NULL);
}

static bool turn(struct fanout *r)
{
	struct epoll_event ready[READY_MAX];
	int64_t wait = next_deadline(r) - bench_now_ns();
	struct timespec timeout = {.tv_sec = wait > 0 ? wait / NS_PER_SECOND : 0,
	                           .tv_nsec = wait > 0 ? wait % NS_PER_SECOND : 0};
	int count = epoll_pwait2(r->epoll, ready, READY_MAX, &timeout, NULL);

	if (count < 0 && errno != EINTR)
		return bench_fail(r->failure, "epoll: %s", strerror(errno));
	for (int i = 0; i < count; i++)
		if (!serve(r, &ready[i]))
			return false;
	nap(r, count);
	r->now = bench_now_ns();
	show_progress(r);
	return step(r) && check_silence(r);
}

/* --- a whole run ------------------------------------------------------------------------------ */

static void set_paths(struct fanout *r, const struct fanout_broker *broker)
{
	r->to_subscribe.port = r->o->measure.port;
	r->to_publish.port = r->o->measure.port;
	snprintf(r->to_subscribe.path, sizeof(r->to_subscribe.path), "%s%s", broker->subscribe,
	         r->o->topic);
	snprintf(r->to_publish.path, sizeof(r->to_publish.path), "%s%s", broker->publish,
	         r->o->topic);
}

static bool set_up_ledger(struct fanout *r)
{
	struct buf before = BUF_INIT(LEDGER_AROUND_BYTES_MAX);
	struct buf after = BUF_INIT(LEDGER_AROUND_BYTES_MAX);
	struct ledger_options o = {.event_bytes = r->o->event_bytes,
	                           .subscribers = r->o->subscribers,
	                           .capacity = is_open_loop(r) ? FANOUT_AHEAD_MAX : r->o->window};
	bool ok = getrandom(&o.run, sizeof(o.run), 0) == sizeof(o.run);

	if (r->dialect->frame)
		r->dialect->frame(&r->to_subscribe, o.event_bytes, &before, &after);
	o.before = buf_slice(&before);
	o.after = buf_slice(&after);
	ok = ok && ledger_init(&r->ledger, &o);
	buf_fini(&before);
	buf_fini(&after);
	return ok || bench_fail(r->failure, "no memory");
}

static bool set_up(struct fanout *r, const struct fanout_broker *broker)
{
	set_paths(r, broker);
	r->dialect = r->o->sse ? broker->sse : broker->subscriber;
	r->subscribers = calloc(r->o->subscribers, sizeof(*r->subscribers));
	r->scratch = calloc(1, sizeof(*r->scratch));
	if (!r->subscribers || !r->scratch)
		return bench_fail(r->failure, "no memory");
	if (!set_up_ledger(r))
		return false;
	r->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (r->epoll < 0)
		return bench_fail(r->failure, "epoll: %s", strerror(errno));
	/* Without it the kernel may wake us 50 µs late. */
	prctl(PR_SET_TIMERSLACK, 1);
	r->now = bench_now_ns();
	r->hello_after = HELLO_AFTER_NS;
	enter(r, CONNECT, 0);
	return link_open(&r->publisher, broker->publisher, &r->to_publish, r->epoll, r->failure);
}

static void tear_down(struct fanout *r)
{
	link_close(&r->publisher);
	for (uint32_t i = 0; i < r->begun; i++)
		link_close(&r->subscribers[i].link);
	if (r->epoll >= 0)
		close(r->epoll);
	ledger_fini(&r->ledger);
	free(r->subscribers);
	free(r->scratch);
}

bool fanout_run(const struct fanout_options *o, struct fanout_result *result, struct failure *f)
{
	struct fanout *r = calloc(1, sizeof(*r));
	bool ok;

	if (!r)
		return bench_fail(f, "no memory");
	*result = (struct fanout_result){0};
	*r = (struct fanout){.o = o, .result = result, .failure = f, .epoll = -1};
	ok = set_up(r, broker_find(o->broker));
	while (ok && r->phase != DONE)
		ok = turn(r);
	result->verified = r->ledger.deliveries;
	bench_progress(" ");
	tear_down(r);
	free(r);
	return ok;
}
