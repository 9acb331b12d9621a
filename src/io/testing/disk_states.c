#include "io/testing/disk_states.h"

#include "base/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SINGLES_MAX =
		96, /* open questions at a point, above which only so many random ones are asked alone */
	SECTORS = MODEL_BLOCK_BYTES / MODEL_SECTOR_BYTES,
	/* Answers to "is this block on the disk?", beside 0 and 1: so many first sectors of it, or
	 * all but so many first ones. */
	TORN_HEAD = 2,
	TORN_TAIL = TORN_HEAD + SECTORS,
};

/* One open question; its answer is in `answers`. */
struct question {
	struct model_node *node;
	enum { ASK_BLOCK, ASK_SIZE, ASK_NAMES } kind;
	size_t unit;   /* BLOCK */
	unsigned most; /* the answer when nothing is taken back; 0: when everything is. SIZE: beyond
	                  `most` lie sizes by whole blocks */
};

struct walk {
	const struct disk_states_config *config;
	disk_state_cb *each;
	void *arg;
	bool goes_on;
	struct entropy_seeded dice;
	struct disk_model model;
	struct question
		*questions; /* of this point: a node's are together, blocks before the size */
	unsigned *answers;
	size_t count, cap;
	struct disk_state state;
	struct disk_state_entry *entries;
	size_t entry_cap;
	struct model_block *torn; /* made for this state */
};

static unsigned roll(struct walk *w, unsigned below)
{
	uint32_t n;

	w->dice.base.fill(&w->dice.base, &n, sizeof(n));
	return n % below;
}

/* --- questions -------------------------------------------------------------------------------- */

static void ask(struct walk *w, struct question question)
{
	if (w->count == w->cap) {
		w->cap = w->cap ? 2 * w->cap : 64;
		w->questions = realloc(w->questions, w->cap * sizeof(*w->questions));
		w->answers = realloc(w->answers, w->cap * sizeof(*w->answers));
		CHECK(w->questions && w->answers);
	}
	w->questions[w->count++] = question;
}

static void ask_all(struct walk *w)
{
	w->count = 0;
	for (struct model_node *n = w->model.nodes; n; n = n->older) {
		for (size_t i = 0; i < n->unit_count; i++)
			ask(w, (struct question){n, ASK_BLOCK, i, 1});
		if (n->size_count > 0)
			ask(w, (struct question){n, ASK_SIZE, 0, (unsigned)n->size_count});
		if (n->change_count > 0)
			ask(w, (struct question){n, ASK_NAMES, 0, (unsigned)n->change_count});
	}
}

/* Of a node; NULL: it was not asked. */
static const struct question *find(const struct walk *w, const struct model_node *n)
{
	for (size_t i = 0; i < w->count; i++)
		if (w->questions[i].node == n)
			return &w->questions[i];
	return NULL;
}

static unsigned answer_to(const struct walk *w, const struct question *q)
{
	return w->answers[q - w->questions];
}

/* --- contents --------------------------------------------------------------------------------- */

static void set_block(struct model_content *c, size_t i, const struct model_block *block)
{
	if (i < c->count)
		c->blocks[i] = block;
}

static const struct model_block *compose(struct walk *w, const struct model_block *head,
                                         const struct model_block *tail, size_t head_bytes)
{
	struct model_block *b = calloc(1, sizeof(*b));

	CHECK(b);
	if (head)
		memcpy(b->bytes, head->bytes, head_bytes);
	if (tail)
		memcpy(b->bytes + head_bytes, tail->bytes + head_bytes,
		       sizeof(b->bytes) - head_bytes);
	b->hash = model_block_hash(b->bytes);
	b->older = w->torn;
	w->torn = b;
	return b;
}

static const struct model_block *block_after(struct walk *w, const struct model_block *before,
                                             const struct model_block *written, unsigned answer)
{
	if (answer == 0)
		return before;
	if (answer == 1)
		return written;
	if (answer < TORN_TAIL)
		return compose(w, written, before, (answer - TORN_HEAD) * MODEL_SECTOR_BYTES);
	return compose(w, before, written, (answer - TORN_TAIL) * MODEL_SECTOR_BYTES);
}

static int64_t size_after(const struct model_node *n, unsigned answer)
{
	int64_t low = n->synced.size < n->now.size ? n->synced.size : n->now.size;
	int64_t high = n->synced.size < n->now.size ? n->now.size : n->synced.size;
	int64_t steps = (high - low) / MODEL_BLOCK_BYTES + 1;

	if (answer == 0)
		return n->synced.size;
	if (answer <= n->size_count)
		return n->sizes[answer - 1];
	return low + (int64_t)(answer - n->size_count) % steps * MODEL_BLOCK_BYTES;
}

static void cut(struct walk *w, struct model_content *c, int64_t size)
{
	size_t whole = (size_t)(size / MODEL_BLOCK_BYTES);
	size_t part = (size_t)(size % MODEL_BLOCK_BYTES);

	if (part > 0 && whole < c->count && c->blocks[whole])
		c->blocks[whole] = compose(w, c->blocks[whole], NULL, part);
	for (size_t i = whole + (part > 0); i < c->count; i++)
		c->blocks[i] = NULL;
	c->size = size;
}

static void fill_content(struct walk *w, const struct model_node *n, struct model_content *c)
{
	const struct question *q = find(w, n);
	int64_t size = n->synced.size;

	c->count = n->now.count > n->synced.count ? n->now.count : n->synced.count;
	c->blocks = calloc(c->count + 1, sizeof(*c->blocks));
	CHECK(c->blocks);
	if (n->synced.count > 0)
		memcpy(c->blocks, n->synced.blocks, n->synced.count * sizeof(*c->blocks));
	for (; q && q < w->questions + w->count && q->node == n; q++) {
		const struct model_unit *unit = &n->units[q->unit];

		if (q->kind == ASK_SIZE)
			size = size_after(n, answer_to(w, q));
		else
			set_block(c, unit->index,
			          block_after(w, c->blocks[unit->index], unit->block,
			                      answer_to(w, q)));
	}
	cut(w, c, size);
}

/* --- states ----------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t more)
{
	hash = (hash ^ more) * 0xc4ceb9fe1a85ec53;
	return hash ^ hash >> 29;
}

/* A block that is there and all zeros is one that is not. */
static uint64_t entry_hash(const struct disk_state_entry *e)
{
	static const uint8_t zeros[MODEL_BLOCK_BYTES];
	const uint64_t zero_hash = model_block_hash(zeros);
	uint64_t hash = mix((uint64_t)e->content.size, e->is_dir);

	for (const char *c = e->path; *c; c++)
		hash = mix(hash, (uint8_t)*c);
	for (size_t i = 0; i < e->content.count; i++)
		if (e->content.blocks[i] && e->content.blocks[i]->hash != zero_hash)
			hash = mix(mix(hash, i), e->content.blocks[i]->hash);
	return hash;
}

static struct disk_state_entry *add_entry(struct walk *w, const char *parent, const char *name,
                                          bool is_dir)
{
	struct disk_state_entry *e;
	int len;

	if (w->state.entry_count == w->entry_cap) {
		w->entry_cap = w->entry_cap ? 2 * w->entry_cap : 32;
		w->entries = realloc(w->entries, w->entry_cap * sizeof(*w->entries));
		CHECK(w->entries);
	}
	e = &w->entries[w->state.entry_count++];
	*e = (struct disk_state_entry){.is_dir = is_dir};
	len = snprintf(e->path, sizeof(e->path), "%s/%s", parent, name);
	CHECK(len > 0 && len < STATE_PATH_BYTES_MAX);
	return e;
}

static void add_tree(struct walk *w, const struct model_node *dir, const char *dir_path)
{
	const struct question *q = find(w, dir);
	struct model_names names;

	model_names_copy(&names, &dir->names_synced);
	for (unsigned i = 0; q && i < answer_to(w, q); i++)
		model_names_change(&names, &dir->changes[i]);
	for (size_t i = 0; i < names.count; i++) {
		const struct model_node *n = names.list[i].node;
		struct disk_state_entry *e = add_entry(w, dir_path, names.list[i].name, n->is_dir);
		char path[STATE_PATH_BYTES_MAX];

		e->file = n;
		if (!n->is_dir)
			fill_content(w, n, &e->content);
		e->hash = entry_hash(e);
		w->state.hash += e->hash; /* whatever order the names are in */
		memcpy(path, e->path, sizeof(path));
		if (n->is_dir)
			add_tree(w, n, path);
	}
	free(names.list);
}

static void forget_state(struct walk *w)
{
	for (size_t i = 0; i < w->state.entry_count; i++)
		free(w->entries[i].content.blocks);
	while (w->torn) {
		struct model_block *older = w->torn->older;

		free(w->torn);
		w->torn = older;
	}
}

/* The state that the answers describe. */
static void visit(struct walk *w, bool kept_all)
{
	if (!w->goes_on)
		return;
	w->state.hash = 0;
	w->state.entry_count = 0;
	w->state.kept_all = kept_all;
	add_tree(w, w->model.root, "");
	w->state.entries = w->entries;
	w->goes_on = w->each(w->arg, &w->state);
	forget_state(w);
}

/* --- choices ---------------------------------------------------------------------------------- */

static unsigned torn(struct walk *w)
{
	unsigned from = roll(w, 4) ? TORN_HEAD : TORN_TAIL;

	return from + 1 + roll(w, SECTORS - 1);
}

static void answer_all(struct walk *w, bool most)
{
	for (size_t i = 0; i < w->count; i++)
		w->answers[i] = most ? w->questions[i].most : 0;
}

/* A block that is to be seen alone must lie within the file. */
static void lengthen(struct walk *w, size_t i)
{
	const struct question *q = &w->questions[i];

	for (size_t k = i; k < w->count && w->questions[k].node == q->node; k++)
		if (w->questions[k].kind == ASK_SIZE)
			w->answers[k] = (unsigned)q->node->units[q->unit].size_index;
}

/* Every other answer to question `i`, where all the others are answered alike. */
static void visit_single(struct walk *w, size_t i, bool others_most)
{
	const struct question *q = &w->questions[i];
	unsigned usual = others_most ? q->most : 0;

	answer_all(w, others_most);
	if (q->kind == ASK_BLOCK && !others_most)
		lengthen(w, i);
	for (unsigned answer = 0; answer <= q->most; answer++) {
		w->answers[i] = answer;
		if (answer != usual)
			visit(w, false);
	}
	if (q->kind == ASK_NAMES)
		return;
	w->answers[i] = q->kind == ASK_BLOCK ? torn(w) : q->most + 1 + roll(w, 1 << 20);
	visit(w, false);
}

static void visit_singles(struct walk *w)
{
	bool too_many = w->count > SINGLES_MAX;
	size_t count = too_many ? SINGLES_MAX : w->count;

	for (size_t n = 0; n < count; n++) {
		size_t i = too_many ? roll(w, (unsigned)w->count) : n;

		visit_single(w, i, true);
		visit_single(w, i, false);
	}
}

static unsigned random_answer(struct walk *w, const struct question *q)
{
	unsigned dice = roll(w, 8);

	switch (q->kind) {
	case ASK_BLOCK: return dice < 4 ? 1 : dice < 7 ? 0 : torn(w);
	case ASK_SIZE:
		if (dice < 4)
			return q->most;
		return dice < 7 ? roll(w, q->most + 1) : q->most + 1 + roll(w, 1 << 20);
	default: return roll(w, q->most + 1);
	}
}

/* With one question or two, all there is was seen already. */
static void visit_random(struct walk *w)
{
	for (unsigned n = 0; w->count > 1 && n < w->config->random_count; n++) {
		for (size_t i = 0; i < w->count; i++)
			w->answers[i] = random_answer(w, &w->questions[i]);
		visit(w, false);
	}
}

static void visit_point(struct walk *w)
{
	ask_all(w);
	answer_all(w, true);
	visit(w, true);
	if (w->count == 0)
		return;
	answer_all(w, false);
	visit(w, false);
	visit_singles(w);
	visit_random(w);
}

/* --- the walk --------------------------------------------------------------------------------- */

static bool changes_something(const struct trace_step *s)
{
	if (s->call == DISK_OPEN)
		return s->flags & (O_CREAT | O_TRUNC);
	return s->call != TRACE_MARK && s->call != DISK_CLOSE;
}

static size_t marks_after(const struct disk_trace *t, size_t step)
{
	size_t marks = 0;

	for (size_t i = step + 1; i < t->count && !changes_something(&t->steps[i]); i++)
		marks += t->steps[i].call == TRACE_MARK;
	return marks;
}

size_t disk_states_each(const struct disk_states_config *config, disk_state_cb *each, void *arg)
{
	const struct disk_trace *t = config->trace;
	struct walk w = {.config = config, .each = each, .arg = arg, .goes_on = true};
	size_t marks = 0, reached = 0, points = 0;
	uint64_t every = config->every ? config->every : 1;

	entropy_seeded_init(&w.dice, config->seed);
	disk_model_init(&w.model);
	for (size_t i = 0; i < t->count && w.goes_on; i++) {
		disk_model_play(&w.model, &t->steps[i]);
		marks += t->steps[i].call == TRACE_MARK;
		if (!changes_something(&t->steps[i]) || marks < config->from_mark)
			continue;
		if (reached++ % every != config->seed % every)
			continue;
		w.state.step = i;
		w.state.marks_least = marks;
		w.state.marks_most = marks + marks_after(t, i);
		visit_point(&w);
		points++;
	}
	disk_model_fini(&w.model);
	free(w.questions);
	free(w.answers);
	free(w.entries);
	return points;
}

/* --- onto a disk ------------------------------------------------------------------------------ */

static void write_file(const struct disk_state_entry *e, struct disk *to)
{
	const struct model_content *c = &e->content;
	int fd = to->ops->open(to, e->path, O_RDWR | O_CREAT | O_EXCL);

	CHECK(fd >= 0);
	for (size_t i = 0; i < c->count; i++) {
		struct iovec iov = {NULL, MODEL_BLOCK_BYTES};

		if (!c->blocks[i])
			continue;
		iov.iov_base = (void *)(uintptr_t)c->blocks[i]->bytes;
		CHECK(to->ops->pwritev(to, fd, &iov, 1, (int64_t)i * MODEL_BLOCK_BYTES) ==
		      MODEL_BLOCK_BYTES);
	}
	CHECK(to->ops->truncate(to, fd, c->size) == 0);
	CHECK(to->ops->sync(to, fd) == 0);
	to->ops->close(to, fd);
}

/* The first name of the same file; NULL: it is `i` itself. */
static const struct disk_state_entry *first_name(const struct disk_state *s, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (s->entries[k].file == s->entries[i].file)
			return &s->entries[k];
	return NULL;
}

static void sync_parent(const char *path, struct disk *to)
{
	char parent[STATE_PATH_BYTES_MAX];
	char *slash;

	memcpy(parent, path, sizeof(parent));
	slash = strrchr(parent, '/');
	slash[slash == parent] = '\0';
	CHECK(to->ops->sync_dir(to, parent) == 0);
}

void disk_state_write(const struct disk_state *s, struct disk *to)
{
	for (size_t i = 0; i < s->entry_count; i++) {
		const struct disk_state_entry *e = &s->entries[i], *first = first_name(s, i);

		if (e->is_dir)
			CHECK(to->ops->mkdir(to, e->path) == 0);
		else if (first)
			CHECK(to->ops->link(to, first->path, e->path) == 0);
		else
			write_file(e, to);
		sync_parent(e->path, to);
	}
}
