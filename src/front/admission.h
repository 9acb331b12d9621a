/* admission: how many connections there may be, in all and from one address; shared by all shards.
 *
 * Loopback addresses count only in the total: everything behind a local proxy has the same one. */
#ifndef BOURN_FRONT_ADMISSION_H
#define BOURN_FRONT_ADMISSION_H

#include "base/slice.h"

struct admission;

enum {
	ADMISSION_CONNECTIONS = 20000,
	ADMISSION_PER_ADDRESS = 1000,
};

struct admission *admission_new(size_t connections_max, size_t per_address_max);
void admission_free(struct admission *a); /* all have left */

/* Any thread. `address` without its port; SLICE_NONE for one that is counted only in the total.
 * False when a limit is reached; else admission_leave is owed, with the same address. */
bool admission_enter(struct admission *a, struct slice address);
void admission_leave(struct admission *a, struct slice address);

#endif
