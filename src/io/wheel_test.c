#include "io/wheel.h"

#include "base/test.h"
#include "io/clock.h"

#include <string.h>

enum { PROBES = 400 };

/* A timer that notes when it fired, among all. */
struct probe {
	struct timer timer;
	struct wheel *w;
	unsigned fired;        /* times */
	int64_t fired_tick;    /* the wheel's, at the last time */
	unsigned order;        /* how many had fired before */
	int64_t again_after;   /* ticks until it starts itself again; -1: never */
	struct probe *stops;   /* stopped when this one fires; NULL: none */
	unsigned *fired_sofar; /* of all probes */
};

static void probe_fire(struct timer *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, timer);

	assert_false(timer_is_running(t));
	p->fired++;
	p->fired_tick = p->w->tick;
	p->order = (*p->fired_sofar)++;
	if (p->again_after >= 0)
		wheel_start(p->w, t, p->w->tick + p->again_after);
	if (p->stops && timer_is_running(&p->stops->timer))
		list_remove(&p->stops->timer.node);
}

static struct probe probe_of(struct wheel *w, unsigned *fired_sofar)
{
	return (struct probe){.timer = {.fire = probe_fire},
	                      .w = w,
	                      .again_after = -1,
	                      .fired_sofar = fired_sofar};
}

TEST(wheel__each_fires_once_at_its_tick_at_every_distance)
{
	static struct wheel w;
	unsigned fired = 0;

	for (int64_t start = 0; start < 5000; start += 617) {
		for (int64_t delay = 1; delay < (1ll << 40); delay = delay * 3 / 2 + 1) {
			struct probe p = probe_of(&w, &fired);

			wheel_init(&w, start);
			wheel_start(&w, &p.timer, start + delay);
			wheel_advance(&w, start + delay - 1);
			assert_int_equal(p.fired, 0);
			wheel_advance(&w, start + delay);
			assert_int_equal(p.fired, 1);
			assert_int_equal(wheel_next(&w), -1);
		}
	}
}

TEST(wheel__agrees_with_a_sorted_list_under_random_operations)
{
	static struct wheel w;
	static struct probe probes[PROBES];
	struct entropy_seeded random;
	unsigned fired = 0;
	int64_t tick = 12345;

	entropy_seeded_init(&random, 42);
	wheel_init(&w, tick);
	for (unsigned i = 0; i < PROBES; i++)
		probes[i] = probe_of(&w, &fired);
	for (unsigned round = 0; round < 20000; round++) {
		struct {
			uint16_t probe, action;
			uint32_t distance;
		} r;
		struct probe *p;
		int64_t last_due = 0;
		unsigned before = fired;

		random.base.fill(&random.base, &r, sizeof(r));
		p = &probes[r.probe % PROBES];
		if (r.action % 8 == 0 && timer_is_running(&p->timer))
			list_remove(&p->timer.node);
		else
			wheel_start(&w, &p->timer, tick + 1 + r.distance % (1u << r.action % 24));
		if (r.action % 3 == 0)
			tick += r.distance % (1u << r.action % 14);
		wheel_advance(&w, tick);
		for (unsigned i = 0; i < PROBES; i++) {
			if (timer_is_running(&probes[i].timer))
				assert_true(probes[i].timer.due_tick > tick);
			if (probes[i].fired && probes[i].order >= before)
				assert_int_equal(probes[i].fired_tick, probes[i].timer.due_tick);
		}
		for (unsigned order = before; order < fired; order++) {
			for (unsigned i = 0; i < PROBES; i++) {
				if (!probes[i].fired || probes[i].order != order)
					continue;
				assert_true(probes[i].fired_tick >= last_due);
				last_due = probes[i].fired_tick;
			}
		}
	}
	assert_true(fired > 1000);
}

TEST(wheel__within_a_tick_the_first_started_fires_first)
{
	static struct wheel w;
	unsigned fired = 0;
	struct probe early = probe_of(&w, &fired), late = probe_of(&w, &fired);

	wheel_init(&w, 0);
	wheel_start(&w, &early.timer, 100); /* on level 1 */
	wheel_advance(&w, 64);
	wheel_start(&w, &late.timer, 100); /* on level 0 */
	wheel_advance(&w, 100);
	assert_int_equal(early.order, 0);
	assert_int_equal(late.order, 1);
}

TEST(wheel__a_restart_moves_it)
{
	static struct wheel w;
	unsigned fired = 0;
	struct probe p = probe_of(&w, &fired);

	wheel_init(&w, 0);
	wheel_start(&w, &p.timer, 10);
	wheel_start(&w, &p.timer, 5000);
	wheel_advance(&w, 4999);
	assert_int_equal(p.fired, 0);
	wheel_start(&w, &p.timer, 5001);
	wheel_advance(&w, 5000);
	assert_int_equal(p.fired, 0);
	wheel_advance(&w, 5001);
	assert_int_equal(p.fired, 1);
}

TEST(wheel__one_that_starts_itself_fires_once_a_tick)
{
	static struct wheel w;
	unsigned fired = 0;
	struct probe p = probe_of(&w, &fired);

	p.again_after = 0;
	wheel_init(&w, 0);
	wheel_start(&w, &p.timer, 1);
	wheel_advance(&w, 10);
	assert_int_equal(p.fired, 10);
}

TEST(wheel__what_is_overdue_at_its_start_fires_on_the_next_tick)
{
	static struct wheel w;
	unsigned fired = 0;
	struct probe p = probe_of(&w, &fired);

	wheel_init(&w, 0);
	wheel_advance(&w, 100);
	wheel_start(&w, &p.timer, 50);
	wheel_advance(&w, 100);
	assert_int_equal(p.fired, 0);
	wheel_advance(&w, 101);
	assert_int_equal(p.fired, 1);
}

TEST(wheel__one_may_stop_another_that_is_due_too)
{
	static struct wheel w;
	unsigned fired = 0;
	struct probe first = probe_of(&w, &fired), second = probe_of(&w, &fired);

	first.stops = &second;
	wheel_init(&w, 0);
	wheel_start(&w, &first.timer, 7);
	wheel_start(&w, &second.timer, 7);
	wheel_advance(&w, 1000);
	assert_int_equal(first.fired, 1);
	assert_int_equal(second.fired, 0);
}

TEST(wheel_next__is_never_late_and_ends_with_the_last_timer)
{
	static struct wheel w;
	unsigned fired = 0;
	struct probe p = probe_of(&w, &fired);

	wheel_init(&w, 77);
	assert_int_equal(wheel_next(&w), -1);
	wheel_start(&w, &p.timer, 1000000);
	for (unsigned steps = 0; !p.fired; steps++) {
		assert_true(wheel_next(&w) <= 1000000);
		assert_true(steps < WHEEL_LEVELS); /* a far timer costs few wake-ups */
		wheel_advance(&w, wheel_next(&w));
	}
	assert_int_equal(p.fired_tick, 1000000);
	wheel_start(&w, &p.timer, 1000005);
	list_remove(&p.timer.node);
	assert_int_equal(wheel_next(&w), -1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(wheel__each_fires_once_at_its_tick_at_every_distance),
		cmocka_unit_test(wheel__agrees_with_a_sorted_list_under_random_operations),
		cmocka_unit_test(wheel__within_a_tick_the_first_started_fires_first),
		cmocka_unit_test(wheel__a_restart_moves_it),
		cmocka_unit_test(wheel__one_that_starts_itself_fires_once_a_tick),
		cmocka_unit_test(wheel__what_is_overdue_at_its_start_fires_on_the_next_tick),
		cmocka_unit_test(wheel__one_may_stop_another_that_is_due_too),
		cmocka_unit_test(wheel_next__is_never_late_and_ends_with_the_last_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
