#include "record/batch.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/test.h"

#include <stdlib.h>

enum { LIMIT = 4 << 20 };

/* Three records as another implementation encodes them (kafka-python 2.0.2): value only; key,
 * tombstone and two headers, the second null; empty key and value, older than the first. */
static const char golden_hex[] =
	"00000000000000000000006b0000000002f610ddbe0000000000020000018bcfe568000000018bcfe5692c"
	"ffffffffffffffffffffffffffff0000000316000000010a68656c6c6f004c00d80402026b010418636f6e"
	"74656e742d7479706514746578742f706c61696e086e6f6e65010c000104000000";
enum {
	GOLDEN_BYTES = (sizeof(golden_hex) - 1) / 2,
	GOLDEN_LEADER_EPOCH_AT = 12, /* kafka-python writes 0, the builder -1: outside the CRC */
};

static struct slice golden(uint8_t into[GOLDEN_BYTES])
{
	for (size_t i = 0; i < GOLDEN_BYTES; i++) {
		char byte[] = {golden_hex[2 * i], golden_hex[2 * i + 1], 0};

		into[i] = (uint8_t)strtoul(byte, NULL, 16);
	}
	return slice_of(into, GOLDEN_BYTES);
}

static void build_golden(struct buf *to, struct buf *headers)
{
	struct batch_builder b;

	header_append(headers, SLICE_LIT("content-type"), SLICE_LIT("text/plain"));
	header_append(headers, SLICE_LIT("none"), SLICE_NONE);
	batch_begin(&b, to);
	batch_add(&b, &(struct record){.timestamp = 1700000000000, .value = SLICE_LIT("hello")});
	batch_add(&b, &(struct record){.timestamp = 1700000000300,
	                               .key = SLICE_LIT("k"),
	                               .headers = buf_slice(headers),
	                               .header_count = 2});
	batch_add(&b, &(struct record){.timestamp = 1699999999999,
	                               .key = SLICE_LIT(""),
	                               .value = SLICE_LIT("")});
	assert_int_equal(batch_finish(&b).len, GOLDEN_BYTES);
}

/* A batch of `count` one-letter values, one ms apart, in `to`, to be damaged by a test. */
static struct batch build(struct buf *to, uint32_t count)
{
	struct batch_builder b;
	struct batch out;

	batch_begin(&b, to);
	for (uint32_t i = 0; i < count; i++)
		batch_add(&b, &(struct record){.timestamp = 1000 + i, .value = SLICE_LIT("v")});
	assert_int_equal(batch_parse(batch_finish(&b), &out, NULL), OK);
	return out;
}

static void seal(struct buf *batch)
{
	store_be32(batch->ptr + 8, (uint32_t)(batch->len - BATCH_PREFIX_BYTES));
	store_be32(batch->ptr + 17, crc32c(0, batch->ptr + 21, batch->len - 21));
}

static enum err validate(struct buf *batch)
{
	struct batch out;
	struct fault f = {.code = OK};
	enum err err = batch_validate(buf_slice(batch), &out, &f);

	assert_int_equal(f.code, err);
	return err;
}

TEST(batch_build__is_what_another_implementation_writes)
{
	struct buf to = BUF_INIT(LIMIT);
	struct buf headers = BUF_INIT(LIMIT);
	uint8_t bytes[GOLDEN_BYTES];

	golden(bytes);
	build_golden(&to, &headers);
	assert_int_equal(load_be32(to.ptr + GOLDEN_LEADER_EPOCH_AT), UINT32_MAX);
	batch_assign(to.ptr, 0, 0);
	assert_memory_equal(to.ptr, bytes, GOLDEN_BYTES);
	buf_fini(&headers);
	buf_fini(&to);
}

TEST(batch_iter__reads_what_another_implementation_wrote)
{
	uint8_t bytes[GOLDEN_BYTES];
	struct batch b;
	struct batch_iter it;
	struct record r;
	struct slice value;
	bool corrupt;

	assert_int_equal(batch_validate(golden(bytes), &b, NULL), OK);
	assert_int_equal(b.record_count, 3);
	assert_int_equal(b.last_offset, 2);
	assert_int_equal(b.max_timestamp, 1700000000300);
	assert_int_equal(b.producer_id, -1);
	batch_iter_init(&it, &b);

	assert_true(batch_iter_next(&it, &r, &corrupt));
	assert_int_equal(r.offset, 0);
	assert_int_equal(r.timestamp, 1700000000000);
	assert_null(r.key.ptr);
	assert_true(slice_eq(r.value, SLICE_LIT("hello")));
	assert_false(record_header(&r, "content-type", &value));

	assert_true(batch_iter_next(&it, &r, &corrupt));
	assert_int_equal(r.offset, 1);
	assert_true(slice_eq(r.key, SLICE_LIT("k")));
	assert_null(r.value.ptr);
	assert_true(record_header(&r, "content-type", &value));
	assert_true(slice_eq(value, SLICE_LIT("text/plain")));
	assert_true(record_header(&r, "none", &value));
	assert_null(value.ptr);
	assert_false(record_header(&r, "content", &value));

	assert_true(batch_iter_next(&it, &r, &corrupt));
	assert_int_equal(r.timestamp, 1699999999999);
	assert_non_null(r.key.ptr);
	assert_int_equal(r.key.len, 0);
	assert_non_null(r.value.ptr);
	assert_int_equal(r.value.len, 0);

	assert_false(batch_iter_next(&it, &r, &corrupt));
	assert_false(corrupt);
}

TEST(batch_build__extreme_timestamps_round_trip)
{
	static const int64_t times[] = {INT64_MAX, INT64_MIN, 0, -1, INT64_MAX};
	struct buf to = BUF_INIT(LIMIT);
	struct batch_builder builder;
	struct batch b;
	struct batch_iter it;
	struct record r;
	bool corrupt;

	batch_begin(&builder, &to);
	for (size_t i = 0; i < ARRAY_COUNT(times); i++)
		batch_add(&builder, &(struct record){.timestamp = times[i]});
	assert_int_equal(batch_validate(batch_finish(&builder), &b, NULL), OK);
	batch_iter_init(&it, &b);
	for (size_t i = 0; i < ARRAY_COUNT(times); i++) {
		assert_true(batch_iter_next(&it, &r, &corrupt));
		assert_int_equal(r.timestamp, times[i]);
	}
	buf_fini(&to);
}

TEST(batch_build__never_more_than_promised)
{
	struct buf to = BUF_INIT(LIMIT);
	struct buf big = BUF_INIT(LIMIT);
	struct batch_builder b;
	struct record r = {.timestamp = INT64_MIN};

	assert_true(buf_reserve(&big, 100000));
	memset(big.ptr, 'x', 100000);
	batch_begin(&b, &to);
	for (size_t len = 0; len < 100000; len = len * 3 + 1) {
		size_t before = batch_builder_bytes(&b);

		r.key = slice_of(big.ptr, len);
		r.value = slice_of(big.ptr, len / 2);
		batch_add(&b, &r);
		assert_in_range(batch_builder_bytes(&b) - before, len + len / 2,
		                record_encoded_bytes_max(&r));
		r.timestamp = INT64_MAX;
	}
	buf_fini(&big);
	buf_fini(&to);
}

TEST(batch_build__beyond_the_buffer_is_none)
{
	struct buf to = BUF_INIT(BATCH_HEADER_BYTES + 20);
	struct batch_builder b;

	batch_begin(&b, &to);
	batch_add(&b, &(struct record){.value = SLICE_LIT("fits")});
	batch_add(&b, &(struct record){.value = SLICE_LIT("fits no more")});
	batch_add(&b, &(struct record){.value = SLICE_LIT("")});
	assert_null(batch_finish(&b).ptr);
	buf_fini(&to);
}

TEST(batch_build__two_batches_in_one_buffer_stand_apart)
{
	struct buf to = BUF_INIT(LIMIT);
	size_t first = build(&to, 2).bytes.len;
	struct batch b;

	build(&to, 3);
	assert_int_equal(batch_parse(buf_slice(&to), &b, NULL), OK);
	assert_int_equal(b.bytes.len, first);
	assert_int_equal(batch_validate(slice_of(to.ptr + first, to.len - first), &b, NULL), OK);
	assert_int_equal(b.record_count, 3);
	buf_fini(&to);
}

TEST(batch_assign__leaves_the_crc_right)
{
	struct buf to = BUF_INIT(LIMIT);
	struct batch b;
	struct batch_iter it;
	struct record r;
	bool corrupt;

	build(&to, 3);
	batch_assign(to.ptr, 1LL << 40, 7);
	assert_int_equal(batch_validate(buf_slice(&to), &b, NULL), OK);
	assert_int_equal(b.base_offset, 1LL << 40);
	assert_int_equal(b.last_offset, (1LL << 40) + 2);
	assert_int_equal(b.leader_epoch, 7);
	batch_iter_init(&it, &b);
	assert_true(batch_iter_next(&it, &r, &corrupt));
	assert_true(batch_iter_next(&it, &r, &corrupt));
	assert_int_equal(r.offset, (1LL << 40) + 1);
	buf_fini(&to);
}

TEST(batch_peek_size__needs_the_prefix_and_a_possible_length)
{
	uint8_t prefix[BATCH_PREFIX_BYTES] = {0};
	struct slice from = slice_of(prefix, sizeof(prefix));
	size_t bytes = 0;

	store_be32(prefix + BATCH_LENGTH_AT, 49);
	assert_true(batch_peek_size(from, 61, &bytes));
	assert_int_equal(bytes, 61);
	assert_false(batch_peek_size(slice_of(prefix, 11), 61, &bytes));
	assert_false(batch_peek_size(from, 60, &bytes));
	store_be32(prefix + BATCH_LENGTH_AT, 48);
	assert_false(batch_peek_size(from, 61, &bytes));
	store_be32(prefix + BATCH_LENGTH_AT, UINT32_MAX);
	assert_false(batch_peek_size(from, SIZE_MAX, &bytes));
}

TEST(batch_parse__every_shorter_prefix_is_refused)
{
	struct buf to = BUF_INIT(LIMIT);
	struct batch b;
	struct fault f;

	build(&to, 2);
	for (size_t len = 0; len < to.len; len++)
		assert_int_equal(batch_parse(slice_of(to.ptr, len), &b, &f), ERR_CORRUPT);
	buf_fini(&to);
}

TEST(batch_parse__impossible_headers_are_refused)
{
	static const struct {
		size_t at;
		uint8_t byte;
	} damage[] = {
		{0, 0x80},  /* base offset < 0 */
		{8, 0xff},  /* length < 0 */
		{11, 0xff}, /* length beyond the bytes at hand */
		{16, 1},    /* magic */
		{23, 0x80}, /* last offset delta < 0 */
		{26, 0},    /* fewer offsets than records */
		{57, 0x80}, /* record count < 0 */
	};
	struct buf to = BUF_INIT(LIMIT);
	struct batch b;

	for (size_t i = 0; i < ARRAY_COUNT(damage); i++) {
		buf_clear(&to);
		build(&to, 2);
		to.ptr[damage[i].at] = damage[i].byte;
		assert_int_equal(batch_parse(buf_slice(&to), &b, NULL), ERR_CORRUPT);
	}
	buf_fini(&to);
}

TEST(batch_parse__more_records_than_bytes_are_refused)
{
	struct buf to = BUF_INIT(LIMIT);
	struct batch b;

	build(&to, 2);
	store_be32(to.ptr + 23, 999999);
	store_be32(to.ptr + 57, 1000000);
	assert_int_equal(batch_parse(buf_slice(&to), &b, NULL), ERR_CORRUPT);
	buf_fini(&to);
}

TEST(batch_checksum__is_that_of_all_its_bytes)
{
	struct buf to = BUF_INIT(LIMIT);
	struct batch b;

	for (uint32_t count = 1; count < 50; count += 7) {
		buf_clear(&to);
		build(&to, count);
		assert_int_equal(batch_parse(buf_slice(&to), &b, NULL), OK);
		assert_int_equal(batch_checksum(&b), crc32c(0, to.ptr, to.len));
	}
	buf_fini(&to);
}

TEST(batch_parse__gaps_and_empty_batches_of_compaction_are_legal)
{
	struct buf to = BUF_INIT(LIMIT);
	struct batch b;
	struct batch_iter it;
	struct record r;
	bool corrupt;

	build(&to, 1);
	store_be32(to.ptr + 23, 9);
	store_be32(to.ptr + 57, 0);
	to.len = BATCH_HEADER_BYTES;
	seal(&to);
	assert_int_equal(batch_parse(buf_slice(&to), &b, NULL), OK);
	assert_true(batch_crc_ok(&b));
	assert_int_equal(b.last_offset, 9);
	batch_iter_init(&it, &b);
	assert_false(batch_iter_next(&it, &r, &corrupt));
	assert_false(corrupt);
	assert_int_equal(validate(&to), ERR_BAD_RECORD);
	buf_fini(&to);
}

TEST(batch_validate__every_flipped_bit_after_the_crc_is_found)
{
	struct buf to = BUF_INIT(LIMIT);

	build(&to, 2);
	for (size_t bit = 17 * 8; bit < to.len * 8; bit++) {
		to.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_not_equal(validate(&to), OK);
		to.ptr[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(validate(&to), OK);
	buf_fini(&to);
}

/* What a peer may get wrong under a right CRC. The records of build(&to, 2) are 8 bytes each:
 * length, attributes, timestamp delta, offset delta, null key, value length, "v", header count. */
TEST(batch_validate__malformed_under_a_right_crc)
{
	enum { FIRST = BATCH_HEADER_BYTES, SECOND = FIRST + 8 };
	static const struct {
		size_t at;
		uint8_t byte;
		enum err err;
	} damage[] = {
		{22, 1, ERR_NOT_IMPLEMENTED},       /* gzip */
		{22, 4, ERR_NOT_IMPLEMENTED},       /* zstd */
		{22, 5, ERR_CORRUPT},               /* unknown codec */
		{22, 0x20, ERR_BAD_RECORD},         /* control batch */
		{22, 0x08, ERR_BAD_TIMESTAMP},      /* log append time */
		{42, 0xe8, ERR_BAD_TIMESTAMP},      /* max timestamp 1000, second record 1001 */
		{26, 2, ERR_BAD_RECORD},            /* an offset without a record */
		{43, 0, ERR_BAD_RECORD},            /* producer id, no sequence */
		{FIRST, 14 + 2, ERR_BAD_RECORD},    /* length one too many */
		{FIRST, 14 - 2, ERR_BAD_RECORD},    /* length one too few */
		{FIRST, 13, ERR_BAD_RECORD},        /* length < 0 */
		{FIRST + 3, 2, ERR_BAD_RECORD},     /* offset delta 1, 1 */
		{SECOND + 3, 0, ERR_BAD_RECORD},    /* offset delta 0, 0 */
		{SECOND + 3, 4, ERR_BAD_RECORD},    /* offset delta beyond the batch */
		{SECOND + 4, 3, ERR_BAD_RECORD},    /* key length -2 */
		{SECOND + 5, 8, ERR_BAD_RECORD},    /* value beyond the record */
		{SECOND + 5, 0, ERR_BAD_RECORD},    /* value shorter: "v" becomes a header count */
		{SECOND + 7, 2, ERR_BAD_RECORD},    /* a header that is not there */
		{SECOND + 7, 1, ERR_BAD_RECORD},    /* header count -1 */
		{SECOND + 7, 0x80, ERR_BAD_RECORD}, /* header count cut off */
	};
	struct buf to = BUF_INIT(LIMIT);

	for (size_t i = 0; i < ARRAY_COUNT(damage); i++) {
		buf_clear(&to);
		build(&to, 2);
		to.ptr[damage[i].at] = damage[i].byte;
		if (damage[i].at == 43)
			memset(to.ptr + 43, 0, 8);
		seal(&to);
		assert_int_equal(validate(&to), damage[i].err);
	}
	buf_fini(&to);
}

TEST(batch_validate__gaps_are_for_batches_of_a_log_only)
{
	struct buf to = BUF_INIT(LIMIT);
	struct batch_builder builder;
	struct batch b;
	struct batch_iter it;
	struct record r;
	bool corrupt;

	batch_begin(&builder, &to);
	batch_skip(&builder, 3);
	batch_add(&builder, &(struct record){.timestamp = 7, .value = SLICE_LIT("v")});
	batch_skip(&builder, 2);
	batch_add(&builder, &(struct record){.timestamp = 8, .value = SLICE_LIT("v")});
	batch_skip(&builder, 4);
	assert_non_null(batch_finish(&builder).ptr);
	assert_int_equal(validate(&to), ERR_BAD_RECORD);
	assert_int_equal(batch_validate_sparse(buf_slice(&to), &b, NULL), OK);
	assert_int_equal(b.last_offset, 10);
	batch_iter_init(&it, &b);
	assert_true(batch_iter_next(&it, &r, &corrupt));
	assert_int_equal(r.offset, 3);
	assert_true(batch_iter_next(&it, &r, &corrupt));
	assert_int_equal(r.offset, 6);
	assert_false(batch_iter_next(&it, &r, &corrupt));
	assert_false(corrupt);
	buf_fini(&to);
}

TEST(batch_validate__a_batch_that_is_all_gap)
{
	struct buf to = BUF_INIT(LIMIT);
	struct batch_builder builder;
	struct batch b;

	batch_begin(&builder, &to);
	batch_skip(&builder, INT32_MAX);
	builder.base_timestamp = builder.max_timestamp = 7;
	assert_int_equal(batch_finish(&builder).len, BATCH_HEADER_BYTES);
	assert_int_equal(validate(&to), ERR_BAD_RECORD);
	assert_int_equal(batch_validate_sparse(buf_slice(&to), &b, NULL), OK);
	assert_int_equal(b.last_offset, INT32_MAX - 1);
	assert_int_equal(b.base_timestamp, 7);
	buf_fini(&to);
}

TEST(batch_validate__offsets_that_do_not_rise_are_refused_of_a_log_too)
{
	static const uint8_t deltas[][2] = {{0, 0}, {1, 0}, {2, 1}};
	struct buf to = BUF_INIT(LIMIT);
	struct batch b;

	for (size_t i = 0; i < ARRAY_COUNT(deltas); i++) {
		buf_clear(&to);
		build(&to, 2);
		for (size_t record = 0; record < 2; record++) /* length, attributes, time, offset */
			to.ptr[BATCH_HEADER_BYTES + record * 8 + 3] =
				(uint8_t)(deltas[i][record] * 2);
		store_be32(to.ptr + 23, 5);
		seal(&to);
		assert_int_equal(batch_validate_sparse(buf_slice(&to), &b, NULL), ERR_BAD_RECORD);
	}
	buf_fini(&to);
}

TEST(batch_validate__bytes_after_the_last_record_are_refused)
{
	struct buf to = BUF_INIT(LIMIT);

	build(&to, 1);
	buf_append_lit(&to, "\0");
	seal(&to);
	assert_int_equal(validate(&to), ERR_BAD_RECORD);
	buf_fini(&to);
}

TEST(batch_validate__headers_must_fill_their_record)
{
	static const struct {
		struct slice bytes;
		uint32_t count;
		enum err err;
	} cases[] = {
		{SLICE_LIT("\x02n\x02v"), 1, OK},
		{SLICE_LIT("\x00\x01"), 1, OK},                   /* empty name, null value */
		{SLICE_LIT("\x02n\x02v\x00"), 1, ERR_BAD_RECORD}, /* a byte too many */
		{SLICE_LIT("\x02n\x02v"), 2, ERR_BAD_RECORD},     /* one header too few */
		{SLICE_LIT("\x01n\x02v"), 1, ERR_BAD_RECORD},     /* name length -1 */
		{SLICE_LIT("\x02n\x03v"), 1, ERR_BAD_RECORD},     /* value length -2 */
		{SLICE_LIT("\x02n\x04v"), 1, ERR_BAD_RECORD},     /* value beyond the record */
	};
	struct buf to = BUF_INIT(LIMIT);

	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		struct batch_builder b;

		buf_clear(&to);
		batch_begin(&b, &to);
		batch_add(&b, &(struct record){.headers = cases[i].bytes,
		                               .header_count = cases[i].count});
		batch_finish(&b);
		assert_int_equal(validate(&to), cases[i].err);
	}
	buf_fini(&to);
}

TEST(batch_iter__log_append_time_is_every_records_time)
{
	struct buf to = BUF_INIT(LIMIT);
	struct batch b;
	struct batch_iter it;
	struct record r;
	bool corrupt;

	build(&to, 2);
	to.ptr[22] |= BATCH_LOG_APPEND_TIME;
	store_be64(to.ptr + 35, 5000);
	seal(&to);
	assert_int_equal(batch_parse(buf_slice(&to), &b, NULL), OK);
	batch_iter_init(&it, &b);
	while (batch_iter_next(&it, &r, &corrupt))
		assert_int_equal(r.timestamp, 5000);
	assert_false(corrupt);
	buf_fini(&to);
}

TEST(batch_iter__a_control_batch_holds_no_event)
{
	struct buf to = BUF_INIT(LIMIT);
	struct batch b;
	struct batch_iter it;
	struct record r;
	bool corrupt;

	build(&to, 1);
	to.ptr[22] |= BATCH_CONTROL | BATCH_TRANSACTIONAL;
	seal(&to);
	assert_int_equal(batch_parse(buf_slice(&to), &b, NULL), OK);
	batch_iter_init(&it, &b);
	assert_false(batch_iter_next(&it, &r, &corrupt));
	assert_false(corrupt);
	buf_fini(&to);
}

TEST(batch_iter__compressed_or_cut_off_is_corrupt_and_stays_ended)
{
	struct buf to = BUF_INIT(LIMIT);
	struct batch b;
	struct batch_iter it;
	struct record r;
	bool corrupt;

	b = build(&to, 2);
	b.attributes |= 1;
	batch_iter_init(&it, &b);
	assert_false(batch_iter_next(&it, &r, &corrupt));
	assert_true(corrupt);

	b.attributes = 0;
	b.bytes.len--;
	batch_iter_init(&it, &b);
	assert_true(batch_iter_next(&it, &r, &corrupt));
	assert_false(batch_iter_next(&it, &r, &corrupt));
	assert_true(corrupt);
	assert_false(batch_iter_next(&it, &r, &corrupt));
	buf_fini(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batch_build__is_what_another_implementation_writes),
		cmocka_unit_test(batch_iter__reads_what_another_implementation_wrote),
		cmocka_unit_test(batch_build__extreme_timestamps_round_trip),
		cmocka_unit_test(batch_build__never_more_than_promised),
		cmocka_unit_test(batch_build__beyond_the_buffer_is_none),
		cmocka_unit_test(batch_build__two_batches_in_one_buffer_stand_apart),
		cmocka_unit_test(batch_assign__leaves_the_crc_right),
		cmocka_unit_test(batch_peek_size__needs_the_prefix_and_a_possible_length),
		cmocka_unit_test(batch_parse__every_shorter_prefix_is_refused),
		cmocka_unit_test(batch_parse__impossible_headers_are_refused),
		cmocka_unit_test(batch_parse__more_records_than_bytes_are_refused),
		cmocka_unit_test(batch_parse__gaps_and_empty_batches_of_compaction_are_legal),
		cmocka_unit_test(batch_checksum__is_that_of_all_its_bytes),
		cmocka_unit_test(batch_validate__every_flipped_bit_after_the_crc_is_found),
		cmocka_unit_test(batch_validate__malformed_under_a_right_crc),
		cmocka_unit_test(batch_validate__gaps_are_for_batches_of_a_log_only),
		cmocka_unit_test(batch_validate__a_batch_that_is_all_gap),
		cmocka_unit_test(batch_validate__offsets_that_do_not_rise_are_refused_of_a_log_too),
		cmocka_unit_test(batch_validate__bytes_after_the_last_record_are_refused),
		cmocka_unit_test(batch_validate__headers_must_fill_their_record),
		cmocka_unit_test(batch_iter__log_append_time_is_every_records_time),
		cmocka_unit_test(batch_iter__a_control_batch_holds_no_event),
		cmocka_unit_test(batch_iter__compressed_or_cut_off_is_corrupt_and_stays_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
