/* A database is opened as a start does it, but for reading only: so what RocksDB finds wrong with
 * its lists, the sizes of its files and its WAL is what a start would be refused for. Then each
 * partition is walked from its log start to its end, and at last every block is read that is left,
 * of rows that were deleted or written over: RocksDB would meet it when it merges files, and
 * stop. */
#include "store/rocksdb/verify_rocksdb.h"

#include "base/endian.h"
#include "store/rocksdb/rocks.h"
#include "store/rocksdb/status.h"
#include "store/verify/verify_pass.h"

#include <stdio.h>

enum { ROW_BYTES_MAX = ROCKS_EPOCHS_MAX * ROW_EPOCH_BYTES };

struct pass {
	struct verify_pass *v;
	struct database d;
	char path[DATADIR_FILE_BYTES_MAX]; /* of the database */
	struct buf value;                  /* of a row of `meta` */
};

/* One partition's. */
struct walk {
	struct pass *pass;
	struct checked_partition *p;
	struct row_home home;
	int64_t next;  /* offset that is to come */
	int64_t total; /* of the row before; -1: there is none */
	int64_t end;   /* behind the last row; INT64_MAX: that cannot be read */
	bool damaged;
	struct fault stop; /* progress said so */
};

/* --- findings -------------------------------------------------------------------------------- */

/* The file that RocksDB's words name, or else the whole database. */
static void say(struct pass *x, struct verify_finding finding, const struct fault *why)
{
	char path[DATADIR_FILE_BYTES_MAX + 64], text[VERIFY_TEXT_BYTES];
	struct slice file;

	snprintf(path, sizeof(path), "%s", x->path);
	finding.is_damage = true;
	finding.at = -1;
	if (status_place(why->where, &file, &finding.at))
		snprintf(path, sizeof(path), "%s/%.*s", x->path,
		         (int)(file.len < 60 ? file.len : 60), (const char *)file.ptr);
	finding.file = path;
	verify_say(x->v, finding, "%s", fault_text(why, text, sizeof(text)));
	verify_plan_impossible(x->v,
	                       "a database of RocksDB cannot be cut; start the broker and purge "
	                       "what is damaged, or restore a backup");
}

static void say_unopened(struct pass *x, const struct fault *why)
{
	say(x,
	    (struct verify_finding){
		    .from = -1,
		    .remedy = "restore the directory from a backup; the broker does not start like "
			      "this"},
	    why);
}

static void say_lost(struct walk *w, int64_t from, int64_t to, const struct fault *why)
{
	char remedy[VERIFY_TEXT_BYTES];

	w->damaged = true;
	say(w->pass,
	    (struct verify_finding){.topic = w->p->topic->name,
	                            .partition = w->p->index,
	                            .from = from,
	                            .to = to == INT64_MAX ? from : to,
	                            .remedy = verify_remedy(w->p, to, remedy)},
	    why);
}

static void say_row(struct walk *w, const char *which)
{
	struct fault why;

	fault_set(&why, ERR_CORRUPT, 0, "its row about %s", which);
	say(w->pass,
	    (struct verify_finding){.topic = w->p->topic->name,
	                            .partition = w->p->index,
	                            .from = -1,
	                            .remedy = "restore the directory from a backup"},
	    &why);
}

/* --- what is known of a partition ------------------------------------------------------------ */

/* Into the pass's `value`: empty when there is none. */
static enum err load(struct walk *w, enum row_kind kind, struct fault *f)
{
	struct row_meta_key key = row_meta_key(&w->home, kind);
	enum err err = database_get(&w->pass->d, slice_of(key.bytes, key.len), &w->pass->value, f);

	if (err == ERR_NOT_FOUND)
		buf_clear(&w->pass->value);
	return err == ERR_NOT_FOUND ? OK : err;
}

static enum err load_log_start(struct walk *w, struct fault *f)
{
	enum err err = load(w, ROW_LOG_START, f);
	size_t len = w->pass->value.len;

	if (!err && len == ROW_OFFSET_BYTES)
		w->p->log_start = (int64_t)load_le64(w->pass->value.ptr);
	else if (!err && len > 0)
		say_row(w, "the log start");
	return err;
}

static enum err check_epochs(struct walk *w, struct fault *f)
{
	enum err err = load(w, ROW_EPOCHS, f);

	if (!err && w->pass->value.len % ROW_EPOCH_BYTES != 0)
		say_row(w, "epochs");
	return err;
}

static enum err check_compacted(struct walk *w, struct fault *f)
{
	struct row_compacted unused;
	enum err err = load(w, ROW_COMPACTED, f);

	if (!err && w->pass->value.len > 0 &&
	    !row_compacted_decode(buf_slice(&w->pass->value), &unused))
		say_row(w, "compaction");
	return err;
}

/* What a run met, and no longer is there to be met. */
static enum err check_known_damage(struct walk *w, struct fault *f)
{
	int64_t from, to;
	struct fault why;
	enum err err = load(w, ROW_DAMAGE, f);

	if (err || w->damaged || !row_range_decode(buf_slice(&w->pass->value), &from, &to) ||
	    to <= w->p->log_start)
		return err;
	fault_set(&why, ERR_CORRUPT, 0, "a reader found this lost, and the partition is fenced");
	say_lost(w, from, to, &why);
	return OK;
}

/* --- its rows -------------------------------------------------------------------------------- */

static void check_row(struct walk *w, const struct rows *r)
{
	struct fault why;

	if (r->batch.base_offset > w->next) {
		fault_set(&why, ERR_CORRUPT, 0, "no row has these offsets");
		say_lost(w, w->next, r->batch.base_offset, &why);
	} else if (w->total >= 0 && rows_bytes_before(r) < w->total) {
		fault_set(&why, ERR_CORRUPT, 0,
		          "its running total is less than that of the row before");
		say_lost(w, r->batch.base_offset, r->batch.last_offset + 1, &why);
	}
	w->next = r->batch.last_offset + 1;
	w->total = r->total;
	w->pass->v->totals->events += r->batch.record_count;
}

/* Behind what cannot be read; false: there is nothing. */
static bool pass_damage(struct walk *w, struct rows *r, const struct fault *why)
{
	int64_t from = r->bad_at > w->next ? r->bad_at : w->next, to = w->end;
	struct fault unused;

	if (w->end != INT64_MAX)
		to = rows_damage_end(&w->pass->d, &w->home, from, w->end);
	say_lost(w, from, to, why);
	w->next = to;
	w->total = -1;
	return to < w->end && !rows_seek(r, to, &unused) && r->found;
}

static void walk_rows(struct walk *w, struct rows *r)
{
	struct fault why;
	enum err err = rows_seek(r, w->next, &why);

	while (!w->stop.code) {
		if (err && !pass_damage(w, r, &why))
			return;
		if (!r->found)
			return;
		check_row(w, r);
		if (verify_progress(w->pass->v, (int64_t)r->batch.bytes.len, &w->stop))
			return;
		err = rows_next(r, &why);
	}
}

static void find_end(struct walk *w)
{
	struct fault unused;
	struct rows r;

	rows_begin(&r, &w->pass->d, &w->home, true);
	w->end = INT64_MAX;
	if (!rows_last(&r, &unused))
		w->end = r.found ? r.batch.last_offset + 1 : 0;
	rows_end(&r);
}

static enum err check_partition(struct pass *x, struct checked_partition *p, struct fault *f)
{
	struct walk w = {.pass = x,
	                 .p = p,
	                 .home = {.topic = p->topic->uuid, .partition = p->index},
	                 .total = -1};
	struct rows r;
	enum err err = load_log_start(&w, f);

	if (!err)
		err = check_epochs(&w, f);
	if (!err)
		err = check_compacted(&w, f);
	if (err)
		return err;
	w.next = p->log_start;
	find_end(&w);
	rows_begin(&r, &x->d, &w.home, true);
	walk_rows(&w, &r);
	rows_end(&r);
	if (w.stop.code) {
		*f = w.stop;
		return f->code;
	}
	return check_known_damage(&w, f);
}

/* A row of `meta` that cannot be read refuses the start. */
static enum err check_partitions(struct pass *x, struct fault *f)
{
	struct checked_topic *t, *after;

	HASH_ITER (hh, x->v->topics, t, after) {
		for (uint32_t i = 0; t->partitions && i < t->partition_count; i++) {
			enum err err = check_partition(x, &t->partitions[i], f);

			if (err == ERR_SHUTTING_DOWN)
				return err;
			if (err)
				say_unopened(x, f);
		}
	}
	return OK;
}

/* --- the whole ------------------------------------------------------------------------------- */

/* From topic to topic, one seek each: what the catalog does not know is said. */
static void check_strangers(struct pass *x)
{
	const struct library *lib = &x->d.lib;
	rocksdb_iterator_t *it = lib->create_iterator(x->d.db, x->d.reading);
	struct row_topic_range next = {.len = 0};

	for (;;) {
		struct uuid topic;
		const char *key;
		size_t len;

		lib->iter_seek(it, (const char *)next.to, next.len);
		if (!lib->iter_valid(it))
			break;
		key = lib->iter_key(it, &len);
		if (!row_key_topic(slice_of(key, len), &topic)) {
			struct fault why;

			fault_set(&why, ERR_CORRUPT, 0, "a key of %zu bytes", len);
			say_unopened(x, &why);
			break;
		}
		(void)verify_partition(x->v, &topic, 0, x->path, -1);
		next = row_topic_range(&topic);
	}
	lib->iter_destroy(it);
}

static bool goes_on(void *arg)
{
	struct pass *x = arg;

	return x->v->config->progress(x->v->config->arg, x->v->done_bytes, x->v->all_bytes);
}

/* Where rows were found damaged already it would be met again, and tell nothing new. */
static enum err check_files(struct pass *x, struct fault *f)
{
	enum err err;

	if (x->v->totals->damages > 0)
		return OK;
	err = database_check_files(&x->d, goes_on, x, f);
	if (!err || err == ERR_SHUTTING_DOWN)
		return err;
	say(x,
	    (struct verify_finding){
		    .from = -1,
		    .remedy = "dump all topics and load them into another directory, or restore a "
			      "backup: no event is lost, but RocksDB will stop when it meets this"},
	    f);
	return OK;
}

static enum err check_all(struct pass *x, struct fault *f)
{
	struct verify_pass *v = x->v;
	struct database_files files = database_files(&x->d);
	struct row_store row;
	enum err err = rocks_read_store_row(&x->d, x->path, &v->dir.id, &row, f);

	v->totals->segments = files.count;
	v->totals->segment_bytes = files.bytes;
	v->all_bytes = (int64_t)files.bytes;
	if (err == ERR_DIR_NEWER)
		return err;
	if (err && err != ERR_NOT_FOUND)
		say_unopened(x, f);
	check_strangers(x);
	err = check_partitions(x, f);
	return err ? err : check_files(x, f);
}

enum err verify_rocksdb_can(struct fault *f)
{
	struct library unused;

	return library_load(&unused, f);
}

enum err verify_rocksdb(struct verify_pass *v, struct fault *f)
{
	const struct store_config config = {
		.disk = v->config->disk, .clock = v->config->clock, .log = v->log};
	struct pass x = {.v = v, .value = BUF_INIT(ROW_BYTES_MAX)};
	struct fault why;
	enum err err;

	verify_path(v, "rocksdb", x.path);
	if (database_examine(&x.d, x.path, &v->dir.id, &config, &why)) {
		say_unopened(&x, &why);
		return OK;
	}
	err = check_all(&x, f);
	database_close(&x.d);
	buf_fini(&x.value);
	return err;
}
