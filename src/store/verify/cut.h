/* cut: repairs what verify found by truncation: a damaged partition ends before its damage.
 *
 *   plan    verify_run finds out what would be lost (struct verify_config: plan)
 *   cut     what goes is copied beside, as `<file>.cut-<n>`, before anything is changed:
 *             WAL       frames of the cut partitions become marks, frames that are missing are put
 *                       in as marks; a copy of the whole file is kept
 *             manifest  says that the partition ends there; no longer clean, so that the next start
 *                       begins a new leader epoch and readers of what was lost are told
 *             segments  are cut, or moved aside when nothing of them stays
 *
 * After a crash at any point verify finds what is left to do. What no cut repairs is said by
 * `impossible`. Blocking. */
#ifndef BOURN_STORE_VERIFY_CUT_H
#define BOURN_STORE_VERIFY_CUT_H

#include "base/slice.h"
#include "base/uuid.h"
#include "core/topic.h"
#include "store/verify/verify.h"

#include <stddef.h>

/* One partition ends at `from` then: offsets from there up to `to`, not included, are lost. */
struct cut_partition {
	struct uuid topic;
	char name[TOPIC_NAME_BYTES_MAX + 1];
	uint32_t index;
	int64_t from;
	int64_t to;
};

/* Frames that are missing, and the byte from which on there is room to put marks instead. */
struct cut_gap {
	uint64_t file; /* number */
	int64_t at;
	uint64_t sequence;
	uint64_t count;
};

/* Zeroed: empty. */
struct verify_plan {
	struct cut_partition *partitions; /* owned */
	size_t partition_count;
	struct cut_gap *gaps; /* owned; by sequence */
	size_t gap_count;
	uint32_t manifest_crc;  /* of the directory that was looked at */
	const char *impossible; /* why no cut is made; NULL: it can be */
};

/* What tells one manifest, whole and checked, from another. */
uint32_t verify_plan_crc(struct slice manifest);

void verify_plan_fini(struct verify_plan *plan);

static inline bool verify_plan_is_empty(const struct verify_plan *plan)
{
	return plan->partition_count == 0 && plan->gap_count == 0;
}

/* Carry it out. Of `config` path, disk and clock count.
 *
 * Errors: as verify_run; ERR_BUSY: the directory is another than when the plan was made;
 *         ERR_DISK_FULL, ERR_IO. */
enum err verify_cut(const struct verify_config *config, const struct verify_plan *plan,
                    struct fault *f) MUST_CHECK;

#endif
