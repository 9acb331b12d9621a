#include "broker/topic_match.h"

#include "broker/topic_match_steps.h"

#include <stdlib.h>

/* --- the match -------------------------------------------------------------------------------- */

enum { NAMES_PER_TURN = 1000 };

/* The walk over the topics there were at open goes by name, so that it knows where it was however
 * the table changed. Topics that came after the open have a later serial than it: it passes them
 * over, for they were told as they came. */
struct topic_match {
	struct broker *broker;
	const struct caller *caller; /* borrowed */
	void (*found)(void *owner, struct slice name, bool is_new);
	void *owner;
	struct list node; /* in the shard's matches */
	struct task walk; /* queued as long as there are topics to tell */
	uint64_t serial;  /* of the topic that came last before the open */
	bool is_walking;  /* a step of the walk is on the stack, and frees a closed match */
	bool is_closed;
	uint8_t from[TOPIC_NAME_BYTES_MAX]; /* the walk goes on at the first name not below it */
	size_t from_bytes;
	size_t prefix_bytes; /* of the pattern: what stands before the first star */
	size_t pattern_bytes;
	uint8_t pattern[];
};

static void tell(struct topic_match *m, struct slice name, bool is_new)
{
	if (topic_pattern_matches(slice_of(m->pattern, m->pattern_bytes), name) &&
	    broker_authorize(m->caller, OPERATION_SUBSCRIBE, name) == OK)
		m->found(m->owner, name, is_new);
}

static bool may_match(const struct topic_match *m, const struct topic *t)
{
	return slice_starts_with(topic_name(t), slice_of(m->pattern, m->prefix_bytes));
}

/* A step a turn: tasks that a WRITE defers run in the next. */
static void walk_on(struct topic_match *m, struct slice from)
{
	memcpy(m->from, from.ptr, from.len);
	m->from_bytes = from.len;
	loop_defer(m->broker->loop, LOOP_WRITE, &m->walk);
}

/* `found` does not change the table: that is done by messages and tasks only. */
static void walk_step(struct task *task)
{
	struct topic_match *m = CONTAINER_OF(task, struct topic_match, walk);
	const struct topics *ts = &m->broker->topics;
	size_t rank = topics_rank(ts, slice_of(m->from, m->from_bytes));
	size_t end = ts->count - rank < NAMES_PER_TURN ? ts->count : rank + NAMES_PER_TURN;
	bool goes_on;

	m->is_walking = true;
	for (; rank < end && may_match(m, ts->sorted[rank]) && !m->is_closed; rank++) {
		const struct topic *t = ts->sorted[rank];

		if (t->serial <= m->serial)
			tell(m, topic_name(t), false);
	}
	goes_on = !m->is_closed && rank < ts->count && may_match(m, ts->sorted[rank]);
	if (!goes_on && !m->is_closed)
		m->found(m->owner, SLICE_NONE, false);
	m->is_walking = false;
	if (m->is_closed)
		free(m);
	else if (goes_on)
		walk_on(m, topic_name(ts->sorted[rank]));
}

struct topic_match *topic_match_open(struct broker *b, const struct caller *caller,
                                     struct slice pattern,
                                     void (*found)(void *owner, struct slice name, bool is_new),
                                     void *owner)
{
	struct slice rest = pattern;
	struct topic_match *m;

	CHECK(topic_pattern_check(pattern, NULL) == OK);
	m = calloc(1, sizeof(*m) + pattern.len);
	if (!m)
		return NULL;
	m->broker = b;
	m->caller = caller;
	m->found = found;
	m->owner = owner;
	m->walk.run = walk_step;
	m->serial = b->topics.serial;
	m->prefix_bytes = slice_cut(&rest, '*').len;
	m->pattern_bytes = pattern.len;
	memcpy(m->pattern, pattern.ptr, pattern.len);
	list_append(&b->matches, &m->node);
	walk_on(m, slice_of(m->pattern, m->prefix_bytes));
	return m;
}

void topic_match_close(struct topic_match *m)
{
	CHECK(!m->is_closed);
	m->is_closed = true;
	list_remove(&m->node);
	task_cancel(&m->walk);
	if (!m->is_walking)
		free(m);
}

void topic_matches_tell(struct broker *b, const struct topic *t)
{
	struct list rest;
	struct list *node;

	list_init(&rest);
	list_move_all(&rest, &b->matches);
	while ((node = list_take_first(&rest))) {
		list_append(&b->matches, node);
		tell(LIST_ENTRY(node, struct topic_match, node), topic_name(t), true);
	}
}
