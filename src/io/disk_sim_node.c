#include "io/disk_sim_node.h"

#include "base/check.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static unsigned pick(struct entropy_seeded *random, unsigned below)
{
	uint32_t number;

	random->base.fill(&random->base, &number, sizeof(number));
	return number % below;
}

/* --- contents ------------------------------------------------------------------------ */

/* Most of what stores write ahead of use: never allocated, never copied. */
static const uint8_t zeros[SIM_BLOCK_BYTES];

static const uint8_t *content_block(const struct sim_content *c, size_t i)
{
	return i < c->count && c->blocks[i] ? c->blocks[i] : zeros;
}

static bool content_has_block(const struct sim_content *c, size_t i)
{
	return i < c->count && c->blocks[i];
}

static void content_make_room(struct sim_content *c, size_t i)
{
	if (i >= c->count) {
		size_t count = i + 1 > 2 * c->count ? i + 1 : 2 * c->count;

		c->blocks = realloc(c->blocks, count * sizeof(*c->blocks));
		CHECK(c->blocks);
		memset(c->blocks + c->count, 0, (count - c->count) * sizeof(*c->blocks));
		c->count = count;
	}
	if (!c->blocks[i] && c->space)
		c->space->used += SIM_BLOCK_BYTES;
}

static void free_block(const uint8_t *block)
{
	if (block != zeros)
		free((void *)(uintptr_t)block);
}

/* To be written: its bytes are what they were. */
static uint8_t *content_make_block(struct sim_content *c, size_t i)
{
	uint8_t *block;

	content_make_room(c, i);
	if (c->blocks[i] && c->blocks[i] != zeros)
		return (uint8_t *)(uintptr_t)c->blocks[i];
	block = calloc(1, SIM_BLOCK_BYTES);
	CHECK(block);
	c->blocks[i] = block;
	return block;
}

static void content_make_zeros(struct sim_content *c, size_t i)
{
	content_make_room(c, i);
	free_block(c->blocks[i]);
	c->blocks[i] = zeros;
}

static void content_drop_block(struct sim_content *c, size_t i)
{
	if (!content_has_block(c, i))
		return;
	free_block(c->blocks[i]);
	c->blocks[i] = NULL;
	if (c->space)
		c->space->used -= SIM_BLOCK_BYTES;
}

static void content_copy_block(struct sim_content *to, const struct sim_content *from, size_t i)
{
	if (!content_has_block(from, i))
		content_drop_block(to, i);
	else if (from->blocks[i] == zeros)
		content_make_zeros(to, i);
	else
		memcpy(content_make_block(to, i), from->blocks[i], SIM_BLOCK_BYTES);
}

/* What is cut off reads as zeros when the file grows again. */
static void content_resize(struct sim_content *c, int64_t size)
{
	size_t whole = (size_t)(size / SIM_BLOCK_BYTES), part = (size_t)(size % SIM_BLOCK_BYTES);

	if (part > 0 && content_has_block(c, whole))
		memset(content_make_block(c, whole) + part, 0, SIM_BLOCK_BYTES - part);
	for (size_t i = whole + (part > 0); i < c->count; i++)
		content_drop_block(c, i);
	c->size = size;
}

static void content_fini(struct sim_content *c)
{
	content_resize(c, 0);
	free(c->blocks);
	c->blocks = NULL;
	c->count = 0;
}

/* --- names --------------------------------------------------------------------------- */

static char *copy_name(const char *name)
{
	char *copy = name ? strdup(name) : NULL;

	CHECK(!name || copy);
	return copy;
}

static struct sim_name *names_find(const struct sim_names *names, const char *name)
{
	for (size_t i = 0; i < names->count; i++)
		if (strcmp(names->list[i].name, name) == 0)
			return &names->list[i];
	return NULL;
}

static void names_remove(struct sim_names *names, const char *name)
{
	struct sim_name *at = names_find(names, name);

	if (!at)
		return;
	free(at->name);
	sim_node_put(at->node);
	*at = names->list[--names->count];
}

static void names_add(struct sim_names *names, const char *name, struct sim_node *node)
{
	names_remove(names, name);
	if (names->count == names->cap) {
		names->cap = names->cap ? 2 * names->cap : 8;
		names->list = realloc(names->list, names->cap * sizeof(*names->list));
		CHECK(names->list);
	}
	names->list[names->count++] = (struct sim_name){copy_name(name), sim_node_get(node)};
}

static void names_fini(struct sim_names *names)
{
	while (names->count > 0)
		names_remove(names, names->list[names->count - 1].name);
	free(names->list);
	*names = (struct sim_names){0};
}

static void change_fini(struct sim_change *change)
{
	free(change->removed);
	free(change->added);
	if (change->node)
		sim_node_put(change->node);
}

/* --- nodes --------------------------------------------------------------------------- */

struct sim_node *sim_node_new(bool is_dir, struct sim_space *space)
{
	struct sim_node *n = calloc(1, sizeof(*n));

	CHECK(n);
	n->holders = 1;
	n->is_dir = is_dir;
	n->now.space = space;
	return n;
}

struct sim_node *sim_node_get(struct sim_node *n)
{
	n->holders++;
	return n;
}

void sim_node_put(struct sim_node *n)
{
	CHECK(n->holders > 0);
	if (--n->holders > 0)
		return;
	content_fini(&n->now);
	content_fini(&n->synced);
	names_fini(&n->names_now);
	names_fini(&n->names_synced);
	for (size_t i = 0; i < n->change_count; i++)
		change_fini(&n->changes[i]);
	free(n->changes);
	free(n);
}

void sim_node_forget_if_gone(struct sim_node *n)
{
	if (n->links > 0 || n->opens > 0 || n->is_dir)
		return;
	content_fini(&n->now);
	n->forgotten = true;
}

/* --- files --------------------------------------------------------------------------- */

static void mark_dirty(struct sim_node *n, size_t from, size_t until)
{
	if (from >= until)
		return;
	if (n->dirty_from == n->dirty_until)
		n->dirty_from = from;
	n->dirty_from = from < n->dirty_from ? from : n->dirty_from;
	n->dirty_until = until > n->dirty_until ? until : n->dirty_until;
}

static void write_part(struct sim_node *n, size_t block, size_t skip, const uint8_t *bytes,
                       size_t len)
{
	if (len == SIM_BLOCK_BYTES && memcmp(bytes, zeros, SIM_BLOCK_BYTES) == 0)
		content_make_zeros(&n->now, block);
	else
		memcpy(content_make_block(&n->now, block) + skip, bytes, len);
	mark_dirty(n, block, block + 1);
}

ssize_t sim_file_write(struct sim_node *n, struct slice bytes, int64_t at)
{
	const struct sim_space *space = n->now.space;
	size_t done = 0;

	while (done < bytes.len) {
		size_t block = (size_t)(at + (int64_t)done) / SIM_BLOCK_BYTES;
		size_t skip = (size_t)(at + (int64_t)done) % SIM_BLOCK_BYTES;
		size_t part = SIM_BLOCK_BYTES - skip;

		if (part > bytes.len - done)
			part = bytes.len - done;
		if (!content_has_block(&n->now, block) &&
		    space->used + SIM_BLOCK_BYTES > space->capacity)
			break;
		write_part(n, block, skip, bytes.ptr + done, part);
		done += part;
	}
	if (done == 0 && bytes.len > 0)
		return -ENOSPC;
	if (done > 0 && at + (int64_t)done > n->now.size)
		n->now.size = at + (int64_t)done;
	return (ssize_t)done;
}

size_t sim_file_read(const struct sim_node *n, uint8_t *into, size_t len, int64_t at)
{
	size_t done = 0;

	if (at >= n->now.size)
		return 0;
	if ((int64_t)len > n->now.size - at)
		len = (size_t)(n->now.size - at);
	while (done < len) {
		size_t block = (size_t)(at + (int64_t)done) / SIM_BLOCK_BYTES;
		size_t skip = (size_t)(at + (int64_t)done) % SIM_BLOCK_BYTES;
		size_t part =
			SIM_BLOCK_BYTES - skip < len - done ? SIM_BLOCK_BYTES - skip : len - done;

		memcpy(into + done, content_block(&n->now, block) + skip, part);
		done += part;
	}
	return done;
}

void sim_file_resize(struct sim_node *n, int64_t size)
{
	mark_dirty(n, (size_t)(size / SIM_BLOCK_BYTES), n->now.count);
	content_resize(&n->now, size);
}

void sim_file_sync(struct sim_node *n)
{
	for (size_t i = n->dirty_from; i < n->dirty_until; i++)
		content_copy_block(&n->synced, &n->now, i);
	n->synced.size = n->now.size;
	n->dirty_from = n->dirty_until = 0;
}

/* --- directories --------------------------------------------------------------------- */

struct sim_node *sim_dir_find(const struct sim_node *dir, const char *name)
{
	struct sim_name *found = names_find(&dir->names_now, name);

	return found ? found->node : NULL;
}

static void unlink_now(struct sim_node *dir, const char *name)
{
	struct sim_node *node = sim_dir_find(dir, name);

	if (!node)
		return;
	node->links--;
	sim_node_forget_if_gone(
		node); /* the change below still holds it, or its directory's synced */
	names_remove(&dir->names_now, name);
}

void sim_dir_change(struct sim_node *dir, const char *removed, const char *added,
                    struct sim_node *node)
{
	if (dir->change_count == dir->change_cap) {
		dir->change_cap = dir->change_cap ? 2 * dir->change_cap : 8;
		dir->changes = realloc(dir->changes, dir->change_cap * sizeof(*dir->changes));
		CHECK(dir->changes);
	}
	dir->changes[dir->change_count++] = (struct sim_change){
		copy_name(removed), copy_name(added), node ? sim_node_get(node) : NULL};
	if (node)
		node->links++; /* first, so that a rename does not pass through none */
	if (removed)
		unlink_now(dir, removed);
	if (added) {
		unlink_now(dir, added);
		names_add(&dir->names_now, added, node);
	}
}

/* The first `count` changes have reached the disk. */
static void apply_changes(struct sim_node *dir, size_t count)
{
	for (size_t i = 0; i < dir->change_count; i++) {
		struct sim_change *change = &dir->changes[i];

		if (i < count && change->removed)
			names_remove(&dir->names_synced, change->removed);
		if (i < count && change->added)
			names_add(&dir->names_synced, change->added, change->node);
	}
	for (size_t i = 0; i < dir->change_count; i++)
		change_fini(&dir->changes[i]);
	dir->change_count = 0;
}

void sim_dir_sync(struct sim_node *dir)
{
	apply_changes(dir, dir->change_count);
}

void sim_tree_sync(struct sim_node *root)
{
	if (!root->is_dir) {
		sim_file_sync(root);
		return;
	}
	sim_dir_sync(root);
	for (size_t i = 0; i < root->names_now.count; i++)
		sim_tree_sync(root->names_now.list[i].node);
}

/* --- crash --------------------------------------------------------------------------- */

static int64_t crashed_size(const struct sim_node *n, struct entropy_seeded *random)
{
	int64_t grown = (n->now.size - n->synced.size) / SIM_BLOCK_BYTES;

	switch (pick(random, grown > 0 ? 3 : 2)) {
	case 0: return n->now.size;
	case 1: return n->synced.size;
	default:
		return n->synced.size +
		       (int64_t)pick(random, (unsigned)grown + 1) * SIM_BLOCK_BYTES;
	}
}

/* Make of block `i` of `synced` what is found after the crash. */
static void crash_block(struct sim_node *n, size_t i, struct entropy_seeded *random)
{
	size_t torn_at;

	if (memcmp(content_block(&n->now, i), content_block(&n->synced, i), SIM_BLOCK_BYTES) == 0)
		return;
	switch (pick(random, 8)) {
	case 0:
	case 1:
	case 2:
	case 3: content_copy_block(&n->synced, &n->now, i); break;
	case 4: content_drop_block(&n->synced, i); break;
	case 5:
		torn_at = (1 + pick(random, SIM_BLOCK_BYTES / SIM_SECTOR_BYTES - 1)) *
		          SIM_SECTOR_BYTES;
		memcpy(content_make_block(&n->synced, i), content_block(&n->now, i), torn_at);
		break;
	default: break; /* it stays as it was synced */
	}
}

static void crash_file(struct sim_node *n, struct entropy_seeded *random)
{
	if (!n->forgotten) {
		int64_t size = crashed_size(n, random);

		for (size_t i = n->dirty_from; i < n->dirty_until; i++)
			crash_block(n, i, random);
		content_resize(&n->synced, size);
	}
	n->forgotten = false;
	n->dirty_from = n->dirty_until = 0;
	content_resize(&n->now, n->synced.size);
	for (size_t i = 0; i < n->now.count || i < n->synced.count; i++)
		content_copy_block(&n->now, &n->synced, i);
}

static void crash_dir(struct sim_node *dir, struct entropy_seeded *random)
{
	apply_changes(dir, pick(random, (unsigned)dir->change_count + 1));
	for (size_t i = 0; i < dir->names_now.count; i++)
		dir->names_now.list[i].node->links--;
	names_fini(&dir->names_now);
	for (size_t i = 0; i < dir->names_synced.count; i++) {
		struct sim_name *at = &dir->names_synced.list[i];

		at->node->links++;
		names_add(&dir->names_now, at->name, at->node);
	}
}

void sim_tree_crash(struct sim_node *root, struct entropy_seeded *random)
{
	if (!root->is_dir) {
		crash_file(root, random);
		return;
	}
	crash_dir(root, random);
	for (size_t i = 0; i < root->names_now.count; i++)
		sim_tree_crash(root->names_now.list[i].node, random);
}
