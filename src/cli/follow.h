/* follow: read a topic on and on, by long polls that carry a cursor; what `consume` and `subscribe`
 * are made of. Lost connections are taken up again at the cursor: nothing is missed, nothing comes
 * twice. */
#ifndef BOURN_CLI_FOLLOW_H
#define BOURN_CLI_FOLLOW_H

#include "cli/remote.h"

struct follow {
	/* in */
	struct remote_options remote;
	const char *topic;
	const char *from;    /* earliest, last, end, an offset, a time, -10m */
	int64_t partition;   /* -1: all */
	int64_t count;       /* stop after so many; -1: never */
	bool until_end;      /* stop when there is nothing more */
	bool wait_for_topic; /* an unknown topic is waited for */
	const char *prefix;  /* before an event in text */

	/* follow's own */
	struct client *client;
	struct client_response response;
	struct buf cursor; /* empty: start at `from` */
	int64_t printed;
	bool was_connected;
};

/* Returns the exit code. Prints events to stdout, flushed per answer. */
int follow_run(struct follow *f);

#endif
