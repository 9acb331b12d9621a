#include "store/testing/sim_store.h"

#include "base/test.h"

void sim_store_init(struct sim_store *s, const struct store_ops *ops, unsigned shard_count,
                    uint64_t seed, int64_t disk_bytes)
{
	*s = (struct sim_store){.sim = disk_sim_new(seed, disk_bytes)};
	s->faults = disk_fault_new(disk_sim_disk(s->sim));
	s->disk = disk_fault_disk(s->faults);
	rig_init(&s->rig, ops, shard_count, s->disk, "/data", seed);
}

void sim_store_open(struct sim_store *s)
{
	const struct store_topic *t;
	struct fault f = {0};

	if (rig_try_open(&s->rig, &f))
		fail_msg("%s", f.where);
	t = rig_find(&s->rig, "a");
	s->p = (t ? t : rig_topic(&s->rig, "a", 1))->partitions[0];
}

void sim_store_fini(struct sim_store *s)
{
	disk_fault_disarm(s->faults);
	rig_fini(&s->rig);
	disk_fault_free(s->faults);
	disk_sim_free(s->sim);
}
