/* hooked stage: what the stages of a request have in common where hooks see them. Private to
 * hooked_request and hooked_answer. */
#ifndef BOURN_FRONT_HTTP_HOOKED_STAGE_H
#define BOURN_FRONT_HTTP_HOOKED_STAGE_H

#include "front/hooked.h"
#include "front/http/exchange.h"

/* Of the request; NONE: it is about no topic. */
struct slice stage_topic(const struct exchange *x);

/* A run at that point, for the caller to fill in. All are borrowed as long as it goes on; what was
 * in the arena is gone. */
void stage_init(struct hook_run *run, struct exchange *x, enum bourn_point point,
                struct bourn_caller *caller, struct arena *arena);

/* For a run that does not wait. */
struct arena *stage_arena(const struct exchange *x, enum bourn_point point);

/* May hooks there answer later? Then it takes memory of its own: its connection may be closed
 * meanwhile. */
bool stage_waits(const struct exchange *x, enum bourn_point point);

/* Its problem is what hooks said. */
void stage_take_refusal(struct exchange *x, const struct hook_run *r);

/* A field that the connection's needs decide, not hooks. */
bool stage_is_framing(struct slice name);

#endif
