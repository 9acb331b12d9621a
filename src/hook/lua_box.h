/* lua box: a Lua 5.4 state that a script cannot reach out of, nor stay in: no io, no os, nothing that
 * loads code, so many instructions a call, so much memory in all. Private to hook/.
 *
 * What a script could otherwise do for ever without an instruction being counted is taken away:
 * finalizers (which run with counting off) and lengths that lie (loops in C). Patterns on long texts
 * can still take long; docs/hooks.md says so. */
#ifndef BOURN_HOOK_LUA_BOX_H
#define BOURN_HOOK_LUA_BOX_H

#include "base/err.h"
#include "base/slice.h"

#include <lua.h>

struct lua_box {
	lua_State *lua;
	size_t bytes; /* in use */
	size_t bytes_max;
	int instructions_max;
	void *owner; /* lua_box_of finds the box from inside a function */
};

/* An empty state with the libraries that are allowed. False: no memory. */
bool lua_box_init(struct lua_box *box, size_t bytes_max, int instructions_max, void *owner);
void lua_box_fini(struct lua_box *box);

struct lua_box *lua_box_of(lua_State *lua);

/* Compile and run the script. ERR_CONFIG says what went wrong, and in which line. */
enum err lua_box_run(struct lua_box *box, struct slice script, const char *name,
                     struct fault *f) MUST_CHECK;

/* Call the function that lies below `arguments` on the stack, within the limits. False: `why`, a line
 * for a person, says what went wrong; nothing is left on the stack then. */
bool lua_box_call(struct lua_box *box, int arguments, int results, char *why, size_t cap);

#endif
