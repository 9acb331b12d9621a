#include "store/chunklog/unpublished.h"

#include "base/check.h"
#include "io/disk.h"
#include "store/chunklog/cold.h"
#include "store/chunklog/segment.h"
#include "store/datadir.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static struct segment_name name_of(const struct segment_home *h, const struct segment *s)
{
	return (struct segment_name){*h->topic, h->partition, s->generation, s->base_offset};
}

static struct segment segment_of(const struct segment_name *name)
{
	return (struct segment){.base_offset = name->base_offset, .generation = name->generation};
}

static bool names_equal(const struct segment_name *a, const struct segment_name *b)
{
	return a->base_offset == b->base_offset && a->generation == b->generation &&
	       a->partition == b->partition && uuid_eq(&a->topic, &b->topic);
}

static struct segment_home home_of(const struct segment_name *name, struct disk *disk,
                                   const struct datadir *dir)
{
	return (struct segment_home){
		.disk = disk,
		.root = dir->path,
		.store_id = &dir->id,
		.topic = &name->topic,
		.partition = name->partition,
	};
}

bool unpublished_is_empty(const struct unpublished *u)
{
	return !u->changed && u->written_count == 0 && !u->is_many && u->outdated_count == 0;
}

/* --- what was written ------------------------------------------------------------------------- */

static void close_written(struct unpublished *u, struct disk *disk)
{
	while (u->written_count > 0)
		disk->ops->close(disk, u->written[--u->written_count].fd);
}

static struct written_file *find_written(struct unpublished *u, const struct segment_name *name)
{
	for (unsigned i = 0; i < u->written_count; i++)
		if (names_equal(&u->written[i].name, name))
			return &u->written[i];
	return NULL;
}

/* Of two descriptors of a file the first has heard of all errors since. Is it new, what had its
 * name before was removed. */
static void take_file(struct unpublished *u, const struct written_file *file, struct disk *disk)
{
	struct written_file *held = find_written(u, &file->name);

	if (held && file->is_new) {
		disk->ops->close(disk, held->fd);
		*held = *file;
		return;
	}
	if (u->is_many || held) {
		disk->ops->close(disk, file->fd);
		return;
	}
	u->written[u->written_count++] = *file;
	if (u->written_count < UNPUBLISHED_FILES_MAX)
		return;
	u->is_many = true;
	close_written(u, disk);
}

void unpublished_add(struct unpublished *u, const struct segment_home *h, const struct segment *s,
                     int fd, bool is_new)
{
	const struct written_file file = {name_of(h, s), fd, is_new};

	take_file(u, &file, h->disk);
}

/* Room for more. False: there is no memory; their files stay until the next start, which removes
 * what no manifest has. */
static bool outdate_more(struct unpublished *u, uint32_t count)
{
	struct segment_name *grown =
		reallocarray(u->outdated, u->outdated_count + count, sizeof(*u->outdated));

	if (grown)
		u->outdated = grown;
	return grown != NULL;
}

void unpublished_outdate(struct unpublished *u, const struct segment_home *h,
                         const struct segment *s)
{
	if (outdate_more(u, 1))
		u->outdated[u->outdated_count++] = name_of(h, s);
}

void unpublished_move(struct unpublished *into, struct unpublished *from, struct disk *disk)
{
	into->changed |= from->changed;
	into->bytes += from->bytes;
	if (from->is_many) {
		into->is_many = true;
		close_written(into, disk);
	}
	for (unsigned i = 0; i < from->written_count; i++)
		take_file(into, &from->written[i], disk);
	if (from->outdated_count > 0 && outdate_more(into, from->outdated_count)) {
		memcpy(into->outdated + into->outdated_count, from->outdated,
		       from->outdated_count * sizeof(*from->outdated));
		into->outdated_count += from->outdated_count;
	}
	free(from->outdated);
	*from = (struct unpublished){0};
}

/* --- flushing --------------------------------------------------------------------------------- */

/* OK when it is gone with its topic, whose files need not last. */
static enum err unless_gone(enum err err, const struct fault *f)
{
	return f->os_errno == ENOENT ? OK : err;
}

static enum err flush_names(const struct written_file *file, struct disk *disk,
                            const struct datadir *dir, struct fault *f)
{
	struct segment_home home = home_of(&file->name, disk, dir);
	enum err err = segment_sync_dir(&home, f);

	err = err ? unless_gone(err, f) : OK;
	if (!err)
		err = segment_sync_topic_dir(&home, f);
	return err ? unless_gone(err, f) : OK;
}

static enum err flush_file(const struct written_file *file, struct disk *disk,
                           const struct datadir *dir, struct fault *f)
{
	struct segment_home home = home_of(&file->name, disk, dir);
	struct segment segment = segment_of(&file->name);
	char path[SEGMENT_PATH_BYTES];
	enum err err;

	segment_path(&home, &segment, path);
	err = disk_sync(disk, file->fd, path, f);
	return err || !file->is_new ? err : flush_names(file, disk, dir, f);
}

static enum err flush_all(struct unpublished *u, struct disk *disk, const struct datadir *dir,
                          struct fault *f)
{
	char topics[DATADIR_FILE_BYTES_MAX];
	bool has_new = false;
	enum err err = OK;

	snprintf(topics, sizeof(topics), "%s/topics", dir->path);
	if (u->is_many)
		return disk_sync_all(disk, dir->lock_fd, topics, f);
	for (unsigned i = 0; i < u->written_count && !err; i++) {
		err = flush_file(&u->written[i], disk, dir, f);
		has_new |= u->written[i].is_new;
	}
	return err || !has_new ? err : disk_sync_dir(disk, topics, f);
}

enum err unpublished_flush(struct unpublished *u, struct disk *disk, const struct datadir *dir,
                           struct fault *f)
{
	enum err err = flush_all(u, disk, dir, f);

	if (err &&
	    (f->os_errno == EMFILE || f->os_errno == ENFILE)) /* a directory was not opened */
		return f->code = ERR_BUSY;
	close_written(u, disk);
	u->is_many = false;
	return err;
}

/* --- removing --------------------------------------------------------------------------------- */

enum err unpublished_remove(struct unpublished *u, struct disk *disk, const struct datadir *dir,
                            struct cold *cold, struct fault *f)
{
	enum err first = OK;

	for (uint32_t i = 0; i < u->outdated_count; i++) {
		const struct segment_name *name = &u->outdated[i];
		struct segment_home home = home_of(name, disk, dir);
		struct segment segment = segment_of(name);
		struct fault other;
		enum err err = segment_remove(&home, &segment, first ? &other : f);

		if (cold)
			cold_forget(cold, &home, &segment);
		first = first ? first : err;
	}
	u->outdated_count = 0;
	return first;
}

void unpublished_fini(struct unpublished *u, struct disk *disk)
{
	close_written(u, disk);
	free(u->outdated);
	*u = (struct unpublished){0};
}
