#include "hook/breaker.h"

#include "base/check.h"
#include "base/test.h"

/* --- scripts of what happens ------------------------------------------------------------------ */

enum step_kind {
	END,
	LETS,     /* one is let through */
	REFUSES,  /* none is */
	FAILS,    /* what was let through fails: nothing new */
	OPENS,    /* the same, and it opens */
	SUCCEEDS, /* it goes well: nothing new */
	CLOSES,   /* the same, and it closes */
};

struct step {
	enum step_kind what;
	int64_t at_ms;
};

enum { STEPS_MAX = 16 };

/* clang-format off */
static const struct script {
	const char *name;
	int64_t failures_max;
	struct step steps[STEPS_MAX];
} scripts[] = {
	{"all is well", 2,
	 {{LETS, 0}, {SUCCEEDS, 0}, {LETS, 1}, {SUCCEEDS, 1}}},
	{"failures that are not in a row", 2,
	 {{FAILS, 0}, {SUCCEEDS, 1}, {FAILS, 2}, {SUCCEEDS, 3}, {FAILS, 4}, {LETS, 5}}},
	{"so many in a row open it, for a pause", 3,
	 {{FAILS, 0}, {FAILS, 0}, {LETS, 0}, {OPENS, 10}, {REFUSES, 10}, {REFUSES, 109}}},
	{"then one is let through, and no other", 1,
	 {{OPENS, 0}, {LETS, 100}, {REFUSES, 100}, {REFUSES, 99999}}},
	{"a probe that goes well closes it", 2,
	 {{FAILS, 0}, {OPENS, 0}, {LETS, 100}, {CLOSES, 120}, {LETS, 120}, {LETS, 120}, {FAILS, 130},
	  {LETS, 130}}},
	{"one that fails opens it for twice as long", 1,
	 {{OPENS, 0}, {LETS, 100}, {FAILS, 150}, {REFUSES, 349}, {LETS, 350}, {FAILS, 350},
	  {REFUSES, 749}}},
	{"after a success the pause is short again", 1,
	 {{OPENS, 0}, {LETS, 100}, {FAILS, 100}, {LETS, 300}, {CLOSES, 300}, {OPENS, 300},
	  {REFUSES, 399}, {LETS, 400}}},
	{"what was let through before and fails changes nothing", 1,
	 {{OPENS, 0}, {FAILS, 90}, {FAILS, 99}, {LETS, 100}}},
	{"what was let through before and goes well closes it", 1,
	 {{OPENS, 0}, {CLOSES, 50}, {LETS, 50}}},
	{"none: it never opens", 0,
	 {{FAILS, 0}, {FAILS, 0}, {FAILS, 0}, {FAILS, 0}, {LETS, 0}}},
};
/* clang-format on */

static bool takes(struct breaker *b, const struct step *s)
{
	switch (s->what) {
	case END: break;
	case LETS: return !breaker_refuses(b, s->at_ms) && breaker_lets(b, s->at_ms);
	case REFUSES: return breaker_refuses(b, s->at_ms) && !breaker_lets(b, s->at_ms);
	case FAILS: return !breaker_failed(b, s->at_ms);
	case OPENS: return breaker_failed(b, s->at_ms);
	case SUCCEEDS: return !breaker_succeeded(b);
	case CLOSES: return breaker_succeeded(b);
	}
	return false;
}

TEST(breaker__goes_as_its_head_draws_it)
{
	for (size_t i = 0; i < ARRAY_COUNT(scripts); i++) {
		const struct script *s = &scripts[i];
		struct breaker b;

		breaker_init(&b, s->failures_max);
		for (size_t n = 0; n < STEPS_MAX && s->steps[n].what != END; n++)
			if (!takes(&b, &s->steps[n]))
				fail_msg("%s: step %zu", s->name, n);
	}
}

TEST(breaker__its_pause_has_a_bound)
{
	struct breaker b;
	int64_t now_ms = 0;

	breaker_init(&b, 1);
	assert_true(breaker_failed(&b, now_ms));
	for (int i = 0; i < 100; i++) {
		now_ms = b.until_ms;
		assert_true(breaker_lets(&b, now_ms));
		assert_false(breaker_failed(&b, now_ms));
		assert_in_range(b.until_ms - now_ms, BREAKER_PAUSE_MS_MIN, BREAKER_PAUSE_MS_MAX);
	}
	assert_int_equal(b.until_ms - now_ms, BREAKER_PAUSE_MS_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(breaker__goes_as_its_head_draws_it),
		cmocka_unit_test(breaker__its_pause_has_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
