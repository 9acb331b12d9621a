/* writer: the one thread that writes to the database, with group commit.
 *
 * It takes what all shards have sent (a group), has each member put its rows into one batch of
 * writes, writes that, completes who needs no flush, flushes RocksDB's WAL once if any member needs
 * it, completes those. While it works the next group gathers.
 *
 * A write stall (RocksDB's files are too far behind) is waited out for a second at most, then it is
 * ERR_BUSY: who writes is answered, and the other queues fill up meanwhile.
 *
 * Failure: all members of the group are told, nothing else is retried. ERR_BUSY is a stall and
 * ERR_DISK_FULL a full disk, met before or while writing; the next group tries again. With
 * ERR_BUSY, and ERR_DISK_FULL with `untouched`, nothing was written; else what was asked for may be
 * there, now or after a restart, whole.
 *
 * A full disk is met before RocksDB does: it wants room to write down what it holds in memory, and
 * stops altogether when there is none. While less than that and a reserve is free, only `reserved`
 * members are let through. Should it stop all the same (others fill disks, too), it tries by itself
 * every few seconds to go on. */
#ifndef BOURN_STORE_ROCKSDB_WRITER_H
#define BOURN_STORE_ROCKSDB_WRITER_H

#include "store/rocksdb/database.h"

struct writer;

struct writer_write {
	/* in: the writer's thread: put all that is to be written into `batch`; moves nothing
	 * else */
	void (*put)(struct writer_write *w, const struct database *d, rocksdb_writebatch_t *batch);
	size_t bytes;               /* in: about what it puts */
	enum durability durability; /* in: commit: done after a flush; interval: a flush follows;
	                               os and none: done after the write, which is the page cache */
	bool reserved;     /* in: goes on when the disk is nearly full: it is needed to make room */
	struct loop *loop; /* in: where done runs */
	void (*done)(struct writer_write *w);
	struct fault fault;     /* out: DISK_FULL BUSY IO */
	bool untouched;         /* out: it failed, and nothing of it is in the database */
	struct message message; /* the writer's own, as is the next */
	struct writer_write *next;
};

/* Starts the thread. The database is borrowed until stopped, as is `path`, its directory; `store`
 * is for marks in its WAL. */
struct writer *writer_start(const struct database *d, const char *path, const struct uuid *store,
                            const struct store_config *config);

/* Blocks; every write is done already. Flushes what is written. */
void writer_stop(struct writer *w);

/* Any loop's thread. */
void writer_write(struct writer *w, struct writer_write *ww);

/* Any thread. */
struct writer_stats {
	uint64_t group_count;
	uint64_t written_bytes;
	uint64_t flush_count;
	bool failed; /* a write or flush failed, for what is no full disk and no stall */
};
struct writer_stats writer_stats(struct writer *w);

#endif
