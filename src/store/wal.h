/* wal: the write-ahead log of one data directory, with group commit.
 *
 * All shards feed one writer thread. It takes what has come (a group), makes sure there is space,
 * lays the frames behind each other in one aligned buffer, writes once, completes the members that
 * need no flush, flushes once if any member needs it, completes those. While it works the next
 * group gathers; so one flush serves everybody. A group that will be flushed is written past the
 * page cache, where the file system can.
 *
 * Files. `<number>.wal`, pre-written with zeros ahead of use (so that a flush moves data only), a
 * 4 KiB header, then groups, each starting on a 4 KiB block: a block that holds acknowledged bytes
 * is never written again. A file that a checkpoint made free is recycled under the next number with
 * a new random generation; the generation is inside every frame's checksum, so a stale frame is
 * never taken for a live one. After recovery writing goes on in a new file, never in an old one.
 * The next file does not wait until the one before is flushed: a flush takes all that are not,
 * oldest first, and what a checkpoint frees before nobody flushes at all. Of those there are
 * sixteen at most; then the next one waits until the oldest is flushed.
 *
 *   file header                              frame
 *     0  8  magic "bournwal"                   0  4  magic "bWAL"
 *     8  4  format version                     4  4  payload length
 *    12  4  kind ("data", "ctlg")              8  8  generation
 *    16  8  number                            16  8  sequence, one rising number over all files
 *    24  8  generation                        24  8  durable_through: the highest sequence known
 *    32  8  first sequence                              flushed when this frame was built
 *    40 16  store id                          32 16  topic
 *    56  4  CRC-32C of [0..56)                48  4  partition
 *    60  8  durable_through                   52  1  type    53  1  class    54  2  zero
 *    68  4  CRC-32C of [0..68)                56  8  base offset
 *                                             64  8  log end after this frame
 *                                             72  4  leader epoch
 *                                             76  4  CRC-32C of the payload
 *                                             80  4  zero
 *                                             84  4  CRC-32C of [0..84)
 *                                             88     payload, then zeros to a multiple of 8
 * All little-endian.
 *
 * Torn or corrupt? At the first bad or missing frame the scan looks ahead, in this file and all
 * newer ones. A later valid header, of a frame or a file, whose durable_through lies at or past the
 * break proves that what is missing had been flushed: damage, reported with what is known of it.
 * Without proof it is a torn tail: cut (the file is truncated there and synced, newer ones are
 * removed) before anything is appended anew. A damaged file header costs nothing: the file's frames
 * say what it said.
 * After a flush with nothing following, an empty mark frame carries durable_through within 100 ms.
 *
 * Failure. A failed write or flush fails the WAL for good: the group and everything after it
 * completes with ERR_IO, nothing is retried, nothing acked; reads of what is in memory go on;
 * a restart recovers. No space to grow is not that: the frames that do not fit complete with
 * ERR_DISK_FULL before anything is written, and the next group tries again. */
#ifndef BOURN_STORE_WAL_H
#define BOURN_STORE_WAL_H

#include "base/err.h"
#include "base/slice.h"
#include "base/uuid.h"
#include "core/topic.h"
#include "io/loop.h"

struct disk;
struct wal;

enum {
	WAL_BLOCK_BYTES = 4096,
	WAL_FRAME_HEADER_BYTES = 88,
	WAL_PAYLOAD_BYTES_MAX = 32 << 20,
};

/* An unknown type refuses the start: a newer version wrote it. */
enum wal_frame_type {
	WAL_MARK = 1,    /* nothing but durable_through */
	WAL_BATCHES = 2, /* record batches of one partition */
	WAL_TRIM = 3,    /* log start moved to base_offset */
	WAL_CATALOG = 4, /* catalog records; only in kind "ctlg" */
};

struct wal_frame {
	uint64_t sequence;
	uint64_t durable_through;
	struct uuid topic;
	uint32_t partition;
	enum wal_frame_type type;
	enum durability durability;
	int64_t base_offset;
	int64_t log_end;
	int32_t leader_epoch;
	struct slice payload; /* borrowed until the callback returns */
	uint32_t payload_crc; /* in a write: CRC-32C of it, if that is known already; else 0 */
	uint64_t file;        /* number, as is the next of a frame that was read */
	int64_t at;           /* byte in it */
};

struct wal_config {
	const char *dir;       /* exists, or is made */
	char kind[5];          /* "data" or "ctlg" */
	struct uuid store_id;  /* a file with another one is not ours: ERR_DIR_FOREIGN */
	uint64_t checkpointed; /* frames up to this sequence are not needed any more */
	struct disk *disk;     /* borrowed until close, as are the next three */
	struct clock *clock;
	struct entropy *entropy;
	struct log *log;
	int64_t file_bytes;    /* a new file is begun when one holds this much; 64 MiB */
	int64_t reserve_bytes; /* pre-written space that only `reserved` frames may use; 1 MiB */
	int64_t flush_ms;      /* for class `interval` */
	bool mark_before_ack;  /* flush a mark after each flushed group, before completing it */
};

/* What recovery found. */
struct wal_damage {
	uint64_t sequence;    /* of the first frame that is damaged or missing */
	uint64_t frame_count; /* how many sequences are missing before the next valid one; >= 1 */
	bool partition_known; /* a header was readable: the next four are right; else any may be hit */
	struct uuid topic;
	uint32_t partition;
	int64_t base_offset;
	int64_t log_end;
	uint64_t file; /* number */
	int64_t at;    /* byte in it */
};
struct wal_recovery {
	uint64_t last_sequence;
	uint64_t frame_count;
	int64_t cut_bytes;          /* of a torn tail; 0: none */
	struct wal_damage *damages; /* owned by the caller: free() */
	size_t damage_count;
};

/* A valid frame beyond `checkpointed`, in sequence order; marks are left out. An error ends the
 * recovery. */
typedef enum err wal_replay_cb(void *arg, const struct wal_frame *frame, struct fault *f);

/* Blocks. Scans, replays, cuts a torn tail, begins a new file and starts the writer thread.
 * ERR_DIR_FOREIGN, ERR_DIR_NEWER: nothing was modified. Nothing is modified either before replay
 * has ended well. */
enum err wal_open(const struct wal_config *config, wal_replay_cb *replay, void *arg,
                  struct wal_recovery *report, struct wal **out, struct fault *f) MUST_CHECK;

/* Blocks; any thread. Make `config->dir` a WAL that holds nothing and goes on behind
 * `checkpointed`, as wal_open expects it. It lasts when this returns. */
enum err wal_make(const struct wal_config *config, struct fault *f) MUST_CHECK;

/* Blocks; flushes what is written, stops the thread. All writes must be done. */
void wal_close(struct wal *w);

/* One frame to be written. */
struct wal_write {
	/* in: all but sequence and durable_through; payload borrowed until done. durability: none
	 * and os: done after the write; interval: the same, and a flush follows; commit: done after
	 * the flush. out: sequence */
	struct wal_frame frame;
	bool reserved; /* in: may use the reserve (trims, catalog) */
	/* in: NULL, or a write of this loop that is not done yet, and without which this one would
	 * leave a hole; as `reserved` as this one */
	const struct wal_write *after;
	struct loop *loop; /* in: where done runs */
	void (*done)(struct wal_write *ww);
	struct fault fault;     /* out: DISK_FULL, or IO for good */
	struct message message; /* the WAL's own, as are the next */
	struct wal_write *next;
	struct wal *wal;
	/* of so many refusals the loop had when this one, or what it is after, was begun */
	uint32_t heard;
	uint32_t refusal; /* the number of its own */
};

/* The thread of `ww->loop`. Frames of one loop keep their order, also when there is no space: one
 * that was refused for DISK_FULL takes with it every later one that its loop had submitted before
 * it was told (apart for normal and reserved frames), and whatever is `after` one of those. So what
 * is written has no hole: the loop hears of refusals one by one, of another partition's first. */
void wal_write(struct wal *w, struct wal_write *ww);

/* Begin a new file. `last_sequence` is of the last frame before it; every write up to it has been
 * posted to its loop before this one's done is. */
struct wal_roll {
	struct loop *loop;
	void (*done)(struct wal_roll *r);
	uint64_t last_sequence; /* out */
	struct fault fault;
	struct message message;
	struct wal_roll *next;
};
void wal_roll(struct wal *w, struct wal_roll *r);

/* Any thread: frames up to `sequence` are in a checkpoint; files that hold none after it may be
 * recycled (or removed). */
void wal_free_through(struct wal *w, uint64_t sequence);

/* Any thread; for metrics and the checkpoint trigger. */
struct wal_stats {
	int64_t bytes;     /* on the disk, in frames not yet freed */
	int64_t oldest_ms; /* wall clock of the oldest such frame; 0: none */
	uint64_t group_count;
	uint64_t written_bytes;
	uint64_t flush_count;
	bool failed;
};
struct wal_stats wal_stats(struct wal *w);

#endif
