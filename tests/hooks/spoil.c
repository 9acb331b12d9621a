/* Changes what it can, then fails. */
#include <bourn/hook.h>

static enum bourn_verdict spoil(void *state, struct bourn_call *call)
{
	(void)state;
	call->value = BOURN_TEXT("spoiled");
	call->host->header_set(call, BOURN_TEXT("spoiled"), BOURN_TEXT("yes"));
	call->host->header_set(call, BOURN_TEXT("said-by"), BOURN_TEXT("spoil"));
	return BOURN_FAIL;
}

const struct bourn_hook bourn_hook = {BOURN_HOOK_HEAD, .produce = spoil};
