/* A hook that is a script in Lua 5.4, with functions named after points.
 *
 *	load: read the file, run it in a state of its own, see which functions it has; that state ends
 *	open: a state for each shard      call: its function, within the limits of lua_box
 *
 * An error in the script, a limit that is reached, and a return value that is no verdict are
 * failures; the state is used on. When the file is read again each shard gets a new state. */
#include "hook/buckets.h"
#include "hook/carrier.h"
#include "hook/hook.h"
#include "hook/lua_box.h"
#include "hook/lua_event.h"
#include "hook/lua_json.h"
#include "io/file.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

enum { SCRIPT_BYTES_MAX = 1 << 20, JSON_BYTES_MAX = 4 << 20 };

struct lua_module {
	struct hook_module base;
	struct buf script;       /* owned */
	struct buckets *buckets; /* owned */
};

struct lua_instance {
	struct hook_instance base;
	struct lua_box box;
	struct lua_event event;
	struct buf json;                  /* what the script encodes */
	int object;                       /* references: the event … */
	int functions[BOURN_POINT_COUNT]; /* … and what is called; LUA_NOREF: none */
	char why[256];                    /* why the last call failed */
};

static struct lua_module *module_of(struct hook_module *m)
{
	return CONTAINER_OF(m, struct lua_module, base);
}

static struct lua_instance *instance_of(struct hook_instance *i)
{
	return CONTAINER_OF(i, struct lua_instance, base);
}

/* --- a state ---------------------------------------------------------------------------------- */

/* The globals: json, options, refuse, limit, log; leaves the event in the registry. */
static int open_globals(lua_State *lua)
{
	struct lua_instance *i = lua_touserdata(lua, 1);
	const char *options = lua_touserdata(lua, 2);

	lua_pushcfunction(lua, lua_json_open);
	lua_pushlightuserdata(lua, &i->json);
	lua_call(lua, 1, 0);
	lua_json_push(lua, slice_str(options));
	lua_setglobal(lua, "options");
	lua_pushcfunction(lua, lua_event_open);
	lua_pushlightuserdata(lua, &i->event);
	lua_call(lua, 1, 1);
	i->object = luaL_ref(lua, LUA_REGISTRYINDEX);
	return 0;
}

static int take_functions(lua_State *lua)
{
	struct lua_instance *i = lua_touserdata(lua, 1);

	for (unsigned p = 0; p < BOURN_POINT_COUNT; p++) {
		i->functions[p] = LUA_NOREF;
		if (lua_getglobal(lua, point_name((enum bourn_point)p)) == LUA_TFUNCTION)
			i->functions[p] = luaL_ref(lua, LUA_REGISTRYINDEX);
		else
			lua_pop(lua, 1);
	}
	return 0;
}

static enum err fill(struct lua_instance *i, const struct hook_spec *spec, struct slice script,
                     struct fault *f)
{
	const char *options = spec->options ? spec->options : "{}";
	char name[128];
	enum err err;

	lua_pushcfunction(i->box.lua, open_globals);
	lua_pushlightuserdata(i->box.lua, i);
	lua_pushlightuserdata(i->box.lua, (void *)(uintptr_t)options);
	if (!lua_box_call(&i->box, 2, 0, i->why, sizeof(i->why)))
		return fault_set(f, ERR_CONFIG, 0, "%s", i->why);
	snprintf(name, sizeof(name), "@%s", spec->path);
	err = lua_box_run(&i->box, script, name, f);
	if (err)
		return err;
	lua_pushcfunction(i->box.lua, take_functions);
	lua_pushlightuserdata(i->box.lua, i);
	if (!lua_box_call(&i->box, 1, 0, i->why, sizeof(i->why)))
		return fault_set(f, ERR_CONFIG, 0, "%s", i->why);
	return OK;
}

static void instance_free(struct lua_instance *i)
{
	lua_box_fini(&i->box);
	buf_fini(&i->json);
	free(i);
}

/* `buckets` NULL: it is never called. */
static enum err instance_new(const struct hook_spec *spec, struct slice script,
                             struct buckets *buckets, struct lua_instance **out, struct fault *f)
{
	struct lua_instance *i = calloc(1, sizeof(*i));
	const struct lua_limits limits = {
		.bytes = (size_t)spec->memory_bytes,
		.instructions = (int)spec->instructions,
		.time_ms = hook_spec_timeout_ms(spec),
	};
	enum err err;

	if (!i)
		return fault_set(f, ERR_NO_MEMORY, 0, "hook");
	i->json = BUF_INIT(JSON_BYTES_MAX);
	i->event.buckets = buckets;
	if (!lua_box_init(&i->box, &limits, i)) {
		free(i);
		return fault_set(f, ERR_CONFIG, 0, "its memory is too small for Lua itself");
	}
	err = fill(i, spec, script, f);
	if (err) {
		instance_free(i);
		return err;
	}
	*out = i;
	return OK;
}

/* --- loading ---------------------------------------------------------------------------------- */

static unsigned points_of(const struct lua_instance *i)
{
	unsigned points = 0;

	for (unsigned p = 0; p < BOURN_POINT_COUNT; p++)
		if (i->functions[p] != LUA_NOREF)
			points |= 1u << p;
	return points;
}

/* The script, and the points that it has functions for. */
static enum err read_script(const struct hook_spec *spec, struct buf *script, unsigned *points,
                            struct fault *f)
{
	struct lua_instance *trial;
	enum err err;

	*script = BUF_INIT(SCRIPT_BYTES_MAX);
	err = file_read(spec->path, script, f);
	if (!err)
		err = instance_new(spec, buf_slice(script), NULL, &trial, f);
	if (err) {
		buf_fini(script);
		return err;
	}
	*points = points_of(trial);
	instance_free(trial);
	return OK;
}

static enum err lua_load_hook(const struct hook_spec *spec, struct hook_module **out,
                              struct fault *f)
{
	struct lua_module *m = calloc(1, sizeof(*m));
	enum err err;

	if (!m)
		return fault_set(f, ERR_NO_MEMORY, 0, "hook");
	m->buckets = buckets_new();
	if (!m->buckets) {
		err = fault_set(f, ERR_NO_MEMORY, 0, "hook");
		goto free_module;
	}
	err = read_script(spec, &m->script, &m->base.points, f);
	if (err)
		goto free_buckets;
	*out = &m->base;
	return OK;

free_buckets:
	buckets_free(m->buckets);
free_module:
	free(m);
	return err;
}

/* Chains stand as they are: other points would not be called, or called for nothing. */
static enum err check_same_points(const struct hook_module *m, unsigned points, struct fault *f)
{
	unsigned wanted = m->spec->points ? points & m->spec->points : points;

	if (wanted == m->points)
		return OK;
	return fault_set(f, ERR_CONFIG, 0,
	                 "%s: it has functions for other points now; that takes a restart",
	                 m->spec->path);
}

static enum err lua_refresh(struct hook_module *base, bool *fresh, struct fault *f)
{
	struct lua_module *m = module_of(base);
	struct buf script;
	unsigned points;
	enum err err = read_script(base->spec, &script, &points, f);

	if (err)
		return err;
	err = check_same_points(base, points, f);
	*fresh = !err && !slice_eq(buf_slice(&script), buf_slice(&m->script));
	if (*fresh) {
		struct buf before = m->script;

		m->script = script;
		script = before;
	}
	buf_fini(&script);
	return err;
}

static void lua_unload(struct hook_module *base)
{
	struct lua_module *m = module_of(base);

	buf_fini(&m->script);
	buckets_free(m->buckets);
	free(m);
}

static enum err lua_open_hook(struct hook_module *base, const struct hook_place *place,
                              struct hook_instance **out, struct fault *f)
{
	struct lua_module *m = module_of(base);
	struct lua_instance *i;
	enum err err = instance_new(base->spec, buf_slice(&m->script), m->buckets, &i, f);

	(void)place;
	if (!err)
		*out = &i->base;
	return err;
}

static void lua_close_hook(struct hook_instance *base)
{
	instance_free(instance_of(base));
}

/* --- calling ---------------------------------------------------------------------------------- */

static enum bourn_verdict bad_verdict(struct lua_instance *i, const char *what)
{
	snprintf(i->why, sizeof(i->why), "it returned %s, which is no verdict", what);
	return BOURN_FAIL;
}

/* What the script returned: a verdict's name; nothing, when its changes say it all. */
static enum bourn_verdict returned(struct lua_instance *i)
{
	lua_State *lua = i->box.lua;
	enum bourn_verdict verdict;
	struct slice text;

	switch (lua_type(lua, -1)) {
	case LUA_TNIL: return i->event.changed ? BOURN_MODIFY : BOURN_CONTINUE;
	case LUA_TSTRING: break;
	default: return bad_verdict(i, luaL_typename(lua, -1));
	}
	text.ptr = (const uint8_t *)lua_tolstring(lua, -1, &text.len);
	if (slice_eq(text, SLICE_LIT("drop")))
		return BOURN_STOP;
	if (!verdict_parse(text, &verdict))
		return bad_verdict(i, "a text");
	if (verdict == BOURN_FAIL)
		snprintf(i->why, sizeof(i->why), "it returned 'fail'");
	return verdict;
}

static bool lua_call_hook(struct hook_instance *base, struct call *c, enum bourn_verdict *verdict)
{
	struct lua_instance *i = instance_of(base);
	lua_State *lua = i->box.lua;

	i->event.call = c;
	i->event.changed = false;
	c->failure = i->why;
	lua_rawgeti(lua, LUA_REGISTRYINDEX, i->functions[c->pub.point]);
	lua_rawgeti(lua, LUA_REGISTRYINDEX, i->object);
	*verdict = BOURN_FAIL;
	if (lua_box_call(&i->box, 1, 1, i->why, sizeof(i->why))) {
		*verdict = returned(i);
		lua_pop(lua, 1);
	}
	i->event.call = NULL;
	return true;
}

const struct hook_carrier carrier_lua = {
	.load = lua_load_hook,
	.unload = lua_unload,
	.refresh = lua_refresh,
	.open = lua_open_hook,
	.close = lua_close_hook,
	.call = lua_call_hook,
};
