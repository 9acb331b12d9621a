#include "io/testing/disk_model.h"

#include "base/check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

/* Room for one more in an array that doubles. */
static void *grown(void *list, size_t count, size_t *cap, size_t each)
{
	if (count < *cap)
		return list;
	*cap = *cap ? 2 * *cap : 8;
	list = realloc(list, *cap * each);
	CHECK(list);
	return list;
}

/* --- names ----------------------------------------------------------------------------------- */

static struct model_name *names_find(const struct model_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->list[i].name, name) == 0)
			return &names->list[i];
	return NULL;
}

static void names_remove(struct model_names *names, const char *name)
{
	struct model_name *at = names_find(names, name);

	if (at)
		*at = names->list[--names->count];
}

void model_names_change(struct model_names *names, const struct model_change *change)
{
	if (change->removed)
		names_remove(names, change->removed);
	if (!change->added)
		return;
	names_remove(names, change->added);
	names->list = grown(names->list, names->count, &names->cap, sizeof(*names->list));
	names->list[names->count++] = (struct model_name){change->added, change->node};
}

void model_names_copy(struct model_names *to, const struct model_names *from)
{
	*to = (struct model_names){.count = from->count, .cap = from->count};
	if (from->count == 0)
		return;
	to->list = malloc(from->count * sizeof(*to->list));
	CHECK(to->list);
	memcpy(to->list, from->list, from->count * sizeof(*to->list));
}

static void change_names(struct model_node *dir, const char *removed, const char *added,
                         struct model_node *node)
{
	struct model_change change = {removed, added, node};

	dir->changes =
		grown(dir->changes, dir->change_count, &dir->change_cap, sizeof(*dir->changes));
	dir->changes[dir->change_count++] = change;
	model_names_change(&dir->names_now, &change);
}

static void sync_names(struct model_node *dir)
{
	for (size_t i = 0; i < dir->change_count; i++)
		model_names_change(&dir->names_synced, &dir->changes[i]);
	dir->change_count = 0;
}

/* --- nodes and paths -------------------------------------------------------------------------- */

static struct model_node *node_new(struct disk_model *m, bool is_dir)
{
	struct model_node *n = calloc(1, sizeof(*n));

	CHECK(n);
	n->is_dir = is_dir;
	n->older = m->nodes;
	m->nodes = n;
	return n;
}

/* The last component of a path, within the path. */
static const char *last_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static struct model_node *child(const struct model_node *dir, const char *name, size_t len)
{
	for (size_t i = 0; i < dir->names_now.count; i++) {
		const struct model_name *at = &dir->names_now.list[i];

		if (strncmp(at->name, name, len) == 0 && at->name[len] == '\0')
			return at->node;
	}
	return NULL;
}

/* The node that the first `len` bytes of a path lead to; NULL: there is none. */
static struct model_node *walk(struct disk_model *m, const char *path, size_t len)
{
	const char *end = path + len;
	struct model_node *at = m->root;

	while (at && path < end) {
		size_t part;

		while (path < end && *path == '/')
			path++;
		part = strcspn(path, "/");
		if (path + part > end)
			part = (size_t)(end - path);
		if (part > 0 && (part > 1 || *path != '.'))
			at = child(at, path, part);
		path += part;
	}
	return at;
}

static struct model_node *parent(struct disk_model *m, const char *path)
{
	struct model_node *dir = walk(m, path, (size_t)(last_name(path) - path));

	CHECK(dir && dir->is_dir);
	return dir;
}

static struct model_node *make_node(struct disk_model *m, const char *path, bool is_dir)
{
	struct model_node *dir = parent(m, path);
	struct model_node *n = node_new(m, is_dir);

	change_names(dir, NULL, last_name(path), n);
	return n;
}

static void rename_node(struct disk_model *m, const char *from, const char *to)
{
	struct model_node *dir = parent(m, from);
	struct model_node *n = walk(m, from, strlen(from));

	CHECK(n && dir == parent(m, to));
	if (n != walk(m, to, strlen(to)))
		change_names(dir, last_name(from), last_name(to), n);
}

static void link_node(struct disk_model *m, const char *from, const char *to)
{
	struct model_node *n = walk(m, from, strlen(from));

	CHECK(n && !n->is_dir);
	change_names(parent(m, to), NULL, last_name(to), n);
}

/* --- descriptors ------------------------------------------------------------------------------ */

static struct model_handle *find_handle(struct disk_model *m, int fd)
{
	for (size_t i = 0; i < m->handle_count; i++)
		if (m->handles[i].fd == fd)
			return &m->handles[i];
	return NULL;
}

static struct model_node *node_of(struct disk_model *m, int fd)
{
	struct model_handle *h = find_handle(m, fd);

	CHECK(h);
	return h->node;
}

/* --- contents --------------------------------------------------------------------------------- */

uint64_t model_block_hash(const uint8_t bytes[MODEL_BLOCK_BYTES])
{
	uint64_t hash = 0x9e3779b97f4a7c15;

	for (size_t i = 0; i < MODEL_BLOCK_BYTES; i += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, bytes + i, sizeof(word));
		hash = (hash ^ word) * 0xff51afd7ed558ccd;
		hash ^= hash >> 32;
	}
	return hash;
}

static const uint8_t *block_bytes(const struct model_block *b)
{
	static const uint8_t zeros[MODEL_BLOCK_BYTES];

	return b ? b->bytes : zeros;
}

static const struct model_block *block_new(struct disk_model *m, const uint8_t *bytes)
{
	struct model_block *b;

	if (memcmp(bytes, block_bytes(NULL), MODEL_BLOCK_BYTES) == 0)
		return NULL;
	b = malloc(sizeof(*b));
	CHECK(b);
	memcpy(b->bytes, bytes, MODEL_BLOCK_BYTES);
	b->hash = model_block_hash(bytes);
	b->older = m->blocks;
	m->blocks = b;
	return b;
}

static const struct model_block *content_block(const struct model_content *c, size_t i)
{
	return i < c->count ? c->blocks[i] : NULL;
}

static void content_set(struct model_content *c, size_t i, const struct model_block *block)
{
	if (i >= c->count) {
		size_t count = i + 1 > 2 * c->count ? i + 1 : 2 * c->count;

		c->blocks = realloc(c->blocks, count * sizeof(*c->blocks));
		CHECK(c->blocks);
		memset(c->blocks + c->count, 0, (count - c->count) * sizeof(*c->blocks));
		c->count = count;
	}
	c->blocks[i] = block;
}

/* Nothing to take back when the bytes stay what they are. */
static void change_block(struct disk_model *m, struct model_node *n, size_t i, const uint8_t *bytes)
{
	const struct model_block *before = content_block(&n->now, i);
	const struct model_block *block;

	if (memcmp(bytes, block_bytes(before), MODEL_BLOCK_BYTES) == 0)
		return;
	block = block_new(m, bytes);
	content_set(&n->now, i, block);
	n->units = grown(n->units, n->unit_count, &n->unit_cap, sizeof(*n->units));
	n->units[n->unit_count++] = (struct model_unit){i, block, n->size_count};
}

static void change_size(struct model_node *n, int64_t size)
{
	if (size == n->now.size)
		return;
	n->now.size = size;
	n->sizes = grown(n->sizes, n->size_count, &n->size_cap, sizeof(*n->sizes));
	n->sizes[n->size_count++] = size;
}

static void write_bytes(struct disk_model *m, struct model_node *n, const uint8_t *bytes,
                        size_t len, int64_t at)
{
	if (at + (int64_t)len > n->now.size)
		change_size(n, at + (int64_t)len);
	while (len > 0) {
		size_t i = (size_t)at / MODEL_BLOCK_BYTES, skip = (size_t)at % MODEL_BLOCK_BYTES;
		size_t part = MODEL_BLOCK_BYTES - skip < len ? MODEL_BLOCK_BYTES - skip : len;
		uint8_t image[MODEL_BLOCK_BYTES];

		memcpy(image, block_bytes(content_block(&n->now, i)), sizeof(image));
		memcpy(image + skip, bytes, part);
		change_block(m, n, i, image);
		bytes += part;
		at += (int64_t)part;
		len -= part;
	}
}

/* What is cut off reads as zeros when the file grows again. */
static void resize(struct disk_model *m, struct model_node *n, int64_t size)
{
	size_t whole = (size_t)(size / MODEL_BLOCK_BYTES);
	size_t part = (size_t)(size % MODEL_BLOCK_BYTES);
	uint8_t image[MODEL_BLOCK_BYTES] = {0};

	change_size(n, size);
	if (part > 0) {
		memcpy(image, block_bytes(content_block(&n->now, whole)), part);
		change_block(m, n, whole, image);
		memset(image, 0, part);
		whole++;
	}
	for (size_t i = whole; i < n->now.count; i++)
		change_block(m, n, i, image);
}

static void sync_file(struct model_node *n)
{
	for (size_t i = 0; i < n->unit_count; i++)
		content_set(&n->synced, n->units[i].index, n->units[i].block);
	n->synced.size = n->now.size;
	n->unit_count = 0;
	n->size_count = 0;
}

/* The file is at least that long, and those blocks are there; the rest is as open as before. */
static void sync_range(struct model_node *n, int64_t at, size_t len)
{
	size_t from = (size_t)at / MODEL_BLOCK_BYTES;
	size_t last = ((size_t)at + len - 1) / MODEL_BLOCK_BYTES;
	size_t kept = 0;

	for (size_t i = 0; i < n->unit_count; i++) {
		struct model_unit unit = n->units[i];

		unit.size_index = 0;
		if (unit.index >= from && unit.index <= last)
			content_set(&n->synced, unit.index, unit.block);
		else
			n->units[kept++] = unit;
	}
	n->unit_count = kept;
	n->synced.size = n->now.size;
	n->size_count = 0;
}

/* --- steps ------------------------------------------------------------------------------------ */

static void play_open(struct disk_model *m, const struct trace_step *s)
{
	struct model_node *n = walk(m, s->path, strlen(s->path));

	if (!n)
		n = make_node(m, s->path, false);
	if ((s->flags & O_TRUNC) && (s->flags & O_ACCMODE) != O_RDONLY)
		resize(m, n, 0);
	m->handles = grown(m->handles, m->handle_count, &m->handle_cap, sizeof(*m->handles));
	m->handles[m->handle_count++] = (struct model_handle){s->fd, n};
}

static void play_close(struct disk_model *m, int fd)
{
	struct model_handle *h = find_handle(m, fd);

	CHECK(h);
	*h = m->handles[--m->handle_count];
}

static void sync_everything(struct disk_model *m)
{
	for (struct model_node *n = m->nodes; n; n = n->older) {
		if (n->is_dir)
			sync_names(n);
		else
			sync_file(n);
	}
}

void disk_model_play(struct disk_model *m, const struct trace_step *s)
{
	switch (s->call) {
	case DISK_OPEN: play_open(m, s); break;
	case DISK_CLOSE: play_close(m, s->fd); break;
	case DISK_PWRITEV: write_bytes(m, node_of(m, s->fd), s->bytes, s->len, s->at); break;
	case DISK_PWRITEV_SYNC: sync_range(node_of(m, s->fd), s->at, s->len); break;
	case DISK_SYNC: sync_file(node_of(m, s->fd)); break;
	case DISK_TRUNCATE: resize(m, node_of(m, s->fd), s->at); break;
	case DISK_SYNC_DIR: sync_names(walk(m, s->path, strlen(s->path))); break;
	case DISK_SYNC_ALL: sync_everything(m); break;
	case DISK_RENAME: rename_node(m, s->path, s->to); break;
	case DISK_LINK: link_node(m, s->path, s->to); break;
	case DISK_UNLINK:
	case DISK_RMDIR: change_names(parent(m, s->path), last_name(s->path), NULL, NULL); break;
	case DISK_MKDIR: make_node(m, s->path, true); break;
	default: CHECK(s->call == TRACE_MARK);
	}
}

/* --- life ------------------------------------------------------------------------------------- */

void disk_model_init(struct disk_model *m)
{
	*m = (struct disk_model){0};
	m->root = node_new(m, true);
}

static void node_free(struct model_node *n)
{
	free(n->now.blocks);
	free(n->synced.blocks);
	free(n->units);
	free(n->sizes);
	free(n->names_now.list);
	free(n->names_synced.list);
	free(n->changes);
	free(n);
}

void disk_model_fini(struct disk_model *m)
{
	while (m->nodes) {
		struct model_node *older = m->nodes->older;

		node_free(m->nodes);
		m->nodes = older;
	}
	while (m->blocks) {
		struct model_block *older = m->blocks->older;

		free(m->blocks);
		m->blocks = older;
	}
	free(m->handles);
}
