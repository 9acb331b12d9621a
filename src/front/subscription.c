#include "front/subscription.h"

#include "front/hooked.h"
#include "front/shard.h"
#include "front/source.h"

#include <stdlib.h>

static struct source *source_of(struct list *node)
{
	return LIST_ENTRY(node, struct source, node);
}

bool subscription_request_is_alone(const struct subscription_request *r)
{
	return r->name_count == 1 && !topic_pattern_is(r->names[0]);
}

/* --- what sources tell ------------------------------------------------------------------------ */

static void forget_asked(struct subscription *s)
{
	free(s->asked);
	s->asked = NULL;
}

static void tell_later(struct subscription *s)
{
	loop_defer(s->connection->front->loop, LOOP_WORK, &s->tell);
}

void subscription_heard(struct subscription *s)
{
	CHECK(s->unheard > 0);
	s->unheard--;
	if (!s->is_ready && s->unheard == 0)
		tell_later(s);
}

/* The first reason stays. */
void subscription_failed(struct subscription *s, const struct fault *why)
{
	if (s->fault)
		return;
	s->fault = malloc(sizeof(*s->fault));
	if (!s->fault) {
		connection_close(s->connection);
		return;
	}
	*s->fault = *why;
	tell_later(s);
}

void subscription_gone(struct subscription *s)
{
	tell_later(s);
}

static struct source *gone_source(const struct subscription *s)
{
	LIST_EACH (node, &s->sources) {
		if (source_of(node)->gone)
			return source_of(node);
	}
	return NULL;
}

static void tell_gone(struct subscription *s, struct source *src)
{
	bool last;

	list_remove(&src->node);
	s->place_count -= src->place_count;
	s->source_count--;
	last = list_is_empty(&s->sources) && s->match_count == 0;
	if (!last)
		tell_later(s);
	s->ops->gone(s, source_name(src), last);
	source_free(src);
}

static void tell_failed(struct subscription *s)
{
	struct fault why = *s->fault;

	if (s->is_ready) {
		s->ops->failed(s, &why);
		return;
	}
	s->is_ready = true;
	s->ops->ready(s, &why);
}

/* One thing at a time: each may be the end of `s`. */
static void tell(struct task *t)
{
	struct subscription *s = CONTAINER_OF(t, struct subscription, tell);
	struct source *gone = gone_source(s);

	if (s->fault) {
		tell_failed(s);
	} else if (!s->is_ready && s->unheard == 0) {
		s->is_ready = true;
		forget_asked(s);
		if (gone)
			tell_later(s);
		s->ops->ready(s, NULL);
	} else if (s->is_ready && gone) {
		tell_gone(s, gone);
	}
}

void subscription_grew(struct subscription *s, const struct source *src, uint32_t places)
{
	bool frames = s->form.kind == FORM_FRAME;
	uint32_t max = frames ? SUBSCRIPTION_FRAMES_PLACES_MAX : SUBSCRIPTION_PLACES_MAX;
	struct fault fault;

	s->place_count += places;
	s->numbered = s->alone && reader_topic_partitions(src->reader) == 1;
	s->form.placed = s->numbered && !frames;
	if (s->place_count <= max)
		return;
	fault_set(&fault, ERR_TOO_MANY_TOPICS, 0, "%u partitions; %u at most", s->place_count, max);
	subscription_failed(s, &fault);
}

/* --- topics ----------------------------------------------------------------------------------- */

static bool has_topic(const struct subscription *s, struct slice name)
{
	LIST_EACH (node, &s->sources) {
		if (slice_eq(source_name(source_of(node)), name))
			return true;
	}
	return false;
}

static void refuse(struct subscription *s, enum err code)
{
	struct fault fault = {.code = code};

	if (code == ERR_TOO_MANY_TOPICS)
		fault_set(&fault, code, 0, "%d at most", SUBSCRIPTION_NAMES_MAX);
	subscription_failed(s, &fault);
}

static void add_topic(struct subscription *s, struct slice name, const struct position *position,
                      const struct position *otherwise)
{
	struct source *src;

	if (s->fault || has_topic(s, name))
		return;
	if (s->source_count == SUBSCRIPTION_NAMES_MAX) {
		refuse(s, ERR_TOO_MANY_TOPICS);
		return;
	}
	src = source_new(s, name);
	if (!src || !source_open(src, position, otherwise)) {
		free(src);
		refuse(s, ERR_NO_MEMORY);
		return;
	}
	list_append(&s->sources, &src->node);
	s->source_count++;
	s->unheard++;
}

static const struct position earliest = {.kind = POSITION_EARLIEST};

/* A cursor of several topics does not know those that came after it: they are read whole. */
static void add_asked(struct subscription *s, struct slice name)
{
	const struct position *position = &s->asked->position;
	bool readable = position->kind != POSITION_CURSOR || position->entry_count > 0;

	add_topic(s, name, position, s->alone || !readable ? NULL : &earliest);
}

/* Topics of a pattern that hooks refuse are passed over. */
static bool may_follow(struct subscription *s, struct slice name)
{
	struct refusal *refusal;
	struct fault fault;
	enum err err =
		hooked_subscribe(s->connection, hooked_front(s->form), name, &fault, &refusal);

	free(refusal);
	return err == OK;
}

/* A name, or the end of those that were there at open. */
static void found(void *owner, struct slice name, bool is_new)
{
	struct subscription *s = owner;

	if (!name.ptr)
		subscription_heard(s);
	else if (!may_follow(s, name))
		return;
	else if (is_new)
		add_topic(s, name, &earliest, NULL);
	else
		add_asked(s, name);
}

static void add_pattern(struct subscription *s, struct slice pattern)
{
	struct connection *c = s->connection;
	struct topic_match **matches =
		reallocarray(s->matches, s->match_count + 1, sizeof(struct topic_match *));
	struct topic_match *m = NULL;

	if (matches) {
		s->matches = matches;
		m = topic_match_open(c->front->broker, &c->caller, pattern, found, s);
	}
	if (!m) {
		refuse(s, ERR_NO_MEMORY);
		return;
	}
	s->matches[s->match_count++] = m;
	s->unheard++;
}

/* --- the owner's side ------------------------------------------------------------------------- */

/* The names follow the struct. */
static struct subscription_request *request_copy(const struct subscription_request *from)
{
	struct subscription_request *to;
	size_t bytes = 0;
	uint8_t *at;

	for (size_t i = 0; i < from->name_count; i++)
		bytes += from->names[i].len;
	to = malloc(sizeof(*to) + bytes);
	if (!to)
		return NULL;
	*to = *from;
	if (to->position.kind == POSITION_CURSOR)
		to->position.entries = to->cursor.entries;
	at = (uint8_t *)(to + 1);
	for (size_t i = 0; i < from->name_count; i++) {
		memcpy(at, from->names[i].ptr, from->names[i].len);
		to->names[i] = slice_of(at, from->names[i].len);
		at += from->names[i].len;
	}
	return to;
}

bool subscription_init(struct subscription *s, const struct subscription_ops *ops,
                       const struct subscription_request *request, struct form form)
{
	*s = (struct subscription){
		.ops = ops,
		.form = form,
		.partition = request->partition,
		.alone = subscription_request_is_alone(request),
		.asked = request_copy(request),
		.tell = {.run = tell},
	};
	list_init(&s->sources);
	return s->asked != NULL;
}

void subscription_open(struct subscription *s, struct connection *c)
{
	const struct subscription_request *r = s->asked;

	s->connection = c;
	metric_add(c->front->metrics, METRIC_SUBSCRIBERS, 1);
	for (size_t i = 0; i < r->name_count; i++) {
		if (topic_pattern_is(r->names[i]))
			add_pattern(s, r->names[i]);
		else
			add_asked(s, r->names[i]);
	}
}

void subscription_run(struct subscription *s)
{
	s->runs = true;
	subscription_room(s);
}

void subscription_room(struct subscription *s)
{
	if (!s->runs)
		return;
	LIST_EACH (node, &s->sources)
		source_room(source_of(node));
}

void subscription_close(struct subscription *s)
{
	struct list *node;

	forget_asked(s);
	while (s->match_count > 0)
		topic_match_close(s->matches[--s->match_count]);
	free(s->matches);
	s->matches = NULL;
	while ((node = list_take_first(&s->sources)))
		source_free(source_of(node));
	if (s->connection)
		metric_add(s->connection->front->metrics, METRIC_SUBSCRIBERS, -1);
	free(s->fault);
	s->fault = NULL;
	task_cancel(&s->tell);
	s->connection = NULL;
}

/* --- what it says of itself ------------------------------------------------------------------- */

bool subscription_cursor(const struct subscription *s, struct buf *out)
{
	struct cursor_entry entries[SUBSCRIPTION_PLACES_MAX];
	uint32_t count = 0;

	LIST_EACH (node, &s->sources) {
		const struct source *src = source_of(node);
		int more = source_entries(src, &entries[count], SUBSCRIPTION_PLACES_MAX - count);

		if (more < 0 && src->known)
			return false;
		count += more > 0 ? (uint32_t)more : 0;
	}
	if (count == 0)
		return false;
	if (!s->numbered)
		return cursor_encode(entries, count, s->partition >= 0, out);
	buf_append_int64(out, entries[0].next_offset);
	return true;
}

const struct reader_bounds *subscription_bounds(const struct subscription *s, uint32_t *count)
{
	const struct source *only;

	*count = 0;
	if (s->source_count != 1)
		return NULL;
	only = source_of(s->sources.next);
	return only->reader ? reader_bounds(only->reader, count) : NULL;
}

void subscription_describe(const struct subscription *s, struct buf *json)
{
	LIST_EACH (node, &s->sources)
		source_describe(source_of(node), json);
}
