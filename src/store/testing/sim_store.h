/* sim_store: a store on a simulated disk of its own, whose calls are counted and may be made to
 * fail; with one topic, "a". For tests. */
#ifndef BOURN_STORE_TESTING_SIM_STORE_H
#define BOURN_STORE_TESTING_SIM_STORE_H

#include "io/disk.h"
#include "store/testing/store_rig.h"

struct sim_store {
	struct disk_sim *sim;
	struct disk_fault *faults;
	struct disk *disk;         /* the faults', as the store has it */
	struct store_rig rig;      /* before sim_store_open its limits may be set */
	struct store_partition *p; /* topic "a", partition 0 */
};

/* The data directory is "/data"; not opened yet. */
void sim_store_init(struct sim_store *s, const struct store_ops *ops, unsigned shard_count,
                    uint64_t seed, int64_t disk_bytes);

/* Opens, and makes topic "a" where it is not there yet; the test fails with the reason if it
 * cannot. */
void sim_store_open(struct sim_store *s);

/* Nothing fails any more; closes and frees all. */
void sim_store_fini(struct sim_store *s);

#endif
