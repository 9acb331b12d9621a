/* Backups: the data directory as of one moment, as one of its own in `backups/<name>/`
 * (store/backup_dir.h), made while appends and reads go on.
 *
 *   copy    a worker sees whether the name is free, and has RocksDB make a database of its files
 *   copied  at home: then a copy of the catalog, so that it knows every topic that has rows there;
 *           those that are deleted meanwhile it must not forget (topics.c)
 *   make    a worker gives the copy a row of its own about the store, adds the rest, and names it
 *
 * The row begins a leader epoch far beyond those of the source: what both give out under the same
 * offsets is told apart by readers' cursors. */
#include "base/buf.h"
#include "io/disk.h"
#include "io/log.h"
#include "store/answers.h"
#include "store/backup_dir.h"
#include "store/rocksdb/engine.h"
#include "store/rocksdb/rocks.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	CATALOG_BYTES_MAX = 64 << 20,
	EPOCHS_AHEAD = 1000, /* unclean starts of the source before an epoch could be given twice */
};

struct rocks_backup {
	struct rocks *store;
	struct store_backup_op *op;
	struct work work;
	struct task refuse;
	struct buf catalog;
	struct store_backup *out; /* owned */
	struct store_backup made;
	struct now began;
};

/* --- one operation --------------------------------------------------------------------------- */

static struct loop *home(const struct rocks_backup *b)
{
	return b->store->shards[0].loop;
}

/* NULL: there is no memory. */
static struct rocks_backup *backup_new(struct store_backup_op *o)
{
	struct rocks_backup *b = calloc(1, sizeof(*b));

	if (b)
		b->out = calloc(1, sizeof(*b->out));
	if (!b || !b->out) {
		free(b);
		return NULL;
	}
	b->store = rocks_of(o->store);
	b->op = o;
	b->catalog = BUF_INIT(CATALOG_BYTES_MAX);
	b->began = loop_now(home(b));
	b->store->operations++;
	return b;
}

static void finish(struct rocks_backup *b)
{
	struct store_backup_op *o = b->op;

	if (b->store->backup == b)
		b->store->backup = NULL;
	b->store->operations--;
	o->took_ms = (loop_now(home(b)).mono_us - b->began.mono_us) / 1000;
	buf_fini(&b->catalog);
	free(b->out);
	free(b);
	o->done(o);
}

static void refuse(struct task *t)
{
	finish(CONTAINER_OF(t, struct rocks_backup, refuse));
}

static void worked(struct work *w)
{
	finish(CONTAINER_OF(w, struct rocks_backup, work));
}

static void on_worker(struct rocks_backup *b, void (*run)(struct work *w),
                      void (*done)(struct work *w))
{
	b->work = (struct work){.run = run, .done = done};
	loop_work(home(b), &b->work);
}

/* What a step on a worker found. */
static void take(struct rocks_backup *b, enum err err, const struct fault *f)
{
	if (err)
		b->op->fault = *f;
}

/* --- list and remove ------------------------------------------------------------------------- */

static void list(struct work *w)
{
	struct rocks_backup *b = CONTAINER_OF(w, struct rocks_backup, work);
	struct store_backup_op *o = b->op;
	struct fault f;

	take(b, backup_dir_list(b->store->config.disk, o->root, &o->backups, &o->count, &f), &f);
}

static void remove_backup(struct work *w)
{
	struct rocks_backup *b = CONTAINER_OF(w, struct rocks_backup, work);
	struct fault f;

	take(b, backup_dir_remove(b->store->config.disk, b->op->root, b->op->name, &f), &f);
}

/* --- filling the directory -------------------------------------------------------------------- */

struct counting {
	struct disk *disk;
	const char *dir;
	struct store_backup *out;
};

static int count_file(void *arg, const char *name)
{
	struct counting *c = arg;
	char path[DATADIR_FILE_BYTES_MAX];
	int64_t bytes;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", c->dir, name) >= (int)sizeof(path))
		return 0;
	fd = c->disk->ops->open(c->disk, path, O_RDONLY);
	if (fd < 0)
		return 0;
	bytes = c->disk->ops->size(c->disk, fd);
	c->disk->ops->close(c->disk, fd);
	c->out->bytes += bytes > 0 ? bytes : 0;
	c->out->file_count++;
	return 0;
}

static enum err write_row(const struct rocks *s, const char *path, struct fault *f)
{
	const struct row_store row = {
		.leader_epoch = s->leader_epoch + EPOCHS_AHEAD, .clean = true, .id = s->dir.id};
	struct database copy;
	enum err err = database_open(&copy, path, &s->dir.id, &s->config, f);

	if (err)
		return err;
	err = rocks_write_store_row(&copy, &row, f);
	database_close(&copy);
	return err;
}

static enum err fill(void *arg, const char *dir, struct store_backup *out, struct fault *f)
{
	const struct rocks *s = arg;
	char path[DATADIR_FILE_BYTES_MAX];
	struct counting c = {s->config.disk, path, out};
	enum err err;

	if (snprintf(path, sizeof(path), "%s/rocksdb", dir) >= (int)sizeof(path))
		return fault_set(f, ERR_BAD_PARAMETER, 0, "%s: its path is too long", out->name);
	err = write_row(s, path, f);
	if (!err)
		s->config.disk->ops->list(s->config.disk, path, count_file, &c);
	return err;
}

/* --- make ------------------------------------------------------------------------------------ */

static void say_made(const struct rocks_backup *b)
{
	const struct store_backup_op *o = b->op;
	struct log *g = b->store->config.log;
	char text[320];

	if (o->fault.code)
		log_line(g, LOG_WARN, "backup", "%s: not made: %s", o->name,
		         fault_text(&o->fault, text, sizeof(text)));
	else
		log_line(g, LOG_INFO, "backup", "%s/%s: %lld bytes", o->root, o->name,
		         (long long)b->made.bytes);
}

static void made(struct work *w)
{
	struct rocks_backup *b = CONTAINER_OF(w, struct rocks_backup, work);
	struct store_backup_op *o = b->op;

	if (!o->fault.code) {
		*b->out = b->made;
		o->backups = b->out;
		o->count = 1;
		b->out = NULL;
	}
	say_made(b);
	finish(b);
}

static void make(struct work *w)
{
	struct rocks_backup *b = CONTAINER_OF(w, struct rocks_backup, work);
	struct rocks *s = b->store;
	const struct backup_source source = {
		.config = &s->config,
		.store_id = &s->dir.id,
		.engine = store_rocksdb.name,
		.catalog = buf_slice(&b->catalog),
		.fill = fill,
		.arg = s,
	};
	struct fault f;

	take(b, backup_dir_make(&source, b->op->root, &b->made, &f), &f);
}

static void copied(struct work *w)
{
	struct rocks_backup *b = CONTAINER_OF(w, struct rocks_backup, work);
	struct rocks *s = b->store;

	if (!b->op->fault.code) {
		catalog_copy(s->catalog, &b->catalog);
		b->made.topic_count = (int64_t)catalog_count(s->catalog, CATALOG_LIVE);
		if (b->catalog.failed)
			fault_set(&b->op->fault, buf_err(&b->catalog), 0, "a catalog");
	}
	if (b->op->fault.code)
		made(w);
	else
		on_worker(b, make, made);
}

static void copy(struct work *w)
{
	struct rocks_backup *b = CONTAINER_OF(w, struct rocks_backup, work);
	const struct rocks *s = b->store;
	struct disk *disk = s->config.disk;
	char dir[DATADIR_FILE_BYTES_MAX], path[DATADIR_FILE_BYTES_MAX + 8];
	struct fault f, unused;
	enum err err = backup_dir_prepare(disk, b->op->root, b->op->name, &f);

	backup_dir_path(b->op->root, b->op->name, dir);
	if (!err)
		err = disk_make_dir(disk, dir, &f);
	snprintf(path, sizeof(path), "%s/rocksdb", dir);
	if (!err)
		err = database_copy(&s->database, path, &f);
	if (err) /* what cannot be removed goes with the next one */
		(void)!backup_dir_tidy(disk, b->op->root, &unused);
	take(b, err, &f);
}

/* --- all of them ----------------------------------------------------------------------------- */

static enum err check(const struct rocks_backup *b)
{
	struct store_backup_op *o = b->op;
	enum err err = backup_name_check(o->root, o->name, &o->fault);

	if (err || !b->store->backup)
		return err;
	return fault_set(&o->fault, ERR_BACKUP_BUSY, 0, "'%s'", b->store->backup->op->name);
}

void rocks_backup(struct store_backup_op *o)
{
	struct rocks *s = rocks_of(o->store);
	struct rocks_backup *b = backup_new(o);

	o->backups = NULL;
	o->count = 0;
	o->root = s->backups_root;
	o->took_ms = 0;
	o->fault = (struct fault){0};
	if (!b) {
		fault_set(&o->fault, ERR_NO_MEMORY, 0, "backup");
		store_backup_answer(o, s->shards[0].loop);
		return;
	}
	if (o->verb == BACKUP_LIST) {
		on_worker(b, list, worked);
		return;
	}
	if (check(b)) {
		b->refuse.run = refuse;
		loop_defer(home(b), LOOP_WORK, &b->refuse);
		return;
	}
	b->store->backup = b;
	if (o->verb == BACKUP_REMOVE) {
		on_worker(b, remove_backup, worked);
		return;
	}
	snprintf(b->made.name, sizeof(b->made.name), "%s", o->name);
	b->made.created_at_ms = b->began.wall_ms;
	on_worker(b, copy, copied);
}

void rocks_backup_tidy(const struct rocks *s)
{
	struct fault f;
	char text[320];

	if (backup_dir_tidy(s->config.disk, s->backups_root, &f))
		log_line(s->config.log, LOG_WARN, "backup", "left over: %s",
		         fault_text(&f, text, sizeof(text)));
}
