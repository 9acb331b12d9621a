/* lua pattern: what Lua's patterns match, with every step paid for: sixteen are an instruction of
 * the box. Lua's own matcher tries for as long as a pattern and a text have it, and nothing counts
 * meanwhile. Private to hook/.
 *
 *	lua_pattern_push("(a*)b") ─> [open 0][a *][close 0][b][last]
 *	lua_match_init, then for each text: lua_match_search, captures, lua_match_pay
 *
 * An item matches in one way, or in several (* + - ?): those are tried one after the other with all
 * that follows, which is where the time goes. */
#ifndef BOURN_HOOK_LUA_PATTERN_H
#define BOURN_HOOK_LUA_PATTERN_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	LUA_CAPTURES_MAX = 32,
	LUA_PLACE = -1, /* instead of a capture's length: it is a place */
	LUA_STEPS_OF_INSTRUCTION = 16,
};

struct lua_item {
	uint8_t kind;
	uint8_t repeat;  /* of a byte: * + - ?; 0: once */
	uint8_t a, b;    /* balanced: begin and end; again, open and close: the capture, from 0 */
	uint64_t set[4]; /* byte and frontier: a bit for each byte */
};

struct lua_pattern {
	bool anchored; /* matches where it is tried, or not at all */
	unsigned capture_count;
	struct lua_item items[]; /* the last says that it is */
};

/* Onto the stack, as a userdata. `anchors`: a '^' in front is one. Raises an error when it is
 * none. */
const struct lua_pattern *lua_pattern_push(lua_State *lua, const char *text, size_t len,
                                           bool anchors);

struct lua_capture {
	const uint8_t *at;
	ptrdiff_t len; /* or LUA_PLACE */
};

struct lua_match {
	lua_State *lua;
	const struct lua_pattern *pattern; /* borrowed, as the text is */
	const uint8_t *begin;
	const uint8_t *end;
	unsigned depth;
	size_t steps;                                  /* that were not paid for yet */
	struct lua_capture captures[LUA_CAPTURES_MAX]; /* filled in by a match */
};

void lua_match_init(struct lua_match *m, lua_State *lua, const struct lua_pattern *pattern,
                    const char *text, size_t len);

/* Does it match at that place? What stands behind the match; NULL: no. Both raise errors: too
 * complex, or out of instructions or time. */
const uint8_t *lua_match_at(struct lua_match *m, const uint8_t *at);

/* The first match at `*at` or behind it, which is moved there. */
const uint8_t *lua_match_search(struct lua_match *m, const uint8_t **at);

/* To be called when the last match was made. */
void lua_match_pay(struct lua_match *m);

#endif
