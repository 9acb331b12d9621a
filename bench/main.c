/* bourn-bench: the load generator. One measurement a call, against a broker that runs already; what
 * is compared with what, and how often, is decided by who calls it (bench/fanout.py). */
#include "fanout.h"
#include "http.h"
#include "ledger.h"

#include <argp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { EXIT_VOID = 1, EXIT_USAGE = 2 };

enum {
	OPTION_TARGET = 't',
	OPTION_PORT = 'p',
	OPTION_FORM = 'f',
	OPTION_SUBSCRIBERS = 'n',
	OPTION_BYTES = 'b',
	OPTION_WINDOW = 'w',
	OPTION_RATE = 'r',
	OPTION_SECONDS = 's',
	OPTION_JSON = 'j',
	OPTION_CONNECTIONS = 'c',
	OPTION_TOPIC = 256,
	OPTION_WARM_UP,
	OPTION_PID,
	OPTION_PATH,
};

struct common {
	struct measure_options measure;
	bool json;
};

struct command {
	struct common common;
	struct fanout_options fanout;
	struct http_options http;
};

/* --- numbers ---------------------------------------------------------------------------------- */

static double number(struct argp_state *state, const char *text, double least, double most,
                     const char *what)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= least) || !(value <= most))
		argp_error(state, "%s: '%s' is not a number from %.15g to %.15g", what, text, least,
		           most);
	return value;
}

static uint32_t count(struct argp_state *state, const char *text, uint32_t least, uint32_t most,
                      const char *what)
{
	double value = number(state, text, least, most, what);

	if (value != (double)(uint32_t)value)
		argp_error(state, "%s: '%s' is not a whole number", what, text);
	return (uint32_t)value;
}

static int64_t seconds(struct argp_state *state, const char *text, double least, const char *what)
{
	return (int64_t)(number(state, text, least, 3600, what) * NS_PER_SECOND);
}

static void add_pid(struct argp_state *state, const char *text, pid_t *pids, uint32_t *pid_count)
{
	if (*pid_count == PROCESS_MAX)
		argp_error(state, "at most %d processes", PROCESS_MAX);
	pids[(*pid_count)++] = (pid_t)count(state, text, 1, INT32_MAX, "--pid");
}

/* A socket for each, and a few for ourselves. */
static bool allow_sockets(rlim_t sockets, struct failure *f)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return bench_fail(f, "the limit of open files is not known");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < sockets + 16)
		return bench_fail(f, "%ju sockets are too many: at most %ju files may be open",
		                  (uintmax_t)sockets, (uintmax_t)limit.rlim_cur);
	return true;
}

static double per(int64_t a, int64_t b)
{
	return b ? (double)a / (double)b : 0;
}

static double us(int64_t ns)
{
	return (double)ns / 1e3;
}

static void print_latency_text(const struct histogram *h)
{
	printf("latency      p50 %.1f µs, p99 %.1f µs, p99.9 %.1f µs, max %.1f µs (%" PRIu64 ")\n",
	       us(histogram_quantile(h, 0.5)), us(histogram_quantile(h, 0.99)),
	       us(histogram_quantile(h, 0.999)), us(h->max_ns), h->count);
}

/* `count` of `what` are what the server did meanwhile. */
static void print_server_text(const struct measure_result *m, uint64_t count, const char *what)
{
	printf("server       %.0f %% of a core, %.3f CPU-seconds a million %s, %.1f MiB\n",
	       100 * per(m->server_cpu_ns, m->elapsed_ns),
	       per(m->server_cpu_ns, (int64_t)count) / 1e3, what, (double)m->server_rss_kib / 1024);
}

static void print_server_json(const struct measure_result *m, uint64_t count)
{
	printf(",\"server_share\":%.3f,\"cpu_s_per_million\":%.4f,\"rss_kib\":%" PRId64,
	       per(m->server_cpu_ns, m->elapsed_ns), per(m->server_cpu_ns, (int64_t)count) / 1e3,
	       m->server_rss_kib);
}

static double per_second(const struct measure_result *m, uint64_t count)
{
	return per((int64_t)count, m->elapsed_ns) * NS_PER_SECOND;
}

static int finish(const struct failure *f)
{
	if (f->text[0])
		fprintf(stderr, "bourn-bench: void: %s\n", f->text);
	return f->text[0] ? EXIT_VOID : fflush(stdout) != 0;
}

/* --- options of all --------------------------------------------------------------------------- */

static const struct argp_option common_argp_options[] = {
	{"port", OPTION_PORT, "PORT", 0, "where the server listens on 127.0.0.1", 1},
	{"seconds", OPTION_SECONDS, "S", 0, "how long to measure (3)", 3},
	{"warm-up", OPTION_WARM_UP, "S", 0, "before that (0.5)", 3},
	{"pid", OPTION_PID, "PID", 0, "a process of the server, to see what it uses; may repeat",
         3},
	{"json", OPTION_JSON, NULL, 0, "print one JSON object", 4},
	{0},
};

static error_t parse_common(int key, char *arg, struct argp_state *state)
{
	struct common *c = state->input;
	struct measure_options *o = &c->measure;

	switch (key) {
	case OPTION_PORT: o->port = (uint16_t)count(state, arg, 1, UINT16_MAX, "--port"); break;
	case OPTION_SECONDS: o->measure_ns = seconds(state, arg, 0.01, "--seconds"); break;
	case OPTION_WARM_UP: o->warm_up_ns = seconds(state, arg, 0, "--warm-up"); break;
	case OPTION_PID: add_pid(state, arg, o->pids, &o->pid_count); break;
	case OPTION_JSON: c->json = true; break;
	case ARGP_KEY_INIT:
		o->measure_ns = 3 * (int64_t)NS_PER_SECOND;
		o->warm_up_ns = NS_PER_SECOND / 2;
		break;
	case ARGP_KEY_ARG: argp_error(state, "what is '%s'?", arg); break;
	case ARGP_KEY_END:
		if (!o->port)
			argp_error(state, "--port is needed");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp common_argp = {.options = common_argp_options, .parser = parse_common};
static const struct argp_child common_children[] = {{&common_argp, 0, NULL, 0}, {0}};

/* --- fanout ----------------------------------------------------------------------------------- */

static const struct argp_option fanout_argp_options[] = {
	{"target", OPTION_TARGET, "NAME", 0, "bourn, nchan or nats", 1},
	{"topic", OPTION_TOPIC, "NAME", 0, "one that nobody else uses (bench)", 1},
	{"subscribers", OPTION_SUBSCRIBERS, "N", 0, "how many (1000)", 2},
	{"form", OPTION_FORM, "FORM", 0, "how they subscribe: ws or sse (ws)", 2},
	{"bytes", OPTION_BYTES, "N", 0, "size of an event (100)", 2},
	{"window", OPTION_WINDOW, "N", 0,
         "events the publisher may be ahead of the slowest subscriber (256)", 2},
	{"rate", OPTION_RATE, "N", 0, "events a second, by the clock: measure latency", 2},
	{0},
};

static error_t parse_fanout(int key, char *arg, struct argp_state *state)
{
	struct command *c = state->input;
	struct fanout_options *o = &c->fanout;

	switch (key) {
	case OPTION_TARGET: o->broker = arg; break;
	case OPTION_TOPIC: o->topic = arg; break;
	case OPTION_SUBSCRIBERS:
		o->subscribers = count(state, arg, 1, 1000000, "--subscribers");
		break;
	case OPTION_FORM:
		o->sse = strcmp(arg, "sse") == 0;
		if (!o->sse && strcmp(arg, "ws") != 0)
			argp_error(state, "--form: '%s' is neither ws nor sse", arg);
		break;
	case OPTION_BYTES:
		o->event_bytes = count(state, arg, LEDGER_EVENT_BYTES_MIN, LEDGER_EVENT_BYTES_MAX,
		                       "--bytes");
		break;
	case OPTION_WINDOW: o->window = count(state, arg, 1, FANOUT_AHEAD_MAX, "--window"); break;
	case OPTION_RATE: o->rate = number(state, arg, 0.1, 10e6, "--rate"); break;
	case ARGP_KEY_INIT: state->child_inputs[0] = &c->common; break;
	case ARGP_KEY_END:
		if (!o->broker)
			argp_error(state, "--target is needed");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp fanout_argp = {
	.options = fanout_argp_options,
	.parser = parse_fanout,
	.children = common_children,
	.doc = "One publisher, many subscribers on one topic of a running broker; count, order and "
	       "content of every delivery are checked. Without --rate: throughput. With it: "
	       "latency, counted from when an event was due.\v"
	       "Exit status: 0 measured; 1 void, stderr says why; 2 usage.\n\n"
	       "Examples:\n"
	       "  bourn-bench fanout --target bourn --port 3030 --subscribers 1000\n"
	       "  bourn-bench fanout --target nats --port 4222 --rate 500\n",
};

static void print_fanout_json(const struct fanout_options *o, const struct fanout_result *r)
{
	printf("{\"target\":\"%s\",\"form\":\"%s\",\"subscribers\":%u,\"bytes\":%u,", o->broker,
	       o->sse ? "sse" : "ws", o->subscribers, o->event_bytes);
	if (o->rate > 0)
		printf("\"rate\":%.3f,", o->rate);
	else
		printf("\"window\":%u,", o->window);
	printf("\"seconds\":%.4f,\"events\":%" PRIu64 ",\"events_per_s\":%.2f,"
	       "\"deliveries\":%" PRIu64 ",\"deliveries_per_s\":%.0f,\"verified\":%" PRIu64 ","
	       "\"generator_share\":%.3f",
	       per(r->measure.elapsed_ns, NS_PER_SECOND), r->events,
	       per_second(&r->measure, r->events), r->deliveries,
	       per_second(&r->measure, r->deliveries), r->verified,
	       per(r->measure.own_cpu_ns, r->measure.elapsed_ns));
	if (o->measure.pid_count)
		print_server_json(&r->measure, r->deliveries);
	if (o->rate > 0)
		histogram_print_json(&r->latency);
	puts("}");
}

static void print_fanout_text(const struct fanout_options *o, const struct fanout_result *r)
{
	printf("%-12s %u subscribers (%s), events of %u bytes\n", o->broker, o->subscribers,
	       o->sse ? "sse" : "ws", o->event_bytes);
	printf("deliveries   %.0f/s, %.1f events/s; %" PRIu64 " checked, all right\n",
	       per_second(&r->measure, r->deliveries), per_second(&r->measure, r->events),
	       r->verified);
	printf("generator    %.0f %% of a core, %.3f µs a delivery\n",
	       100 * per(r->measure.own_cpu_ns, r->measure.elapsed_ns),
	       us(r->measure.own_cpu_ns) / (double)(r->deliveries ? r->deliveries : 1));
	if (o->measure.pid_count)
		print_server_text(&r->measure, r->deliveries, "deliveries");
	if (o->rate > 0)
		print_latency_text(&r->latency);
}

static int command_fanout(int argc, char **argv)
{
	static struct fanout_result result;
	struct command c = {
		.fanout = {
			.topic = "bench", .subscribers = 1000, .event_bytes = 100, .window = 256}};
	struct failure f = {0};

	argp_parse(&fanout_argp, argc, argv, 0, NULL, &c);
	c.fanout.measure = c.common.measure;
	if (!fanout_options_ok(&c.fanout, &f)) {
		fprintf(stderr, "bourn-bench: %s\n", f.text);
		return EXIT_USAGE;
	}
	if (allow_sockets(c.fanout.subscribers, &f) && fanout_run(&c.fanout, &result, &f))
		(c.common.json ? print_fanout_json : print_fanout_text)(&c.fanout, &result);
	return finish(&f);
}

/* --- http ------------------------------------------------------------------------------------- */

static const struct argp_option http_argp_options[] = {
	{"target", OPTION_TARGET, "NAME", 0, "http: POST; redis: XADD (http)", 1},
	{"path", OPTION_PATH, "PATH", 0,
         "what to POST to (/produce/bench), or the stream's name after a slash", 1},
	{"rate", OPTION_RATE, "N", 0,
         "requests a second, by the clock; 0: the next when an answer comes (1000)", 2},
	{"connections", OPTION_CONNECTIONS, "N", 0, "kept open; one request at a time on each (64)",
         2},
	{"bytes", OPTION_BYTES, "N", 0, "size of a body, which is JSON (200)", 2},
	{0},
};

static error_t parse_http(int key, char *arg, struct argp_state *state)
{
	struct command *c = state->input;
	struct http_options *o = &c->http;

	switch (key) {
	case OPTION_TARGET:
		if (strcmp(arg, "http") != 0 && strcmp(arg, "redis") != 0)
			argp_error(state, "--target: '%s' is neither http nor redis", arg);
		o->dialect = *arg == 'r' ? &dialect_redis : &dialect_http_post;
		break;
	case OPTION_PATH:
		o->path = arg;
		if (arg[0] != '/' || strlen(arg) > 255 || strpbrk(arg, " \"\\"))
			argp_error(state, "--path: '%s' is not a path", arg);
		break;
	case OPTION_RATE: o->rate = number(state, arg, 0, 10e6, "--rate"); break;
	case OPTION_CONNECTIONS:
		o->connections = count(state, arg, 1, 1000000, "--connections");
		break;
	case OPTION_BYTES: o->body_bytes = count(state, arg, 11, 1 << 19, "--bytes"); break;
	case ARGP_KEY_INIT: state->child_inputs[0] = &c->common; break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static const struct argp http_argp = {
	.options = http_argp_options,
	.parser = parse_http,
	.children = common_children,
	.doc = "Single requests at a fixed rate; the latency of each answer, counted from when its "
	       "request was due.\v"
	       "Exit status: 0 measured; 1 void, stderr says why; 2 usage.\n\n"
	       "Examples:\n"
	       "  bourn-bench http --port 3030 --rate 20000 --connections 64\n",
};

static void print_http_json(const struct http_options *o, const struct http_result *r)
{
	printf("{\"path\":\"%s\",\"connections\":%u,\"bytes\":%u,\"rate\":%.3f,\"seconds\":%.4f,"
	       "\"answers\":%" PRIu64 ",\"answers_in_all\":%" PRIu64
	       ",\"answers_per_s\":%.1f,\"generator_share\":%.3f",
	       o->path, o->connections, o->body_bytes, o->rate,
	       per(r->measure.elapsed_ns, NS_PER_SECOND), r->answers, r->answers_in_all,
	       per_second(&r->measure, r->answers),
	       per(r->measure.own_cpu_ns, r->measure.elapsed_ns));
	if (o->measure.pid_count)
		print_server_json(&r->measure, r->answers);
	histogram_print_json(&r->latency);
	puts("}");
}

static void print_http_text(const struct http_options *o, const struct http_result *r)
{
	printf("POST %s   %u connections, bodies of %u bytes\n", o->path, o->connections,
	       o->body_bytes);
	printf("answers      %.1f/s of %.1f/s asked for\n", per_second(&r->measure, r->answers),
	       o->rate);
	printf("generator    %.0f %% of a core\n",
	       100 * per(r->measure.own_cpu_ns, r->measure.elapsed_ns));
	if (o->measure.pid_count)
		print_server_text(&r->measure, r->answers, "answers");
	print_latency_text(&r->latency);
}

static int command_http(int argc, char **argv)
{
	static struct http_result result;
	struct command c = {.http = {.dialect = &dialect_http_post,
	                             .path = "/produce/bench",
	                             .rate = 1000,
	                             .connections = 64,
	                             .body_bytes = 200}};
	struct failure f = {0};

	argp_parse(&http_argp, argc, argv, 0, NULL, &c);
	c.http.measure = c.common.measure;
	if (allow_sockets(c.http.connections, &f) && http_run(&c.http, &result, &f))
		(c.common.json ? print_http_json : print_http_text)(&c.http, &result);
	return finish(&f);
}

/* --- commands --------------------------------------------------------------------------------- */

static const struct {
	const char *name;
	char *argv0;
	const char *summary;
	int (*run)(int argc, char **argv);
} commands[] = {
	{"fanout", (char[]){"bourn-bench fanout"}, "one publisher, many subscribers",
         command_fanout},
	{"http", (char[]){"bourn-bench http"}, "single requests, at a fixed rate or one by one",
         command_http},
};

static void usage(FILE *out)
{
	fputs("usage: bourn-bench COMMAND [OPTION…]\n\n"
	      "The load generator: one measurement of a broker that runs already.\n\n",
	      out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputs("\n'bourn-bench COMMAND --help' lists the options of each.\n", out);
}

int main(int argc, char **argv)
{
	argp_err_exit_status = EXIT_USAGE;
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		argv[1] = commands[i].argv0;
		return commands[i].run(argc - 1, argv + 1);
	}
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)) {
		usage(stdout);
		return 0;
	}
	usage(stderr);
	return EXIT_USAGE;
}
