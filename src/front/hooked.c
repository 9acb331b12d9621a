#include "front/hooked.h"

#include <stdlib.h>

/* An answer on its way out. */
struct hooked_answer {
	struct hooked_answer *next; /* of its connection */
	int64_t last_byte;          /* as connection->sent_bytes counts */
	int status;
	struct hooked_target *target; /* owned */
};

static void run_init(struct hook_run *run, struct front *f, enum bourn_point point,
                     const struct bourn_caller *caller)
{
	struct arena *arena = hook_chain_arena(f->chains[point]);

	arena_reset(arena);
	call_init(&run->call, point, caller, arena);
	run->call.pub.now_ms = front_now(f).wall_ms;
}

bool hooked_connect(struct connection *c)
{
	struct front *f = c->front;
	struct bourn_caller caller;
	struct hook_run run;

	if (!f->chains[BOURN_CONNECT])
		return true;
	caller = caller_for_hooks(&c->caller);
	run_init(&run, f, BOURN_CONNECT, &caller);
	CHECK(hook_run_start(f->chains[BOURN_CONNECT], &run));
	return run.outcome == HOOK_PASSED;
}

enum err hooked_subscribe(struct connection *c, enum bourn_front front, struct slice topic,
                          struct fault *f, struct refusal **refusal)
{
	struct hook_chain *chain = c->front->chains[BOURN_SUBSCRIBE];
	struct bourn_caller caller;
	struct hook_run run;

	*refusal = NULL;
	if (!chain)
		return OK;
	caller = caller_for_hooks(&c->caller);
	caller.front = front;
	run_init(&run, c->front, BOURN_SUBSCRIBE, &caller);
	run.call.pub.topic = slice_out(topic);
	CHECK(hook_run_start(chain, &run));
	if (run.outcome == HOOK_PASSED)
		return OK;
	*f = run.fault;
	if (run.call.refusal.status)
		*refusal = refusal_copy(&run.call.refusal);
	return f->code;
}

bool hooked_deliver_to(struct front *f, enum bourn_front front, struct slice topic,
                       struct delivery *d)
{
	const struct bourn_caller caller = {
		.bytes = sizeof(caller),
		.front = front,
		.peer = "",
	};
	struct hook_run run;

	run_init(&run, f, BOURN_DELIVER, &caller);
	run.call.pub.topic = slice_out(topic);
	run.call.pub.partition = (int32_t)d->partition;
	run.call.pub.offset = d->record.offset;
	call_set_record(&run.call, &d->record);
	CHECK(hook_run_start(f->chains[BOURN_DELIVER], &run));
	if (run.outcome != HOOK_PASSED)
		return false;
	return !run.changed || call_get_record(&run.call, &d->record);
}

/* --- those who are only told ------------------------------------------------------------------ */

struct telling {
	struct hook_run run;
	struct arena arena;
	struct front *front;
};

static void told(struct hook_run *run)
{
	struct telling *t = CONTAINER_OF(run, struct telling, run);
	struct front *f = t->front;

	arena_fini(&t->arena);
	free(t);
	f->telling--;
	front_quieter(f);
}

static void tell_later(struct front *f, const struct call *call)
{
	struct telling *t = calloc(1, sizeof(*t));

	if (!t)
		return;
	t->arena = ARENA_INIT;
	t->front = f;
	t->run.call = *call;
	t->run.call.arena = &t->arena;
	t->run.done = told;
	f->telling++;
	if (!call_keep(&t->run.call) || hook_run_start(f->chains[call->pub.point], &t->run))
		told(&t->run);
}

void hooked_tell(struct front *f, struct hook_run *run)
{
	const struct bourn_call *pub = &run->call.pub;
	struct hook_chain *chain = f->chains[pub->point];

	if (hook_chain_waits(chain, pub->caller->front, slice_in(pub->topic)))
		tell_later(f, &run->call);
	else
		CHECK(hook_run_start(chain, run));
}

/* --- after_response_send ---------------------------------------------------------------------- */

struct slice hooked_topic(const struct hooked_target *t)
{
	return t->topic_bytes > 0 ? slice_of(t->text, t->topic_bytes) : SLICE_NONE;
}

struct slice hooked_target_text(const struct hooked_target *t)
{
	return slice_of(t->text + t->topic_bytes, t->bytes);
}

static void answer_free(struct hooked_answer *a)
{
	free(a->target);
	free(a);
}

void hooked_will_send(struct connection *c, struct hooked_target *target, int status)
{
	struct hooked_answer *a = malloc(sizeof(*a));
	struct hooked_answer **last = &c->answers;

	if (!a) {
		free(target);
		return;
	}
	*a = (struct hooked_answer){
		.last_byte = c->sent_bytes + (int64_t)connection_pending(c),
		.status = status,
		.target = target,
	};
	while (*last)
		last = &(*last)->next;
	*last = a;
}

static void tell_sent(struct connection *c, const struct hooked_answer *a)
{
	struct bourn_caller caller = caller_for_hooks(&c->caller);
	struct hook_run run;

	caller.request_id = a->target->request_id;
	run_init(&run, c->front, BOURN_AFTER_RESPONSE_SEND, &caller);
	run.call.pub.topic = slice_out(hooked_topic(a->target));
	run.call.pub.method = slice_out(slice_str(http_method_name(a->target->method)));
	run.call.pub.target = slice_out(hooked_target_text(a->target));
	run.call.pub.status = a->status;
	hooked_tell(c->front, &run);
}

void hooked_sent(struct connection *c)
{
	struct hooked_answer *a;

	while ((a = c->answers) && a->last_byte <= c->sent_bytes) {
		c->answers = a->next;
		tell_sent(c, a);
		answer_free(a);
	}
}

void hooked_forget(struct connection *c)
{
	struct hooked_answer *a;

	while ((a = c->answers)) {
		c->answers = a->next;
		answer_free(a);
	}
}
