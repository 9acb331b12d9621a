/* A hook that does what the event says, for the tests of all others:
 *
 *	"modify …"   "stop"   "refuse"   "busy"   "fail"   "garbage"   "bad json"   "header"
 *
 * and marks each event that it changes with the header "said-by", or whatever `options` hold. */
#include <bourn/hook.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct say {
	char options[256];
	unsigned calls;
};

static int is(const struct bourn_call *call, const char *word)
{
	size_t len = strlen(word);

	return call->value.len >= len && memcmp(call->value.ptr, word, len) == 0;
}

static struct bourn_slice text(const char *s)
{
	return (struct bourn_slice){(const uint8_t *)s, strlen(s)};
}

/* The value, with "<" and ">" around it. */
static enum bourn_verdict wrap(struct bourn_call *call)
{
	uint8_t *made = call->host->alloc(call, call->value.len + 2);

	if (!made)
		return BOURN_FAIL;
	made[0] = '<';
	memcpy(made + 1, call->value.ptr, call->value.len);
	made[call->value.len + 1] = '>';
	call->value = (struct bourn_slice){made, call->value.len + 2};
	return BOURN_MODIFY;
}

static enum bourn_verdict say(void *state, struct bourn_call *call)
{
	struct say *s = state;

	s->calls++;
	if (is(call, "stop"))
		return BOURN_STOP;
	if (is(call, "refuse"))
		return call->host->refuse(call, 422, "no id");
	if (is(call, "busy")) {
		call->host->retry_after(call, 7);
		return call->host->refuse(call, 429, "too fast");
	}
	if (is(call, "fail")) {
		call->value = text("never to be seen");
		call->host->header_set(call, BOURN_TEXT("never"), BOURN_TEXT("seen"));
		return BOURN_FAIL;
	}
	if (is(call, "garbage"))
		return (enum bourn_verdict)77;
	if (is(call, "odd status"))
		return call->host->refuse(call, 200, "fine");
	if (is(call, "not kept")) {
		call->value = text("never to be seen");
		return BOURN_CONTINUE;
	}
	if (is(call, "key")) {
		call->key = text("made");
		return BOURN_MODIFY;
	}
	if (is(call, "\"bad json\"")) {
		call->value = text("{");
		return BOURN_MODIFY;
	}
	call->host->header_set(call, BOURN_TEXT("said-by"), text(s->options));
	if (is(call, "modify") || is(call, "<"))
		return wrap(call);
	return is(call, "header") ? BOURN_MODIFY : BOURN_CONTINUE;
}

static int start(const struct bourn_start *start, void **state, char error[256])
{
	struct say *s;

	if (strstr(start->options, "unwilling")) {
		snprintf(error, 256, "unwilling to start");
		return 1;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return 1;
	snprintf(s->options, sizeof(s->options), "%s", start->options);
	*state = s;
	return 0;
}

static void stop(void *state)
{
	free(state);
}

const struct bourn_hook bourn_hook = {BOURN_HOOK_HEAD, .start = start, .stop = stop,
                                      .produce = say};
