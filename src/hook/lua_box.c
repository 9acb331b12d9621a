#include "hook/lua_box.h"

#include "hook/lua_find.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	LOOK_INSTRUCTIONS = 500, /* between two looks at the limits … */
	LOOK_CALLS = 8,          /* … and calls of functions */
};

/* --- limits ----------------------------------------------------------------------------------- */

static void *allocate(void *arg, void *was, size_t was_bytes, size_t bytes)
{
	struct lua_box *box = arg;
	void *memory;

	if (!was)
		was_bytes = 0; /* it is a kind of object then */
	if (bytes > was_bytes && bytes - was_bytes > box->limits.bytes - box->bytes)
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

static void look(lua_State *lua, lua_Debug *debug)
{
	struct lua_box *box = lua_box_of(lua);

	if (debug->event == LUA_HOOKCOUNT)
		lua_box_spend(lua, LOOK_INSTRUCTIONS);
	else if (++box->calls % LOOK_CALLS == 0)
		lua_box_spend(lua, 0);
}

/* From here on every instruction is an error, so that no pcall in the script can go on. */
static void cut(lua_State *lua, const char *what, lua_Integer limit)
{
	lua_sethook(lua, look, LUA_MASKCALL | LUA_MASKCOUNT, 1);
	luaL_error(lua, "it ran for more than %I %s", limit, what);
}

void lua_box_spend(lua_State *lua, int64_t instructions)
{
	struct lua_box *box = lua_box_of(lua);
	int64_t now_us;

	box->instructions_left -= instructions;
	if (box->instructions_left <= 0)
		cut(lua, "instructions", box->limits.instructions);
	now_us = box->clock->now(box->clock).mono_us;
	if (box->deadline_us == 0)
		box->deadline_us = now_us + 1000 * box->limits.time_ms;
	else if (now_us >= box->deadline_us)
		cut(lua, "ms", box->limits.time_ms);
}

static void call_begins(struct lua_box *box)
{
	int every = box->limits.instructions < LOOK_INSTRUCTIONS ? box->limits.instructions
	                                                         : LOOK_INSTRUCTIONS;

	box->instructions_left = box->limits.instructions;
	box->deadline_us = 0;
	box->calls = 0;
	lua_sethook(box->lua, look, LUA_MASKCALL | LUA_MASKCOUNT, every);
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

	call_begins(box);
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

/* --- what scripts find ------------------------------------------------------------------------ */

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

/* An order that Lua itself makes would be made without a look at the clock. */
static int less(lua_State *lua)
{
	lua_pushboolean(lua, lua_compare(lua, 1, 2, LUA_OPLT));
	return 1;
}

/* (table, less): Lua's sort is the upvalue. */
static int sort(lua_State *lua)
{
	lua_settop(lua, 2);
	if (lua_isnil(lua, 2)) {
		lua_pushcfunction(lua, less);
		lua_replace(lua, 2);
	}
	lua_pushvalue(lua, lua_upvalueindex(1));
	lua_insert(lua, 1);
	lua_call(lua, 2, 0);
	return 0;
}

static void replace_sort(lua_State *lua)
{
	lua_getglobal(lua, LUA_TABLIBNAME);
	lua_getfield(lua, -1, "sort");
	lua_pushcclosure(lua, sort, 1);
	lua_setfield(lua, -2, "sort");
	lua_pop(lua, 1);
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
	replace_sort(lua);
	lua_find_open(lua);
	return 0;
}

/* --- life ------------------------------------------------------------------------------------- */

struct lua_box *lua_box_of(lua_State *lua)
{
	return *(struct lua_box **)lua_getextraspace(lua);
}

bool lua_box_init(struct lua_box *box, const struct lua_limits *limits, void *owner)
{
	*box = (struct lua_box){.limits = *limits, .clock = clock_system(), .owner = owner};
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
