/* bourn consume and bourn subscribe: the same reading, with other defaults. */
#include "cli/follow.h"

#include "front/position.h"

#include <errno.h>

enum { OPTION_UNTIL_END = 256, OPTION_GROUP };

static const struct argp_option consume_options[] = {
	{"from", 'f', "WHERE", 0, "earliest (default), last, end, an offset, a time, or -10m", 0},
	{"partition", 'p', "N", 0, "only this partition", 0},
	{"count", 'n', "N", 0, "stop after N events", 0},
	{"until-end", OPTION_UNTIL_END, 0, 0, "stop when there are no more events", 0},
	{"group", OPTION_GROUP, "G", OPTION_HIDDEN, NULL, 0},
	{0},
};

static const struct argp_option subscribe_options[] = {
	{"from", 'f', "WHERE", 0, "end (default), earliest, last, an offset, a time, or -10m", 0},
	{"partition", 'p', "N", 0, "only this partition", 0},
	{"count", 'n', "N", 0, "stop after N events", 0},
	{0},
};

/* What the broker would refuse is refused here in the same words, before anything is asked. */
static void set_from(struct follow *f, const char *arg, struct argp_state *state)
{
	struct position position;
	struct fault fault;

	if (position_parse(slice_str(arg), SLICE_NONE, POSITION_END, 0, &position, NULL, &fault))
		argp_error(state, "%s", fault.where);
	f->from = arg;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct follow *f = state->input;

	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = &f->remote; return 0;
	case 'f': set_from(f, arg, state); return 0;
	case 'p':
		if (!slice_to_int64(slice_str(arg), &f->partition) || f->partition < 0)
			argp_error(state, "'%s' is not a partition", arg);
		return 0;
	case 'n':
		if (!slice_to_int64(slice_str(arg), &f->count) || f->count < 0)
			argp_error(state, "--count takes a number, not '%s'", arg);
		return 0;
	case OPTION_UNTIL_END: f->until_end = true; return 0;
	case OPTION_GROUP: argp_error(state, "--group is not built yet"); return EINVAL;
	case ARGP_KEY_ARG:
		if (state->arg_num > 0)
			argp_error(state, "one topic at a time");
		f->topic = arg;
		return 0;
	case ARGP_KEY_END:
		if (!f->topic)
			argp_error(state, "which topic?");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {{&remote_argp, 0, NULL, 0}, {0}};

static const struct argp consume_argp = {
	.options = consume_options,
	.parser = parse_option,
	.args_doc = "TOPIC",
	.doc = "Print the events of a topic from any position, and then those that come.\v"
	       "Examples:\n"
	       "  bourn consume orders --until-end\n"
	       "  bourn consume orders --from -10m -o json\n"
	       "  bourn consume orders --from last --count 1\n"
	       "  bourn consume images --from 3 --count 1 -o raw > photo.jpg\n",
	.children = children,
};

static const struct argp subscribe_argp = {
	.options = subscribe_options,
	.parser = parse_option,
	.args_doc = "TOPIC",
	.doc = "Print events as they come. A topic that does not exist yet is waited for; a\n"
	       "lost connection is taken up again where it broke.\v"
	       "Examples:\n"
	       "  bourn subscribe greetings\n"
	       "  bourn subscribe orders --from earliest -o ndjson | jq .value\n",
	.children = children,
};

int cli_consume(int argc, char **argv, const struct cli_parts *parts)
{
	struct follow f = {.from = "earliest", .partition = -1, .count = -1, .prefix = ""};

	(void)parts;
	remote_options_init(&f.remote);
	argp_parse(&consume_argp, argc, argv, 0, NULL, &f);
	return follow_run(&f);
}

int cli_subscribe(int argc, char **argv, const struct cli_parts *parts)
{
	struct follow f = {.from = "end",
	                   .partition = -1,
	                   .count = -1,
	                   .wait_for_topic = true,
	                   .prefix = "Received: "};

	(void)parts;
	remote_options_init(&f.remote);
	argp_parse(&subscribe_argp, argc, argv, 0, NULL, &f);
	return follow_run(&f);
}
