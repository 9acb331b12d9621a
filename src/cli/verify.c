/* bourn verify DIR: is every byte of a data directory as it was written? */
#include "cli/cli.h"
#include "cli/units.h"

#include "base/buf.h"
#include "io/clock.h"
#include "store/verify/cut.h"
#include "wire/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum {
	BAR_CELLS = 30,
	BAR_US = 100000, /* not drawn more often */
	LINE_BYTES_MAX = 64 << 10,
	OPTION_CUT = 256,
	OPTION_YES,
};

struct verify_options {
	const char *path;
	bool json;
	bool cut;
	bool yes;
};

static const struct argp_option options[] = {
	{"output", 'o', "FORMAT", 0, "text (the default) or json", 0},
	{"cut", OPTION_CUT, 0, 0, "repair by truncation; what goes is kept beside (*.cut-N)", 0},
	{"yes", OPTION_YES, 0, 0, "cut without asking", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct verify_options *o = state->input;

	switch (key) {
	case 'o':
		if (strcmp(arg, "json") != 0 && strcmp(arg, "text") != 0)
			argp_error(state, "-o takes text or json, not '%s'", arg);
		o->json = strcmp(arg, "json") == 0;
		return 0;
	case OPTION_CUT: o->cut = true; return 0;
	case OPTION_YES: o->yes = true; return 0;
	case ARGP_KEY_ARG:
		if (o->path)
			argp_usage(state);
		o->path = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->path)
			argp_error(state, "which data directory?");
		if (o->cut && o->json)
			argp_error(state, "--cut speaks text only");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "DIR",
	.doc = "Read a data directory from end to end, with the broker stopped, and say what fails\n"
	       "its checksum, is missing or does not fit. Changes nothing without --cut.\v"
	       "Examples:\n"
	       "  bourn verify ./data\n"
	       "  bourn verify /mnt/backup/data -o json\n"
	       "  bourn verify ./data --cut      says what would be lost, and asks\n"
	       "\n"
	       "Exit codes: 0 all is right, 1 damage, 4 refused (a broker holds the directory, it is\n"
	       "of a newer version, or not ours), 5 there is no data directory.\n",
};

/* --- what was found --------------------------------------------------------------------------- */

struct verifying {
	const struct verify_options *o;
	uint64_t findings;
	bool bar; /* a person waits at a terminal */
	bool bar_drawn;
	int64_t drawn_mono_us;
};

static void bar_clear(struct verifying *v)
{
	if (v->bar_drawn)
		fputs("\r\033[K", stderr);
	v->bar_drawn = false;
}

static void print_text(const struct verify_finding *f)
{
	printf("%s: %s", f->is_damage ? "damage" : "note", f->file);
	if (f->at >= 0)
		printf(" byte %" PRId64, f->at);
	if (f->topic)
		printf(": %s/%" PRIu32, f->topic, f->partition);
	if (f->from >= 0 && f->to - 1 > f->from)
		printf(" offsets %" PRId64 " to %" PRId64, f->from, f->to - 1);
	else if (f->from >= 0)
		printf(" offset %" PRId64, f->from);
	printf(": %s; remedy: %s\n", f->what, f->remedy);
}

static void put_text(struct buf *line, const char *name, const char *text)
{
	buf_printf(line, ",\"%s\":", name);
	json_append_string(line, slice_str(text));
}

static void print_json(const struct verify_finding *f, bool first)
{
	struct buf line = BUF_INIT(LINE_BYTES_MAX);

	buf_printf(&line, "%s\n{\"kind\":\"%s\"", first ? "" : ",",
	           f->is_damage ? "damage" : "note");
	put_text(&line, "file", f->file);
	if (f->at >= 0)
		buf_printf(&line, ",\"byte\":%" PRId64, f->at);
	if (f->topic) {
		put_text(&line, "topic", f->topic);
		buf_printf(&line, ",\"partition\":%" PRIu32, f->partition);
	}
	if (f->from >= 0)
		buf_printf(&line, ",\"from\":%" PRId64 ",\"to\":%" PRId64, f->from, f->to);
	put_text(&line, "what", f->what);
	put_text(&line, "remedy", f->remedy);
	printf("%.*s}", SLICE_FMT(buf_slice(&line)));
	buf_fini(&line);
}

static void found(void *arg, const struct verify_finding *f)
{
	struct verifying *v = arg;

	bar_clear(v);
	if (v->o->json)
		print_json(f, v->findings == 0);
	else
		print_text(f);
	v->findings++;
}

static bool progress(void *arg, int64_t done_bytes, int64_t all_bytes)
{
	struct verifying *v = arg;
	int64_t now = clock_system()->now(clock_system()).mono_us;
	int cells;

	if (!v->bar || now - v->drawn_mono_us < BAR_US)
		return !atomic_load(cli_stopped());
	v->drawn_mono_us = now;
	v->bar_drawn = true;
	if (done_bytes > all_bytes)
		done_bytes = all_bytes;
	cells = all_bytes > 0 ? (int)((double)done_bytes / (double)all_bytes * BAR_CELLS) : 0;
	fprintf(stderr, "\r[%.*s%*s] %" PRId64 " of %" PRId64 " MiB", cells,
	        "##############################", BAR_CELLS - cells, "", done_bytes >> 20,
	        all_bytes >> 20);
	return !atomic_load(cli_stopped());
}

/* --- the sum ---------------------------------------------------------------------------------- */

static void sum_json(const struct verify_totals *t)
{
	printf("\n],\"damages\":%" PRIu64 ",\"topics\":%" PRIu64 ",\"partitions\":%" PRIu64
	       ",\"events\":%" PRIu64 ",\"segments\":%" PRIu64 ",\"segment_bytes\":%" PRIu64
	       ",\"wal_frames\":%" PRIu64 ",\"wal_bytes\":%" PRIu64 ",\"torn_bytes\":%" PRIu64
	       "}\n",
	       t->damages, t->topics, t->partitions, t->events, t->segments, t->segment_bytes,
	       t->wal_frames, t->wal_bytes, t->torn_bytes);
}

static void print_count(uint64_t count, const char *noun, const char *then)
{
	printf("%" PRIu64 " %s%s%s", count, noun, units_plural((int64_t)count), then);
}

static void sum_text(const struct verify_totals *t)
{
	fputs(t->damages ? "damaged: " : "clean: ", stdout);
	print_count(t->topics, "topic", ", ");
	print_count(t->partitions, "partition", ", ");
	print_count(t->events, "event", "; ");
	print_count(t->segment_bytes, "byte", " in ");
	print_count(t->segments, "segment", ", ");
	printf("%" PRIu64 " in ", t->wal_bytes);
	print_count(t->wal_frames, "WAL frame", "\n");
}

/* --- cutting ---------------------------------------------------------------------------------- */

static void print_plan(const struct verify_plan *plan)
{
	puts("A cut would lose for good:");
	for (size_t i = 0; i < plan->partition_count; i++) {
		const struct cut_partition *p = &plan->partitions[i];

		printf("  %s/%" PRIu32 ": all from offset %" PRId64 " to its end at %" PRId64
		       ", which are %" PRId64 " offsets\n",
		       p->name, p->index, p->from, p->to, p->to - p->from);
	}
	for (size_t i = 0; i < plan->gap_count; i++)
		printf("  wal/%" PRIu64 ".wal byte %" PRId64 ": %" PRIu64
		       " frames, which cannot be read; of which partitions is not known\n",
		       plan->gaps[i].file, plan->gaps[i].at, plan->gaps[i].count);
	puts("What is cut is kept beside, as *.cut-N. A backup may hold it whole.");
	fflush(stdout);
}

static bool agreed(const struct verify_options *o)
{
	char answer[8];

	if (o->yes)
		return true;
	if (!isatty(STDIN_FILENO)) {
		fputs("bourn: nothing was cut; --yes does it without asking\n", stderr);
		return false;
	}
	fputs("Cut? Type yes: ", stderr);
	return fgets(answer, sizeof(answer), stdin) && strcmp(answer, "yes\n") == 0;
}

static int fail(const struct fault *f)
{
	int code;

	if (f->code == ERR_NOT_FOUND) {
		fprintf(stderr, "bourn: there is no data directory: no %s\n", f->where);
		return CLI_NOT_FOUND;
	}
	code = cli_fail(f);
	return f->code == ERR_IO || f->code == ERR_SHUTTING_DOWN ? CLI_FAILED : code;
}

static int cut(const struct verify_config *config, const struct verify_options *o,
               struct verify_totals *totals, struct fault *f)
{
	struct verify_config again = *config;
	enum err err;

	if (totals->damages && config->plan->impossible) {
		fprintf(stderr, "bourn: nothing was cut: %s\n", config->plan->impossible);
		return CLI_FAILED;
	}
	if (verify_plan_is_empty(config->plan)) {
		fputs("bourn: there is nothing to cut\n", stderr);
		return totals->damages ? CLI_FAILED : CLI_OK;
	}
	print_plan(config->plan);
	if (!agreed(o))
		return CLI_FAILED;
	again.plan = NULL;
	err = verify_cut(config, config->plan, f);
	if (!err) {
		puts("Cut. Now:");
		err = verify_run(&again, totals, f);
	}
	if (err)
		return fail(f);
	sum_text(totals);
	return totals->damages ? CLI_FAILED : CLI_OK;
}

int cli_verify(int argc, char **argv, const struct cli_parts *parts)
{
	struct verify_options o = {0};
	struct verifying v = {.o = &o};
	struct verify_config config = {.disk = parts->disk,
	                               .clock = clock_system(),
	                               .found = found,
	                               .progress = progress,
	                               .arg = &v};
	struct verify_plan plan = {0};
	struct verify_totals totals;
	struct fault f = {0};
	enum err err;
	int code;

	argp_parse(&argp, argc, argv, 0, NULL, &o);
	cli_catch_signals();
	config.path = o.path;
	config.plan = o.cut ? &plan : NULL;
	v.bar = isatty(STDERR_FILENO);
	if (o.json)
		printf("{\"findings\":[");
	err = verify_run(&config, &totals, &f);
	bar_clear(&v);
	if (o.json)
		sum_json(&totals);
	else if (!err)
		sum_text(&totals);
	if (err)
		code = fail(&f);
	else if (o.cut)
		code = cut(&config, &o, &totals, &f);
	else
		code = totals.damages ? CLI_FAILED : CLI_OK;
	verify_plan_fini(&plan);
	return cli_finish_stdout(code);
}
