#include "store/backup_dir.h"

#include "base/buf.h"
#include "io/disk.h"
#include "io/log.h"
#include "store/catalog.h"
#include "store/chunklog/manifest.h"
#include "store/datadir.h"
#include "store/wal.h"
#include "wire/timefmt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define TMP   ".tmp"
#define NOTE  "backup.txt"
#define TITLE "bourn backup; serve it as a data directory, or copy it to where one shall be"

enum {
	NOTE_BYTES_MAX = 1024,
	PATH_BYTES = SEGMENT_PATH_BYTES,
	WRITTEN_FILES = 4, /* bourn.dir, backup.txt, catalog/snapshot and its WAL file */
	LOG_FILES = 2,     /* manifest, WAL file */
};

/* --- names ------------------------------------------------------------------------------------ */

static bool is_tmp(const char *name)
{
	size_t len = strlen(name), suffix = strlen(TMP);

	return len >= suffix && strcmp(name + len - suffix, TMP) == 0;
}

enum err backup_name_check(const char *root, const char *name, struct fault *f)
{
	struct fault why;

	if (topic_name_check(slice_str(name), &why))
		return fault_set(f, ERR_BAD_PARAMETER, 0, "name of a backup: %s", why.where);
	if (is_tmp(name))
		return fault_set(f, ERR_BAD_PARAMETER, 0, "name of a backup: it ends in " TMP);
	if (strlen(root) + 1 + strlen(name) + strlen(TMP) >= DATADIR_PATH_BYTES_MAX)
		return fault_set(f, ERR_BAD_PARAMETER, 0,
		                 "name of a backup: its path would have more than %d bytes",
		                 DATADIR_PATH_BYTES_MAX - 1);
	return OK;
}

static void path_of(const char *dir, const char *name, const char *suffix, char into[PATH_BYTES])
{
	snprintf(into, PATH_BYTES, "%s/%s%s", dir, name, suffix);
}

void backup_dir_path(const char *root, const char *name, char into[DATADIR_FILE_BYTES_MAX])
{
	snprintf(into, DATADIR_FILE_BYTES_MAX, "%s/%s" TMP, root, name);
}

static enum err cannot_list(struct fault *f, int os_errno, const char *dir)
{
	return fault_set(f, os_errno == ENOMEM ? ERR_NO_MEMORY : ERR_IO, os_errno, "list %s", dir);
}

/* --- the note --------------------------------------------------------------------------------- */

static enum err note_write(struct disk *d, const char *dir, const struct store_backup *b,
                           struct fault *f)
{
	uint8_t memory[NOTE_BYTES_MAX];
	struct buf text = BUF_IN(memory);
	char time[TIME_TEXT_LEN + 1];

	buf_printf(&text, TITLE "\ncreated %s\nbytes %lld\nfiles %lld\ntopics %lld\n",
	           time_format(b->created_at_ms, time), (long long)b->bytes,
	           (long long)b->file_count, (long long)b->topic_count);
	CHECK(!text.failed);
	return disk_replace_file(d, dir, NOTE, buf_slice(&text), f);
}

/* The value of the line "<name> <value>" at the front of `*rest`, which goes on to the next one. */
static struct slice line_take(struct slice *rest, const char *name)
{
	struct slice line = slice_cut(rest, '\n');

	return slice_eq(slice_cut(&line, ' '), slice_str(name)) ? line : SLICE_NONE;
}

static bool number_take(struct slice *rest, const char *name, int64_t *out)
{
	struct slice value = line_take(rest, name);

	return value.ptr && slice_to_int64(value, out);
}

static bool note_decode(struct slice rest, struct store_backup *out)
{
	struct slice created;

	if (!slice_eq(slice_cut(&rest, '\n'), SLICE_LIT(TITLE)))
		return false;
	created = line_take(&rest, "created");
	return created.ptr && time_parse(created, &out->created_at_ms) &&
	       number_take(&rest, "bytes", &out->bytes) &&
	       number_take(&rest, "files", &out->file_count) &&
	       number_take(&rest, "topics", &out->topic_count);
}

static bool note_read(struct disk *d, const char *root, const char *name, struct store_backup *out)
{
	uint8_t memory[NOTE_BYTES_MAX];
	struct buf text = BUF_IN(memory);
	char path[PATH_BYTES];
	struct fault unused;

	path_of(root, name, "/" NOTE, path);
	snprintf(out->name, sizeof(out->name), "%s", name);
	return !disk_read_file(d, path, &text, &unused) && note_decode(buf_slice(&text), out);
}

/* --- tidying ---------------------------------------------------------------------------------- */

struct tidying {
	struct disk *disk;
	const char *root;
	struct fault fault;
};

static int tidy_one(void *arg, const char *name)
{
	struct tidying *t = arg;
	char path[PATH_BYTES];

	if (!is_tmp(name))
		return 0;
	path_of(t->root, name, "", path);
	return disk_remove_tree(t->disk, path, &t->fault) ? -ECANCELED : 0;
}

enum err backup_dir_tidy(struct disk *d, const char *root, struct fault *f)
{
	struct tidying t = {.disk = d, .root = root};
	int got = d->ops->list(d, root, tidy_one, &t);

	if (!t.fault.code && got < 0 && got != -ENOENT)
		cannot_list(&t.fault, -got, root);
	*f = t.fault;
	return f->code;
}

static int any_name(void *arg __attribute__((unused)), const char *name __attribute__((unused)))
{
	return -ECANCELED;
}

static bool exists(struct disk *d, const char *root, const char *name)
{
	char path[PATH_BYTES];

	path_of(root, name, "", path);
	return d->ops->list(d, path, any_name, NULL) != -ENOENT;
}

enum err backup_dir_prepare(struct disk *d, const char *root, const char *name, struct fault *f)
{
	enum err err = backup_dir_tidy(d, root, f);

	if (!err && exists(d, root, name))
		err = fault_set(f, ERR_BACKUP_EXISTS, 0, "'%s'", name);
	if (!err)
		err = disk_make_dir(d, root, f);
	return err;
}

/* Under another name first, so that what is left of it after a crash is none. */
enum err backup_dir_remove(struct disk *d, const char *root, const char *name, struct fault *f)
{
	struct store_backup found;
	char path[PATH_BYTES], tmp[PATH_BYTES];
	enum err err;

	if (!note_read(d, root, name, &found))
		return fault_set(f, ERR_BACKUP_UNKNOWN, 0, "'%s'", name);
	path_of(root, name, "", path);
	path_of(root, name, TMP, tmp);
	err = disk_remove_tree(d, tmp, f);
	if (!err)
		err = disk_rename(d, path, tmp, f);
	if (!err)
		err = disk_sync_dir(d, root, f);
	return err ? err : disk_remove_tree(d, tmp, f);
}

/* --- listing ---------------------------------------------------------------------------------- */

struct listing {
	struct disk *disk;
	const char *root;
	struct store_backup *list;
	size_t count;
	size_t cap;
};

static int list_one(void *arg, const char *name)
{
	struct listing *l = arg;
	size_t cap = l->cap ? 2 * l->cap : 16;
	struct store_backup *grown;

	if (is_tmp(name) || strlen(name) > TOPIC_NAME_BYTES_MAX)
		return 0;
	if (l->count == l->cap) {
		grown = reallocarray(l->list, cap, sizeof(*l->list));
		if (!grown)
			return -ENOMEM;
		l->list = grown;
		l->cap = cap;
	}
	if (note_read(l->disk, l->root, name, &l->list[l->count]))
		l->count++;
	return 0;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(((const struct store_backup *)a)->name,
	              ((const struct store_backup *)b)->name);
}

enum err backup_dir_list(struct disk *d, const char *root, struct store_backup **out, size_t *count,
                         struct fault *f)
{
	struct listing l = {.disk = d, .root = root};
	int got = d->ops->list(d, root, list_one, &l);

	if (got < 0 && got != -ENOENT) {
		free(l.list);
		return cannot_list(f, -got, root);
	}
	if (l.count > 1)
		qsort(l.list, l.count, sizeof(*l.list), compare_names);
	*out = l.list;
	*count = l.count;
	return OK;
}

/* --- making ----------------------------------------------------------------------------------- */

struct making {
	const struct backup_source *from;
	struct disk *disk;
	struct store_backup *out;
	char dir[DATADIR_FILE_BYTES_MAX]; /* <root>/<name>.tmp */
	struct uuid topic;                /* whose directory is there, or is synced */
};

static struct segment_home home_in(const struct making *m, const char *root,
                                   const struct uuid *topic, uint32_t partition)
{
	return (struct segment_home){.disk = m->disk,
	                             .root = root,
	                             .store_id = m->from->store_id,
	                             .topic = topic,
	                             .partition = partition};
}

static void topic_dir(const struct segment_home *h, char into[PATH_BYTES])
{
	segment_dir(h, into);
	*strrchr(into, '/') = '\0';
}

static enum err link_file(struct making *m, const char *from, const char *to, int64_t bytes,
                          struct fault *f)
{
	enum err err = disk_link(m->disk, from, to, bytes, f);

	if (!err)
		m->out->file_count++;
	return err;
}

/* An index is a hint: there may be none, and one that is being made anew may be copied in part. */
static enum err link_index(struct making *m, const struct segment_home *from,
                           const struct segment_home *to, const struct segment *s, struct fault *f)
{
	char from_path[PATH_BYTES], to_path[PATH_BYTES];
	enum err err;

	segment_index_path(from, s, from_path);
	segment_index_path(to, s, to_path);
	err = link_file(m, from_path, to_path, INT64_MAX, f);
	return err == ERR_NOT_FOUND ? OK : err;
}

static enum err link_segment(struct making *m, const struct segment_home *from,
                             const struct segment_home *to, const struct segment *s,
                             struct fault *f)
{
	char from_path[PATH_BYTES], to_path[PATH_BYTES];
	enum err err;

	segment_path(from, s, from_path);
	segment_path(to, s, to_path);
	err = link_file(m, from_path, to_path, s->bytes, f);
	if (err == ERR_NOT_FOUND)
		err = fault_set(f, ERR_CORRUPT, 0, "%s is missing; run bourn verify", from_path);
	m->out->bytes += s->bytes;
	return err ? err : link_index(m, from, to, s, f);
}

static enum err make_dirs(struct making *m, const struct segment_home *to, struct fault *f)
{
	char path[PATH_BYTES];
	enum err err = OK;

	if (!uuid_eq(&m->topic, to->topic)) {
		topic_dir(to, path);
		err = disk_make_dir(m->disk, path, f);
		m->topic = *to->topic;
	}
	segment_dir(to, path);
	return err ? err : disk_make_dir(m->disk, path, f);
}

static enum err link_partition(void *arg, const struct uuid *topic, uint32_t partition,
                               const struct saved *s, struct fault *f)
{
	struct making *m = arg;
	struct segment_home from = home_in(m, m->from->config->path, topic, partition);
	struct segment_home to = home_in(m, m->dir, topic, partition);
	enum err err = s->segment_count > 0 ? make_dirs(m, &to, f) : OK;

	for (uint32_t i = 0; i < s->segment_count && !err; i++)
		err = link_segment(m, &from, &to, &s->segments[i], f);
	return err;
}

static enum err sync_partition(void *arg, const struct uuid *topic, uint32_t partition,
                               const struct saved *s, struct fault *f)
{
	struct making *m = arg;
	struct segment_home to = home_in(m, m->dir, topic, partition);
	char path[PATH_BYTES];
	enum err err = OK;

	if (s->segment_count == 0)
		return OK;
	if (!uuid_eq(&m->topic, topic)) {
		topic_dir(&to, path);
		err = disk_sync_dir(m->disk, path, f);
		m->topic = *topic;
	}
	return err ? err : segment_sync_dir(&to, f);
}

/* All names first, then all flushes: the first of them makes a journal write nearly all there
 * is. */
static enum err make_topics(struct making *m, struct fault *f)
{
	manifest_partition_cb *const passes[] = {link_partition, sync_partition};
	char path[PATH_BYTES];
	struct manifest unused;
	enum err err;

	path_of(m->dir, "topics", "", path);
	err = disk_make_dir(m->disk, path, f);
	for (size_t i = 0; i < ARRAY_COUNT(passes) && !err; i++) {
		m->topic = (struct uuid){0};
		err = manifest_decode(m->from->manifest, m->from->store_id, &unused, passes[i], m,
		                      f);
	}
	return err ? err : disk_sync_dir(m->disk, path, f);
}

static enum err make_catalog(struct making *m, struct fault *f)
{
	const struct store_config *config = m->from->config;
	char dir[PATH_BYTES];
	const struct catalog_config catalog = {
		.dir = dir,
		.store_id = *m->from->store_id,
		.disk = m->disk,
		.clock = config->clock,
		.entropy = config->entropy,
		.log = config->log,
	};

	path_of(m->dir, "catalog", "", dir);
	m->out->bytes += (int64_t)m->from->catalog.len;
	return catalog_make(&catalog, m->from->catalog, f);
}

static enum err make_wal(struct making *m, struct fault *f)
{
	const struct store_config *config = m->from->config;
	char dir[PATH_BYTES];
	const struct wal_config wal = {
		.dir = dir,
		.kind = "data",
		.store_id = *m->from->store_id,
		.checkpointed = m->from->sequence,
		.disk = m->disk,
		.clock = config->clock,
		.entropy = config->entropy,
		.log = config->log,
	};

	path_of(m->dir, "wal", "", dir);
	return wal_make(&wal, f);
}

static enum err make_log(struct making *m, struct fault *f)
{
	enum err err = make_topics(m, f);

	if (!err)
		err = make_wal(m, f);
	if (!err)
		err = manifest_write(m->disk, m->dir, m->from->manifest, f);
	m->out->bytes += (int64_t)m->from->manifest.len;
	m->out->file_count += LOG_FILES;
	return err;
}

static enum err make_all(struct making *m, struct fault *f)
{
	const struct backup_source *from = m->from;
	enum err err = disk_make_dir(m->disk, m->dir, f);

	if (!err)
		err = from->fill ? from->fill(from->arg, m->dir, m->out, f) : make_log(m, f);
	if (!err)
		err = make_catalog(m, f);
	m->out->file_count += WRITTEN_FILES;
	if (!err)
		err = note_write(m->disk, m->dir, m->out, f);
	return err ? err : datadir_mark(m->dir, m->from->store_id, m->from->engine, m->disk, f);
}

static enum err name_it(struct making *m, const char *root, struct fault *f)
{
	char path[PATH_BYTES];
	enum err err;

	path_of(root, m->out->name, "", path);
	err = disk_rename(m->disk, m->dir, path, f);
	if (err)
		return err;
	err = disk_sync_dir(m->disk, root, f);
	if (!err)
		err = disk_sync_dir(m->disk, m->from->config->path, f);
	if (err)
		m->disk->ops->rename(m->disk, path, m->dir);
	return err;
}

enum err backup_dir_make(const struct backup_source *from, const char *root,
                         struct store_backup *out, struct fault *f)
{
	struct making m = {.from = from, .disk = from->config->disk, .out = out};
	struct fault why;
	char text[320];
	enum err err;

	backup_dir_path(root, out->name, m.dir);
	err = make_all(&m, f);
	if (!err)
		err = name_it(&m, root, f);
	if (err && disk_remove_tree(m.disk, m.dir, &why))
		log_line(from->config->log, LOG_WARN, "backup", "left for the next one: %s",
		         fault_text(&why, text, sizeof(text)));
	return err;
}
