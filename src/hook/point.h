/* point: the places where hooks are called, by name, and what may be said there. */
#ifndef BOURN_HOOK_POINT_H
#define BOURN_HOOK_POINT_H

#include "base/slice.h"

#include <bourn/hook.h>

/* "request_received"; what a hook's functions and metrics are called. */
const char *point_name(enum bourn_point point);
/* BOURN_POINT_COUNT: there is none of that name. */
enum bourn_point point_parse(struct slice name);

/* May a hook say this there? */
bool point_allows(enum bourn_point point, enum bourn_verdict verdict);

/* "continue"; what scripts return. */
const char *verdict_name(enum bourn_verdict verdict);
bool verdict_parse(struct slice name, enum bourn_verdict *out);

enum { VERDICT_COUNT = BOURN_FAIL + 1 };

/* The two stand for the same; the public one is known to hooks. */
static inline struct bourn_slice slice_out(struct slice s)
{
	return (struct bourn_slice){s.ptr, s.len};
}

static inline struct slice slice_in(struct bourn_slice s)
{
	return slice_of(s.ptr, s.len);
}

#endif
