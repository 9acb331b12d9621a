/* bourn produce: one event, standard input as one event, or an event a line. */
#include "cli/remote.h"
#include "wire/json.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
	IN_FLIGHT_MAX = 64, /* pipelined requests */
	EVENT_BYTES_READ_MAX = 16 << 20,
	LONG_WORK_COUNT = 1000, /* from here on a person sees progress */
};

struct produce_options {
	struct remote_options remote;
	const char *topic;
	const char *event; /* NULL or "-": standard input */
	const char *file;
	const char *content_type;
	struct buf fields; /* header fields of every request */
	int64_t partition; /* -1: the broker chooses */
	int64_t count;
	double rate; /* events a second; 0: as fast as it goes */
	bool lines;
};

enum { OPTION_COUNT = 256, OPTION_RATE, OPTION_LINES, OPTION_TYPE };

static const struct argp_option options[] = {
	{"key", 'k', "KEY", 0, "events of one key keep their order, in one partition", 0},
	{"header", 'H', "NAME:VALUE", 0, "a header of the event; may be given again", 0},
	{"type", OPTION_TYPE, "TYPE", 0,
         "the content type (application/json for an object or array, else text/plain)", 0},
	{"partition", 'p', "N", 0, "this partition", 0},
	{"file", 'f', "FILE", 0, "the event is this file", 0},
	{"lines", OPTION_LINES, 0, 0, "each line of the input is an event", 0},
	{"count", OPTION_COUNT, "N", 0, "produce the event N times", 0},
	{"rate", OPTION_RATE, "N", 0, "at most N events a second", 0},
	{0},
};

static void add_header(struct produce_options *o, const char *arg, struct argp_state *state)
{
	struct slice value = slice_str(arg);
	struct slice name = slice_trim(slice_cut(&value, ':'));

	if (name.len == 0 || !value.ptr || strpbrk(arg, "\r\n"))
		argp_error(state, "-H takes NAME:VALUE on one line, not '%s'", arg);
	value = slice_trim(value);
	buf_printf(&o->fields, "Event-Header-%.*s: %.*s\r\n", SLICE_FMT(name), SLICE_FMT(value));
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct produce_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = &o->remote; return 0;
	case 'k':
		if (strpbrk(arg, "\r\n"))
			argp_error(state, "a key given here is one line");
		buf_printf(&o->fields, "Event-Key: %s\r\n", arg);
		return 0;
	case 'H': add_header(o, arg, state); return 0;
	case OPTION_TYPE: o->content_type = arg; return 0;
	case 'p':
		if (!slice_to_int64(slice_str(arg), &o->partition) || o->partition < 0)
			argp_error(state, "'%s' is not a partition", arg);
		return 0;
	case 'f': o->file = arg; return 0;
	case OPTION_LINES: o->lines = true; return 0;
	case OPTION_COUNT:
		if (!slice_to_int64(slice_str(arg), &o->count) || o->count < 1)
			argp_error(state, "--count takes a number from 1, not '%s'", arg);
		return 0;
	case OPTION_RATE:
		o->rate = strtod(arg, NULL);
		if (!(o->rate > 0))
			argp_error(state, "--rate takes events a second, not '%s'", arg);
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0)
			o->topic = arg;
		else if (state->arg_num == 1)
			o->event = arg;
		else
			argp_usage(state);
		return 0;
	case ARGP_KEY_END:
		if (!o->topic)
			argp_error(state, "which topic?");
		if (o->file && o->event)
			argp_error(state, "an event or --file, not both");
		if (o->lines && o->event && strcmp(o->event, "-") != 0)
			argp_error(state, "--lines reads standard input or --file");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {{&remote_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "TOPIC [EVENT|-]",
	.doc = "Append events to a topic. Without EVENT, standard input is the event.\v"
	       "Examples:\n"
	       "  bourn produce greetings hello\n"
	       "  bourn produce orders '{\"id\": 7}' --key customer-1 -H source:web\n"
	       "  bourn produce images --file photo.jpg --type image/jpeg\n"
	       "  tail -f app.log | bourn produce logs --lines\n",
	.children = children,
};

/* --- sending ---------------------------------------------------------------------------------- */

struct producing {
	const struct produce_options *o;
	struct client *client;
	struct client_response response;
	struct buf path;
	struct buf fields;
	int64_t sent;
	int64_t acked;
	int64_t start_us;
	bool progress; /* a person waits at a terminal */
};

static int64_t mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Objects and arrays are told from text; a bare number or word stays text. */
static const char *content_type_of(const struct produce_options *o, struct slice event)
{
	if (o->content_type)
		return o->content_type;
	if (event.len && (event.ptr[0] == '{' || event.ptr[0] == '[') &&
	    json_validate(event, JSON_DEPTH_MAX, NULL))
		return "application/json";
	return "text/plain; charset=utf-8";
}

static void show_progress(struct producing *p, bool last)
{
	double seconds = (double)(mono_us() - p->start_us) / 1e6;

	if (!p->progress || (!last && p->acked % LONG_WORK_COUNT != 0))
		return;
	fprintf(stderr, "\r%lld events, %.0f a second%s", (long long)p->acked,
	        seconds > 0 ? (double)p->acked / seconds : 0, last ? "\n" : "");
}

static void print_ack(struct producing *p)
{
	if (p->o->remote.output == OUTPUT_JSON || p->o->remote.output == OUTPUT_NDJSON)
		printf("%.*s\n", SLICE_FMT(slice_trim(buf_slice(&p->response.body))));
}

static enum err receive_one(struct producing *p, struct fault *f)
{
	enum err err = client_receive(p->client, &p->response, f);

	if (err == OK && p->response.status >= 400)
		err = client_problem(&p->response, f);
	if (err)
		return err;
	p->acked++;
	print_ack(p);
	show_progress(p, false);
	return OK;
}

/* Sleep until the schedule of --rate allows the next event. */
static void keep_rate(const struct producing *p)
{
	int64_t due, now = mono_us();
	struct timespec pause;

	if (p->o->rate <= 0)
		return;
	due = p->start_us + (int64_t)((double)p->sent / p->o->rate * 1e6);
	if (due <= now)
		return;
	pause = (struct timespec){(due - now) / 1000000, (due - now) % 1000000 * 1000};
	nanosleep(&pause, NULL);
}

static enum err send_one(struct producing *p, struct slice event, struct fault *f)
{
	struct client_request request = {.method = "POST", .body = event};
	enum err err;

	keep_rate(p);
	buf_clear(&p->fields);
	buf_append_slice(&p->fields, buf_slice(&p->o->fields));
	buf_printf(&p->fields, "Content-Type: %s\r\n", content_type_of(p->o, event));
	request.path = buf_slice(&p->path);
	request.fields = buf_slice(&p->fields);
	if (!event.ptr)
		request.body = SLICE_LIT("");
	err = client_send(p->client, &request, f);
	if (err)
		return err;
	p->sent++;
	/* With a rate each event is answered before the next, so that it can be seen at once. */
	while (p->sent - p->acked >= (p->o->rate > 0 ? 1 : IN_FLIGHT_MAX) && err == OK)
		err = receive_one(p, f);
	return err;
}

/* Reading has failed, or a signal has ended it. */
static enum err read_failed(const struct producing *p, struct fault *f)
{
	if (errno == EINTR)
		return fault_set(f, ERR_SHUTTING_DOWN, 0, "stopped");
	return fault_set(f, ERR_INPUT, errno, "%s", p->o->file ? p->o->file : "standard input");
}

static enum err send_lines(struct producing *p, int fd, struct fault *f)
{
	struct buf in = BUF_INIT(EVENT_BYTES_READ_MAX);
	enum err err = OK;
	ssize_t got = 1;

	while (err == OK && got > 0 && !atomic_load(cli_stopped())) {
		struct slice rest, line;

		if (!buf_reserve(&in, 64 << 10)) {
			err = fault_set(f, ERR_TOO_LARGE, 0, "a line above 16 MiB");
			break;
		}
		got = read(fd, in.ptr + in.len, in.cap - in.len);
		if (got < 0) {
			err = read_failed(p, f);
			break;
		}
		in.len += (size_t)got;
		rest = buf_slice(&in);
		while (err == OK && rest.len && (memchr(rest.ptr, '\n', rest.len) || got == 0)) {
			line = slice_cut(&rest, '\n');
			if (line.len && line.ptr[line.len - 1] == '\r')
				line.len--;
			err = send_one(p, line, f);
		}
		buf_consume(&in, in.len - rest.len);
		while (err == OK &&
		       p->acked < p->sent) /* nothing waits for an answer while we read */
			err = receive_one(p, f);
	}
	buf_fini(&in);
	return err;
}

static enum err read_whole(const struct producing *p, int fd, struct buf *into, struct fault *f)
{
	ssize_t got;

	do {
		if (!buf_reserve(into, 64 << 10))
			return fault_set(f, ERR_TOO_LARGE, 0, "an event above 16 MiB");
		got = read(fd, into->ptr + into->len, into->cap - into->len);
		if (got > 0)
			into->len += (size_t)got;
	} while (got > 0 || (got < 0 && errno == EINTR && !atomic_load(cli_stopped())));
	return got < 0 ? read_failed(p, f) : OK;
}

static enum err send_repeated(struct producing *p, struct slice event, struct fault *f)
{
	enum err err = OK;

	for (int64_t i = 0; i < p->o->count && err == OK && !atomic_load(cli_stopped()); i++)
		err = send_one(p, event, f);
	while (err == OK && p->acked < p->sent)
		err = receive_one(p, f);
	return err;
}

static enum err run(struct producing *p, struct fault *f)
{
	bool literal = p->o->event && strcmp(p->o->event, "-") != 0;
	struct buf event = BUF_INIT(EVENT_BYTES_READ_MAX);
	int fd = STDIN_FILENO;
	enum err err;

	if (literal)
		return send_repeated(p, slice_str(p->o->event), f);
	if (p->o->file && strcmp(p->o->file, "-") != 0)
		fd = open(p->o->file, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fault_set(f, ERR_INPUT, errno, "%s", p->o->file);
	if (p->o->lines) {
		err = send_lines(p, fd, f);
	} else {
		err = read_whole(p, fd, &event, f);
		if (err == OK)
			err = send_repeated(p, buf_slice(&event), f);
	}
	if (p->o->file)
		close(fd);
	buf_fini(&event);
	return err;
}

int cli_produce(int argc, char **argv, const struct cli_parts *parts)
{
	struct produce_options o = {.partition = -1, .count = 1, .fields = BUF_INIT(32 << 10)};
	struct producing p = {.o = &o, .path = BUF_INIT(2048), .fields = BUF_INIT(64 << 10)};
	struct fault f;
	enum err err;

	(void)parts;
	remote_options_init(&o.remote);
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	cli_catch_signals();
	err = client_new(o.remote.server, cli_stopped(), &p.client, &f);
	if (err == OK) {
		client_response_init(&p.response);
		remote_path(&p.path, "produce", o.topic);
		if (o.partition >= 0)
			buf_printf(&p.path, "?partition=%lld", (long long)o.partition);
		p.start_us = mono_us();
		p.progress = isatty(STDERR_FILENO) && (o.lines || o.count >= LONG_WORK_COUNT);
		err = run(&p, &f);
		show_progress(&p, true);
		client_response_fini(&p.response);
	}
	client_free(p.client);
	buf_fini(&o.fields);
	buf_fini(&p.fields);
	buf_fini(&p.path);
	return cli_finish_stdout(err ? cli_fail(&f) : CLI_OK);
}
