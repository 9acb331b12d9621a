/* local_broker: a broker in this process, on a free port, for as long as a verb needs one. */
#ifndef BOURN_CLI_LOCAL_BROKER_H
#define BOURN_CLI_LOCAL_BROKER_H

#include "cli/cli.h"

struct local_broker;

/* Serves the data directory `dir`; `engine` NULL: the default one. Returns when it is ready.
 * Errors: as server_new, server_run. */
enum err local_broker_start(const struct cli_parts *parts, const char *dir, const char *engine,
                            struct local_broker **out, struct fault *f) MUST_CHECK;

const char *local_broker_url(const struct local_broker *b);

/* In good order; NULL does nothing. */
void local_broker_stop(struct local_broker *b);

#endif
