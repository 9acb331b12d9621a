/* What hooks make of the records of a produce request, before it has partitions: each is shown to
 * them, in order. All or nothing: one that is refused refuses the request; those that are dropped
 * are left out, whatever becomes of the others. */
#include "broker/produce_steps.h"
#include "hook/hook.h"

static void run_init(struct hook_run *run, const struct produce *p,
                     const struct bourn_caller *caller, struct arena *arena, const struct record *r)
{
	call_init(&run->call, BOURN_PRODUCE, caller, arena);
	run->call.pub.topic = slice_out(p->topic);
	run->call.pub.now_ms = loop_now(p->broker->loop).wall_ms;
	call_set_record(&run->call, r);
}

static void be_refused(struct produce *p, const struct hook_run *run)
{
	p->fault = run->fault;
	if (run->call.refusal.status)
		p->refusal = refusal_copy(&run->call.refusal);
}

/* What became of one record; `*kept` grows when it is still there. */
static enum err take(struct produce *p, struct hook_run *run, const struct record *was,
                     struct record *records, uint32_t *kept)
{
	switch (run->outcome) {
	case HOOK_STOPPED: p->dropped_count++; return OK;
	case HOOK_REFUSED: be_refused(p, run); return run->fault.code;
	case HOOK_PASSED: break;
	}
	records[*kept] = *was;
	if (run->changed && !call_get_record(&run->call, &records[*kept]))
		return fault_set(&p->fault, ERR_NO_MEMORY, 0, "what a hook made");
	*kept += 1;
	return OK;
}

/* The arena holds what they point to afterwards. */
static enum err pass(struct produce *p, const struct record *records, uint32_t count,
                     struct record *out, uint32_t *kept)
{
	struct hook_chain *chain = p->broker->produce_hooks;
	struct bourn_caller caller = caller_for_hooks(p->caller);
	enum err err = OK;

	for (uint32_t i = 0; i < count && !err; i++) {
		struct hook_run run;

		run_init(&run, p, &caller, hook_chain_arena(chain), &records[i]);
		CHECK(hook_run_start(chain, &run));
		err = take(p, &run, &records[i], out, kept);
	}
	return err;
}

void produce_hooks(struct produce *p, const struct record *records, uint32_t count)
{
	struct arena *arena = hook_chain_arena(p->broker->produce_hooks);
	struct record one;
	struct record *out = count == 1 ? &one : arena_alloc(arena, count * sizeof(*out));
	uint32_t kept = 0;
	enum err err = out ? pass(p, records, count, out, &kept) : ERR_NO_MEMORY;

	if (!err && kept > 0)
		err = produce_store(p, out, kept);
	if (err || kept == 0)
		produce_finish(p, err);
	arena_reset(arena);
}
