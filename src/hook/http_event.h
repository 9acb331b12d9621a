/* http event: an event as a CloudEvent in binary mode, as a hook over HTTP gets it, and its answer
 * put to use. Pure. Private to hook/.
 *
 *	POST /check HTTP/1.1                     HTTP/1.1 200 OK          replaces the value …
 *	Content-Type: application/json           Content-Type: …          … its type …
 *	ce-specversion: 1.0                      Event-Key: …             … the key …
 *	ce-id: 000000000000002a-1                Event-Header-checked: y  … and this header
 *	ce-source: /topics/orders
 *	ce-type: bourn.event                     204                      unchanged
 *	ce-time: 2026-11-22T07:00:00.000Z        4xx                      refused; body passed on
 *	Event-Key: k                             Hook-Verdict: drop       dropped (with 2xx)
 *	Event-Header-a: b                        else                     a failure
 *	Hook-Name: check
 *	Hook-Point: produce
 *
 *	{"id":1}
 *
 * A request or an answer (it has a method) is told of in other fields: Hook-Method, Hook-Target,
 * Hook-Topic, Hook-Status, Hook-Field-<name> for each of its own; the body is its body. In the
 * answer Hook-Status and Hook-Field-<name> replace what it has.
 *
 * An event that is a CloudEvent keeps its own ce-*. Headers that HTTP cannot carry are left out. */
#ifndef BOURN_HOOK_HTTP_EVENT_H
#define BOURN_HOOK_HTTP_EVENT_H

#include "hook/call.h"

/* Append the fields of the request, "name: value" each, ended by a NUL byte. `number` makes the
 * event's id one of its own. */
void http_event_fields(struct call *c, const char *hook, uint64_t number, struct buf *out);

/* What came back. Slices are borrowed during the call only. */
struct http_event_answer {
	int status;
	struct slice head; /* all lines after the status line, as they came */
	struct slice body;
};

/* What the answer says, with what it changes in the call. */
enum bourn_verdict http_event_verdict(struct call *c, const struct http_event_answer *a);

#endif
