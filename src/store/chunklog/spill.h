/* spill: what is new in memory goes to segment files, and chunks may leave memory for it.
 *
 *   gather   every shard lists its partitions that changed: references to the batches from what was
 *            saved to the high watermark
 *   write    a worker appends those bytes to segments, and flushes nothing
 *   put in   the partitions' `saved` says so from here on
 *   force
 *   heed     every shard hears which segments there are now; under `log` it lets go of chunks that
 *            are in them, and goes on with appends that waited for that (budget.h), also after a
 *            fault
 *
 * A checkpoint (checkpoint.h) begins with one, for which also log start and damage are gathered.
 * Under `log` they come without one too, whenever half of `storage.memory` is not in segments.
 * These go past the page cache, at a third of the processor time, if the one before has ended for
 * as long as such a write takes, and as long as a quarter of the memory is left: then the disk has
 * the time. Else they are copied into it, so that appends wait for that and not for the disk. What
 * was spilled is read back from segments and verified each time as all that comes from there. It is
 * not safe there: the manifest does not know of it, and a crash takes it away, but the WAL has it
 * until a manifest does (of class `none` nothing has: it is lost). A file that is no longer needed
 * is left to the next checkpoint.
 *
 * A start that replays more of the WAL than memory may hold spills on its own thread, and flushes
 * that before its manifest, which knows it.
 *
 * One that fails (no space, say) puts nothing in force: chunks stay, it is tried again a few
 * seconds later, and what it wrote is then written over. */
#ifndef BOURN_STORE_CHUNKLOG_SPILL_H
#define BOURN_STORE_CHUNKLOG_SPILL_H

#include "io/loop.h"
#include "store/chunklog/unpublished.h"

#include <stdatomic.h>

struct chunklog;
struct fanout;
struct save;

/* Home only, but for what the worker has while it runs. */
struct spill {
	bool for_checkpoint;
	bool is_due;      /* half of the memory is full */
	bool is_urgent;   /* … and soon all of it: a copy is done sooner than a write to disk */
	int64_t began_us; /* monotonic */
	int64_t ended_us; /* the one before; 0: there was none */
	int64_t write_us; /* that the last took which was due and not urgent */
	struct fanout *fanout; /* owned */
	struct work work;
	struct save **gathered;         /* owned; one list a shard */
	atomic_bool is_starved;         /* a shard had no memory to gather */
	struct save *saves;             /* owned; of all shards */
	int64_t began_bytes;            /* the budget's clock then */
	struct fault fault;             /* out */
	struct unpublished unpublished; /* by all since the last checkpoint began to publish */
	void (*done)(struct chunklog *log);
};

/* At home; none is running. `done` is called when every shard has heeded it, also after a fault. */
void spill_start(struct chunklog *log, bool for_checkpoint, void (*done)(struct chunklog *log));

/* Before the loops run, while the WAL is replayed: at once. Errors: what writing segments met; then
 * all stays in memory. */
enum err spill_replayed(struct chunklog *log, struct fault *f) MUST_CHECK;

/* … and before a manifest is written: what those spills wrote lasts. */
enum err spill_flush_replayed(struct chunklog *log, struct fault *f) MUST_CHECK;

void spill_init(struct chunklog *log);
void spill_fini(struct chunklog *log);

#endif
