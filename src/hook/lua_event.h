/* The event, or request, as a script sees it: the one argument of its functions, and the globals
 * refuse, limit and log. Private to hook/.
 *
 *	event.topic key value headers timestamp partition offset
 *	      method target status body         of requests; body is value by another name
 *	      point front peer principal request_id now
 *	event.value, event.body, event.key, event.headers[name] can be set (nil: none); event.status too
 *
 * It is one object, for all calls; between them it stands for nothing. */
#ifndef BOURN_HOOK_LUA_EVENT_H
#define BOURN_HOOK_LUA_EVENT_H

#include "hook/call.h"

#include <lua.h>

struct buckets;

struct lua_event {
	struct call *call;       /* NULL: none is under way */
	bool changed;            /* the script set something */
	struct buckets *buckets; /* of all states of the script; borrowed */
};

/* A C function for lua_pcall: its argument is a struct lua_event, a light userdata that lives as
 * long as the state. Returns the object. */
int lua_event_open(lua_State *lua);

#endif
