/* bourn subscribe: events of topics and patterns as they come, over one endless answer
 * (GET /v1/subscribe, wire/http "an event a line").
 *
 * Every line bears the cursor after it, and the answer's head the one it begins at; a lost
 * connection is taken up again at the last of them, so nothing is missed and nothing comes
 * twice. */
#include "cli/remote.h"
#include "cli/retry.h"
#include "wire/cursor.h"
#include "wire/json.h"
#include "wire/url.h"

#include <stdio.h>
#include <unistd.h>

enum { PATH_BYTES_MAX = 64 << 10 };

struct subscribe {
	struct remote_options remote;
	char **topics; /* names and patterns; argv's */
	int topic_count;
	const char *from;  /* end, earliest, last, an offset, a time, -10m */
	int64_t partition; /* -1: all */
	int64_t count;     /* stop after so many; -1: never */
	bool named;        /* events of several topics: text says of which */

	struct client *client;
	struct client_response response;
	struct buf cursor; /* go on here; empty: begin at `from` */
	int64_t printed;
	struct retry retry;
};

enum { OPTION_WAIT = 256 };

static const struct argp_option options[] = {
	{"from", 'f', "WHERE", 0, "end (default), earliest, last, an offset, a time, or -10m", 0},
	{"partition", 'p', "N", 0, "only this partition (of one topic)", 0},
	{"count", 'n', "N", 0, "stop after N events", 0},
	{"wait", OPTION_WAIT, 0, 0, "wait for a broker that is not there", 0},
	{0},
};

static bool is_pattern(const char *topic)
{
	return strchr(topic, '*') != NULL;
}

static void check_arguments(struct subscribe *s, struct argp_state *state)
{
	s->named = s->topic_count > 1 || (s->topic_count == 1 && is_pattern(s->topics[0]));
	if (s->topic_count == 0)
		argp_error(state, "which topic?");
	if (s->named && s->partition >= 0)
		argp_error(state, "--partition goes with one topic");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct subscribe *s = state->input;

	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = &s->remote; return 0;
	case 'f':
		remote_check_from(arg, state);
		s->from = arg;
		return 0;
	case 'p':
		if (!slice_to_int64(slice_str(arg), &s->partition) || s->partition < 0)
			argp_error(state, "'%s' is not a partition", arg);
		return 0;
	case 'n':
		if (!slice_to_int64(slice_str(arg), &s->count) || s->count < 0)
			argp_error(state, "--count takes a number, not '%s'", arg);
		return 0;
	case OPTION_WAIT: s->retry.first_too = true; return 0;
	case ARGP_KEY_ARGS:
		s->topics = state->argv + state->next;
		s->topic_count = state->argc - state->next;
		return 0;
	case ARGP_KEY_END: check_arguments(s, state); return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {{&remote_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "TOPIC...",
	.doc = "Print the events of one or more topics as they come, until Ctrl-C.\v"
	       "In a TOPIC, '*' stands for any run of characters (quote it from the shell). A topic\n"
	       "that does not exist yet is waited for; one that comes to match a pattern joins by\n"
	       "itself, from its first event.\n"
	       "\n"
	       "A lost connection is taken up again where it broke: nothing is missed, nothing comes\n"
	       "twice. stderr tells of the loss and of the return, and of events that the broker no\n"
	       "longer has. A broker that is not there to begin with is an error (exit code 3), unless\n"
	       "--wait is given.\n"
	       "\n"
	       "An event is printed as 'Received: EVENT', or 'Received [TOPIC]: EVENT' with several\n"
	       "topics or a pattern; with -o json or ndjson as an object on one line, with topic,\n"
	       "offset, key and headers; with -o raw as its bytes and nothing else.\n"
	       "\n"
	       "Examples:\n"
	       "  bourn subscribe greetings\n"
	       "  bourn subscribe 'sensors.*' alarms\n"
	       "  bourn subscribe orders --from earliest -o ndjson | jq .value\n",
	.children = children,
};

/* --- what was asked --------------------------------------------------------------------------- */

/* Topics that the cursor does not name came after it was made: all their events are new. */
static void append_path(const struct subscribe *s, struct buf *path)
{
	for (int i = 0; i < s->topic_count; i++) {
		buf_append_str(path, i == 0 ? "/v1/subscribe?topic=" : "&topic=");
		url_encode(slice_str(s->topics[i]), path);
	}
	if (s->cursor.len) {
		buf_append_lit(path, "&cursor=");
		url_encode(buf_slice(&s->cursor), path);
	}
	buf_append_lit(path, "&offset=");
	url_encode(slice_str(s->from), path);
	if (s->partition >= 0)
		buf_printf(path, "&partition=%lld", (long long)s->partition);
}

static enum err open_stream(struct subscribe *s, struct slice accept, struct fault *f)
{
	struct buf path = BUF_INIT(PATH_BYTES_MAX);
	struct client_request request = {.method = "GET", .fields = accept};
	enum err err;

	append_path(s, &path);
	request.path = buf_slice(&path);
	err = client_stream_open(s->client, &request, &s->response, f);
	if (err == OK && s->response.status >= 400)
		err = client_problem(&s->response, f);
	buf_fini(&path);
	return err;
}

/* --- what comes ------------------------------------------------------------------------------- */

static bool has_enough(const struct subscribe *s)
{
	return s->count >= 0 && s->printed >= s->count;
}

static void go_on_at(struct subscribe *s, struct slice cursor)
{
	buf_clear(&s->cursor);
	buf_append_slice(&s->cursor, cursor);
}

/* The head says where the stream begins; without that there is no such topic yet. */
static void begun(struct subscribe *s)
{
	bool first = !s->retry.was_connected;

	retry_answered(&s->retry);
	if (s->response.next.len)
		go_on_at(s, buf_slice(&s->response.next));
	else if (first && isatty(STDERR_FILENO))
		fprintf(stderr, "bourn: there is no topic '%s' yet; waiting for it\n",
		        s->topics[0]);
	s->from = "earliest"; /* of what comes after the cursor, or of a topic that is to come */
}

static void print_event(const struct subscribe *s, const struct event_line *e)
{
	char prefix[300] = "Received: ";

	if (s->named)
		snprintf(prefix, sizeof(prefix), "Received [%.*s]: ", SLICE_FMT(e->topic));
	event_line_print(e, s->remote.output, prefix);
}

static void say_gone(struct json_value gone)
{
	struct json_value topic;

	if (json_object_get(gone, "topic", &topic))
		fprintf(stderr, "bourn: topic %.*s was deleted\n", SLICE_FMT(topic.raw));
}

/* A line that is no event: {"gone":{"topic":…}}, one of several was deleted; or the last one,
 * {"error":{…problem…}}. Others are not for us. */
static enum err other_line(struct slice line, struct fault *f)
{
	struct json_value value;

	if (!json_validate(line, JSON_DEPTH_MAX, NULL) || json_root(line).kind != JSON_OBJECT)
		return OK;
	if (json_object_get(json_root(line), "gone", &value) && value.kind == JSON_OBJECT)
		say_gone(value);
	if (json_object_get(json_root(line), "error", &value) && value.kind == JSON_OBJECT)
		return client_problem_parse(value.raw, f);
	return OK;
}

static enum err print_lines(struct subscribe *s, struct slice lines, struct fault *f)
{
	struct event_line event = {.next = SLICE_NONE};
	struct slice next = SLICE_NONE;
	enum err err = OK;

	while (err == OK && lines.len && !has_enough(s)) {
		struct slice line = slice_cut(&lines, '\n');

		if (!event_line_parse(line, &event)) {
			err = other_line(line, f);
			continue;
		}
		print_event(s, &event);
		s->printed++;
		next = event.next;
	}
	if (next.len)
		go_on_at(s, next);
	return err;
}

/* One answer, to its end or ours. */
static enum err read_stream(struct subscribe *s, bool *done, struct fault *f)
{
	struct slice lines;
	enum err err = open_stream(s, SLICE_LIT("Accept: application/x-ndjson\r\n"), f);

	if (err == OK)
		begun(s);
	while (err == OK && !*done) {
		err = client_stream_lines(s->client, &lines, f);
		if (err || !lines.ptr)
			break;
		err = print_lines(s, lines, f);
		/* cli_finish_stdout knows what became of stdout */
		*done = fflush(stdout) != 0 || has_enough(s);
	}
	client_stream_close(s->client);
	return err;
}

/* The log does not hold our place any more. Where each partition goes on, the others where they
 * were, the broker knows, and tells those who ask for Server-Sent Events, which do not end at a
 * gap. */
static enum err skip_gap(struct subscribe *s, struct fault *f)
{
	enum err err;

	fprintf(stderr, "bourn: gap: %s; going on with the earliest event\n", f->where);
	err = open_stream(s, SLICE_LIT("Accept: text/event-stream\r\n"), f);
	if (err == OK)
		go_on_at(s, buf_slice(&s->response.next));
	client_stream_close(s->client);
	return err;
}

static enum err subscribe(struct subscribe *s, struct fault *f)
{
	bool done = has_enough(s);

	while (!done && !atomic_load(cli_stopped())) {
		enum err err = read_stream(s, &done, f);

		if ((err == ERR_TRIMMED || err == ERR_TRUNCATED) && s->cursor.len)
			err = skip_gap(s, f);
		else if (err == OK && !done)
			err = fault_set(f, ERR_UNREACHABLE, 0, "%s (the stream ended)",
			                client_url(s->client));
		if (err && !done && !retry_again(&s->retry, err))
			return err;
	}
	return OK;
}

int cli_subscribe(int argc, char **argv, const struct cli_parts *parts)
{
	struct subscribe s = {.from = "end",
	                      .partition = -1,
	                      .count = -1,
	                      .cursor = BUF_INIT(CURSOR_TEXT_BYTES_MAX)};
	struct fault fault;
	enum err err;

	(void)parts;
	remote_options_init(&s.remote);
	argp_parse(&argp, argc, argv, 0, NULL, &s);
	cli_catch_signals();
	client_response_init(&s.response);
	s.retry.server = s.remote.server;
	err = client_new(s.remote.server, cli_stopped(), &s.client, &fault);
	if (err == OK)
		err = subscribe(&s, &fault);
	client_free(s.client);
	client_response_fini(&s.response);
	buf_fini(&s.cursor);
	return cli_finish_stdout(err ? cli_fail(&fault) : CLI_OK);
}
