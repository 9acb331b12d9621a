#include "io/testing/loops_wait.h"

#include "base/check.h"
#include "io/loop_internal.h"

#include <errno.h>
#include <poll.h>

void loops_wait(struct loop *const *loops, unsigned count, int ms)
{
	struct pollfd ready[LOOPS_WAIT_MAX];
	int got;

	CHECK(count <= LOOPS_WAIT_MAX);
	for (unsigned i = 0; i < count; i++)
		ready[i] = (struct pollfd){.fd = uv_backend_fd(&loops[i]->uv), .events = POLLIN};
	got = poll(ready, count, ms);
	CHECK(got >= 0 || errno == EINTR);
}
