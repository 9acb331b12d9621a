/* bourn backup: make, list, delete. */
#include "cli/remote.h"
#include "cli/units.h"

#include "wire/json.h"
#include "wire/timefmt.h"
#include "wire/url.h"

#include <errno.h>
#include <stdio.h>

enum {
	OPTION_DELETE = 256,
	TEXT_BYTES_MAX = 8 << 10,
	PATH_BYTES_MAX = 2048,
	MAKE_WAIT_MS = 24 * 60 * 60 * 1000, /* where files have to be copied it takes its time */
};

struct backup_options {
	struct remote_options remote;
	const char *name; /* NULL: the time */
	bool list;
	bool remove;
};

static const struct argp_option options[] = {
	{"list", 'l', 0, 0, "which there are", 0},
	{"delete", OPTION_DELETE, "NAME", 0, "remove one", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct backup_options *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT: state->child_inputs[0] = &o->remote; return 0;
	case 'l': o->list = true; return 0;
	case OPTION_DELETE:
		o->remove = true;
		o->name = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (o->name)
			argp_usage(state);
		o->name = arg;
		return 0;
	case ARGP_KEY_END:
		if (o->list && o->name)
			argp_error(state, "--list takes no name");
		return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_child children[] = {{&remote_argp, 0, NULL, 0}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[NAME]\n--list\n--delete NAME",
	.doc = "Back up all that the broker has, as of one moment, while it goes on.\v"
	       "It makes a data directory of its own beside the broker's files, prints where, and "
	       "says how to restore it.\n"
	       "\n"
	       "Examples:\n"
	       "  bourn backup                 named by the time\n"
	       "  bourn backup monday\n"
	       "  bourn backup --list\n"
	       "  bourn backup --delete monday\n",
	.children = children,
};

/* --- what comes back -------------------------------------------------------------------------- */

struct backup {
	struct buf path; /* owned */
	struct buf name; /* owned */
	int64_t bytes, files, topics, took_ms, created_at;
};

static void take_string(struct json_value object, const char *key, struct buf *into)
{
	struct json_value value;

	buf_clear(into);
	if (json_object_get(object, key, &value) && value.kind == JSON_STRING)
		json_string_decode(value.raw, into);
}

static int64_t number_of(struct json_value object, const char *key)
{
	struct json_value value;
	int64_t number;

	return json_object_get(object, key, &value) && json_to_int64(value, &number) ? number : 0;
}

static void take_backup(struct json_value object, struct backup *b)
{
	take_string(object, "path", &b->path);
	take_string(object, "name", &b->name);
	b->bytes = number_of(object, "bytes");
	b->files = number_of(object, "files");
	b->topics = number_of(object, "topics");
	b->took_ms = number_of(object, "took_ms");
	b->created_at = number_of(object, "created_at");
}

/* The path alone is for programs; the rest is for the person. */
static void print_made(const struct backup *b)
{
	struct slice path = buf_slice(&b->path);
	char size[UNITS_TEXT_BYTES];

	printf("%.*s\n", SLICE_FMT(path));
	fflush(stdout);
	fprintf(stderr, "%.*s: %s, %lld topic%s, %lld files, in %lld ms\n",
	        SLICE_FMT(buf_slice(&b->name)), units_bytes((double)b->bytes, size),
	        (long long)b->topics, units_plural(b->topics), (long long)b->files,
	        (long long)b->took_ms);
	fprintf(stderr,
	        "It shares the disk with the broker. To keep it elsewhere, copy it:\n"
	        "  rsync -a %.*s/ backuphost:bourn/%.*s/\n"
	        "To restore it, serve it, or a copy of it:\n"
	        "  bourn serve --data %.*s\n",
	        SLICE_FMT(path), SLICE_FMT(buf_slice(&b->name)), SLICE_FMT(path));
}

static void print_listed(const struct backup *b)
{
	char time[TIME_TEXT_LEN + 1], size[32];

	printf("%-24.*s  %s  %s\n", SLICE_FMT(buf_slice(&b->name)),
	       time_format(b->created_at, time), units_bytes((double)b->bytes, size));
}

static void print_list(struct json_value root)
{
	struct backup b = {.path = BUF_INIT(TEXT_BYTES_MAX), .name = BUF_INIT(TEXT_BYTES_MAX)};
	struct json_value list, one;
	struct json_iter it;
	struct slice key;

	if (json_object_get(root, "backups", &list) && list.kind == JSON_ARRAY) {
		json_iter_init(&it, list);
		while (json_iter_next(&it, &key, &one)) {
			take_backup(one, &b);
			print_listed(&b);
		}
	}
	buf_fini(&b.path);
	buf_fini(&b.name);
}

static void print_answer(const struct backup_options *o, struct slice body)
{
	struct backup b = {.path = BUF_INIT(TEXT_BYTES_MAX), .name = BUF_INIT(TEXT_BYTES_MAX)};

	if (!json_validate(body, JSON_DEPTH_MAX, NULL) || json_root(body).kind != JSON_OBJECT)
		return; /* nothing at all, after a delete */
	if (o->remote.output != OUTPUT_TEXT) {
		printf("%.*s\n", SLICE_FMT(json_root(body).raw));
	} else if (o->list) {
		print_list(json_root(body));
	} else {
		take_backup(json_root(body), &b);
		print_made(&b);
	}
	buf_fini(&b.path);
	buf_fini(&b.name);
}

/* --- asking ----------------------------------------------------------------------------------- */

static void append_body(const struct backup_options *o, struct buf *body)
{
	buf_append_lit(body, "{");
	if (o->name) {
		buf_append_lit(body, "\"name\":");
		json_append_string(body, slice_str(o->name));
	}
	buf_append_lit(body, "}");
}

static enum err run(const struct backup_options *o, struct client *c, struct fault *f)
{
	struct buf path = BUF_INIT(PATH_BYTES_MAX), body = BUF_INIT(TEXT_BYTES_MAX);
	struct client_request request = {.method = "POST", .wait_ms = MAKE_WAIT_MS};
	struct client_response response;
	enum err err;

	client_response_init(&response);
	if (o->remove) {
		request.method = "DELETE";
		remote_path(&path, "v1/admin/backups", o->name);
	} else if (o->list) {
		request.method = "GET";
		buf_append_lit(&path, "/v1/admin/backups");
	} else {
		buf_append_lit(&path, "/v1/admin/backup");
		append_body(o, &body);
		request.fields = SLICE_LIT("Content-Type: application/json\r\n");
		request.body = buf_slice(&body);
	}
	request.path = buf_slice(&path);
	err = remote_call(c, &request, &response, f);
	if (err == OK)
		print_answer(o, buf_slice(&response.body));
	client_response_fini(&response);
	buf_fini(&path);
	buf_fini(&body);
	return err;
}

int cli_backup(int argc, char **argv, const struct cli_parts *parts)
{
	struct backup_options o = {0};
	struct client *c = NULL;
	struct fault f;
	enum err err;

	(void)parts;
	remote_options_init(&o.remote);
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	err = client_new(o.remote.server, NULL, &c, &f);
	if (err == OK)
		err = run(&o, c, &f);
	client_free(c);
	return cli_finish_stdout(err ? cli_fail(&f) : CLI_OK);
}
