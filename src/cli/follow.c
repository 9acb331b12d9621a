#include "cli/follow.h"

#include "wire/url.h"

#include <stdio.h>
#include <time.h>

enum {
	POLL_EVENTS_MAX = 1000,
	POLL_WAIT_S = 30,
	POLL_ANSWER_MS = 45000,
	RETRY_MS_MIN = 100,
	RETRY_MS_MAX = 2000,
};

static void append_position(const struct follow *f, struct buf *path)
{
	if (f->cursor.len) {
		buf_append_lit(path, "cursor=");
		url_encode(buf_slice(&f->cursor), path);
	} else {
		buf_append_lit(path, "offset=");
		url_encode(slice_str(f->from), path);
	}
	if (f->partition >= 0)
		buf_printf(path, "&partition=%lld", (long long)f->partition);
}

static void print_lines(struct follow *f, struct slice lines)
{
	struct event_line event;

	while (lines.len && (f->count < 0 || f->printed < f->count)) {
		if (!event_line_parse(slice_cut(&lines, '\n'), &event))
			continue;
		event_line_print(&event, f->remote.output, f->prefix);
		f->printed++;
	}
	fflush(stdout);
}

/* One question: the events after the cursor, or none within the wait. The first does not wait: its
 * answer is the cursor, which is where to go on should the connection be lost. */
static enum err poll_once(struct follow *f, bool *empty, struct fault *fault)
{
	struct buf path = BUF_INIT(8192);
	struct client_request request = {.method = "GET",
	                                 .fields = SLICE_LIT("Accept: application/x-ndjson\r\n"),
	                                 .wait_ms = POLL_ANSWER_MS};
	int64_t limit = POLL_EVENTS_MAX;
	int wait_s = f->until_end || f->cursor.len == 0 ? 0 : POLL_WAIT_S;
	enum err err;

	if (f->count >= 0 && f->count - f->printed < limit)
		limit = f->count - f->printed;
	remote_path(&path, "consume", f->topic);
	buf_printf(&path, "?limit=%lld&wait=%d&", (long long)limit, wait_s);
	append_position(f, &path);
	request.path = buf_slice(&path);
	err = remote_call(f->client, &request, &f->response, fault);
	if (err == OK && f->response.next.len == 0) /* going on would begin anew, for ever */
		err = fault_set(fault, ERR_PARTITION_REQUIRED, 0,
		                "a cursor does not hold that many: use --partition");
	if (err == OK) {
		*empty = f->response.body.len == 0;
		print_lines(f, buf_slice(&f->response.body));
		buf_clear(&f->cursor);
		buf_append_slice(&f->cursor, buf_slice(&f->response.next));
	}
	buf_fini(&path);
	return err;
}

static bool stop_at_first(void *arg, struct slice bytes)
{
	(void)arg;
	return bytes.len == 0;
}

/* Until the first event of a topic that is not there yet. Everything in it is new then, so reading
 * goes on from its beginning. */
static enum err wait_for_topic(struct follow *f, struct fault *fault)
{
	struct buf path = BUF_INIT(8192);
	struct client_request request = {.method = "GET",
	                                 .fields = SLICE_LIT("Accept: application/x-ndjson\r\n")};
	enum err err;

	remote_path(&path, "subscribe", f->topic);
	buf_append_lit(&path, "?offset=earliest");
	request.path = buf_slice(&path);
	err = client_stream(f->client, &request, &f->response, stop_at_first, NULL, fault);
	if (err == OK && f->response.status >= 400)
		err = client_problem(&f->response, fault);
	f->from = "earliest";
	buf_fini(&path);
	return err;
}

static void pause_ms(int64_t ms)
{
	struct timespec pause = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&pause, NULL); /* a signal ends it early */
}

/* The connection is gone: say so once, try again, later each time. False when it never was. */
static bool may_retry(struct follow *f, int64_t *retry_ms)
{
	if (!f->was_connected)
		return false;
	if (atomic_load(cli_stopped()))
		return true; /* it was we who ended it */
	if (*retry_ms == 0) {
		fprintf(stderr, "bourn: connection to %s lost; trying again\n", f->remote.server);
		*retry_ms = RETRY_MS_MIN;
	}
	pause_ms(*retry_ms);
	*retry_ms = *retry_ms * 2 < RETRY_MS_MAX ? *retry_ms * 2 : RETRY_MS_MAX;
	return true;
}

/* Retention has passed us: say what is missing and go on with what is left. */
static void skip_gap(struct follow *f, const struct fault *fault)
{
	fprintf(stderr, "bourn: gap: %s; going on with the earliest event\n", fault->where);
	buf_clear(&f->cursor);
	f->from = "earliest";
}

static enum err follow_loop(struct follow *f, struct fault *fault)
{
	int64_t retry_ms = 0;

	while (!atomic_load(cli_stopped()) && (f->count < 0 || f->printed < f->count)) {
		bool empty = false;
		enum err err = poll_once(f, &empty, fault);

		f->was_connected |= err != ERR_UNREACHABLE;
		if (err == ERR_TOPIC_UNKNOWN && f->wait_for_topic)
			err = wait_for_topic(f, fault);
		if (err == OK) {
			retry_ms = 0;
			if (empty && f->until_end)
				return OK;
			continue;
		}
		if (f->cursor.len && (err == ERR_TRIMMED || err == ERR_TRUNCATED))
			skip_gap(f, fault);
		else if ((err != ERR_UNREACHABLE && err != ERR_NOT_READY &&
		          err != ERR_SHUTTING_DOWN) ||
		         !may_retry(f, &retry_ms))
			return err;
	}
	return OK;
}

int follow_run(struct follow *f)
{
	struct fault fault;
	enum err err;

	cli_catch_signals();
	f->cursor = BUF_INIT(2048);
	client_response_init(&f->response);
	err = client_new(f->remote.server, cli_stopped(), &f->client, &fault);
	if (err == OK)
		err = follow_loop(f, &fault);
	client_free(f->client);
	client_response_fini(&f->response);
	buf_fini(&f->cursor);
	return cli_finish_stdout(err ? cli_fail(&fault) : CLI_OK);
}
