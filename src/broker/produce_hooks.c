#include "broker/produce_hooks.h"

void produce_run_init(struct hook_run *run, const struct produce *p,
                      const struct bourn_caller *caller, struct arena *arena,
                      const struct record *r)
{
	call_init(&run->call, BOURN_PRODUCE, caller, arena);
	run->call.pub.topic = slice_out(p->topic);
	run->call.pub.now_ms = loop_now(p->broker->loop).wall_ms;
	call_set_record(&run->call, r);
}

static void be_refused(struct produce *p, const struct hook_run *run)
{
	p->fault = run->fault;
	if (p->fault.code == ERR_HOOK_REFUSED)
		p->refusal = refusal_copy(&run->call.refusal);
}

enum err produce_run_take(struct hook_run *run, struct produce *p, struct record *r, bool *dropped)
{
	*dropped = run->outcome == HOOK_STOPPED;
	p->dropped_count += *dropped;
	if (run->outcome == HOOK_REFUSED) {
		be_refused(p, run);
		return run->fault.code;
	}
	if (run->changed && !*dropped && !call_get_record(&run->call, r))
		return fault_set(&p->fault, ERR_NO_MEMORY, 0, "what a hook made");
	return OK;
}

/* The arena holds what they point to afterwards. */
static enum err pass(struct produce *p, const struct bourn_caller *caller,
                     const struct record *records, uint32_t count, struct record *out,
                     uint32_t *kept)
{
	struct hook_chain *chain = p->broker->produce_hooks;
	enum err err = OK;

	for (uint32_t i = 0; i < count && !err; i++) {
		struct hook_run run;
		bool dropped;

		produce_run_init(&run, p, caller, hook_chain_arena(chain), &records[i]);
		CHECK(hook_run_start(chain, &run));
		out[*kept] = records[i];
		err = produce_run_take(&run, p, &out[*kept], &dropped);
		*kept += !dropped;
	}
	return err;
}

static void pass_now(struct produce *p, const struct bourn_caller *caller,
                     const struct record *records, uint32_t count)
{
	struct arena *arena = hook_chain_arena(p->broker->produce_hooks);
	struct record one;
	struct record *out = count == 1 ? &one : arena_alloc(arena, count * sizeof(*out));
	uint32_t kept = 0;
	enum err err = out ? pass(p, caller, records, count, out, &kept) : ERR_NO_MEMORY;

	if (!err && kept > 0)
		err = produce_store(p, out, kept);
	if (err || kept == 0)
		produce_finish(p, err);
	arena_reset(arena);
}

void produce_hooks(struct produce *p, const struct record *records, uint32_t count)
{
	struct bourn_caller caller = caller_for_hooks(p->caller);

	if (hook_chain_waits(p->broker->produce_hooks, caller.front, p->topic))
		produce_pass(p, records, count);
	else
		pass_now(p, &caller, records, count);
}
