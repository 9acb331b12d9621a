#include "hook/lua_find.h"

#include "base/check.h"
#include "hook/lua_box.h"
#include "hook/lua_pattern.h"

#include <ctype.h>
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

enum { CACHED_MAX = 64 }; /* patterns kept */

/* That of the text at `index`; it stays on the stack. Those that were used before are kept in
 * upvalues: a table by text, and how many it has. */
static const struct lua_pattern *pattern_get(lua_State *lua, int index)
{
	lua_Integer count = lua_tointeger(lua, lua_upvalueindex(2));
	const struct lua_pattern *found;
	const char *text;
	size_t len;

	lua_pushvalue(lua, index);
	if (lua_rawget(lua, lua_upvalueindex(1)) == LUA_TUSERDATA)
		return lua_touserdata(lua, -1);
	lua_pop(lua, 1);
	text = lua_tolstring(lua, index, &len);
	found = lua_pattern_push(lua, text, len, true);
	if (count == CACHED_MAX) {
		lua_newtable(lua);
		lua_replace(lua, lua_upvalueindex(1));
		count = 0;
	}
	lua_pushvalue(lua, index);
	lua_pushvalue(lua, -2);
	lua_rawset(lua, lua_upvalueindex(1));
	lua_pushinteger(lua, count + 1);
	lua_replace(lua, lua_upvalueindex(2));
	return found;
}

/* --- what scripts get ------------------------------------------------------------------------- */

static void push_text(lua_State *lua, const uint8_t *from, const uint8_t *to)
{
	lua_pushlstring(lua, (const char *)from, (size_t)(to - from));
}

/* `index` from 0; without captures the first is the whole match. */
static void push_capture(const struct lua_match *m, unsigned index, const uint8_t *at,
                         const uint8_t *behind)
{
	const struct lua_capture *c = &m->captures[index];

	if (m->pattern->capture_count == 0 && index == 0)
		push_text(m->lua, at, behind);
	else if (index >= m->pattern->capture_count)
		luaL_error(m->lua, "invalid capture index %%%d", (int)index + 1);
	else if (c->len == LUA_PLACE)
		lua_pushinteger(m->lua, c->at - m->begin + 1);
	else
		push_text(m->lua, c->at, c->at + c->len);
}

static int push_captures(const struct lua_match *m, const uint8_t *at, const uint8_t *behind,
                         bool whole)
{
	unsigned count = m->pattern->capture_count;

	if (count == 0 && whole)
		count = 1;
	luaL_checkstack(m->lua, (int)count, "too many captures");
	for (unsigned i = 0; i < count; i++)
		push_capture(m, i, at, behind);
	return (int)count;
}

/* From 0 on; beyond `len`: there is nothing to look at. */
static size_t start_of(lua_State *lua, int index, size_t len)
{
	lua_Integer init = luaL_optinteger(lua, index, 1);

	if (init > 0)
		return (size_t)init - 1;
	if (init == 0 || init < -(lua_Integer)len)
		return 0;
	return len - (size_t)-init;
}

static bool is_plain(const char *pattern, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (pattern[i] && strchr("^$*+?.([%-", pattern[i]))
			return false;
	return true;
}

static int find_plain(lua_State *lua, const char *text, size_t len, size_t start)
{
	size_t wanted_len;
	const char *wanted = lua_tolstring(lua, 2, &wanted_len);
	const char *found = memmem(text + start, len - start, wanted, wanted_len);

	lua_box_spend(lua, (int64_t)((len - start) / LUA_STEPS_OF_INSTRUCTION));
	if (!found) {
		luaL_pushfail(lua);
		return 1;
	}
	lua_pushinteger(lua, found - text + 1);
	lua_pushinteger(lua, found - text + (lua_Integer)wanted_len);
	return 2;
}

/* (text, pattern, init): the first match. `places`: where it is, too. */
static int find_pattern(lua_State *lua, const char *text, size_t len, size_t start, bool places)
{
	const uint8_t *at = (const uint8_t *)text + start;
	const uint8_t *behind;
	struct lua_match m;

	lua_match_init(&m, lua, pattern_get(lua, 2), text, len);
	behind = lua_match_search(&m, &at);
	lua_match_pay(&m);
	if (!behind) {
		luaL_pushfail(lua);
		return 1;
	}
	if (!places)
		return push_captures(&m, at, behind, true);
	lua_pushinteger(lua, at - m.begin + 1);
	lua_pushinteger(lua, behind - m.begin);
	return 2 + push_captures(&m, at, behind, false);
}

static int string_find(lua_State *lua)
{
	size_t len, pattern_len;
	const char *text = luaL_checklstring(lua, 1, &len);
	const char *pattern = luaL_checklstring(lua, 2, &pattern_len);
	size_t start = start_of(lua, 3, len);

	if (start > len) {
		luaL_pushfail(lua);
		return 1;
	}
	if (lua_toboolean(lua, 4) || is_plain(pattern, pattern_len))
		return find_plain(lua, text, len, start);
	return find_pattern(lua, text, len, start, true);
}

static int string_match(lua_State *lua)
{
	size_t len;
	const char *text = luaL_checklstring(lua, 1, &len);
	size_t start = start_of(lua, 3, len);

	luaL_checkstring(lua, 2);
	if (start <= len)
		return find_pattern(lua, text, len, start, false);
	luaL_pushfail(lua);
	return 1;
}

/* --- gmatch ----------------------------------------------------------------------------------- */

/* Upvalues: the text, the pattern, where to go on, and where the last match ended (from 0; -1:
 * none). */
static int gmatch_next(lua_State *lua)
{
	size_t len;
	const char *text = lua_tolstring(lua, lua_upvalueindex(1), &len);
	const uint8_t *at = (const uint8_t *)text + lua_tointeger(lua, lua_upvalueindex(3));
	lua_Integer last = lua_tointeger(lua, lua_upvalueindex(4));
	struct lua_match m;

	lua_match_init(&m, lua, lua_touserdata(lua, lua_upvalueindex(2)), text, len);
	for (; at <= m.end; at++) {
		const uint8_t *behind = lua_match_search(&m, &at);

		if (!behind)
			break;
		if (behind - m.begin == last)
			continue;
		lua_pushinteger(lua, behind - m.begin);
		lua_copy(lua, -1, lua_upvalueindex(3));
		lua_replace(lua, lua_upvalueindex(4));
		lua_match_pay(&m);
		return push_captures(&m, at, behind, true);
	}
	lua_match_pay(&m);
	lua_pushinteger(lua, (lua_Integer)len + 1);
	lua_replace(lua, lua_upvalueindex(3));
	return 0;
}

static int string_gmatch(lua_State *lua)
{
	size_t len, pattern_len;
	const char *pattern;
	size_t start;

	luaL_checklstring(lua, 1, &len);
	pattern = luaL_checklstring(lua, 2, &pattern_len);
	start = start_of(lua, 3, len);
	lua_settop(lua, 2);
	lua_pattern_push(lua, pattern, pattern_len, false);
	lua_replace(lua, 2);
	lua_pushinteger(lua, (lua_Integer)(start < len ? start : len + (start > len)));
	lua_pushinteger(lua, -1);
	lua_pushcclosure(lua, gmatch_next, 4);
	return 1;
}

/* --- gsub ------------------------------------------------------------------------------------- */

/* The third argument's text, with %0 to %9 and %% put in. */
static void add_template(const struct lua_match *m, luaL_Buffer *out, const uint8_t *at,
                         const uint8_t *behind)
{
	size_t len;
	const char *text = lua_tolstring(m->lua, 3, &len);

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (c != '%') {
			luaL_addchar(out, c);
			continue;
		}
		c = ++i < len ? text[i] : '\0';
		if (c == '%') {
			luaL_addchar(out, '%');
		} else if (c == '0') {
			luaL_addlstring(out, (const char *)at, (size_t)(behind - at));
		} else if (isdigit((unsigned char)c)) {
			push_capture(m, (unsigned)c - '1', at, behind);
			luaL_tolstring(m->lua, -1, NULL);
			lua_remove(m->lua, -2);
			luaL_addvalue(out);
		} else {
			luaL_error(m->lua, "invalid use of '%%' in replacement string");
		}
	}
}

/* What a table or a function has for the match; false: it stays. */
static bool add_found(const struct lua_match *m, luaL_Buffer *out, const uint8_t *at,
                      const uint8_t *behind)
{
	lua_State *lua = m->lua;

	if (lua_type(lua, 3) == LUA_TTABLE) {
		push_capture(m, 0, at, behind);
		lua_gettable(lua, 3);
	} else {
		lua_pushvalue(lua, 3);
		lua_call(lua, push_captures(m, at, behind, true), 1);
	}
	if (!lua_toboolean(lua, -1)) {
		lua_pop(lua, 1);
		luaL_addlstring(out, (const char *)at, (size_t)(behind - at));
		return false;
	}
	if (!lua_isstring(lua, -1))
		return luaL_error(lua, "invalid replacement value (a %s)", luaL_typename(lua, -1));
	luaL_addvalue(out);
	return true;
}

static bool add_replacement(const struct lua_match *m, luaL_Buffer *out, const uint8_t *at,
                            const uint8_t *behind)
{
	if (!lua_isstring(m->lua, 3))
		return add_found(m, out, at, behind);
	add_template(m, out, at, behind);
	return true;
}

/* Up to `most` finds, what is between them and the rest. `*changed`: not all is as it was. Returns
 * how many. */
static lua_Integer replace_all(struct lua_match *m, luaL_Buffer *out, const uint8_t *at,
                               lua_Integer most, bool *changed)
{
	const uint8_t *last = NULL;
	lua_Integer count = 0;

	while (count < most) {
		const uint8_t *behind = lua_match_at(m, at);

		if (behind && behind != last) {
			count++;
			*changed |= add_replacement(m, out, at, behind);
			at = last = behind;
		} else if (at < m->end) {
			luaL_addchar(out, (char)*at++);
		} else {
			break;
		}
		if (m->pattern->anchored)
			break;
	}
	luaL_addlstring(out, (const char *)at, (size_t)(m->end - at));
	return count;
}

static int string_gsub(lua_State *lua)
{
	size_t len;
	const char *text = luaL_checklstring(lua, 1, &len);
	bool changed = false;
	lua_Integer count, most;
	struct lua_match m;
	luaL_Buffer out;

	luaL_checkstring(lua, 2);
	luaL_argexpected(lua, lua_isstring(lua, 3) || lua_istable(lua, 3) || lua_isfunction(lua, 3),
	                 3, "string/function/table");
	most = luaL_optinteger(lua, 4, (lua_Integer)len + 1);
	lua_match_init(&m, lua, pattern_get(lua, 2), text, len);
	luaL_buffinit(lua, &out);
	count = replace_all(&m, &out, (const uint8_t *)text, most, &changed);
	lua_match_pay(&m);
	if (changed)
		luaL_pushresult(&out);
	else
		lua_pushvalue(lua, 1);
	lua_pushinteger(lua, count);
	return 2;
}

/* --- putting them in place -------------------------------------------------------------------- */

void lua_find_open(lua_State *lua)
{
	static const luaL_Reg functions[] = {
		{"find", string_find},
		{"match", string_match},
		{"gmatch", string_gmatch},
		{"gsub", string_gsub},
		{NULL, NULL},
	};

	lua_getglobal(lua, LUA_STRLIBNAME);
	for (const luaL_Reg *f = functions; f->name; f++) {
		lua_newtable(lua);
		lua_pushinteger(lua, 0);
		lua_pushcclosure(lua, f->func, 2);
		lua_setfield(lua, -2, f->name);
	}
	lua_pop(lua, 1);
}
