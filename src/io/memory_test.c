#include "io/memory.h"

#include "base/test.h"
#include "io/loop.h"

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

/* Runs what was given to workers, and ends. */
static void end_loop(struct loop *l)
{
	loop_turn(l, 0);
	loop_free(l);
}

static struct loop *begin_loop(void)
{
	struct loop_config config = {.clock = clock_system(), .entropy = entropy_system()};
	struct loop *l = loop_new(&config, NULL);

	assert_non_null(l);
	return l;
}

static bool is_resident(void *block)
{
	unsigned char pages[MEMORY_LARGE_BYTES / 4096];

	assert_int_equal(mincore(block, MEMORY_LARGE_BYTES, pages), 0);
	for (size_t i = 0; i < sizeof(pages); i++)
		if (!(pages[i] & 1))
			return false;
	return true;
}

TEST(memory_pool__what_is_refilled_faults_no_more)
{
	struct memory_pool *p = memory_pool_new(KEPT);
	struct loop *l = begin_loop();
	uint8_t *first = memory_pool_take(p), *second;

	assert_false(is_resident(first));
	memory_pool_refill(p, l);
	end_loop(l);
	second = memory_pool_take(p);
	assert_true(is_resident(second));
	memory_pool_give(p, first);
	memory_pool_give(p, second);
	memory_pool_put(p);
}

TEST(memory_pool__nothing_is_refilled_before_a_block_is_taken)
{
	struct memory_pool *p = memory_pool_new(KEPT);
	struct loop *l = begin_loop();
	uint8_t *block;

	memory_pool_refill(p, l);
	end_loop(l);
	block = memory_pool_take(p);
	assert_false(is_resident(block));
	memory_pool_give(p, block);
	memory_pool_put(p);
}

TEST(memory_pool__a_refill_may_outlive_its_owner)
{
	struct memory_pool *p = memory_pool_new(KEPT);
	struct loop *l = begin_loop();

	memory_pool_give(p, memory_pool_take(p));
	memory_pool_refill(p, l);
	memory_pool_put(p);
	end_loop(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_pool__blocks_are_whole_on_their_boundary_and_apart),
		cmocka_unit_test(memory_pool__what_was_given_is_taken_again),
		cmocka_unit_test(memory_map__is_zero_writable_and_gone),
		cmocka_unit_test(memory_pool__a_block_may_outlive_its_owner),
		cmocka_unit_test(memory_pool__what_is_refilled_faults_no_more),
		cmocka_unit_test(memory_pool__nothing_is_refilled_before_a_block_is_taken),
		cmocka_unit_test(memory_pool__a_refill_may_outlive_its_owner),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
