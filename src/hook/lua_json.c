#include "hook/lua_json.h"

#include "base/check.h"
#include "wire/json.h"
#include "wire/utf8.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define ARRAY_METATABLE "bourn.array"

/* --- decode ----------------------------------------------------------------------------------- */

static void push_value(lua_State *lua, struct json_value v);

/* What it stands for is never longer than it is itself. */
static void push_string(lua_State *lua, struct slice raw)
{
	luaL_Buffer buffer;
	struct buf out;

	if (!memchr(raw.ptr, '\\', raw.len)) {
		lua_pushlstring(lua, (const char *)raw.ptr + 1, raw.len - 2);
		return;
	}
	out = (struct buf){.ptr = (uint8_t *)luaL_buffinitsize(lua, &buffer, raw.len),
	                   .cap = raw.len,
	                   .limit = raw.len};
	if (!json_string_decode(raw, &out))
		luaL_error(lua, "a string holds half of a surrogate pair");
	luaL_pushresultsize(&buffer, out.len);
}

static void push_number(lua_State *lua, struct json_value v)
{
	int64_t integer;

	if (json_to_int64(v, &integer)) {
		lua_pushinteger(lua, integer);
		return;
	}
	lua_pushlstring(lua, (const char *)v.raw.ptr, v.raw.len);
	lua_pushnumber(lua, lua_tonumber(lua, -1));
	lua_remove(lua, -2);
}

static void push_array(lua_State *lua, struct json_value v)
{
	struct json_iter it;
	struct json_value element;
	struct slice none;
	lua_Integer i = 0;

	lua_newtable(lua);
	luaL_setmetatable(lua, ARRAY_METATABLE);
	json_iter_init(&it, v);
	while (json_iter_next(&it, &none, &element)) {
		push_value(lua, element);
		lua_rawseti(lua, -2, ++i);
	}
}

static void push_object(lua_State *lua, struct json_value v)
{
	struct json_iter it;
	struct json_value member;
	struct slice key;

	lua_newtable(lua);
	json_iter_init(&it, v);
	while (json_iter_next(&it, &key, &member)) {
		push_string(lua, key);
		push_value(lua, member);
		lua_rawset(lua, -3);
	}
}

static void push_value(lua_State *lua, struct json_value v)
{
	luaL_checkstack(lua, 8, "JSON");
	switch (v.kind) {
	case JSON_OBJECT: push_object(lua, v); return;
	case JSON_ARRAY: push_array(lua, v); return;
	case JSON_STRING: push_string(lua, v.raw); return;
	case JSON_NUMBER: push_number(lua, v); return;
	case JSON_TRUE: lua_pushboolean(lua, 1); return;
	case JSON_FALSE: lua_pushboolean(lua, 0); return;
	case JSON_NULL: lua_pushlightuserdata(lua, NULL); return;
	}
	UNREACHABLE();
}

void lua_json_push(lua_State *lua, struct slice text)
{
	push_value(lua, json_root(text));
}

static int decode(lua_State *lua)
{
	struct slice text;
	size_t at;

	text.ptr = (const uint8_t *)luaL_checklstring(lua, 1, &text.len);
	if (!json_validate(text, JSON_DEPTH_MAX, &at))
		return luaL_error(lua, "not JSON at byte %d", (int)at);
	lua_json_push(lua, text);
	return 1;
}

/* --- encode ----------------------------------------------------------------------------------- */

static void append_value(lua_State *lua, struct buf *out, int depth);

static void append_string(lua_State *lua, struct buf *out)
{
	struct slice text;

	text.ptr = (const uint8_t *)lua_tolstring(lua, -1, &text.len);
	if (!utf8_valid(text))
		luaL_error(lua, "a string that is not UTF-8 cannot be JSON");
	json_append_string(out, text);
}

/* The shortest text that is read back as the same number. */
static void append_float(double number, struct buf *out)
{
	char text[40];
	int digits = 15;

	do
		snprintf(text, sizeof(text), "%.*g", digits, number);
	while (strtod(text, NULL) != number && ++digits <= 17);
	buf_append_str(out, text);
}

static void append_number(lua_State *lua, struct buf *out)
{
	double number;

	if (lua_isinteger(lua, -1)) {
		buf_append_int64(out, lua_tointeger(lua, -1));
		return;
	}
	number = lua_tonumber(lua, -1);
	if (!isfinite(number))
		luaL_error(lua, "JSON has no number that is infinite, or none");
	append_float(number, out);
}

/* Has the table on top the keys 1 … n, and no others? */
static bool is_list(lua_State *lua)
{
	lua_Unsigned length = lua_rawlen(lua, -1);
	lua_Unsigned keys = 0;

	if (length == 0)
		return false;
	lua_pushnil(lua);
	while (lua_next(lua, -2)) {
		lua_pop(lua, 1);
		keys++;
	}
	return keys == length;
}

static bool is_array(lua_State *lua)
{
	bool marked;

	if (!lua_getmetatable(lua, -1))
		return is_list(lua);
	luaL_getmetatable(lua, ARRAY_METATABLE);
	marked = lua_rawequal(lua, -1, -2);
	lua_pop(lua, 2);
	return marked || is_list(lua);
}

static void append_array(lua_State *lua, struct buf *out, int depth)
{
	lua_Integer length = (lua_Integer)lua_rawlen(lua, -1);

	buf_append_lit(out, "[");
	for (lua_Integer i = 1; i <= length; i++) {
		if (i > 1)
			buf_append_lit(out, ",");
		lua_rawgeti(lua, -1, i);
		append_value(lua, out, depth);
		lua_pop(lua, 1);
	}
	buf_append_lit(out, "]");
}

static void append_object(lua_State *lua, struct buf *out, int depth)
{
	const char *before = "";

	buf_append_lit(out, "{");
	lua_pushnil(lua);
	while (lua_next(lua, -2)) {
		if (lua_type(lua, -2) != LUA_TSTRING)
			luaL_error(lua, "a key that is not a text cannot be JSON");
		buf_append_str(out, before);
		lua_pushvalue(lua, -2);
		append_string(lua, out);
		lua_pop(lua, 1);
		buf_append_lit(out, ":");
		append_value(lua, out, depth);
		lua_pop(lua, 1);
		before = ",";
	}
	buf_append_lit(out, "}");
}

static void append_table(lua_State *lua, struct buf *out, int depth)
{
	if (depth == JSON_DEPTH_MAX)
		luaL_error(lua, "more than %d tables inside each other", JSON_DEPTH_MAX);
	luaL_checkstack(lua, 8, "JSON");
	if (is_array(lua))
		append_array(lua, out, depth + 1);
	else
		append_object(lua, out, depth + 1);
}

/* The value on top. What is written lies in a buf that errors leave in place. */
static void append_value(lua_State *lua, struct buf *out, int depth)
{
	switch (lua_type(lua, -1)) {
	case LUA_TSTRING: append_string(lua, out); break;
	case LUA_TNUMBER: append_number(lua, out); break;
	case LUA_TBOOLEAN: buf_append_str(out, lua_toboolean(lua, -1) ? "true" : "false"); break;
	case LUA_TNIL: buf_append_lit(out, "null"); break;
	case LUA_TTABLE: append_table(lua, out, depth); break;
	case LUA_TLIGHTUSERDATA: buf_append_lit(out, "null"); break;
	default: luaL_error(lua, "a %s cannot be JSON", luaL_typename(lua, -1));
	}
	if (out->failed)
		luaL_error(lua, "the JSON is too large");
}

static int encode(lua_State *lua)
{
	struct buf *out = lua_touserdata(lua, lua_upvalueindex(1));

	luaL_checkany(lua, 1);
	lua_settop(lua, 1);
	buf_clear(out);
	append_value(lua, out, 0);
	lua_pushlstring(lua, (const char *)out->ptr, out->len);
	return 1;
}

static int array(lua_State *lua)
{
	luaL_checktype(lua, 1, LUA_TTABLE);
	lua_settop(lua, 1);
	luaL_setmetatable(lua, ARRAY_METATABLE);
	return 1;
}

static int is_array_value(lua_State *lua)
{
	lua_settop(lua, 1);
	lua_pushboolean(lua, lua_istable(lua, 1) && is_array(lua));
	return 1;
}

int lua_json_open(lua_State *lua)
{
	luaL_newmetatable(lua, ARRAY_METATABLE);
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_newtable(lua);
	lua_pushcfunction(lua, decode);
	lua_setfield(lua, -2, "decode");
	lua_pushvalue(lua, 1);
	lua_pushcclosure(lua, encode, 1);
	lua_setfield(lua, -2, "encode");
	lua_pushcfunction(lua, array);
	lua_setfield(lua, -2, "array");
	lua_pushcfunction(lua, is_array_value);
	lua_setfield(lua, -2, "is_array");
	lua_pushlightuserdata(lua, NULL);
	lua_setfield(lua, -2, "null");
	lua_setglobal(lua, "json");
	return 0;
}
