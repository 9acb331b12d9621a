#include "io/wakeup.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { AWAKE, SIGNALLED, ASLEEP };

void wakeup_signal(struct wakeup *w)
{
	if (atomic_exchange(&w->state, SIGNALLED) == ASLEEP)
		syscall(SYS_futex, &w->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

bool wakeup_wait(struct wakeup *w, int64_t timeout_us)
{
	struct timespec timeout = {timeout_us / 1000000, timeout_us % 1000000 * 1000};
	uint32_t state = AWAKE;

	if (atomic_compare_exchange_strong(&w->state, &state, ASLEEP))
		syscall(SYS_futex, &w->state, FUTEX_WAIT_PRIVATE, ASLEEP,
		        timeout_us < 0 ? NULL : &timeout, NULL, 0);
	return atomic_exchange(&w->state, AWAKE) == SIGNALLED;
}
