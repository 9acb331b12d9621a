/* segment: one file of a partition's saved log, `topics/<uuid>/<partition>/<base offset>.seg`; what
 * compaction made of it is `<base offset>-<generation>.seg`.
 *
 * A 4 KiB header, then runs: what one checkpoint appended, record batches one behind the other as
 * they stand in memory. A run begins on a 4 KiB block, so a block that holds saved bytes is never
 * written again; what is left of the block before it is zeros. A new segment is begun when its
 * topic's segment.bytes or segment.ms say so, at a new leader epoch and behind a hole; all its
 * batches bear its epoch. How much of a file counts is said by the manifest, and while the broker
 * runs by what it has in memory; what a failed or interrupted checkpoint or spill left behind that
 * is written over, or cut by the next start. A file that has a second name, because a backup links
 * it, is never written again under either. A checkpoint writes past the page cache where the file
 * system can (but for small runs among many): what is new is read from chunks, so copies of it
 * there would only cost. When memory is waited for it goes through it, as that is quick.
 *
 *     0  8  magic "bournseg"          48  8  base offset
 *     8  4  format version            56  4  leader epoch
 *    12  4  partition                 60  4  generation
 *    16 16  store id                  64     zeros
 *    32 16  topic                   4092  4  CRC-32C of [0..4092)
 * Little-endian.
 *
 * Blocking: a worker's thread, or before and after the loops run. */
#ifndef BOURN_STORE_CHUNKLOG_SEGMENT_H
#define BOURN_STORE_CHUNKLOG_SEGMENT_H

#include "base/err.h"
#include "base/uuid.h"
#include "store/chunk.h"

#include <sys/uio.h>

struct disk;

enum {
	SEGMENT_HEADER_BYTES = 4096,
	SEGMENT_PATH_BYTES = 4096,
};

/* Whose segments. All borrowed. */
struct segment_home {
	struct disk *disk;
	const char *root; /* the data directory */
	const struct uuid *store_id;
	const struct uuid *topic;
	uint32_t partition;
};

struct segment {
	int64_t base_offset;
	int64_t end_offset;
	int64_t bytes; /* that count, header included, up to the last batch; 0: there is no file yet */
	int32_t leader_epoch;
	uint32_t generation; /* how often what begins here was compacted */
	int64_t created_ms; /* wall clock when it was begun; 0: a version that noted no times did it */
	int64_t min_timestamp; /* the least that a batch begins with … */
	int64_t max_timestamp; /* … and the greatest of a record; both only if created_ms > 0 */
};

/* Empty, to be begun. */
struct segment segment_new(int64_t base_offset, int32_t leader_epoch, int64_t created_ms);

static inline bool segment_has_times(const struct segment *s)
{
	return s->created_ms > 0;
}

/* Its times take in those of whole batches. */
void segment_note_times(struct segment *s, struct slice batches);

/* The first SEGMENT_HEADER_BYTES of its file. */
void segment_header_encode(const struct segment_home *h, const struct segment *s, uint8_t *into);

/* "<root>/topics/<uuid>/<partition>" */
void segment_dir(const struct segment_home *h, char into[SEGMENT_PATH_BYTES]);

/* Make that directory. For it to last, the topic's and `topics` have to be synced. */
enum err segment_make_dir(const struct segment_home *h, struct fault *f) MUST_CHECK;

/* Make the names of its files last, in a directory that does. */
enum err segment_sync_dir(const struct segment_home *h, struct fault *f) MUST_CHECK;

/* The same for its name, in `topics`, if that is synced after. */
enum err segment_sync_topic_dir(const struct segment_home *h, struct fault *f) MUST_CHECK;

/* Append whole batches (in each of `iov`): they end at `end_offset` and the first follows what the
 * segment holds. `direct`: past the page cache, where the file system can. `*fd`, with which they
 * were written, is then the caller's: they do not last before it is synced, nor, in a new file,
 * before segment_sync_dir. On failure `s` is as before and the append may be tried again. */
enum err segment_append(const struct segment_home *h, struct segment *s, bool direct,
                        const struct iovec *iov, int count, int64_t end_offset, int *fd,
                        struct fault *f) MUST_CHECK;

/* Byte at which the next append begins. */
int64_t segment_next_at(const struct segment *s);

/* Its file has another name, in a backup say, under which it must stay as it is: nothing more may
 * be appended to it. False also for one that cannot be opened. */
bool segment_is_shared(const struct segment_home *h, const struct segment *s);

/* With its index. */
enum err segment_remove(const struct segment_home *h, const struct segment *s,
                        struct fault *f) MUST_CHECK;

/* Is it one file of one partition? */
static inline bool segment_same(const struct segment *a, const struct segment *b)
{
	return a->base_offset == b->base_offset && a->generation == b->generation;
}

/* "<root>/topics/<uuid>/<partition>/<base>.seg", or "…-<generation>.seg" */
void segment_path(const struct segment_home *h, const struct segment *s,
                  char into[SEGMENT_PATH_BYTES]);

/* The same while compaction writes it: segment_list passes it by. */
void segment_unfinished_path(const struct segment_home *h, const struct segment *s,
                             char into[SEGMENT_PATH_BYTES]);

/* The same with ".idx". */
void segment_index_path(const struct segment_home *h, const struct segment *s,
                        char into[SEGMENT_PATH_BYTES]);

/* Open for reading, with the header checked, and measure; the caller closes `*fd`. The epoch in `s`
 * is then the header's. */
enum err segment_open(const struct segment_home *h, struct segment *s, int *fd, int64_t *size,
                      struct fault *f) MUST_CHECK;

/* Each batch read; borrowed until the call returns. `more_bytes` may follow in this segment. */
typedef void segment_batch_cb(void *arg, struct slice batch, int32_t leader_epoch,
                              size_t more_bytes);

/* Read and verify: every batch must be whole and right, at the offset that must be there.
 * `s` says where it begins and how much counts; bytes == INT64_MAX: as far as it goes, but not
 * beyond end_offset. Returns where what is right ends (in `s`), and why there (`f`, ERR_CORRUPT or
 * ERR_IO) unless that is where it should. The epoch is the header's, the timestamps those that were
 * read; created_ms stays. */
enum err segment_load(const struct segment_home *h, struct segment *s, segment_batch_cb *each,
                      void *arg, struct fault *f) MUST_CHECK;

/* The same for where it ends alone. */
enum err segment_check(const struct segment_home *h, struct segment *s, struct fault *f) MUST_CHECK;

/* All segment files there are, by base offset, of one the highest generation first; nothing else is
 * known of them. Owned by the caller. OK and none when there is no directory. */
enum err segment_list(const struct segment_home *h, struct segment **found, size_t *count,
                      struct fault *f) MUST_CHECK;

/* Of what segment_list found, where nothing else is known: is the i-th to be read, when all below
 * offset `reached` is in others? It is then told how far it may go. What compaction made is whole,
 * and stands for what it was made of. */
bool segment_counts(struct segment *found, size_t count, size_t i, int64_t reached);

/* Remove files that are not among these, or not finished, and cut those that are to the bytes that
 * count. */
enum err segment_tidy(const struct segment_home *h, const struct segment *known, uint32_t count,
                      struct fault *f) MUST_CHECK;

#endif
