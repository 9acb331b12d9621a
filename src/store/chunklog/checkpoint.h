/* checkpoint: what is new in memory goes to the segments, for good, so that the WAL before it can
 * go.
 *
 *   roll     the WAL begins a new file; S is the last sequence before it
 *   spill    what is new is appended to segments and put in force (spill.h)
 *   publish  a worker flushes every file that was written since the last manifest, by spills too,
 *            writes the manifest ("all frames up to S are in segments"), then removes segments that
 *            lie below their log start
 *   wake     every shard goes on with appends that waited for the WAL to shrink (budget.h), also
 *            after a fault
 *   end      the WAL may free what is up to S
 *
 * Why the spill sees every frame up to S: the WAL posts the completions of all of them before it
 * posts the end of the roll. A mailbox is one queue in the order of posting, whoever posts. A
 * shard's visit is posted after home got the end of the roll, so after the completions that went to
 * that shard. It may see later frames too; replay skips what lies below the saved end.
 *
 * While one publishes, which takes the disk its time, spills go on; the manifest is of the moment
 * before.
 *
 * For a backup (backup.h) it is of one moment for all partitions: before the roll every shard stops
 * to begin frames, so that none has a sequence beyond S when the shard is visited; the visit lets
 * them go on. They wait little longer than for the roll, which the WAL's one writer does anyway.
 * And until the backup has what it wants no other one begins, nor a spill, and no file of a topic
 * goes.
 *
 * Nothing of this is on the way of an acknowledgement. A checkpoint that fails (no space, say)
 * leaves the manifest, so also the WAL, as they were; it is tried again a few seconds later.
 *
 * But a failed flush is final. After it nobody knows which of the bytes are on disk, the kernel
 * calls the next flush a success, and the chunks they came from may be gone: so no manifest is
 * written again, and nothing spilled, before a restart has recovered from the last manifest and the
 * WAL. That goes on taking appends until it or the memory is full; then they are refused. */
#ifndef BOURN_STORE_CHUNKLOG_CHECKPOINT_H
#define BOURN_STORE_CHUNKLOG_CHECKPOINT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "io/loop.h"
#include "store/chunklog/unpublished.h"
#include "store/wal.h"

#include <stdatomic.h>

struct backup;
struct chunklog;
struct fanout;
struct manifest;
struct store_checkpoint;

/* Home only, but for what the worker has while it runs. */
struct checkpoint {
	bool running;
	bool spilling;             /* … up to the end of its spill; or a spill without one, or a
	                              compaction's swap */
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
	struct fanout *fanout;          /* owned; of all but the spill */
	struct unpublished unpublished; /* published by the one that runs, or by the next */
	struct buf manifest;
	uint64_t sequence;      /* S */
	uint64_t published;     /* S of the present manifest */
	int64_t began_wal;      /* the budget's clock of the WAL then */
	int64_t began_unlogged; /* bytes of class `none` that it covers */
	int64_t began_mono_us;
	int64_t saved_mono_us; /* what came before is in segments. Not by the wall clock: it may jump */
	int64_t not_before_mono_us; /* after a failure */
	struct fault fault;
	bool flush_failed;
	struct fault lost; /* a flush failed: none is made before a restart; OK: none did */
};

/* Recovery is through, `published` is set; any thread. */
void checkpoint_start(struct chunklog *log);

/* No more of them begin by themselves. No loop is running. */
void checkpoint_stop(struct chunklog *log);

/* Neither one nor a spill is under way, or asked for by checkpoint_nudge. */
bool checkpoint_is_idle(const struct chunklog *log);

/* May files of topics be removed? Not while a spill may write some, or a backup wants them. */
bool checkpoint_spares_files(const struct chunklog *log);

/* Any thread: look now whether one, or a spill, is due. */
void checkpoint_nudge(struct chunklog *log);

/* A compaction waits for its turn to change what is in segments: compaction_swap, then
 * checkpoint_swapped. At home. */
void checkpoint_ask_swap(struct chunklog *log);
void checkpoint_swapped(struct chunklog *log);

/* One that begins from now on answers `c`. */
void checkpoint_ask(struct chunklog *log, struct store_checkpoint *c);

/* One that begins from now on hands its state to `b`: backup_capture, then backup_go_on. At most
 * one is asked for at a time. */
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
