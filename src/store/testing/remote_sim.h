/* remote_sim: an engine for tests whose logs live "elsewhere", as they will on a Kafka cluster.
 *
 * What it does that a local engine never does, so that nothing comes to rely on the contrary:
 * every operation takes some timer ticks; a batch is first in the remote's log (and with readers),
 * its writer hears of it later; base offsets have gaps (holes and control batches); others append.
 * Appends to a partition keep their order, as the contract wants. Chance comes from the
 * configuration's entropy: a seed repeats a run as far as the loop's timing does.
 *
 * Not durable: logs are saved in the data directory by close, and only there. */
#ifndef BOURN_STORE_TESTING_REMOTE_SIM_H
#define BOURN_STORE_TESTING_REMOTE_SIM_H

#include "store/store.h"

extern const struct store_ops store_remote_sim;

/* Chance, in percent, that an append comes with a gap; 25 unless set. Of the topics created from
 * now on. Shard 0's thread. */
void remote_sim_set_gaps(struct store *s, unsigned percent);

/* Somebody else appends `batches` batches of one event each (value "foreign") in the ticks to
 * come, between ours. Owning shard. */
void remote_sim_foreign(struct store_partition *p, unsigned batches);

#endif
