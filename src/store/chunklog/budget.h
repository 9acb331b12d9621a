/* budget: how far appends may run ahead of segments in memory, under `log`, and of the manifest in
 * the WAL.
 *
 *   clock of chunk bytes:  … kept, or let go of … | not in segments yet: unsaved |
 *                                                 ^ saved_bytes                  ^ chunk_bytes
 *   clock of WAL bytes:    … a manifest has it …  | unpublished                  |
 *                                                 ^ published_wal                ^ written
 *
 * When half of `storage.memory` is unsaved a spill begins (spill.h); when all of it is, appends
 * wait until that one has ended. So memory stays within the budget however much faster appends come
 * than segments are written. When three times what makes a checkpoint due is unpublished, appends
 * wait for one: so a start has no more to replay, however much faster they come than the disk is.
 * While the last spill or checkpoint failed, appends that would wait are refused: with "disk full"
 * if that is why, else as busy.
 *
 * What is below a clock at the beginning of a spill or checkpoint is saved when it has ended well,
 * or gone. Chunks are counted whole when they are begun; one batch, and the room left in tail
 * chunks, come on top.
 *
 * Any thread. */
#ifndef BOURN_STORE_CHUNKLOG_BUDGET_H
#define BOURN_STORE_CHUNKLOG_BUDGET_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct chunklog;

/* Is there so much unsaved that a spill should begin? */
bool budget_is_due(const struct chunklog *log);

/* Any thread: is it nearly all of it, so that appends will soon wait for what is being spilled? */
bool budget_is_tight(const struct chunklog *log);

/* Is all of it unsaved? */
bool budget_is_spent(const struct chunklog *log);

/* Is there so much unsaved, or unpublished, that appends have to wait, or, while nothing can be
 * saved, to be refused? */
bool budget_is_full(const struct chunklog *log);

/* So much in the WAL makes a checkpoint due: as configured, but not more than memory has room for,
 * as a start reads it into memory. */
int64_t budget_checkpoint_bytes(const struct chunklog *log);

/* Bytes of the WAL. */
int64_t budget_unpublished(const struct chunklog *log);

/* What the WAL holds at the start is unpublished. At home. */
void budget_start(struct chunklog *log);

/* Why nothing can be saved; OK: it can. */
enum err budget_refusal(const struct chunklog *log, struct fault *f) MUST_CHECK;

/* Where the clocks stand: for budget_saved, if what is in memory now gets saved, and for
 * budget_published. */
int64_t budget_now(const struct chunklog *log);
int64_t budget_wal_now(const struct chunklog *log);

/* A spill ended: all that was begun before `upto` is saved; or it, or a checkpoint, failed. */
void budget_saved(struct chunklog *log, int64_t upto);
void budget_not_saved(struct chunklog *log, enum err why);

/* A checkpoint ended: a manifest has all that was in the WAL at `upto`. */
void budget_published(struct chunklog *log, int64_t upto);

#endif
