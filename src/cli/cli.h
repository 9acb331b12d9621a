/* cli: the command `bourn`. One file a verb, one row a verb in cli.c, one exit code a kind of end.
 *
 * stdout carries data only; everything said to the person goes to stderr. */
#ifndef BOURN_CLI_CLI_H
#define BOURN_CLI_CLI_H

#include "base/err.h"
#include "store/store.h"

#include <argp.h>
#include <stdatomic.h>

enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_UNREACHABLE = 3,
	CLI_REFUSED = 4,
	CLI_NOT_FOUND = 5,
};

/* What the program is made of; the test binary brings other engines and disks. */
struct cli_parts {
	const char *version;
	const struct store_registry *engines;
	struct disk *disk;
};

/* The whole program; returns its exit code. */
int cli_main(int argc, char **argv, const struct cli_parts *parts);

struct cli_verb {
	const char *name;
	const char *summary; /* one line of `bourn help` */
	int (*run)(int argc, char **argv,
	           const struct cli_parts *parts); /* argv[0] is "bourn VERB" */
};

int cli_serve(int argc, char **argv, const struct cli_parts *parts);
int cli_produce(int argc, char **argv, const struct cli_parts *parts);
int cli_consume(int argc, char **argv, const struct cli_parts *parts);
int cli_subscribe(int argc, char **argv, const struct cli_parts *parts);
int cli_topic(int argc, char **argv, const struct cli_parts *parts);
int cli_backup(int argc, char **argv, const struct cli_parts *parts);
int cli_dump(int argc, char **argv, const struct cli_parts *parts);
int cli_load(int argc, char **argv, const struct cli_parts *parts);
int cli_demo(int argc, char **argv, const struct cli_parts *parts);
int cli_config(int argc, char **argv, const struct cli_parts *parts);
int cli_hook(int argc, char **argv, const struct cli_parts *parts);
int cli_verify(int argc, char **argv, const struct cli_parts *parts);
int cli_version(int argc, char **argv, const struct cli_parts *parts);

/* --- for verbs -------------------------------------------------------------------------------- */

/* Set by SIGINT and SIGTERM after cli_catch_signals: finish, flush, exit 0. */
const atomic_bool *cli_stopped(void);
void cli_catch_signals(void);

/* "bourn: <text>" to stderr, and the exit code that belongs to the fault. */
int cli_fail(const struct fault *f);

/* Flush stdout; CLI_FAILED when it could not be written (a full disk; a closed pipe is no
 * error). */
int cli_finish_stdout(int code);

#endif
