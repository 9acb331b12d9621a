/* CHECK: an assertion that stays on in production.
 *
 * For bugs only: preconditions, invariants after a state change. What a peer or a disk sent is
 * never checked with it; that is a refusal or a fault (err.h). One condition a line. */
#ifndef BOURN_BASE_CHECK_H
#define BOURN_BASE_CHECK_H

#include <stddef.h>

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (__builtin_expect(!(condition), 0))                                             \
			check_failed(#condition, __FILE__, __LINE__, __func__);                    \
	} while (0)

#define UNREACHABLE() check_failed("unreachable", __FILE__, __LINE__, __func__)

/* Prints what failed and where to stderr, then aborts. */
_Noreturn void check_failed(const char *condition, const char *file, int line,
                            const char *function);

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that holds `member` at `pointer`: the checked down-cast of every interface here. */
#define CONTAINER_OF(pointer, type, member)                                                        \
	((type *)(void *)((char *)(1 ? (pointer) : &((type *)0)->member) - offsetof(type, member)))

#endif
