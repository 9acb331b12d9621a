/* budget: how much may wait in memory to be saved; only under `log`.
 *
 *   clock of chunk bytes:  … kept, or let go of … | not in segments yet: unsaved |
 *                                                 ^ saved_bytes                  ^ chunk_bytes
 *
 * When half of `storage.memory` is unsaved a checkpoint begins; when all of it is, appends wait until
 * that one has ended. So memory stays within the budget however much faster appends come than segments
 * are written. While the last checkpoint failed, appends that would wait are refused: with "disk
 * full" if that is why, else as busy.
 *
 * What is below the clock at a checkpoint's beginning is saved when it has ended well, or gone. Chunks
 * are counted whole when they are begun; one batch, and the room left in tail chunks, come on top.
 *
 * Any thread. */
#ifndef BOURN_STORE_CHUNKLOG_BUDGET_H
#define BOURN_STORE_CHUNKLOG_BUDGET_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct chunklog;

/* Is there so much unsaved that a checkpoint should begin? */
bool budget_is_due(const struct chunklog *log);

/* … and so much that appends have to wait, or, while nothing can be saved, to be refused? */
bool budget_is_full(const struct chunklog *log);

/* Why nothing can be saved; OK: it can. */
enum err budget_refusal(const struct chunklog *log, struct fault *f) MUST_CHECK;

/* Where the clock stands: for budget_saved, if what is in memory now gets saved. */
int64_t budget_now(const struct chunklog *log);

/* A checkpoint ended: all that was begun before `upto` is saved; or it failed. */
void budget_saved(struct chunklog *log, int64_t upto);
void budget_not_saved(struct chunklog *log, enum err why);

#endif
