/* retry: what a verb does about a broker that is away: pauses that grow from 100 ms to 2 s, and a
 * line on stderr for the loss and one for the return. */
#ifndef BOURN_CLI_RETRY_H
#define BOURN_CLI_RETRY_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct retry {
	const char *server; /* its URL; borrowed */
	bool first_too;     /* also wait for a broker that was not there to begin with */
	bool was_connected; /* it has answered once */
	int64_t next_ms;    /* the pause before the next attempt; 0: nothing is lost */
};

/* The broker has answered. */
void retry_answered(struct retry *r);

/* An attempt ended with `err`. True after a pause, which a signal ends early: try again. False:
 * that would not help. */
bool retry_again(struct retry *r, enum err err);

#endif
