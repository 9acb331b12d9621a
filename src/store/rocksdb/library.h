/* library: librocksdb, loaded when a store of the engine is opened. So the program runs without it,
 * and who does not choose the engine pays nothing for it.
 *
 * A table of the functions of rocksdb/c.h that are used here, each typed by its own declaration. It
 * is never unloaded: the library has threads of its own that live as long as the process. */
#ifndef BOURN_STORE_ROCKSDB_LIBRARY_H
#define BOURN_STORE_ROCKSDB_LIBRARY_H

#include "base/err.h"

#include <rocksdb/c.h>

#define ROCKSDB_FUNCTIONS(X)                                                                       \
	X(free)                                                                                    \
	/* database */                                                                             \
	X(open_column_families)                                                                    \
	X(open_for_read_only_column_families)                                                      \
	X(close)                                                                                   \
	X(column_family_handle_destroy)                                                            \
	X(write)                                                                                   \
	X(flush_wal)                                                                               \
	X(flush_cf)                                                                                \
	X(checkpoint_object_create)                                                                \
	X(checkpoint_create)                                                                       \
	X(checkpoint_object_destroy)                                                               \
	X(get_cf)                                                                                  \
	X(put_cf)                                                                                  \
	X(delete_file_in_range)                                                                    \
	X(suggest_compact_range_cf)                                                                \
	X(property_int)                                                                            \
	X(livefiles)                                                                               \
	X(livefiles_count)                                                                         \
	X(livefiles_size)                                                                          \
	X(livefiles_destroy)                                                                       \
	X(get_latest_sequence_number)                                                              \
	/* options */                                                                              \
	X(options_create)                                                                          \
	X(get_options_from_string)                                                                 \
	X(options_destroy)                                                                         \
	X(options_set_create_if_missing)                                                           \
	X(options_set_create_missing_column_families)                                              \
	X(options_set_paranoid_checks)                                                             \
	X(options_set_wal_recovery_mode)                                                           \
	X(options_set_max_total_wal_size)                                                          \
	X(options_set_write_buffer_size)                                                           \
	X(options_set_max_write_buffer_number)                                                     \
	X(options_set_allow_concurrent_memtable_write)                                             \
	X(options_set_max_background_jobs)                                                         \
	X(options_set_max_open_files)                                                              \
	X(options_set_compression)                                                                 \
	X(options_set_level_compaction_dynamic_level_bytes)                                        \
	X(options_set_enable_blob_files)                                                           \
	X(options_set_min_blob_size)                                                               \
	X(options_set_blob_compression_type)                                                       \
	X(options_set_enable_blob_gc)                                                              \
	X(options_set_block_based_table_factory)                                                   \
	X(options_set_info_log_level)                                                              \
	X(options_set_keep_log_file_num)                                                           \
	X(options_set_stats_dump_period_sec)                                                       \
	X(options_set_stats_persist_period_sec)                                                    \
	X(options_set_skip_stats_update_on_db_open)                                                \
	X(options_enable_statistics)                                                               \
	X(options_statistics_get_string)                                                           \
	X(block_based_options_create)                                                              \
	X(block_based_options_destroy)                                                             \
	X(block_based_options_set_block_cache)                                                     \
	X(block_based_options_set_block_size)                                                      \
	X(block_based_options_set_format_version)                                                  \
	X(cache_create_lru)                                                                        \
	X(cache_destroy)                                                                           \
	X(writeoptions_create)                                                                     \
	X(writeoptions_destroy)                                                                    \
	X(writeoptions_set_sync)                                                                   \
	X(writeoptions_set_no_slowdown)                                                            \
	X(flushoptions_create)                                                                     \
	X(flushoptions_destroy)                                                                    \
	X(flushoptions_set_wait)                                                                   \
	X(readoptions_create)                                                                      \
	X(readoptions_destroy)                                                                     \
	X(readoptions_set_fill_cache)                                                              \
	X(readoptions_set_ignore_range_deletions)                                                  \
	/* a batch of writes */                                                                    \
	X(writebatch_create)                                                                       \
	X(writebatch_destroy)                                                                      \
	X(writebatch_clear)                                                                        \
	X(writebatch_data)                                                                         \
	X(writebatch_putv)                                                                         \
	X(writebatch_put_cf)                                                                       \
	X(writebatch_put_log_data)                                                                 \
	X(writebatch_delete_cf)                                                                    \
	X(writebatch_delete_range)                                                                 \
	X(writebatch_delete_range_cf)                                                              \
	/* iterators */                                                                            \
	X(create_iterator)                                                                         \
	X(create_iterator_cf)                                                                      \
	X(iter_destroy)                                                                            \
	X(iter_valid)                                                                              \
	X(iter_seek)                                                                               \
	X(iter_seek_to_first)                                                                      \
	X(iter_seek_for_prev)                                                                      \
	X(iter_next)                                                                               \
	X(iter_key)                                                                                \
	X(iter_value)                                                                              \
	X(iter_get_error)

struct library {
#define X(name) __typeof__(rocksdb_##name) *name;
	ROCKSDB_FUNCTIONS(X)
#undef X
};

/* Blocks. ERR_CONFIG names the package to install. */
enum err library_load(struct library *out, struct fault *f) MUST_CHECK;

#endif
