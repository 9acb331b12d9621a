/* bourn topic: list, create, describe, alter, purge, delete. */
#include "cli/remote.h"
#include "cli/topic_text.h"

#include "wire/json.h"
#include "wire/url.h"

#include <errno.h>
#include <stdio.h>

struct topic_options {
	struct remote_options remote;
	const char *action;
	const char *topic;
	int64_t partitions;  /* 0: the broker's default */
	struct buf settings; /* inside of a JSON object */
};

enum { OPTION_JSON = 256 };

static const struct argp_option options[] = {
	{"partitions", 'p', "N", 0,
         "create: how many (the broker's default); alter: more than there are", 0},
	{"set", 'c', "NAME=VALUE", 0, "create, alter: a setting, as retention.bytes=1000000", 0},
	{"json", OPTION_JSON, NULL, 0, "as the broker says it: -o json", 0},
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
	{"describe", "GET", true, false, ""},     {"alter", "PATCH", true, true, ""},
	{"set", "PATCH", true, true, ""}, /* what alter was called first */
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
	case OPTION_JSON: o->remote.output = OUTPUT_JSON; return 0;
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
			argp_error(state, "%s%s%slist, create, describe, alter, purge or delete",
			           o->action ? "'" : "what to do? ", o->action ? o->action : "",
			           o->action ? "' is not " : "");
		else if (action->needs_topic && !o->topic)
			argp_error(state, "which topic?");
		else if (strcmp(action->method, "PATCH") == 0 && !o->partitions && !o->settings.len)
			argp_error(state, "alter what? --set NAME=VALUE or --partitions N");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {{&remote_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "list\ncreate TOPIC\ndescribe TOPIC\nalter TOPIC\npurge TOPIC\ndelete TOPIC",
	.doc = "Look after topics.\v"
	       "Examples:\n"
	       "  bourn topic create orders --partitions 4 --set retention.bytes=1000000000\n"
	       "  bourn topic list\n"
	       "  bourn topic describe orders --json\n"
	       "  bourn topic alter orders --set durability=os\n"
	       "  bourn topic alter orders --partitions 8\n"
	       "  bourn topic purge orders      empties it; offsets go on\n"
	       "  bourn topic delete orders\n",
	.children = children,
};

/* --- what comes back -------------------------------------------------------------------------- */

static void print_answer(const struct topic_options *o, struct slice body)
{
	if (!json_validate(body, JSON_DEPTH_MAX, NULL))
		return; /* nothing at all, after a delete */
	if (o->remote.output == OUTPUT_TEXT && json_root(body).kind == JSON_OBJECT)
		topic_text_print(json_root(body));
	else
		printf("%.*s\n", SLICE_FMT(json_root(body).raw));
}

/* --- asking ----------------------------------------------------------------------------------- */

/* What create and set send. */
static void append_body(const struct topic_options *o, struct buf *body)
{
	buf_append_lit(body, "{");
	if (o->partitions)
		buf_printf(body, "\"partitions\":%lld%s", (long long)o->partitions,
		           o->settings.len ? "," : "");
	if (o->settings.len) {
		buf_append_lit(body, "\"settings\":{");
		buf_append_slice(body, buf_slice(&o->settings));
		buf_append_lit(body, "}");
	}
	buf_append_lit(body, "}");
}

static enum err run(const struct topic_options *o, struct client *c, struct fault *f)
{
	const struct action *action = action_of(o->action);
	struct buf path = BUF_INIT(2048), body = BUF_INIT(64 << 10);
	struct client_request request = {.method = action->method};
	struct client_response response;
	enum err err;

	client_response_init(&response);
	remote_path(&path, "v1/topics", o->topic);
	buf_append_str(&path, action->suffix);
	if (action->has_body) {
		append_body(o, &body);
		request.fields = SLICE_LIT("Content-Type: application/json\r\n");
		request.body = buf_slice(&body);
	} else if (strcmp(action->method, "POST") == 0) {
		request.body = SLICE_LIT("");
	}
	request.path = buf_slice(&path);
	err = remote_call(c, &request, &response, f);
	if (err == OK)
		print_answer(o, buf_slice(&response.body));
	if (err == OK && strcmp(action->name, "create") == 0 && response.status == 200)
		fprintf(stderr, "bourn: %s was there already, and just so\n", o->topic);
	client_response_fini(&response);
	buf_fini(&path);
	buf_fini(&body);
	return err;
}

/* --- more partitions -------------------------------------------------------------------------- */

/* A described topic's partitions; 0: there is no such topic, or no answer. */
static int64_t count_partitions(const struct topic_options *o, struct client *c)
{
	struct buf path = BUF_INIT(2048);
	struct client_request request = {.method = "GET"};
	struct client_response response;
	struct json_value list, one;
	struct json_iter it;
	struct slice none;
	struct fault unused;
	int64_t count = 0;

	client_response_init(&response);
	remote_path(&path, "v1/topics", o->topic);
	request.path = buf_slice(&path);
	if (remote_call(c, &request, &response, &unused) == OK &&
	    json_validate(buf_slice(&response.body), JSON_DEPTH_MAX, NULL) &&
	    json_root(buf_slice(&response.body)).kind == JSON_OBJECT &&
	    json_object_get(json_root(buf_slice(&response.body)), "partitions", &list) &&
	    list.kind == JSON_ARRAY) {
		json_iter_init(&it, list);
		while (json_iter_next(&it, &none, &one))
			count++;
	}
	client_response_fini(&response);
	buf_fini(&path);
	return count;
}

/* Alter, and say what more partitions do to keys. */
static enum err alter(const struct topic_options *o, struct client *c, struct fault *f)
{
	int64_t before = o->partitions ? count_partitions(o, c) : 0;
	enum err err = run(o, c, f);

	if (err == OK && o->partitions > before)
		fprintf(stderr,
		        "bourn: %s grew from %lld to %lld partitions. From now on events of the same "
		        "keys may go\nto another partition: their order holds among those before and "
		        "among those after.\n",
		        o->topic, (long long)before, (long long)o->partitions);
	return err;
}

/* --- list ------------------------------------------------------------------------------------- */

/* Lists come in pages, {"topics":[{"name":…},…],"next":"the last name"}. */
struct listing {
	enum output output;
	struct buf after; /* what the next page begins behind; empty: this is the last */
	int64_t printed;
};

static void print_listed(struct listing *l, struct json_value topic)
{
	struct json_value name;

	if (l->output == OUTPUT_JSON)
		printf("%s%.*s", l->printed ? "," : "{\"topics\":[", SLICE_FMT(topic.raw));
	else if (l->output == OUTPUT_NDJSON)
		printf("%.*s\n", SLICE_FMT(topic.raw));
	else if (json_object_get(topic, "name", &name)) {
		topic_text_scalar(name);
		putchar('\n');
	}
	l->printed++;
}

static enum err list_page(struct listing *l, struct slice body, struct fault *f)
{
	struct json_value list, topic, next;
	struct json_iter it;
	struct slice key;

	if (!json_validate(body, JSON_DEPTH_MAX, NULL) || json_root(body).kind != JSON_OBJECT ||
	    !json_object_get(json_root(body), "topics", &list) || list.kind != JSON_ARRAY)
		return fault_set(f, ERR_INTERNAL, 0, "the answer holds no list of topics");
	json_iter_init(&it, list);
	while (json_iter_next(&it, &key, &topic))
		if (topic.kind == JSON_OBJECT)
			print_listed(l, topic);
	buf_clear(&l->after);
	if (json_object_get(json_root(body), "next", &next) && next.kind == JSON_STRING)
		json_string_decode(next.raw, &l->after);
	return OK;
}

static enum err list_pages(struct listing *l, struct client *c, struct client_response *response,
                           struct fault *f)
{
	struct buf path = BUF_INIT(2048);
	enum err err;

	do {
		struct client_request request = {.method = "GET"};

		buf_clear(&path);
		buf_append_lit(&path, "/v1/topics?after=");
		url_encode(buf_slice(&l->after), &path);
		request.path = buf_slice(&path);
		err = remote_call(c, &request, response, f);
		if (err == OK)
			err = list_page(l, buf_slice(&response->body), f);
	} while (err == OK && l->after.len);
	buf_fini(&path);
	return err;
}

static enum err list(const struct topic_options *o, struct client *c, struct fault *f)
{
	struct listing l = {.output = o->remote.output, .after = BUF_INIT(1024)};
	struct client_response response;
	enum err err;

	client_response_init(&response);
	err = list_pages(&l, c, &response, f);
	if (o->remote.output == OUTPUT_JSON && err == OK)
		puts(l.printed ? "]}" : "{\"topics\":[]}");
	client_response_fini(&response);
	buf_fini(&l.after);
	return err;
}

static enum err act(const struct topic_options *o, struct client *c, struct fault *f)
{
	const struct action *action = action_of(o->action);

	if (!action->needs_topic)
		return list(o, c, f);
	return strcmp(action->method, "PATCH") == 0 ? alter(o, c, f) : run(o, c, f);
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
		err = act(&o, c, &f);
	client_free(c);
	buf_fini(&o.settings);
	return cli_finish_stdout(err ? cli_fail(&f) : CLI_OK);
}
