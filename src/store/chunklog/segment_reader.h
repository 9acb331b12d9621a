/* segment_reader: the batches of a segment file one behind the other, each verified: its length,
 * magic and CRC right and its base offset the one that must be there. It knows where runs end in
 * zeros. Nothing of headers, indexes and manifests.
 *
 * Blocking: a worker's thread, or before the loops run. */
#ifndef BOURN_STORE_CHUNKLOG_SEGMENT_READER_H
#define BOURN_STORE_CHUNKLOG_SEGMENT_READER_H

#include "base/err.h"
#include "record/batch.h"

struct disk;

enum { SEGMENT_BLOCK_BYTES = 4096 };

static inline int64_t segment_block_round(int64_t at)
{
	return (at + SEGMENT_BLOCK_BYTES - 1) / SEGMENT_BLOCK_BYTES * SEGMENT_BLOCK_BYTES;
}

struct segment_reader {
	struct disk *disk; /* borrowed, as is the next */
	const char *path;  /* for faults */
	int fd;            /* the caller's */
	size_t window;     /* read at once, bytes */
	int64_t at;        /* the next batch's first byte in the file, or zeros before it */
	int64_t end;       /* of the bytes that count */
	int64_t next_offset;
	uint8_t *buffer; /* owned; holds the file's bytes from `at` on … */
	size_t skip;     /* … from here … */
	size_t have;     /* … to here */
	size_t cap;
	size_t kept_at; /* and before them the batches that were kept, behind each other */
	size_t kept;    /* bytes */
};

/* Then segment_reader_place. */
void segment_reader_init(struct segment_reader *r, struct disk *disk, int fd, const char *path,
                         size_t window);
void segment_reader_fini(struct segment_reader *r);

/* Go to byte `at`, where the batch with base offset `offset` must begin (or zeros before it). */
void segment_reader_place(struct segment_reader *r, int64_t at, int64_t offset, int64_t end);

/* While at < end: the next batch, borrowed until the next call. On failure, ERR_CORRUPT,
 * ERR_NO_MEMORY or what the disk says, the reader stands where it stood, or behind zeros. */
enum err segment_reader_next(struct segment_reader *r, struct batch *out,
                             struct fault *f) MUST_CHECK;

/* The batch that came last stays in the buffer, behind those that were kept before; nothing is
 * copied where they are neighbours in the file. Where it is now, borrowed until the next call. */
uint8_t *segment_reader_keep(struct segment_reader *r, const struct batch *b);

/* The buffer, with what was kept in `*kept`, becomes the caller's to free(), and no more is read;
 * NULL when nothing was kept. */
void *segment_reader_give(struct segment_reader *r, struct slice *kept);

#endif
