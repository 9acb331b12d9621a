#include "hook/arena.h"

#include "base/test.h"

#include <stdalign.h>

TEST(arena__gives_pieces_that_do_not_overlap)
{
	struct arena a = ARENA_INIT;
	uint8_t *before = NULL;

	for (size_t bytes = 0; bytes < 3000; bytes += 7) {
		uint8_t *piece = arena_alloc(&a, bytes);

		assert_non_null(piece);
		assert_int_equal((uintptr_t)piece % alignof(max_align_t), 0);
		assert_ptr_not_equal(piece, before);
		memset(piece, 0xaa, bytes);
		before = piece;
	}
	arena_fini(&a);
}

TEST(arena__ends_at_its_limit)
{
	struct arena a = {.limit = 64 << 10};

	assert_null(arena_alloc(&a, (64 << 10) + 1));
	assert_non_null(arena_alloc(&a, 48 << 10));
	assert_null(arena_alloc(&a, 48 << 10));
	assert_null(arena_alloc(&a, SIZE_MAX));
	arena_reset(&a);
	assert_non_null(arena_alloc(&a, 48 << 10));
	arena_fini(&a);
}

TEST(arena__serves_again_what_it_kept)
{
	struct arena a = ARENA_INIT;
	void *first = arena_alloc(&a, 100);

	assert_non_null(arena_alloc(&a, 1 << 20));
	arena_reset(&a);
	assert_ptr_equal(arena_alloc(&a, 100), first);
	arena_fini(&a);
}

TEST(arena__copies_none_as_none)
{
	struct arena a = ARENA_INIT;
	struct slice copy;

	assert_true(arena_copy(&a, SLICE_NONE, &copy));
	assert_null(copy.ptr);
	assert_true(arena_copy(&a, SLICE_LIT(""), &copy));
	assert_non_null(copy.ptr);
	assert_true(arena_copy(&a, SLICE_LIT("abc"), &copy));
	assert_true(slice_eq(copy, SLICE_LIT("abc")));
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(arena__gives_pieces_that_do_not_overlap),
		cmocka_unit_test(arena__ends_at_its_limit),
		cmocka_unit_test(arena__serves_again_what_it_kept),
		cmocka_unit_test(arena__copies_none_as_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
