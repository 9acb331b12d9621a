/* wakeup: one thread sleeps until another has something for it.
 *
 * Many signal, one waits. A signal that comes while the other is awake is kept and ends its next
 * wait at once; only one that finds it asleep costs a system call. */
#ifndef BOURN_IO_WAKEUP_H
#define BOURN_IO_WAKEUP_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed is ready to use. */
struct wakeup {
	_Atomic uint32_t state;
};

/* Any thread. What was written before is seen by the waiter after its wait. */
void wakeup_signal(struct wakeup *w);

/* The one waiting thread: until a signal came since the last wait, or `timeout_us` passed (< 0: no
 * limit). Returns whether there was a signal; may also return false early. */
bool wakeup_wait(struct wakeup *w, int64_t timeout_us);

#endif
