/* row: what stands in the database, byte by byte.
 *
 *   column family `default`: the batches. Keys sort by topic, partition, offset.
 *
 *     key    0 16 topic    16  4 partition, big-endian    20  8 base offset, big-endian
 *     value  0  8 bytes of all batches ever appended to the partition, this one included
 *            8    the batch (record/batch.h)
 *
 *   The running total makes the bytes between any two batches one subtraction, but for those that
 *   compaction took away: rows that it wrote count on from the one at the log start, those behind
 *   as before.
 *
 *   column family `meta`:
 *
 *     key    0  1 's'                            value  0  4 version = 1
 *            (one row)                                  4  4 leader epoch of the last run
 *                                                       8  1 closed: 1 clean, 0 not
 *                                                       9 16 store id, as in bourn.dir
 *
 *     key    0  1 't'   1 16 topic   17  4 partition, big-endian   21  1 kind:
 *              'c'  compacted    value  0  8 clean: below no key has two records
 *                                       8  8 rows below were written anew
 *                                      16  8 running total there, as rows behind count on from
 *                                      24  8 bytes that totals count and compaction took away
 *              'd'  damage       value  0  8 from   8  8 to
 *              'e'  epochs       value  n × { 0  4 epoch   4  8 its first offset }
 *              'l'  log start    value  0  8 offset
 *              'm'  time mark, then 22  8 end offset, big-endian
 *                                value  0  8 first offset   8  8 highest timestamp of [first, end)
 *
 * Values are little-endian. No checksums: RocksDB's blocks and WAL records have them, and a batch
 * has its own. */
#ifndef BOURN_STORE_ROCKSDB_ROW_H
#define BOURN_STORE_ROCKSDB_ROW_H

#include "base/slice.h"
#include "base/uuid.h"

enum {
	ROW_VERSION = 1,
	ROW_TOTAL_BYTES = 8, /* before the batch, in a value */
	ROW_STORE_BYTES = 25,
	ROW_EPOCH_BYTES = 12,
	ROW_RANGE_BYTES = 16,
	ROW_OFFSET_BYTES = 8,
	ROW_COMPACTED_BYTES = 32,
};

/* Whose rows. */
struct row_home {
	struct uuid topic;
	uint32_t partition;
};

/* Of a batch. */
struct row_key {
	uint8_t bytes[28];
};
struct row_key row_key(const struct row_home *home, int64_t offset);

/* False: it is another partition's, or none of ours. */
bool row_key_offset(struct slice key, const struct row_home *home, int64_t *offset);

/* The topic of any key of a batch; false: it is none of ours. */
bool row_key_topic(struct slice key, struct uuid *topic);

enum row_kind {
	ROW_COMPACTED = 'c',
	ROW_DAMAGE = 'd',
	ROW_EPOCHS = 'e',
	ROW_LOG_START = 'l',
	ROW_MARK = 'm',
};

/* Of `meta`; for a mark with its offset, else that is left out. */
struct row_meta_key {
	uint8_t bytes[30];
	size_t len;
};
struct row_meta_key row_meta_key(const struct row_home *home, enum row_kind kind);
struct row_meta_key row_mark_key(const struct row_home *home, int64_t end_offset);
bool row_mark_key_offset(struct slice key, const struct row_home *home, int64_t *end_offset);

/* Behind every key that begins with `topic`, in either column family. The uuid is not all ones. */
struct row_topic_range {
	uint8_t from[17];
	uint8_t to[17];
	size_t len; /* of both */
};
struct row_topic_range row_topic_range(const struct uuid *topic);
struct row_topic_range row_meta_topic_range(const struct uuid *topic);

/* The row of the store. */
struct row_store {
	int32_t leader_epoch;
	bool clean;
	struct uuid id;
};
#define ROW_STORE_KEY SLICE_LIT("s")
void row_store_encode(const struct row_store *s, uint8_t into[ROW_STORE_BYTES]);
/* `*version` is that of the row, even where it is not known: false. */
bool row_store_decode(struct slice value, struct row_store *out, uint32_t *version);

/* What compaction has done to a partition. Zeroed: nothing. */
struct row_compacted {
	int64_t clean;
	int64_t upto;
	int64_t total; /* at `upto` */
	int64_t gone;
};
void row_compacted_encode(const struct row_compacted *c, uint8_t into[ROW_COMPACTED_BYTES]);
bool row_compacted_decode(struct slice value, struct row_compacted *out);

/* Two numbers: from and to of a damage, first offset and timestamp of a mark. */
void row_range_encode(int64_t first, int64_t second, uint8_t into[ROW_RANGE_BYTES]);
bool row_range_decode(struct slice value, int64_t *first, int64_t *second);

#endif
