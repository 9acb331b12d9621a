/* compact_model: what was appended to a partition that is compacted, and so what must be left of
 * it. For tests; what is not so fails the test. */
#ifndef BOURN_STORE_TESTING_COMPACT_MODEL_H
#define BOURN_STORE_TESTING_COMPACT_MODEL_H

#include "store/testing/store_rig.h"

enum { MODEL_EVENTS_MAX = 200000, MODEL_KEYS = 50 };

/* Its place in the log is its offset, its timestamp, and what its value says. */
struct model_event {
	uint8_t key;
	bool is_tombstone;
};

/* Zeroed: an empty partition. */
struct compact_model {
	struct model_event events[MODEL_EVENTS_MAX];
	int64_t end;
};

/* One batch of `count` events of some 900 bytes, with keys and tombstones by chance. */
void compact_model_append(struct compact_model *m, struct store_rig *rig, struct store_partition *p,
                          int64_t count);

/* All that is there, from the log start on, is as it was appended, and what is not there was
 * followed by a later event of its key, or is a tombstone and `lacks_tombstones`. Returns how many
 * there are. */
int64_t compact_model_check(const struct compact_model *m, struct store_rig *rig,
                            struct store_partition *p, bool lacks_tombstones);

#endif
