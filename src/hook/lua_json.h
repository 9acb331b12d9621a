/* JSON for scripts: the globals json.decode, encode, null, array and is_array. Private to hook/.
 *
 *	decode(text)    object → table, array → table that stays an array, null → json.null
 *	encode(value)   a table is an array if it was one, was made by json.array, or has the keys
 *	                1 … n and no others; else an object. The order of an object's members is lost. */
#ifndef BOURN_HOOK_LUA_JSON_H
#define BOURN_HOOK_LUA_JSON_H

#include "base/buf.h"

#include <lua.h>

/* A C function for lua_pcall: sets the global. Its argument, a light userdata, is a struct buf that
 * encode writes into; borrowed as long as the state lives. */
int lua_json_open(lua_State *lua);

/* Push what validated `text` holds. Raises an error when memory ends. */
void lua_json_push(lua_State *lua, struct slice text);

#endif
