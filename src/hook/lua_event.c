#include "hook/lua_event.h"

#include "base/check.h"
#include "hook/buckets.h"
#include "hook/hook.h"
#include "hook/lua_box.h"

#include <lauxlib.h>
#include <stdio.h>

/* Both objects hold a pointer to the struct. */
#define EVENT_METATABLE   "bourn.event"
#define HEADERS_METATABLE "bourn.headers"

static struct lua_event *event_of(lua_State *lua, int index, const char *metatable)
{
	struct lua_event **object = luaL_checkudata(lua, index, metatable);

	if (!(*object)->call)
		luaL_error(lua, "the event is gone: its call is over");
	return *object;
}

static struct bourn_slice checked_slice(lua_State *lua, int index)
{
	size_t len;
	const char *text = luaL_checklstring(lua, index, &len);

	return (struct bourn_slice){(const uint8_t *)text, len};
}

/* Copied into the arena; nil is none. */
static struct bourn_slice kept_slice(lua_State *lua, int index, struct call *c)
{
	struct slice kept;

	if (lua_isnil(lua, index))
		return (struct bourn_slice){NULL, 0};
	if (!arena_copy(c->arena, slice_in(checked_slice(lua, index)), &kept))
		luaL_error(lua, "what it made is too large");
	return slice_out(kept);
}

static void push_slice(lua_State *lua, struct bourn_slice s)
{
	if (s.ptr)
		lua_pushlstring(lua, (const char *)s.ptr, s.len);
	else
		lua_pushnil(lua);
}

/* --- headers ---------------------------------------------------------------------------------- */

static int headers_get(lua_State *lua)
{
	struct lua_event *e = event_of(lua, 1, HEADERS_METATABLE);
	struct bourn_slice value;

	if (!call_host.header_get(&e->call->pub, checked_slice(lua, 2), &value))
		return 0;
	push_slice(lua, value);
	return 1;
}

static int headers_set(lua_State *lua)
{
	struct lua_event *e = event_of(lua, 1, HEADERS_METATABLE);
	struct bourn_slice name = checked_slice(lua, 2);
	int done;

	if (lua_isnil(lua, 3))
		done = call_host.header_remove(&e->call->pub, name);
	else
		done = call_host.header_set(&e->call->pub, name, checked_slice(lua, 3));
	if (!done)
		return luaL_error(lua, "a header has no name, or they are too large");
	e->changed = true;
	return 0;
}

static int headers_next(lua_State *lua)
{
	struct lua_event *e = event_of(lua, 1, HEADERS_METATABLE);
	lua_Integer index = lua_tointeger(lua, lua_upvalueindex(1));
	struct bourn_header header;

	if ((uint64_t)index >= call_host.header_count(&e->call->pub))
		return 0;
	header = call_host.header_at(&e->call->pub, (uint32_t)index);
	lua_pushinteger(lua, index + 1);
	lua_replace(lua, lua_upvalueindex(1));
	push_slice(lua, header.name);
	push_slice(lua, header.value);
	return 2;
}

static int headers_pairs(lua_State *lua)
{
	(void)event_of(lua, 1, HEADERS_METATABLE);
	lua_pushinteger(lua, 0);
	lua_pushcclosure(lua, headers_next, 1);
	lua_pushvalue(lua, 1);
	return 2;
}

/* --- what can be read ------------------------------------------------------------------------- */

enum member {
	MEMBER_VALUE,
	MEMBER_BODY,
	MEMBER_KEY,
	MEMBER_TOPIC,
	MEMBER_HEADERS,
	MEMBER_TIMESTAMP,
	MEMBER_NOW,
	MEMBER_PARTITION,
	MEMBER_OFFSET,
	MEMBER_METHOD,
	MEMBER_TARGET,
	MEMBER_STATUS,
	MEMBER_POINT,
	MEMBER_FRONT,
	MEMBER_PEER,
	MEMBER_PRINCIPAL,
	MEMBER_REQUEST_ID,
};

static const char *const members[] = {
	[MEMBER_VALUE] = "value",
	[MEMBER_BODY] = "body",
	[MEMBER_KEY] = "key",
	[MEMBER_TOPIC] = "topic",
	[MEMBER_HEADERS] = "headers",
	[MEMBER_TIMESTAMP] = "timestamp",
	[MEMBER_NOW] = "now",
	[MEMBER_PARTITION] = "partition",
	[MEMBER_OFFSET] = "offset",
	[MEMBER_METHOD] = "method",
	[MEMBER_TARGET] = "target",
	[MEMBER_STATUS] = "status",
	[MEMBER_POINT] = "point",
	[MEMBER_FRONT] = "front",
	[MEMBER_PEER] = "peer",
	[MEMBER_PRINCIPAL] = "principal",
	[MEMBER_REQUEST_ID] = "request_id",
};

static enum member checked_member(lua_State *lua)
{
	const char *name = luaL_checkstring(lua, 2);

	for (unsigned i = 0; i < ARRAY_COUNT(members); i++)
		if (strcmp(name, members[i]) == 0)
			return (enum member)i;
	luaL_error(lua, "an event has no '%s'", name);
	UNREACHABLE();
}

static void push_known(lua_State *lua, int64_t number)
{
	if (number >= 0)
		lua_pushinteger(lua, number);
	else
		lua_pushnil(lua);
}

static void push_front(lua_State *lua, enum bourn_front front)
{
	static const char *const names[] = {"http", "websocket", "internal"};

	lua_pushstring(lua, names[front]);
}

/* As problems have it. */
static void push_request_id(lua_State *lua, uint64_t id)
{
	char text[20];

	snprintf(text, sizeof(text), "%016llx", (unsigned long long)id);
	lua_pushstring(lua, text);
}

static int event_get(lua_State *lua)
{
	const struct bourn_call *call = &event_of(lua, 1, EVENT_METATABLE)->call->pub;

	switch (checked_member(lua)) {
	case MEMBER_BODY:
	case MEMBER_VALUE: push_slice(lua, call->value); break;
	case MEMBER_KEY: push_slice(lua, call->key); break;
	case MEMBER_TOPIC: push_slice(lua, call->topic); break;
	case MEMBER_HEADERS: lua_pushvalue(lua, lua_upvalueindex(1)); break;
	case MEMBER_TIMESTAMP: lua_pushinteger(lua, call->timestamp); break;
	case MEMBER_NOW: lua_pushinteger(lua, call->now_ms); break;
	case MEMBER_PARTITION: push_known(lua, call->partition); break;
	case MEMBER_OFFSET: push_known(lua, call->offset); break;
	case MEMBER_METHOD: push_slice(lua, call->method); break;
	case MEMBER_TARGET: push_slice(lua, call->target); break;
	case MEMBER_STATUS: lua_pushinteger(lua, call->status); break;
	case MEMBER_POINT: lua_pushstring(lua, point_name(call->point)); break;
	case MEMBER_FRONT: push_front(lua, call->caller->front); break;
	case MEMBER_PEER: lua_pushstring(lua, call->caller->peer); break;
	case MEMBER_PRINCIPAL: push_slice(lua, call->caller->principal); break;
	case MEMBER_REQUEST_ID: push_request_id(lua, call->caller->request_id); break;
	}
	return 1;
}

static int event_set(lua_State *lua)
{
	struct lua_event *e = event_of(lua, 1, EVENT_METATABLE);
	struct bourn_call *call = &e->call->pub;
	enum member member = checked_member(lua);

	luaL_checkany(lua, 3);
	switch (member) {
	case MEMBER_BODY:
	case MEMBER_VALUE: call->value = kept_slice(lua, 3, e->call); break;
	case MEMBER_KEY: call->key = kept_slice(lua, 3, e->call); break;
	case MEMBER_STATUS: call->status = (int32_t)luaL_checkinteger(lua, 3); break;
	default: return luaL_error(lua, "an event's '%s' cannot be set", members[member]);
	}
	e->changed = true;
	return 0;
}

/* --- globals ---------------------------------------------------------------------------------- */

static struct lua_event *event_under_way(lua_State *lua)
{
	struct lua_event *e = lua_touserdata(lua, lua_upvalueindex(1));

	if (!e->call)
		luaL_error(lua, "no call is under way");
	return e;
}

/* return refuse(422, "no id"); a third argument: come back in so many seconds. */
static int refuse(lua_State *lua)
{
	struct lua_event *e = event_under_way(lua);
	lua_Integer status = luaL_checkinteger(lua, 1);
	const char *detail = luaL_optstring(lua, 2, "");
	lua_Integer seconds = luaL_optinteger(lua, 3, 0);

	luaL_argcheck(lua, status >= 400 && status <= 599, 1, "a status from 400 to 599");
	luaL_argcheck(lua, seconds >= 0 && seconds <= INT32_MAX, 3, "seconds");
	(void)call_host.refuse(&e->call->pub, (int)status, detail);
	call_host.retry_after(&e->call->pub, (uint32_t)seconds);
	lua_pushstring(lua, verdict_name(BOURN_REFUSE));
	return 1;
}

/* limit(key, per_second, burst): nil, when that is not too much; else when to come back, in
 * seconds. */
static int limit(lua_State *lua)
{
	struct lua_event *e = event_under_way(lua);
	struct clock *clock = lua_box_of(lua)->clock;
	struct bourn_slice key = checked_slice(lua, 1);
	double per_second = luaL_checknumber(lua, 2);
	double burst = luaL_optnumber(lua, 3, per_second > 1 ? per_second : 1);
	double wait;

	luaL_argcheck(lua, per_second > 0, 2, "a number above 0");
	luaL_argcheck(lua, burst >= 1, 3, "1 at least");
	wait = buckets_take(e->buckets, slice_in(key), per_second, burst,
	                    clock->now(clock).mono_us);
	if (wait > 0)
		lua_pushnumber(lua, wait);
	else
		lua_pushnil(lua);
	return 1;
}

static int say(lua_State *lua)
{
	struct lua_event *e = event_under_way(lua);

	call_host.log(&e->call->pub, BOURN_LOG_INFO, luaL_checkstring(lua, 1));
	return 0;
}

/* --- making them ------------------------------------------------------------------------------ */

static void new_object(lua_State *lua, struct lua_event *e, const char *metatable)
{
	struct lua_event **object = lua_newuserdatauv(lua, sizeof(*object), 0);

	*object = e;
	luaL_newmetatable(lua, metatable);
	lua_pushboolean(lua, 0);
	lua_setfield(lua, -2, "__metatable");
	lua_setmetatable(lua, -2);
}

/* Of the object on top. */
static void set_method(lua_State *lua, const char *name, lua_CFunction method)
{
	lua_getmetatable(lua, -1);
	lua_pushcfunction(lua, method);
	lua_setfield(lua, -2, name);
	lua_pop(lua, 1);
}

static void set_global(lua_State *lua, const char *name, lua_CFunction function)
{
	lua_pushvalue(lua, 1);
	lua_pushcclosure(lua, function, 1);
	lua_setglobal(lua, name);
}

int lua_event_open(lua_State *lua)
{
	struct lua_event *e = lua_touserdata(lua, 1);

	set_global(lua, "refuse", refuse);
	set_global(lua, "limit", limit);
	set_global(lua, "log", say);
	new_object(lua, e, EVENT_METATABLE);
	set_method(lua, "__newindex", event_set);
	lua_getmetatable(lua, -1);
	new_object(lua, e, HEADERS_METATABLE);
	set_method(lua, "__index", headers_get);
	set_method(lua, "__newindex", headers_set);
	set_method(lua, "__pairs", headers_pairs);
	lua_pushcclosure(lua, event_get, 1);
	lua_setfield(lua, -2, "__index");
	lua_pop(lua, 1);
	return 1;
}
