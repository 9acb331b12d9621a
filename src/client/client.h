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

enum { CLIENT_BODY_BYTES_MAX = 256 << 20 };

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

/* An endless answer: `piece` gets the body as it comes and returns false to end it (the connection
 * is then closed). A status other than 200 comes back whole, as from client_call. */
enum err client_stream(struct client *c, const struct client_request *request,
                       struct client_response *response,
                       bool (*piece)(void *arg, struct slice bytes), void *arg,
                       struct fault *f) MUST_CHECK;

/* Turn a refusal's problem+json into a fault: the code by its slug, `where` its detail. */
enum err client_problem(const struct client_response *response, struct fault *f);

#endif
