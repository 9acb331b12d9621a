/* The least there is: what a call costs. */
#include <bourn/hook.h>

static enum bourn_verdict nothing(void *state, struct bourn_call *call)
{
	(void)state;
	(void)call;
	return BOURN_CONTINUE;
}

const struct bourn_hook bourn_hook = {BOURN_HOOK_HEAD, .produce = nothing};
