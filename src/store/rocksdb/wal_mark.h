/* wal_mark: what RocksDB's WAL says was flushed, found also behind damage.
 *
 * The writer puts a mark in front of a group of writes: up to which write all was flushed by then.
 * It is a blob, which RocksDB keeps in its WAL and nowhere else. Its own ways to read a WAL stop at
 * damage, or trip over it (7.8 takes what follows a broken record for broken too), so the files are
 * read here:
 *
 *   blocks of 32 KiB, each of fragments, which do not cross a block's end:
 *     0 4 masked CRC32C of all but these and the length   4 2 length of what follows the 7 bytes
 *     6 1 kind: 1 whole, 2 first, 3 middle, 4 last
 *   a record, of one or more fragments:
 *     0 8 number of its first write   8 4 how many writes
 *     12 1 3: a blob   13 1 its length: 24   14 16 store id   30 8 number of the last write flushed
 *
 * Little-endian. Of fragments only a record's first is looked at; one that is too short for the
 * mark tells nothing, but the next one will. The store id, which nobody outside knows, keeps what
 * somebody wrote into an event from being taken for a mark. Source: RocksDB's db/log_format.h. */
#ifndef BOURN_STORE_ROCKSDB_WAL_MARK_H
#define BOURN_STORE_ROCKSDB_WAL_MARK_H

#include "base/err.h"
#include "base/uuid.h"

#include <stdbool.h>

struct disk;

enum { WAL_MARK_BYTES = 24 }; /* the blob */

/* All writes up to `number` were flushed. */
void wal_mark_encode(const struct uuid *store, uint64_t number, uint8_t into[WAL_MARK_BYTES]);

struct wal_marks {
	uint64_t flushed; /* highest number in a mark; 0: there is none */
	uint64_t last;    /* highest number of a write */
	bool goes_on;     /* a record stands behind damage in its file: that is no torn end */
};

/* Of all files of the WAL in the directory. Blocking; ERR_IO, ERR_NO_MEMORY. */
enum err wal_marks_read(struct disk *disk, const char *dir, const struct uuid *store,
                        struct wal_marks *out, struct fault *f) MUST_CHECK;

/* How many files it has; UINT_MAX when nobody knows. Blocking. */
unsigned wal_file_count(struct disk *disk, const char *dir);

#endif
