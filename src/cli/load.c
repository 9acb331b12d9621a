/* bourn load: what `bourn dump` wrote, into a broker that runs. Topics that are not there are made.
 *
 * A load that was interrupted, from either side, is gone on with by --resume: nothing is loaded
 * twice (moving/load_target.h). A broker that goes away meanwhile is waited for. */
#include "broker/topic_match.h"
#include "cli/moving/dump_file.h"
#include "cli/moving/load_notes.h"
#include "cli/moving/load_target.h"
#include "cli/moving/progress.h"
#include "cli/remote.h"
#include "cli/retry.h"
#include "cli/units.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	OPTION_KEEP_OFFSETS = 256,
	OPTION_KEEP_TIMESTAMPS,
	OPTION_RESUME,
	OPTION_AS,
	OPTION_QUIET,
	OPTION_EDITED,
	OPTION_PARTIAL,
	OPTION_CHECK,
	OPTION_NO_SETTINGS,
};

struct load_command {
	struct remote_options remote;
	struct load_options load;
	const char *file;         /* NULL: standard input */
	const char *const *words; /* names and patterns; none: all */
	size_t word_count;
	const char *as; /* NULL: as it was called */
	bool edited;
	bool partial;
	bool check;
	bool quiet;
};

static const struct argp_option options[] = {
	{"keep-offsets", OPTION_KEEP_OFFSETS, 0, 0,
         "events get the offsets they had; their topics must have none yet", 0},
	{"keep-timestamps", OPTION_KEEP_TIMESTAMPS, 0, 0, "events get the times they had, not now",
         0},
	{"resume", OPTION_RESUME, 0, 0, "go on with a load that was interrupted", 0},
	{"as", OPTION_AS, "NAME", 0,
         "the topic is to be called so; for a dump of one, or one of it", 0},
	{"edited", OPTION_EDITED, 0, 0, "lines were changed on purpose: do not look at checksums",
         0},
	{"partial", OPTION_PARTIAL, 0, 0, "the dump is not complete: load what there is", 0},
	{"check", OPTION_CHECK, 0, 0, "only read it, and say what is in it", 0},
	{"no-settings", OPTION_NO_SETTINGS, 0, 0, "topics are made with the broker's own settings",
         0},
	{"quiet", OPTION_QUIET, 0, 0, "no progress, no summary", 0},
	{0},
};

static void take_words(struct load_command *o, struct argp_state *state)
{
	char **words = state->argv + state->next;
	struct fault f;

	if (strcmp(words[0], "-") != 0)
		o->file = words[0];
	o->words = (const char *const *)(words + 1);
	o->word_count = (size_t)(state->argc - state->next) - 1;
	for (size_t i = 0; i < o->word_count; i++)
		if (topic_pattern_check(slice_str(o->words[i]), &f))
			argp_error(state, "'%s': %s", o->words[i], f.where);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct load_command *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = &o->remote; return 0;
	case OPTION_KEEP_OFFSETS: o->load.keep_offsets = true; return 0;
	case OPTION_KEEP_TIMESTAMPS: o->load.keep_timestamps = true; return 0;
	case OPTION_RESUME: o->load.resume = true; return 0;
	case OPTION_NO_SETTINGS: o->load.no_settings = true; return 0;
	case OPTION_AS: o->as = arg; return 0;
	case OPTION_EDITED: o->edited = true; return 0;
	case OPTION_PARTIAL: o->partial = true; return 0;
	case OPTION_CHECK: o->check = true; return 0;
	case OPTION_QUIET: o->quiet = true; return 0;
	case ARGP_KEY_ARGS: take_words(o, state); return 0;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which file? '-' is standard input");
		return EINVAL;
	case ARGP_KEY_END:
		if (o->remote.output != OUTPUT_TEXT)
			argp_error(state, "the file says itself which form it has: no -o");
		if (o->load.resume && !o->file && !o->load.keep_offsets)
			argp_error(state, "from standard input --resume needs --keep-offsets");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {{&remote_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "FILE [TOPIC...]",
	.doc = "Load what 'bourn dump' wrote: all of it, or the topics named. Those that are not there "
	       "are made, with their settings and partitions.\v"
	       "A topic may be a pattern, as 'orders.*'. Events go to the partition they were in.\n"
	       "\n"
	       "Examples:\n"
	       "  bourn load all.dump --keep-offsets --keep-timestamps      an exact copy\n"
	       "  bourn load all.dump --keep-offsets --keep-timestamps --resume\n"
	       "  bourn load orders.ndjson --as orders-copy\n"
	       "  bourn dump orders | bourn load - --server http://other:3030\n"
	       "  bourn load all.dump --check\n",
	.children = children,
};

/* --- loading ---------------------------------------------------------------------------------- */

struct loading {
	const struct load_command *o;
	struct client *client;
	struct retry retry;
	struct progress progress;
	struct dump_reader reader;
	struct load_notes notes;
	struct load_options load;
	struct load_target **targets; /* owned, by topic of the dump; NULL: not wanted */
	uint32_t target_count;
	uint32_t wanted_count;
};

static bool is_wanted(const struct load_command *o, const char *topic)
{
	for (size_t i = 0; i < o->word_count; i++)
		if (topic_pattern_matches(slice_str(o->words[i]), slice_str(topic)))
			return true;
	return o->word_count == 0;
}

static void say_topic(const struct dump_topic *t)
{
	int64_t count = 0;

	for (uint32_t i = 0; i < t->partition_count; i++)
		count += t->spans[i].high_watermark - t->spans[i].earliest;
	printf("%s  %u partition%s, %lld offsets\n", t->name, t->partition_count,
	       units_plural(t->partition_count), (long long)count);
}

static enum err begin_topic(struct loading *l, uint32_t index, struct fault *f)
{
	const struct dump_topic *t = l->reader.topics[index];
	struct load_target **targets =
		realloc(l->targets, (index + 1) * sizeof(struct load_target *));

	if (!targets)
		return fault_set(f, ERR_NO_MEMORY, 0, "topics");
	if (index > 0 && targets[index - 1] && load_target_rest(targets[index - 1], f)) {
		l->targets = targets;
		return f->code;
	}
	l->targets = targets;
	l->targets[index] = NULL;
	l->target_count = index + 1;
	if (!is_wanted(l->o, t->name))
		return OK;
	if (l->wanted_count++ > 0 && l->o->as)
		return fault_set(f, ERR_INPUT, 0,
		                 "--as is for one topic, but '%.60s' comes too: say which",
		                 t->name);
	if (l->o->check) {
		say_topic(t);
		return OK;
	}
	return load_target_open(&l->load, t, l->o->as ? l->o->as : t->name, &l->targets[index], f);
}

static enum err load_batches(struct loading *l, const struct dump_item *item, struct fault *f)
{
	struct load_target *target = l->targets[item->topic];
	struct slice rest = item->batches;
	struct batch_iter it;
	struct batch b;
	struct record r;
	bool corrupt = false;
	enum err err = OK;

	if (!target)
		return OK;
	for (; rest.len > 0 && !err;
	     rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len)) {
		err = batch_parse(rest, &b, f);
		if (err)
			return err;
		batch_iter_init(&it, &b);
		while (!err && batch_iter_next(&it, &r, &corrupt))
			err = load_target_add(target, item->partition, &r, f);
	}
	return err;
}

static enum err finish(struct loading *l, bool complete, struct fault *f)
{
	enum err err = OK;

	for (uint32_t i = 0; i < l->target_count && !err; i++)
		if (l->targets[i])
			err = load_target_finish(l->targets[i], complete, f);
	for (size_t i = 0; i < l->o->word_count && !err; i++) {
		bool there = false;

		for (uint32_t k = 0; k < l->target_count; k++)
			there = there ||
			        topic_pattern_matches(slice_str(l->o->words[i]),
			                              slice_str(l->reader.topics[k]->name));
		if (!there)
			err = fault_set(f, ERR_TOPIC_UNKNOWN, 0, "'%.100s' is not in the dump",
			                l->o->words[i]);
	}
	return err;
}

static enum err refuse_cut(const struct loading *l, struct fault *f)
{
	return fault_set(f, ERR_INPUT, 0,
	                 "%.60s ends early, at byte %lld: complete it by 'bourn dump --resume', or "
	                 "load what there is with --partial",
	                 l->reader.name, (long long)l->reader.good_at);
}

static enum err load_items(struct loading *l, struct fault *f)
{
	struct dump_item item = {0};
	enum err err = OK;

	while (!err && item.kind != DUMP_END && item.kind != DUMP_CUT) {
		err = dump_read(&l->reader, &item, f);
		if (err)
			return err;
		switch (item.kind) {
		case DUMP_TOPIC: err = begin_topic(l, item.topic, f); break;
		case DUMP_BATCHES: err = load_batches(l, &item, f); break;
		case DUMP_END: break;
		case DUMP_CUT: err = l->o->partial ? OK : refuse_cut(l, f); break;
		}
		progress_set(&l->progress, l->reader.in_at + (int64_t)l->reader.used,
		             l->reader.event_count);
	}
	return err ? err : finish(l, item.kind == DUMP_END, f);
}

static int64_t loaded_count(const struct loading *l)
{
	int64_t count = 0;

	for (uint32_t i = 0; i < l->target_count; i++)
		count += l->targets[i] ? load_target_count(l->targets[i]) : 0;
	return count;
}

/* --- the file --------------------------------------------------------------------------------- */

/* What can be told of a file before anything of it is loaded. */
static enum err look_at_file(struct loading *l, int fd, struct fault *f)
{
	struct stat st;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return OK; /* a pipe */
	l->progress.total_bytes = st.st_size;
	if (l->o->partial || l->o->edited || dump_has_end(fd) || st.st_size == 0)
		return OK;
	if (dump_is_one(fd))
		return fault_set(
			f, ERR_INPUT, 0,
			"%.60s has no end: complete it by 'bourn dump --resume', or load what "
			"there is with --partial; nothing was loaded",
			l->reader.name);
	return OK; /* reading it will say what it is */
}

static enum err load_file(struct loading *l, struct fault *f)
{
	int fd = l->o->file ? open(l->o->file, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	bool notes = l->o->file && !l->load.keep_offsets && !l->o->check;
	enum err err;

	if (fd < 0)
		return fault_set(f, ERR_INPUT, errno, "%s", l->o->file);
	dump_reader_init(&l->reader, fd, l->o->file ? l->o->file : "standard input");
	l->reader.unchecked = l->o->edited;
	err = look_at_file(l, fd, f);
	if (!err && notes) {
		err = load_notes_open(&l->notes, l->o->file, l->load.resume, f);
		l->load.notes = err ? NULL : &l->notes;
	}
	if (!err)
		err = load_items(l, f);
	if (l->load.notes && (!err || (!l->load.resume && loaded_count(l) == 0)))
		load_notes_remove(&l->notes); /* there is nothing to go on with */
	if (l->o->file)
		close(fd);
	return err;
}

/* --- the end ---------------------------------------------------------------------------------- */

static int loaded(struct loading *l, enum err err, const struct fault *f)
{
	bool can_resume = l->o->file || l->load.keep_offsets;
	int64_t count = loaded_count(l);
	char text[128];
	int code;

	progress_clear(&l->progress);
	if (!err) {
		l->progress.events = l->o->check ? l->reader.event_count : count;
		if (!l->o->quiet)
			fprintf(stderr, "%s %u topic%s: %s\n", l->o->check ? "Checked" : "Loaded",
			        l->wanted_count, units_plural(l->wanted_count),
			        progress_summary(&l->progress, text));
		return CLI_OK;
	}
	code = moving_fail(f);
	if (count > 0)
		fprintf(stderr, "bourn: %lld events were loaded until then%s\n", (long long)count,
		        can_resume ? "; the same command with --resume goes on" : "");
	return code;
}

static void loading_fini(struct loading *l)
{
	for (uint32_t i = 0; i < l->target_count; i++)
		load_target_free(l->targets[i]);
	free(l->targets);
	dump_reader_fini(&l->reader);
	load_notes_fini(&l->notes);
	client_free(l->client);
}

int cli_load(int argc, char **argv, const struct cli_parts *parts)
{
	struct load_command o = {0};
	struct loading l = {.o = &o};
	struct fault f;
	enum err err;
	int code;

	(void)parts;
	remote_options_init(&o.remote);
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	cli_catch_signals();
	progress_init(&l.progress, o.quiet);
	l.retry.server = o.remote.server;
	l.load = o.load;
	l.load.retry = &l.retry;
	err = client_new(o.remote.server, cli_stopped(), &l.client, &f);
	l.load.client = l.client;
	if (!err)
		err = load_file(&l, &f);
	code = loaded(&l, err, &f);
	loading_fini(&l);
	return cli_finish_stdout(code);
}
