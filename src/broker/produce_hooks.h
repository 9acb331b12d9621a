/* produce hooks: what hooks make of the records of a produce request, before it has partitions.
 * Private to broker/.
 *
 * Each record is shown to them. All or nothing: one that is refused refuses the request; those that
 * are dropped are left out, whatever becomes of the others. */
#ifndef BOURN_BROKER_PRODUCE_HOOKS_H
#define BOURN_BROKER_PRODUCE_HOOKS_H

#include "broker/produce_steps.h"
#include "hook/hook.h"

/* Have the records pass the shard's hooks, then go on as produce_store does; or finish. */
void produce_hooks(struct produce *p, const struct record *records, uint32_t count);

/* The same for hooks that answer later (produce_pass.c): the records are copied. Requests of one
 * caller for one topic go on in the order of the calls. */
void produce_pass(struct produce *p, const struct record *records, uint32_t count);

/* Does so much wait for hooks that this caller, who has a part in it, is to be read no more? */
bool produce_is_behind(const struct broker *b, const struct caller *c);

/* A run for one record, ready to be started. */
void produce_run_init(struct hook_run *run, const struct produce *p,
                      const struct bourn_caller *caller, struct arena *arena,
                      const struct record *r);

/* What became of the record: `*r`, which was the original, or `*dropped`. Not OK: the request is
 * refused, p->fault says why. */
enum err produce_run_take(struct hook_run *run, struct produce *p, struct record *r,
                          bool *dropped) MUST_CHECK;

#endif
