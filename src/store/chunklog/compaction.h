/* compaction: of topics with cleanup.policy=compact, the last record of each key stays. One
 * partition at a time, of all the store: the one of which the largest part is not compacted yet.
 *
 *   look     at home, after each checkpoint and now and then: is there one to compact?
 *   map      a worker notes the keys (compact_run.h), a slice at a time, with rests between
 *   rewrite  … and writes one group of segments anew, into one file, flushed
 *   swap     when nothing else changes segments: the partition's `saved` has the new segment
 *            instead of the old ones; its shard hears so, as after a spill
 *   take     the shard lets go of the chunks of those; under `memory` those with what is left of
 *            them take their place
 *   publish  a checkpoint, at the end and now and then: its manifest has the new segments, after it
 *            the old files go (unpublished.h)
 *
 * Only segments that are finished are compacted, so never the last one. A reader that has an old
 * file open reads on; one that finds it gone asks its shard again. A new file counts when its name
 * has no ".new"; one that no manifest knows is removed by the next start, and what it stood for is
 * there. So a run may be cut off anywhere: groups that were published are compacted, the others are
 * as they were.
 *
 * Memory: the map (COMPACT_MAP_BYTES at most; when it is full the run goes as far as it knows, and
 * the next one goes on there), some MiB of buffers, and under `memory` what is left of one group.
 *
 * Home only, but for what the worker or the shard has while it is asked. */
#ifndef BOURN_STORE_CHUNKLOG_COMPACTION_H
#define BOURN_STORE_CHUNKLOG_COMPACTION_H

#include "io/loop.h"
#include "store/store.h"

struct chunklog;
struct compact_run;
struct partition;

enum compaction_state {
	COMPACTION_NONE,
	COMPACTION_MAP,
	COMPACTION_REWRITE,
	COMPACTION_WAIT, /* for its turn to swap */
	COMPACTION_SWAP,
	COMPACTION_TAKE,
	COMPACTION_PUBLISH,
	COMPACTION_END,
};

struct compaction {
	enum compaction_state state;
	bool stopping;
	bool looking;               /* the timer has been started */
	struct timer timer;         /* until the next look, or slice */
	struct message start;       /* of the timer, on home's loop */
	int64_t not_before_mono_us; /* after a failure */

	struct partition
		*partition;      /* of the run, borrowed: while there is one no topic is freed */
	struct compact_run *run; /* owned */
	struct work work;
	bool slice_done;
	struct fault fault; /* of the last slice; then of the run */
	int64_t slice_mono_us;
	struct message message; /* to the partition's shard, and back */
	struct timer retry;     /* on the partition's shard */
	struct store_checkpoint publish;
	int64_t unpublished_bytes; /* read since the last one */
	int64_t began_mono_us;
};

/* Recovery is through; any thread. */
void compaction_start(struct chunklog *log);

/* None begins any more, and the one that runs ends early. No loop is running. */
void compaction_stop(struct chunklog *log);

/* None is running. */
bool compaction_is_idle(const struct chunklog *log);

/* May files of deleted topics be removed, and those topics be freed? Not while one of them is
 * compacted, which ends soon. */
bool compaction_spares_files(struct chunklog *log);

/* Begin one, if there is something to compact and none is running. */
void compaction_look(struct chunklog *log);

/* Does one wait for its turn? Then: change `saved`; nothing else may until checkpoint_swapped. */
bool compaction_waits(const struct chunklog *log);
void compaction_swap(struct chunklog *log);

#endif
