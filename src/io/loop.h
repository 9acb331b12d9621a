/* loop: one thread's event loop, and what a shard's code needs of time and of other threads.
 *
 * One turn:
 *   1. the kernel says which descriptors are ready; their callbacks run (they read all that came);
 *   2. messages from other threads and due timers are delivered;
 *   3. deferred tasks run, by stage: WORK (completions, state machines) until none is left, then
 *      COMMIT (seal this turn's batches, hand the group to the store), then WORK again as long as
 *      COMMIT made some, last WRITE (one write per socket that has output). What a WRITE defers
 *      runs in the next turn, which then does not wait for the kernel.
 * `loop_now` is read once, when step 1 begins, and stands still for the whole turn.
 *
 * Everything here is for the loop's own thread, except messages and loop_stop. */
#ifndef BOURN_IO_LOOP_H
#define BOURN_IO_LOOP_H

#include "base/err.h"
#include "base/list.h"
#include "io/clock.h"

#include <stdbool.h>
#include <stdint.h>

struct loop;
struct log;
struct metrics;

/* What a loop and all on it stand on; borrowed, must outlive the loop. */
struct loop_config {
	unsigned index; /* the shard's number, from 0 */
	struct clock *clock;
	struct entropy *entropy;
	struct log *log;         /* io/log.h */
	struct metrics *metrics; /* io/metrics.h; this shard's own */
};

/* Returns NULL and fills `f` when the system gives no descriptors. */
struct loop *loop_new(const struct loop_config *config, struct fault *f);

/* All streams and listeners on the loop must be closed before (their `closed` may still come in
 * here, as may `done` of work under way). Messages and tasks still queued are dropped. */
void loop_free(struct loop *l);

/* Runs until loop_stop, then returns. Binds the loop to the calling thread. */
void loop_run(struct loop *l);

/* For tests and tools: run turns until `*until` is true; never blocks longer than `timeout_ms` in
 * all. Returns `*until`. */
bool loop_run_until(struct loop *l, const bool *until, int timeout_ms);

/* One turn by who has several loops to turn: waits for something to do for `timeout_ms` at the
 * most. */
void loop_turn(struct loop *l, int timeout_ms);

/* Any thread, also a signal handler: the loop returns from loop_run after this turn. */
void loop_stop(struct loop *l);

unsigned loop_index(const struct loop *l);
struct now loop_now(const struct loop *l);
/* The monotonic clock at this very moment, us: to see how long something took inside a turn. */
int64_t loop_clock_us(const struct loop *l);
struct log *loop_log(const struct loop *l);
struct metrics *loop_metrics(const struct loop *l);
struct entropy *loop_entropy(const struct loop *l);

/* --- deferred tasks ------------------------------------------------------------------ */

enum loop_stage { LOOP_WORK, LOOP_COMMIT, LOOP_WRITE, LOOP_STAGE_COUNT };

struct task {
	struct list node;
	void (*run)(struct task *t); /* the task is unlinked before; it may defer itself again */
};

/* Run `t` later in this turn (or at the end of the next one, when called between turns). Does
 * nothing when it is queued already. */
void loop_defer(struct loop *l, enum loop_stage stage, struct task *t);

/* Take it back; does nothing when it is not queued. */
void task_cancel(struct task *t);

/* --- timers: a wheel, a tick of 4 ms, never early ------------------------------------ */

struct timer {
	struct list node;
	int64_t due_tick;              /* the wheel's own */
	void (*fire)(struct timer *t); /* stopped before; may start itself again */
};

#define TIMER_DELAY_MS_MAX (49LL * 24 * 3600 * 1000)

/* (Re)start; O(1). 0 <= delay_ms <= TIMER_DELAY_MS_MAX. Fires on a later tick, so in a later
 * turn. */
void timer_start(struct loop *l, struct timer *t, int64_t delay_ms);
void timer_stop(struct loop *l, struct timer *t);
static inline bool timer_is_running(const struct timer *t)
{
	return list_is_linked(&t->node);
}

/* --- messages: work that moves to another shard -------------------------------------- */

/* Embedded in the request it moves, so posting allocates nothing and cannot fail; from loop_post
 * until deliver() the whole request belongs to the receiver. */
struct message {
	struct message *next;               /* the mailbox's own */
	void (*deliver)(struct message *m); /* on the receiving loop's thread */
};

/* Any thread. Messages of one sender arrive in the order posted. */
void loop_post(struct loop *l, struct message *m);

/* Messages to be posted at once, so that a loop which sleeps is woken when all are there and deals
 * with them in one turn. Zeroed is empty. */
struct mailbag {
	struct loop *loop; /* whose they are */
	struct message *first, *last;
};

/* Behind those that are in it; if those are another loop's they are sent first. */
void mailbag_put(struct mailbag *bag, struct loop *l, struct message *m);

/* Post them, if there are any. Any thread, as long as it is one at a time. */
void mailbag_send(struct mailbag *bag);

/* --- work off the loop --------------------------------------------------------------- */

/* One blocking job for the small worker pool. */
struct work {
	void (*run)(struct work *w);  /* on a worker thread */
	void (*done)(struct work *w); /* then, on the loop's thread, exactly once */
	void *handle[16];             /* the loop's own: a uv_work_t */
};

void loop_work(struct loop *l, struct work *w);

/* --- signals ------------------------------------------------------------------------- */

/* Zeroed but for `came`; must stay until loop_free has returned. */
struct signal_watch {
	void (*came)(struct signal_watch *w, int signum); /* on the loop's thread, in step 1 */
	void *handle[20];                                 /* the loop's own: a uv_signal_t */
};

/* Have the process's `signum` told to `w` from now on, instead of what it does by default. */
enum err loop_on_signal(struct loop *l, int signum, struct signal_watch *w,
                        struct fault *f) MUST_CHECK;

#endif
