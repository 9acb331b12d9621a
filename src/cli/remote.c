#include "cli/remote.h"

#include "front/position.h"
#include "wire/base64.h"
#include "wire/json.h"
#include "wire/url.h"

#include <stdio.h>
#include <stdlib.h>

enum { EVENT_TEXT_BYTES_MAX = 32 << 20 }; /* 16 MiB, the largest event, as base64 */

static const char *const output_names[] = {"text", "json", "ndjson", "raw"};

static const struct argp_option options[] = {
	{"server", 's', "URL", 0, "the broker (BOURN_URL, or http://localhost:3030)", 90},
	{"output", 'o', "FORM", 0, "text, json, ndjson or raw", 90},
	{0},
};

/* A wrong URL is wrong usage, whether it came by flag or environment. */
static void check_server(const char *url, struct argp_state *state)
{
	struct client *c;
	struct fault f;

	if (client_new(url, NULL, &c, &f) != OK)
		argp_error(state, "%s", f.where);
	client_free(c);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct remote_options *o = state->input;

	switch (key) {
	case 's': o->server = arg; return 0;
	case 'o':
		for (size_t i = 0; i < ARRAY_COUNT(output_names); i++) {
			if (strcmp(arg, output_names[i]) == 0) {
				o->output = (enum output)i;
				return 0;
			}
		}
		argp_error(state, "-o takes text, json, ndjson or raw, not '%s'", arg);
		return EINVAL;
	case ARGP_KEY_END: check_server(o->server, state); return 0;
	default: return ARGP_ERR_UNKNOWN;
	}
}

const struct argp remote_argp = {.options = options, .parser = parse_option};

void remote_options_init(struct remote_options *o)
{
	const char *url = getenv("BOURN_URL");

	o->server = url && *url ? url : "http://localhost:3030";
	o->output = OUTPUT_TEXT;
}

enum err remote_call(struct client *c, const struct client_request *request,
                     struct client_response *response, struct fault *f)
{
	enum err err = client_call(c, request, response, f);

	if (err == OK && response->status >= 400)
		err = client_problem(response, f);
	return err;
}

void remote_path(struct buf *path, const char *prefix, const char *topic)
{
	buf_printf(path, "/%s/", prefix);
	url_encode(slice_str(topic), path);
}

void remote_check_from(const char *arg, struct argp_state *state)
{
	struct position position;
	struct fault fault;

	if (position_parse(slice_str(arg), SLICE_NONE, POSITION_END, 0, &position, NULL, &fault))
		argp_error(state, "%s", fault.where);
}

/* Of a string that needs no escapes. */
static bool plain_string(struct json_value value, struct slice *out)
{
	if (value.kind != JSON_STRING)
		return false;
	*out = slice_of(value.raw.ptr + 1, value.raw.len - 2);
	return true;
}

bool event_line_parse(struct slice line, struct event_line *out)
{
	bool has_offset = false, has_partition = false;
	struct json_value value;
	struct json_iter it;
	struct slice key;

	if (!json_validate(line, JSON_DEPTH_MAX, NULL) || json_root(line).kind != JSON_OBJECT)
		return false;
	*out = (struct event_line){.raw = json_root(line).raw};
	json_iter_init(&it, json_root(line));
	while (json_iter_next(&it, &key, &value)) {
		if (json_string_is(key, "offset"))
			has_offset = json_to_int64(value, &out->offset);
		else if (json_string_is(key, "partition"))
			has_partition = json_to_int64(value, &out->partition);
		else if (json_string_is(key, "topic"))
			plain_string(value, &out->topic);
		else if (json_string_is(key, "encoding"))
			plain_string(value, &out->encoding);
		else if (json_string_is(key, "next"))
			plain_string(value, &out->next);
		else if (json_string_is(key, "value"))
			out->value = value.raw;
	}
	return has_offset && has_partition && out->encoding.ptr;
}

void event_line_payload(const struct event_line *e, struct buf *out)
{
	struct buf text = BUF_INIT(EVENT_TEXT_BYTES_MAX);

	if (slice_eq(e->encoding, SLICE_LIT("json"))) {
		buf_append_slice(out, e->value);
	} else if (slice_eq(e->encoding, SLICE_LIT("text"))) {
		json_string_decode(e->value, out);
	} else if (slice_eq(e->encoding, SLICE_LIT("base64"))) {
		json_string_decode(e->value, &text);
		base64_decode(BASE64_STD, buf_slice(&text), out);
	}
	buf_fini(&text);
}

void event_line_print(const struct event_line *e, enum output output, const char *prefix)
{
	struct buf payload = BUF_INIT(EVENT_TEXT_BYTES_MAX);

	if (output == OUTPUT_JSON || output == OUTPUT_NDJSON) {
		fwrite(e->raw.ptr, 1, e->raw.len, stdout);
		putchar('\n');
		return;
	}
	event_line_payload(e, &payload);
	if (output == OUTPUT_TEXT)
		fputs(prefix, stdout);
	fwrite(payload.ptr, 1, payload.len, stdout);
	if (output == OUTPUT_TEXT)
		putchar('\n');
	buf_fini(&payload);
}
