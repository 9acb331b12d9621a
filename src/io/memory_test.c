#include "io/memory.h"

#include "base/test.h"

#include <stdint.h>
#include <string.h>

TEST(memory_large__is_zeros_on_its_boundary_and_apart)
{
	enum { BLOCKS = 16 };
	uint8_t *blocks[BLOCKS];

	for (int i = 0; i < BLOCKS; i++) {
		blocks[i] = memory_large_new();
		assert_non_null(blocks[i]);
		assert_int_equal((uintptr_t)blocks[i] % MEMORY_LARGE_BYTES, 0);
		for (size_t at = 0; at < MEMORY_LARGE_BYTES; at += 1024)
			assert_int_equal(blocks[i][at], 0);
		memset(blocks[i], i, MEMORY_LARGE_BYTES);
	}
	for (int i = 0; i < BLOCKS; i++) {
		assert_int_equal(blocks[i][0], i);
		assert_int_equal(blocks[i][MEMORY_LARGE_BYTES - 1], i);
		memory_large_free(blocks[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_large__is_zeros_on_its_boundary_and_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
