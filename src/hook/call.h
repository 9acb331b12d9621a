/* call: one event or request on its way past hooks: what they see, what they changed, what they
 * refused it with. The inside of struct bourn_call.
 *
 *	call_init … fill in pub … (hooks) … take out what it became
 *
 * Headers stay as they are encoded until a hook looks at them, and are copied when it changes them.
 * Everything a hook made lies in the arena. */
#ifndef BOURN_HOOK_CALL_H
#define BOURN_HOOK_CALL_H

#include "base/err.h"
#include "hook/arena.h"
#include "hook/point.h"
#include "record/batch.h"

struct hook;

/* What a client is told that was refused. */
struct refusal {
	int status;                /* 400 to 599; 0: none given */
	uint32_t retry_after_s;    /* 0: not said */
	struct slice detail;       /* for a person; NONE: nothing to say */
	struct slice body;         /* instead of a problem of ours; NONE: none */
	struct slice content_type; /* of the body */
};

/* A copy of its own, all in one allocation: free it. NULL: no memory. */
struct refusal *refusal_copy(const struct refusal *r);

/* A decoded list of headers. */
struct call_headers {
	struct slice encoded; /* as in a record: what the list is read from. Borrowed */
	uint32_t count;
	struct bourn_header *list; /* in the arena; NULL: not decoded yet */
	uint32_t cap;              /* 0: the list is not ours to change */
	bool changed;
};

/* What a hook may change, and what is taken back when it fails. */
struct call_content {
	struct bourn_slice key;
	struct bourn_slice value;
	int32_t status;
	struct call_headers headers;
};

struct call {
	struct bourn_call pub;
	struct arena *arena; /* borrowed */
	struct call_headers headers;
	struct refusal refusal;  /* what points into the arena */
	const struct hook *hook; /* the one that is being called */
	const char *failure;     /* why it failed, where its carrier knows; borrowed */
	bool skipped;            /* it was not even asked, which the log was told before */
	bool any_case;           /* names of headers are fields of HTTP */
};

/* `pub` but for what is the same for all calls is the caller's to fill in. */
void call_init(struct call *c, enum bourn_point point, const struct bourn_caller *caller,
               struct arena *arena);

/* The event of a produce or deliver; and back: what it became. `r` is borrowed as long as the call
 * lives. False: no memory. */
void call_set_record(struct call *c, const struct record *r);
bool call_get_record(struct call *c, struct record *r) MUST_CHECK;

struct call_content call_content(const struct call *c);
void call_restore(struct call *c, const struct call_content *content);

/* Copy all that it borrows into the arena, for one that has to wait. False: no memory. */
bool call_keep(struct call *c) MUST_CHECK;

/* The headers, decoded; NULL and 0: there are none, or no memory. */
const struct bourn_header *call_headers(struct call *c, uint32_t *count);

/* Have `count` headers, decoded; of HTTP, whose names are fields'. Borrowed as long as the call
 * lives. */
void call_set_fields(struct call *c, struct bourn_header *list, uint32_t count);

/* Why what a hook made cannot be; NULL: it can. Static text. */
const char *call_objection(struct call *c);

extern const struct bourn_host call_host;

static inline struct call *call_of(struct bourn_call *pub)
{
	return (struct call *)(void *)((char *)pub - offsetof(struct call, pub));
}

#endif
