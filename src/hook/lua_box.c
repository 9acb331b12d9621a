#include "hook/lua_box.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

/* --- limits --------------------------------------------------------------------------------------- */

static void *allocate(void *arg, void *was, size_t was_bytes, size_t bytes)
{
	struct lua_box *box = arg;
	void *memory;

	if (!was)
		was_bytes = 0; /* it is a kind of object then */
	if (bytes > was_bytes && bytes - was_bytes > box->bytes_max - box->bytes)
		return NULL;
	if (bytes == 0) {
		free(was);
		box->bytes -= was_bytes;
		return NULL;
	}
	memory = realloc(was, bytes);
	if (memory)
		box->bytes += bytes - was_bytes;
	return memory;
}

/* From here on every instruction is an error, so that no pcall in the script can go on. */
static void ran_too_long(lua_State *lua, lua_Debug *debug)
{
	(void)debug;
	lua_sethook(lua, ran_too_long, LUA_MASKCOUNT, 1);
	luaL_error(lua, "it ran for more than %d instructions", lua_box_of(lua)->instructions_max);
}

static void say_why(lua_State *lua, char *why, size_t cap)
{
	/* Asking an object for its text would run the script again. */
	if (lua_type(lua, -1) == LUA_TSTRING)
		snprintf(why, cap, "%s", lua_tostring(lua, -1));
	else
		snprintf(why, cap, "it raised an error that is not a text");
	lua_pop(lua, 1);
}

bool lua_box_call(struct lua_box *box, int arguments, int results, char *why, size_t cap)
{
	lua_State *lua = box->lua;
	int status;

	lua_sethook(lua, ran_too_long, LUA_MASKCOUNT, box->instructions_max);
	status = lua_pcall(lua, arguments, results, 0);
	if (status == LUA_OK)
		return true;
	lua_sethook(lua, NULL, 0, 0);
	say_why(lua, why, cap);
	if (status == LUA_ERRMEM)
		lua_gc(lua, LUA_GCCOLLECT);
	return false;
}

enum err lua_box_run(struct lua_box *box, struct slice script, const char *name, struct fault *f)
{
	char why[256];

	if (luaL_loadbufferx(box->lua, (const char *)script.ptr, script.len, name, "t") != LUA_OK) {
		say_why(box->lua, why, sizeof(why));
		return fault_set(f, ERR_CONFIG, 0, "%s", why);
	}
	if (!lua_box_call(box, 0, 0, why, sizeof(why)))
		return fault_set(f, ERR_CONFIG, 0, "%s", why);
	return OK;
}

/* --- what scripts find ---------------------------------------------------------------------------- */

static int set_metatable(lua_State *lua)
{
	luaL_checktype(lua, 1, LUA_TTABLE);
	luaL_argexpected(lua, lua_isnoneornil(lua, 2) || lua_istable(lua, 2), 2, "nil or table");
	if (luaL_getmetafield(lua, 1, "__metatable") != LUA_TNIL)
		return luaL_error(lua, "cannot change a protected metatable");
	if (lua_istable(lua, 2)) {
		lua_pushliteral(lua, "__gc");
		if (lua_rawget(lua, 2) != LUA_TNIL)
			return luaL_error(lua, "a metatable may not have __gc here");
		lua_pushliteral(lua, "__len");
		if (lua_rawget(lua, 2) != LUA_TNIL)
			return luaL_error(lua, "a metatable may not have __len here");
	}
	lua_settop(lua, 2);
	lua_setmetatable(lua, 1);
	return 1;
}

static void forget(lua_State *lua, const char *library, const char *const *names)
{
	lua_getglobal(lua, library);
	for (; *names; names++) {
		lua_pushnil(lua);
		lua_setfield(lua, -2, *names);
	}
	lua_pop(lua, 1);
}

static int open_libraries(lua_State *lua)
{
	static const luaL_Reg libraries[] = {
		{LUA_GNAME, luaopen_base},       {LUA_STRLIBNAME, luaopen_string},
		{LUA_TABLIBNAME, luaopen_table}, {LUA_MATHLIBNAME, luaopen_math},
		{LUA_UTF8LIBNAME, luaopen_utf8}, {NULL, NULL},
	};
	static const char *const base[] = {"dofile", "loadfile", "load", "collectgarbage",
	                                   "print",  "warn",     NULL};
	static const char *const string[] = {"dump", NULL};
	static const char *const table[] = {"move", NULL};

	for (const luaL_Reg *library = libraries; library->name; library++) {
		luaL_requiref(lua, library->name, library->func, 1);
		lua_pop(lua, 1);
	}
	forget(lua, LUA_GNAME, base);
	forget(lua, LUA_STRLIBNAME, string);
	forget(lua, LUA_TABLIBNAME, table);
	lua_pushcfunction(lua, set_metatable);
	lua_setglobal(lua, "setmetatable");
	return 0;
}

/* --- life ----------------------------------------------------------------------------------------- */

struct lua_box *lua_box_of(lua_State *lua)
{
	return *(struct lua_box **)lua_getextraspace(lua);
}

bool lua_box_init(struct lua_box *box, size_t bytes_max, int instructions_max, void *owner)
{
	*box = (struct lua_box){
		.bytes_max = bytes_max, .instructions_max = instructions_max, .owner = owner};
	box->lua = lua_newstate(allocate, box);
	if (!box->lua)
		return false;
	*(struct lua_box **)lua_getextraspace(box->lua) = box;
	lua_pushcfunction(box->lua, open_libraries);
	if (lua_pcall(box->lua, 0, 0, 0) == LUA_OK)
		return true;
	lua_box_fini(box);
	return false;
}

void lua_box_fini(struct lua_box *box)
{
	lua_close(box->lua);
	box->lua = NULL;
}
