/* The files and directories of disk_sim: each is kept twice, as written and as synced.
 *
 *   file       now: size, 4 KiB blocks       synced: the same, as the last sync found it
 *   directory  now: names → nodes            synced: the same, and the changes made since, in order
 *
 * A crash makes of both one: for a directory some first part of its changes has happened, for a
 * file each block that differs is new, old, torn or zeros. Not thread safe. */
#ifndef BOURN_IO_DISK_SIM_NODE_H
#define BOURN_IO_DISK_SIM_NODE_H

#include "base/slice.h"
#include "io/clock.h"

#include <sys/types.h>

enum { SIM_BLOCK_BYTES = 4096, SIM_SECTOR_BYTES = 512 };

/* Of the whole disk. */
struct sim_space {
	int64_t used; /* bytes in blocks of what is written and not removed */
	int64_t capacity;
};

struct sim_content {
	int64_t size;
	size_t count;            /* of `blocks` */
	const uint8_t **blocks;  /* owned, but for the one block of zeros that all share; NULL:
	                            zeros too, but they take no space */
	struct sim_space *space; /* where its blocks are counted; NULL: nowhere */
};

struct sim_names {
	size_t count, cap;
	struct sim_name {
		char *name;            /* owned */
		struct sim_node *node; /* shared */
	} * list;
};

/* One change of a directory; a rename is both, at once. */
struct sim_change {
	char *removed;         /* owned; NULL: none */
	char *added;           /* owned; NULL: none */
	struct sim_node *node; /* shared: what was added; NULL: none */
};

struct sim_node {
	unsigned holders; /* names, changes and descriptors; freed with the last */
	unsigned links;   /* names in directories as they are now */
	unsigned opens;   /* descriptors */
	bool is_dir;
	const void *locked_by; /* the descriptor; NULL: none */

	struct sim_content now, synced;
	size_t dirty_from, dirty_until; /* blocks that may differ */
	bool forgotten; /* removed and closed: `now` was dropped to give its space back */

	struct sim_names names_now, names_synced;
	size_t change_count, change_cap;
	struct sim_change *changes; /* since the directory was synced */
};

struct sim_node *sim_node_new(bool is_dir, struct sim_space *space);
struct sim_node *sim_node_get(struct sim_node *n);
void sim_node_put(struct sim_node *n);

/* Give the space of a file back that has neither name nor descriptor any more. */
void sim_node_forget_if_gone(struct sim_node *n);

/* Bytes written, fewer when the disk becomes full; -ENOSPC when there is room for none. */
ssize_t sim_file_write(struct sim_node *n, struct slice bytes, int64_t at);
size_t sim_file_read(const struct sim_node *n, uint8_t *into, size_t len, int64_t at);
void sim_file_resize(struct sim_node *n, int64_t size);
void sim_file_sync(struct sim_node *n);

/* NULL: there is none. */
struct sim_node *sim_dir_find(const struct sim_node *dir, const char *name);
/* Remove a name, add another for `node` in the place of what may have it, or both at once. */
void sim_dir_change(struct sim_node *dir, const char *removed, const char *added,
                    struct sim_node *node);
void sim_dir_sync(struct sim_node *dir);

/* `root` and all below it. */
void sim_tree_sync(struct sim_node *root);

/* The power is cut and comes again: for `root` and all below it. */
void sim_tree_crash(struct sim_node *root, struct entropy_seeded *random);

#endif
