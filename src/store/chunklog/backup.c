#include "store/chunklog/backup.h"

#include "base/buf.h"
#include "io/log.h"
#include "store/answers.h"
#include "store/backup_dir.h"
#include "store/chunklog/chunklog.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	CATALOG_BYTES_MAX = 64 << 20,
	EPOCHS_AHEAD = 1000, /* unclean starts of the source before an epoch could be given twice */
};

struct backup {
	struct chunklog *log;
	struct store_backup_op *op;
	struct work work;
	struct task refuse;
	struct store_backup *out; /* owned: for the caller, when it is made */
	struct buf manifest;
	struct buf catalog;
	uint64_t sequence; /* S of the checkpoint */
	struct store_backup made;
	struct now began;
};

/* --- one operation ---------------------------------------------------------------------------- */

static struct backup *backup_new(struct store_backup_op *o)
{
	struct backup *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->out = calloc(1, sizeof(*b->out));
	if (!b->out) {
		free(b);
		return NULL;
	}
	b->log = chunklog_of(o->store);
	b->op = o;
	b->manifest = BUF_INIT(MANIFEST_BYTES_MAX);
	b->catalog = BUF_INIT(CATALOG_BYTES_MAX);
	b->began = loop_now(b->log->shards[0].loop);
	b->log->operations++;
	return b;
}

static void finish(struct backup *b)
{
	struct store_backup_op *o = b->op;
	struct chunklog *log = b->log;

	if (log->backup == b)
		log->backup = NULL;
	log->operations--;
	o->took_ms = (loop_now(log->shards[0].loop).mono_us - b->began.mono_us) / 1000;
	buf_fini(&b->manifest);
	buf_fini(&b->catalog);
	free(b->out);
	free(b);
	o->done(o);
}

static void refuse(struct task *t)
{
	finish(CONTAINER_OF(t, struct backup, refuse));
}

static void worked(struct work *w)
{
	finish(CONTAINER_OF(w, struct backup, work));
}

static void on_worker(struct backup *b, void (*run)(struct work *w), void (*done)(struct work *w))
{
	b->work = (struct work){.run = run, .done = done};
	loop_work(b->log->shards[0].loop, &b->work);
}

/* What a step on a worker found. */
static void take(struct backup *b, enum err err, const struct fault *f)
{
	if (err)
		b->op->fault = *f;
}

/* --- list and remove -------------------------------------------------------------------------- */

static void list(struct work *w)
{
	struct backup *b = CONTAINER_OF(w, struct backup, work);
	struct store_backup_op *o = b->op;
	struct fault f;

	take(b, backup_dir_list(b->log->config.disk, o->root, &o->backups, &o->count, &f), &f);
}

static void remove_backup(struct work *w)
{
	struct backup *b = CONTAINER_OF(w, struct backup, work);
	struct fault f;

	take(b, backup_dir_remove(b->log->config.disk, b->op->root, b->op->name, &f), &f);
}

/* --- make ------------------------------------------------------------------------------------- */

static void say_made(const struct backup *b)
{
	const struct store_backup_op *o = b->op;
	struct log *g = b->log->config.log;
	char text[320];

	if (o->fault.code)
		log_line(g, LOG_WARN, "backup", "%s: not made: %s", o->name,
		         fault_text(&o->fault, text, sizeof(text)));
	else
		log_line(g, LOG_INFO, "backup", "%s/%s: %lld bytes, through frame %llu", o->root,
		         o->name, (long long)b->made.bytes, (unsigned long long)b->sequence);
}

static void made(struct work *w)
{
	struct backup *b = CONTAINER_OF(w, struct backup, work);
	struct store_backup_op *o = b->op;

	if (!o->fault.code) {
		*b->out = b->made;
		o->backups = b->out;
		o->count = 1;
		b->out = NULL;
	}
	say_made(b);
	checkpoint_backed_up(b->log);
	finish(b);
}

static void make(struct work *w)
{
	struct backup *b = CONTAINER_OF(w, struct backup, work);
	const struct chunklog *log = b->log;
	const struct backup_source source = {
		.config = &log->config,
		.store_id = &log->dir.id,
		.engine = log->base.ops->name,
		.manifest = buf_slice(&b->manifest),
		.sequence = b->sequence,
		.catalog = buf_slice(&b->catalog),
	};
	struct fault f;

	take(b, backup_dir_make(&source, b->op->root, &b->made, &f), &f);
}

void backup_capture(struct backup *b, uint64_t sequence)
{
	struct chunklog *log = b->log;
	const struct manifest m = {
		.clean = true,
		.checkpointed = sequence,
		.leader_epoch = log->leader_epoch + EPOCHS_AHEAD,
	};

	b->sequence = sequence;
	checkpoint_encode_manifest(log, &m, &b->manifest);
	catalog_copy(log->catalog, &b->catalog);
	b->made.topic_count = (int64_t)catalog_count(log->catalog, CATALOG_LIVE);
	b->made.created_at_ms = loop_now(log->shards[0].loop).wall_ms;
}

void backup_go_on(struct backup *b, const struct fault *fault)
{
	b->op->fault = *fault;
	if (!fault->code && (b->manifest.failed || b->catalog.failed))
		fault_set(&b->op->fault, buf_err(b->manifest.failed ? &b->manifest : &b->catalog),
		          0, "a manifest or catalog");
	if (b->op->fault.code)
		made(&b->work);
	else
		on_worker(b, make, made);
}

static void prepare(struct work *w)
{
	struct backup *b = CONTAINER_OF(w, struct backup, work);
	struct fault f;

	take(b, backup_dir_prepare(b->log->config.disk, b->op->root, b->op->name, &f), &f);
}

static void prepared(struct work *w)
{
	struct backup *b = CONTAINER_OF(w, struct backup, work);

	if (b->op->fault.code)
		finish(b);
	else
		checkpoint_ask_backup(b->log, b);
}

/* --- all of them ------------------------------------------------------------------------------ */

static enum err check(const struct backup *b)
{
	struct store_backup_op *o = b->op;
	enum err err = backup_name_check(o->root, o->name, &o->fault);

	if (err || !b->log->backup)
		return err;
	return fault_set(&o->fault, ERR_BACKUP_BUSY, 0, "'%s'", b->log->backup->op->name);
}

void chunklog_backup(struct store_backup_op *o)
{
	struct chunklog *log = chunklog_of(o->store);
	struct backup *b = backup_new(o);

	o->backups = NULL;
	o->count = 0;
	o->root = log->backups_root;
	o->took_ms = 0;
	o->fault = (struct fault){0};
	if (!b) {
		fault_set(&o->fault, ERR_NO_MEMORY, 0, "backup");
		store_backup_answer(o, log->shards[0].loop);
		return;
	}
	if (o->verb == BACKUP_LIST) {
		on_worker(b, list, worked);
		return;
	}
	if (check(b)) {
		b->refuse.run = refuse;
		loop_defer(b->log->shards[0].loop, LOOP_WORK, &b->refuse);
		return;
	}
	b->log->backup = b;
	if (o->verb == BACKUP_REMOVE) {
		on_worker(b, remove_backup, worked);
		return;
	}
	snprintf(b->made.name, sizeof(b->made.name), "%s", o->name);
	on_worker(b, prepare, prepared);
}

void backup_tidy(struct chunklog *log)
{
	struct fault f;
	char text[320];

	if (backup_dir_tidy(log->config.disk, log->backups_root, &f))
		log_line(log->config.log, LOG_WARN, "backup", "left over: %s",
		         fault_text(&f, text, sizeof(text)));
}
