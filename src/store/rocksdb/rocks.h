/* rocks: the engine `rocksdb`, its structs. README.md tells the way of an append and of a read.
 *
 * Threads. A partition belongs to its shard. What is said "home" belongs to shard 0: topics and the
 * catalog. The database is for all: the writer's thread writes, workers read.
 *
 * This header is private to the folder. */
#ifndef BOURN_STORE_ROCKSDB_ROCKS_H
#define BOURN_STORE_ROCKSDB_ROCKS_H

#include "base/hash.h"
#include "core/age.h"
#include "store/catalog.h"
#include "store/datadir.h"
#include "store/rocksdb/database.h"
#include "store/rocksdb/rows.h"
#include "store/rocksdb/writer.h"

#include <stdatomic.h>

struct chunk;
struct rows_compact;
struct rocks;
struct rocks_partition;

enum {
	ROCKS_EPOCHS_MAX = 64,
	ROCKS_WAITING_BYTES_MAX = 32 << 20, /* of appends to a partition; beyond: BUSY */
	ROCKS_FRAME_BYTES_MAX = 32 << 20,
};

/* Who moves the log start of a partition, or writes rows of it anew, does so in his turn. */
struct rocks_turn {
	struct list node;  /* in the partition's turns */
	struct task begin; /* it has come */
};

enum rocks_compaction_state {
	COMPACTING_NONE,
	COMPACTING_MAP,
	COMPACTING_REWRITE,
	COMPACTING_TURN,  /* waits for it */
	COMPACTING_WRITE, /* a piece is the writer's */
	COMPACTING_STALL, /* which could not write it now */
	COMPACTING_END,
};

/* One run of compaction; compaction.c draws it. */
struct rocks_compaction {
	enum rocks_compaction_state state;
	bool stopping;
	struct timer timer;         /* until the next slice, or try */
	int64_t not_before_mono_us; /* the next run */
	struct rocks_partition *partition;
	struct rows_compact *run; /* owned */
	struct work work;
	struct rocks_turn turn;
	struct writer_write write;
	struct row_compacted after; /* of the partition, when that is written */
	bool slice_done;
	bool tidies;        /* so much went that RocksDB is to give back its space */
	struct fault fault; /* of the last slice; then of the run */
	int64_t slice_mono_us;
	int64_t began_mono_us;
};

struct rocks_shard {
	struct rocks *store;
	struct loop *loop;
	struct list partitions;
	struct timer look_timer; /* age, and what need not stay in memory */
	struct message look_start;
	bool look_started;
	unsigned trims; /* under way for retention */
	struct rocks_compaction compaction;
};

/* `offset` is the first one that was written under `epoch`. */
struct rocks_epoch {
	int32_t epoch;
	int64_t offset;
};

/* What one write takes of a partition; while it is the writer's nobody else looks at it. */
struct rocks_frame {
	struct writer_write write;
	struct slice batches; /* in the tail */
	int64_t total;        /* of what comes before */
	int64_t base_offset;
	int64_t end_offset;
	int64_t time;      /* highest timestamp */
	bool clear;        /* delete first whatever stands at base_offset or behind */
	bool saves_epochs; /* the partition's, which stay as they are meanwhile */
	bool saves_mark;   /* ends a stretch */
};

/* An append waits until the turn's COMMIT stage, is copied into the tail there with all others that
 * wait, and goes to the writer as one frame; one frame is in flight per partition, what comes
 * meanwhile makes the next one. When it is written its batches are shown, the high watermark moves,
 * the appends are answered in their order.
 *
 *   waiting --submit--> framed --writer--> answered --answer--> done()
 *
 * A frame that fails is taken back. If some of it may be in the database all the same
 * (`unsettled`), the next frame begins by deleting whatever stands where it will write.
 *
 * The tail holds the newest batches, so that who follows the log needs no worker. It is let go of
 * when nothing came for a while.
 *
 * Trims go one at a time: a worker finds the batch at which the log will begin, the writer moves
 * the log start and deletes what is below in one batch of writes. Compaction takes turns with them.
 *
 * Damage: offsets [from, to) cannot be read. Reads in it are refused, others go on; no writes until
 * a trim passes it. */
struct rocks_partition {
	struct store_partition base; /* first */
	struct rocks_topic *topic;   /* borrowed */
	struct rocks_shard *shard;   /* borrowed */
	struct row_home home;
	struct list node; /* in the shard's partitions */

	struct chunk *tail;         /* owned, one reference; NULL: none */
	int64_t tail_seen;          /* log end at the last look */
	int64_t total_start;        /* bytes ever appended, up to the batch of the log start */
	int64_t total_end;          /* … to the high watermark */
	int64_t total_dropped;      /* … when files were dropped last */
	int64_t first_row;          /* rows below are deleted */
	struct rocks_epoch *epochs; /* owned; rising; only epochs that have batches */
	uint32_t epoch_count;
	bool epochs_unsaved;
	int64_t mark_from;   /* the stretch that the next time mark is for: its first offset, */
	int64_t mark_total;  /* running total there, */
	int64_t mark_time;   /* and highest timestamp so far; INT64_MIN: it is empty */
	int64_t damage_from; /* -1: none */
	int64_t damage_to;

	/* Compaction leaves alone what is not finished: the newest, as segment.bytes and segment.ms
	 * say. */
	int64_t finished;               /* offset */
	int64_t finished_total;         /* running total there */
	int64_t unfinished_ms;          /* run clock: when the first behind it came */
	struct row_compacted compacted; /* as far as it has come */
	int64_t compacted_away;         /* bytes, since RocksDB was told to give back their space */
	bool is_uncompactable;          /* what it read was damaged */

	struct list waiting;  /* store_append: not looked at yet */
	struct list framed;   /* in the frame, or refused since the last one: answered with it */
	struct list answered; /* done() is due */
	size_t waiting_bytes;
	struct task submit;
	struct task answer;
	struct rocks_frame frame;
	bool in_flight; /* `frame` is the writer's */
	bool unsettled;

	struct list turns; /* struct rocks_turn; the first is under way */
	int64_t going;     /* rows below may go at any moment: the trim is being written; 0: none */
	/* reading.c's: visits that found rows gone, until that trim has ended */
	struct list overtaken;
	bool retaining;        /* one of them is for retention by bytes or count */
	bool expiring;         /* … by age */
	int64_t retained_upto; /* high watermark when that was looked at last; -1: do it again */
	struct age age;        /* of what is visible */
	unsigned visits;       /* reads, lookups and compaction under way on workers */

	void (*quiet)(
		struct rocks_partition *p); /* deleted: what to call when nothing is under way */
	void *quiet_context;
	struct task went_quiet;
};

struct rocks_topic {
	struct rocks *store;
	struct uuid uuid;
	struct store_topic *now; /* home; as last altered, a reference; owns the partitions */
	UT_hash_handle hh;       /* by UUID; home; not when deleted */
	char name[];
};

struct rocks {
	struct store base; /* first */
	struct store_config config;
	struct datadir dir;
	char *path;              /* owned: of the database */
	struct catalog *catalog; /* home */
	struct database database;
	struct writer *writer;
	struct rocks_shard *shards;        /* config.shard_count of them */
	struct rocks_topic *topics;        /* home */
	const struct store_topic **listed; /* what topics() gave out; NULL: nothing yet */
	struct now began;                  /* this run; ages count from it */
	int32_t leader_epoch;              /* of this run */
	unsigned operations;         /* home; topic operations, checkpoints and samples under way */
	struct rocks_backup *backup; /* home; being made or removed; NULL: none */
	char *backups_root;          /* owned */
	struct list starved;         /* home; checkpoints that there was no memory for … */
	struct task starve;          /* … to be told so */
	struct sampler *sampler;     /* home; what the metrics say */
	atomic_bool compacts;        /* one shard at a time */
};

static inline struct rocks *rocks_of(struct store *base)
{
	return CONTAINER_OF(base, struct rocks, base);
}

static inline struct rocks_partition *rocks_partition_of(struct store_partition *base)
{
	return CONTAINER_OF(base, struct rocks_partition, base);
}

/* At home, or while its partitions do not change. */
static inline struct rocks_partition *rocks_topic_partition(const struct rocks_topic *t,
                                                            uint32_t index)
{
	return rocks_partition_of(t->now->partitions[index]);
}

/* --- a partition (partition.c) ---------------------------------------------------------------- */

void rocks_partition_init(struct rocks_partition *p, struct rocks_topic *t,
                          const struct topic_spec *spec, uint32_t index, struct rocks_shard *shard);
void rocks_partition_fini(struct rocks_partition *p);

/* Takes no more writes, and why; not told to watchers. */
void rocks_partition_fence(struct rocks_partition *p, const char *why);
void rocks_partition_lift_fence(struct rocks_partition *p);

/* These offsets cannot be read; fences. */
void rocks_partition_set_damage(struct rocks_partition *p, int64_t from, int64_t to);

/* The log starts at `upto`, `total_start` bytes having been appended before the batch that holds it
 * (-1: not known). Lifts a fence that is passed. */
void rocks_partition_move_start(struct rocks_partition *p, int64_t upto, int64_t total_start);

/* How many bytes there are, after a change of what they are counted from. */
void rocks_partition_count_bytes(struct rocks_partition *p);

/* A read met damage: fences, says so in the log, and keeps it for the next start. */
void rocks_partition_damaged(struct rocks_partition *p, int64_t from, int64_t to,
                             const struct fault *why);

/* `offset` is the log end and a batch of `epoch` comes. False: there is no memory. */
bool rocks_partition_note_epoch(struct rocks_partition *p, int32_t epoch, int64_t offset);
int64_t rocks_partition_epoch_end(const struct rocks_partition *p, int32_t epoch);

/* On the clock of the run. */
int64_t rocks_run_ms(const struct rocks_shard *shard);

/* The topic is gone: watchers are told, all that waits is answered; when nothing is under way any
 * more `quiet` runs, once, in a WRITE stage, so after every answer. */
void rocks_partition_drop(struct rocks_partition *p, void (*quiet)(struct rocks_partition *p),
                          void *context);
/* One thing less is under way. */
void rocks_partition_check_quiet(struct rocks_partition *p);

/* --- the way in (append.c) -------------------------------------------------------------------- */

void rocks_append_init(struct rocks_partition *p);
void rocks_append(struct store_append *a);

/* --- the way out (reading.c) ------------------------------------------------------------------ */

void rocks_read(struct store_read *r);
void rocks_lookup_time(struct store_time_lookup *l);

/* A trim has ended: what was overtaken by it looks again. */
void rocks_read_again(struct rocks_partition *p);

/* --- trims and retention (trim.c) ------------------------------------------------------------- */

void rocks_trim(struct store_trim *t);

/* Its `begin` runs in a WORK stage; who got it must end it. */
void rocks_turn_ask(struct rocks_partition *p, struct rocks_turn *turn);
void rocks_turn_end(struct rocks_partition *p, struct rocks_turn *turn);

/* Trim what the topic's settings do not keep: by bytes and count once it is worth it (`all`: in any
 * case), by age if anything is too old. */
void rocks_retain(struct rocks_partition *p, bool all);

/* Have every shard look now and then; any thread. Not any more: no loop is running. */
void rocks_look_start(struct rocks *s);
void rocks_look_stop(struct rocks *s);

/* --- compaction (compaction.c) ---------------------------------------------------------------- */

/* Part of the look that each shard takes: begin a run, if there is something to compact and none is
 * running in the store. */
void rocks_compaction_look(struct rocks_shard *shard);

/* The partition is about to go: a run that has it ends soon. */
void rocks_compaction_leave(struct rocks_partition *p);

/* None begins any more, and the one that runs ends early. No loop is running. */
void rocks_compaction_stop(struct rocks *s);
bool rocks_compaction_is_idle(const struct rocks *s);

/* --- topics (topics.c) ------------------------------------------------------------------------ */

/* NULL: there is no memory. */
struct rocks_topic *rocks_topic_new(struct rocks *s, const struct topic_spec *spec);
void rocks_topic_free(struct rocks_topic *t);
/* Put its partitions from `first` on where their shard finds them. */
void rocks_topic_attach(struct rocks_topic *t, uint32_t first, struct rocks_shard *shard);
void rocks_topic_create(struct store_topic_op *o);
void rocks_topic_alter(struct store_topic_op *o);
void rocks_topic_delete(struct store_topic_op *o);

/* All rows of a topic go. */
void rocks_put_topic_deletion(const struct uuid *topic, const struct database *d,
                              rocksdb_writebatch_t *batch);

/* --- backups (backup.c) ----------------------------------------------------------------------- */

void rocks_backup(struct store_backup_op *o);
/* Blocking, nothing is under way: take away what a crash left. */
void rocks_backup_tidy(const struct rocks *s);

/* --- recovery (recovery.c) -------------------------------------------------------------------- */

/* The lock is held, nothing else is open. Fills catalog, database, topics and epoch. On failure
 * what was filled stays for the one who frees. */
enum err rocks_recover(struct rocks *s, struct fault *f) MUST_CHECK;

/* The row about the whole store in the database at `path`, which must be that of `id`:
 * ERR_NOT_FOUND, ERR_DIR_NEWER, ERR_DIR_FOREIGN, ERR_CORRUPT. */
enum err rocks_read_store_row(const struct database *d, const char *path, const struct uuid *id,
                              struct row_store *out, struct fault *f) MUST_CHECK;

/* … written and flushed. */
enum err rocks_write_store_row(const struct database *d, const struct row_store *row,
                               struct fault *f) MUST_CHECK;

/* Blocks; all is written and nothing under way: the next start has nothing to replay. */
enum err rocks_settle(struct rocks *s, struct fault *f) MUST_CHECK;

#endif
