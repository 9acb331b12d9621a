#include "io/memory.h"

#include "base/check.h"
#include "base/shared.h"
#include "io/loop.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE_BYTES = 4 << 10 };

struct memory_pool {
	struct shared shared; /* first; held by the owner, each block that is out, and a refill */
	atomic_bool is_low;   /* nothing was left at the last take: the next one faults */
	atomic_bool refilling;
	pthread_mutex_t lock; /* of what follows */
	unsigned kept_max;
	unsigned count;
	void *kept[];
};

/* --- of the system ---------------------------------------------------------------------------- */

void *memory_map(size_t bytes)
{
	void *block = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return block == MAP_FAILED ? NULL : block;
}

void memory_unmap(void *block, size_t bytes)
{
	CHECK(munmap(block, bytes) == 0);
}

static void unmap(uint8_t *from, uint8_t *to)
{
	if (from < to)
		memory_unmap(from, (size_t)(to - from));
}

static void *block_new(void)
{
	uint8_t *all = memory_map(2 * MEMORY_LARGE_BYTES);
	uint8_t *block;

	if (!all)
		return NULL;
	block = all +
	        (MEMORY_LARGE_BYTES - (uintptr_t)all % MEMORY_LARGE_BYTES) % MEMORY_LARGE_BYTES;
	unmap(all, block);
	unmap(block + MEMORY_LARGE_BYTES, all + 2 * MEMORY_LARGE_BYTES);
	(void)madvise(block, MEMORY_LARGE_BYTES, MADV_HUGEPAGE); /* a wish */
	return block;
}

static void block_free(void *block)
{
	memory_unmap(block, MEMORY_LARGE_BYTES);
}

/* --- the pool --------------------------------------------------------------------------------- */

static void pool_free(struct shared *s)
{
	struct memory_pool *p = CONTAINER_OF(s, struct memory_pool, shared);

	while (p->count > 0)
		block_free(p->kept[--p->count]);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

struct memory_pool *memory_pool_new(unsigned kept_max)
{
	struct memory_pool *p = calloc(1, sizeof(*p) + kept_max * sizeof(p->kept[0]));

	if (!p)
		return NULL;
	shared_init(&p->shared, pool_free);
	pthread_mutex_init(&p->lock, NULL);
	p->kept_max = kept_max;
	return p;
}

void memory_pool_put(struct memory_pool *p)
{
	shared_put(&p->shared);
}

void *memory_pool_take(struct memory_pool *p)
{
	void *block = NULL;

	pthread_mutex_lock(&p->lock);
	if (p->count > 0)
		block = p->kept[--p->count];
	atomic_store_explicit(&p->is_low, p->count == 0, memory_order_relaxed);
	pthread_mutex_unlock(&p->lock);
	if (!block)
		block = block_new();
	if (block)
		shared_get(&p->shared);
	return block;
}

/* Or free it. */
static void keep(struct memory_pool *p, void *block)
{
	bool is_kept;

	pthread_mutex_lock(&p->lock);
	is_kept = p->count < p->kept_max;
	if (is_kept)
		p->kept[p->count++] = block;
	pthread_mutex_unlock(&p->lock);
	if (!is_kept)
		block_free(block);
}

void memory_pool_give(struct memory_pool *p, void *block)
{
	keep(p, block);
	shared_put(&p->shared);
}

/* --- refilling -------------------------------------------------------------------------------- */

struct refill {
	struct work work;
	struct memory_pool *pool;
};

/* Touched, and not populated by madvise: that would keep the loop from mapping anything
 * meanwhile. */
static void refill(struct work *w)
{
	struct refill *r = CONTAINER_OF(w, struct refill, work);
	volatile uint8_t *block = block_new();

	if (!block)
		return;
	for (size_t at = 0; at < MEMORY_LARGE_BYTES; at += PAGE_BYTES)
		block[at] = 0;
	keep(r->pool, (void *)(uintptr_t)block);
}

static void refilled(struct work *w)
{
	struct refill *r = CONTAINER_OF(w, struct refill, work);

	atomic_store_explicit(&r->pool->refilling, false, memory_order_relaxed);
	shared_put(&r->pool->shared);
	free(r);
}

void memory_pool_refill(struct memory_pool *p, struct loop *l)
{
	struct refill *r;

	if (!atomic_load_explicit(&p->is_low, memory_order_relaxed) ||
	    atomic_exchange(&p->refilling, true))
		return;
	atomic_store_explicit(&p->is_low, false, memory_order_relaxed);
	r = calloc(1, sizeof(*r));
	if (!r) {
		atomic_store_explicit(&p->refilling, false, memory_order_relaxed);
		return;
	}
	shared_get(&p->shared);
	*r = (struct refill){.work = {.run = refill, .done = refilled}, .pool = p};
	loop_work(l, &r->work);
}
