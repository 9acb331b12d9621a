/* bourn-bench-store: the storage benchmark's measurements, those of the engine itself through its
 * contract (store/store.h) and those of a broker that runs on what it stored. What is compared with
 * what is decided by who calls it (bench/store.py). */
#include "store_append.h"
#include "store_catchup.h"
#include "store_pace.h"
#include "store_rocksdb.h"
#include "store_serve.h"
#include "store_stream.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { EXIT_VOID = 1, EXIT_USAGE = 2, MIB = 1 << 20 };

struct command {
	struct driver_options driver;
	uint32_t rounds;
	int64_t mib;
	bool cold;
	bool kill;
	bool ws;
	uint16_t port;
	pid_t pid;
	struct store_pace_options pace;
};

enum {
	OPTION_DIR = 'd',
	OPTION_CLASS = 'k',
	OPTION_MIB = 'm',
	OPTION_ROUNDS = 'r',
	OPTION_PARTITIONS = 'n',
	OPTION_IN_FLIGHT = 'w',
	OPTION_PORT = 'p',
	OPTION_MEMORY = 256,
	OPTION_CHECKPOINT,
	OPTION_EVENTS,
	OPTION_BLOBS,
	OPTION_COLD,
	OPTION_KILL,
	OPTION_WS,
	OPTION_PID,
	OPTION_RATE,
	OPTION_AT_ONCE,
	OPTION_SECONDS,
};

static const struct argp_option options[] = {
	{"dir", OPTION_DIR, "DIR", 0, "data directory", 1},
	{"mib", OPTION_MIB, "N", 0, "how much is stored, or is there, in all (256)", 1},
	{"class", OPTION_CLASS, "CLASS", 0, "append, fill: none, os, interval or commit (commit)",
         2},
	{"partitions", OPTION_PARTITIONS, "N", 0, "append, fill: of the topic (append 4, fill 1)",
         2},
	{"in-flight", OPTION_IN_FLIGHT, "N", 0, "append, fill: in each partition (1)", 2},
	{"memory", OPTION_MEMORY, "MIB", 0, "as storage.memory (256)", 2},
	{"checkpoint", OPTION_CHECKPOINT, "MIB", 0, "as storage.snapshot_size (256)", 2},
	{"events", OPTION_EVENTS, "N", 0, "rocksdb: a batch (100)", 2},
	{"blobs", OPTION_BLOBS, NULL, 0, "rocksdb: with blob files", 2},
	{"rounds", OPTION_ROUNDS, "N", 0, "append, catchup (5)", 2},
	{"cold", OPTION_COLD, NULL, 0, "catchup: not from the page cache", 2},
	{"kill", OPTION_KILL, NULL, 0, "fill: end as by kill -9, not in order", 2},
	{"port", OPTION_PORT, "PORT", 0, "stream: where the broker listens on 127.0.0.1", 3},
	{"pid", OPTION_PID, "PID", 0, "stream: the broker", 3},
	{"ws", OPTION_WS, NULL, 0, "stream: over WebSocket, not SSE", 3},
	{"rate", OPTION_RATE, "N", 0,
         "pace: events a second; without it a full group is always due", 4},
	{"at-once", OPTION_AT_ONCE, "N", 0, "pace: events in a group, at most (64)", 4},
	{"seconds", OPTION_SECONDS, "S", 0, "pace: how long (3)", 4},
	{0},
};

static int64_t number(struct argp_state *state, const char *text, int64_t most, const char *what)
{
	char *end;
	int64_t value = strtoll(text, &end, 10);

	if (end == text || *end || value < 1 || value > most)
		argp_error(state, "%s: '%s' is not a number from 1 to %" PRId64, what, text, most);
	return value;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct command *c = state->input;
	struct driver_options *d = &c->driver;

	switch (key) {
	case OPTION_DIR: d->dir = arg; break;
	case OPTION_CLASS:
		if (!durability_parse(slice_str(arg), &d->durability))
			argp_error(state, "--class: there is no '%s'", arg);
		break;
	case OPTION_MIB: c->mib = number(state, arg, 1 << 20, "--mib"); break;
	case OPTION_ROUNDS:
		c->rounds = (uint32_t)number(state, arg, STORE_ROUNDS_MAX, "--rounds");
		break;
	case OPTION_PARTITIONS:
		d->partitions = (uint32_t)number(state, arg, DRIVER_PARTITIONS_MAX, "--partitions");
		break;
	case OPTION_IN_FLIGHT:
		d->in_flight = (uint32_t)number(state, arg, 64, "--in-flight");
		break;
	case OPTION_EVENTS:
		d->batch_events = (uint32_t)number(state, arg, STORE_BATCH_EVENTS, "--events");
		break;
	case OPTION_BLOBS: d->rocksdb.blob_files = true; break;
	case OPTION_MEMORY: d->memory_bytes = number(state, arg, 1 << 20, "--memory") * MIB; break;
	case OPTION_CHECKPOINT:
		d->checkpoint_bytes = number(state, arg, 1 << 20, "--checkpoint") * MIB;
		break;
	case OPTION_COLD: c->cold = true; break;
	case OPTION_KILL: c->kill = true; break;
	case OPTION_WS: c->ws = true; break;
	case OPTION_PORT: c->port = (uint16_t)number(state, arg, UINT16_MAX, "--port"); break;
	case OPTION_PID: c->pid = (pid_t)number(state, arg, INT32_MAX, "--pid"); break;
	case OPTION_RATE: c->pace.rate = (uint32_t)number(state, arg, 10000000, "--rate"); break;
	case OPTION_AT_ONCE:
		c->pace.at_once = (uint32_t)number(state, arg, 512, "--at-once");
		break;
	case OPTION_SECONDS:
		c->pace.run_ns = number(state, arg, 3600, "--seconds") * NS_PER_SECOND;
		break;
	case ARGP_KEY_ARG: argp_error(state, "what is '%s'?", arg); break;
	case ARGP_KEY_END:
		if (!d->dir && !c->port)
			argp_error(state, "--dir or --port is needed");
		break;
	default: return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/* So many whole batches in each partition. */
static int64_t batches_of(const struct command *c)
{
	const int64_t events = c->driver.batch_events ? c->driver.batch_events : STORE_BATCH_EVENTS;
	const int64_t bytes = events * STORE_EVENT_BYTES;
	int64_t each = c->mib * MIB / bytes / c->driver.partitions;

	return each > 0 ? each : 1;
}

static void print_side(const char *name, const struct store_figures *rounds, uint32_t count)
{
	printf("\"%s\":[", name);
	for (uint32_t i = 0; i < count; i++)
		printf("%s{\"seconds\":%.6f,\"cpu_s\":%.6f,\"bytes\":%" PRId64
		       ",\"groups\":%" PRId64 ",\"flushes\":%" PRId64 "}",
		       i ? "," : "", (double)rounds[i].elapsed_ns / 1e9,
		       (double)rounds[i].cpu_ns / 1e9, rounds[i].bytes, rounds[i].groups,
		       rounds[i].flushes);
	printf("]");
}

/* --- commands --------------------------------------------------------------------------------- */

static bool append(const struct command *c, struct failure *f)
{
	static struct store_append_result result;
	const struct store_append_options o = {
		.driver = c->driver,
		.rounds = c->rounds,
		.batches = batches_of(c) * c->driver.partitions,
	};

	if (!store_append_run(&o, &result, f))
		return false;
	printf("{\"class\":\"%s\",\"partitions\":%u,\"in_flight\":%u,",
	       durability_name(c->driver.durability), c->driver.partitions, c->driver.in_flight);
	print_side("bare", result.bare, c->rounds);
	printf(",");
	print_side("copies", result.copies, c->rounds);
	printf(",");
	print_side("ours", result.ours, c->rounds);
	puts("}");
	return true;
}

static bool catchup(const struct command *c, struct failure *f)
{
	static struct store_catchup_result result;
	const struct store_catchup_options o = {
		.driver = c->driver,
		.rounds = c->rounds,
		.batches = batches_of(c),
		.cold = c->cold,
	};

	if (!store_catchup_run(&o, &result, f))
		return false;
	printf("{\"cold\":%s,\"range_bytes\":%" PRId64 ",", c->cold ? "true" : "false",
	       result.range_bytes);
	print_side("bare", result.bare, c->rounds);
	printf(",");
	print_side("ours", result.ours, c->rounds);
	puts("}");
	return true;
}

static bool rocksdb(const struct command *c, struct failure *f)
{
	static struct store_rocksdb_result result;
	const struct store_rocksdb_options o = {
		.driver = c->driver,
		.rounds = c->rounds,
		.batches = batches_of(c) * c->driver.partitions,
	};

	if (!store_rocksdb_run(&o, &result, f))
		return false;
	printf("{\"class\":\"%s\",\"partitions\":%u,\"in_flight\":%u,\"events\":%u,\"blobs\":%s,",
	       durability_name(c->driver.durability), c->driver.partitions, c->driver.in_flight,
	       c->driver.batch_events ? c->driver.batch_events : STORE_BATCH_EVENTS,
	       c->driver.rocksdb.blob_files ? "true" : "false");
	print_side("bare", result.bare, c->rounds);
	printf(",");
	print_side("ours", result.ours, c->rounds);
	printf(",");
	print_side("bare_reads", result.bare_reads, c->rounds);
	printf(",");
	print_side("our_reads", result.our_reads, c->rounds);
	puts("}");
	return true;
}

static bool fill(const struct command *c, struct failure *f)
{
	struct driver d;
	bool ok = driver_open(&d, &c->driver, f);

	if (!ok)
		return false;
	ok = driver_append(&d, batches_of(c));
	if (ok)
		printf("{\"events\":%" PRId64 ",\"bytes\":%" PRId64 "}\n",
		       batches_of(c) * d.o.partitions * STORE_BATCH_EVENTS,
		       batches_of(c) * d.o.partitions *
		               (int64_t)store_batches_get(&d.batches, 0).len);
	if (ok && c->kill) {
		fflush(stdout);
		raise(SIGKILL);
	}
	driver_close(&d);
	return ok;
}

static bool check(const struct command *c, struct failure *f)
{
	struct driver d;
	bool ok = driver_open(&d, &c->driver, f);

	if (!ok)
		return false;
	ok = driver_check(&d, batches_of(c));
	driver_close(&d);
	return ok;
}

static bool stream(const struct command *c, struct failure *f)
{
	struct store_stream_result result;
	const struct store_stream_options o = {
		.port = c->port,
		.sse = !c->ws,
		.events = batches_of(c) * STORE_BATCH_EVENTS,
		.pid = c->pid,
	};

	if (!store_stream_run(&o, &result, f))
		return false;
	printf("{\"form\":\"%s\",\"seconds\":%.6f,\"bytes\":%" PRId64
	       ",\"cpu_s\":%.3f,\"generator_cpu_s\":%.3f}\n",
	       c->ws ? "ws" : "sse", (double)result.elapsed_ns / 1e9, result.bytes,
	       (double)result.server_cpu_ns / 1e9, (double)result.own_cpu_ns / 1e9);
	return true;
}

static bool pace(const struct command *c, struct failure *f)
{
	static struct store_pace_result result;
	struct store_pace_options o = c->pace;

	o.dir = c->driver.dir;
	if (!store_pace_run(&o, &result, f))
		return false;
	printf("{\"rate\":%u,\"answers_per_s\":%.1f,\"cpu_s_per_million\":%.4f", o.rate,
	       (double)result.events * 1e9 / (double)result.elapsed_ns,
	       (double)result.cpu_ns / 1e3 / (double)result.events);
	histogram_print_json(&result.latency);
	puts("}");
	return true;
}

static bool serve(const struct command *c, struct failure *f)
{
	return store_serve_run(c->driver.dir, f);
}

static const struct {
	const char *name;
	char *argv0;
	const char *summary;
	uint32_t partitions;
	bool (*run)(const struct command *c, struct failure *f);
} commands[] = {
	{"append", (char[]){"bourn-bench-store append"},
         "appends through the store against a bare loop of writes, in an empty DIR", 4, append},
	{"fill", (char[]){"bourn-bench-store fill"}, "store something in DIR", 1, fill},
	{"check", (char[]){"bourn-bench-store check"}, "is what was filled in there, and right?", 1,
         check},
	{"catchup", (char[]){"bourn-bench-store catchup"},
         "what was filled in, through the store into a socket, against bare sendfile", 1, catchup},
	{"rocksdb", (char[]){"bourn-bench-store rocksdb"},
         "the engine rocksdb against bare loops over RocksDB, in an empty DIR", 2, rocksdb},
	{"stream", (char[]){"bourn-bench-store stream"},
         "what was filled in, from a broker that runs on it, by HTTP", 1, stream},
	{"pace", (char[]){"bourn-bench-store pace"},
         "single events at a rate, written and flushed by a bare loop", 1, pace},
	{"serve", (char[]){"bourn-bench-store serve"},
         "the same as a server, which receives them and answers, until it is killed", 1, serve},
};

static void usage(FILE *out)
{
	fputs("usage: bourn-bench-store COMMAND [OPTION…]\n\n", out);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	fputs("\n'bourn-bench-store COMMAND --help' lists the options.\n", out);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.doc = "Prints one JSON object.\vExit status: 0 measured; 1 void, stderr says why; "
		       "2 usage.",
	};
	struct command c = {
		.driver = {.durability = DURABILITY_COMMIT,
	                   .in_flight = 1,
	                   .retention_bytes = -1,
	                   .memory_bytes = 256 * (int64_t)MIB,
	                   .checkpoint_bytes = 256 * (int64_t)MIB},
		.rounds = 5,
		.mib = 256,
		.pace = {.at_once = 64, .run_ns = 3 * (int64_t)NS_PER_SECOND},
	};
	struct failure f = {0};

	argp_err_exit_status = EXIT_USAGE;
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		argv[1] = commands[i].argv0;
		c.driver.partitions = commands[i].partitions;
		argp_parse(&argp, argc - 1, argv + 1, 0, NULL, &c);
		if (commands[i].run(&c, &f))
			return fflush(stdout) != 0;
		fprintf(stderr, "bourn-bench-store: void: %s\n", f.text);
		return EXIT_VOID;
	}
	usage(argc > 1 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
	return argc > 1 && strcmp(argv[1], "--help") == 0 ? 0 : EXIT_USAGE;
}
