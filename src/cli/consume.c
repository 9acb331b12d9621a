/* bourn consume: read one topic from any position, by long polls that carry a cursor. A lost
 * connection is taken up again at the cursor: nothing is missed, nothing comes twice. */
#include "cli/remote.h"
#include "cli/retry.h"
#include "wire/url.h"

#include <errno.h>
#include <stdio.h>

enum {
	POLL_EVENTS_MAX = 1000,
	POLL_WAIT_S = 30,
	POLL_ANSWER_MS = 45000,
};

struct consume {
	struct remote_options remote;
	const char *topic;
	const char *from;  /* earliest, last, end, an offset, a time, -10m */
	int64_t partition; /* -1: all */
	int64_t count;     /* stop after so many; -1: never */
	bool until_end;    /* stop when there is nothing more */

	struct client *client;
	struct client_response response;
	struct buf cursor; /* empty: start at `from` */
	int64_t printed;
	struct retry retry;
};

enum { OPTION_UNTIL_END = 256, OPTION_GROUP };

static const struct argp_option options[] = {
	{"from", 'f', "WHERE", 0, "earliest (default), last, end, an offset, a time, or -10m", 0},
	{"partition", 'p', "N", 0, "only this partition", 0},
	{"count", 'n', "N", 0, "stop after N events", 0},
	{"until-end", OPTION_UNTIL_END, 0, 0, "stop when there are no more events", 0},
	{"group", OPTION_GROUP, "G", OPTION_HIDDEN, NULL, 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct consume *c = state->input;

	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = &c->remote; return 0;
	case 'f':
		remote_check_from(arg, state);
		c->from = arg;
		return 0;
	case 'p':
		if (!slice_to_int64(slice_str(arg), &c->partition) || c->partition < 0)
			argp_error(state, "'%s' is not a partition", arg);
		return 0;
	case 'n':
		if (!slice_to_int64(slice_str(arg), &c->count) || c->count < 0)
			argp_error(state, "--count takes a number, not '%s'", arg);
		return 0;
	case OPTION_UNTIL_END: c->until_end = true; return 0;
	case OPTION_GROUP: argp_error(state, "--group is not built yet"); return EINVAL;
	case ARGP_KEY_ARG:
		if (state->arg_num > 0)
			argp_error(state, "one topic at a time");
		c->topic = arg;
		return 0;
	case ARGP_KEY_END:
		if (!c->topic)
			argp_error(state, "which topic?");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {{&remote_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
	.options = options,
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

static void append_position(const struct consume *c, struct buf *path)
{
	if (c->cursor.len) {
		buf_append_lit(path, "cursor=");
		url_encode(buf_slice(&c->cursor), path);
	} else {
		buf_append_lit(path, "offset=");
		url_encode(slice_str(c->from), path);
	}
	if (c->partition >= 0)
		buf_printf(path, "&partition=%lld", (long long)c->partition);
}

static void print_lines(struct consume *c, struct slice lines)
{
	struct event_line event;

	while (lines.len && (c->count < 0 || c->printed < c->count)) {
		if (!event_line_parse(slice_cut(&lines, '\n'), &event))
			continue;
		event_line_print(&event, c->remote.output, "");
		c->printed++;
	}
}

/* One question: the events after the cursor, or none within the wait. The first does not wait: its
 * answer is the cursor, which is where to go on should the connection be lost. */
static enum err poll_once(struct consume *c, bool *empty, struct fault *fault)
{
	struct buf path = BUF_INIT(8192);
	struct client_request request = {.method = "GET",
	                                 .fields = SLICE_LIT("Accept: application/x-ndjson\r\n"),
	                                 .wait_ms = POLL_ANSWER_MS};
	int64_t limit = POLL_EVENTS_MAX;
	int wait_s = c->until_end || c->cursor.len == 0 ? 0 : POLL_WAIT_S;
	enum err err;

	if (c->count >= 0 && c->count - c->printed < limit)
		limit = c->count - c->printed;
	remote_path(&path, "consume", c->topic);
	buf_printf(&path, "?limit=%lld&wait=%d&", (long long)limit, wait_s);
	append_position(c, &path);
	request.path = buf_slice(&path);
	err = remote_call(c->client, &request, &c->response, fault);
	if (err == OK && c->response.next.len == 0) /* going on would begin anew, for ever */
		err = fault_set(fault, ERR_PARTITION_REQUIRED, 0,
		                "a cursor does not hold that many: use --partition");
	if (err == OK) {
		*empty = c->response.body.len == 0;
		print_lines(c, buf_slice(&c->response.body));
		buf_clear(&c->cursor);
		buf_append_slice(&c->cursor, buf_slice(&c->response.next));
	}
	buf_fini(&path);
	return err;
}

/* Retention has passed us. Where each partition goes on, the others where they were, the broker
 * knows, and tells those who subscribe by Server-Sent Events, which do not end at a gap. */
static enum err skip_gap(struct consume *c, struct fault *fault)
{
	struct buf path = BUF_INIT(8192);
	struct client_request request = {.method = "GET",
	                                 .fields = SLICE_LIT("Accept: text/event-stream\r\n")};
	enum err err;

	fprintf(stderr, "bourn: gap: %s; going on with the earliest event\n", fault->where);
	remote_path(&path, "subscribe", c->topic);
	buf_append_lit(&path, "?");
	append_position(c, &path);
	request.path = buf_slice(&path);
	err = client_stream_open(c->client, &request, &c->response, fault);
	if (err == OK && c->response.status >= 400)
		err = client_problem(&c->response, fault);
	if (err == OK) {
		buf_clear(&c->cursor);
		buf_append_slice(&c->cursor, buf_slice(&c->response.next));
		c->from = "earliest";
	}
	client_stream_close(c->client);
	buf_fini(&path);
	return err;
}

static enum err consume(struct consume *c, struct fault *fault)
{
	while (!atomic_load(cli_stopped()) && (c->count < 0 || c->printed < c->count)) {
		bool empty = false;
		enum err err = poll_once(c, &empty, fault);

		if (err == OK) {
			retry_answered(&c->retry);
			if ((empty && c->until_end) || fflush(stdout) != 0)
				return OK; /* cli_finish_stdout knows what became of stdout */
		} else if (c->cursor.len && (err == ERR_TRIMMED || err == ERR_TRUNCATED)) {
			err = skip_gap(c, fault);
		}
		if (err && !retry_again(&c->retry, err))
			return err;
	}
	return OK;
}

int cli_consume(int argc, char **argv, const struct cli_parts *parts)
{
	struct consume c = {
		.from = "earliest", .partition = -1, .count = -1, .cursor = BUF_INIT(2048)};
	struct fault fault;
	enum err err;

	(void)parts;
	remote_options_init(&c.remote);
	argp_parse(&argp, argc, argv, 0, NULL, &c);
	cli_catch_signals();
	client_response_init(&c.response);
	c.retry.server = c.remote.server;
	err = client_new(c.remote.server, cli_stopped(), &c.client, &fault);
	if (err == OK)
		err = consume(&c, &fault);
	client_free(c.client);
	client_response_fini(&c.response);
	buf_fini(&c.cursor);
	return cli_finish_stdout(err ? cli_fail(&fault) : CLI_OK);
}
