#include "broker/broker.h"

#include "broker/produce_hooks.h"
#include "broker/reader_steps.h"
#include "broker/shard.h"
#include "broker/topic_match_steps.h"
#include "broker/topic_wait.h"
#include "broker/turn_batch.h"
#include "hook/hook.h"
#include "io/metrics.h"

#include <stdlib.h>

/* --- credits ---------------------------------------------------------------------------------- */

static bool is_low(const struct broker *b, uint32_t credits)
{
	return credits < b->group->config.credits / 10 + 1;
}

bool credit_take(struct broker *b, unsigned target)
{
	uint32_t before = b->credits[target];

	if (before == 0)
		return false;
	b->credits[target] = before - 1;
	b->credits_low += is_low(b, before - 1) && !is_low(b, before);
	return true;
}

void credit_give(struct broker *b, unsigned target)
{
	uint32_t before = b->credits[target];

	CHECK(before < b->group->config.credits);
	b->credits[target] = before + 1;
	b->credits_low -= is_low(b, before) && !is_low(b, before + 1);
}

enum broker_room broker_room(const struct broker *b, const struct caller *c)
{
	if (b->credits_low > 0)
		return BROKER_NO_CREDITS;
	return b->pass_count > 0 && produce_is_behind(b, c) ? BROKER_BEHIND : BROKER_HAS_ROOM;
}

/* --- drain: a message visits the shards in turn, and stays on each until nothing is under way - */

static void drain_step(struct message *m);

static void drain_go_on(struct broker_group *g)
{
	g->drain_at++;
	if (g->drain_at < g->config.shard_count)
		loop_post(g->config.loops[g->drain_at], &g->drain);
	else
		loop_post(g->config.loops[0], &g->drain);
}

static void drain_step(struct message *m)
{
	struct broker_group *g = CONTAINER_OF(m, struct broker_group, drain);
	void (*drained)(void *arg);
	struct broker *b;

	if (g->drain_at == g->config.shard_count) {
		drained = g->drained;
		g->drained = NULL;
		drained(g->drained_arg);
		return;
	}
	b = g->shards[g->drain_at];
	b->draining = true;
	b->produce_is_special = true;
	if (b->under_way > 0)
		b->drain_waits = true; /* shard_end goes on */
	else
		drain_go_on(g);
}

void shard_end(struct broker *b)
{
	CHECK(b->under_way > 0);
	b->under_way--;
	if (b->under_way == 0 && b->drain_waits) {
		b->drain_waits = false;
		drain_go_on(b->group);
	}
}

void broker_group_drain(struct broker_group *g, void (*drained)(void *arg), void *arg)
{
	CHECK(!g->drained);
	g->drained = drained;
	g->drained_arg = arg;
	g->drain_at = 0;
	g->drain.deliver = drain_step;
	loop_post(g->config.loops[0], &g->drain);
}

/* --- topics come and go ----------------------------------------------------------------------- */

bool shard_publish(struct broker *b, struct topic_facts *facts)
{
	struct topic *t = topics_insert(&b->topics, facts);
	struct topic_wait *w;

	if (!t)
		return false;
	w = topic_wait_find(b, topic_name(t));
	if (b->index == 0)
		metric_add(b->metrics, METRIC_TOPICS, 1);
	if (w)
		topic_wait_appeared(w, t);
	topic_matches_tell(b, t);
	return true;
}

bool shard_replace(struct topic *t, struct topic_facts *facts)
{
	bool grows = facts->spec.partition_count > t->facts->spec.partition_count;

	if (!topic_replace(t, facts))
		return false;
	if (!grows)
		return true;
	LIST_EACH (node, &t->readers)
		reader_topic_grew(node);
	return true;
}

void shard_unpublish(struct broker *b, struct topic *t, struct task *abandoned)
{
	struct list *node;

	if (b->index == 0)
		metric_add(b->metrics, METRIC_TOPICS, -1);
	topics_remove(&b->topics, t);
	while ((node = list_take_first(&t->readers)))
		reader_topic_gone(node);
	t->abandoned = abandoned;
	if (t->uses == 0)
		loop_defer(b->loop, LOOP_WORK, abandoned);
}

/* --- the group -------------------------------------------------------------------------------- */

static struct broker *shard_new(struct broker_group *g, unsigned index,
                                struct topic_facts *const *facts, size_t count)
{
	const struct broker_config *config = &g->config;
	struct broker *b = calloc(1, sizeof(*b) + config->shard_count * sizeof(b->credits[0]));

	CHECK(b);
	b->group = g;
	b->loop = config->loops[index];
	b->metrics = loop_metrics(b->loop);
	b->ops = config->store->ops;
	b->index = index;
	if (config->hooks)
		b->produce_hooks = hooks_chain(config->hooks[index], BOURN_PRODUCE);
	b->produce_is_special = b->produce_hooks != NULL;
	list_init(&b->matches);
	for (unsigned i = 0; i < config->shard_count; i++)
		b->credits[i] = config->credits;
	turn_batches_init(b);
	produce_init(b);
	CHECK(topics_init(&b->topics, facts, count));
	return b;
}

static struct topic_facts **facts_of_store(struct store *s, size_t *count)
{
	const struct store_topic *const *stored = s->ops->topics(s, count);
	struct topic_facts **facts = calloc(*count + 1, sizeof(struct topic_facts *));

	CHECK(facts);
	for (size_t i = 0; i < *count; i++) {
		facts[i] = topic_facts_new();
		CHECK(facts[i]);
		topic_facts_set(facts[i], &stored[i]->spec, stored[i]);
	}
	return facts;
}

struct broker_group *broker_group_new(const struct broker_config *config)
{
	struct broker_group *g =
		calloc(1, sizeof(*g) + config->shard_count * sizeof(struct broker *));
	struct topic_facts **facts;
	size_t count;

	CHECK(config->shard_count > 0);
	CHECK(config->credits > 0);
	CHECK(config->default_partitions > 0);
	CHECK(g); /* out of memory is fatal at start */
	g->config = *config;
	facts = facts_of_store(config->store, &count);
	for (unsigned i = 0; i < config->shard_count; i++)
		g->shards[i] = shard_new(g, i, facts, count);
	metric_add(g->shards[0]->metrics, METRIC_TOPICS, (int64_t)count);
	for (size_t i = 0; i < count; i++)
		shared_put(&facts[i]->shared);
	free(facts);
	return g;
}

static void shard_free(struct broker *b)
{
	CHECK(b->under_way == 0);
	CHECK(!b->waits);
	CHECK(list_is_empty(&b->matches));
	CHECK(!b->claims);
	turn_batches_fini(b);
	topics_fini(&b->topics);
	free(b);
}

void broker_group_free(struct broker_group *g)
{
	for (unsigned i = 0; i < g->config.shard_count; i++)
		shard_free(g->shards[i]);
	free(g);
}

struct broker *broker_of(struct broker_group *g, unsigned shard)
{
	CHECK(shard < g->config.shard_count);
	return g->shards[shard];
}

struct loop *broker_loop(const struct broker *b)
{
	return b->loop;
}
