#include "store/testing/compact_model.h"

#include "base/test.h"

#include <stdio.h>

enum { VALUE_BYTES = 1024, KEY_BYTES = 16, BATCH_BYTES_LIMIT = 4 << 20, READ_BYTES = 256 << 10 };

static struct slice value_of(int64_t offset, char into[VALUE_BYTES])
{
	int len = snprintf(into, VALUE_BYTES, "%lld:%0900d", (long long)offset, 0);

	return slice_of(into, (size_t)len);
}

static struct slice key_of(const struct model_event *e, char into[KEY_BYTES])
{
	snprintf(into, KEY_BYTES, "key %u", e->key);
	return slice_str(into);
}

static unsigned roll(struct store_rig *rig, unsigned below)
{
	uint32_t word;

	rig->dice.base.fill(&rig->dice.base, &word, sizeof(word));
	return word % below;
}

void compact_model_append(struct compact_model *m, struct store_rig *rig, struct store_partition *p,
                          int64_t count)
{
	struct buf batch = BUF_INIT(BATCH_BYTES_LIMIT);
	struct batch_builder b;
	int64_t base;

	assert_true(m->end + count <= MODEL_EVENTS_MAX);
	batch_begin(&b, &batch);
	for (int64_t i = 0; i < count; i++, m->end++) {
		char value[VALUE_BYTES], key[KEY_BYTES];
		struct model_event *e = &m->events[m->end];

		*e = (struct model_event){.key = (uint8_t)roll(rig, MODEL_KEYS),
		                          .is_tombstone = roll(rig, 10) == 0};
		batch_add(&b, &(struct record){.timestamp = m->end,
		                               .key = key_of(e, key),
		                               .value = e->is_tombstone ? SLICE_NONE
		                                                        : value_of(m->end, value)});
	}
	assert_int_equal(rig_append(rig, p, batch_finish(&b), &base), OK);
	assert_int_equal(base, m->end - count);
	buf_fini(&batch);
}

/* --- what is left ---------------------------------------------------------------------------- */

struct checking {
	const struct compact_model *m;
	int64_t latest[MODEL_KEYS];
	bool lacks_tombstones;
	int64_t at;   /* to be read */
	int64_t next; /* all below was found, or is missing for a reason */
	int64_t found;
};

static void check_missing(struct checking *c, int64_t upto)
{
	for (; c->next < upto; c->next++) {
		const struct model_event *e = &c->m->events[c->next];

		assert_true(c->latest[e->key] > c->next ||
		            (c->lacks_tombstones && e->is_tombstone));
	}
}

static void check_record(struct checking *c, const struct record *r)
{
	const struct model_event *e = &c->m->events[r->offset];
	char value[VALUE_BYTES], key[KEY_BYTES];

	if (r->offset < c->next)
		return; /* in the batch of the log start, before it */
	check_missing(c, r->offset);
	assert_true(slice_eq(r->key, key_of(e, key)));
	assert_int_equal(r->timestamp, r->offset);
	assert_int_equal(!r->value.ptr, e->is_tombstone);
	assert_true(e->is_tombstone || slice_eq(r->value, value_of(r->offset, value)));
	c->found++;
	c->next++;
}

static void check_batch(struct checking *c, const struct batch *b)
{
	struct batch_iter it;
	struct record r;
	bool corrupt = false;

	assert_true(batch_crc_ok(b));
	assert_true(b->base_offset <= c->at && c->at <= b->last_offset);
	batch_iter_init(&it, b);
	while (batch_iter_next(&it, &r, &corrupt))
		check_record(c, &r);
	assert_false(corrupt);
	c->at = b->last_offset + 1;
}

int64_t compact_model_check(const struct compact_model *m, struct store_rig *rig,
                            struct store_partition *p, bool lacks_tombstones)
{
	struct checking c = {.m = m,
	                     .lacks_tombstones = lacks_tombstones,
	                     .at = p->state.log_start,
	                     .next = p->state.log_start};

	for (int64_t i = 0; i < m->end; i++)
		c.latest[m->events[i].key] = i;
	assert_int_equal(p->state.high_watermark, m->end);
	while (c.at < m->end) {
		struct slice rest;
		struct shared *holder;

		assert_int_equal(rig_read(rig, p, c.at, READ_BYTES, &rest, &holder), OK);
		assert_true(rest.len > 0);
		while (rest.len > 0) {
			struct batch b;

			assert_int_equal(batch_parse(rest, &b, NULL), OK);
			check_batch(&c, &b);
			rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
		}
		shared_put(holder);
	}
	assert_int_equal(c.at, m->end);
	check_missing(&c, m->end);
	return c.found;
}
