/* hooked: what hooks say of connections, of subscriptions, of events that leave, and who is told
 * that an answer was sent. Those of a request stand in http/hooked_request.h.
 *
 * Where there are no hooks each of these is the test of a pointer. */
#ifndef BOURN_FRONT_HOOKED_H
#define BOURN_FRONT_HOOKED_H

#include "broker/reader.h"
#include "front/connection.h"
#include "front/form.h"
#include "front/shard.h"
#include "hook/hook.h"

/* connect: may this new connection stay? Its caller is filled in. */
bool hooked_connect(struct connection *c);

/* subscribe: ERR_HOOK_REFUSED or ERR_HOOK_FAILED fill in `f`, and `*refusal` with what the hook
 * said more: owned by the caller; NULL: nothing. */
enum err hooked_subscribe(struct connection *c, enum bourn_front front, struct slice topic,
                          struct fault *f, struct refusal **refusal) MUST_CHECK;

/* deliver: false: the event is left out. Else `d` is what it became, until the next call. */
bool hooked_deliver_to(struct front *f, enum bourn_front front, struct slice topic,
                       struct delivery *d);

static inline bool hooked_deliver(struct front *f, enum bourn_front front, struct slice topic,
                                  struct delivery *d)
{
	return !HOOKS_BUILT || !f->chains[BOURN_DELIVER] || hooked_deliver_to(f, front, topic, d);
}

static inline enum bourn_front hooked_front(struct form form)
{
	return form.kind == FORM_FRAME ? BOURN_FRONT_WEBSOCKET : BOURN_FRONT_HTTP;
}

/* --- those who are only told ------------------------------------------------------------------ */

/* Have the hooks of its point see a call that is filled in; nothing comes of it. Those that answer
 * later get a copy; without memory for that they are not told. */
void hooked_tell(struct front *f, struct hook_run *run);

/* --- after_response_send ---------------------------------------------------------------------- */

/* What a request is remembered by when it is gone. */
struct hooked_target {
	uint64_t request_id;
	enum http_method method;
	size_t topic_bytes; /* the first of `text`; 0: none */
	size_t bytes;       /* of the target behind it */
	char text[];
};

struct slice hooked_topic(const struct hooked_target *t);
struct slice hooked_target_text(const struct hooked_target *t);

/* An answer with that status was appended to the connection's output: the hooks are told when all
 * of that has left; never, if it breaks before. Takes `target`. */
void hooked_will_send(struct connection *c, struct hooked_target *target, int status);

/* Some output has left. */
void hooked_sent(struct connection *c);

/* The connection is gone; nobody is told. */
void hooked_forget(struct connection *c);

#endif
