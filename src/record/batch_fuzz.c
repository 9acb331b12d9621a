/* Any bytes as a batch: what validates must survive being taken apart and built again. The CRC
 * would keep the fuzzer out, so each input is tried as it is and once more with length, magic and
 * CRC put right. */
#include "record/batch.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"

#include <stdlib.h>

enum { LIMIT = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len);

static void check_inside(struct slice outer, struct slice inner)
{
	if (!inner.ptr)
		return;
	CHECK(inner.ptr >= outer.ptr);
	CHECK(inner.len <= (size_t)(outer.ptr + outer.len - inner.ptr));
}

static uint32_t walk(const struct batch *b)
{
	struct batch_iter it;
	struct record r;
	struct slice value;
	bool corrupt;
	uint32_t count = 0;

	for (batch_iter_init(&it, b); batch_iter_next(&it, &r, &corrupt); count++) {
		check_inside(b->bytes, r.key);
		check_inside(b->bytes, r.value);
		check_inside(b->bytes, r.headers);
		CHECK(r.offset >= b->base_offset);
		CHECK(r.offset <= b->last_offset);
		if (record_header(&r, "content-type", &value))
			check_inside(r.headers, value);
	}
	CHECK(count <= b->record_count);
	return count;
}

/* False: its offsets are more than a builder takes. */
static bool rebuild(const struct batch *b, struct buf *to, struct buf *headers)
{
	struct batch_builder builder;
	struct batch_iter it;
	struct record r;
	bool corrupt;

	int64_t next = b->base_offset;

	batch_begin(&builder, to);
	for (batch_iter_init(&it, b); batch_iter_next(&it, &r, &corrupt); next = r.offset + 1) {
		struct slice rest = r.headers;
		struct header h;

		buf_clear(headers);
		for (uint32_t i = 0; i < r.header_count; i++) {
			CHECK(header_next(&rest, &h));
			header_append(headers, h.name, h.value);
		}
		r.headers = buf_slice(headers);
		batch_skip(&builder, (uint32_t)(r.offset - next));
		batch_add(&builder, &r);
	}
	CHECK(!corrupt);
	if (b->last_offset - b->base_offset == INT32_MAX)
		return false;
	batch_skip(&builder, (uint32_t)(b->last_offset + 1 - next));
	CHECK(batch_finish(&builder).ptr);
	return true;
}

static void check_null_or_equal(struct slice a, struct slice b)
{
	CHECK(!a.ptr == !b.ptr);
	CHECK(slice_eq(a, b));
}

static void check_same_records(const struct batch *a, const struct batch *b)
{
	struct batch_iter left;
	struct batch_iter right;
	struct record x;
	struct record y;
	bool corrupt;

	CHECK(a->record_count == b->record_count);
	batch_iter_init(&left, a);
	batch_iter_init(&right, b);
	while (batch_iter_next(&left, &x, &corrupt)) {
		CHECK(batch_iter_next(&right, &y, &corrupt));
		CHECK(x.offset - a->base_offset == y.offset - b->base_offset);
		CHECK(x.timestamp == y.timestamp);
		CHECK(x.header_count == y.header_count);
		check_null_or_equal(x.key, y.key);
		check_null_or_equal(x.value, y.value);
	}
}

static void try_batch(struct slice input)
{
	struct buf to = BUF_INIT(2 * LIMIT);
	struct buf headers = BUF_INIT(LIMIT);
	struct batch b;
	struct batch again;
	struct fault f;

	if (!batch_parse(input, &b, &f))
		walk(&b);
	if (!batch_validate_sparse(input, &b, &f)) {
		CHECK(walk(&b) == b.record_count);
		if (rebuild(&b, &to, &headers)) {
			CHECK(!batch_validate_sparse(buf_slice(&to), &again, &f));
			check_same_records(&b, &again);
		}
	} else {
		CHECK(batch_validate(input, &b, &f));
	}
	buf_fini(&headers);
	buf_fini(&to);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t len)
{
	uint8_t *sealed;

	if (len > LIMIT)
		return 0;
	try_batch(slice_of(input, len));
	if (len < BATCH_HEADER_BYTES)
		return 0;
	sealed = malloc(len);
	CHECK(sealed);
	memcpy(sealed, input, len);
	store_be32(sealed + BATCH_LENGTH_AT, (uint32_t)(len - BATCH_PREFIX_BYTES));
	sealed[16] = 2;
	store_be32(sealed + 17, crc32c(0, sealed + 21, len - 21));
	try_batch(slice_of(sealed, len));
	free(sealed);
	return 0;
}
