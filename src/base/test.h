/* What every unit test includes: cmocka, and the one way to list tests. */
#ifndef BOURN_BASE_TEST_H
#define BOURN_BASE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TEST(name) static void name(void **state __attribute__((unused)))

#endif
