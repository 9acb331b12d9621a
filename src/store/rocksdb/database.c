#include "store/rocksdb/database.h"

#include "io/log.h"
#include "io/memory.h"
#include "store/rocksdb/status.h"
#include "store/rocksdb/wal_mark.h"

enum {
	BLOCK_CACHE_BYTES = 64 << 20, /* the defaults of what may be configured */
	WRITE_BUFFER_BYTES = 64 << 20,
	BLOB_BYTES_MIN = 4 << 10,
	BLOCK_BYTES = 16 << 10,
	TABLE_FORMAT = 5,
	MEMTABLES_MAX = 3,
	META_WRITE_BUFFER_BYTES = 4 << 20,
	OPEN_FILES_MAX = 256,
	LOG_FILES_MAX = 2,
	LOG_LEVEL_NOTHING = 6, /* above all of its levels */
	BACKGROUND_JOBS = 2,
	READS_KEPT = 3,  /* blocks of memory: one is filled while others are sent */
	ASK_ROWS = 1024, /* … are read between two questions whether to go on */
};

/* As in storage.rocksdb.compression. */
static const int codecs[] = {
	rocksdb_no_compression,
	rocksdb_snappy_compression,
	rocksdb_lz4_compression,
	rocksdb_zstd_compression,
};

enum err database_check(const struct database *d, char *text, const char *step, struct fault *f)
{
	enum err err;

	if (!text)
		return OK;
	err = status_fault(f, step, text);
	d->lib.free(text);
	return err;
}

static size_t bytes_or(int64_t bytes, size_t otherwise)
{
	return bytes > 0 ? (size_t)bytes : otherwise;
}

/* --- options --------------------------------------------------------------------------------- */

/* Nothing goes to its own log, a file beside the others: when that cannot be written, as on a full
 * disk, Debian's build aborts the process (an assertion in WritableFileWriter). What matters comes
 * as the status of a call. */
static void silence(const struct library *lib, rocksdb_options_t *o)
{
	lib->options_set_info_log_level(o, LOG_LEVEL_NOTHING);
	lib->options_set_keep_log_file_num(o, LOG_FILES_MAX);
	lib->options_set_stats_dump_period_sec(o, 0);
	lib->options_set_stats_persist_period_sec(o, 0);
}

static void set_safety(const struct library *lib, rocksdb_options_t *o)
{
	lib->options_set_create_if_missing(o, 1);
	lib->options_set_create_missing_column_families(o, 1);
	lib->options_set_paranoid_checks(o, 1);
}

static void set_sizes(const struct database *d, rocksdb_options_t *o,
                      const struct store_config *config)
{
	const struct library *lib = &d->lib;
	const struct store_rocksdb_config *c = &config->rocksdb;
	int codec = codecs[c->compression];

	lib->options_set_write_buffer_size(o, bytes_or(c->write_buffer_bytes, WRITE_BUFFER_BYTES));
	lib->options_set_max_write_buffer_number(o, MEMTABLES_MAX);
	lib->options_set_max_total_wal_size(o, (uint64_t)config->checkpoint_bytes);
	lib->options_set_allow_concurrent_memtable_write(o, 0); /* there is one writer */
	lib->options_set_max_background_jobs(o, BACKGROUND_JOBS);
	lib->options_set_max_open_files(o, config->files_max > 0 ? (int)config->files_max
	                                                         : OPEN_FILES_MAX);
	lib->options_set_level_compaction_dynamic_level_bytes(o, 1);
	lib->options_set_skip_stats_update_on_db_open(o, 1);
	lib->options_set_compression(o, codec);
	if (c->blob_files) {
		lib->options_set_enable_blob_files(o, 1);
		lib->options_set_min_blob_size(o, bytes_or(c->blob_bytes_min, BLOB_BYTES_MIN));
		lib->options_set_blob_compression_type(o, codec);
		lib->options_set_enable_blob_gc(o, 1);
	}
	lib->options_set_block_based_table_factory(o, d->table);
	lib->options_enable_statistics(o);
}

/* What has no function of its own. Space that RocksDB takes ahead of need (a write buffer's worth)
 * is taken from a small disk's last. */
static rocksdb_options_t *options_new(const struct library *lib)
{
	rocksdb_options_t *defaults = lib->options_create();
	rocksdb_options_t *o = lib->options_create();
	char *text = NULL;

	lib->get_options_from_string(defaults, "allow_fallocate=false", o, &text);
	CHECK(text == NULL);
	lib->options_destroy(defaults);
	return o;
}

static void options_make(struct database *d, const struct store_config *config)
{
	const struct library *lib = &d->lib;

	d->cache = lib->cache_create_lru(
		bytes_or(config->rocksdb.block_cache_bytes, BLOCK_CACHE_BYTES));
	d->table = lib->block_based_options_create();
	lib->block_based_options_set_block_cache(d->table, d->cache);
	lib->block_based_options_set_block_size(d->table, BLOCK_BYTES);
	lib->block_based_options_set_format_version(d->table, TABLE_FORMAT);

	d->options = options_new(lib);
	set_safety(lib, d->options);
	silence(lib, d->options);
	set_sizes(d, d->options, config);

	d->meta_options = lib->options_create();
	lib->options_set_write_buffer_size(d->meta_options, META_WRITE_BUFFER_BYTES);
	lib->options_set_allow_concurrent_memtable_write(d->meta_options, 0);
	lib->options_set_compression(d->meta_options, codecs[config->rocksdb.compression]);
	lib->options_set_block_based_table_factory(d->meta_options, d->table);

	d->reading = lib->readoptions_create();
	d->writing = lib->writeoptions_create();
	lib->writeoptions_set_no_slowdown(d->writing, 1);
	d->syncing = lib->writeoptions_create();
	lib->writeoptions_set_sync(d->syncing, 1);
	d->flushing = lib->flushoptions_create();
	lib->flushoptions_set_wait(d->flushing, 1);
}

static void options_free(struct database *d)
{
	const struct library *lib = &d->lib;

	memory_pool_put(d->read_memory);
	lib->flushoptions_destroy(d->flushing);
	lib->writeoptions_destroy(d->syncing);
	lib->writeoptions_destroy(d->writing);
	lib->readoptions_destroy(d->reading);
	lib->options_destroy(d->meta_options);
	lib->options_destroy(d->options);
	lib->block_based_options_destroy(d->table);
	lib->cache_destroy(d->cache);
}

/* --- open and close -------------------------------------------------------------------------- */

/* `recovery`: one of RocksDB's ways to read its WAL. */
static enum err open_as(struct database *d, const char *path, int recovery, bool read_only,
                        struct fault *f)
{
	const char *names[] = {"default", "meta"};
	const rocksdb_options_t *options[] = {d->options, d->meta_options};
	rocksdb_column_family_handle_t *families[ARRAY_COUNT(names)];
	char *text = NULL;
	enum err err;

	d->lib.options_set_wal_recovery_mode(d->options, recovery);
	if (read_only)
		d->db = d->lib.open_for_read_only_column_families(
			d->options, path, ARRAY_COUNT(names), names, options, families, 0, &text);
	else
		d->db = d->lib.open_column_families(d->options, path, ARRAY_COUNT(names), names,
		                                    options, families, &text);
	err = database_check(d, text, "rocksdb open", f);
	if (err) {
		d->db = NULL;
		return err;
	}
	d->batches = families[0];
	d->meta = families[1];
	return OK;
}

static void close_db(struct database *d)
{
	d->lib.column_family_handle_destroy(d->batches);
	d->lib.column_family_handle_destroy(d->meta);
	d->lib.close(d->db);
	d->db = NULL;
}

void database_close(struct database *d)
{
	if (!d->db)
		return;
	close_db(d);
	options_free(d);
}

/* --- a WAL that is damaged ------------------------------------------------------------------- */

/* What was flushed has no hole. So all behind the first damage was not, unless a mark says so. */
static enum err check_damage(struct database *d, const char *path, const struct uuid *store,
                             const struct store_config *config, struct fault *f)
{
	struct wal_marks marks;
	uint64_t last;
	enum err err = wal_marks_read(config->disk, path, store, &marks, f);

	if (!err)
		err = open_as(d, path, rocksdb_point_in_time_recovery, true, f);
	if (err)
		return err;
	last = database_last_write(d);
	close_db(d);
	if (marks.flushed > last)
		return fault_set(f, ERR_CORRUPT, 0,
		                 "%s: its WAL is damaged behind write %llu, and was flushed up to "
		                 "write %llu; restore a backup",
		                 path, (unsigned long long)last, (unsigned long long)marks.flushed);
	if (marks.last > last)
		log_line(config->log, LOG_WARN, "store",
		         "%s: its WAL ends at write %llu; what is left of later ones, up to %llu, "
		         "was never flushed",
		         path, (unsigned long long)last, (unsigned long long)marks.last);
	return OK;
}

/* With one file there is nothing behind a write that was cut off. Whether there is, is found out
 * here: RocksDB takes a record whose length reaches beyond the file for the last, whatever follows.
 * If so, and with more files, it is read twice, first without modifying anything. */
static enum err open_checked(struct database *d, const char *path, const struct uuid *store,
                             const struct store_config *config, bool read_only, struct fault *f)
{
	struct wal_marks marks;
	enum err err = wal_marks_read(config->disk, path, store, &marks, f);

	if (err)
		return err;
	err = ERR_CORRUPT;
	if (!marks.goes_on && wal_file_count(config->disk, path) <= 1)
		err = open_as(d, path, rocksdb_tolerate_corrupted_tail_records_recovery, read_only,
		              f);
	if (err != ERR_CORRUPT)
		return err;
	err = check_damage(d, path, store, config, f);
	return err ? err : open_as(d, path, rocksdb_point_in_time_recovery, read_only, f);
}

static enum err open_either(struct database *d, const char *path, const struct uuid *store,
                            const struct store_config *config, bool read_only, struct fault *f)
{
	enum err err = library_load(&d->lib, f);

	if (err)
		return err;
	d->read_memory = memory_pool_new(READS_KEPT);
	if (!d->read_memory)
		return fault_set(f, ERR_NO_MEMORY, 0, "open %s", path);
	options_make(d, config);
	err = open_checked(d, path, store, config, read_only, f);
	if (err)
		options_free(d);
	return err;
}

enum err database_open(struct database *d, const char *path, const struct uuid *store,
                       const struct store_config *config, struct fault *f)
{
	return open_either(d, path, store, config, false, f);
}

enum err database_examine(struct database *d, const char *path, const struct uuid *store,
                          const struct store_config *config, struct fault *f)
{
	enum err err = open_either(d, path, store, config, true, f);

	if (!err)
		d->lib.readoptions_set_fill_cache(d->reading, 0);
	return err;
}

uint64_t database_last_write(const struct database *d)
{
	return d->lib.get_latest_sequence_number(d->db);
}

/* --- rows of `meta` -------------------------------------------------------------------------- */

enum err database_get(const struct database *d, struct slice key, struct buf *value,
                      struct fault *f)
{
	char *text = NULL;
	size_t len;
	char *got = d->lib.get_cf(d->db, d->reading, d->meta, (const char *)key.ptr, key.len, &len,
	                          &text);
	enum err err = database_check(d, text, "rocksdb get", f);

	buf_clear(value);
	if (err)
		return err;
	if (!got)
		return fault_set(f, ERR_NOT_FOUND, 0, "rocksdb get");
	buf_append(value, got, len);
	d->lib.free(got);
	if (value->failed)
		return fault_set(f, ERR_CORRUPT, 0, "rocksdb get: a row of %zu bytes", len);
	return OK;
}

enum err database_put(const struct database *d, struct slice key, struct slice value,
                      struct fault *f)
{
	char *text = NULL;

	d->lib.put_cf(d->db, d->syncing, d->meta, (const char *)key.ptr, key.len,
	              (const char *)value.ptr, value.len, &text);
	return database_check(d, text, "rocksdb put", f);
}

/* --- the whole ------------------------------------------------------------------------------- */

enum err database_flush(const struct database *d, struct fault *f)
{
	rocksdb_column_family_handle_t *const families[] = {d->batches, d->meta};

	for (size_t i = 0; i < ARRAY_COUNT(families); i++) {
		char *text = NULL;
		enum err err;

		d->lib.flush_cf(d->db, d->flushing, families[i], &text);
		err = database_check(d, text, "rocksdb flush", f);
		if (err)
			return err;
	}
	return OK;
}

enum err database_copy(const struct database *d, const char *path, struct fault *f)
{
	char *text = NULL;
	rocksdb_checkpoint_t *c = d->lib.checkpoint_object_create(d->db, &text);

	if (text)
		return database_check(d, text, "rocksdb checkpoint", f);
	d->lib.checkpoint_create(c, path, 0, &text);
	d->lib.checkpoint_object_destroy(c);
	return database_check(d, text, "rocksdb checkpoint", f);
}

void database_drop_files(const struct database *d, struct slice from, struct slice to)
{
	struct fault unused;
	char *text = NULL;

	d->lib.delete_file_in_range(d->db, (const char *)from.ptr, from.len, (const char *)to.ptr,
	                            to.len, &text);
	/* What does not go now goes with a compaction. */
	(void)!database_check(d, text, "rocksdb delete files", &unused);
}

/* With its deletions left out an iterator passes all there is of the others. */
static enum err check_family(const struct database *d, rocksdb_column_family_handle_t *family,
                             bool (*goes_on)(void *arg), void *arg, struct fault *f)
{
	rocksdb_readoptions_t *options = d->lib.readoptions_create();
	rocksdb_iterator_t *it;
	bool stopped = false;
	char *text = NULL;
	enum err err;

	d->lib.readoptions_set_fill_cache(options, 0);
	d->lib.readoptions_set_ignore_range_deletions(options, 1);
	it = d->lib.create_iterator_cf(d->db, options, family);
	d->lib.iter_seek_to_first(it);
	for (unsigned i = 1; d->lib.iter_valid(it) && !stopped; i++) {
		stopped = i % ASK_ROWS == 0 && !goes_on(arg);
		d->lib.iter_next(it);
	}
	d->lib.iter_get_error(it, &text);
	err = database_check(d, text, "rocksdb read", f);
	d->lib.iter_destroy(it);
	d->lib.readoptions_destroy(options);
	return stopped && !err ? fault_set(f, ERR_SHUTTING_DOWN, 0, "not all was read") : err;
}

enum err database_check_files(const struct database *d, bool (*goes_on)(void *arg), void *arg,
                              struct fault *f)
{
	enum err err = check_family(d, d->meta, goes_on, arg, f);

	return err ? err : check_family(d, d->batches, goes_on, arg, f);
}

struct database_files database_files(const struct database *d)
{
	const rocksdb_livefiles_t *files = d->lib.livefiles(d->db);
	struct database_files sum = {.count = (uint64_t)d->lib.livefiles_count(files)};

	for (int i = 0; i < (int)sum.count; i++)
		sum.bytes += d->lib.livefiles_size(files, i);
	d->lib.livefiles_destroy(files);
	return sum;
}

void database_tidy(const struct database *d, struct slice from, struct slice to)
{
	struct fault unused;
	char *text = NULL;

	/* It looks at files only. */
	d->lib.flush_cf(d->db, d->flushing, d->batches, &text);
	if (database_check(d, text, "rocksdb flush", &unused))
		return;
	text = NULL;
	d->lib.suggest_compact_range_cf(d->db, d->batches, (const char *)from.ptr, from.len,
	                                (const char *)to.ptr, to.len, &text);
	(void)!database_check(d, text, "rocksdb suggest compaction", &unused);
}

int64_t database_number(const struct database *d, const char *name)
{
	uint64_t value = 0;

	return d->lib.property_int(d->db, name, &value) == 0 ? (int64_t)value : 0;
}
