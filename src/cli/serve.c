/* bourn serve: configuration from file, environment and flags, then the broker until SIGTERM. */
#include "cli/cli.h"

#include "cli/units.h"
#include "server/server.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct serve_flag {
	const char *setting;
	const char *value;
};

enum {
	FLAGS_MAX = 32,
	OPTION_HOST = 256,
	OPTION_SHARDS,
	OPTION_STORAGE,
	OPTION_DURABILITY,
	OPTION_LOG,
	OPTION_SET
};

struct serve_options {
	const char *file; /* NULL: ./bourn.yaml if there is one */
	struct serve_flag flags[FLAGS_MAX];
	size_t flag_count;
	char texts[FLAGS_MAX][256]; /* names cut from --set */
};

static const struct argp_option options[] = {
	{"config", 'c', "FILE", 0, "settings (./bourn.yaml if it is there)", 0},
	{"host", OPTION_HOST, "HOST", 0, "listen on this address (localhost)", 0},
	{"port", 'p', "PORT", 0, "listen on this port (3030); 0: any free one", 0},
	{"data", 'd', "DIR", 0, "data directory (./data)", 0},
	{"shards", OPTION_SHARDS, "N", 0, "event loops (auto: one a core)", 0},
	{"storage", OPTION_STORAGE, "TYPE", 0, "engine (log)", 0},
	{"durability", OPTION_DURABILITY, "CLASS", 0, "of new topics: commit, interval, os, none",
         0},
	{"log-level", OPTION_LOG, "LEVEL", 0, "debug, info, warn, error, off", 0},
	{"set", OPTION_SET, "NAME=VALUE", 0, "any setting, as limits.idle_timeout=30s", 0},
	{0},
};

static void add_flag(struct serve_options *o, const char *setting, const char *value,
                     struct argp_state *state)
{
	if (o->flag_count == FLAGS_MAX)
		argp_error(state, "more than %d flags", FLAGS_MAX);
	o->flags[o->flag_count++] = (struct serve_flag){setting, value};
}

static void add_setting(struct serve_options *o, char *arg, struct argp_state *state)
{
	const char *equals = strchr(arg, '=');
	char *name = o->texts[o->flag_count < FLAGS_MAX ? o->flag_count : 0];

	if (!equals || equals == arg || equals - arg >= (long)sizeof(o->texts[0]))
		argp_error(state, "--set takes NAME=VALUE, not '%s'", arg);
	snprintf(name, sizeof(o->texts[0]), "%.*s", (int)(equals - arg), arg);
	add_flag(o, name, equals + 1, state);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct serve_options *o = state->input;

	switch (key) {
	case 'c': o->file = arg; return 0;
	case OPTION_HOST: add_flag(o, "server.host", arg, state); return 0;
	case 'p': add_flag(o, "server.port", arg, state); return 0;
	case 'd': add_flag(o, "storage.path", arg, state); return 0;
	case OPTION_SHARDS: add_flag(o, "server.shards", arg, state); return 0;
	case OPTION_STORAGE: add_flag(o, "storage.type", arg, state); return 0;
	case OPTION_DURABILITY: add_flag(o, "storage.durability", arg, state); return 0;
	case OPTION_LOG: add_flag(o, "log.level", arg, state); return 0;
	case OPTION_SET: add_setting(o, arg, state); return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.doc = "Run the broker until SIGINT or SIGTERM. A flag beats the environment\n"
	       "(BOURN_SERVER_PORT), which beats the file, which beats the default.\v"
	       "Examples:\n"
	       "  bourn serve\n"
	       "  bourn serve --port 8080 --data /var/lib/bourn\n"
	       "  bourn serve --config /etc/bourn.yaml --set limits.idle_timeout=30s\n"
	       "\n"
	       "'bourn config show' lists every setting.\n",
};

static void warn(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "bourn: warning: %s\n", text);
}

static enum err load_config(struct config *c, const struct serve_options *o, struct fault *f)
{
	enum err err = OK;

	if (o->file || access("bourn.yaml", F_OK) == 0)
		err = config_read_file(c, o->file ? o->file : "bourn.yaml", warn, NULL, f);
	if (err == OK)
		err = config_read_environment(c, (const char *const *)environ, f);
	return err;
}

static enum err apply_flags(struct config *c, const struct serve_options *o, struct fault *f)
{
	enum err err = OK;

	for (size_t i = 0; i < o->flag_count && err == OK; i++)
		err = config_set(c, o->flags[i].setting, o->flags[i].value, f);
	return err;
}

struct announcement {
	const struct config *config;
	const char *version;
};

static void announce(void *arg, struct server *s)
{
	const struct announcement *a = arg;
	const char *host = a->config->server.host;
	bool bracketed = strchr(host, ':') != NULL;
	unsigned shards = server_shard_count(s);

	fprintf(stderr,
	        "bourn %s listening on http://%s%s%s:%u (engine %s, data in %s, %u shard%s)\n",
	        a->version, bracketed ? "[" : "", host, bracketed ? "]" : "", server_port(s),
	        a->config->storage.type, a->config->storage.path, shards, units_plural(shards));
}

static int fail(const struct fault *f)
{
	char text[512];

	if (f->code == ERR_CONFIG)
		fprintf(stderr, "bourn: %s\n", f->where);
	else
		fprintf(stderr, "bourn: %s\n", fault_text(f, text, sizeof(text)));
	return CLI_FAILED;
}

static enum err serve(const struct server_parts *parts, struct fault *f)
{
	struct server *s;
	enum err err;

	umask(S_IRWXG | S_IRWXO); /* also of files that a library makes */
	err = server_new(parts, &s, f);
	if (err)
		return err;
	err = server_run(s, f);
	server_free(s);
	return err;
}

int cli_serve(int argc, char **argv, const struct cli_parts *parts)
{
	struct serve_options o = {0};
	struct config c;
	struct announcement announcement = {.config = &c, .version = parts->version};
	struct server_parts server_parts = {.config = &c,
	                                    .version = parts->version,
	                                    .engines = parts->engines,
	                                    .disk = parts->disk,
	                                    .catch_signals = true,
	                                    .ready = announce,
	                                    .ready_arg = &announcement};
	struct fault f = {0};
	int code = CLI_OK;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	config_init(&c);
	if (load_config(&c, &o, &f) != OK) {
		code = fail(&f);
	} else if (apply_flags(&c, &o, &f) != OK) {
		(void)fail(&f);
		code = CLI_USAGE;
	} else if (serve(&server_parts, &f) != OK) {
		code = fail(&f);
	}
	config_fini(&c);
	return code;
}
