/* manifest: what the segments hold, as of the last checkpoint; `manifest` in the data directory.
 *
 * Written whole and atomically (as `manifest.next`, then renamed); the one before is kept as
 * `manifest.prev`, and gives its space when the disk is full. It is written at each open too: with
 * the epoch of that run, and no longer clean.
 *
 *     0  8  magic "bournman"               a partition
 *     8  4  format version                   0 16  topic
 *    12  4  flags: 1 clean                  16  4  index
 *    16 16  store id                        20  4  segments
 *    32  8  checkpointed: WAL frames up     24  8  log start
 *           to this one are in segments     32  8  end: all below is in segments
 *    40  4  leader epoch of the store       40  8  damaged from, -1: not
 *    44  4  partitions                      48  8  damaged to (not included)
 *    48     partitions                      56  8  compacted: below, no key has two records
 *           last 4: CRC-32C of all before   64     segments: base offset 8, end offset 8,
 *                                                  bytes 8, leader epoch 4, generation 4,
 *                                                  created 8, min and max timestamp 8, 8
 * Little-endian. Version 2 has segments at 56, all of generation 0; version 1 also no times of
 * them. A partition of which nothing is saved is left out. Nothing depends on the number of
 * shards. */
#ifndef BOURN_STORE_CHUNKLOG_MANIFEST_H
#define BOURN_STORE_CHUNKLOG_MANIFEST_H

#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"
#include "store/chunklog/segment.h"

struct disk;

enum { MANIFEST_BYTES_MAX = 512 << 20 };

/* Offsets that were acknowledged and cannot be read any more. */
struct damage {
	int64_t from; /* -1: none */
	int64_t to;   /* first offset behind it; may equal `from` when its extent is not known */
};

/* What is saved of one partition. */
struct saved {
	int64_t log_start;
	int64_t end_offset;
	int64_t compacted; /* below, no key has two records; 0: not known of any */
	struct damage damage;
	struct segment *segments; /* owned; rising */
	uint32_t segment_count;
};

struct manifest {
	bool clean;            /* the process that wrote it ended well, and wrote nothing after */
	uint64_t checkpointed; /* WAL sequence */
	int32_t leader_epoch;
};

/* header, then one call per partition, then finish. */
void manifest_begin(struct buf *out, const struct manifest *m, const struct uuid *store_id);
void manifest_add(struct buf *out, const struct uuid *topic, uint32_t partition,
                  const struct saved *s);
void manifest_finish(struct buf *out);

/* `saved` and its segments are borrowed until the call returns. An error ends the decoding. */
typedef enum err manifest_partition_cb(void *arg, const struct uuid *topic, uint32_t partition,
                                       const struct saved *s, struct fault *f);

/* The checksum before anything else. ERR_CORRUPT, ERR_DIR_NEWER, ERR_DIR_FOREIGN. */
enum err manifest_decode(struct slice bytes, const struct uuid *store_id, struct manifest *out,
                         manifest_partition_cb *each, void *arg, struct fault *f) MUST_CHECK;

/* The same for the head alone; all of it is checked. */
enum err manifest_check(struct slice bytes, const struct uuid *store_id, struct manifest *out,
                        struct fault *f) MUST_CHECK;

/* Blocking. The present one becomes the previous one, `bytes` the present one. On an error there is
 * a present one or, for want of it, the previous one is as good. */
enum err manifest_write(struct disk *d, const char *root, struct slice bytes,
                        struct fault *f) MUST_CHECK;

#endif
