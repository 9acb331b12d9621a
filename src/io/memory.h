/* memory: what stays long and is large, apart from the heap.
 *
 * A pool has blocks so large that the system's large pages hold them: one fault a block instead of
 * five hundred. Where the system has none to give (or is told not to) they are as any. It keeps a
 * few of those that were freed, so that a steady flow of them costs neither fault nor zeroing; and
 * while it gives out new ones, it has the next one made by a worker, for the fault is a millisecond
 * or more. */
#ifndef BOURN_IO_MEMORY_H
#define BOURN_IO_MEMORY_H

#include <stddef.h>

/* Whole pages of the system's, zeroed, and its own again when they are freed, whatever else the
 * heap holds; NULL when there is no memory. Any thread. */
void *memory_map(size_t bytes);
void memory_unmap(void *block, size_t bytes);

enum { MEMORY_LARGE_BYTES = 2 << 20 };

struct loop;
struct memory_pool;

/* It keeps at most `kept_max` blocks that are free; NULL when there is no memory. */
struct memory_pool *memory_pool_new(unsigned kept_max);

/* Its owner is through. The last block that is given back takes it along. */
void memory_pool_put(struct memory_pool *p);

/* MEMORY_LARGE_BYTES with anything in them, on such a boundary; NULL when there is no memory. Any
 * thread. */
void *memory_pool_take(struct memory_pool *p);

/* When the last block kept was taken, or a new one: have a worker of `l` make one, ready to be
 * written to. The loop's thread; it costs nothing when there is nothing to do. */
void memory_pool_refill(struct memory_pool *p, struct loop *l);

/* A block that was taken there. Any thread. */
void memory_pool_give(struct memory_pool *p, void *block);

#endif
