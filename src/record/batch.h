/* The record batch: Apache Kafka's RecordBatch v2, the one format of an event from wire to disk.
 *
 *   off size                               off size
 *     0  8  base offset      (broker)       35  8  max timestamp, ms
 *     8  4  length after this field         43  8  producer id (-1: none)
 *    12  4  leader epoch     (broker)       51  2  producer epoch
 *    16  1  magic = 2                       53  4  base sequence
 *    17  4  CRC-32C of [21..end)            57  4  record count
 *    21  2  attributes                      61     records, or one compressed blob of them
 *    23  4  last offset delta
 *    27  8  base timestamp, ms
 *
 * All big-endian. A record: varint length, attributes (0), timestamp delta, offset delta, key,
 * value, headers; lengths are varints, -1 is null. The broker patches only the two fields outside
 * the CRC. A batch may have fewer records than its offset range (compaction), even none. */
#ifndef BOURN_RECORD_BATCH_H
#define BOURN_RECORD_BATCH_H

#include "base/buf.h"
#include "base/err.h"

enum {
	BATCH_HEADER_BYTES = 61,
	BATCH_LENGTH_AT = 8,
	BATCH_PREFIX_BYTES = 12, /* what stands before the bytes that `length` counts */
};

enum batch_attribute {
	BATCH_CODEC_MASK = 7,           /* 0: none; 1 gzip, 2 snappy, 3 lz4, 4 zstd */
	BATCH_LOG_APPEND_TIME = 1 << 3, /* every record's timestamp is the batch's max timestamp */
	BATCH_TRANSACTIONAL = 1 << 4,
	BATCH_CONTROL = 1 << 5, /* a transaction's end: takes an offset, holds no event */
	/* The base timestamp is when its tombstones may go, in ms: compaction has passed them
	 * once. */
	BATCH_DELETE_HORIZON = 1 << 6,
};

/* One event. All slices borrowed. */
struct record {
	int64_t offset;     /* out of an iterator; ignored by the builder */
	int64_t timestamp;  /* ms since 1970 */
	struct slice key;   /* NULL: none */
	struct slice value; /* NULL: a tombstone */
	struct slice
		headers; /* encoded: header_count × (varint len, name, varint len or -1, value) */
	uint32_t header_count;
};

struct header {
	struct slice name;
	struct slice value; /* NULL: null */
};

/* --- reading -----------------------------------------------------------------------------------
 */

/* The header of a batch, decoded. */
struct batch {
	int64_t base_offset;
	int64_t last_offset; /* base + last offset delta */
	int32_t leader_epoch;
	uint16_t attributes;
	int64_t base_timestamp;
	int64_t max_timestamp;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t base_sequence;
	uint32_t record_count;
	struct slice bytes; /* the whole batch, borrowed */
};

/* Total size of the batch that starts at `from`, once its first 12 bytes are there: false when they
 * are not, or when the length they state is impossible (< header, or > `limit`). */
bool batch_peek_size(struct slice from, size_t limit, size_t *bytes);

/* Decode and check the header of the first batch in `from`: size against the bytes at hand, magic,
 * count against the offset range. Does not touch the records. ERR_CORRUPT says what is wrong. */
enum err batch_parse(struct slice from, struct batch *out, struct fault *f) MUST_CHECK;

/* The CRC over the body; true when right. */
bool batch_crc_ok(const struct batch *b);

/* All that is asked of a batch from outside. Only the first batch in `from` is looked at: compare
 * `out->bytes.len` where there may be one only.
 *
 * Errors: ERR_CORRUPT          bounds, magic, CRC, or an unknown codec.
 *         ERR_BAD_RECORD       no record, a control batch, offset deltas other than 0, 1, 2, …, a
 *                              producer id without a sequence, or records, headers, lengths that
 *                              do not fit each other.
 *         ERR_BAD_TIMESTAMP    the log-append-time bit, or a record later than the max timestamp.
 *         ERR_NOT_IMPLEMENTED  compressed: not built yet. */
enum err batch_validate(struct slice from, struct batch *out, struct fault *f) MUST_CHECK;

/* The same of a batch that was in a log already, where records may have gone: offset deltas only
 * have to rise, and there may be none. */
enum err batch_validate_sparse(struct slice from, struct batch *out, struct fault *f) MUST_CHECK;

/* The CRC-32C of the whole batch, header and all, from the one over its body that it bears, which
 * is not looked over: a fixed cost however large it is. */
uint32_t batch_checksum(const struct batch *b);

/* Records of one batch in order; a control batch has none. */
struct batch_iter {
	struct batch batch;
	struct slice rest;
	uint32_t left;
};
void batch_iter_init(struct batch_iter *it, const struct batch *b);
/* True with the next record (borrowed from the batch); false at the end, or when the bytes are
 * malformed or compressed: `*corrupt` says which. Headers are bounded here, but looked into only by
 * header_next. */
bool batch_iter_next(struct batch_iter *it, struct record *out, bool *corrupt);

/* Take one header from the front of `*headers`; false when none is left (or malformed). */
bool header_next(struct slice *headers, struct header *out);
/* The first header of that name. */
bool record_header(const struct record *r, const char *name, struct slice *value);

/* --- writing -----------------------------------------------------------------------------------
 */

/* Append one header in encoded form. */
void header_append(struct buf *to, struct slice name, struct slice value);

/* Builds one uncompressed batch in a buf: begin, add…, finish. */
struct batch_builder {
	struct buf *to;
	size_t start; /* where the batch begins in `to` */
	int64_t base_timestamp;
	int64_t max_timestamp;
	uint32_t count;
	uint32_t skipped;    /* offsets without a record */
	uint16_t attributes; /* enum batch_attribute; 0 unless set between begin and finish, which
	                        BATCH_DELETE_HORIZON is before the first record, with base_timestamp */
};
void batch_begin(struct batch_builder *b, struct buf *to);
/* Copies the record in: the one copy of an event on its way to the log. Its offset delta is the
 * number of records and skipped offsets before it. */
void batch_add(struct batch_builder *b, const struct record *r);
/* The next `count` offsets are a gap. Of a batch with no record base and max timestamp are the
 * caller's to set. All offsets of a batch together are at most 2^31 - 1. */
void batch_skip(struct batch_builder *b, uint32_t count);
/* Bytes so far, header included. */
size_t batch_builder_bytes(const struct batch_builder *b);
/* Bytes that batch_add would append for `r`, at most (for limits, before any copy). */
size_t record_encoded_bytes_max(const struct record *r);
/* Fill in the header; of no offset at all there is no batch. The slice is borrowed from `to`,
 * SLICE_NONE if it failed.
 */
struct slice batch_finish(struct batch_builder *b);

/* Patch the two fields outside the CRC. */
void batch_assign(uint8_t *batch, int64_t base_offset, int32_t leader_epoch);

#endif
