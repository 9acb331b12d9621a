#include "front/feed.h"

#include "front/hooked.h"
#include "front/shard.h"

#include <stdlib.h>

enum {
	BLOCK_BYTES = 64 << 10,      /* a block is full beyond this */
	FEED_BYTES_MAX = 1 << 20,    /* one feed's blocks … */
	FEEDS_BYTES_MAX = 64 << 20,  /* … of which all together keep so much, and a block each */
	READ_TURN_BYTES = 256 << 10, /* made in one turn of the loop */
	TURNS_MAX = 256,             /* members that have their turn in one of the loop */
	SPARE_BLOCKS_MAX = 64,
	SPARE_BYTES_MAX = 2 * BLOCK_BYTES, /* larger ones are not kept */
};

struct feed_entry {
	uint32_t end;   /* of the event's bytes in the block */
	uint32_t delta; /* its offset less the block's base */
};

struct feed_block {
	struct list node;
	uint64_t first; /* its first event, counted as members do */
	int64_t base_offset;
	struct buf bytes;
	struct feed_entry *entries; /* owned */
	uint32_t count;
	uint32_t cap;
};

struct feed {
	struct feeds *feeds;
	struct feed_key key;
	struct reader *reader;
	bool full;          /* not read on: there was no room */
	bool ended;         /* its reader failed; in no table any more */
	uint64_t end_event; /* the next event's number */
	int64_t end_offset; /* what was read is below */
	size_t bytes;       /* in its blocks */
	struct list blocks; /* struct feed_block, in order */
	struct list idle;   /* struct feed_member, as are the next two */
	struct list due;
	struct list blocked;
	uint32_t member_count;
	struct list ready; /* in feeds->ready while somebody is due */
	struct task read;
	struct task unused; /* frees it, if still nobody is a member */
	UT_hash_handle hh;
	size_t name_len;
	char name[];
};

static struct feed_block *block_of(struct list *node)
{
	return LIST_ENTRY(node, struct feed_block, node);
}

static struct feed_member *member_of(struct list *node)
{
	return LIST_ENTRY(node, struct feed_member, node);
}

/* --- blocks ----------------------------------------------------------------------------------- */

static void block_free(struct feed_block *b)
{
	buf_fini(&b->bytes);
	free(b->entries);
	free(b);
}

static struct feed_block *block_new(struct feed *f, int64_t base_offset)
{
	struct feeds *fs = f->feeds;
	struct list *node = list_take_first(&fs->spare);
	struct feed_block *b = node ? block_of(node) : calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	fs->spare_count -= node != NULL;
	b->bytes.limit = UINT32_MAX;
	b->first = f->end_event;
	b->base_offset = base_offset;
	list_append(&f->blocks, &b->node);
	return b;
}

static void block_drop(struct feed *f, struct feed_block *b)
{
	struct feeds *fs = f->feeds;

	list_remove(&b->node);
	f->bytes -= b->bytes.len;
	fs->bytes -= b->bytes.len;
	if (fs->spare_count == SPARE_BLOCKS_MAX || b->bytes.cap > SPARE_BYTES_MAX) {
		block_free(b);
		return;
	}
	buf_clear(&b->bytes);
	b->count = 0;
	list_append(&fs->spare, &b->node);
	fs->spare_count++;
}

/* The block that the next event goes into; NULL: no memory. */
static struct feed_block *block_for(struct feed *f, int64_t offset)
{
	struct feed_block *last = block_of(f->blocks.prev);

	if (list_is_empty(&f->blocks) || last->bytes.len >= BLOCK_BYTES ||
	    offset - last->base_offset > UINT32_MAX)
		return block_new(f, offset);
	return last;
}

static bool entry_add(struct feed_block *b, struct feed_entry entry)
{
	uint32_t cap = b->cap ? b->cap * 2 : 64;
	struct feed_entry *grown;

	if (b->count == b->cap) {
		grown = realloc(b->entries, cap * sizeof(*grown));
		if (!grown)
			return false;
		b->entries = grown;
		b->cap = cap;
	}
	b->entries[b->count++] = entry;
	return true;
}

/* True too when hooks leave it out. */
static bool append(struct feed *f, struct delivery *d)
{
	int64_t offset = d->record.offset;
	struct feed_block *b;
	size_t before;

	if (!hooked_deliver(f->feeds->front, hooked_front(f->key.form),
	                    slice_of(f->name, f->name_len), d))
		return true;
	b = block_for(f, offset);
	if (!b)
		return false;
	before = b->bytes.len;
	form_append(f->key.form, &d->record, d->partition, slice_of(f->name, f->name_len),
	            &b->bytes);
	f->bytes += b->bytes.len - before;
	f->feeds->bytes += b->bytes.len - before;
	if (b->bytes.failed)
		return false;
	f->end_event++;
	return entry_add(b, (struct feed_entry){(uint32_t)b->bytes.len,
	                                        (uint32_t)(offset - b->base_offset)});
}

/* Where event `i` of the block begins. */
static uint32_t entry_start(const struct feed_block *b, uint32_t i)
{
	return i > 0 ? b->entries[i - 1].end : 0;
}

static int64_t entry_offset(const struct feed_block *b, uint32_t i)
{
	return b->base_offset + b->entries[i].delta;
}

/* The block of an event that is in one. Most members are near the end. */
static struct feed_block *block_with(struct feed *f, uint64_t event)
{
	struct feed_block *b = block_of(f->blocks.prev);

	while (b->first > event)
		b = block_of(b->node.prev);
	return b;
}

/* --- what is needed no more ------------------------------------------------------------------- */

static void drop_before(struct feed *f, uint64_t event)
{
	while (!list_is_empty(&f->blocks)) {
		struct feed_block *b = block_of(f->blocks.next);

		if (b->first + b->count > event)
			return;
		block_drop(f, b);
	}
}

/* Nobody is due. */
static void drop_passed(struct feed *f)
{
	uint64_t needed = f->end_event;

	LIST_EACH (node, &f->blocked) {
		if (member_of(node)->next_event < needed)
			needed = member_of(node)->next_event;
	}
	drop_before(f, needed);
}

/* Those that hold the oldest block. */
static void throw_out(struct feed *f)
{
	const struct feed_block *oldest = block_of(f->blocks.next);
	uint64_t end = oldest->first + oldest->count;

	LIST_EACH_SAFE (node, after, &f->blocked) {
		struct feed_member *m = member_of(node);

		if (m->next_event < end)
			m->ops->left(m, NULL);
	}
	drop_passed(f);
}

static bool is_full(const struct feed *f)
{
	return f->bytes >= FEED_BYTES_MAX ||
	       (f->feeds->bytes >= FEEDS_BYTES_MAX && f->bytes >= BLOCK_BYTES);
}

/* Members that are due are waited for: they hold nobody up for long. */
static bool make_room(struct feed *f)
{
	while (is_full(f)) {
		if (!list_is_empty(&f->due))
			return false;
		throw_out(f);
	}
	return true;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void is_due(struct feed *f)
{
	struct feeds *fs = f->feeds;

	if (list_is_empty(&f->due))
		return;
	if (!list_is_linked(&f->ready))
		list_append(&fs->ready, &f->ready);
	loop_defer(fs->front->loop, LOOP_WRITE, &fs->pump);
}

static void end(struct feed *f, const struct fault *why)
{
	struct list members;

	f->ended = true;
	HASH_DEL(f->feeds->by_key, f);
	if (list_is_linked(&f->ready))
		list_remove(&f->ready);
	list_init(&members);
	list_move_all(&members, &f->blocked);
	list_move_all(&members, &f->due);
	list_move_all(&members, &f->idle);
	LIST_EACH_SAFE (node, after, &members)
		member_of(node)->ops->left(member_of(node), why);
}

static void note_end(struct feed *f)
{
	const struct reader_bounds *at;
	uint32_t count;

	at = reader_bounds(f->reader, &count);
	if (count > 0 && at->next_offset > f->end_offset)
		f->end_offset = at->next_offset;
}

static void say_grew(struct list *members)
{
	LIST_EACH_SAFE (node, after, members)
		member_of(node)->ops->grew(member_of(node));
}

/* True: take on. */
static bool take(struct feed *f, const struct fault **why)
{
	static const struct fault no_memory = {.code = ERR_NO_MEMORY};
	struct delivery d;

	switch (reader_take(f->reader, &d)) {
	case READER_EVENT:
		list_move_all(&f->due, &f->idle);
		if (append(f, &d))
			return true;
		*why = &no_memory;
		return false;
	case READER_GREW:
		say_grew(&f->idle);
		say_grew(&f->due);
		say_grew(&f->blocked);
		return true;
	case READER_WAIT:
	case READER_CAUGHT_UP: return false;
	case READER_FAILED: *why = reader_fault(f->reader); return false;
	}
	UNREACHABLE();
}

static void run_read(struct task *t)
{
	struct feed *f = CONTAINER_OF(t, struct feed, read);
	size_t enough = f->bytes + READ_TURN_BYTES;
	const struct fault *why = NULL;

	do
		f->full = !make_room(f);
	while (!f->full && f->bytes < enough && take(f, &why));
	note_end(f);
	if (why) {
		end(f, why);
		return;
	}
	if (f->bytes >= enough)
		loop_defer(f->feeds->front->loop, LOOP_WRITE, &f->read);
	is_due(f);
}

static void woken(void *owner)
{
	struct feed *f = owner;

	if (!f->ended)
		run_read(&f->read);
}

/* --- turns ------------------------------------------------------------------------------------ */

static bool has_all(const struct feed_member *m)
{
	return m->next_event == m->feed->end_event;
}

/* Everybody had a turn. */
static void turns_over(struct feed *f)
{
	list_remove(&f->ready);
	drop_passed(f);
	if (f->full && f->member_count > 0)
		loop_defer(f->feeds->front->loop, LOOP_WORK, &f->read);
}

static void give_turn(struct feed *f)
{
	struct feed_member *m = member_of(list_take_first(&f->due));
	bool may_go_on;

	list_append(&f->idle, &m->node);
	may_go_on = m->ops->turn(m);
	if (m->feed) {
		list_remove(&m->node);
		if (!may_go_on)
			list_append(&f->blocked, &m->node);
		else
			list_append(has_all(m) ? &f->idle : &f->due, &m->node);
	}
}

static void pump(struct task *t)
{
	struct feeds *fs = CONTAINER_OF(t, struct feeds, pump);

	for (unsigned i = 0; i < TURNS_MAX && !list_is_empty(&fs->ready); i++) {
		struct feed *f = LIST_ENTRY(fs->ready.next, struct feed, ready);

		if (!list_is_empty(&f->due))
			give_turn(f);
		if (f->ended || !list_is_linked(&f->ready))
			continue;
		if (list_is_empty(&f->due)) {
			turns_over(f);
		} else {
			list_remove(&f->ready);
			list_append(&fs->ready, &f->ready);
		}
	}
	if (!list_is_empty(&fs->ready))
		loop_defer(fs->front->loop, LOOP_WRITE, &fs->pump);
}

/* --- what members take ------------------------------------------------------------------------ */

/* Events before the member's place: it was ahead of the feed when it joined. */
static void pass_over(struct feed_member *m)
{
	while (!has_all(m)) {
		struct feed_block *b = block_with(m->feed, m->next_event);

		if (entry_offset(b, (uint32_t)(m->next_event - b->first)) >= m->next_offset)
			return;
		m->next_event++;
	}
}

int feed_spans(struct feed_member *m, struct iovec *iov, int max)
{
	struct feed *f = m->feed;
	struct feed_block *b;
	uint32_t start;
	int count = 0;

	pass_over(m);
	if (has_all(m))
		return 0;
	b = block_with(f, m->next_event);
	start = entry_start(b, (uint32_t)(m->next_event - b->first));
	for (struct list *node = &b->node; node != &f->blocks && count < max; node = node->next) {
		b = block_of(node);
		iov[count++] = (struct iovec){b->bytes.ptr + start, b->bytes.len - start};
		start = 0;
	}
	return count;
}

/* The first event of the block that ends behind `at`. */
static uint32_t entry_around(const struct feed_block *b, size_t at)
{
	uint32_t low = 0, high = b->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (b->entries[middle].end > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

struct slice feed_sent(struct feed_member *m, size_t bytes, uint64_t *events)
{
	struct feed *f = m->feed;
	uint64_t before = m->next_event;
	struct slice rest = SLICE_NONE;

	while (bytes > 0) {
		struct feed_block *b = block_with(f, m->next_event);
		size_t at = entry_start(b, (uint32_t)(m->next_event - b->first)) + bytes;
		uint32_t i;

		if (at >= b->bytes.len) {
			bytes = at - b->bytes.len;
			m->next_event = b->first + b->count;
			m->next_offset = entry_offset(b, b->count - 1) + 1;
			continue;
		}
		i = entry_around(b, at);
		if (at > entry_start(b, i)) {
			rest = slice_of(b->bytes.ptr + at, b->entries[i].end - at);
			i++;
		}
		m->next_event = b->first + i;
		m->next_offset = i > 0 ? entry_offset(b, i - 1) + 1 : m->next_offset;
		break;
	}
	*events += m->next_event - before;
	return rest;
}

bool feed_next(struct feed_member *m, struct slice *event)
{
	struct feed_block *b;
	uint32_t i;

	pass_over(m);
	if (has_all(m))
		return false;
	b = block_with(m->feed, m->next_event);
	i = (uint32_t)(m->next_event - b->first);
	*event = slice_of(b->bytes.ptr + entry_start(b, i), b->entries[i].end - entry_start(b, i));
	m->next_event++;
	m->next_offset = entry_offset(b, i) + 1;
	return true;
}

const struct reader_bounds *feed_bounds(const struct feed_member *m)
{
	const struct reader_bounds *at;
	uint32_t count;

	at = reader_bounds(m->feed->reader, &count);
	return count > 0 ? at : NULL;
}

/* --- joining and leaving ---------------------------------------------------------------------- */

static void feed_free(struct feed *f)
{
	CHECK(f->member_count == 0);
	if (!f->ended)
		HASH_DEL(f->feeds->by_key, f);
	if (list_is_linked(&f->ready))
		list_remove(&f->ready);
	task_cancel(&f->read);
	task_cancel(&f->unused);
	reader_close(f->reader);
	while (!list_is_empty(&f->blocks))
		block_drop(f, block_of(f->blocks.next));
	free(f);
}

static void run_unused(struct task *t)
{
	struct feed *f = CONTAINER_OF(t, struct feed, unused);

	if (f->member_count == 0)
		feed_free(f);
}

static struct reader *open_reader(struct feed *f, int32_t epoch, int64_t next_offset)
{
	struct cursor_entry at = {
		.partition = f->key.partition,
		.leader_epoch = epoch,
		.next_offset = next_offset,
	};
	struct reader_options options = {
		.caller = &f->feeds->caller,
		.operation = OPERATION_SUBSCRIBE,
		.topic = slice_of(f->name, f->name_len),
		.partition = (int32_t)f->key.partition,
		.position = {.kind = POSITION_CURSOR, .entries = &at, .entry_count = 1},
		.follow = true,
	};

	memcpy(at.topic, f->key.topic, sizeof(at.topic));
	return reader_open(f->feeds->front->broker, &options, woken, f);
}

static struct feed *feed_new(struct feeds *fs, const struct feed_key *key, struct slice topic,
                             int32_t epoch, int64_t next_offset)
{
	struct feed *f = calloc(1, sizeof(*f) + topic.len);

	if (!f)
		return NULL;
	f->feeds = fs;
	f->key = *key;
	f->name_len = topic.len;
	memcpy(f->name, topic.ptr, topic.len);
	list_init(&f->blocks);
	list_init(&f->idle);
	list_init(&f->due);
	list_init(&f->blocked);
	f->read.run = run_read;
	f->unused.run = run_unused;
	f->end_offset = next_offset;
	HASH_ADD(hh, fs->by_key, key, sizeof(f->key), f);
	if (!hash_took(&f->hh))
		goto free_feed;
	f->reader = open_reader(f, epoch, next_offset);
	if (!f->reader)
		goto remove;
	return f;

remove:
	HASH_DEL(fs->by_key, f);
free_feed:
	free(f);
	return NULL;
}

/* The event that stands at the member's place; false when it was dropped. */
static bool find_place(struct feed *f, struct feed_member *m)
{
	struct list *node = f->blocks.prev;

	m->next_event = f->end_event;
	if (m->next_offset >= f->end_offset)
		return true;
	while (node != &f->blocks && block_of(node)->base_offset > m->next_offset)
		node = node->prev;
	if (node == &f->blocks)
		return false;
	m->next_event = block_of(node)->first;
	pass_over(m);
	return true;
}

bool feed_join(struct feeds *fs, const struct feed_key *key, struct slice topic, int32_t epoch,
               struct feed_member *m)
{
	struct feed *f;

	CHECK(!m->feed);
	HASH_FIND(hh, fs->by_key, key, sizeof(*key), f);
	if (!f)
		f = feed_new(fs, key, topic, epoch, m->next_offset);
	if (!f)
		return false;
	m->feed = f;
	if (!find_place(f, m)) {
		m->feed = NULL;
		return false;
	}
	f->member_count++;
	list_append(has_all(m) ? &f->idle : &f->due, &m->node);
	is_due(f);
	return true;
}

void feed_leave(struct feed_member *m)
{
	struct feed *f = m->feed;

	if (!f)
		return;
	list_remove(&m->node);
	m->feed = NULL;
	f->member_count--;
	if (f->member_count == 0)
		loop_defer(f->feeds->front->loop, LOOP_WORK, &f->unused);
}

void feed_resume(struct feed_member *m)
{
	if (!m->feed || m->feed->ended)
		return;
	list_remove(&m->node);
	list_append(&m->feed->due, &m->node);
	is_due(m->feed);
}

/* --- all of a shard --------------------------------------------------------------------------- */

void feeds_init(struct feeds *fs, struct front *f)
{
	*fs = (struct feeds){
		.front = f,
		.pump = {.run = pump},
		.caller = {.principal = SLICE_LIT("bourn"), .peer = "feed"},
	};
	list_init(&fs->ready);
	list_init(&fs->spare);
}

void feeds_close(struct feeds *fs)
{
	struct feed *f, *after;
	struct list *node;

	HASH_ITER (hh, fs->by_key, f, after)
		feed_free(f);
	task_cancel(&fs->pump);
	while ((node = list_take_first(&fs->spare)))
		block_free(block_of(node));
}
