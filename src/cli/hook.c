/* bourn hook test FILE: shows one event to a script or shared object, without a broker, and prints
 * what it says as a line of JSON. */
#include "cli/cli.h"

#include "front/event_json.h"
#include "hook/hook.h"
#include "io/file.h"
#include "io/metrics.h"
#include "wire/json.h"
#include "wire/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	EVENT_BYTES = 1 << 20,
	HEADERS_BYTES = 64 << 10,
	LINE_BYTES = 16 << 20,
	OPTION_EVENT = 256,
	OPTION_TOPIC,
	OPTION_POINT,
	OPTION_OPTIONS,
};

struct hook_options {
	const char *action;
	const char *file;
	const char *event;
	const char *topic;
	const char *key;
	const char *hook_options;
	enum bourn_point point;
	struct buf headers; /* encoded */
	uint32_t header_count;
	bool typed; /* a content type was given */
};

static const struct argp_option options[] = {
	{"event", OPTION_EVENT, "FILE", 0, "the event's value, byte for byte; -: stdin", 0},
	{"topic", OPTION_TOPIC, "TOPIC", 0, "that it is in (test)", 0},
	{"point", OPTION_POINT, "POINT", 0, "produce (default) or deliver", 0},
	{"key", 'k', "KEY", 0, "the event's key", 0},
	{"header", 'H', "NAME:VALUE", 0, "a header of the event; may repeat", 0},
	{"options", OPTION_OPTIONS, "JSON", 0, "as in the configuration", 0},
	{0},
};

static void add_header(struct hook_options *o, const char *arg, struct argp_state *state)
{
	struct slice value = slice_str(arg);
	struct slice name = slice_cut(&value, ':');

	if (!value.ptr || name.len == 0)
		argp_error(state, "-H takes NAME:VALUE, not '%s'", arg);
	header_append(&o->headers, name, slice_trim(value));
	o->header_count++;
	o->typed |= slice_eq(name, SLICE_LIT("content-type"));
}

static void set_point(struct hook_options *o, const char *arg, struct argp_state *state)
{
	o->point = point_parse(slice_str(arg));
	if (o->point != BOURN_PRODUCE && o->point != BOURN_DELIVER)
		argp_error(state, "--point is produce or deliver, not '%s'", arg);
}

static void set_hook_options(struct hook_options *o, const char *arg, struct argp_state *state)
{
	struct slice text = slice_str(arg);

	if (!json_validate(text, JSON_DEPTH_MAX, NULL) || json_root(text).kind != JSON_OBJECT)
		argp_error(state, "--options is a JSON object");
	o->hook_options = arg;
}

static void take_word(struct hook_options *o, char *arg, struct argp_state *state)
{
	if (state->arg_num == 0)
		o->action = arg;
	else if (state->arg_num == 1)
		o->file = arg;
	else
		argp_usage(state);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct hook_options *o = state->input;

	switch (key) {
	case OPTION_EVENT: o->event = arg; return 0;
	case OPTION_TOPIC: o->topic = arg; return 0;
	case OPTION_POINT: set_point(o, arg, state); return 0;
	case OPTION_OPTIONS: set_hook_options(o, arg, state); return 0;
	case 'k': o->key = arg; return 0;
	case 'H': add_header(o, arg, state); return 0;
	case ARGP_KEY_ARG: take_word(o, arg, state); return 0;
	case ARGP_KEY_END:
		if (!o->action || strcmp(o->action, "test") != 0)
			argp_error(state, "what to do? test");
		if (!o->file || !o->event)
			argp_error(state, "which hook, and which event? test FILE --event FILE");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "test FILE",
	.doc = "Show one event to a hook (a script in Lua, or a shared object: *.so), without a broker,\n"
	       "and print what it says. Exit codes: 0 it goes on or is dropped, 1 the hook failed, 4 it\n"
	       "was refused.\v"
	       "Examples:\n"
	       "  bourn hook test orders.lua --event order.json --topic orders\n"
	       "  echo '{\"id\":1}' | bourn hook test ./stamp.so --event - --key k\n",
};

/* --- the hook --------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text);

	return len >= strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

static struct hook_spec spec_of(const struct hook_options *o)
{
	struct hook_spec spec;

	hook_spec_init(&spec);
	spec.name = (char *)(uintptr_t) "test";
	spec.type = ends_with(o->file, ".so") ? HOOK_SO : HOOK_LUA;
	spec.path = (char *)(uintptr_t)o->file;
	spec.points = 1u << o->point;
	spec.options = (char *)(uintptr_t)o->hook_options;
	return spec;
}

/* As a WebSocket's message would be typed. */
static const char *type_of(struct slice value)
{
	if (json_validate(value, JSON_DEPTH_MAX, NULL))
		return "application/json";
	return utf8_valid(value) ? "text/plain" : "application/octet-stream";
}

static struct record record_of(struct hook_options *o, const struct buf *value, int64_t now_ms)
{
	if (!o->typed) {
		header_append(&o->headers, SLICE_LIT("content-type"),
		              slice_str(type_of(buf_slice(value))));
		o->header_count++;
	}
	return (struct record){
		.timestamp = now_ms,
		.key = o->key ? slice_str(o->key) : SLICE_NONE,
		.value = value->ptr ? buf_slice(value) : SLICE_LIT(""),
		.headers = buf_slice(&o->headers),
		.header_count = o->header_count,
	};
}

/* --- what it says ----------------------------------------------------------------------------- */

static void append_reason(struct buf *out, struct slice text)
{
	if (text.len == 0 || !utf8_valid(text))
		return;
	buf_append_lit(out, ",\"detail\":");
	json_append_string(out, text);
}

static void append_outcome(const struct hook_options *o, struct hook_run *run, struct record *r,
                           struct buf *out)
{
	const struct refusal *refusal = &run->call.refusal;

	buf_printf(out, "{\"verdict\":\"%s\"", verdict_name(run->verdict));
	if (run->verdict == BOURN_REFUSE)
		buf_printf(out, ",\"status\":%d", refusal->status);
	if (run->verdict == BOURN_REFUSE && refusal->retry_after_s > 0)
		buf_printf(out, ",\"retry_after\":%u", refusal->retry_after_s);
	append_reason(out, run->verdict == BOURN_FAIL ? slice_str(run->why) : refusal->detail);
	if (run->outcome == HOOK_PASSED && call_get_record(&run->call, r)) {
		buf_append_lit(out, ",\"event\":");
		event_json_append(out, r, 0, slice_str(o->topic));
	}
	buf_append_lit(out, "}\n");
}

static int exit_code(enum bourn_verdict verdict)
{
	if (verdict == BOURN_FAIL)
		return CLI_FAILED;
	return verdict == BOURN_REFUSE ? CLI_REFUSED : CLI_OK;
}

static int show(const struct hook_options *o, struct hook_chain *chain, struct record *r,
                int64_t now_ms)
{
	const struct bourn_caller caller = {.bytes = sizeof(caller), .peer = ""};
	struct buf line = BUF_INIT(LINE_BYTES);
	struct hook_run run;

	call_init(&run.call, o->point, &caller, hook_chain_arena(chain));
	run.call.pub.now_ms = now_ms;
	run.call.pub.topic = slice_out(slice_str(o->topic));
	call_set_record(&run.call, r);
	CHECK(hook_run_start(chain, &run)); /* neither kind waits */
	append_outcome(o, &run, r, &line);
	fwrite(line.ptr, 1, line.len, stdout);
	buf_fini(&line);
	return exit_code(run.verdict);
}

static int run_hook(struct hook_options *o, const struct hook_spec *spec, const struct buf *value,
                    struct loop *loop, struct fault *f)
{
	int64_t now_ms = loop_now(loop).wall_ms;
	struct record record = record_of(o, value, now_ms);
	struct hook_set *set;
	struct hooks *hooks;
	int code;

	if (hook_set_load(spec, 1, &set, f) != OK)
		return cli_fail(f);
	if (hooks_new(set, loop, 0, 1, &hooks, f) == OK) {
		code = show(o, hooks_chain(hooks, o->point), &record, now_ms);
		hooks_free(hooks);
	} else {
		code = cli_fail(f);
	}
	hook_set_free(set);
	return code;
}

/* What the hook logs goes to stderr. */
static int test(struct hook_options *o, const struct buf *value)
{
	struct hook_spec spec = spec_of(o);
	struct metrics metrics = {0};
	struct loop_config config = {
		.clock = clock_system(), .entropy = entropy_system(), .metrics = &metrics};
	struct loop *loop;
	struct fault f;
	int code;

	config.log = log_new(STDERR_FILENO, LOG_INFO, false, clock_system());
	loop = loop_new(&config, &f);
	code = loop ? run_hook(o, &spec, value, loop, &f) : cli_fail(&f);
	if (loop)
		loop_free(loop);
	log_free(config.log);
	return code;
}

int cli_hook(int argc, char **argv, const struct cli_parts *parts)
{
	struct hook_options o = {
		.topic = "test", .point = BOURN_PRODUCE, .headers = BUF_INIT(HEADERS_BYTES)};
	struct buf value = BUF_INIT(EVENT_BYTES);
	struct fault f;
	int code;

	(void)parts;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (file_read(strcmp(o.event, "-") == 0 ? "/dev/stdin" : o.event, &value, &f) == OK)
		code = test(&o, &value);
	else
		code = cli_fail(&f);
	buf_fini(&value);
	buf_fini(&o.headers);
	return cli_finish_stdout(code);
}
