/* checkpoint: what is new in memory goes to the segments, so that the WAL before it can go.
 *
 *   roll     the WAL begins a new file; S is the last sequence before it
 *   gather   every shard lists its partitions that changed: references to the batches from what was
 *            saved to the high watermark, log start, damage
 *   save     a worker appends those bytes to segments and flushes them
 *   publish  a worker writes the manifest ("all frames up to S are in segments"), then removes
 *            segments that lie below their log start
 *   heed     every shard hears which segments there are now; under `log` it lets go of chunks that
 *            are in them, and goes on with appends that waited for that (budget.h), also after a fault
 *   end      the WAL may free what is up to S
 *
 * Why gather sees every frame up to S: the WAL posts the completions of all of them before it posts
 * the end of the roll. A mailbox is one queue in the order of posting, whoever posts. A shard's visit
 * is posted after home got the end of the roll, so after the completions that went to that shard.
 * It may see later frames too; replay skips what lies below the saved end.
 *
 * For a backup (backup.h) it is of one moment for all partitions: before the roll every shard stops
 * to begin frames, so that none has a sequence beyond S when the shard is visited; the visit lets
 * them go on. They wait little longer than for the roll, which the WAL's one writer does anyway.
 * And after it has ended no other one begins, and no file of a topic goes, until the backup has what
 * it wants.
 *
 * Nothing of this is on the way of an acknowledgement. A checkpoint that fails (no space, say) leaves
 * the manifest, so also the WAL, as they were; it is tried again a few seconds later. What it wrote
 * beyond the manifest's lengths is then written over. */
#ifndef BOURN_STORE_CHUNKLOG_CHECKPOINT_H
#define BOURN_STORE_CHUNKLOG_CHECKPOINT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "io/loop.h"
#include "store/wal.h"

#include <stdatomic.h>

struct backup;
struct chunklog;
struct fanout;
struct manifest;
struct save;
struct store_checkpoint;

/* Home only, but for what the worker has while it runs. */
struct checkpoint {
	bool running;
	bool clean;                /* this one is the last of this run */
	struct list asked;         /* store_checkpoint: answered by the next one to begin */
	struct list answered;      /* … by the one that runs */
	struct backup *wanted;     /* asked for one; NULL: none did, as in the next */
	struct backup *backup;     /* gets the one that runs */
	struct timer timer;        /* looks whether one is due */
	struct wal_stats reported; /* what the metrics were told */
	struct message start;      /* of the timer, on home's loop */
	bool looking;              /* it has begun */
	struct message nudge;      /* of checkpoint_nudge, to home */
	atomic_bool nudged;        /* it is under way */
	struct wal_roll roll;
	struct work work;
	struct fanout *fanout;  /* owned */
	struct save **gathered; /* owned; one list a shard */
	struct save *saves;     /* owned; of all shards */
	struct buf manifest;
	uint64_t sequence;   /* S */
	uint64_t published;  /* S of the present manifest */
	int64_t bytes;       /* written to segments */
	int64_t began_bytes; /* the budget's clock then */
	int64_t began_mono_us;
	int64_t saved_mono_us; /* what came before is in segments. Not by the wall clock: it may jump */
	int64_t not_before_mono_us; /* after a failure */
	struct fault fault;
};

/* Recovery is through, `published` is set; any thread. */
void checkpoint_start(struct chunklog *log);

/* No more of them begin by themselves. No loop is running. */
void checkpoint_stop(struct chunklog *log);

/* Any thread: look now whether one is due. */
void checkpoint_nudge(struct chunklog *log);

/* One that begins from now on answers `c`. */
void checkpoint_ask(struct chunklog *log, struct store_checkpoint *c);

/* One that begins from now on hands its state to `b`: backup_capture, then backup_go_on. At most one is
 * asked for at a time. */
void checkpoint_ask_backup(struct chunklog *log, struct backup *b);

/* The backup needs nothing more of it: others may begin. */
void checkpoint_backed_up(struct chunklog *log);

/* At home: what partitions have as `saved`; `out` is empty, and may fail. */
void checkpoint_encode_manifest(struct chunklog *log, const struct manifest *m, struct buf *out);

/* The last one; the next start finds nothing to replay. None is running. */
void checkpoint_finish(struct chunklog *log);

/* Blocking, no shard at work: the manifest of what partitions have as `saved`. */
enum err checkpoint_write_manifest(struct chunklog *log, uint64_t sequence,
                                   struct fault *f) MUST_CHECK;

#endif
