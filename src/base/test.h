/* What every unit test includes: cmocka, and the one way to list tests. */
#ifndef BOURN_BASE_TEST_H
#define BOURN_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* How often a random test plays: under sanitizers, which are that much slower, a tenth. And
 * the step of a sweep over all the places where something may fail: there one in `few`. */
#ifdef BOURN_SANITIZED
#define TEST_TIMES(count) (((count) + 9) / 10)
#define TEST_STEP(few)    (few)
#else
#define TEST_TIMES(count) (count)
#define TEST_STEP(few)    1u
#endif

#define TEST(name) static void name(void **state __attribute__((unused)))

#endif
