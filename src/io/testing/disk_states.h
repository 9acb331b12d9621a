/* disk_states: what a crash may leave behind at each point of a trace.
 *
 * A crash point lies after each step that changed something. There a state is one choice of
 * - for each block written and not synced: as synced, as at some write since, or torn between the
 *   two at a sector;
 * - for each file: its size as synced, or as at some write since, or one between by whole blocks;
 * - for each directory: how many of its changes since it was synced have happened, in order.
 * Tried are: all happened (which is also what a kill -9 leaves), nothing did, each single one taken
 * back, each single one alone, and random choices. The same content may come many times, by many
 * ways: its hash tells. Only for tests. */
#ifndef BOURN_IO_TESTING_DISK_STATES_H
#define BOURN_IO_TESTING_DISK_STATES_H

#include "io/clock.h"
#include "io/testing/disk_model.h"

enum { STATE_PATH_BYTES_MAX = 256 };

/* A file or directory of a state. */
struct disk_state_entry {
	char path[STATE_PATH_BYTES_MAX];
	bool is_dir;
	const void *file; /* the same for all names of one file */
	struct model_content content;
	uint64_t hash;
};

struct disk_state {
	uint64_t hash;      /* of all paths and contents */
	size_t step;        /* the crash came after this step of the trace … */
	bool kept_all;      /* … and nothing was taken back */
	size_t marks_least; /* so many marks had come when the step was made … */
	size_t marks_most;  /* … and so many before the next one */
	size_t entry_count;
	const struct disk_state_entry *entries; /* parents first */
};

/* `s` is borrowed until it returns. False ends the walk. */
typedef bool disk_state_cb(void *arg, const struct disk_state *s);

struct disk_states_config {
	const struct disk_trace *trace; /* nobody adds to it meanwhile */
	size_t from_mark;               /* crash points before so many marks are passed over */
	unsigned random_count;          /* random choices a crash point */
	unsigned every;                 /* one in so many crash points is looked at; 0: each */
	uint64_t seed;
};

/* Returns the number of crash points that were looked at. */
size_t disk_states_each(const struct disk_states_config *config, disk_state_cb *each, void *arg);

/* Make it the content of an empty disk, all of it synced. */
void disk_state_write(const struct disk_state *s, struct disk *to);

#endif
