/* expiry: retention by age (topic setting retention.ms): log_start moves past what is older.
 *
 * How old something is says core/age.h. It is looked after each append and by a timer of each
 * shard; what is found goes by a trim, as anybody's would: so a restart does not bring it back. The
 * newest batch is not spared: a topic that nobody writes to becomes empty. A fenced partition keeps
 * what it has until somebody looked.
 *
 * Owning shard, but for what says otherwise. */
#ifndef BOURN_STORE_CHUNKLOG_EXPIRY_H
#define BOURN_STORE_CHUNKLOG_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>

struct chunklog;
struct partition;

/* Records up to `end_offset` came in, in this run (`arrived`) or in one before; their newest
 * timestamp. */
void expiry_note(struct partition *p, int64_t end_offset, int64_t timestamp_ms, bool arrived);

/* Recovery is through with `p`: what nobody noted counts as born when the run began. */
void expiry_settle(struct partition *p);

/* Trim what is too old, if anything is. */
void expiry_look(struct partition *p);

/* Have every shard look now and then; any thread. */
void expiry_start(struct chunklog *log);

/* Not any more. No loop is running. */
void expiry_stop(struct chunklog *log);

#endif
