/* Recovery: what a start finds becomes topics in memory.
 *
 *   database   opened: RocksDB replays its WAL
 *   store row  which epoch, and whether the last run ended well
 *   catalog    which topics there are
 *   rows       of each partition the first and the last: all else is known from these two
 *   store row  written anew, no longer clean; after an unclean end with the next leader epoch
 *
 * Rows of a topic that the catalog neither knows nor deleted mean that the catalog lost something:
 * the start is refused, before anything is modified. */
#include "base/buf.h"
#include "base/endian.h"
#include "io/disk.h"
#include "io/log.h"
#include "store/rocksdb/engine.h"
#include "store/rocksdb/rocks.h"

#include <stdio.h>
#include <stdlib.h>

enum { META_BYTES_MAX = ROCKS_EPOCHS_MAX * ROW_EPOCH_BYTES };

struct recovery {
	struct rocks *store;
	struct row_store row;
	bool has_row;
	struct buf value; /* for rows of `meta` */
	struct fault *fault;
	enum err err;
};

/* --- the store's row ------------------------------------------------------------------------- */

enum err rocks_read_store_row(const struct database *d, const char *path, const struct uuid *id,
                              struct row_store *out, struct fault *f)
{
	struct buf value = BUF_INIT(META_BYTES_MAX);
	uint32_t version = 0;
	bool is_right = false;
	enum err err = database_get(d, ROW_STORE_KEY, &value, f);

	if (!err)
		is_right = row_store_decode(buf_slice(&value), out, &version);
	buf_fini(&value);
	if (err)
		return err;
	if (!is_right && version > ROW_VERSION)
		return fault_set(f, ERR_DIR_NEWER, 0,
		                 "%s has rows of version %u, this program knows %d; use a newer "
		                 "bourn",
		                 path, version, ROW_VERSION);
	if (!is_right)
		return fault_set(f, ERR_CORRUPT, 0, "%s: its row about the whole store", path);
	if (!uuid_eq(&out->id, id))
		return fault_set(f, ERR_DIR_FOREIGN, 0,
		                 "%s belongs to another data directory; restore the right one",
		                 path);
	return OK;
}

static enum err read_store_row(struct recovery *r, struct fault *f)
{
	const struct rocks *s = r->store;
	enum err err = rocks_read_store_row(&s->database, s->path, &s->dir.id, &r->row, f);

	r->has_row = !err;
	return err == ERR_NOT_FOUND ? OK : err;
}

enum err rocks_write_store_row(const struct database *d, const struct row_store *row,
                               struct fault *f)
{
	uint8_t value[ROW_STORE_BYTES];

	row_store_encode(row, value);
	return database_put(d, ROW_STORE_KEY, slice_of(value, sizeof(value)), f);
}

static enum err write_store_row(struct rocks *s, bool clean, struct fault *f)
{
	const struct row_store row = {
		.leader_epoch = s->leader_epoch, .clean = clean, .id = s->dir.id};

	return rocks_write_store_row(&s->database, &row, f);
}

/* --- topics ---------------------------------------------------------------------------------- */

static void adopt_topic(void *arg, const struct topic_spec *spec)
{
	struct recovery *r = arg;
	struct rocks *s = r->store;
	struct rocks_topic *t;

	if (r->err)
		return;
	if (strcmp(spec->engine, store_rocksdb.name) != 0) {
		r->err = fault_set(r->fault, ERR_CONFIG, 0,
		                   "topic %s is kept by engine \"%s\", not \"rocksdb\"; dump it "
		                   "and load it into another storage.path",
		                   spec->name, spec->engine);
		return;
	}
	t = rocks_topic_new(s, spec);
	CHECK(t);
	for (unsigned i = 0; i < s->config.shard_count; i++)
		rocks_topic_attach(t, 0, &s->shards[i]);
}

static enum err open_catalog(struct recovery *r, struct fault *f)
{
	struct rocks *s = r->store;
	char dir[DATADIR_FILE_BYTES_MAX];
	const struct catalog_config config = {
		.dir = dir,
		.store_id = s->dir.id,
		.disk = s->config.disk,
		.clock = s->config.clock,
		.entropy = s->config.entropy,
		.log = s->config.log,
		.loop = s->shards[0].loop,
	};
	enum err err;

	snprintf(dir, sizeof(dir), "%s/catalog", s->dir.path);
	err = catalog_open(&config, &s->catalog, f);
	if (err)
		return err;
	r->fault = f;
	catalog_each(s->catalog, CATALOG_LIVE, adopt_topic, r);
	return r->err;
}

/* --- does the catalog know all of them? ------------------------------------------------------- */

static enum err check_topic(const struct rocks *s, const struct uuid *topic, struct fault *f)
{
	char text[UUID_TEXT_LEN + 1];

	if (catalog_state(s->catalog, topic) != CATALOG_UNKNOWN)
		return OK;
	return fault_set(f, ERR_CORRUPT, 0,
	                 "%s/catalog: it does not know %s, which is in rocksdb/; restore catalog/ "
	                 "from a backup",
	                 s->dir.path, uuid_format(topic, text));
}

/* Damaged rows are their partitions' business, which are looked at next. */
static enum err leave_unchecked(const struct rocks *s, const struct fault *why)
{
	char said[320];

	log_line(s->config.log, LOG_WARN, "store",
	         "whether the catalog knows all topics cannot be told: %s",
	         fault_text(why, said, sizeof(said)));
	return OK;
}

/* From topic to topic: one seek each. */
static enum err check_topics(const struct rocks *s, struct fault *f)
{
	const struct database *d = &s->database;
	rocksdb_iterator_t *it = d->lib.create_iterator(d->db, d->reading);
	struct row_topic_range next = {.len = 0};
	char *text = NULL;
	enum err err = OK;

	for (;;) {
		struct uuid topic;
		const char *key;
		size_t len;

		d->lib.iter_seek(it, (const char *)next.to, next.len);
		if (!d->lib.iter_valid(it))
			break;
		key = d->lib.iter_key(it, &len);
		if (!row_key_topic(slice_of(key, len), &topic)) {
			err = fault_set(f, ERR_CORRUPT, 0, "%s: a key of %zu bytes", s->path, len);
			break;
		}
		err = check_topic(s, &topic, f);
		if (err)
			break;
		next = row_topic_range(&topic);
	}
	if (!err)
		d->lib.iter_get_error(it, &text);
	d->lib.iter_destroy(it);
	if (err)
		return err;
	err = database_check(d, text, "rocksdb read", f);
	return err == ERR_CORRUPT ? leave_unchecked(s, f) : err;
}

/* --- a partition ----------------------------------------------------------------------------- */

static enum err load_meta(struct recovery *r, struct rocks_partition *p, enum row_kind kind,
                          struct fault *f)
{
	struct row_meta_key key = row_meta_key(&p->home, kind);
	enum err err =
		database_get(&r->store->database, slice_of(key.bytes, key.len), &r->value, f);

	if (err == ERR_NOT_FOUND) {
		buf_clear(&r->value);
		err = OK;
	}
	return err;
}

static enum err load_epochs(struct recovery *r, struct rocks_partition *p, struct fault *f)
{
	enum err err = load_meta(r, p, ROW_EPOCHS, f);

	for (size_t at = 0; !err && at + ROW_EPOCH_BYTES <= r->value.len; at += ROW_EPOCH_BYTES) {
		const uint8_t *row = r->value.ptr + at;

		CHECK(rocks_partition_note_epoch(p, (int32_t)load_le32(row),
		                                 (int64_t)load_le64(row + 4)));
	}
	p->epochs_unsaved = false;
	return err;
}

static enum err load_log_start(struct recovery *r, struct rocks_partition *p, struct fault *f)
{
	enum err err = load_meta(r, p, ROW_LOG_START, f);

	if (!err && r->value.len == ROW_OFFSET_BYTES)
		p->base.state.log_start = (int64_t)load_le64(r->value.ptr);
	return err;
}

static enum err load_damage(struct recovery *r, struct rocks_partition *p, struct fault *f)
{
	int64_t from, to;
	enum err err = load_meta(r, p, ROW_DAMAGE, f);

	if (!err && row_range_decode(buf_slice(&r->value), &from, &to))
		rocks_partition_set_damage(p, from, to);
	return err;
}

/* Where nothing stands behind what was rewritten, no row has the total that the next one counts on
 * from. */
static enum err load_compacted(struct recovery *r, struct rocks_partition *p, struct fault *f)
{
	struct row_compacted *c = &p->compacted;
	enum err err = load_meta(r, p, ROW_COMPACTED, f);

	if (err || r->value.len == 0)
		return err;
	if (!row_compacted_decode(buf_slice(&r->value), c))
		return fault_set(f, ERR_CORRUPT, 0, "%s: its row about compaction of %s/%u",
		                 r->store->path, p->topic->name, p->base.index);
	if (p->first_row >= c->upto)
		c->gone = 0;
	else if (c->upto >= p->base.state.log_end && p->total_end < c->total)
		p->total_end = c->total;
	return OK;
}

/* The ages of what time marks tell of; what lies behind them counts as born when the run began. */
static enum err load_ages(struct recovery *r, struct rocks_partition *p, struct fault *f)
{
	const struct database *d = &r->store->database;
	rocksdb_iterator_t *it = d->lib.create_iterator_cf(d->db, d->reading, d->meta);
	struct row_meta_key from = row_mark_key(&p->home, p->base.state.log_start + 1);
	char *text = NULL;

	d->lib.iter_seek(it, (const char *)from.bytes, from.len);
	for (; d->lib.iter_valid(it); d->lib.iter_next(it)) {
		size_t key_len, value_len;
		const char *key = d->lib.iter_key(it, &key_len);
		const char *value = d->lib.iter_value(it, &value_len);
		int64_t first, time_ms, end;

		if (!row_mark_key_offset(slice_of(key, key_len), &p->home, &end) ||
		    !row_range_decode(slice_of(value, value_len), &first, &time_ms))
			break;
		age_note(&p->age, end, age_born(time_ms, r->store->began.wall_ms, INT64_MIN));
	}
	d->lib.iter_get_error(it, &text);
	d->lib.iter_destroy(it);
	age_note(&p->age, p->base.state.high_watermark, 0);
	return database_check(d, text, "rocksdb read", f);
}

/* The log begins with what cannot be read: a trim can pass that. What it holds is not counted. */
static enum err pass_damaged_front(struct rocks_partition *p, struct rows *rows,
                                   const struct fault *why)
{
	const struct partition_state *s = &p->base.state;
	int64_t to = rows_damage_end(rows->d, rows->home, s->log_start, s->log_end);
	struct fault unused;
	char text[320];

	p->first_row = s->log_start;
	if (to < s->log_end && !rows_seek(rows, to, &unused) && rows->found)
		p->total_start = rows_bytes_before(rows);
	rocks_partition_set_damage(p, s->log_start, to);
	log_line(p->shard->store->config.log, LOG_ERROR, "store", "%s: %s", s->fenced.where,
	         fault_text(why, text, sizeof(text)));
	return OK;
}

/* Where it ends, from its last row; where it begins, from the one that holds the log start. */
static enum err find_ends(struct rocks_partition *p, struct rows *rows, struct fault *f)
{
	struct partition_state *s = &p->base.state;
	enum err err = rows_last(rows, f);

	if (err || !rows->found) {
		s->log_end = s->log_start;
		p->first_row = s->log_start;
		return err;
	}
	s->log_end = rows->batch.last_offset + 1;
	p->total_end = rows->total;
	p->total_start = rows->total;
	p->first_row = s->log_end;
	if (s->log_start >= s->log_end) {
		s->log_end = s->log_start;
		return OK;
	}
	err = rows_seek(rows, s->log_start, f);
	if (err == ERR_CORRUPT)
		return pass_damaged_front(p, rows, f);
	if (!err && rows->found) {
		p->first_row = rows->batch.base_offset;
		p->total_start = rows_bytes_before(rows);
	}
	return err;
}

/* One whose ends cannot be read cannot be told how far it goes: nobody may write to it, not even
 * after a trim. */
static void fence_unread(struct rocks_partition *p, const struct fault *f)
{
	char text[160], why[192];

	snprintf(why, sizeof(why), "%.60s/%u: %s; delete the topic or restore a backup",
	         p->topic->name, p->base.index, fault_text(f, text, sizeof(text)));
	log_line(p->shard->store->config.log, LOG_ERROR, "store", "%s", why);
	p->damage_from = p->base.state.log_start;
	p->damage_to = INT64_MAX;
	rocks_partition_fence(p, why);
}

static enum err load_partition(struct recovery *r, struct rocks_partition *p, struct fault *f)
{
	struct partition_state *s = &p->base.state;
	struct rows rows;
	enum err err = load_log_start(r, p, f);

	if (!err)
		err = load_epochs(r, p, f);
	if (err)
		return err;
	rows_begin(&rows, &r->store->database, &p->home, false);
	err = find_ends(p, &rows, f);
	rows_end(&rows);
	if (err == ERR_CORRUPT)
		fence_unread(p, f);
	else if (err)
		return err;
	s->high_watermark = s->log_end;
	s->last_stable = s->log_end;
	err = load_compacted(r, p, f);
	rocks_partition_count_bytes(p);
	p->mark_from = s->log_end;
	p->mark_total = p->total_end;
	p->finished = s->log_end;
	p->finished_total = p->total_end;
	if (!err)
		err = load_damage(r, p, f);
	if (!err && s->log_end > s->log_start)
		err = load_ages(r, p, f);
	return err;
}

static enum err load_partitions(struct recovery *r, struct fault *f)
{
	struct rocks_topic *t, *after;

	HASH_ITER (hh, r->store->topics, t, after) {
		for (uint32_t i = 0; i < t->now->spec.partition_count; i++) {
			enum err err = load_partition(r, rocks_topic_partition(t, i), f);

			if (err)
				return err;
		}
	}
	return OK;
}

/* --- the new run ----------------------------------------------------------------------------- */

/* Cursors remember the epoch they were made in; where a crash may have cut the log a new one
 * begins. */
static void set_epoch(struct recovery *r)
{
	struct rocks *s = r->store;
	struct rocks_topic *t, *after;

	s->leader_epoch = r->has_row ? r->row.leader_epoch + !r->row.clean : 0;
	if (r->has_row && !r->row.clean)
		log_line(s->config.log, LOG_INFO, "store", "%s was not closed; epoch %d",
		         s->dir.path, s->leader_epoch);
	HASH_ITER (hh, s->topics, t, after)
		for (uint32_t i = 0; i < t->now->spec.partition_count; i++)
			rocks_topic_partition(t, i)->base.state.leader_epoch = s->leader_epoch;
}

/* A deletion that was not ended. */
static void delete_rows(void *arg, const struct topic_spec *spec)
{
	struct recovery *r = arg;
	const struct database *d = &r->store->database;
	rocksdb_writebatch_t *batch;
	char *text = NULL;

	if (r->err)
		return;
	batch = d->lib.writebatch_create();
	rocks_put_topic_deletion(&spec->uuid, d, batch);
	d->lib.write(d->db, d->syncing, batch, &text);
	d->lib.writebatch_destroy(batch);
	r->err = database_check(d, text, "rocksdb write", r->fault);
	if (!r->err)
		catalog_forget(r->store->catalog, &spec->uuid);
}

static enum err make_database(struct rocks *s, struct fault *f)
{
	enum err err = disk_make_dir(s->config.disk, s->path, f);

	if (!err)
		err = disk_sync_dir(s->config.disk, s->dir.path, f);
	return err ? err : database_open(&s->database, s->path, &s->dir.id, &s->config, f);
}

static enum err recover(struct recovery *r, struct fault *f)
{
	struct rocks *s = r->store;
	enum err err = make_database(s, f);

	if (!err)
		err = read_store_row(r, f);
	if (!err)
		err = open_catalog(r, f);
	if (!err)
		err = check_topics(s, f);
	if (!err)
		err = load_partitions(r, f);
	if (err)
		return err;
	set_epoch(r);
	catalog_each(s->catalog, CATALOG_DELETED, delete_rows, r);
	return r->err ? r->err : write_store_row(s, false, f);
}

enum err rocks_recover(struct rocks *s, struct fault *f)
{
	struct recovery r = {.store = s, .value = BUF_INIT(META_BYTES_MAX), .fault = f};
	enum err err = recover(&r, f);

	buf_fini(&r.value);
	return err;
}

enum err rocks_settle(struct rocks *s, struct fault *f)
{
	enum err err = database_flush(&s->database, f);

	return err ? err : write_store_row(s, true, f);
}
