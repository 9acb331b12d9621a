/* store_rig: a store of any engine on loops of its own, in a temporary directory, all on the
 * calling thread; and its operations as plain calls that return when done. For tests. What a test
 * could not go on without is a CHECK. */
#ifndef BOURN_STORE_TESTING_STORE_RIG_H
#define BOURN_STORE_TESTING_STORE_RIG_H

#include "base/buf.h"
#include "io/log.h"
#include "io/metrics.h"
#include "record/batch.h"
#include "store/store.h"
#include "store/testing/fault_store.h"

enum { RIG_SHARDS_MAX = 4, RIG_DIR_BYTES_MAX = 64 };

struct store_rig {
	const struct store_ops *ops;
	unsigned shard_count;
	bool wrapped;
	struct disk *disk;        /* borrowed */
	int64_t wal_file_bytes;   /* 0: as usual */
	int64_t memory_bytes;     /* the store's budget; may be changed while it is shut, as may */
	int64_t checkpoint_bytes; /* … what makes a checkpoint due */
	char dir[RIG_DIR_BYTES_MAX];
	struct log *log;
	struct clock *clock;     /* the store's and the loops'; the system's, but between rig_init
				    and the first rig_try_open a test may give its own */
	struct entropy *entropy; /* the store's and the loops' */
	struct entropy_seeded entropy_seeded;
	struct entropy_seeded dice; /* the test's */
	struct metrics metrics[RIG_SHARDS_MAX];
	struct loop *loops[RIG_SHARDS_MAX];
	struct store *store;
	struct fault_store *faults; /* NULL: not wrapped */
};

/* Makes the directory and the loops, opens the store; `wrapped`: behind a fault_store. Seed 0: the
 * system's randomness, as loops on threads of their own need. */
void rig_open(struct store_rig *r, const struct store_ops *ops, unsigned shard_count, bool wrapped,
              uint64_t seed);
/* Can a store of that engine be opened here at all? Says so if not: an engine's library may be
 * missing, and what asks for it is skipped. */
bool rig_has_engine(const struct store_ops *ops);
/* Without opening: for a directory and disk of the caller's, and stores that may not open. Says
 * nothing in the log. */
void rig_init(struct store_rig *r, const struct store_ops *ops, unsigned shard_count,
              struct disk *disk, const char *dir, uint64_t seed);
enum err rig_try_open(struct store_rig *r, struct fault *f) MUST_CHECK;
/* Close the store, if it is open, and free the loops; shard_count may be changed then. */
void rig_shut(struct store_rig *r);
/* Shut, and the rest; the directory stays. */
void rig_fini(struct store_rig *r);
/* Closes and opens again: whatever pointed into the store is void. */
void rig_reopen(struct store_rig *r);
/* Closes and removes the directory. */
void rig_close(struct store_rig *r);
/* Shuts it, and the directory holds what it did before that, as if the process had been killed. On
 * the system's disk only. */
void rig_kill(struct store_rig *r);

/* A whole directory; `to` is not there yet. */
void rig_copy_dir(const char *from, const char *to);
void rig_remove_dir(const char *dir);

/* Run all loops until `*until`; false when that takes longer than a minute. */
bool rig_run(struct store_rig *r, const bool *until);

/* --- operations; `f` (may be NULL) is filled, the code returned ---------------------------- */

/* The topic exists afterwards: CHECKed. Class commit, default limits. */
const struct store_topic *rig_topic(struct store_rig *r, const char *name, uint32_t partitions);
enum err rig_create(struct store_rig *r, const struct topic_spec *spec,
                    const struct store_topic **out, struct fault *f);
enum err rig_alter(struct store_rig *r, const struct topic_spec *spec,
                   const struct store_topic **out, struct fault *f);
enum err rig_delete(struct store_rig *r, const struct store_topic *topic, struct fault *f);
/* NULL when the store lists none of that name; before the loops run, as after rig_reopen. */
const struct store_topic *rig_find(struct store_rig *r, const char *name);
/* A spec to create from: random uuid, class commit. */
struct topic_spec rig_spec(struct store_rig *r, const char *name, uint32_t partitions);

enum err rig_append(struct store_rig *r, struct store_partition *p, struct slice batch,
                    int64_t *base_offset);
/* What comes back stays until `*holder` is put (NULL: nothing came). */
enum err rig_read(struct store_rig *r, struct store_partition *p, int64_t offset, size_t bytes_max,
                  struct slice *batches, struct shared **holder);
/* The same, but as a range if there is one. */
enum err rig_read_range(struct store_rig *r, struct store_partition *p, int64_t offset,
                        int64_t range_bytes_max, struct store_range *range, struct slice *batches,
                        struct shared **holder);
enum err rig_lookup(struct store_rig *r, struct store_partition *p, int64_t time_ms,
                    int64_t *offset);
enum err rig_trim(struct store_rig *r, struct store_partition *p, int64_t upto);
enum err rig_checkpoint(struct store_rig *r);
/* `o` says verb and name; what comes back in it is the caller's. */
enum err rig_backup(struct store_rig *r, struct store_backup_op *o);

/* --- batches ------------------------------------------------------------------------------- */

/* One batch of `count` records with these timestamps (NULL: all 0), each value `value` and its
 * index ("value 0", …); in `to`, which is cleared first. */
struct slice rig_batch(struct buf *to, const char *value, const int64_t *timestamps,
                       uint32_t count);

#endif
