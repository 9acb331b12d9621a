/* A hook for every point that is called, which says what `options` name: {"verdict":"stop"}. */
#include <bourn/hook.h>
#include <stdint.h>
#include <string.h>

static const char *const names[] = {"continue", "modify", "stop", "refuse", "fail"};

static int start(const struct bourn_start *start, void **state, char error[256])
{
	(void)error;
	for (uintptr_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strstr(start->options, names[i]))
			*state = (void *)i;
	return 0;
}

static enum bourn_verdict say(void *state, struct bourn_call *call)
{
	enum bourn_verdict verdict = (enum bourn_verdict)(uintptr_t)state;

	if (verdict == BOURN_REFUSE)
		return call->host->refuse(call, 418, "no");
	call->value = BOURN_TEXT("changed");
	return verdict;
}

const struct bourn_hook bourn_hook = {
	BOURN_HOOK_HEAD,
	.start = start,
	.request_received = say,
	.request_executed = say,
	.before_response_send = say,
	.after_response_send = say,
	.connect = say,
	.subscribe = say,
	.produce = say,
	.deliver = say,
};
