/* The inside of a loop, for the files of io/ that put handles on it; the only header that knows
 * libuv.
 *
 * A turn is one pass of libuv: prepare → poll → check → closing. Readiness, finished work and
 * signals are called back in poll; everything else runs in check, so `now` is taken by whichever
 * of them comes first (loop_turn_begin) and deferred tasks run after all of them. What a closing
 * callback defers waits in its queue: prepare sees it and keeps poll from blocking. */
#ifndef BOURN_IO_LOOP_INTERNAL_H
#define BOURN_IO_LOOP_INTERNAL_H

#include "io/loop.h"
#include "io/stream.h"
#include "io/wheel.h"

#include <stdatomic.h>
#include <uv.h>

struct loop {
	uv_loop_t uv; /* its `data` is the loop */
	struct loop_config config;

	struct now now;
	bool turn_begun; /* `now` is of this turn; false from prepare on */

	uv_prepare_t before_poll;
	uv_check_t after_poll;
	uv_idle_t no_block;     /* active: tasks wait, poll must not block */
	uv_timer_t tick_timer;  /* ends poll when the wheel has something to do */
	uv_timer_t run_timeout; /* of loop_run_until */
	uv_poll_t wake;         /* ends poll from other threads: */
	int wake_fd;            /* an eventfd */

	atomic_bool stop_asked;
	atomic_bool sleeps;                /* or is about to: whoever posts has to end poll */
	_Atomic(struct message *) mailbox; /* a stack: the last one posted on top */
	struct wheel wheel;
	struct list stages[LOOP_STAGE_COUNT]; /* struct task */
	struct list arming;                   /* struct task: run right before poll */

	struct stream_scratch scratch; /* owned */
};

/* To be called first by every callback that libuv runs in poll. */
void loop_turn_begin(struct loop *l);

/* Run `t` once, right before the loop polls next. It must not defer tasks. */
void loop_before_poll(struct loop *l, struct task *t);

#endif
