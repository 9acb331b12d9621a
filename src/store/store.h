/* store: the contract between the broker and whatever keeps the events.
 *
 * An engine keeps topics; a topic has partitions; a partition is a log of record batches. Engines
 * differ by capability bits, never by name, and one suite (contract_test.c) holds them all to this
 * page. Some engines' logs live elsewhere: offsets may have gaps, others may append, the base
 * offset of a batch is known only when its append completes.
 *
 * Threads. `open` blocks, on any thread; loops may be running already, so what it has for one goes
 * there as a message. `close` blocks and is called while no loop runs. Topic operations,
 * checkpoint and backup are called on shard 0's loop. Everything about a partition happens on its
 * owning shard's loop: partition_shard(uuid, index, shard_count) says which.
 *
 * Completion. An operation is a struct with a `done`; done runs exactly once, later (never from
 * inside the call), on the loop that called, also after an error. The struct belongs to the store
 * until then. Appends to one partition complete in the order given.
 *
 * Crash. An append that completed OK is there after what its topic's durability class promises
 * (kill -9, power cut; see README). One that completed with a fault, or did not complete, may or
 * may not be there: its outcome is unknown. */
#ifndef BOURN_STORE_STORE_H
#define BOURN_STORE_STORE_H

#include "base/err.h"
#include "base/list.h"
#include "base/shared.h"
#include "base/slice.h"
#include "core/topic.h"
#include "io/loop.h"

struct disk;
struct store;
struct store_partition;

enum store_capability {
	STORE_REMOTE = 1 << 0, /* the log lives on another machine */
	STORE_FOREIGN_WRITERS =
		1 << 1, /* others append too: `watch` tells of ends we did not move */
	STORE_EXPECTED_OFFSET = 1 << 2, /* the next offset is known before an append completes */
	STORE_RETENTION = 1 << 3,       /* applies retention settings */
	STORE_CHECKPOINT = 1 << 4,      /* checkpoint() does something */
	STORE_CLASSES = 1 << 5,         /* all durability classes; without: `commit` only */
	STORE_BACKUP = 1 << 6,          /* backup() does something */
	STORE_COMPACTION = 1 << 7,      /* topics may have cleanup.policy=compact */
};

/* How the engine `rocksdb` sets up its database; 0 is a default everywhere. */
struct store_rocksdb_config {
	int64_t block_cache_bytes;  /* for what is read: 64 MiB */
	int64_t write_buffer_bytes; /* in memory before it is written as a file, up to three of
	                               them: 64 MiB */
	int64_t compression;        /* of files: 0 none, 1 snappy, 2 lz4, 3 zstd */
	bool blob_files;            /* large rows in files of their own */
	int64_t blob_bytes_min;     /* … that is of this size at least: 4 KiB */
};

struct store_config {
	const char *path;  /* data directory; borrowed during open */
	struct disk *disk; /* borrowed until close, as are the next four */
	struct clock *clock;
	struct entropy *entropy;
	struct log *log;
	struct loop *const *loops; /* one a shard; loops[0] is home */
	unsigned shard_count;
	int64_t flush_ms;         /* class `interval`: the WAL is flushed this often; 50 */
	int64_t checkpoint_bytes; /* a checkpoint starts when the WAL holds this much; 256 MiB */
	int64_t checkpoint_ms;    /* … or when its oldest frame is this old; 60 s */
	int64_t wal_file_bytes;   /* tests: a WAL file is full at this size; 0: 64 MiB */
	unsigned files_max;       /* kept open for reading, at most; 0: the engine's own limit */
	int64_t memory_bytes; /* an engine that need not keep everything in memory keeps this much
	                             of the newest, all partitions together; 256 MiB */
	struct store_rocksdb_config rocksdb;
};

/* --- a partition as everybody sees it --------------------------------------------------------- */

/* Why a partition takes no writes. */
struct fence {
	enum err code; /* OK: it takes them */
	char *where;   /* owned by the partition; as in struct fault; NULL: it takes them, or there
	                  was no memory to say why */
};

/* Kept by the engine, read by anyone on the owning shard. Always
 * log_start <= last_stable <= high_watermark <= log_end. */
struct partition_state {
	int64_t log_start;      /* first offset a reader may ask for */
	int64_t last_stable;    /* equals high_watermark until there are transactions */
	int64_t high_watermark; /* readers see what is below */
	int64_t log_end;        /* next offset to be assigned */
	int32_t leader_epoch;   /* >= 0; raised by every unclean recovery */
	int64_t bytes;          /* of batches between log_start and log_end */
	uint32_t segments;      /* files that the engine keeps it in, as of the last checkpoint; 0
	                           where there are none, or they are nobody's business here */
	struct fence fenced;    /* reads go on below the damage */
	bool deleted;           /* the topic is gone: every operation answers ERR_TOPIC_GONE */
};

/* First member of every engine's own struct. */
struct store_partition {
	struct store *store;
	struct uuid topic;
	uint32_t index;
	unsigned shard;
	struct topic_settings settings; /* live: changed by topic_alter */
	struct partition_state state;
	struct list watchers; /* struct store_watch */
	struct task notify;   /* runs the watchers, once a turn */
};

/* A topic as the store hands it out: immutable. Each topic_alter makes a new one, with the
 * partitions of the one before and perhaps more. The store holds a reference to the newest; who
 * holds one to an older may go on with it. The partitions are valid until topic_delete is done (or
 * close). */
struct store_topic {
	struct shared shared; /* first */
	struct topic_spec spec;
	struct store_partition *partitions[]; /* spec.partition_count of them */
};

static inline const struct store_topic *store_topic_get(const struct store_topic *t)
{
	shared_get((struct shared *)(uintptr_t)&t->shared);
	return t;
}

static inline void store_topic_put(const struct store_topic *t)
{
	shared_put((struct shared *)(uintptr_t)&t->shared);
}

/* Called in LOOP_WORK on the owning shard after log_start, high_watermark, fenced or deleted moved,
 * at most once a turn. The watch stays until removed; moved() may remove it. */
struct store_watch {
	struct list node;
	void (*moved)(struct store_watch *w);
};
void store_watch_add(struct store_partition *p, struct store_watch *w);
void store_watch_remove(struct store_watch *w);

/* --- operations on a partition ---------------------------------------------------------------- */

/* It is measured against max.message.bytes when it is given, and acknowledged under the class that
 * the topic has when it is written: either may change meanwhile. */
struct store_append {
	struct store_partition *partition; /* in */
	struct slice batches;    /* in: one whole valid batch (record/batch.h), borrowed until done;
	                                       its offset and epoch fields are not looked at */
	int64_t expected_offset; /* in: append only if this is log_end; -1: anywhere.
	                                       >= 0 needs STORE_EXPECTED_OFFSET */
	void (*done)(struct store_append *a);
	int64_t base_offset; /* out: of its first record; valid iff fault.code == OK, as is the next */
	enum durability durability; /* out: the class that it was acknowledged under */
	struct fault fault; /* out: OFFSET_MISMATCH TOO_LARGE DISK_FULL FENCED TOPIC_GONE BUSY IO */
	struct list node;   /* the engine's own, as is the next */
	void *engine[12];
};

/* Consecutive whole batches that lie behind each other in one file, to be sent on as they are
 * (sendfile). Where they begin and end is certain; what is in them nobody has verified: whoever
 * gets them does. */
struct store_range {
	int fd;        /* of config.disk, for reading */
	int64_t at;    /* byte in the file */
	int64_t bytes; /* 0: no range */
	int64_t base_offset;
	int64_t next_offset; /* the first one behind it */
};

struct store_read {
	struct store_partition *partition; /* in */
	int64_t offset;          /* in: the batch that contains it, or the first one after */
	size_t bytes_max;        /* in: whole batches up to this; one at least, however large */
	int64_t range_bytes_max; /* in: > 0: a range of a file up to this may come instead of
	                                      batches; an engine without files never has one */
	void (*done)(struct store_read *r);
	struct slice batches;     /* out: consecutive whole batches; none at the high watermark */
	struct store_range range; /* out */
	struct shared
		*holder;    /* out: keeps `batches` alive, or the range's file open (also when the
	                                      engine has removed it); a reference for the caller to
	                                      put, a range's before close; NULL: there is neither */
	struct fault fault; /* out: TRIMMED OUT_OF_RANGE CORRUPT TOPIC_GONE IO */
	struct list node;
	void *engine[8];
};

/* The first record with timestamp >= time_ms; offset = high watermark when there is none. */
struct store_time_lookup {
	struct store_partition *partition; /* in */
	int64_t time_ms;                   /* in */
	void (*done)(struct store_time_lookup *t);
	int64_t offset;     /* out */
	struct fault fault; /* out: CORRUPT TOPIC_GONE NO_MEMORY IO */
	struct list node;
	void *engine[8];
};

/* Make `upto` the new log start (not below the present one: then nothing happens; not beyond the
 * high watermark: OUT_OF_RANGE). A fence whose damage lies below `upto` is lifted. Durable as the
 * topic's class says when done. */
struct store_trim {
	struct store_partition *partition; /* in */
	int64_t upto;                      /* in; -1: the high watermark */
	void (*done)(struct store_trim *t);
	struct fault fault; /* out: OUT_OF_RANGE TOPIC_GONE DISK_FULL BUSY IO */
	struct list node;
	void *engine[12];
};

/* --- operations on the store ------------------------------------------------------------------ */

/* Create, or change, or delete a topic: durable when done. One change of a topic at a time. */
struct store_topic_op {
	struct store *store;             /* in */
	struct topic_spec spec;          /* in (create, alter): alter looks at uuid, settings and
	                           partition_count, of which there are never fewer than before: a
	                           smaller one is taken for the present one */
	const struct store_topic *topic; /* in (delete): nobody starts operations on it any more;
	                                     those under way complete, at the latest with TOPIC_GONE,
	                                     before done. out (create, alter): the topic as it is
	                                     now; valid during done, longer with a reference */
	void (*done)(struct store_topic_op *o);
	struct fault fault; /* out: TOPIC_EXISTS TOO_MANY DISK_FULL NO_MEMORY IO NOT_IMPLEMENTED */
	struct list node;
	void *engine[16];
};

struct store_checkpoint {
	struct store *store; /* in */
	void (*done)(struct store_checkpoint *c);
	struct fault fault; /* out: DISK_FULL NO_MEMORY IO NOT_IMPLEMENTED */
	int64_t bytes;      /* out: written */
	struct list node;
};

/* A data directory of its own, that the engine opens as any other; whole, or not there. */
struct store_backup {
	char name[TOPIC_NAME_BYTES_MAX + 1];
	int64_t created_at_ms;
	int64_t bytes; /* of events, and of what says where they are */
	int64_t file_count;
	int64_t topic_count;
};

enum store_backup_verb { BACKUP_MAKE, BACKUP_LIST, BACKUP_REMOVE };

/* What a backup holds is as of one moment between the call and done, the same for all partitions:
 * of any two events, when it has the one that was appended second it has the first. Appends and
 * reads go on. Making and removing are done one at a time; what a crash leaves of either is taken
 * away by the next open or the next one that is made. */
struct store_backup_op {
	struct store *store; /* in */
	enum store_backup_verb verb;
	const char *name; /* in (make, remove): as topics are called, not ending in ".tmp"; borrowed
	                     until done */
	void (*done)(struct store_backup_op *o);
	struct store_backup
		*backups; /* out: (list) all, by name, (make) the new one; the caller's to
	                                 free() */
	size_t count;
	const char *root;   /* out (list, make): "<root>/<name>" is where they are; the store's */
	int64_t took_ms;    /* out (make) */
	struct fault fault; /* out: NOT_IMPLEMENTED BAD_PARAMETER BACKUP_EXISTS BACKUP_UNKNOWN
	                       BACKUP_BUSY DISK_FULL CORRUPT (a file that should be there is not)
	                       NO_MEMORY IO */
	struct list node;
	void *engine[8];
};

struct store_ops {
	const char *name; /* what storage.type says */
	unsigned capabilities;

	/* Blocks until recovered. On failure nothing in the directory was modified if the reason is
	 * LOCKED, NEWER, FOREIGN or read-only; `f` names file, reason and remedy. */
	enum err (*open)(const struct store_config *config, struct store **out, struct fault *f);
	/* Blocks; every operation is done already. Makes the next start need no scan. Frees all. */
	void (*close)(struct store *s);

	/* After open, before the first operation: every topic there is. The array is the store's,
	 * as are the references in it. */
	const struct store_topic *const *(*topics)(struct store *s, size_t *count);

	void (*topic_create)(struct store_topic_op *o);
	void (*topic_alter)(struct store_topic_op *o);
	void (*topic_delete)(struct store_topic_op *o);
	void (*checkpoint)(struct store_checkpoint *c);
	void (*backup)(struct store_backup_op *o);

	void (*append)(struct store_append *a);
	void (*read)(struct store_read *r);
	void (*lookup_time)(struct store_time_lookup *t);
	void (*trim)(struct store_trim *t);

	/* Where `epoch` ended: the first offset of the next newer epoch, or log_end when there is
	 * none newer. Synchronous. */
	int64_t (*epoch_end)(struct store_partition *p, int32_t epoch);
};

/* First member of every engine's own struct. */
struct store {
	const struct store_ops *ops;
};

/* --- for engines ------------------------------------------------------------------------------ */

/* What a topic gets when it is made: a UUID and a time, unless `spec` brings them, and its
 * engine. */
void store_topic_born(struct topic_spec *spec, const struct store_config *config,
                      const char *engine);

/* With NULL for partitions, and one reference: the caller's. NULL: there is no memory. */
struct store_topic *store_topic_new(const struct topic_spec *spec);

void store_partition_init(struct store_partition *p, struct store *s, const struct topic_spec *spec,
                          uint32_t index, unsigned shard);

/* Tell the watchers, later in this turn of loop `l` (the owning shard's). */
void store_partition_moved(struct store_partition *p, struct loop *l);

/* It takes no more writes (`why` is copied; one that is fenced gets a new reason), or does again,
 * as it must before it is freed. */
void store_partition_fence(struct store_partition *p, enum err code, const char *why);
void store_partition_unfence(struct store_partition *p);

/* As a fault; code OK: it is not fenced. */
struct fault store_partition_fenced(const struct store_partition *p);

/* --- registry: the only place that knows engines by name -------------------------------------- */

struct store_registry {
	const struct store_ops *const *engines;
	size_t count;
};

/* The engines of the released binary. */
const struct store_registry *store_registry_default(void);

/* NULL when there is none of that name. */
const struct store_ops *store_registry_find(const struct store_registry *r, const char *name);

/* For a name out of a configuration: ERR_CONFIG, with the names that there are. */
enum err store_registry_choose(const struct store_registry *r, const char *name,
                               const struct store_ops **out, struct fault *f) MUST_CHECK;

#endif
