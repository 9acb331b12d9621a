#include "front/source.h"

#include "front/connections.h"
#include "front/hooked.h"
#include "front/shard.h"

#include <stdlib.h>

enum {
	/* What waits for one socket: the rest stays in the log. */
	PENDING_BYTES_MAX = 256 << 10,
	/* What all that catch up append in one turn of the loop; each counts for so much at
	 * least. */
	CATCH_UP_BYTES = 1 << 20,
	CATCH_UP_BYTES_MIN = 4 << 10,
};

static struct place *place_of(struct feed_member *m)
{
	return CONTAINER_OF(m, struct place, member);
}

static void fail_no_memory(struct source *src)
{
	static const struct fault no_memory = {.code = ERR_NO_MEMORY};

	subscription_failed(src->subscription, &no_memory);
}

/* --- the reader's places ---------------------------------------------------------------------- */

/* Of partition `i`; NULL: the reader has not heard of it yet, or there is none. */
static const struct reader_bounds *heard_of(const struct source *src, uint32_t i)
{
	const struct reader_bounds *at;
	uint32_t count;

	if (!src->reader)
		return NULL;
	at = reader_bounds(src->reader, &count);
	return i < count && at[i].next_offset >= 0 ? &at[i] : NULL;
}

/* Has the reader heard of every partition? */
static bool bounds_known(const struct source *src)
{
	uint32_t count;

	(void)reader_bounds(src->reader, &count);
	for (uint32_t i = 0; i < count; i++)
		if (!heard_of(src, i))
			return false;
	return count > 0;
}

static struct cursor_entry entry_of(const struct source *src, uint32_t partition, int32_t epoch,
                                    int64_t next_offset)
{
	struct cursor_entry e = {
		.partition = partition,
		.leader_epoch = epoch,
		.next_offset = next_offset,
	};

	memcpy(e.topic, src->prefix, sizeof(e.topic));
	return e;
}

/* A feed that has not heard of the partition yet was begun at the place. */
static int32_t epoch_of(const struct place *p)
{
	const struct reader_bounds *at = p->member.feed ? feed_bounds(&p->member) : NULL;

	return at && at->leader_epoch > p->epoch ? at->leader_epoch : p->epoch;
}

/* Partition `i`. A reader that has not heard of it yet was opened at the place. */
static struct cursor_entry entry_now(const struct source *src, uint32_t i)
{
	const struct place *p = &src->places[i];
	const struct reader_bounds *at = p->member.feed ? NULL : heard_of(src, i);

	if (at)
		return entry_of(src, p->partition, at->leader_epoch, at->next_offset);
	return entry_of(src, p->partition, epoch_of(p), p->member.next_offset);
}

int source_entries(const struct source *src, struct cursor_entry *entries, uint32_t max)
{
	if (!src->known || src->place_count > max)
		return -1;
	for (uint32_t i = 0; i < src->place_count; i++)
		entries[i] = entry_now(src, i);
	return (int)src->place_count;
}

static void set_place(struct place *p, const struct cursor_entry *e)
{
	p->epoch = e->leader_epoch;
	p->member.next_offset = e->next_offset;
}

/* --- in a feed -------------------------------------------------------------------------------- */

/* Each event is followed by the cursor of this reader alone. */
static void append_placed(struct source *src, struct slice event)
{
	struct subscription *s = src->subscription;
	struct buf *cursor = &s->connection->front->cursor;

	buf_clear(cursor);
	if (subscription_cursor(s, cursor))
		form_place(s->form, event, buf_slice(cursor), connection_output(s->connection));
	else
		fail_no_memory(src); /* unless it has failed already: of too many partitions */
}

static bool has_room(const struct subscription *s)
{
	size_t limit = front_limits(s->connection->front)->output_bytes;
	size_t pending = connection_pending(s->connection);

	return !s->fault && !s->connection->closed && pending < PENDING_BYTES_MAX &&
	       pending < limit;
}

static bool turn_placed(struct source *src, struct feed_member *m)
{
	struct subscription *s = src->subscription;
	uint64_t events = 0;
	struct slice event;

	while (has_room(s) && feed_next(m, &event)) {
		append_placed(src, event);
		events++;
	}
	metric_add(s->connection->front->metrics, METRIC_EVENTS_OUT, (int64_t)events);
	return has_room(s);
}

/* Straight from the feed's blocks to the socket. An event that fits only in part is copied. */
static bool turn_shared(struct subscription *s, struct feed_member *m)
{
	struct iovec iov[CONNECTION_SPANS_MAX];
	int count = feed_spans(m, iov, CONNECTION_SPANS_MAX);
	uint64_t events = 0;
	struct slice rest;
	bool all;
	size_t sent;

	if (count == 0)
		return true;
	all = connection_send(s->connection, iov, count, &sent);
	rest = feed_sent(m, sent, &events);
	if (rest.len > 0)
		buf_append_slice(connection_output(s->connection), rest);
	metric_add(s->connection->front->metrics, METRIC_EVENTS_OUT, (int64_t)events);
	return all;
}

static bool turn(struct feed_member *m)
{
	struct place *p = place_of(m);
	struct subscription *s = p->source->subscription;

	p->blocked = form_needs_place(s->form) ? !turn_placed(p->source, m) : !turn_shared(s, m);
	return !p->blocked;
}

static void leave_feeds(struct source *src)
{
	for (uint32_t i = 0; i < src->place_count; i++) {
		struct place *p = &src->places[i];

		p->epoch = epoch_of(p);
		feed_leave(&p->member);
		p->blocked = false;
	}
}

static void say_slow(const struct source *src)
{
	struct subscription *s = src->subscription;
	struct front *f = s->connection->front;

	if (s->slow)
		return;
	s->slow = true;
	log_limited(f->log, &f->slow, LOG_INFO, "subscribe",
	            "slow reader topic=%s peer=%s; it goes on from the log", src->name,
	            s->connection->caller.peer);
}

/* A reader at these places. Takes `entries`; NULL: no memory, as when it returns false. */
static bool open_at(struct source *src, struct cursor_entry *entries, uint32_t count)
{
	const struct position position = {
		.kind = POSITION_CURSOR,
		.entries = entries,
		.entry_count = count,
	};
	bool opened = entries && source_open(src, &position, NULL);

	free(entries);
	return opened;
}

/* Go on with a reader, from where the feeds were left. */
static void fall_back(struct source *src)
{
	struct cursor_entry *entries = calloc(src->place_count, sizeof(*entries));

	leave_feeds(src);
	if (entries)
		(void)source_entries(src, entries, src->place_count);
	if (!open_at(src, entries, src->place_count))
		fail_no_memory(src);
}

/* What the feeds have made is all that there will ever be; of it a socket that is behind gets as
 * much as may wait for it. */
static void take_last(struct source *src)
{
	struct subscription *s = src->subscription;
	size_t limit = front_limits(s->connection->front)->output_bytes;
	struct slice event;

	for (uint32_t i = 0; i < src->place_count; i++) {
		while (connection_pending(s->connection) < limit &&
		       feed_next(&src->places[i].member, &event)) {
			if (form_needs_place(s->form))
				append_placed(src, event);
			else
				buf_append_slice(connection_output(s->connection), event);
		}
	}
	leave_feeds(src);
}

static void go(struct source *src)
{
	if (src->reader)
		reader_close(src->reader);
	src->reader = NULL;
	src->gone = true;
	subscription_gone(src->subscription);
}

static void left(struct feed_member *m, const struct fault *why)
{
	struct source *src = place_of(m)->source;

	if (why && why->code == ERR_TOPIC_GONE) {
		take_last(src);
		go(src);
		return;
	}
	if (!why)
		say_slow(src);
	fall_back(src);
}

static void grew(struct feed_member *m)
{
	struct source *src = place_of(m)->source;

	if (src->subscription->partition < 0)
		fall_back(src);
}

static const struct feed_member_ops member_ops = {.turn = turn, .left = left, .grew = grew};

/* --- caught up -------------------------------------------------------------------------------- */

static bool join(struct source *src, struct place *p, const struct reader_bounds *at)
{
	struct subscription *s = src->subscription;
	struct feed_key key = {.partition = at->partition, .form = s->form};

	memcpy(key.topic, src->prefix, sizeof(key.topic));
	key.form.chunked &= key.form.placed;
	p->member.next_offset = at->next_offset;
	p->epoch = at->leader_epoch;
	return feed_join(&s->connection->front->feeds, &key, source_name(src), at->leader_epoch,
	                 &p->member);
}

/* All partitions at once. When one's feed is further on, the reader goes on a little. */
static void go_live(struct source *src)
{
	const struct reader_bounds *at;
	uint32_t count;

	if (!src->known)
		return;
	at = reader_bounds(src->reader, &count);
	for (uint32_t i = 0; i < count; i++) {
		if (join(src, &src->places[i], &at[i]))
			continue;
		leave_feeds(src);
		return;
	}
	reader_close(src->reader);
	src->reader = NULL;
	src->subscription->slow = false;
}

/* --- events were lost, or the topic is gone --------------------------------------------------- */

static bool is_unknown_place(const struct source *src, enum err code)
{
	return !src->known && (code == ERR_OUT_OF_RANGE || code == ERR_BAD_CURSOR ||
	                       code == ERR_TOPIC_GONE || code == ERR_PARTITION_REQUIRED);
}

/* Where partition `i` goes on: where what is lost ends, where it stood, or where it was asked
 * for. */
static struct cursor_entry resume_at(const struct source *src, uint32_t i,
                                     const struct reader_bounds *at)
{
	const struct subscription_request *asked = src->subscription->asked;
	const struct cursor_entry *was = NULL;

	if (at->resume_offset >= 0)
		return entry_of(src, at->partition, at->leader_epoch, at->resume_offset);
	if (i < src->place_count)
		return entry_now(src, i);
	if (at->next_offset < 0 && asked)
		was = cursor_find(&asked->cursor, src->prefix, at->partition);
	return was ? *was : entry_of(src, at->partition, at->leader_epoch, at->next_offset);
}

/* One that was added after the cursor that was asked for, and was not heard of, is read from its
 * beginning again: it is left out. */
static bool open_above(struct source *src)
{
	const struct reader_bounds *at;
	struct cursor_entry *entries;
	uint32_t count, known = 0;

	at = reader_bounds(src->reader, &count);
	memcpy(src->prefix, reader_topic_prefix(src->reader), sizeof(src->prefix));
	entries = calloc(count, sizeof(*entries));
	for (uint32_t i = 0; i < count && entries; i++) {
		entries[known] = resume_at(src, i, &at[i]);
		if (i < src->place_count)
			set_place(&src->places[i], &entries[known]);
		known += entries[known].next_offset >= 0;
	}
	return open_at(src, entries, known);
}

/* `again`: that was no place either. */
static bool open_otherwise(struct source *src, bool again)
{
	static const struct position earliest = {.kind = POSITION_EARLIEST};
	const struct subscription_request *asked = src->subscription->asked;

	return source_open(src, asked && !again ? &asked->otherwise : &earliest, NULL);
}

/* What was asked for or reached last, for the one who is told. */
static bool note_lost(struct source *src, enum err why)
{
	struct subscription *s = src->subscription;
	uint8_t memory[CURSOR_TEXT_BYTES_MAX];
	struct buf text = BUF_IN(memory);

	if (!src->lost)
		src->lost = calloc(1, sizeof(*src->lost));
	if (!src->lost)
		return false;
	src->lost->why = why;
	if (s->asked)
		buf_append_str(&text, s->asked->requested);
	else
		(void)subscription_cursor(s, &text);
	if (text.len > 0)
		memcpy(src->lost->requested, text.ptr, text.len);
	src->lost->requested[text.len] = '\0';
	return true;
}

static void go_on_after(struct source *src, const struct fault *why)
{
	bool unknown = is_unknown_place(src, why->code);
	bool again = src->lost != NULL;

	if (!note_lost(src, why->code) || !(unknown ? open_otherwise(src, again) : open_above(src)))
		fail_no_memory(src);
}

static void reader_failed(struct source *src)
{
	struct subscription *s = src->subscription;
	struct fault why = *reader_fault(src->reader);
	bool lossy = why.code == ERR_TRIMMED || why.code == ERR_TRUNCATED ||
	             is_unknown_place(src, why.code);

	if (src->known && (why.code == ERR_TOPIC_GONE || why.code == ERR_TOPIC_UNKNOWN))
		go(src);
	else if (lossy && s->ops->lost(s, &why))
		go_on_after(src, &why);
	else
		subscription_failed(s, &why);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void append_event(struct source *src, struct delivery *d)
{
	struct subscription *s = src->subscription;
	struct front *f = s->connection->front;
	struct buf *out = connection_output(s->connection);

	if (!hooked_deliver(f, hooked_front(s->form), source_name(src), d))
		return;
	metric_add(f->metrics, METRIC_EVENTS_OUT, 1);
	if (!form_needs_place(s->form)) {
		form_append(s->form, &d->record, d->partition, source_name(src), out);
		return;
	}
	buf_clear(&f->event);
	form_append(s->form, &d->record, d->partition, source_name(src), &f->event);
	if (f->event.failed)
		fail_no_memory(src);
	else
		append_placed(src, buf_slice(&f->event));
}

static void tell_lost(struct source *src)
{
	struct subscription *s = src->subscription;
	struct lost *lost = src->lost;

	src->lost = NULL;
	s->ops->resumed(s, lost->why, lost->requested);
	free(lost);
}

/* Of the partitions that have none yet; no place is in a feed. */
static bool make_places(struct source *src)
{
	const struct reader_bounds *at;
	struct place *places;
	uint32_t count;

	at = reader_bounds(src->reader, &count);
	places = reallocarray(src->places, count, sizeof(*places));
	if (!places)
		return false;
	src->places = places;
	for (uint32_t i = src->place_count; i < count; i++) {
		src->places[i] = (struct place){
			.member = {.ops = &member_ops, .next_offset = at[i].next_offset},
			.source = src,
			.partition = at[i].partition,
			.epoch = at[i].leader_epoch,
		};
	}
	src->place_count = count;
	memcpy(src->prefix, reader_topic_prefix(src->reader), sizeof(src->prefix));
	src->known = true;
	return true;
}

static void get_known(struct source *src)
{
	uint32_t before = src->place_count;
	uint32_t count;

	if (!bounds_known(src))
		return;
	(void)reader_bounds(src->reader, &count);
	if (src->known && count == before)
		return;
	if (make_places(src))
		subscription_grew(src->subscription, src, count - before);
	else
		fail_no_memory(src);
}

/* Places stay; all partitions are read from now on. */
static void follow_growth(struct source *src)
{
	if (src->subscription->partition < 0 && !open_above(src))
		fail_no_memory(src);
}

static void pull(struct source *src)
{
	struct subscription *s = src->subscription;
	struct delivery d;

	if (!src->reader || s->fault)
		return;
	get_known(src);
	if (src->lost && bounds_known(src))
		tell_lost(src);
	while (has_room(s)) {
		switch (reader_take(src->reader, &d)) {
		case READER_EVENT: append_event(src, &d); break;
		case READER_WAIT: return;
		case READER_CAUGHT_UP: go_live(src); return;
		case READER_GREW: follow_growth(src); break;
		case READER_FAILED: reader_failed(src); return;
		}
	}
}

/* A crowd that comes back after a restart must not hold up the loop. */
void sources_catch_up(struct task *t)
{
	struct front *f = CONTAINER_OF(t, struct front, catch_up);
	struct list *node;
	size_t appended = 0;

	while (appended < CATCH_UP_BYTES && (node = list_take_first(&f->catching_up))) {
		struct source *src = LIST_ENTRY(node, struct source, catching_up);
		struct connection *c = src->subscription->connection;
		size_t before = connection_pending(c);

		pull(src);
		appended += connection_pending(c) - before + CATCH_UP_BYTES_MIN;
	}
	if (!list_is_empty(&f->catching_up))
		loop_defer(f->loop, LOOP_WRITE, t);
}

void source_pull(struct source *src)
{
	struct front *f = src->subscription->connection->front;

	if (!src->subscription->runs || list_is_linked(&src->catching_up))
		return;
	list_append(&f->catching_up, &src->catching_up);
	loop_defer(f->loop, LOOP_WRITE, &f->catch_up);
}

/* Before it runs nothing is taken: events wait until the head is written. */
static void heard(struct source *src)
{
	const struct fault *fault = reader_fault(src->reader);

	get_known(src);
	if (!src->known && fault->code) {
		reader_failed(src);
		return;
	}
	src->heard = true;
	subscription_heard(src->subscription);
}

static void woken(void *owner)
{
	struct source *src = owner;

	if (!src->heard)
		heard(src);
	if (src->heard)
		source_pull(src);
}

void source_room(struct source *src)
{
	if (src->reader)
		source_pull(src);
	for (uint32_t i = 0; i < src->place_count; i++) {
		struct place *p = &src->places[i];

		if (p->blocked)
			feed_resume(&p->member);
		p->blocked = false; /* as those have no places in a feed that have a reader */
	}
}

/* --- life ------------------------------------------------------------------------------------- */

struct source *source_new(struct subscription *s, struct slice name)
{
	struct source *src = calloc(1, sizeof(*src) + name.len + 1);

	if (!src)
		return NULL;
	src->subscription = s;
	src->name_len = name.len;
	memcpy(src->name, name.ptr, name.len);
	return src;
}

bool source_open(struct source *src, const struct position *position,
                 const struct position *otherwise)
{
	struct subscription *s = src->subscription;
	struct reader_options options = {
		.caller = &s->connection->caller,
		.operation = OPERATION_SUBSCRIBE,
		.topic = source_name(src),
		.partition = s->partition,
		.position = *position,
		.otherwise = otherwise,
		.wait_for_topic = !src->known, /* one that was there and is not is gone */
		.follow = true,
	};
	struct reader *before = src->reader;

	src->reader = reader_open(s->connection->front->broker, &options, woken, src);
	if (before)
		reader_close(before);
	return src->reader != NULL;
}

void source_free(struct source *src)
{
	leave_feeds(src);
	if (list_is_linked(&src->catching_up))
		list_remove(&src->catching_up);
	if (src->reader)
		reader_close(src->reader);
	free(src->places);
	free(src->lost);
	free(src);
}

static int64_t lag_of(const struct source *src, uint32_t i, int64_t next_offset)
{
	const struct feed_member *m = &src->places[i].member;
	const struct reader_bounds *at = m->feed ? feed_bounds(m) : heard_of(src, i);

	return at && at->high_watermark > next_offset ? at->high_watermark - next_offset : 0;
}

static void describe_place(const struct source *src, uint32_t i, struct buf *json)
{
	struct cursor_entry e = entry_now(src, i);

	connections_append_subscription(json, source_name(src), e.partition, e.next_offset,
	                                lag_of(src, i, e.next_offset));
}

void source_describe(const struct source *src, struct buf *json)
{
	if (!src->known)
		connections_append_subscription(json, source_name(src), -1, 0, 0);
	for (uint32_t i = 0; i < src->place_count; i++)
		describe_place(src, i, json);
}
