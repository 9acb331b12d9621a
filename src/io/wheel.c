#include "io/wheel.h"

void wheel_init(struct wheel *w, int64_t tick)
{
	CHECK(tick >= 0);
	w->tick = tick;
	list_init(&w->due);
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		w->occupied[level] = 0;
		for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++)
			list_init(&w->slots[level][slot]);
	}
}

static void wheel_put(struct wheel *w, struct timer *t)
{
	uint64_t differs = (uint64_t)(t->due_tick ^ w->tick);
	unsigned level, slot;

	if (t->due_tick <= w->tick) {
		list_append(&w->due, &t->node);
		return;
	}
	level = (63 - (unsigned)__builtin_clzll(differs)) / WHEEL_DIGIT_BITS;
	CHECK(level < WHEEL_LEVELS);
	slot = (unsigned)(t->due_tick >> (level * WHEEL_DIGIT_BITS)) % WHEEL_SLOTS;
	list_append(&w->slots[level][slot], &t->node);
	w->occupied[level] |= 1ull << slot;
}

void wheel_start(struct wheel *w, struct timer *t, int64_t due_tick)
{
	if (list_is_linked(&t->node))
		list_remove(&t->node);
	/* Not now: a timer that starts itself again at once would never let the turn end. */
	t->due_tick = due_tick > w->tick ? due_tick : w->tick + 1;
	wheel_put(w, t);
}

/* The slot that wheel_next speaks of; NULL: there is none. */
static struct list *next_slot(struct wheel *w, int64_t *tick)
{
	for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
		unsigned shift = level * WHEEL_DIGIT_BITS;
		int64_t digits_above = w->tick >> (shift + WHEEL_DIGIT_BITS);

		while (w->occupied[level]) {
			int slot = __builtin_ctzll(w->occupied[level]);

			*tick = (digits_above << WHEEL_DIGIT_BITS | slot) << shift;
			if (!list_is_empty(&w->slots[level][slot]))
				return &w->slots[level][slot];
			w->occupied[level] &= w->occupied[level] - 1;
		}
	}
	return NULL;
}

int64_t wheel_next(struct wheel *w)
{
	int64_t tick;

	return next_slot(w, &tick) ? tick : -1;
}

/* Spread a slot whose time has come over the levels below, and what is due now to `due`. */
static void spread_slot(struct wheel *w, struct list *slot)
{
	struct list timers, *node;

	list_init(&timers);
	list_move_all(&timers, slot);
	while ((node = list_take_first(&timers)) != NULL)
		wheel_put(w, LIST_ENTRY(node, struct timer, node));
}

void wheel_advance(struct wheel *w, int64_t tick)
{
	struct list *slot, *node;
	int64_t next;

	while ((slot = next_slot(w, &next)) != NULL && next <= tick) {
		CHECK(next > w->tick);
		w->tick = next;
		spread_slot(w, slot);
		while ((node = list_take_first(&w->due)) != NULL) {
			struct timer *t = LIST_ENTRY(node, struct timer, node);

			t->fire(t);
		}
	}
	if (tick > w->tick)
		w->tick = tick;
}
