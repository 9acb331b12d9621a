/* backup: the data directory as of one moment, as a data directory of its own in
 * `backups/<name>/`, made while appends and reads go on.
 *
 *   prepare  a worker sees whether the name is free, and takes away what a crash left of others
 *   hold … publish, end   a checkpoint (checkpoint.h) for which the shards stand still for a moment
 *   capture  in between, at home: the manifest of the backup, and a copy of the catalog
 *   make     a worker gives the segments of that manifest a second name in `backups/<name>.tmp`
 *            (backup_dir.h), writes all else, flushes, and gives the directory its name
 *
 * Until it is made no other checkpoint begins, so nothing is appended to these segments and none is
 * removed; the WAL takes what comes. A segment with two names is never written again under either
 * (segment.h), so the two directories live and die on their own.
 *
 * A backup begins a leader epoch of its own, far beyond those of its source: what it and its source
 * give out under the same offsets is told apart by readers' cursors. */
#ifndef BOURN_STORE_CHUNKLOG_BACKUP_H
#define BOURN_STORE_CHUNKLOG_BACKUP_H

#include "base/err.h"

#include <stdint.h>

struct backup;
struct chunklog;
struct store_backup_op;

/* As struct store_backup_op says. At home. */
void chunklog_backup(struct store_backup_op *o);

/* Blocking, nothing is under way: take away what a crash left. */
void backup_tidy(struct chunklog *log);

/* --- for the checkpoint that it asked for; at home ------------------------------------------- */

/* All up to `sequence`, and nothing beyond it, is in what partitions have as `saved`. */
void backup_capture(struct backup *b, uint64_t sequence);

/* It has ended; `fault` says how. Answered by checkpoint_backed_up. */
void backup_go_on(struct backup *b, const struct fault *fault);

#endif
