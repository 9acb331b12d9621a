#include "hook/hook.h"

#include "hook/carrier.h"
#include "hook/stats.h"

#include <stdlib.h>

enum { TIMED_EVERY = 8 }; /* of a hook's calls: reading the clock costs as much as a small hook */

struct hook_set {
	const struct hook_spec *specs; /* borrowed */
	size_t count;
	struct hook_module *modules[];
};

/* One hook on one shard. */
struct hook {
	const struct hook_spec *spec;
	const struct hook_carrier *carrier;
	struct hook_instance *instance;
	unsigned version; /* of the module that it was opened with */
	struct loop *loop;
	struct log_limiter *lines; /* for what it does wrong or says */
	struct log_limiter pauses; /* for when it is not asked for a while, and when it is again */
	struct hook_stats stats;
};

struct hook_chain {
	struct arena arena;
	size_t count; /* > 0 */
	struct hook *links[];
};

struct hooks {
	struct hook_place place;
	struct hook_set *set;
	struct log_limiter lines;
	struct hook_chain *chains[BOURN_POINT_COUNT]; /* owned; NULL: none */
	size_t count;                                 /* of those that are open */
	struct hook hooks[];
};

/* --- loading ------------------------------------------------------------------------------------ */

const struct hook_carrier *carrier_of(enum hook_type type)
{
	static const struct hook_carrier *const carriers[HOOK_TYPE_COUNT] = {
		[HOOK_SO] = &carrier_so,
		[HOOK_LUA] = &carrier_lua,
		[HOOK_HTTP] = &carrier_http,
	};

	CHECK((unsigned)type < HOOK_TYPE_COUNT);
	return carriers[type];
}

/* "hook 'mask': <what is wrong>" */
static enum err name_fault(const struct hook_spec *spec, struct fault *f)
{
	struct fault inner = *f;

	return fault_set(f, inner.code, inner.os_errno, "hook '%s': %s", spec->name, inner.where);
}

static enum err check_points(const struct hook_spec *spec, struct hook_module *m, struct fault *f)
{
	unsigned wanted = spec->points;

	for (unsigned i = 0; i < BOURN_POINT_COUNT; i++)
		if (wanted & ~m->points & 1u << i)
			return fault_set(f, ERR_CONFIG, 0, "%s: it has no function '%s'",
			                 spec->path, point_name((enum bourn_point)i));
	if (wanted)
		m->points = wanted;
	if (m->points == 0)
		return fault_set(f, ERR_CONFIG, 0, "%s: it has a function for no point",
		                 spec->path);
	return hook_spec_check_points(spec, m->points, f);
}

static enum err load_one(const struct hook_spec *spec, struct hook_module **out, struct fault *f)
{
	enum err err = carrier_of(spec->type)->load(spec, out, f);

	if (err)
		return err;
	(*out)->spec = spec;
	err = check_points(spec, *out, f);
	if (err)
		carrier_of(spec->type)->unload(*out);
	return err;
}

enum err hook_set_load(const struct hook_spec *specs, size_t count, struct hook_set **out,
                       struct fault *f)
{
	struct hook_set *set;

	if (!HOOKS_BUILT && count > 0)
		return fault_set(f, ERR_CONFIG, 0, "this program was built without hooks");
	set = calloc(1, sizeof(*set) + count * sizeof(set->modules[0]));
	if (!set)
		return fault_set(f, ERR_NO_MEMORY, 0, "hooks");
	set->specs = specs;
	for (; set->count < count; set->count++) {
		if (load_one(&specs[set->count], &set->modules[set->count], f) == OK)
			continue;
		name_fault(&specs[set->count], f);
		hook_set_free(set);
		return f->code;
	}
	*out = set;
	return OK;
}

void hook_set_free(struct hook_set *set)
{
	while (set->count > 0) {
		set->count--;
		carrier_of(set->specs[set->count].type)->unload(set->modules[set->count]);
	}
	free(set);
}

static enum err open_one(struct hook_set *set, size_t index, const struct hook_place *place,
                         struct hook_instance **out, struct fault *f)
{
	const struct hook_spec *spec = &set->specs[index];
	enum err err = carrier_of(spec->type)->open(set->modules[index], place, out, f);

	if (err)
		return name_fault(spec, f);
	(*out)->module = set->modules[index];
	return OK;
}

enum err hook_set_check(struct hook_set *set, struct fault *f)
{
	const struct hook_place nowhere = {.shard_count = 1};
	struct hook_instance *instance;
	enum err err;

	for (size_t i = 0; i < set->count; i++) {
		err = open_one(set, i, &nowhere, &instance, f);
		if (err)
			return err;
		carrier_of(set->specs[i].type)->close(instance);
	}
	return OK;
}

/* --- reading them again --------------------------------------------------------------------------- */

static bool refresh_one(struct hook_set *set, size_t index, struct log *log)
{
	const struct hook_spec *spec = &set->specs[index];
	struct hook_module *m = set->modules[index];
	bool fresh = false;
	struct fault f;

	if (carrier_of(spec->type)->refresh(m, &fresh, &f) != OK)
		log_line(log, LOG_WARN, "hook", "%s stays as it was: %s", spec->name, f.where);
	else
		log_line(log, LOG_INFO, "hook", "%s %s", spec->name,
		         fresh ? "was read again" : "has not changed");
	m->version += fresh;
	return fresh;
}

unsigned hook_set_refresh(struct hook_set *set, struct log *log)
{
	unsigned refreshed = 0;

	for (size_t i = 0; i < set->count; i++)
		refreshed += refresh_one(set, i, log);
	return refreshed;
}

static void renew(struct hooks *hooks, size_t index, const struct hook_place *place)
{
	struct hook *hook = &hooks->hooks[index];
	struct hook_instance *instance;
	struct fault f;

	hook->version = hooks->set->modules[index]->version;
	if (open_one(hooks->set, index, place, &instance, &f) != OK) {
		hook_log(hook, LOG_WARN, f.where);
		return;
	}
	hook->carrier->close(hook->instance);
	hook->instance = instance;
}

void hooks_renew(struct hooks *hooks)
{
	for (size_t i = 0; i < hooks->count; i++)
		if (hooks->hooks[i].version != hooks->set->modules[i]->version)
			renew(hooks, i, &hooks->place);
}

/* --- a shard's ---------------------------------------------------------------------------------- */

static struct hook_chain *chain_new(struct hooks *hooks, enum bourn_point point)
{
	struct hook_chain *chain;
	size_t count = 0;

	for (size_t i = 0; i < hooks->count; i++)
		count += (hooks->set->modules[i]->points & 1u << point) != 0;
	if (count == 0)
		return NULL;
	chain = calloc(1, sizeof(*chain) + count * sizeof(struct hook *));
	CHECK(chain); /* out of memory is fatal at start */
	chain->arena = ARENA_INIT;
	for (size_t i = 0; i < hooks->count; i++)
		if (hooks->set->modules[i]->points & 1u << point)
			chain->links[chain->count++] = &hooks->hooks[i];
	return chain;
}

static void chain_free(struct hook_chain *chain)
{
	if (chain)
		arena_fini(&chain->arena);
	free(chain);
}

enum err hooks_new(struct hook_set *set, struct loop *l, unsigned shard, unsigned shard_count,
                   struct hooks **out, struct fault *f)
{
	const struct hook_place place = {.loop = l, .shard = shard, .shard_count = shard_count};
	struct hooks *hooks;
	enum err err;

	*out = NULL;
	if (set->count == 0)
		return OK;
	hooks = calloc(1, sizeof(*hooks) + set->count * sizeof(hooks->hooks[0]));
	CHECK(hooks);
	hooks->place = place;
	hooks->set = set;
	for (; hooks->count < set->count; hooks->count++) {
		struct hook *hook = &hooks->hooks[hooks->count];

		hook->spec = &set->specs[hooks->count];
		hook->carrier = carrier_of(hook->spec->type);
		hook->loop = l;
		hook->lines = &hooks->lines;
		err = open_one(set, hooks->count, &hooks->place, &hook->instance, f);
		if (err) {
			hooks_free(hooks);
			return err;
		}
	}
	for (unsigned i = 0; i < BOURN_POINT_COUNT; i++)
		hooks->chains[i] = chain_new(hooks, (enum bourn_point)i);
	*out = hooks;
	return OK;
}

void hooks_free(struct hooks *hooks)
{
	if (!hooks)
		return;
	for (unsigned i = 0; i < BOURN_POINT_COUNT; i++)
		chain_free(hooks->chains[i]);
	while (hooks->count > 0) {
		struct hook *hook = &hooks->hooks[--hooks->count];

		hook->carrier->close(hook->instance);
	}
	free(hooks);
}

struct hook_chain *hooks_chain(const struct hooks *hooks, enum bourn_point point)
{
	return hooks ? hooks->chains[point] : NULL;
}

struct arena *hook_chain_arena(struct hook_chain *chain)
{
	return &chain->arena;
}

void hook_log(const struct hook *hook, enum log_level level, const char *text)
{
	log_limited(loop_log(hook->loop), hook->lines, level, "hook", "%s: %s", hook->spec->name,
	            text);
}

/* --- one call ----------------------------------------------------------------------------------- */

static bool wants(const struct hook *hook, enum bourn_front front, struct slice topic)
{
	const struct hook_spec *spec = hook->spec;

	if (spec->fronts && !(spec->fronts & 1u << front))
		return false;
	return hook_spec_wants_topic(spec, topic);
}

bool hook_chain_waits(const struct hook_chain *chain, enum bourn_front front, struct slice topic)
{
	for (size_t i = 0; i < chain->count; i++)
		if (chain->links[i]->carrier->waits && wants(chain->links[i], front, topic))
			return true;
	return false;
}

/* Why a verdict cannot stand; NULL: it can. */
static const char *objection(struct call *c, enum bourn_verdict verdict)
{
	if (!point_allows(c->pub.point, verdict))
		return "it gave a verdict that makes no sense there";
	if (verdict == BOURN_FAIL)
		return c->failure ? c->failure : "it failed";
	if (verdict == BOURN_REFUSE && (c->refusal.status < 400 || c->refusal.status > 599))
		return "it refused with a status that is not from 400 to 599";
	return verdict == BOURN_MODIFY ? call_objection(c) : NULL;
}

static enum hook_outcome fail(struct hook_run *run, const char *why)
{
	const struct hook *hook = run->call.hook;

	if (!run->call.skipped)
		hook_log(hook, LOG_WARN, why);
	run->call.refusal = (struct refusal){0};
	if (hook->spec->open)
		return HOOK_PASSED;
	if (!point_allows(run->call.pub.point, BOURN_REFUSE))
		return point_allows(run->call.pub.point, BOURN_STOP) ? HOOK_STOPPED : HOOK_PASSED;
	fault_set(&run->fault, ERR_HOOK_FAILED, 0, "hook '%s'", hook->spec->name);
	return HOOK_REFUSED;
}

static enum hook_outcome refuse(struct hook_run *run)
{
	fault_set(&run->fault, ERR_HOOK_REFUSED, 0, "%.*s", SLICE_FMT(run->call.refusal.detail));
	return HOOK_REFUSED;
}

static struct hook *asked(const struct hook_run *run)
{
	return run->chain->links[run->next - 1];
}

/* What the hook that was asked says is put to use. */
static enum hook_outcome take(struct hook_run *run, enum bourn_verdict verdict)
{
	struct hook *hook = asked(run);
	const char *why = NULL;

	if (run->asked_us && !run->call.skipped)
		stats_took(&hook->stats, loop_clock_us(hook->loop) - run->asked_us);
	if (verdict != BOURN_CONTINUE)
		why = objection(&run->call, verdict);
	if (why)
		verdict = BOURN_FAIL;
	stats_add(&hook->stats.verdicts[verdict], 1);
	run->verdict = verdict;
	run->why = why;
	if (verdict != BOURN_MODIFY)
		call_restore(&run->call, &run->before);
	switch (verdict) {
	case BOURN_CONTINUE: return HOOK_PASSED;
	case BOURN_MODIFY: run->changed = true; return HOOK_PASSED;
	case BOURN_STOP: return HOOK_STOPPED;
	case BOURN_REFUSE: return refuse(run);
	case BOURN_FAIL: return fail(run, why);
	}
	UNREACHABLE();
}

/* False: it answers later. */
static bool ask(struct hook *hook, struct hook_run *run, enum bourn_verdict *verdict)
{
	bool timed = hook->carrier->waits || hook->stats.turn++ % TIMED_EVERY == 0;

	run->before = call_content(&run->call);
	run->call.hook = hook;
	run->call.failure = NULL;
	run->call.skipped = false;
	run->call.headers.cap = 0; /* what it changes it copies first */
	run->asked_us = timed ? loop_clock_us(hook->loop) : 0;
	return hook->carrier->call(hook->instance, &run->call, verdict);
}

static bool go_on(struct hook_run *run)
{
	struct hook_chain *chain = run->chain;
	enum bourn_verdict verdict;

	while (run->next < chain->count && run->outcome == HOOK_PASSED) {
		struct hook *hook = chain->links[run->next++];

		if (!wants(hook, run->call.pub.caller->front, slice_in(run->call.pub.topic)))
			continue;
		if (!ask(hook, run, &verdict))
			return false;
		run->outcome = take(run, verdict);
	}
	return true;
}

bool hook_run_start(struct hook_chain *chain, struct hook_run *run)
{
	run->chain = chain;
	run->next = 0;
	run->outcome = HOOK_PASSED;
	run->changed = false;
	run->verdict = BOURN_CONTINUE;
	run->fault.code = OK;
	return go_on(run);
}

void hook_said(struct call *c, enum bourn_verdict verdict)
{
	struct hook_run *run = CONTAINER_OF(c, struct hook_run, call);

	run->outcome = take(run, verdict);
	if (go_on(run))
		run->done(run);
}

void hook_pauses(struct call *c, int64_t failures)
{
	struct hook *hook = asked(CONTAINER_OF(c, struct hook_run, call));

	stats_add(&hook->stats.pauses, 1);
	stats_add(&hook->stats.is_paused, 1);
	log_limited(
		loop_log(hook->loop), &hook->pauses, LOG_WARN, "hook",
		"%s: %lld calls in a row failed, the last with \"%s\"; until it answers it is only tried "
		"now and then. Does its server run, where its 'url' says?",
		hook->spec->name, (long long)failures, c->failure);
}

void hook_resumes(struct call *c)
{
	struct hook *hook = asked(CONTAINER_OF(c, struct hook_run, call));

	stats_add(&hook->stats.is_paused, -1);
	log_limited(loop_log(hook->loop), &hook->pauses, LOG_INFO, "hook",
	            "%s: it answers again, and is asked as before", hook->spec->name);
}

/* --- metrics ------------------------------------------------------------------------------------ */

enum { SHARDS_MAX = 256 };

static unsigned stats_of(size_t hook, struct hooks *const *shards, unsigned count,
                         const struct hook_stats *sets[SHARDS_MAX])
{
	unsigned found = 0;

	for (unsigned i = 0; i < count && i < SHARDS_MAX; i++)
		if (shards[i])
			sets[found++] = &shards[i]->hooks[hook].stats;
	return found;
}

typedef void render_stats(struct buf *out, const char *hook, const struct hook_stats *const *sets,
                          unsigned count);

static void render_all(struct buf *out, render_stats *render, struct hooks *const *shards,
                       unsigned count)
{
	const struct hook_stats *sets[SHARDS_MAX];

	for (size_t i = 0; i < shards[0]->count; i++) {
		unsigned found = stats_of(i, shards, count, sets);

		render(out, shards[0]->hooks[i].spec->name, sets, found);
	}
}

void hooks_render(struct buf *out, struct hooks *const *shards, unsigned count)
{
	if (count == 0 || !shards[0])
		return;
	buf_append_lit(out, "# HELP bourn_hook_calls_total calls of a hook, by what it said\n"
	                    "# TYPE bourn_hook_calls_total counter\n");
	render_all(out, stats_render_verdicts, shards, count);
	buf_append_lit(
		out,
		"# HELP bourn_hook_seconds how long calls took, of one in eight; over HTTP of all\n"
		"# TYPE bourn_hook_seconds histogram\n");
	render_all(out, stats_render_seconds, shards, count);
	buf_append_lit(out,
	               "# HELP bourn_hook_paused event loops that do not ask it for a while, as "
	               "it failed again and again\n"
	               "# TYPE bourn_hook_paused gauge\n");
	render_all(out, stats_render_paused, shards, count);
	buf_append_lit(out, "# HELP bourn_hook_pauses_total how often a loop came to that\n"
	                    "# TYPE bourn_hook_pauses_total counter\n");
	render_all(out, stats_render_pauses, shards, count);
}
