#include "broker/topics.h"

#include "base/check.h"

#include <stdlib.h>

static void facts_free(struct shared *s)
{
	struct topic_facts *facts = CONTAINER_OF(s, struct topic_facts, shared);

	if (facts->stored)
		store_topic_put(facts->stored);
	free(facts);
}

struct topic_facts *topic_facts_new(void)
{
	struct topic_facts *facts = calloc(1, sizeof(*facts));

	if (facts)
		shared_init(&facts->shared, facts_free);
	return facts;
}

void topic_facts_set(struct topic_facts *facts, const struct topic_spec *spec,
                     const struct store_topic *stored)
{
	CHECK(!facts->stored);
	facts->spec = *spec;
	facts->stored = store_topic_get(stored);
}

void topic_release(struct topic *t, struct loop *l)
{
	CHECK(t->uses > 0);
	t->uses--;
	if (t->uses == 0 && t->abandoned)
		loop_defer(l, LOOP_WORK, t->abandoned);
}

static struct topic *topic_new(struct topic_facts *facts)
{
	struct topic *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->open = calloc(facts->spec.partition_count, sizeof(*t->open));
	if (!t->open) {
		free(t);
		return NULL;
	}
	shared_get(&facts->shared);
	t->facts = facts;
	t->name_bytes = strlen(facts->spec.name);
	list_init(&t->readers);
	return t;
}

void topic_free(struct topic *t)
{
	CHECK(t->uses == 0);
	CHECK(list_is_empty(&t->readers));
	shared_put(&t->facts->shared);
	free(t->open);
	free(t);
}

static int compare_names(struct slice a, struct slice b)
{
	size_t both = a.len < b.len ? a.len : b.len;
	int order = memcmp(a.ptr, b.ptr, both);

	if (order)
		return order;
	return (a.len > b.len) - (a.len < b.len);
}

static int compare_topics(const void *a, const void *b)
{
	const struct topic *const *x = a;
	const struct topic *const *y = b;

	return compare_names(topic_name(*x), topic_name(*y));
}

static bool hash_add(struct topics *ts, struct topic *t)
{
	HASH_ADD_KEYPTR(hh, ts->by_name, t->facts->spec.name, (unsigned)t->name_bytes, t);
	return hash_took(&t->hh);
}

static bool topics_reserve(struct topics *ts, size_t count)
{
	size_t cap = ts->cap ? ts->cap : 16;
	struct topic **grown;

	if (count <= ts->cap)
		return true;
	while (cap < count)
		cap *= 2;
	grown = realloc(ts->sorted, cap * sizeof(*grown));
	if (!grown)
		return false;
	ts->sorted = grown;
	ts->cap = cap;
	return true;
}

bool topics_init(struct topics *ts, struct topic_facts *const *facts, size_t count)
{
	*ts = (struct topics){0};
	if (!topics_reserve(ts, count))
		return false;
	for (size_t i = 0; i < count; i++) {
		struct topic *t = topic_new(facts[i]);

		if (!t)
			return false;
		ts->sorted[ts->count++] = t;
		if (!hash_add(ts, t))
			return false;
	}
	if (count > 0)
		qsort(ts->sorted, count, sizeof(*ts->sorted), compare_topics);
	return true;
}

void topics_fini(struct topics *ts)
{
	HASH_CLEAR(hh, ts->by_name);
	for (size_t i = 0; i < ts->count; i++)
		topic_free(ts->sorted[i]);
	free(ts->sorted);
	*ts = (struct topics){0};
}

struct topic *topics_find(struct topics *ts, struct slice name)
{
	struct topic *t = ts->last;

	if (t && slice_eq(topic_name(t), name))
		return t;
	HASH_FIND(hh, ts->by_name, name.ptr, (unsigned)name.len, t);
	if (t)
		ts->last = t;
	return t;
}

size_t topics_rank(const struct topics *ts, struct slice name)
{
	size_t low = 0;
	size_t high = ts->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_names(topic_name(ts->sorted[middle]), name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct topic *topics_insert(struct topics *ts, struct topic_facts *facts)
{
	struct topic *t = topics_reserve(ts, ts->count + 1) ? topic_new(facts) : NULL;
	size_t rank;

	if (!t)
		return NULL;
	CHECK(!topics_find(ts, topic_name(t)));
	if (!hash_add(ts, t)) {
		topic_free(t);
		return NULL;
	}
	rank = topics_rank(ts, topic_name(t));
	memmove(ts->sorted + rank + 1, ts->sorted + rank, (ts->count - rank) * sizeof(*ts->sorted));
	ts->sorted[rank] = t;
	ts->count++;
	t->serial = ++ts->serial;
	return t;
}

static bool grow(struct topic *t, uint32_t from, uint32_t to)
{
	struct turn_batch **grown = reallocarray(t->open, to, sizeof(struct turn_batch *));

	if (!grown)
		return false;
	t->open = grown;
	memset(t->open + from, 0, (to - from) * sizeof(*t->open));
	return true;
}

bool topic_replace(struct topic *t, struct topic_facts *facts)
{
	uint32_t before = t->facts->spec.partition_count;
	uint32_t now = facts->spec.partition_count;

	CHECK(uuid_eq(&t->facts->spec.uuid, &facts->spec.uuid));
	CHECK(now >= before);
	if (now > before && !grow(t, before, now))
		return false;
	shared_get(&facts->shared);
	shared_put(&t->facts->shared);
	t->facts = facts;
	t->hh.key = facts->spec.name; /* the same name, in its new place */
	return true;
}

void topics_remove(struct topics *ts, struct topic *t)
{
	size_t rank = topics_rank(ts, topic_name(t));

	CHECK(rank < ts->count);
	CHECK(ts->sorted[rank] == t);
	ts->count--;
	memmove(ts->sorted + rank, ts->sorted + rank + 1, (ts->count - rank) * sizeof(*ts->sorted));
	HASH_DELETE(hh, ts->by_name, t);
	if (ts->last == t)
		ts->last = NULL;
}
