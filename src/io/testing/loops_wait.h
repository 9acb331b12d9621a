/* loops_wait: several loops run by one thread. Whoever turns them one after the other must not
 * sleep in one of them while another has something to do. Only for tests. */
#ifndef BOURN_IO_TESTING_LOOPS_WAIT_H
#define BOURN_IO_TESTING_LOOPS_WAIT_H

struct loop;

enum { LOOPS_WAIT_MAX = 16 };

/* Sleep until the kernel or another thread has something for one of the first `count` (at most
 * LOOPS_WAIT_MAX), or for `ms`; timers and deferred tasks of theirs do not end it. */
void loops_wait(struct loop *const *loops, unsigned count, int ms);

#endif
