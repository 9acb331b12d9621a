#include "cli/cli.h"

#include "base/suggest.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const struct cli_verb verbs[] = {
	{"serve", "run the broker", cli_serve},
	{"produce", "append events to a topic", cli_produce},
	{"consume", "read a topic from any position", cli_consume},
	{"subscribe", "print events as they come", cli_subscribe},
	{"topic", "list, create, describe, empty and delete topics", cli_topic},
	{"backup", "back up all topics while the broker runs", cli_backup},
	{"dump", "write topics and their events to a file", cli_dump},
	{"load", "load what dump wrote", cli_load},
	{"demo", "broker, producer and consumer in one process", cli_demo},
	{"config", "check a configuration file, show the settings", cli_config},
	{"hook", "try a hook on an event, without a broker", cli_hook},
	{"verify", "check every byte of a data directory", cli_verify},
	{"version", "print the version", cli_version},
};

/* Named in the documentation, built later. */
static const char *const verbs_to_come[] = {"group", "bench"};

static atomic_bool stopped;

static void on_signal(int signum)
{
	(void)signum;
	atomic_store(&stopped, true);
}

const atomic_bool *cli_stopped(void)
{
	return &stopped;
}

void cli_catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

/* argp's help in our width, without its note about short options; a user's own wish stands. */
static void set_help_format(void)
{
	setenv("ARGP_HELP_FMT", "rmargin=96,no-dup-args-note", 0);
}

static void print_help(FILE *to)
{
	fputs("bourn: an event broker you can drive with curl\n\n"
	      "usage: bourn VERB [OPTION...]\n\n",
	      to);
	for (size_t i = 0; i < ARRAY_COUNT(verbs); i++)
		fprintf(to, "  %-10s %s\n", verbs[i].name, verbs[i].summary);
	fputs("\n`bourn help VERB` tells more, with examples. First steps:\n\n"
	      "  bourn serve                      in one terminal\n"
	      "  bourn subscribe greetings        in another\n"
	      "  bourn produce greetings hello    in a third\n\n"
	      "Exit codes: 0 ok, 1 failed, 2 usage, 3 server unreachable, 4 refused, 5 not found.\n",
	      to);
}

static const struct cli_verb *verb_of(const char *word)
{
	for (size_t i = 0; i < ARRAY_COUNT(verbs); i++)
		if (strcmp(word, verbs[i].name) == 0)
			return &verbs[i];
	return NULL;
}

static int unknown_verb(const char *word)
{
	const char *names[ARRAY_COUNT(verbs)];
	const char *near;

	for (size_t i = 0; i < ARRAY_COUNT(verbs_to_come); i++) {
		if (strcmp(word, verbs_to_come[i]) == 0) {
			fprintf(stderr, "bourn: 'bourn %s' is not built yet\n", word);
			return CLI_FAILED;
		}
	}
	for (size_t i = 0; i < ARRAY_COUNT(verbs); i++)
		names[i] = verbs[i].name;
	near = suggest(slice_str(word), names, ARRAY_COUNT(verbs));
	fprintf(stderr, "bourn: there is no verb '%s'", word);
	if (near)
		fprintf(stderr, "; did you mean '%s'?\n", near);
	else
		fputs("; see 'bourn help'\n", stderr);
	return CLI_USAGE;
}

static int run_verb(const struct cli_verb *verb, int argc, char **argv,
                    const struct cli_parts *parts)
{
	static char help[] = "--help";
	char name[64];

	snprintf(name, sizeof(name), "bourn %s", verb->name);
	argv[0] = name; /* argp names the program by it */
	if (argc > 1 && !strcmp(argv[1], "-h"))
		argv[1] = help;
	return verb->run(argc, argv, parts);
}

/* bourn help [VERB] */
static int help(int argc, char **argv, const struct cli_parts *parts)
{
	static char flag[] = "--help";

	if (argc > 1 && argv[1][0] != '-') {
		char *words[] = {argv[0], flag, NULL};
		const struct cli_verb *verb = verb_of(argv[1]);

		return verb ? run_verb(verb, 2, words, parts) : unknown_verb(argv[1]);
	}
	print_help(stdout);
	return cli_finish_stdout(CLI_OK);
}

int cli_main(int argc, char **argv, const struct cli_parts *parts)
{
	const struct cli_verb *verb;

	argp_err_exit_status = CLI_USAGE;
	set_help_format();
	signal(SIGPIPE, SIG_IGN);
	if (argc < 2) {
		print_help(stderr);
		return CLI_USAGE;
	}
	if (!strcmp(argv[1], "help") || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))
		return help(argc - 1, argv + 1, parts);
	if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))
		return cli_version(1, argv, parts);
	verb = verb_of(argv[1]);
	return verb ? run_verb(verb, argc - 1, argv + 1, parts) : unknown_verb(argv[1]);
}

int cli_version(int argc, char **argv, const struct cli_parts *parts)
{
	static const struct argp argp = {
		.doc = "Print the version.\vExamples:\n  bourn version\n",
	};

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	printf("bourn %s\n", parts->version);
	return cli_finish_stdout(CLI_OK);
}

int cli_fail(const struct fault *f)
{
	bool is_said = f->code == ERR_INPUT && !f->os_errno; /* the whole of it, in `where` */
	char text[512];

	fprintf(stderr, "bourn: %s\n", is_said ? f->where : fault_text(f, text, sizeof(text)));
	switch (f->code) {
	case ERR_UNREACHABLE:
		fputs("bourn: is it running? 'bourn serve' starts one; --server or BOURN_URL names another\n",
		      stderr);
		return CLI_UNREACHABLE;
	case ERR_REQUEST_SLOW: return CLI_UNREACHABLE;
	case ERR_NOT_FOUND:
	case ERR_TOPIC_UNKNOWN:
	case ERR_TOPIC_GONE:
	case ERR_BACKUP_UNKNOWN:
	case ERR_PARTITION_UNKNOWN: return CLI_NOT_FOUND;
	case ERR_SHUTTING_DOWN: return atomic_load(&stopped) ? CLI_OK : CLI_REFUSED;
	case ERR_NO_MEMORY:
	case ERR_INPUT:
	case ERR_CONFIG: return CLI_FAILED;
	case ERR_IO: return f->os_errno ? CLI_FAILED : CLI_REFUSED; /* here, or there */
	default: return CLI_REFUSED;
	}
}

int cli_finish_stdout(int code)
{
	if (fflush(stdout) != 0 && errno != EPIPE) {
		fprintf(stderr, "bourn: writing to stdout failed: %s\n", strerror(errno));
		return code == CLI_OK ? CLI_FAILED : code;
	}
	return code;
}
