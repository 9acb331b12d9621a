/* database: one RocksDB database with our options, and the few things that are asked of it.
 *
 * Everything here blocks; any thread, any number of them at once, but for open and close. */
#ifndef BOURN_STORE_ROCKSDB_DATABASE_H
#define BOURN_STORE_ROCKSDB_DATABASE_H

#include "base/buf.h"
#include "store/rocksdb/library.h"
#include "store/store.h"

struct database {
	struct library lib;
	rocksdb_t *db;
	rocksdb_column_family_handle_t *batches; /* the default one */
	rocksdb_column_family_handle_t *meta;
	rocksdb_options_t *options;      /* of `batches` and the whole */
	rocksdb_options_t *meta_options; /* of `meta` */
	rocksdb_block_based_table_options_t *table;
	rocksdb_cache_t *cache;
	rocksdb_readoptions_t *reading;
	rocksdb_writeoptions_t *writing; /* into the page cache; a stall is an error */
	rocksdb_writeoptions_t *syncing; /* flushed to the device; waits out a stall */
	rocksdb_flushoptions_t *flushing;
	struct memory_pool *read_memory; /* for what rows_read hands out */
};

/* `path` is a directory that exists. RocksDB's WAL is read up to its first damage, if its marks
 * (wal_mark.h) say of nothing behind that that it was flushed: so a power cut leaves it.
 *
 * Errors: ERR_CONFIG: the library or an option of its build is missing; ERR_CORRUPT: damage in what
 *         was flushed, or in RocksDB's words, as ERR_IO and ERR_DISK_FULL are. */
enum err database_open(struct database *d, const char *path, const struct uuid *store,
                       const struct store_config *config, struct fault *f) MUST_CHECK;

/* The same without modifying anything: as it would be after a start. For reading it once, from end
 * to end. */
enum err database_examine(struct database *d, const char *path, const struct uuid *store,
                          const struct store_config *config, struct fault *f) MUST_CHECK;
void database_close(struct database *d);

/* One row of `meta` into `value`, which is cleared first; ERR_NOT_FOUND. */
enum err database_get(const struct database *d, struct slice key, struct buf *value,
                      struct fault *f) MUST_CHECK;

/* One row of `meta`, flushed when it returns. */
enum err database_put(const struct database *d, struct slice key, struct slice value,
                      struct fault *f) MUST_CHECK;

/* How RocksDB numbers the last write. */
uint64_t database_last_write(const struct database *d);

/* What is in memory goes into files. */
enum err database_flush(const struct database *d, struct fault *f) MUST_CHECK;

/* The database as of one moment, as one of its own in the directory `path`, which does not exist:
 * files are shared by a second name, as none is written again. It lasts, but for the name of
 * `path`. */
enum err database_copy(const struct database *d, const char *path, struct fault *f) MUST_CHECK;

/* Have whole files that lie between two keys of `batches` go at once, without waiting for a
 * compaction; rows near the ends may stay. */
void database_drop_files(const struct database *d, struct slice from, struct slice to);

/* Read every block of every file that is in force, also what was deleted or written over. `goes_on`
 * is asked now and then. ERR_CORRUPT in RocksDB's words; ERR_SHUTTING_DOWN: it said no. */
enum err database_check_files(const struct database *d, bool (*goes_on)(void *arg), void *arg,
                              struct fault *f) MUST_CHECK;

/* How many files there are, and their bytes. */
struct database_files {
	uint64_t count;
	uint64_t bytes;
};
struct database_files database_files(const struct database *d);

/* Have RocksDB write the files between two keys of `batches` anew, later and beside all else,
 * without what was deleted or written over. */
void database_tidy(const struct database *d, struct slice from, struct slice to);

/* A number that RocksDB keeps, as "rocksdb.cur-size-all-mem-tables"; 0 when it does not. */
int64_t database_number(const struct database *d, const char *name);

/* After a call into the library: frees `text` (NULL: OK). */
enum err database_check(const struct database *d, char *text, const char *step,
                        struct fault *f) MUST_CHECK;

#endif
