/* bourn topic: list, create, describe, set, purge, delete. */
#include "cli/remote.h"

#include "wire/json.h"

#include <errno.h>
#include <stdio.h>

struct topic_options {
	struct remote_options remote;
	const char *action;
	const char *topic;
	int64_t partitions;  /* 0: the broker's default */
	struct buf settings; /* inside of a JSON object */
};

static const struct argp_option options[] = {
	{"partitions", 'p', "N", 0, "create: how many (the broker's default)", 0},
	{"set", 'c', "NAME=VALUE", 0, "create, set: a setting, as retention.bytes=1000000", 0},
	{0},
};

static void add_setting(struct topic_options *o, const char *arg, struct argp_state *state)
{
	struct slice value = slice_str(arg);
	struct slice name = slice_cut(&value, '=');
	int64_t number;

	if (!value.ptr || name.len == 0)
		argp_error(state, "--set takes NAME=VALUE, not '%s'", arg);
	if (o->settings.len)
		buf_append_lit(&o->settings, ",");
	json_append_string(&o->settings, name);
	buf_append_lit(&o->settings, ":");
	if (slice_to_int64(value, &number))
		buf_append_int64(&o->settings, number);
	else
		json_append_string(&o->settings, value);
}

static const struct action {
	const char *name;
	const char *method;
	bool needs_topic;
	bool has_body;
	const char *suffix;
} actions[] = {
	{"list", "GET", false, false, ""},        {"create", "PUT", true, true, ""},
	{"describe", "GET", true, false, ""},     {"set", "PATCH", true, true, ""},
	{"purge", "POST", true, false, "/purge"}, {"delete", "DELETE", true, false, ""},
};

static const struct action *action_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_COUNT(actions); i++)
		if (strcmp(name, actions[i].name) == 0)
			return &actions[i];
	return NULL;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct topic_options *o = state->input;
	const struct action *action;

	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = &o->remote; return 0;
	case 'p':
		if (!slice_to_int64(slice_str(arg), &o->partitions) || o->partitions < 1)
			argp_error(state, "--partitions takes a number from 1, not '%s'", arg);
		return 0;
	case 'c': add_setting(o, arg, state); return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			o->action = arg;
		else if (state->arg_num == 1)
			o->topic = arg;
		else
			argp_usage(state);
		return 0;
	case ARGP_KEY_END:
		action = o->action ? action_of(o->action) : NULL;
		if (!action)
			argp_error(state,
			           "what to do? list, create, describe, set, purge or delete");
		else if (action->needs_topic && !o->topic)
			argp_error(state, "which topic?");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {{&remote_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "list\ncreate TOPIC\ndescribe TOPIC\nset TOPIC\npurge TOPIC\ndelete TOPIC",
	.doc = "Look after topics.\v"
	       "Examples:\n"
	       "  bourn topic create orders --partitions 4 --set retention.bytes=1000000000\n"
	       "  bourn topic list\n"
	       "  bourn topic describe orders -o json\n"
	       "  bourn topic set orders --set durability=os\n"
	       "  bourn topic purge orders      empties it; offsets go on\n"
	       "  bourn topic delete orders\n",
	.children = children,
};

static void print_string(struct json_value value)
{
	struct buf text = BUF_INIT(64 << 10);

	if (value.kind == JSON_STRING) {
		json_string_decode(value.raw, &text);
		printf("%.*s", SLICE_FMT(buf_slice(&text)));
	} else {
		printf("%.*s", SLICE_FMT(value.raw));
	}
	buf_fini(&text);
}

/* {"topics":[{"name":…,"partitions":…},…]}: a name a line. */
static void print_list(struct slice body)
{
	struct json_value list, topic, name;
	struct json_iter it;
	struct slice key;

	if (!json_object_get(json_root(body), "topics", &list) || list.kind != JSON_ARRAY)
		return;
	json_iter_init(&it, list);
	while (json_iter_next(&it, &key, &topic)) {
		if (topic.kind == JSON_OBJECT && json_object_get(topic, "name", &name))
			print_string(name);
		else
			print_string(topic);
		putchar('\n');
	}
}

/* A member a line, what is nested as it stands. */
static void print_members(struct slice body)
{
	struct json_value value;
	struct json_iter it;
	struct slice key;

	json_iter_init(&it, json_root(body));
	while (json_iter_next(&it, &key, &value)) {
		printf("%-12.*s ", (int)key.len - 2, (const char *)key.ptr + 1);
		print_string(value);
		putchar('\n');
	}
}

static void print_answer(const struct topic_options *o, struct slice body)
{
	body = slice_trim(body);
	if (body.len == 0)
		return;
	if (o->remote.output != OUTPUT_TEXT || !json_validate(body, JSON_DEPTH_MAX, NULL) ||
	    json_root(body).kind != JSON_OBJECT)
		printf("%.*s\n", SLICE_FMT(body));
	else if (strcmp(o->action, "list") == 0)
		print_list(body);
	else
		print_members(body);
}

static enum err run(const struct topic_options *o, struct client *c, struct fault *f)
{
	const struct action *action = action_of(o->action);
	struct buf path = BUF_INIT(2048), body = BUF_INIT(64 << 10);
	struct client_request request = {.method = action->method};
	struct client_response response;
	enum err err;

	client_response_init(&response);
	if (o->topic)
		remote_path(&path, "v1/topics", o->topic);
	else
		buf_append_lit(&path, "/v1/topics");
	buf_append_str(&path, action->suffix);
	if (action->has_body) {
		buf_append_lit(&body, "{");
		if (o->partitions)
			buf_printf(&body, "\"partitions\":%lld%s", (long long)o->partitions,
			           o->settings.len ? "," : "");
		if (o->settings.len) {
			buf_append_lit(&body, "\"settings\":{");
			buf_append_slice(&body, buf_slice(&o->settings));
			buf_append_lit(&body, "}");
		}
		buf_append_lit(&body, "}");
		request.fields = SLICE_LIT("Content-Type: application/json\r\n");
		request.body = buf_slice(&body);
	} else if (strcmp(action->method, "POST") == 0) {
		request.body = SLICE_LIT("");
	}
	request.path = buf_slice(&path);
	err = remote_call(c, &request, &response, f);
	if (err == OK)
		print_answer(o, buf_slice(&response.body));
	client_response_fini(&response);
	buf_fini(&path);
	buf_fini(&body);
	return err;
}

int cli_topic(int argc, char **argv, const struct cli_parts *parts)
{
	struct topic_options o = {.settings = BUF_INIT(16 << 10)};
	struct client *c = NULL;
	struct fault f;
	enum err err;

	(void)parts;
	remote_options_init(&o.remote);
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	err = client_new(o.remote.server, NULL, &c, &f);
	if (err == OK)
		err = run(&o, c, &f);
	client_free(c);
	buf_fini(&o.settings);
	return cli_finish_stdout(err ? cli_fail(&f) : CLI_OK);
}
