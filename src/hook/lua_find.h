/* lua find: string.find, match, gmatch and gsub for scripts that must end: as Lua's manual has
 * them, but their steps are counted (lua_pattern). What is wrong with a pattern is said before the
 * first step. Private to hook/. */
#ifndef BOURN_HOOK_LUA_FIND_H
#define BOURN_HOOK_LUA_FIND_H

#include <lua.h>

/* Put them in the place of Lua's own. The state is a box's. Raises errors. */
void lua_find_open(lua_State *lua);

#endif
