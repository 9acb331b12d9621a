/* wal_cursor: reads the frames of a row of WAL files, from first to last; the WAL's own.
 *
 * It finds what is whole and says what is not; what to make of that is wal_recover's. After a bad
 * place it looks for the next frame at every 8 bytes, so one damaged length loses one frame.
 *
 * A file whose header is damaged has no generation to check its frames by. It takes that of its
 * first frame with a sequence not seen yet: the stale frames of a recycled file have all been seen
 * (they were freed), so they are never taken. */
#ifndef BOURN_STORE_WAL_CURSOR_H
#define BOURN_STORE_WAL_CURSOR_H

#include "store/wal_format.h"

/* One file, as found. */
struct wal_found_file {
	uint64_t number;
	uint64_t generation; /* valid with header_good, as are the next two */
	uint64_t first_sequence;
	uint64_t durable_through;
	uint64_t last_sequence; /* of its last frame that was accepted; 0: none */
	int64_t size;
	int64_t frame_bytes; /* in accepted frames */
	int64_t trace_end;   /* end of the last thing that bears its generation, whole or not */
	bool header_good;    /* whole, and for this number */
};

enum wal_item_kind {
	WAL_ITEM_END,
	WAL_ITEM_FILE,    /* a file with a good header begins: all up to its durable_through was
			     flushed when that was written */
	WAL_ITEM_FRAME,   /* a whole frame */
	WAL_ITEM_DAMAGED, /* a frame whose header is right and whose payload is not */
};

struct wal_item {
	enum wal_item_kind kind;
	size_t file; /* index */
	int64_t at;
	int64_t end;
	struct wal_frame
		frame; /* FRAME: payload borrowed until the next call; DAMAGED: without it */
};

struct wal_cursor {
	const struct wal_config *config; /* borrowed, as is the next */
	struct wal_found_file *files;
	size_t file_count;
	size_t file;
	size_t asked; /* the disk was told that files before this one will be read */
	int fd;       /* of `file`; -1: not open yet */
	int64_t at;   /* where the search goes on */
	bool generation_known;
	uint64_t generation;
	uint8_t *window; /* owned: a piece of the file */
	size_t window_cap;
	size_t window_len;
	int64_t window_at;
};

/* From the beginning of `file`. */
void wal_cursor_init(struct wal_cursor *c, const struct wal_config *config,
                     struct wal_found_file *files, size_t file_count, size_t file);

/* From where `from` stands, with a descriptor and a window of its own. */
enum err wal_cursor_fork(struct wal_cursor *c, const struct wal_cursor *from,
                         struct fault *f) MUST_CHECK;

void wal_cursor_fini(struct wal_cursor *c);

/* The next item. `unseen`: the lowest sequence that was not seen yet. ERR_IO, ERR_NO_MEMORY. */
enum err wal_cursor_next(struct wal_cursor *c, uint64_t unseen, struct wal_item *item,
                         struct fault *f) MUST_CHECK;

#endif
