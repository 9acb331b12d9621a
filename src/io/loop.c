#include "io/loop_internal.h"

#include "base/check.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
	TICK_US = 4000,
	SCRATCH_BYTES = 256 << 10,
	MEMORY_TRIES = 1000, /* one a millisecond */
};

static_assert(sizeof(((struct work *)NULL)->handle) >= sizeof(uv_work_t),
              "work.handle is too small");
static_assert(sizeof(((struct signal_watch *)NULL)->handle) >= sizeof(uv_signal_t),
              "signal_watch.handle is too small");

static int64_t tick_of(struct now now)
{
	return now.mono_us / TICK_US;
}

void loop_turn_begin(struct loop *l)
{
	if (l->turn_begun)
		return;
	l->turn_begun = true;
	atomic_store_explicit(&l->sleeps, false, memory_order_relaxed);
	l->now = l->config.clock->now(l->config.clock);
}

/* --- before poll --------------------------------------------------------------------- */

/* Only ends poll; what is due is found in check. */
static void tick_timer_fired(uv_timer_t *t __attribute__((unused)))
{
}

static void arm_tick_timer(struct loop *l)
{
	int64_t next = wheel_next(&l->wheel);
	int64_t wait_us;

	if (next < 0) {
		uv_timer_stop(&l->tick_timer);
		return;
	}
	wait_us = next * TICK_US - l->config.clock->now(l->config.clock).mono_us;
	uv_timer_start(&l->tick_timer, tick_timer_fired,
	               wait_us > 0 ? (uint64_t)(wait_us + 999) / 1000 : 0, 0);
}

static void run_tasks(struct list *tasks)
{
	struct list *node;

	while ((node = list_take_first(tasks)) != NULL) {
		struct task *t = LIST_ENTRY(node, struct task, node);

		t->run(t);
	}
}

static bool has_tasks(const struct loop *l)
{
	for (unsigned stage = 0; stage < LOOP_STAGE_COUNT; stage++)
		if (!list_is_empty(&l->stages[stage]))
			return true;
	return false;
}

static void no_block_turned(uv_idle_t *i __attribute__((unused)))
{
}

static void on_before_poll(uv_prepare_t *p)
{
	struct loop *l = p->loop->data;

	run_tasks(&l->arming);
	/* In this order, and loop_post in the other: one of the two sees the other. */
	atomic_store(&l->sleeps, true);
	if (has_tasks(l) || atomic_load(&l->mailbox))
		uv_idle_start(&l->no_block, no_block_turned);
	else
		uv_idle_stop(&l->no_block);
	arm_tick_timer(l);
	l->turn_begun = false;
}

/* --- after poll ---------------------------------------------------------------------- */

/* All that were posted by now, the first one posted first. */
static struct message *mailbox_take(struct loop *l)
{
	struct message *stack = atomic_exchange_explicit(&l->mailbox, NULL, memory_order_acquire);
	struct message *queue = NULL;

	while (stack) {
		struct message *m = stack;

		stack = m->next;
		m->next = queue;
		queue = m;
	}
	return queue;
}

static void deliver_messages(struct loop *l)
{
	struct message *queue = mailbox_take(l);

	while (queue) {
		struct message *m = queue;

		queue = m->next; /* before it is delivered: then it is no longer ours */
		m->deliver(m);
	}
}

static void run_stages(struct loop *l)
{
	struct list writes;

	while (!list_is_empty(&l->stages[LOOP_WORK]) || !list_is_empty(&l->stages[LOOP_COMMIT])) {
		run_tasks(&l->stages[LOOP_WORK]);
		run_tasks(&l->stages[LOOP_COMMIT]);
	}
	/* What a write defers is for the next turn, so that sockets are read in between. */
	list_init(&writes);
	list_move_all(&writes, &l->stages[LOOP_WRITE]);
	run_tasks(&writes);
}

static void on_after_poll(uv_check_t *c)
{
	struct loop *l = c->loop->data;

	loop_turn_begin(l);
	deliver_messages(l);
	wheel_advance(&l->wheel, tick_of(l->now));
	run_stages(l);
	if (atomic_load(&l->stop_asked))
		uv_stop(&l->uv);
}

/* Not uv_async: its receiver spins until the sender is out of its call, which takes long when the
 * sender was preempted by the very wake-up. */
static void wake(struct loop *l)
{
	uint64_t one = 1;
	ssize_t got = write(l->wake_fd, &one, sizeof(one));

	CHECK(got == sizeof(one));
}

/* Only ends poll; messages and the wish to stop are found in check. */
static void on_wake(uv_poll_t *p, int status, int events)
{
	struct loop *l = p->loop->data;
	uint64_t count;
	ssize_t got = read(l->wake_fd, &count, sizeof(count));

	(void)status;
	(void)events;
	CHECK(got == sizeof(count));
}

/* --- life ---------------------------------------------------------------------------- */

/* When its table of descriptors cannot grow, which is seldom due, libuv aborts: so memory is waited
 * for. */
static void *realloc_patiently(void *old, size_t size)
{
	const struct timespec pause = {.tv_nsec = 1000000};
	void *grown;

	for (unsigned i = 0; !(grown = realloc(old, size)) && size > 0 && i < MEMORY_TRIES; i++)
		nanosleep(&pause, NULL);
	return grown;
}

struct loop *loop_new(const struct loop_config *config, struct fault *f)
{
	struct loop *l = calloc(1, sizeof(*l));
	int got;

	CHECK(l);
	l->config = *config;
	l->scratch = (struct stream_scratch){malloc(SCRATCH_BYTES), SCRATCH_BYTES};
	CHECK(l->scratch.ptr);
	got = uv_replace_allocator(malloc, realloc_patiently, calloc, free);
	CHECK(got == 0);
	got = uv_loop_init(&l->uv);
	if (got < 0)
		goto free_loop;
	l->uv.data = l;
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	got = l->wake_fd < 0 ? -errno : uv_poll_init(&l->uv, &l->wake, l->wake_fd);
	if (got < 0)
		goto close_wake_fd;
	got = uv_poll_start(&l->wake, UV_READABLE, on_wake);
	CHECK(got == 0);
	uv_prepare_init(&l->uv, &l->before_poll);
	uv_prepare_start(&l->before_poll, on_before_poll);
	uv_check_init(&l->uv, &l->after_poll);
	uv_check_start(&l->after_poll, on_after_poll);
	uv_idle_init(&l->uv, &l->no_block);
	uv_timer_init(&l->uv, &l->tick_timer);
	uv_timer_init(&l->uv, &l->run_timeout);
	for (unsigned stage = 0; stage < LOOP_STAGE_COUNT; stage++)
		list_init(&l->stages[stage]);
	list_init(&l->arming);
	l->now = config->clock->now(config->clock);
	wheel_init(&l->wheel, tick_of(l->now));
	return l;

close_wake_fd:
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	uv_loop_close(&l->uv);
free_loop:
	free(l->scratch.ptr);
	free(l);
	fault_set(f, ERR_INTERNAL, -got, "event loop of shard %u", config->index);
	return NULL;
}

static void close_own_handle(uv_handle_t *handle, void *loop)
{
	struct loop *l = loop;
	char *at = (char *)handle;
	bool own = at >= (char *)l && at < (char *)(l + 1);

	if ((own || handle->type == UV_SIGNAL) && !uv_is_closing(handle))
		uv_close(handle, NULL);
	CHECK(uv_is_closing(handle)); /* a stream or listener was left open */
}

void loop_free(struct loop *l)
{
	int left;

	uv_walk(&l->uv, close_own_handle, l);
	uv_run(&l->uv, UV_RUN_DEFAULT); /* until closed callbacks and work have come */
	left = uv_loop_close(&l->uv);
	CHECK(left == 0);
	close(l->wake_fd);
	free(l->scratch.ptr);
	free(l);
}

static void loop_left(struct loop *l)
{
	l->turn_begun = false;
	atomic_store(&l->stop_asked, false);
}

void loop_run(struct loop *l)
{
	uv_run(&l->uv, UV_RUN_DEFAULT);
	loop_left(l);
}

/* It may fire before poll, which would then block for ever: libuv runs timers first. */
static void run_timeout_fired(uv_timer_t *t)
{
	uv_stop(t->loop);
}

static void run_once(struct loop *l, uint64_t timeout_ms)
{
	uv_update_time(&l->uv);
	uv_timer_start(&l->run_timeout, run_timeout_fired, timeout_ms, 0);
	uv_run(&l->uv, UV_RUN_ONCE);
}

void loop_turn(struct loop *l, int timeout_ms)
{
	run_once(l, (uint64_t)timeout_ms);
	uv_timer_stop(&l->run_timeout);
	loop_left(l);
}

bool loop_run_until(struct loop *l, const bool *until, int timeout_ms)
{
	/* By the system's clock also when the loop's own is a manual one. */
	uint64_t end = uv_hrtime() + (uint64_t)timeout_ms * 1000000;

	while (!*until && !atomic_load(&l->stop_asked)) {
		uint64_t now = uv_hrtime();

		if (now >= end)
			break;
		run_once(l, (end - now) / 1000000 + 1);
	}
	uv_timer_stop(&l->run_timeout);
	loop_left(l);
	return *until;
}

void loop_stop(struct loop *l)
{
	atomic_store(&l->stop_asked, true);
	wake(l);
}

unsigned loop_index(const struct loop *l)
{
	return l->config.index;
}

int64_t loop_clock_us(const struct loop *l)
{
	return l->config.clock->now(l->config.clock).mono_us;
}

struct now loop_now(const struct loop *l)
{
	return l->now;
}

struct log *loop_log(const struct loop *l)
{
	return l->config.log;
}

struct metrics *loop_metrics(const struct loop *l)
{
	return l->config.metrics;
}

struct entropy *loop_entropy(const struct loop *l)
{
	return l->config.entropy;
}

/* --- what is put on it --------------------------------------------------------------- */

void loop_defer(struct loop *l, enum loop_stage stage, struct task *t)
{
	if (!list_is_linked(&t->node))
		list_append(&l->stages[stage], &t->node);
}

void task_cancel(struct task *t)
{
	if (list_is_linked(&t->node))
		list_remove(&t->node);
}

void loop_before_poll(struct loop *l, struct task *t)
{
	if (!list_is_linked(&t->node))
		list_append(&l->arming, &t->node);
}

void timer_start(struct loop *l, struct timer *t, int64_t delay_ms)
{
	/* Between turns `now` is old, and the timer would be early by as much. */
	struct now now = l->turn_begun ? l->now : l->config.clock->now(l->config.clock);

	CHECK(delay_ms >= 0);
	CHECK(delay_ms <= TIMER_DELAY_MS_MAX);
	wheel_start(&l->wheel, t, (now.mono_us + delay_ms * 1000 + TICK_US - 1) / TICK_US);
}

void timer_stop(struct loop *l __attribute__((unused)), struct timer *t)
{
	if (list_is_linked(&t->node))
		list_remove(&t->node);
}

static void post(struct loop *l, struct message *last, struct message *first)
{
	struct message *top = atomic_load_explicit(&l->mailbox, memory_order_relaxed);

	do {
		first->next = top;
	} while (!atomic_compare_exchange_weak(&l->mailbox, &top, last));
	/* A loop that is at work looks before it sleeps: it costs its sender no system call. */
	if (atomic_load(&l->sleeps) && atomic_exchange(&l->sleeps, false))
		wake(l);
}

void loop_post(struct loop *l, struct message *m)
{
	post(l, m, m);
}

void mailbag_put(struct mailbag *bag, struct loop *l, struct message *m)
{
	if (bag->loop != l)
		mailbag_send(bag);
	bag->loop = l;
	m->next = bag->last;
	bag->last = m;
	if (!bag->first)
		bag->first = m;
}

void mailbag_send(struct mailbag *bag)
{
	if (bag->last)
		post(bag->loop, bag->last, bag->first);
	*bag = (struct mailbag){0};
}

static void run_work(uv_work_t *req)
{
	struct work *w = req->data;

	w->run(w);
}

static void work_done(uv_work_t *req, int status __attribute__((unused)))
{
	struct work *w = req->data;

	loop_turn_begin(req->loop->data);
	w->done(w);
}

void loop_work(struct loop *l, struct work *w)
{
	uv_work_t *req = (uv_work_t *)w->handle;
	int got;

	req->data = w;
	got = uv_queue_work(&l->uv, req, run_work, work_done);
	CHECK(got == 0);
}

static void signal_came(uv_signal_t *handle, int signum)
{
	struct signal_watch *w = handle->data;

	loop_turn_begin(handle->loop->data);
	w->came(w, signum);
}

enum err loop_on_signal(struct loop *l, int signum, struct signal_watch *w, struct fault *f)
{
	uv_signal_t *handle = (uv_signal_t *)w->handle;
	int got = uv_signal_init(&l->uv, handle);

	if (got < 0)
		return fault_set(f, ERR_INTERNAL, -got, "watch signal %d", signum);
	handle->data = w;
	got = uv_signal_start(handle, signal_came, signum);
	if (got < 0)
		return fault_set(f, ERR_INTERNAL, -got, "watch signal %d", signum);
	return OK;
}
