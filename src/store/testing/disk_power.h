/* disk_power: a simulated disk whose power goes at the n-th call that changes it, in the middle of
 * whatever its user was doing; from then on every call fails until it is back. Calls are made one
 * at a time, so none that was under way touches the disk after the cut. Only for tests. */
#ifndef BOURN_STORE_TESTING_DISK_POWER_H
#define BOURN_STORE_TESTING_DISK_POWER_H

#include "io/disk.h"

#include <pthread.h>
#include <stdatomic.h>

struct disk_power {
	struct disk base;
	struct disk_sim *sim;   /* owned */
	pthread_mutex_t turn;   /* held for each call that counts */
	atomic_uint calls_left; /* until the power goes; 0: it is gone */
	bool last_call_counts;  /* the call that the power cut meets has still reached the disk */
	bool kills;             /* not the power goes but the process: what was written stays */
};

/* As disk_sim_new; the power stays. */
void disk_power_init(struct disk_power *p, uint64_t seed, int64_t capacity_bytes);
void disk_power_fini(struct disk_power *p);

/* It is back, for `calls` calls (UINT_MAX: for good). Nobody may use the disk meanwhile. */
void disk_power_on(struct disk_power *p, unsigned calls, bool last_call_counts);

/* It stays from now on; false: it is gone already. */
bool disk_power_keep(struct disk_power *p);

static inline bool disk_power_is_off(struct disk_power *p)
{
	return atomic_load(&p->calls_left) == 0;
}

#endif
