/* lua box: a Lua 5.4 state that a script cannot reach out of, nor stay in: no io, no os, nothing
 * that loads code, so many instructions and so much time a call, so much memory in all. Private to
 * hook/.
 *
 * What a script could otherwise do for ever without an instruction being counted is taken away:
 * finalizers (which run with counting off), lengths that lie (loops in C) and Lua's own patterns
 * (lua_pattern). The clock is looked at between instructions and calls; no single one takes longer
 * than some milliseconds on what fits into the memory. */
#ifndef BOURN_HOOK_LUA_BOX_H
#define BOURN_HOOK_LUA_BOX_H

#include "base/err.h"
#include "base/slice.h"
#include "io/clock.h"

#include <lua.h>

struct lua_limits {
	size_t bytes;     /* of the state */
	int instructions; /* of a call */
	int64_t time_ms;  /* of a call */
};

struct lua_box {
	lua_State *lua;
	struct lua_limits limits;
	size_t bytes; /* in use */
	struct clock *clock;
	void *owner; /* lua_box_of finds the box from inside a function */

	/* of the call under way */
	int64_t instructions_left;
	int64_t deadline_us; /* 0: nobody has looked at the clock yet */
	unsigned calls;      /* it made */
};

/* An empty state with the libraries that are allowed. False: no memory. */
bool lua_box_init(struct lua_box *box, const struct lua_limits *limits, void *owner);
void lua_box_fini(struct lua_box *box);

struct lua_box *lua_box_of(lua_State *lua);

/* Work that no instruction counts is counted as so many. Raises an error when the call has no more,
 * or no more time. */
void lua_box_spend(lua_State *lua, int64_t instructions);

/* Compile and run the script. ERR_CONFIG says what went wrong, and in which line. */
enum err lua_box_run(struct lua_box *box, struct slice script, const char *name,
                     struct fault *f) MUST_CHECK;

/* Call the function that lies below `arguments` on the stack, within the limits. False: `why`, a
 * line for a person, says what went wrong; nothing is left on the stack then. */
bool lua_box_call(struct lua_box *box, int arguments, int results, char *why, size_t cap);

#endif
