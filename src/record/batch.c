#include "record/batch.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/varint.h"

enum {
	LEADER_EPOCH_AT = 12,
	MAGIC_AT = 16,
	CRC_AT = 17,
	ATTRIBUTES_AT = 21,
	LAST_OFFSET_DELTA_AT = 23,
	BASE_TIMESTAMP_AT = 27,
	MAX_TIMESTAMP_AT = 35,
	PRODUCER_ID_AT = 43,
	PRODUCER_EPOCH_AT = 51,
	BASE_SEQUENCE_AT = 53,
	RECORD_COUNT_AT = 57,

	MAGIC = 2,
	CODEC_MAX = 4,
	RECORD_BYTES_MIN = 7, /* length, attributes, two deltas, null key, null value, no headers */
	HEADER_BYTES_MIN = 2,
};

_Static_assert(RECORD_COUNT_AT + 4 == BATCH_HEADER_BYTES, "the header ends with the record count");

/* Differences between any two int64_t must survive the round trip: modulo 2^64, never overflow. */
static int64_t wrapping_add(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t wrapping_sub(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

/* --- the header of a batch ------------------------------------------------------------------- */

bool batch_peek_size(struct slice from, size_t limit, size_t *bytes)
{
	uint32_t length;

	if (from.len < BATCH_PREFIX_BYTES)
		return false;
	length = load_be32(from.ptr + BATCH_LENGTH_AT);
	if (length < BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES || length > INT32_MAX)
		return false;
	if ((size_t)length + BATCH_PREFIX_BYTES > limit)
		return false;
	*bytes = (size_t)length + BATCH_PREFIX_BYTES;
	return true;
}

static void decode_header(struct slice bytes, struct batch *b)
{
	const uint8_t *at = bytes.ptr;

	b->base_offset = (int64_t)load_be64(at);
	b->last_offset =
		wrapping_add(b->base_offset, (int32_t)load_be32(at + LAST_OFFSET_DELTA_AT));
	b->leader_epoch = (int32_t)load_be32(at + LEADER_EPOCH_AT);
	b->attributes = load_be16(at + ATTRIBUTES_AT);
	b->base_timestamp = (int64_t)load_be64(at + BASE_TIMESTAMP_AT);
	b->max_timestamp = (int64_t)load_be64(at + MAX_TIMESTAMP_AT);
	b->producer_id = (int64_t)load_be64(at + PRODUCER_ID_AT);
	b->producer_epoch = (int16_t)load_be16(at + PRODUCER_EPOCH_AT);
	b->base_sequence = (int32_t)load_be32(at + BASE_SEQUENCE_AT);
	b->record_count = load_be32(at + RECORD_COUNT_AT);
	b->bytes = bytes;
}

static bool is_compressed(const struct batch *b)
{
	return b->attributes & BATCH_CODEC_MASK;
}

enum err batch_parse(struct slice from, struct batch *out, struct fault *f)
{
	struct batch b;
	size_t bytes;

	if (from.len < BATCH_HEADER_BYTES)
		return fault_set(f, ERR_CORRUPT, 0, "batch: %zu bytes are no header", from.len);
	if (!batch_peek_size(from, from.len, &bytes))
		return fault_set(f, ERR_CORRUPT, 0, "batch: length %u, but %zu bytes at hand",
		                 load_be32(from.ptr + BATCH_LENGTH_AT),
		                 from.len - BATCH_PREFIX_BYTES);
	if (from.ptr[MAGIC_AT] != MAGIC)
		return fault_set(f, ERR_CORRUPT, 0, "batch: magic %u", from.ptr[MAGIC_AT]);
	decode_header(slice_of(from.ptr, bytes), &b);
	if (b.base_offset < 0 || b.last_offset < b.base_offset)
		return fault_set(f, ERR_CORRUPT, 0, "batch: offsets %lld to %lld",
		                 (long long)b.base_offset, (long long)b.last_offset);
	if (b.record_count > (uint64_t)(b.last_offset - b.base_offset) + 1)
		return fault_set(f, ERR_CORRUPT, 0, "batch: %u records in offsets %lld to %lld",
		                 b.record_count, (long long)b.base_offset,
		                 (long long)b.last_offset);
	if (!is_compressed(&b) && b.record_count > (bytes - BATCH_HEADER_BYTES) / RECORD_BYTES_MIN)
		return fault_set(f, ERR_CORRUPT, 0, "batch: %u records in %zu bytes",
		                 b.record_count, bytes);
	*out = b;
	return OK;
}

static uint32_t crc_of(struct slice batch)
{
	return crc32c(0, batch.ptr + ATTRIBUTES_AT, batch.len - ATTRIBUTES_AT);
}

bool batch_crc_ok(const struct batch *b)
{
	return load_be32(b->bytes.ptr + CRC_AT) == crc_of(b->bytes);
}

uint32_t batch_checksum(const struct batch *b)
{
	uint32_t body = load_be32(b->bytes.ptr + CRC_AT);

	return crc32c_join(crc32c(0, b->bytes.ptr, ATTRIBUTES_AT), body,
	                   b->bytes.len - ATTRIBUTES_AT);
}

void batch_assign(uint8_t *batch, int64_t base_offset, int32_t leader_epoch)
{
	CHECK(base_offset >= 0);
	store_be64(batch, (uint64_t)base_offset);
	store_be32(batch + LEADER_EPOCH_AT, (uint32_t)leader_epoch);
}

/* --- records, read --------------------------------------------------------------------------- */

static bool take_bytes(struct slice *from, uint64_t len, struct slice *out)
{
	if (len > from->len)
		return false;
	*out = slice_of(from->ptr, len);
	from->ptr += len;
	from->len -= len;
	return true;
}

/* A varint length and that many bytes. */
static bool take_sized(struct slice *from, struct slice *out)
{
	int64_t len;

	return varint_read(from, &len) && len >= 0 && take_bytes(from, (uint64_t)len, out);
}

/* The same, where a length of -1 is null. */
static bool take_nullable(struct slice *from, struct slice *out)
{
	int64_t len;

	if (!varint_read(from, &len))
		return false;
	if (len == -1) {
		*out = SLICE_NONE;
		return true;
	}
	return len >= 0 && take_bytes(from, (uint64_t)len, out);
}

static bool take_record(const struct batch *b, struct slice body, struct record *out)
{
	int64_t timestamp_delta;
	int64_t offset_delta;
	int64_t header_count;
	struct slice attributes;

	if (!take_bytes(&body, 1, &attributes) || !varint_read(&body, &timestamp_delta) ||
	    !varint_read(&body, &offset_delta) || !take_nullable(&body, &out->key) ||
	    !take_nullable(&body, &out->value) || !varint_read(&body, &header_count))
		return false;
	if (offset_delta < 0 || offset_delta > b->last_offset - b->base_offset)
		return false;
	if (header_count < 0 || (uint64_t)header_count > body.len / HEADER_BYTES_MIN)
		return false;
	if (header_count == 0 && body.len > 0)
		return false;
	out->offset = b->base_offset + offset_delta;
	out->timestamp = b->attributes & BATCH_LOG_APPEND_TIME
	                         ? b->max_timestamp
	                         : wrapping_add(b->base_timestamp, timestamp_delta);
	out->headers = body;
	out->header_count = (uint32_t)header_count;
	return true;
}

void batch_iter_init(struct batch_iter *it, const struct batch *b)
{
	it->batch = *b;
	it->rest = slice_of(b->bytes.ptr + BATCH_HEADER_BYTES, b->bytes.len - BATCH_HEADER_BYTES);
	it->left = b->attributes & BATCH_CONTROL ? 0 : b->record_count;
}

bool batch_iter_next(struct batch_iter *it, struct record *out, bool *corrupt)
{
	struct slice body;

	*corrupt = false;
	if (it->left == 0)
		return false;
	if (is_compressed(&it->batch) || !take_sized(&it->rest, &body) ||
	    !take_record(&it->batch, body, out)) {
		it->left = 0;
		*corrupt = true;
		return false;
	}
	it->left--;
	return true;
}

bool header_next(struct slice *headers, struct header *out)
{
	return take_sized(headers, &out->name) && take_nullable(headers, &out->value);
}

bool record_header(const struct record *r, const char *name, struct slice *value)
{
	struct slice wanted = slice_str(name);
	struct slice rest = r->headers;
	struct header h;

	while (header_next(&rest, &h)) {
		if (slice_eq(h.name, wanted)) {
			*value = h.value;
			return true;
		}
	}
	return false;
}

/* --- a batch from outside -------------------------------------------------------------------- */

static enum err check_header(const struct batch *b, bool sparse, struct fault *f)
{
	unsigned codec = b->attributes & BATCH_CODEC_MASK;

	if (!batch_crc_ok(b))
		return fault_set(f, ERR_CORRUPT, 0, "batch: wrong CRC");
	if (codec > CODEC_MAX)
		return fault_set(f, ERR_CORRUPT, 0, "batch: unknown codec %u", codec);
	if (codec)
		return fault_set(f, ERR_NOT_IMPLEMENTED, 0, "batch: compressed (codec %u)", codec);
	if (b->attributes & BATCH_CONTROL)
		return fault_set(f, ERR_BAD_RECORD, 0, "batch: a control batch");
	if (b->attributes & BATCH_LOG_APPEND_TIME)
		return fault_set(f, ERR_BAD_TIMESTAMP, 0, "batch: claims log append time");
	if (!sparse && b->attributes & BATCH_DELETE_HORIZON)
		return fault_set(f, ERR_BAD_RECORD, 0, "batch: claims a delete horizon");
	if (b->record_count == 0 && !sparse)
		return fault_set(f, ERR_BAD_RECORD, 0, "batch: no record");
	if (!sparse && b->last_offset - b->base_offset + 1 != b->record_count)
		return fault_set(f, ERR_BAD_RECORD, 0,
		                 "batch: %u records, but last offset delta %lld", b->record_count,
		                 (long long)(b->last_offset - b->base_offset));
	if (b->producer_id >= 0 && b->base_sequence < 0)
		return fault_set(f, ERR_BAD_RECORD, 0, "batch: a producer id without a sequence");
	return OK;
}

static bool headers_ok(const struct record *r)
{
	struct slice rest = r->headers;
	struct header h;

	for (uint32_t i = 0; i < r->header_count; i++) {
		if (!header_next(&rest, &h))
			return false;
	}
	return rest.len == 0;
}

/* `lowest`: the first offset it may have; the only one, unless the batch is sparse. */
static enum err check_record(const struct batch *b, uint32_t index, const struct record *r,
                             int64_t lowest, bool sparse, struct fault *f)
{
	if (sparse ? r->offset < lowest : r->offset != lowest)
		return fault_set(f, ERR_BAD_RECORD, 0, "record %u: offset delta %lld", index,
		                 (long long)(r->offset - b->base_offset));
	if (r->timestamp > b->max_timestamp)
		return fault_set(f, ERR_BAD_TIMESTAMP, 0,
		                 "record %u: timestamp %lld is later than the batch's max, %lld",
		                 index, (long long)r->timestamp, (long long)b->max_timestamp);
	if (!headers_ok(r))
		return fault_set(f, ERR_BAD_RECORD, 0, "record %u: malformed headers", index);
	return OK;
}

static enum err validate(struct slice from, bool sparse, struct batch *out, struct fault *f)
{
	struct batch b;
	struct batch_iter it;
	struct record r;
	bool corrupt;
	int64_t lowest;
	enum err err = batch_parse(from, &b, f);

	if (!err)
		err = check_header(&b, sparse, f);
	if (err)
		return err;
	lowest = b.base_offset;
	batch_iter_init(&it, &b);
	for (uint32_t index = 0; batch_iter_next(&it, &r, &corrupt); index++) {
		err = check_record(&b, index, &r, lowest, sparse, f);
		if (err)
			return err;
		lowest = r.offset + 1;
	}
	if (corrupt)
		return fault_set(f, ERR_BAD_RECORD, 0, "batch: a record is cut off or malformed");
	if (it.rest.len)
		return fault_set(f, ERR_BAD_RECORD, 0, "batch: %zu bytes after the last record",
		                 it.rest.len);
	*out = b;
	return OK;
}

enum err batch_validate(struct slice from, struct batch *out, struct fault *f)
{
	return validate(from, false, out, f);
}

enum err batch_validate_sparse(struct slice from, struct batch *out, struct fault *f)
{
	return validate(from, true, out, f);
}

/* --- writing --------------------------------------------------------------------------------- */

static int64_t length_or_null(struct slice s)
{
	return s.ptr ? (int64_t)s.len : -1;
}

static uint8_t *write_bytes(uint8_t *at, struct slice s)
{
	if (s.len)
		memcpy(at, s.ptr, s.len);
	return at + s.len;
}

static uint8_t *write_nullable(uint8_t *at, struct slice s)
{
	at += varint_write(at, length_or_null(s));
	return write_bytes(at, s);
}

static size_t nullable_size(struct slice s)
{
	return varint_size(length_or_null(s)) + s.len;
}

void header_append(struct buf *to, struct slice name, struct slice value)
{
	size_t bytes = varint_size((int64_t)name.len) + name.len + nullable_size(value);
	uint8_t *at;

	if (!buf_reserve(to, bytes))
		return;
	at = to->ptr + to->len;
	at += varint_write(at, (int64_t)name.len);
	at = write_bytes(at, name);
	write_nullable(at, value);
	to->len += bytes;
}

void batch_begin(struct batch_builder *b, struct buf *to)
{
	*b = (struct batch_builder){.to = to, .start = to->len};
	if (buf_reserve(to, BATCH_HEADER_BYTES))
		to->len += BATCH_HEADER_BYTES;
}

void batch_add(struct batch_builder *b, const struct record *r)
{
	struct buf *to = b->to;
	uint32_t offset_delta = b->count + b->skipped;
	int64_t timestamp_delta;
	size_t body;
	size_t bytes;
	uint8_t *at;

	if (b->count == 0) {
		if (!(b->attributes & BATCH_DELETE_HORIZON))
			b->base_timestamp = r->timestamp;
		b->max_timestamp = r->timestamp;
	} else if (r->timestamp > b->max_timestamp) {
		b->max_timestamp = r->timestamp;
	}
	timestamp_delta = wrapping_sub(r->timestamp, b->base_timestamp);
	body = 1 + varint_size(timestamp_delta) + varint_size(offset_delta) +
	       nullable_size(r->key) + nullable_size(r->value) + varint_size(r->header_count) +
	       r->headers.len;
	bytes = varint_size((int64_t)body) + body;
	if (!buf_reserve(to, bytes))
		return;
	at = to->ptr + to->len;
	at += varint_write(at, (int64_t)body);
	*at++ = 0; /* attributes */
	at += varint_write(at, timestamp_delta);
	at += varint_write(at, offset_delta);
	at = write_nullable(at, r->key);
	at = write_nullable(at, r->value);
	at += varint_write(at, r->header_count);
	write_bytes(at, r->headers);
	to->len += bytes;
	b->count++;
}

void batch_skip(struct batch_builder *b, uint32_t count)
{
	CHECK((uint64_t)b->count + b->skipped + count <= INT32_MAX);
	b->skipped += count;
}

size_t batch_builder_bytes(const struct batch_builder *b)
{
	return b->to->len - b->start;
}

size_t record_encoded_bytes_max(const struct record *r)
{
	enum { LENGTH_BYTES_MAX = 5 }; /* of a varint that fits 32 bits */

	return LENGTH_BYTES_MAX + 1 + VARINT_BYTES_MAX + LENGTH_BYTES_MAX + /* to offset delta */
	       LENGTH_BYTES_MAX + r->key.len + LENGTH_BYTES_MAX + r->value.len + LENGTH_BYTES_MAX +
	       r->headers.len;
}

struct slice batch_finish(struct batch_builder *b)
{
	size_t bytes = batch_builder_bytes(b);
	uint8_t *at;

	if (b->to->failed)
		return SLICE_NONE;
	CHECK(b->count + b->skipped > 0);
	CHECK(bytes <= INT32_MAX);
	at = b->to->ptr + b->start;
	store_be64(at, 0);
	store_be32(at + BATCH_LENGTH_AT, (uint32_t)(bytes - BATCH_PREFIX_BYTES));
	store_be32(at + LEADER_EPOCH_AT, UINT32_MAX);
	at[MAGIC_AT] = MAGIC;
	store_be16(at + ATTRIBUTES_AT, b->attributes);
	store_be32(at + LAST_OFFSET_DELTA_AT, b->count + b->skipped - 1);
	store_be64(at + BASE_TIMESTAMP_AT, (uint64_t)b->base_timestamp);
	store_be64(at + MAX_TIMESTAMP_AT, (uint64_t)b->max_timestamp);
	store_be64(at + PRODUCER_ID_AT, UINT64_MAX);
	store_be16(at + PRODUCER_EPOCH_AT, UINT16_MAX);
	store_be32(at + BASE_SEQUENCE_AT, UINT32_MAX);
	store_be32(at + RECORD_COUNT_AT, b->count);
	store_be32(at + CRC_AT, crc_of(slice_of(at, bytes)));
	return slice_of(at, bytes);
}
