#include "cli/retry.h"

#include "cli/cli.h"

#include <stdio.h>
#include <time.h>

enum {
	PAUSE_MS_MIN = 100,
	PAUSE_MS_MAX = 2000,
};

void retry_answered(struct retry *r)
{
	if (r->next_ms)
		fprintf(stderr, "bourn: connected to %s%s\n", r->server,
		        r->was_connected ? " again" : "");
	r->was_connected = true;
	r->next_ms = 0;
}

static bool will_pass(const struct retry *r, enum err err)
{
	switch (err) {
	case ERR_UNREACHABLE:
	case ERR_REQUEST_SLOW: return r->was_connected || r->first_too;
	case ERR_BUSY:
	case ERR_NO_MEMORY: return r->was_connected;
	case ERR_NOT_READY:
	case ERR_SHUTTING_DOWN: return true;
	default: return false;
	}
}

bool retry_again(struct retry *r, enum err err)
{
	struct timespec pause;

	if (!will_pass(r, err))
		return false;
	if (atomic_load(cli_stopped()))
		return true; /* it was we who ended it */
	if (r->next_ms == 0) {
		r->next_ms = PAUSE_MS_MIN;
		if (r->was_connected)
			fprintf(stderr, "bourn: connection to %s lost; trying again\n", r->server);
		else
			fprintf(stderr, "bourn: %s: %s; waiting\n", r->server, err_text(err));
	}
	pause = (struct timespec){r->next_ms / 1000, r->next_ms % 1000 * 1000000};
	nanosleep(&pause, NULL);
	r->next_ms = r->next_ms * 2 < PAUSE_MS_MAX ? r->next_ms * 2 : PAUSE_MS_MAX;
	return true;
}
