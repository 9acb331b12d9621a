/* client: one connection to a broker, for programs that may wait: the command line and the demo.
 *
 * Blocking. Not thread safe: one client a thread. Connects when needed and again after the server
 * closed; a request is sent again only if nothing of it can have been carried out. */
#ifndef BOURN_CLIENT_CLIENT_H
#define BOURN_CLIENT_CLIENT_H

#include "base/buf.h"
#include "base/err.h"

#include <stdatomic.h>

struct client;

enum {
	CLIENT_BODY_BYTES_MAX = 256 << 20,
	/* An event of 16 MiB, the most that max.message.bytes allows, in JSON's longest escapes. */
	CLIENT_LINE_BYTES_MAX = 128 << 20,
};

struct client_request {
	const char *method;  /* "GET" */
	struct slice path;   /* "/consume/t?offset=3", escaped; borrowed during the call */
	struct slice fields; /* more header fields, each ended by CRLF; borrowed */
	struct slice body;   /* NONE: no body */
	int64_t wait_ms;     /* how long the answer may take to begin; 0: 30 s */
};

struct client_response {
	int status;
	struct buf body; /* owned; the caller clears or frees it */
	struct buf next; /* owned: the Event-Next field, empty without */
	char allow[64];  /* the Allow field */
};

/* "http://host[:port]", port 80 without; ERR_BAD_PARAMETER for anything else. `stop` (may be NULL):
 * set by a signal handler, every wait ends with ERR_SHUTTING_DOWN. Connects later. */
enum err client_new(const char *url, const atomic_bool *stop, struct client **out,
                    struct fault *f) MUST_CHECK;
void client_free(struct client *c);

const char *client_url(const struct client *c);

/* One request, its whole answer. Any status is OK here: see response.status. The response's bufs
 * are cleared first and need a limit (client_response_init).
 * Errors: ERR_UNREACHABLE: no connection, or it broke (`f` says whether the outcome is unknown);
 *         ERR_REQUEST_SLOW: no answer in time; ERR_SHUTTING_DOWN: stopped. */
enum err client_call(struct client *c, const struct client_request *request,
                     struct client_response *response, struct fault *f) MUST_CHECK;

void client_response_init(struct client_response *response);
void client_response_fini(struct client_response *response);

/* Pipelining: send any number, then receive as many answers, in order. */
enum err client_send(struct client *c, const struct client_request *request,
                     struct fault *f) MUST_CHECK;
enum err client_receive(struct client *c, struct client_response *response,
                        struct fault *f) MUST_CHECK;

/* An endless answer, as lines: open, lines, lines, …, close. Nothing else is asked of the client
 * meanwhile.
 *
 * Open sends the request and waits for the head (response.status, response.next); `response` is
 * borrowed until close. A status other than 200 comes back whole, as from client_call, and there
 * are no lines then. Errors as there. */
enum err client_stream_open(struct client *c, const struct client_request *request,
                            struct client_response *response, struct fault *f) MUST_CHECK;

/* Wait, for ever if need be, for one or more whole lines, each with its LF; SLICE_NONE when the
 * answer has ended. What stands after its last LF is never handed out: it is a line cut off.
 * Borrowed until the next call on this client.
 * Errors: ERR_UNREACHABLE: the connection broke, or the peer's machine does not answer any more
 *         (told after about 25 s); ERR_TOO_LARGE: a line above CLIENT_LINE_BYTES_MAX;
 *         ERR_SHUTTING_DOWN: stopped. */
enum err client_stream_lines(struct client *c, struct slice *lines, struct fault *f) MUST_CHECK;

/* The connection is closed with it, unless the answer has ended. Also when none is open. */
void client_stream_close(struct client *c);

/* Turn a refusal's problem+json into a fault: the code by its slug, `where` its detail. */
enum err client_problem(const struct client_response *response, struct fault *f);

/* The same for a problem that came inside of something else: validated JSON, an object. */
enum err client_problem_parse(struct slice json, struct fault *f);

#endif
