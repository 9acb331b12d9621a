/* What the verbs that talk to a broker have in common: --server, -o, one call with its refusals
 * turned into faults, and the lines that events come in. */
#ifndef BOURN_CLI_REMOTE_H
#define BOURN_CLI_REMOTE_H

#include "cli/cli.h"
#include "client/client.h"

enum output { OUTPUT_TEXT, OUTPUT_JSON, OUTPUT_NDJSON, OUTPUT_RAW };

struct remote_options {
	const char *server; /* a URL */
	enum output output;
};

/* To be a verb's argp child; its input is a struct remote_options. */
extern const struct argp remote_argp;

/* The defaults: BOURN_URL or http://localhost:3030, text. */
void remote_options_init(struct remote_options *o);

/* client_call, with a status of 400 and up as a fault of the broker's own code. */
enum err remote_call(struct client *c, const struct client_request *request,
                     struct client_response *response, struct fault *f) MUST_CHECK;

/* Append "/<prefix>/<escaped name>" to a path. */
void remote_path(struct buf *path, const char *prefix, const char *topic);

/* For an option --from: what the broker would refuse is refused here in the same words, before
 * anything is asked. Does not return then. */
void remote_check_from(const char *arg, struct argp_state *state);

/* One event as a line of the broker's NDJSON. */
struct event_line {
	struct slice raw;      /* the line, borrowed, as are the other slices */
	struct slice topic;    /* NONE: not said */
	struct slice value;    /* JSON text of the value as it stands in the line */
	struct slice encoding; /* "json" "text" "base64" "none" */
	struct slice next;     /* the cursor after it; NONE: not said */
	int64_t partition;
	int64_t offset;
};

/* False when the line is not an event. */
bool event_line_parse(struct slice line, struct event_line *out);

/* The payload's own bytes: what was produced (JSON without outer white space). */
void event_line_payload(const struct event_line *e, struct buf *out);

/* Write an event to stdout as `output` says; `prefix` goes before it in text. */
void event_line_print(const struct event_line *e, enum output output, const char *prefix);

#endif
