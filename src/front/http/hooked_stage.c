#include "front/http/hooked_stage.h"

#include "front/http/connection.h"
#include "front/http/router.h"

struct slice stage_topic(const struct exchange *x)
{
	bool named = x->route && strstr(x->route->pattern, "{t}");

	return named ? exchange_name(x) : SLICE_NONE;
}

void stage_init(struct hook_run *run, struct exchange *x, enum bourn_point point,
                struct bourn_caller *caller, struct arena *arena)
{
	struct bourn_call *pub = &run->call.pub;

	*caller = caller_for_hooks(exchange_caller(x));
	arena_reset(arena);
	call_init(&run->call, point, caller, arena);
	pub->now_ms = front_now(x->front).wall_ms;
	pub->method = slice_out(slice_str(http_method_name(x->method)));
	pub->topic = slice_out(stage_topic(x));
	pub->target = slice_out(hooked_target_text(x->hooks->target));
}

struct arena *stage_arena(const struct exchange *x, enum bourn_point point)
{
	return hook_chain_arena(x->front->chains[point]);
}

bool stage_waits(const struct exchange *x, enum bourn_point point)
{
	return hook_chain_waits(x->front->chains[point], BOURN_FRONT_HTTP, stage_topic(x));
}

void stage_take_refusal(struct exchange *x, const struct hook_run *r)
{
	bool said_more = r->fault.code == ERR_HOOK_REFUSED;

	x->fault = r->fault;
	exchange_set_refusal(x, said_more ? refusal_copy(&r->call.refusal) : NULL);
}

bool stage_is_framing(struct slice name)
{
	return slice_eq_nocase(name, SLICE_LIT("content-length")) ||
	       slice_eq_nocase(name, SLICE_LIT("transfer-encoding"));
}
