/* event_log: numbered events in a partition, and whether all of them are there. For tests. */
#ifndef BOURN_STORE_TESTING_EVENT_LOG_H
#define BOURN_STORE_TESTING_EVENT_LOG_H

#include "store/testing/store_rig.h"

/* Append events number `from` to `to` - 1, each as a batch of its own of about `bytes` bytes, all
 * under way at once; the first fault met, or OK. Event n is meant to get offset n. */
enum err event_log_append(struct store_rig *r, struct store_partition *p, int64_t from, int64_t to,
                          size_t bytes) MUST_CHECK;

/* Read from `from`: the offset at which reading stopped, because it is the high watermark (OK) or
 * with the fault in `*why`. CHECKs that each event there is the one of its offset, without a
 * gap. */
int64_t event_log_read(struct store_rig *r, struct store_partition *p, int64_t from, enum err *why);

/* Reads all from the log start: true when that ends at `end` without a fault. */
bool event_log_is_whole(struct store_rig *r, struct store_partition *p, int64_t end);

#endif
