/* bourn config check|show. */
#include "cli/cli.h"

#include "hook/hook.h"
#include "server/config.h"

#include <stdio.h>
#include <unistd.h>

enum { OPTION_DEFAULTS = 256 };

struct config_options {
	const char *action;
	const char *file;
	bool defaults;
};

static const struct argp_option options[] = {
	{"defaults", OPTION_DEFAULTS, 0, 0, "show: the defaults, whatever file and environment say",
         0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct config_options *o = state->input;

	switch (key) {
	case OPTION_DEFAULTS: o->defaults = true; return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			o->action = arg;
		else if (state->arg_num == 1)
			o->file = arg;
		else
			argp_usage(state);
		return 0;
	case ARGP_KEY_END:
		if (!o->action || (strcmp(o->action, "check") && strcmp(o->action, "show")))
			argp_error(state, "%s%s%scheck or show", o->action ? "'" : "what to do? ",
			           o->action ? o->action : "", o->action ? "' is not " : "");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "check [FILE]\nshow [FILE]",
	.doc = "Check a configuration file (./bourn.yaml), or show all settings in force.\v"
	       "Examples:\n"
	       "  bourn config check /etc/bourn.yaml\n"
	       "  bourn config show --defaults > bourn.yaml\n",
};

static void warn(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "bourn: warning: %s\n", text);
}

static int fail(const struct fault *f)
{
	fprintf(stderr, "bourn: %s\n", f->where);
	return CLI_FAILED;
}

static void show(const struct config *c)
{
	struct buf text = BUF_INIT(1 << 20);

	config_show(c, true, &text);
	fwrite(text.ptr, 1, text.len, stdout);
	buf_fini(&text);
}

static enum err load(const struct config_options *o, struct config *c, struct fault *f)
{
	enum err err = OK;

	if (o->defaults)
		return OK;
	if (o->file || access("bourn.yaml", F_OK) == 0)
		err = config_read_file(c, o->file ? o->file : "bourn.yaml", warn, NULL, f);
	else if (strcmp(o->action, "check") == 0)
		return fault_set(f, ERR_CONFIG, 0,
		                 "there is no ./bourn.yaml to check; name a file");
	if (err == OK)
		err = config_read_environment(c, (const char *const *)environ, f);
	return err;
}

/* Does each hook load and run? */
static enum err check_hooks(const struct config *c, struct fault *f)
{
	struct hook_set *set;
	enum err err = hook_set_load(c->hooks.specs, c->hooks.count, &set, f);

	if (err)
		return err;
	err = hook_set_check(set, f);
	hook_set_free(set);
	return err;
}

int cli_config(int argc, char **argv, const struct cli_parts *parts)
{
	struct config_options o = {0};
	struct config c;
	struct fault f = {0};
	const struct store_ops *engine;
	int code = CLI_OK;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	config_init(&c);
	if (load(&o, &c, &f) != OK ||
	    store_registry_choose(parts->engines, c.storage.type, &engine, &f) != OK)
		code = fail(&f);
	else if (strcmp(o.action, "show") == 0)
		show(&c);
	else if (check_hooks(&c, &f) != OK)
		code = fail(&f);
	else
		fputs("bourn: the configuration is fine\n", stderr);
	config_fini(&c);
	return cli_finish_stdout(code);
}
