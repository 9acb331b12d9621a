/* crash_oracle: starts the engine on what a crash left (observe), and says whether what it found is
 * what the ledger of a crash_run allows (judge). One observation can be held against several points
 * of the ledger. Only for tests. */
#ifndef BOURN_STORE_TESTING_CRASH_ORACLE_H
#define BOURN_STORE_TESTING_CRASH_ORACLE_H

#include "io/testing/disk_states.h"
#include "store/testing/crash_run.h"

enum {
	ORACLE_TEXT_BYTES = 240,
	SEEN_GAP = UINT8_MAX, /* only in compacted topics */
};

struct seen_partition {
	bool there;
	int64_t log_start;
	int64_t from;                    /* first offset read: of the batch that holds log_start */
	int64_t end;                     /* high watermark */
	uint8_t numbers[RUN_EVENTS_MAX]; /* of the events at from, from + 1, …; SEEN_GAP: none */
};

struct observation {
	char broken[ORACLE_TEXT_BYTES]; /* wrong whatever had been promised; "": nothing */
	bool there[RUN_TOPICS];
	struct seen_partition partitions[RUN_TOPICS][RUN_PARTITIONS];
};

/* Starts on a disk of its own with that content (now and then the power goes in the middle of the
 * first start), reads everything, appends to every partition, stops
 * and starts again: it must then find the same and what it appended. */
void oracle_observe(const struct crash_run *r, const struct disk_state *s, struct observation *o);

/* The same of one of its backups, after its source has been started and written to. False: it is
 * not there. */
bool oracle_observe_backup(const struct crash_run *r, const struct disk_state *s, unsigned backup,
                           struct observation *o);

struct verdict {
	uint64_t missing; /* acknowledged events that had to be there and were not */
	uint64_t duplicates;
	uint64_t disorder;
	uint64_t other;
	char text[ORACLE_TEXT_BYTES]; /* of the first one found */
};

/* As if the crash had come after the ledger's first `lines`. `killed`: it was a kill -9. Adds to
 * `*v`; false: something is wrong. */
bool oracle_judge(const struct crash_run *r, size_t lines, bool killed, const struct observation *o,
                  struct verdict *v);

/* The same of a backup; `o` NULL: it is not there. */
bool oracle_judge_backup(const struct crash_run *r, size_t lines, unsigned backup,
                         const struct observation *o, struct verdict *v);

#endif
