#include "ledger.h"

#include "base/buf.h"
#include "base/test.h"

#include <stdlib.h>

enum { EVENT_BYTES = 100, SUBSCRIBERS = 2, CAPACITY = 4, RUN = 77 };

struct fixture {
	struct ledger ledger;
	struct ledger_place first;
	struct ledger_place second;
	uint8_t sent[16][EVENT_BYTES]; /* copies, by number */
	struct buf wire;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct ledger_options o = {.event_bytes = EVENT_BYTES,
	                           .subscribers = SUBSCRIBERS,
	                           .capacity = CAPACITY - 1, /* is rounded up */
	                           .run = RUN,
	                           .before = SLICE_LIT("<"),
	                           .after = SLICE_LIT(">\n")};

	*state = f;
	if (f)
		f->wire = BUF_INIT(4096);
	return f && ledger_init(&f->ledger, &o) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	ledger_fini(&f->ledger);
	buf_fini(&f->wire);
	free(f);
	return 0;
}

static void publish(struct fixture *f, int count)
{
	while (count-- > 0) {
		uint32_t number = f->ledger.published;

		memcpy(f->sent[number], ledger_publish(&f->ledger).ptr, EVENT_BYTES);
	}
}

static enum ledger_verdict deliver(struct fixture *f, struct ledger_place *place, int number)
{
	return ledger_check(&f->ledger, place, slice_of(f->sent[number], EVENT_BYTES));
}

static void ledger_check__right_deliveries_in_order(void **state)
{
	struct fixture *f = *state;

	publish(f, 3);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(deliver(f, &f->first, i), LEDGER_NEXT);
		assert_int_equal(deliver(f, &f->second, i), LEDGER_NEXT);
	}
	assert_int_equal(f->ledger.deliveries, 6);
	assert_int_equal(f->ledger.oldest, 3);
}

static void ledger_check__a_lost_event_is_a_gap(void **state)
{
	struct fixture *f = *state;

	publish(f, 3);
	assert_int_equal(deliver(f, &f->first, 0), LEDGER_NEXT);
	assert_int_equal(deliver(f, &f->first, 2), LEDGER_GAP);
}

static void ledger_check__a_lost_first_event_is_a_gap(void **state)
{
	struct fixture *f = *state;

	publish(f, 2);
	assert_int_equal(deliver(f, &f->first, 1), LEDGER_GAP);
}

/* Also the last one published, whose successor's slot still holds an older event. */
static void ledger_check__a_duplicate_is_repeated(void **state)
{
	struct fixture *f = *state;

	publish(f, 2);
	assert_int_equal(deliver(f, &f->first, 0), LEDGER_NEXT);
	assert_int_equal(deliver(f, &f->first, 0), LEDGER_REPEATED);
	assert_int_equal(deliver(f, &f->first, 1), LEDGER_NEXT);
	assert_int_equal(deliver(f, &f->first, 1), LEDGER_REPEATED);
	assert_int_equal(deliver(f, &f->first, 0), LEDGER_REPEATED);
	assert_int_equal(f->ledger.deliveries, 2);
}

static void ledger_check__a_duplicate_is_found_after_its_slot_is_used_again(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2 * CAPACITY; i++) {
		publish(f, 1);
		assert_int_equal(deliver(f, &f->first, i), LEDGER_NEXT);
		assert_int_equal(deliver(f, &f->second, i), LEDGER_NEXT);
	}
	assert_int_equal(deliver(f, &f->first, CAPACITY), LEDGER_REPEATED);
}

static void ledger_check__disorder_is_seen_at_its_first_event(void **state)
{
	struct fixture *f = *state;

	publish(f, 3);
	assert_int_equal(deliver(f, &f->first, 1), LEDGER_GAP);
	assert_int_equal(deliver(f, &f->second, 0), LEDGER_NEXT);
	assert_int_equal(deliver(f, &f->second, 2), LEDGER_GAP);
}

static void ledger_check__every_flipped_bit_is_seen(void **state)
{
	struct fixture *f = *state;

	publish(f, 1);
	for (size_t bit = 0; bit < 8 * EVENT_BYTES; bit++) {
		f->sent[0][bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(deliver(f, &f->first, 0), LEDGER_CORRUPT);
		f->sent[0][bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(deliver(f, &f->first, 0), LEDGER_NEXT);
}

static void ledger_check__another_length_is_corrupt(void **state)
{
	struct fixture *f = *state;
	uint8_t longer[EVENT_BYTES + 1] = {0};

	publish(f, 1);
	memcpy(longer, f->sent[0], EVENT_BYTES);
	for (size_t len = 0; len <= sizeof(longer); len++)
		if (len != EVENT_BYTES)
			assert_int_equal(ledger_check(&f->ledger, &f->first, slice_of(longer, len)),
			                 LEDGER_CORRUPT);
}

static void ledger_check__an_event_not_yet_published_is_corrupt(void **state)
{
	struct fixture *f = *state;

	publish(f, 1);
	f->ledger.published = 0;
	assert_int_equal(deliver(f, &f->first, 0), LEDGER_CORRUPT);
}

static void ledger_check__another_run_is_foreign(void **state)
{
	struct fixture *f = *state;
	struct ledger_options o = {
		.event_bytes = EVENT_BYTES, .subscribers = 1, .capacity = 1, .run = RUN + 1};
	static struct ledger other;

	assert_true(ledger_init(&other, &o));
	publish(f, 1);
	assert_int_equal(ledger_check(&f->ledger, &f->first, ledger_publish(&other)),
	                 LEDGER_FOREIGN);
	assert_int_equal(ledger_check(&f->ledger, &f->first, ledger_hello(&other)), LEDGER_FOREIGN);
	ledger_fini(&other);
}

static void ledger_check__hellos_greet_but_not_after_an_event(void **state)
{
	struct fixture *f = *state;
	struct slice hello = ledger_hello(&f->ledger);

	publish(f, 1);
	assert_int_equal(ledger_check(&f->ledger, &f->first, hello), LEDGER_HELLO);
	assert_int_equal(ledger_check(&f->ledger, &f->first, hello), LEDGER_HELLO);
	assert_true(f->first.greeted);
	assert_int_equal(deliver(f, &f->first, 0), LEDGER_NEXT);
	assert_int_equal(ledger_check(&f->ledger, &f->first, hello), LEDGER_REPEATED);
	assert_int_equal(f->ledger.deliveries, 1);
}

static void ledger_has_room__until_the_slowest_holds_it_up(void **state)
{
	struct fixture *f = *state;

	publish(f, CAPACITY);
	for (int i = 0; i < CAPACITY; i++)
		assert_int_equal(deliver(f, &f->first, i), LEDGER_NEXT);
	assert_false(ledger_has_room(&f->ledger));
	assert_int_equal(deliver(f, &f->second, 0), LEDGER_NEXT);
	assert_true(ledger_has_room(&f->ledger));
	assert_int_equal(f->ledger.oldest, 1);
}

/* --- many at once, as they come from the wire ------------------------------------------------- */

/* Events first to last in their frames, at f->wire. */
static struct slice on_wire(struct fixture *f, int first, int last)
{
	struct buf *b = &f->wire;

	buf_clear(b);
	for (int i = first; i <= last; i++) {
		buf_append_lit(b, "<");
		buf_append(b, f->sent[i], EVENT_BYTES);
		buf_append_lit(b, ">\n");
	}
	return buf_slice(b);
}

static uint32_t deliver_run(struct fixture *f, struct ledger_place *place, struct slice received)
{
	return ledger_check_run(&f->ledger, place, received);
}

static void ledger_check_run__takes_what_is_whole(void **state)
{
	struct fixture *f = *state;
	struct slice wire;

	publish(f, 3);
	wire = on_wire(f, 0, 2);
	wire.len -= 1;
	assert_int_equal(deliver_run(f, &f->first, wire), 2);
	assert_int_equal(deliver_run(f, &f->first, on_wire(f, 2, 2)), 1);
	assert_int_equal(deliver_run(f, &f->second, on_wire(f, 0, 2)), 3);
	assert_int_equal(f->ledger.oldest, 3);
	assert_int_equal(f->ledger.deliveries, 6);
}

static void ledger_check_run__goes_on_where_the_ring_begins_again(void **state)
{
	struct fixture *f = *state;
	struct slice wire;

	publish(f, 3);
	assert_int_equal(deliver_run(f, &f->first, on_wire(f, 0, 2)), 3);
	assert_int_equal(deliver_run(f, &f->second, on_wire(f, 0, 2)), 3);
	publish(f, 3);
	wire = on_wire(f, 3, 5);
	assert_int_equal(deliver_run(f, &f->first, wire), 1);
	wire = slice_of(wire.ptr + f->ledger.slot_bytes, wire.len - f->ledger.slot_bytes);
	assert_int_equal(deliver_run(f, &f->first, wire), 2);
	assert_int_equal(f->first.next, 6);
}

static void ledger_check_run__takes_nothing_that_is_wrong(void **state)
{
	struct fixture *f = *state;

	publish(f, 3);
	assert_int_equal(deliver_run(f, &f->first, on_wire(f, 1, 2)), 0); /* lost */
	assert_int_equal(deliver_run(f, &f->first, on_wire(f, 0, 0)), 1);
	assert_int_equal(deliver_run(f, &f->first, on_wire(f, 0, 0)), 0); /* again */
	assert_int_equal(deliver_run(f, &f->first, SLICE_LIT("")), 0);
	assert_int_equal(f->first.next, 1);
	for (size_t i = 0; i < f->ledger.slot_bytes; i++) {
		on_wire(f, 1, 1);
		f->wire.ptr[i] ^= 1;
		assert_int_equal(deliver_run(f, &f->first, buf_slice(&f->wire)), 0);
	}
	assert_int_equal(f->first.next, 1);
}

static void ledger_check_run__takes_nothing_beyond_what_is_published(void **state)
{
	struct fixture *f = *state;

	publish(f, 4);
	f->ledger.published = 2;
	assert_int_equal(deliver_run(f, &f->first, on_wire(f, 0, 3)), 2);
	assert_int_equal(deliver_run(f, &f->first, on_wire(f, 2, 3)), 0);
}

#define LEDGER_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LEDGER_TEST(ledger_check__right_deliveries_in_order),
		LEDGER_TEST(ledger_check__a_lost_event_is_a_gap),
		LEDGER_TEST(ledger_check__a_lost_first_event_is_a_gap),
		LEDGER_TEST(ledger_check__a_duplicate_is_repeated),
		LEDGER_TEST(ledger_check__a_duplicate_is_found_after_its_slot_is_used_again),
		LEDGER_TEST(ledger_check__disorder_is_seen_at_its_first_event),
		LEDGER_TEST(ledger_check__every_flipped_bit_is_seen),
		LEDGER_TEST(ledger_check__another_length_is_corrupt),
		LEDGER_TEST(ledger_check__an_event_not_yet_published_is_corrupt),
		LEDGER_TEST(ledger_check__another_run_is_foreign),
		LEDGER_TEST(ledger_check__hellos_greet_but_not_after_an_event),
		LEDGER_TEST(ledger_check_run__takes_what_is_whole),
		LEDGER_TEST(ledger_check_run__goes_on_where_the_ring_begins_again),
		LEDGER_TEST(ledger_check_run__takes_nothing_that_is_wrong),
		LEDGER_TEST(ledger_check_run__takes_nothing_beyond_what_is_published),
		LEDGER_TEST(ledger_has_room__until_the_slowest_holds_it_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
