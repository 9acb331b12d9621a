#include "io/clock.h"

#include "base/test.h"

#include <string.h>

TEST(clock_system__never_goes_back)
{
	struct clock *c = clock_system();
	struct now before = c->now(c);

	for (int i = 0; i < 1000; i++) {
		struct now now = c->now(c);

		assert_true(now.mono_us >= before.mono_us);
		before = now;
	}
	assert_true(before.wall_ms > 1600000000000); /* this is milliseconds, after 2020 */
}

TEST(clock_manual__stands_still_until_told)
{
	struct clock_manual c;
	struct now now;

	clock_manual_init(&c, (struct now){.wall_ms = 5000, .mono_us = 70});
	assert_int_equal(c.base.now(&c.base).mono_us, 70);
	for (int i = 0; i < 10; i++)
		clock_manual_advance(&c, 150);
	now = c.base.now(&c.base);
	assert_int_equal(now.mono_us, 1570);
	assert_int_equal(now.wall_ms, 5001);
}

TEST(entropy_seeded__same_seed_same_numbers)
{
	struct entropy_seeded a, b, other;
	uint8_t from_a[37], from_b[37], from_other[37];

	entropy_seeded_init(&a, 7);
	entropy_seeded_init(&b, 7);
	entropy_seeded_init(&other, 8);
	a.base.fill(&a.base, from_a, sizeof(from_a));
	b.base.fill(&b.base, from_b, sizeof(from_b));
	other.base.fill(&other.base, from_other, sizeof(from_other));
	assert_memory_equal(from_a, from_b, sizeof(from_a));
	assert_memory_not_equal(from_a, from_other, sizeof(from_a));
}

TEST(entropy_system__fills_all_of_it)
{
	static const uint8_t zeros[32];
	uint8_t bytes[1024] = {0};
	struct entropy *e = entropy_system();

	e->fill(e, bytes, sizeof(bytes));
	for (size_t at = 0; at < sizeof(bytes); at += sizeof(zeros))
		assert_memory_not_equal(bytes + at, zeros, sizeof(zeros));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(clock_system__never_goes_back),
		cmocka_unit_test(clock_manual__stands_still_until_told),
		cmocka_unit_test(entropy_seeded__same_seed_same_numbers),
		cmocka_unit_test(entropy_system__fills_all_of_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
