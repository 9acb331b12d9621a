/* chunklog: partitions as chunks in memory, one WAL for all, checkpoints into segments. The engine
 * `memory` keeps every chunk in memory, its snapshot is the checkpoint; `log` keeps the newest and
 * reads the others from segments.
 *
 * Threads. A partition belongs to its shard. What is said "home" belongs to shard 0: topics,
 * catalog, checkpoint. A home operation that concerns partitions visits every shard by message
 * (fanout). The WAL has its writer thread; files are written by workers.
 *
 * This header is private to the folder. */
#ifndef BOURN_STORE_CHUNKLOG_CHUNKLOG_H
#define BOURN_STORE_CHUNKLOG_CHUNKLOG_H

#include "base/hash.h"
#include "store/catalog.h"
#include "store/chunklog/checkpoint.h"
#include "store/chunklog/compaction.h"
#include "store/chunklog/partition.h"
#include "store/chunklog/spill.h"
#include "store/datadir.h"
#include "store/fanout.h"
#include "store/store.h"
#include "store/wal.h"

#include <stdatomic.h>

struct backup;
struct chunklog;
struct cold;

struct shard {
	struct chunklog *log;
	struct loop *loop;
	struct list partitions;
	bool held; /* no partition begins a frame: a backup's moment */
	struct timer expiry_timer;
	struct message expiry_start; /* of the timer, on the shard's loop */
	bool expiry_started;
	unsigned expiring;            /* partitions with an expiry's trim under way */
	struct timer heed_timer;      /* to heed a checkpoint once there is memory … */
	struct fanout_visit *heeding; /* … in this visit */
};

struct topic {
	struct chunklog *log;
	struct uuid uuid;
	struct store_topic *now; /* home; as last altered, a reference; owns the partitions */
	UT_hash_handle hh;       /* by UUID; home; not when deleted */
	struct list node;        /* deleted: in the graveyard until its files are removed */
	bool files_removed;
	struct tomb *tomb; /* owned; made when it is to be deleted */
	char name[];
};

/* A deleted topic without files: its last frames leave the WAL with a checkpoint. */
struct tomb {
	struct list node;
	struct uuid topic;
	unsigned checkpoints; /* that ended well since */
};

struct chunklog {
	struct store base; /* first */
	struct store_config config;
	struct datadir dir;
	struct catalog *catalog; /* home */
	struct wal *wal;
	struct shard *shards;              /* config.shard_count of them */
	struct topic *topics;              /* home */
	const struct store_topic **listed; /* what topics() gave out; NULL: nothing yet */
	struct list graveyard;             /* home; topics whose files are to be removed */
	struct list burials;               /* … being removed, on a worker */
	struct work bury;
	bool burying;
	struct list tombs;    /* home */
	struct now began;     /* this run; ages count from it */
	int32_t leader_epoch; /* of this run: the count of unclean recoveries */
	/* appended under class `none` since the last checkpoint */
	atomic_int_fast64_t unlogged_bytes;
	unsigned operations;               /* home; topic operations under way */
	struct cold *cold;                 /* owned; NULL under `memory`, which has no use for it */
	struct memory_pool *chunk_pool;    /* owned, but for its blocks */
	atomic_int_fast64_t chunk_bytes;   /* of all chunks there ever were: their clock */
	atomic_int_fast64_t saved_bytes;   /* budget.h's: where that clock stood, as is the next */
	atomic_int_fast64_t published_wal; /* … and where the clock of the WAL's bytes did */
	atomic_int cannot_save; /* … and why the last spill or checkpoint failed; OK: it did not */
	struct spill spill;
	struct checkpoint checkpoint;
	struct compaction compaction;
	struct backup *backup; /* home; being made or removed; NULL: none */
	char *backups_root;    /* owned */
};

/* Is it the engine `log`? */
static inline bool chunklog_is_tiered(const struct chunklog *log)
{
	return log->cold != NULL;
}

static inline struct chunklog *chunklog_of(struct store *base)
{
	return CONTAINER_OF(base, struct chunklog, base);
}

/* Its partitions begin frames again. On the shard. */
void shard_release(struct shard *shard);

/* The shard that a fanout is at. */
static inline struct shard *chunklog_visited(const struct fanout_visit *v)
{
	return &chunklog_of(v->fanout->store)->shards[v->shard];
}

/* --- topics (topics.c) ------------------------------------------------------------------------ */

/* NULL: there is no memory. */
struct topic *chunklog_topic_new(struct chunklog *log, const struct topic_spec *spec);
void chunklog_topic_free(struct topic *t); /* found no more, or never */
struct topic *chunklog_topic_find(struct chunklog *log, const struct uuid *uuid);

/* Put its partitions where their shards find them; on every shard's thread, or before the loops. */
void chunklog_topic_attach(struct topic *t, struct shard *shard);

/* At home, or before the loops. */
static inline struct partition *topic_partition(const struct topic *t, uint32_t index)
{
	return partition_of(t->now->partitions[index]);
}

void chunklog_topic_create(struct store_topic_op *o);
void chunklog_topic_alter(struct store_topic_op *o);
void chunklog_topic_delete(struct store_topic_op *o);

/* Remove the files of deleted topics, on a worker, and free what is left of them; not while a
 * checkpoint may still write some. At home; called again when a checkpoint has ended. */
void graveyard_tend(struct chunklog *log);

/* Blocking; false (and a line in the log): some are still there. */
bool chunklog_topic_remove_files(struct chunklog *log, const struct uuid *topic);

/* A checkpoint that began after their files were gone ended well: forget the oldest. */
void tombs_age(struct chunklog *log);
void tomb_add(struct chunklog *log, struct tomb *tomb, const struct uuid *topic);

struct segment_home partition_home(struct partition *p);

/* --- recovery (recovery.c) -------------------------------------------------------------------- */

/* The lock is held, nothing else is open. Fills catalog, wal, topics and epoch, and writes the
 * first manifest of this run. On failure what was filled stays for chunklog_free. */
enum err chunklog_recover(struct chunklog *log, struct fault *f) MUST_CHECK;

#endif
