/* disk_model: the files of a trace as far as it was played: what is on the disk for sure, and what
 * was done since, in order, that a power cut may or may not take back.
 *
 *   file       synced: size, 4 KiB blocks    since: blocks as they were at each write, sizes
 *   directory  synced: names                 since: changes of names
 *
 * disk_states makes of it what may be found after a crash. Not thread safe; only for tests. */
#ifndef BOURN_IO_TESTING_DISK_MODEL_H
#define BOURN_IO_TESTING_DISK_MODEL_H

#include "io/testing/disk_trace.h"

enum { MODEL_BLOCK_BYTES = 4096, MODEL_SECTOR_BYTES = 512 };

/* Never changes; NULL instead of one that is all zeros. */
struct model_block {
	struct model_block *older; /* the model's list of all */
	uint64_t hash;
	uint8_t bytes[MODEL_BLOCK_BYTES];
};

struct model_content {
	int64_t size;
	size_t count;                      /* of `blocks` */
	const struct model_block **blocks; /* owned array; NULL: zeros */
};

struct model_names {
	size_t count, cap;
	struct model_name {
		const char *name; /* borrowed from the trace */
		struct model_node *node;
	} * list; /* owned */
};

/* Block `index` became `block`. */
struct model_unit {
	size_t index;
	const struct model_block *block;
	size_t size_index; /* how many of `sizes` had come when it was written */
};

/* One change of a directory; a rename is both, at once. */
struct model_change {
	const char *removed; /* NULL: none */
	const char *added;   /* NULL: none */
	struct model_node *node;
};

struct model_node {
	struct model_node *older; /* the model's list of all */
	bool is_dir;
	struct model_content now, synced;
	struct model_unit *units; /* owned; since the sync, in order, as the next two */
	size_t unit_count, unit_cap;
	int64_t *sizes; /* owned */
	size_t size_count, size_cap;
	struct model_names names_now, names_synced;
	struct model_change *changes; /* owned */
	size_t change_count, change_cap;
};

struct disk_model {
	struct model_node *root;
	struct model_node *nodes;   /* all there ever were */
	struct model_block *blocks; /* likewise */
	struct model_handle {
		int fd;
		struct model_node *node;
	} * handles; /* owned; open ones */
	size_t handle_count, handle_cap;
};

/* An empty disk. */
void disk_model_init(struct disk_model *m);
void disk_model_fini(struct disk_model *m);

/* What the step did. Steps are given in order; their paths are borrowed until fini. */
void disk_model_play(struct disk_model *m, const struct trace_step *s);

/* --- for disk_states --------------------------------------------------------------------- */

uint64_t model_block_hash(const uint8_t bytes[MODEL_BLOCK_BYTES]);
void model_names_copy(struct model_names *to, const struct model_names *from);
void model_names_change(struct model_names *names, const struct model_change *change);

#endif
