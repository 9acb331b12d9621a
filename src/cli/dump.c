/* bourn dump: topics and their events into a file that `bourn load` takes, of a broker that runs,
 * or of a data directory, which a broker in this process serves meanwhile.
 *
 * What is dumped of a topic is what it holds when its turn comes. Into a file it can be gone on
 * with after whatever stopped it: the file itself says how far it is. */
#include "base/check.h"
#include "cli/local_broker.h"
#include "cli/moving/dump_file.h"
#include "cli/moving/dump_source.h"
#include "cli/moving/progress.h"
#include "cli/remote.h"
#include "cli/retry.h"
#include "cli/units.h"
#include "record/batch.h"
#include "store/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
	OPTION_ALL = 256,
	OPTION_RESUME,
	OPTION_QUIET,
	OPTION_DATA,
	READ_BYTES_MAX = 64 << 20, /* of one answer */
};

struct dump_options {
	struct remote_options remote;
	const char *const *words; /* names and patterns */
	size_t word_count;
	bool all;
	const char *file; /* NULL: standard output */
	const char *data; /* NULL: a broker that runs */
	bool resume;
	bool quiet;
};

static const struct argp_option options[] = {
	{"all", OPTION_ALL, 0, 0, "every topic", 0},
	{"file", 'f', "FILE", 0, "write there, instead of to standard output", 0},
	{"resume", OPTION_RESUME, 0, 0, "go on with a FILE that is not complete", 0},
	{"data", OPTION_DATA, "DIR", 0, "of this data directory, which no broker serves now", 0},
	{"quiet", OPTION_QUIET, 0, 0, "no progress, no summary", 0},
	{0},
};

static void check_options(const struct dump_options *o, struct argp_state *state)
{
	if (o->all == (o->word_count > 0))
		argp_error(state, o->all ? "topics or --all, not both" : "which topics? or --all");
	if (o->resume && !o->file)
		argp_error(state, "--resume needs the --file to go on with");
	if (o->remote.output == OUTPUT_JSON)
		argp_error(state, "a dump is -o ndjson (the default) or -o raw");
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct dump_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = &o->remote; return 0;
	case OPTION_ALL: o->all = true; return 0;
	case 'f': o->file = strcmp(arg, "-") == 0 ? NULL : arg; return 0;
	case OPTION_RESUME: o->resume = true; return 0;
	case OPTION_DATA: o->data = arg; return 0;
	case OPTION_QUIET: o->quiet = true; return 0;
	case ARGP_KEY_ARGS:
		o->words = (const char *const *)(state->argv + state->next);
		o->word_count = (size_t)(state->argc - state->next);
		return 0;
	case ARGP_KEY_END: check_options(o, state); return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {{&remote_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "TOPIC...\n--all",
	.doc = "Write topics with their settings and events to a file that 'bourn load' takes: as lines "
	       "of JSON, or with -o raw as they are stored.\v"
	       "A topic may be a pattern, as 'orders.*'.\n"
	       "\n"
	       "Examples:\n"
	       "  bourn dump orders > orders.ndjson\n"
	       "  bourn dump --all -o raw --file all.dump\n"
	       "  bourn dump --all -o raw --file all.dump --resume      after an interruption\n"
	       "  bourn dump --all --data ./data --file all.dump        of a broker that is stopped\n",
	.children = children,
};

/* --- dumping ---------------------------------------------------------------------------------- */

struct dumping {
	const struct dump_options *o;
	struct client *client;
	struct retry retry;
	struct progress progress;
	struct dump_writer writer;
	struct dump_reader earlier; /* what the file held when this run began */
	int64_t **
		places; /* owned: of each topic in it, by partition: the next offset; -1: none yet */
	struct buf batches;
	int64_t bytes_of_topics; /* of those that are done */
};

static void say(const struct dumping *d, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(const struct dumping *d, const char *format, ...)
{
	va_list args;

	progress_clear(&d->progress);
	fputs("bourn: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

/* Ask again as long as that may help. */
static enum err read_once(struct dumping *d, const char *name, uint32_t partition, int64_t offset,
                          int64_t end, int64_t *next, struct fault *f)
{
	enum err err;

	do {
		err = dump_source_read(d->client, name, partition, offset, end, &d->batches, next,
		                       f);
		if (!err || err == ERR_TRIMMED)
			retry_answered(&d->retry);
	} while (err && err != ERR_TRIMMED && retry_again(&d->retry, err) &&
	         !atomic_load(cli_stopped()));
	return err;
}

static enum err dump_partition(struct dumping *d, const struct dump_topic *t, uint32_t partition,
                               int64_t offset, struct fault *f)
{
	int64_t end = t->spans[partition].high_watermark;
	int64_t next = offset;
	enum err err;

	for (; offset < end; offset = next) {
		err = read_once(d, t->name, partition, offset, end, &next, f);
		if (err == ERR_TRIMMED) {
			say(d,
			    "%s, partition %u: offsets %lld to %lld were dropped meanwhile by "
			    "retention or a purge",
			    t->name, partition, (long long)offset,
			    (long long)(next < end ? next : end) - 1);
			continue;
		}
		if (!err && d->batches.len > 0)
			err = dump_write_batches(&d->writer, partition, buf_slice(&d->batches), f);
		if (err)
			return err;
		if (next == offset)
			break; /* the high watermark, before where it was: a crash took the rest */
		progress_set(&d->progress, d->bytes_of_topics += (int64_t)d->batches.len,
		             d->writer.event_count);
	}
	return OK;
}

/* It was the same one from first to last. */
static enum err check_is_same(struct dumping *d, const struct dump_topic *t, struct fault *f)
{
	struct dump_topic *now = dump_topic_new();
	enum err err = now ? dump_source_describe(d->client, t->name, now, f)
	                   : fault_set(f, ERR_NO_MEMORY, 0, "%s", t->name);

	if (!err && strcmp(now->uuid, t->uuid) != 0)
		err = fault_set(
			f, ERR_TOPIC_GONE, 0,
			"'%.80s' was deleted and made anew since its dump began: begin anew",
			t->name);
	dump_topic_free(now);
	return err;
}

/* `index`: which of the file's it is. */
static enum err dump_topic(struct dumping *d, const struct dump_topic *t, uint32_t index,
                           struct fault *f)
{
	const int64_t *places = index < d->earlier.topic_count ? d->places[index] : NULL;
	enum err err = dump_write_topic(&d->writer, t, index, f);

	for (uint32_t i = 0; i < t->partition_count && !err; i++) {
		int64_t from = places && places[i] >= 0 ? places[i] : t->spans[i].earliest;

		err = dump_partition(d, t, i, from, f);
	}
	if (!err)
		err = dump_write_flush(&d->writer, f);
	return err ? err : check_is_same(d, t, f);
}

static const struct dump_topic *find_earlier(const struct dumping *d, const char *name,
                                             uint32_t *index)
{
	for (*index = 0; *index < d->earlier.topic_count; ++*index)
		if (strcmp(d->earlier.topics[*index]->name, name) == 0)
			return d->earlier.topics[*index];
	return NULL;
}

static enum err dump_name(struct dumping *d, const char *name, struct dump_topic *fresh,
                          struct fault *f)
{
	uint32_t index;
	const struct dump_topic *t = find_earlier(d, name, &index);
	enum err err = OK;

	if (t)
		return dump_topic(d, t, index, f);
	err = dump_source_describe(d->client, name, fresh, f);
	return err ? err : dump_topic(d, fresh, d->writer.topic_count, f);
}

static enum err dump_names(struct dumping *d, const struct name_list *names, struct fault *f)
{
	struct dump_topic *fresh = dump_topic_new();
	enum err err = fresh ? OK : fault_set(f, ERR_NO_MEMORY, 0, "topics");

	for (size_t i = 0; i < names->count && !err; i++) {
		err = dump_name(d, names->names[i], fresh, f);
		if (err == ERR_TOPIC_UNKNOWN) {
			say(d, "%s was deleted meanwhile; it is not in the dump as a whole",
			    names->names[i]);
			err = OK;
		}
	}
	dump_topic_free(fresh);
	return err;
}

/* How much there will be to do. */
static enum err measure(struct dumping *d, const struct name_list *names, struct fault *f)
{
	struct dump_topic *t = d->progress.drawn ? dump_topic_new() : NULL;
	enum err err = OK;

	for (size_t i = 0; t && i < names->count && !err; i++) {
		err = dump_source_describe(d->client, names->names[i], t, f);
		d->progress.total_bytes += err ? 0 : t->bytes;
		if (err == ERR_TOPIC_UNKNOWN)
			err = OK;
	}
	dump_topic_free(t);
	return err;
}

static int64_t wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static enum err dump_all(struct dumping *d, bool is_new, struct fault *f)
{
	struct name_list names = {0};
	struct fault unused;
	enum err err = dump_source_list(d->client, d->o->words, d->o->word_count, &names, f);

	if (!err)
		err = measure(d, &names, f);
	if (!err && is_new)
		err = dump_write_begin(&d->writer, wall_ms(), f);
	if (!err)
		err = dump_names(d, &names, f);
	if (!err)
		err = dump_write_end(&d->writer, f);
	else if (err != ERR_DISK_FULL && err != ERR_IO && d->writer.fd >= 0)
		(void)!dump_write_flush(&d->writer, &unused);
	name_list_fini(&names);
	return err;
}

/* --- the file --------------------------------------------------------------------------------- */

static enum err note_place(struct dumping *d, const struct dump_item *item, struct fault *f)
{
	struct dump_reader *r = &d->earlier;
	struct slice rest = item->batches;
	struct batch b;

	if (item->kind == DUMP_TOPIC) {
		uint32_t count = r->topics[item->topic]->partition_count;
		int64_t **places = realloc(d->places, r->topic_count * sizeof(int64_t *));

		if (places) {
			d->places = places;
			places[item->topic] = malloc(count * sizeof(int64_t));
		}
		if (!places || !places[item->topic])
			return fault_set(f, ERR_NO_MEMORY, 0, "%s", d->o->file);
		for (uint32_t i = 0; i < count; i++)
			places[item->topic][i] = -1;
	}
	for (; rest.len > 0; rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len)) {
		CHECK(batch_parse(rest, &b, NULL) == OK);
		d->places[item->topic][item->partition] = b.last_offset + 1;
	}
	return OK;
}

/* What the file holds; it stands behind the last byte that is good then. */
static enum err read_earlier(struct dumping *d, int fd, struct fault *f)
{
	struct dump_reader *r = &d->earlier;
	struct dump_item item;
	enum err err;

	do {
		err = dump_read(r, &item, f);
		if (!err)
			err = note_place(d, &item, f);
	} while (!err && item.kind != DUMP_END && item.kind != DUMP_CUT);
	if (err)
		return err;
	if (item.kind == DUMP_END)
		return fault_set(f, ERR_INPUT, 0,
		                 "%.60s is complete: there is nothing to go on with", d->o->file);
	if (ftruncate(fd, r->good_at) != 0 || lseek(fd, r->good_at, SEEK_SET) < 0)
		return fault_set(f, ERR_IO, errno, "%s", d->o->file);
	return OK;
}

static const struct dump_format *format_asked(const struct dumping *d)
{
	return d->o->remote.output == OUTPUT_RAW ? &dump_frames : &dump_lines;
}

static enum err open_new(struct dumping *d, int *fd, struct fault *f)
{
	const char *name = d->o->file ? d->o->file : "standard output";

	*fd = STDOUT_FILENO;
	if (d->o->file)
		*fd = open(d->o->file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (*fd < 0 && errno == EEXIST)
		return fault_set(f, ERR_INPUT, 0,
		                 "%.100s is there: --resume goes on with it, or remove it",
		                 d->o->file);
	if (*fd < 0)
		return fault_set(f, ERR_IO, errno, "open %s", d->o->file);
	if (d->o->remote.output == OUTPUT_RAW && isatty(*fd))
		return fault_set(f, ERR_INPUT, 0, "a raw dump is nothing for a terminal: --file");
	dump_writer_init(&d->writer, format_asked(d), *fd, name);
	return OK;
}

static enum err open_earlier(struct dumping *d, int *fd, struct fault *f)
{
	enum err err;

	*fd = open(d->o->file, O_RDWR | O_CLOEXEC);
	if (*fd < 0)
		return fault_set(f, ERR_INPUT, errno, "%s", d->o->file);
	dump_reader_init(&d->earlier, *fd, d->o->file);
	if (lseek(*fd, 0, SEEK_END) == 0) { /* it was interrupted before its first byte */
		dump_writer_init(&d->writer, format_asked(d), *fd, d->o->file);
		return OK;
	}
	(void)lseek(*fd, 0, SEEK_SET);
	err = read_earlier(d, *fd, f);
	if (err)
		return err;
	dump_writer_init(&d->writer, d->earlier.format ? d->earlier.format : format_asked(d), *fd,
	                 d->o->file);
	d->writer.topic_count = d->earlier.topic_count;
	d->writer.event_count = d->earlier.event_count;
	return OK;
}

/* Everything is on disk, as far as the file system can tell. */
static enum err close_file(const struct dumping *d, int fd, struct fault *f)
{
	bool synced, closed;

	if (!d->o->file || fd < 0)
		return OK;
	synced = fsync(fd) == 0 || errno == EINVAL || errno == EROFS; /* a pipe has no disk */
	closed = close(fd) == 0;
	return synced && closed ? OK : fault_set(f, ERR_IO, errno, "write %s", d->o->file);
}

static enum err dump_to_file(struct dumping *d, struct fault *f)
{
	struct fault closed;
	int fd = -1;
	enum err err = d->o->resume ? open_earlier(d, &fd, f) : open_new(d, &fd, f);

	if (!err)
		err = dump_all(d, d->earlier.good_at == 0, f);
	if (close_file(d, fd, &closed) && !err) {
		*f = closed;
		err = closed.code;
	}
	return err;
}

/* --- the end ---------------------------------------------------------------------------------- */

static int dumped(struct dumping *d, enum err err, const struct fault *f)
{
	char text[128];
	int code = CLI_OK;

	d->progress.events = d->writer.event_count;
	progress_clear(&d->progress);
	if (!err) {
		if (!d->o->quiet)
			fprintf(stderr, "Dumped %u topic%s: %s\n", d->writer.topic_count,
			        units_plural(d->writer.topic_count),
			        progress_summary(&d->progress, text));
		return CLI_OK;
	}
	code = moving_fail(f);
	if (d->writer.event_count > 0 && d->o->file)
		fprintf(stderr,
		        "bourn: %s is not complete: %lld events so far; the same command with --resume "
		        "goes on\n",
		        d->o->file, (long long)d->writer.event_count);
	else if (d->writer.byte_count > 0)
		fputs("bourn: what was written is not complete\n", stderr);
	return code;
}

static enum err serve_directory(const struct cli_parts *parts, const struct dump_options *o,
                                struct local_broker **out, struct fault *f)
{
	char engine[DATADIR_ENGINE_BYTES];
	struct datadir dir;
	enum err err = datadir_examine(o->data, parts->disk, &dir, engine, f);

	if (err == ERR_NOT_FOUND)
		return fault_set(f, ERR_INPUT, 0, "%.120s is no data directory of a broker",
		                 o->data);
	if (err)
		return err;
	datadir_close(&dir);
	return local_broker_start(parts, o->data, engine, out, f);
}

static void dumping_fini(struct dumping *d)
{
	for (uint32_t i = 0; d->places && i < d->earlier.topic_count; i++)
		free(d->places[i]);
	free(d->places);
	dump_reader_fini(&d->earlier);
	dump_writer_fini(&d->writer);
	buf_fini(&d->batches);
	client_free(d->client);
}

int cli_dump(int argc, char **argv, const struct cli_parts *parts)
{
	struct dump_options o = {0};
	struct dumping d = {.o = &o, .writer = {.fd = -1}, .batches = BUF_INIT(READ_BYTES_MAX)};
	struct local_broker *broker = NULL;
	struct fault f;
	enum err err = OK;
	int code;

	remote_options_init(&o.remote);
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	cli_catch_signals();
	progress_init(&d.progress, o.quiet);
	if (o.data)
		err = serve_directory(parts, &o, &broker, &f);
	if (broker)
		o.remote.server = local_broker_url(broker);
	d.retry.server = o.remote.server;
	if (!err)
		err = client_new(o.remote.server, cli_stopped(), &d.client, &f);
	if (!err)
		err = dump_to_file(&d, &f);
	code = dumped(&d, err, &f);
	dumping_fini(&d);
	local_broker_stop(broker);
	return code;
}
