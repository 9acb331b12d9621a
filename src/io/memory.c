#include "io/memory.h"

#include "base/check.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

static void unmap(uint8_t *from, const uint8_t *to)
{
	if (from < to)
		CHECK(munmap(from, (size_t)(to - from)) == 0);
}

void *memory_large_new(void)
{
	uint8_t *all = mmap(NULL, 2 * MEMORY_LARGE_BYTES, PROT_READ | PROT_WRITE,
	                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *block;

	if (all == MAP_FAILED)
		return NULL;
	block = all +
	        (MEMORY_LARGE_BYTES - (uintptr_t)all % MEMORY_LARGE_BYTES) % MEMORY_LARGE_BYTES;
	unmap(all, block);
	unmap(block + MEMORY_LARGE_BYTES, all + 2 * MEMORY_LARGE_BYTES);
	(void)madvise(block, MEMORY_LARGE_BYTES, MADV_HUGEPAGE); /* a wish */
	return block;
}

void memory_large_free(void *block)
{
	unmap(block, (uint8_t *)block + MEMORY_LARGE_BYTES);
}
