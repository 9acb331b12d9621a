/* Every pattern here is matched twice: by these functions, and by Lua's own in a state of their
 * own. */
#include "hook/lua_find.h"

#include "base/check.h"
#include "base/test.h"
#include "hook/lua_box.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>

static struct lua_box box;
static lua_State *plain;

/* Of what a call gives, or of its error, a text. */
static const char describe[] =
	"function describe(...)\n"
	"  local out = {}\n"
	"  for i = 1, select('#', ...) do\n"
	"    local v = select(i, ...)\n"
	"    out[i] = math.type(v) or type(v)\n"
	"    out[i] = out[i] .. ':' .. tostring(v)\n"
	"  end\n"
	"  return table.concat(out, '|')\n"
	"end\n"
	"function all(text, pattern, init)\n"
	"  local out = {}\n"
	"  for a, b, c in string.gmatch(text, pattern, init) do\n"
	"    out[#out + 1] = describe(a, b, c)\n"
	"    if #out == 50 then break end\n"
	"  end\n"
	"  return table.concat(out, ';')\n"
	"end\n"
	"calls = {\n"
	"  function(t, p) return t:find(p) end,\n"
	"  function(t, p) return t:find(p, 3) end,\n"
	"  function(t, p) return t:find(p, -2) end,\n"
	"  function(t, p) return t:find(p, 99) end,\n"
	"  function(t, p) return t:find(p, 1, true) end,\n"
	"  function(t, p) return t:match(p) end,\n"
	"  function(t, p) return t:match(p, 2) end,\n"
	"  function(t, p) return all(t, p) end,\n"
	"  function(t, p) return all(t, p, 3) end,\n"
	"  function(t, p) return all(t, p, 99) end,\n"
	"  function(t, p) return t:gsub(p, '<%0>') end,\n"
	"  function(t, p) return t:gsub(p, '%1%%') end,\n"
	"  function(t, p) return t:gsub(p, '', 2) end,\n"
	"  function(t, p) return t:gsub(p, 7) end,\n"
	"  function(t, p) return t:gsub(p, {a = 'A', b = false, [1] = 1}) end,\n"
	"  function(t, p) return t:gsub(p, function(a, b) return b or a end) end,\n"
	"}\n"
	"function try(i, text, pattern)\n"
	"  return describe(pcall(calls[i], text, pattern))\n"
	"end\n";
enum { CALLS = 16, LIMIT = 1000000000 };

static int init(void **state)
{
	static const struct lua_limits limits = {
		.bytes = 64 << 20, .instructions = LIMIT, .time_ms = 60000};

	(void)state;
	assert_true(lua_box_init(&box, &limits, NULL));
	plain = luaL_newstate();
	luaL_openlibs(plain);
	assert_int_equal(luaL_dostring(plain, describe), LUA_OK);
	assert_int_equal(luaL_dostring(box.lua, describe), LUA_OK);
	return 0;
}

static int fini(void **state)
{
	(void)state;
	lua_box_fini(&box);
	lua_close(plain);
	return 0;
}

static const char *try(lua_State *lua, int call, struct slice text, struct slice pattern)
{
	box.instructions_left = LIMIT;
	box.deadline_us = INT64_MAX;
	lua_settop(lua, 0);
	lua_getglobal(lua, "try");
	lua_pushinteger(lua, call);
	lua_pushlstring(lua, (const char *)text.ptr, text.len);
	lua_pushlstring(lua, (const char *)pattern.ptr, pattern.len);
	if (lua_pcall(lua, 3, 1, 0) != LUA_OK)
		fail_msg("%s", lua_tostring(lua, -1));
	return lua_tostring(lua, -1);
}

static bool is_error(const char *got)
{
	return strncmp(got, "boolean:false", 13) == 0;
}

/* Errors may have other words. Lua itself finds those of a pattern only where a match gets that
 * far. */
static void assert_same(struct slice text, struct slice pattern, bool well_formed)
{
	for (int call = 1; call <= CALLS; call++) {
		const char *ours = try(box.lua, call, text, pattern);
		const char *theirs = try(plain, call, text, pattern);

		if (is_error(ours) && (is_error(theirs) || !well_formed))
			continue;
		if (strcmp(ours, theirs) != 0)
			fail_msg("call %d of '%.*s' in '%.*s': %s; Lua: %s", call,
			         SLICE_FMT(pattern), SLICE_FMT(text), ours, theirs);
	}
}

TEST(find__matches_as_lua_does)
{
	static const char *const texts[] = {
		"",
		"a",
		"ab",
		"aab(b(c))d",
		"key = value # c",
		"2026-11-22T10:00:00Z",
		"%d+ [x] ^$",
		"THE (quick) fox",
		"a,b,,c",
		"  trim me  ",
		"127.0.0.1:4711",
		"]-^x",
		"abcabcabc",
		"/customer/items/0",
		"\t\n\r x_1",
	};
	static const char *const patterns[] = {
		"",
		"a",
		".",
		"^",
		"$",
		"^$",
		"a*",
		"a+",
		"a-",
		"a?",
		".*",
		".-",
		".-b",
		"^a*b",
		"(a*)b",
		"(a)(b)",
		"()",
		"()a()",
		"((a)(b))",
		"%a+",
		"%A",
		"%d+",
		"%s*",
		"[a-c]+",
		"[^a-c]+",
		"[]]",
		"[^]]",
		"[a-]",
		"[%a-]",
		"[%w_]+",
		"[%]]",
		"[--/]",
		"%b()",
		"%bxx",
		"%f[%w]%w+",
		"%f[%z]",
		"^(%w+)%s*=%s*(%w*)",
		"(%d+)-(%d+)-(%d+)T?",
		"([^,]*)",
		"([^,]*),?",
		"^%s*(.-)%s*$",
		"^(.*):%d+$",
		"/([^/]*)",
		"(a+)%1",
		"(.)%1",
		"(abc)%1",
		"%.",
		"%%",
		"a$b",
		"x^",
		"[^%s]",
		"a**",
		"a+?",
		"(.-)%s(.-)$",
		"a-$",
		"[a-zA-Z]",
		".?.?c",
		"^.-%((.-)%)",
		"%u+",
		"%l-%u",
		"%x+",
		"%p",
		"%g+",
		"%c",
	};

	for (size_t i = 0; i < ARRAY_COUNT(texts); i++)
		for (size_t k = 0; k < ARRAY_COUNT(patterns); k++)
			assert_same(slice_str(texts[i]), slice_str(patterns[k]), true);
}

TEST(find__matches_as_lua_does_at_random)
{
	static const char letters[] = "aabbc()[]^$%*+-?.,01wsdfbx";
	unsigned seed = 20261122;

	for (int n = 0; n < TEST_TIMES(4000); n++) {
		uint8_t pattern[12], text[16];
		size_t pattern_len, text_len;

		seed = seed * 1103515245u + 12345;
		pattern_len = (seed >> 16) % sizeof(pattern);
		text_len = (seed >> 20) % sizeof(text);
		for (size_t i = 0; i < pattern_len; i++) {
			seed = seed * 1103515245u + 12345;
			pattern[i] = (uint8_t)letters[(seed >> 16) % (sizeof(letters) - 1)];
		}
		for (size_t i = 0; i < text_len; i++) {
			seed = seed * 1103515245u + 12345;
			text[i] = (uint8_t) "aabbc()0 ,"[(seed >> 16) % 10];
		}
		assert_same(slice_of(text, text_len), slice_of(pattern, pattern_len), false);
	}
}

static void assert_error(const char *pattern, const char *why)
{
	const char *got = try(box.lua, 6, SLICE_LIT("aab"), slice_str(pattern));

	if (!is_error(got) || !strstr(got, why))
		fail_msg("'%s': %s", pattern, got);
}

TEST(find__what_is_wrong_is_said)
{
	assert_error("%", "ends with '%'");
	assert_error("[a", "missing ']'");
	assert_error("[^", "missing ']'");
	assert_error("[%", "missing ']'");
	assert_error("%b", "missing arguments to '%b'");
	assert_error("%bx", "missing arguments to '%b'");
	assert_error("%f", "missing '[' after '%f'");
	assert_error("%fa", "missing '[' after '%f'");
	assert_error("(a", "unfinished capture");
	assert_error("a)", "invalid pattern capture");
	assert_error("%1", "invalid capture index %1");
	assert_error("(a%1)", "invalid capture index %1");
	assert_error("%0", "invalid capture index %0");
	assert_error("()()()()()()()()()()()()()()()()()()()()()()()()()()()()()()()()()",
	             "too many captures");
}

TEST(find__steps_are_paid_for)
{
	try(box.lua, 6, SLICE_LIT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), SLICE_LIT("a-a-a-b"));
	assert_true(LIMIT - box.instructions_left > 100);
}

TEST(find__depth_is_bounded)
{
	char pattern[2001];

	for (size_t i = 0; i < 1000; i++)
		memcpy(pattern + 2 * i, "a-", 3);
	assert_non_null(
		strstr(try(box.lua, 6, SLICE_LIT("aab"), slice_str(pattern)), "too complex"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(find__matches_as_lua_does),
		cmocka_unit_test(find__matches_as_lua_does_at_random),
		cmocka_unit_test(find__what_is_wrong_is_said),
		cmocka_unit_test(find__steps_are_paid_for),
		cmocka_unit_test(find__depth_is_bounded),
	};

	return cmocka_run_group_tests(tests, init, fini);
}
