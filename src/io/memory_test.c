#include "io/memory.h"

#include "base/test.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

enum { KEPT = 4, BLOCKS = 16 };

TEST(memory_pool__blocks_are_whole_on_their_boundary_and_apart)
{
	struct memory_pool *p = memory_pool_new(KEPT);
	uint8_t *blocks[BLOCKS];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < BLOCKS; i++) {
			blocks[i] = memory_pool_take(p);
			assert_non_null(blocks[i]);
			assert_int_equal((uintptr_t)blocks[i] % MEMORY_LARGE_BYTES, 0);
			memset(blocks[i], i, MEMORY_LARGE_BYTES);
		}
		for (int i = 0; i < BLOCKS; i++) {
			assert_int_equal(blocks[i][0], i);
			assert_int_equal(blocks[i][MEMORY_LARGE_BYTES - 1], i);
			memory_pool_give(p, blocks[i]);
		}
	}
	memory_pool_put(p);
}

TEST(memory_pool__what_was_given_is_taken_again)
{
	struct memory_pool *p = memory_pool_new(1);
	uint8_t *first = memory_pool_take(p);

	first[7] = 42;
	memory_pool_give(p, first);
	assert_ptr_equal(memory_pool_take(p), first);
	assert_int_equal(first[7], 42);
	memory_pool_give(p, first);
	memory_pool_put(p);
}

TEST(memory_map__is_zero_writable_and_gone)
{
	enum { BYTES = 100001 };
	uint8_t *block = memory_map(BYTES);
	unsigned char pages[BYTES / 4096 + 1];

	assert_non_null(block);
	for (size_t i = 0; i < BYTES; i++)
		assert_int_equal(block[i], 0);
	memset(block, 1, BYTES);
	memory_unmap(block, BYTES);
	assert_int_equal(mincore(block, BYTES, pages), -1);
	assert_null(memory_map(SIZE_MAX / 2));
}

TEST(memory_pool__a_block_may_outlive_its_owner)
{
	struct memory_pool *p = memory_pool_new(KEPT);
	uint8_t *block = memory_pool_take(p);

	memory_pool_put(p);
	memset(block, 1, MEMORY_LARGE_BYTES);
	memory_pool_give(p, block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_pool__blocks_are_whole_on_their_boundary_and_apart),
		cmocka_unit_test(memory_pool__what_was_given_is_taken_again),
		cmocka_unit_test(memory_map__is_zero_writable_and_gone),
		cmocka_unit_test(memory_pool__a_block_may_outlive_its_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
