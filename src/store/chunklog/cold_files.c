#include "store/chunklog/cold_files.h"

#include "base/check.h"
#include "io/disk.h"

#include <errno.h>
#include <stdlib.h>

/* --- the table -------------------------------------------------------------------------------- */

struct cold *cold_new(unsigned files_max)
{
	struct cold *c = calloc(1, sizeof(*c));

	CHECK(c);
	pthread_mutex_init(&c->lock, NULL);
	list_init(&c->recent);
	c->files_max = files_max > 0 ? files_max : COLD_FILES_MAX;
	return c;
}

static void file_close(struct cold_file *file)
{
	if (file->disk)
		file->disk->ops->close(file->disk, file->fd);
	file->disk = NULL;
}

static void file_free(struct cold_file *file)
{
	CHECK(file->users == 0);
	file_close(file);
	segment_index_fini(&file->index);
	pthread_mutex_destroy(&file->lock);
	free(file);
}

static void leave_recent(struct cold *c, struct cold_file *file)
{
	if (!list_is_linked(&file->node))
		return;
	list_remove(&file->node);
	c->recent_count--;
}

/* Out of the table; freed now or by its last user. */
static void file_forget(struct cold *c, struct cold_file *file)
{
	HASH_DELETE(hh, c->files, file);
	leave_recent(c, file);
	file->is_forgotten = true;
	if (file->users == 0)
		file_free(file);
}

void cold_free(struct cold *c)
{
	struct cold_file *file, *after;

	HASH_ITER (hh, c->files, file, after)
		file_forget(c, file);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static struct cold_key key_of(const struct segment_home *h, const struct segment *s)
{
	return (struct cold_key){*h->topic, s->base_offset, s->generation, h->partition};
}

static struct cold_file *file_find(struct cold *c, const struct segment_home *h,
                                   const struct segment *s)
{
	struct cold_key key = key_of(h, s);
	struct cold_file *file;

	HASH_FIND(hh, c->files, &key, sizeof(key), file);
	return file;
}

static struct cold_file *file_new(struct cold *c, const struct segment_home *h,
                                  const struct segment *s)
{
	struct cold_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->key = key_of(h, s);
	HASH_ADD(hh, c->files, key, sizeof(file->key), file);
	if (!hash_took(&file->hh)) {
		free(file);
		return NULL;
	}
	pthread_mutex_init(&file->lock, NULL);
	segment_index_init(&file->index, s->base_offset, SEGMENT_HEADER_BYTES);
	return file;
}

/* The one not used for longest that nobody uses now. */
static struct cold_file *find_idle(struct cold *c)
{
	LIST_EACH (node, &c->recent) {
		struct cold_file *file = LIST_ENTRY(node, struct cold_file, node);

		if (file->users == 0)
			return file;
	}
	return NULL;
}

/* Close those that are too many, but none that is used: readers may hold more for a while. */
static void evict(struct cold *c)
{
	while (c->recent_count > c->files_max) {
		struct cold_file *file = find_idle(c);

		if (!file)
			return;
		if (!file->is_kept) {
			file_forget(c, file);
			continue;
		}
		leave_recent(c, file);
		file_close(file);
	}
}

struct cold_file *cold_file_get(struct cold *c, const struct cold_source *s)
{
	struct cold_file *file;

	pthread_mutex_lock(&c->lock);
	file = file_find(c, &s->home, &s->segment);
	if (!file)
		file = file_new(c, &s->home, &s->segment);
	if (file) {
		leave_recent(c, file);
		list_append(&c->recent, &file->node);
		c->recent_count++;
		file->users++;
		evict(c);
	}
	pthread_mutex_unlock(&c->lock);
	return file;
}

void cold_file_put(struct cold *c, struct cold_file *file)
{
	pthread_mutex_lock(&c->lock);
	file->users--;
	if (file->users == 0 && file->is_forgotten)
		file_free(file);
	else if (file->users == 0 && !file->is_kept && !list_is_linked(&file->node))
		file_forget(c, file);
	evict(c);
	pthread_mutex_unlock(&c->lock);
}

void cold_forget(struct cold *c, const struct segment_home *h, const struct segment *s)
{
	struct cold_file *file;

	pthread_mutex_lock(&c->lock);
	file = file_find(c, h, s);
	if (file)
		file_forget(c, file);
	pthread_mutex_unlock(&c->lock);
}

void cold_forget_topic(struct cold *c, const struct uuid *topic)
{
	struct cold_file *file, *after;

	pthread_mutex_lock(&c->lock);
	HASH_ITER (hh, c->files, file, after)
		if (uuid_eq(&file->key.topic, topic))
			file_forget(c, file);
	pthread_mutex_unlock(&c->lock);
}

/* --- one file --------------------------------------------------------------------------------- */

enum err cold_file_open(struct cold_file *file, const struct cold_source *s, struct fault *f)
{
	struct segment segment = s->segment;
	struct fault unused;
	int64_t size;
	enum err err;

	if (file->disk)
		return OK;
	err = segment_open(&s->home, &segment, &file->fd, &size, f);
	if (err && f->os_errno == ENOENT)
		f->code = err = ERR_CORRUPT;
	if (err)
		return err;
	file->disk = s->home.disk;
	file->leader_epoch = segment.leader_epoch;
	if (s->finished && !file->has_index_file)
		file->has_index_file =
			!segment_index_read(&s->home, &s->segment, &file->index, &unused);
	return OK;
}

void cold_file_keep_index(struct cold_file *file, const struct cold_source *s)
{
	struct fault unused;

	if (file->has_index_file || file->index.next_offset != s->segment.end_offset)
		return;
	(void)!segment_index_write(&s->home, &s->segment, &file->index, &unused);
	file->has_index_file = true;
}

/* --- what checkpoints know -------------------------------------------------------------------- */

void cold_note(struct cold *c, const struct cold_source *s, const struct segment_index *run)
{
	struct cold_file *file;

	pthread_mutex_lock(&c->lock);
	file = file_find(c, &s->home, &s->segment);
	if (!file && run->count > 0 && run->marks[0].base_offset == s->segment.base_offset)
		file = file_new(c, &s->home, &s->segment);
	if (file) {
		file->is_kept = !s->finished;
		file->users++;
	}
	pthread_mutex_unlock(&c->lock);
	if (!file)
		return;
	pthread_mutex_lock(&file->lock);
	segment_index_join(&file->index, run);
	if (s->finished)
		cold_file_keep_index(file, s);
	pthread_mutex_unlock(&file->lock);
	cold_file_put(c, file);
}
