#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>

static void notify_watchers(struct task *t)
{
	struct store_partition *p = CONTAINER_OF(t, struct store_partition, notify);
	struct list left;
	struct list *node;

	/* moved() may remove any watch and add new ones: so each is back in its list before it is
	 * called, and only those that were there when the round began are. */
	list_init(&left);
	list_move_all(&left, &p->watchers);
	while ((node = list_take_first(&left)) != NULL) {
		struct store_watch *w = LIST_ENTRY(node, struct store_watch, node);

		list_append(&p->watchers, node);
		w->moved(w);
	}
}

static void topic_free(struct shared *s)
{
	free(CONTAINER_OF(s, struct store_topic, shared));
}

void store_topic_born(struct topic_spec *spec, const struct store_config *config,
                      const char *engine)
{
	uint8_t random[16];

	CHECK(spec->partition_count >= 1);
	CHECK(spec->partition_count <= TOPIC_PARTITIONS_MAX);
	if (uuid_is_none(&spec->uuid)) {
		config->entropy->fill(config->entropy, random, sizeof(random));
		uuid_from_random(&spec->uuid, random);
	}
	if (spec->created_at_ms == 0)
		spec->created_at_ms = loop_now(config->loops[0]).wall_ms;
	snprintf(spec->engine, sizeof(spec->engine), "%s", engine);
}

struct store_topic *store_topic_new(const struct topic_spec *spec)
{
	size_t bytes = spec->partition_count * sizeof(struct store_partition *);
	struct store_topic *t = calloc(1, sizeof(*t) + bytes);

	if (!t)
		return NULL;
	shared_init(&t->shared, topic_free);
	t->spec = *spec;
	return t;
}

void store_partition_init(struct store_partition *p, struct store *s, const struct topic_spec *spec,
                          uint32_t index, unsigned shard)
{
	CHECK(index < spec->partition_count);
	*p = (struct store_partition){
		.store = s,
		.topic = spec->uuid,
		.index = index,
		.shard = shard,
		.settings = spec->settings,
		.notify = {.run = notify_watchers},
	};
	list_init(&p->watchers);
}

void store_watch_add(struct store_partition *p, struct store_watch *w)
{
	CHECK(w->moved != NULL);
	list_append(&p->watchers, &w->node);
}

void store_watch_remove(struct store_watch *w)
{
	list_remove(&w->node);
}

void store_partition_moved(struct store_partition *p, struct loop *l)
{
	const struct partition_state *s = &p->state;

	CHECK(s->log_start <= s->last_stable);
	CHECK(s->last_stable <= s->high_watermark);
	CHECK(s->high_watermark <= s->log_end);
	if (!list_is_empty(&p->watchers))
		loop_defer(l, LOOP_WORK, &p->notify);
}

void store_partition_fence(struct store_partition *p, enum err code, const char *why)
{
	CHECK(code != OK);
	free(p->state.fenced.where);
	p->state.fenced = (struct fence){code, strdup(why)};
}

void store_partition_unfence(struct store_partition *p)
{
	free(p->state.fenced.where);
	p->state.fenced = (struct fence){0};
}

struct fault store_partition_fenced(const struct store_partition *p)
{
	const struct fence *why = &p->state.fenced;
	struct fault f = {0};

	if (why->code)
		(void)fault_set(&f, why->code, 0, "%s", why->where ? why->where : "");
	return f;
}
