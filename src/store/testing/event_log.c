#include "store/testing/event_log.h"

#include <stdio.h>
#include <stdlib.h>

enum { EVENT_BYTES_LIMIT = 4 << 20, READ_BYTES = 256 << 10 };

struct appending {
	size_t left;
	bool done;
	enum err err;
};

struct event {
	struct store_append op;
	struct appending *all;
	struct buf batch;
	int64_t number;
};

static void appended(struct store_append *a)
{
	struct event *e = CONTAINER_OF(a, struct event, op);
	struct appending *all = e->all;

	if (a->fault.code && !all->err)
		all->err = a->fault.code;
	CHECK(a->fault.code || a->base_offset == e->number);
	buf_fini(&e->batch);
	free(e);
	all->done = --all->left == 0;
}

static struct slice make_event(struct buf *to, int64_t number, size_t bytes)
{
	struct batch_builder b;
	char text[32];
	size_t len = (size_t)snprintf(text, sizeof(text), "event %lld ", (long long)number);
	uint8_t *value = calloc(1, len + bytes);

	CHECK(value);
	memcpy(value, text, len);
	batch_begin(&b, to);
	batch_add(&b, &(struct record){.timestamp = number, .value = slice_of(value, len + bytes)});
	free(value);
	return batch_finish(&b);
}

enum err event_log_append(struct store_rig *r, struct store_partition *p, int64_t from, int64_t to,
                          size_t bytes)
{
	struct appending all = {.left = (size_t)(to - from)};

	for (int64_t n = from; n < to; n++) {
		struct event *e = calloc(1, sizeof(*e));

		CHECK(e);
		e->all = &all;
		e->number = n;
		e->batch = BUF_INIT(EVENT_BYTES_LIMIT);
		e->op = (struct store_append){
			.partition = p,
			.batches = make_event(&e->batch, n, bytes),
			.expected_offset = -1,
			.done = appended,
		};
		r->store->ops->append(&e->op);
	}
	CHECK(to == from || rig_run(r, &all.done));
	return all.err;
}

static void check_event(const struct record *r)
{
	char text[32];
	size_t len = (size_t)snprintf(text, sizeof(text), "event %lld ", (long long)r->offset);

	CHECK(r->value.len >= len);
	CHECK(memcmp(r->value.ptr, text, len) == 0);
	for (size_t i = len; i < r->value.len; i++)
		CHECK(r->value.ptr[i] == 0);
}

static int64_t check_batches(struct slice rest, int64_t next)
{
	while (rest.len > 0) {
		struct batch_iter it;
		struct record r;
		struct batch b;
		bool corrupt = false;

		CHECK(batch_parse(rest, &b, NULL) == OK);
		CHECK(batch_crc_ok(&b));
		CHECK(b.base_offset == next);
		for (batch_iter_init(&it, &b); batch_iter_next(&it, &r, &corrupt);)
			check_event(&r);
		CHECK(!corrupt);
		next = b.last_offset + 1;
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	return next;
}

int64_t event_log_read(struct store_rig *r, struct store_partition *p, int64_t from, enum err *why)
{
	*why = OK;
	while (from < p->state.high_watermark) {
		struct slice batches;
		struct shared *holder;

		*why = rig_read(r, p, from, READ_BYTES, &batches, &holder);
		if (*why)
			break;
		from = check_batches(batches, from);
		shared_put(holder);
	}
	return from;
}

bool event_log_is_whole(struct store_rig *r, struct store_partition *p, int64_t end)
{
	enum err why;

	return event_log_read(r, p, p->state.log_start, &why) == end && why == OK &&
	       p->state.high_watermark == end;
}
