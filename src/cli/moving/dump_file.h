/* dump_file: events in a file (or pipe), to be loaded elsewhere. Two formats, both streams that are
 * written and read once from the front, in bounded memory (docs/formats.md#dump):
 *
 *   dump_lines    a person's: a line of JSON an event, lossless
 *   dump_frames   whole record batches as they are stored
 *
 * Either is: what this is; then topics, each followed by its events, in runs of one partition; then
 * an end. All of it is under checksums that come every quarter of a MiB or so; nothing is handed
 * out before the checksum over it was right. A file that ends early is told from one that is
 * damaged: it can be gone on with, from `good_at`. */
#ifndef BOURN_CLI_MOVING_DUMP_FILE_H
#define BOURN_CLI_MOVING_DUMP_FILE_H

#include "cli/moving/dump_topic.h"

enum {
	DUMP_VERSION = 1,
	DUMP_CHUNK_BYTES = 256 << 10,      /* a checksum comes after so many bytes, or one event */
	DUMP_CHUNK_BYTES_MAX = 256 << 20,  /* beyond, it is none of ours */
	DUMP_BATCHES_BYTES_MAX = 64 << 20, /* what is handed out at once, at most */
};

struct dump_format;
extern const struct dump_format dump_lines;
extern const struct dump_format dump_frames;

/* --- writing ---------------------------------------------------------------------------------- */

/* Memory is the caller's, zeroed before. */
struct dump_writer {
	const struct dump_format *format;
	int fd;           /* borrowed; not waited for: it blocks */
	const char *name; /* borrowed: for messages */
	struct buf out;   /* what is not written yet */
	size_t checked;   /* lines: so many bytes of it are under a check line */
	char topic[TOPIC_NAME_BYTES_MAX + 1]; /* the present one … */
	uint32_t topic_index;                 /* … and which of the file's it is */
	uint32_t topic_count;                 /* in the file */
	int64_t event_count;                  /* in the file */
	int64_t byte_count;                   /* written by this process */
};

/* Of a new file, or (`topic_count` and `event_count` say what is in it) of one to go on with, that
 * ends behind a checksum. */
void dump_writer_init(struct dump_writer *w, const struct dump_format *format, int fd,
                      const char *name);
void dump_writer_fini(struct dump_writer *w);

/* ERR_IO, ERR_DISK_FULL: the file ends somewhere. */
enum err dump_write_begin(struct dump_writer *w, int64_t created_at_ms, struct fault *f) MUST_CHECK;
/* The events that follow are of this topic, the `index`th of the file: topic_count for a new
 * one. */
enum err dump_write_topic(struct dump_writer *w, const struct dump_topic *t, uint32_t index,
                          struct fault *f) MUST_CHECK;
/* Whole batches, checked ones. */
enum err dump_write_batches(struct dump_writer *w, uint32_t partition, struct slice batches,
                            struct fault *f) MUST_CHECK;
/* All is under a checksum and written; it can be gone on with. */
enum err dump_write_flush(struct dump_writer *w, struct fault *f) MUST_CHECK;
/* It is complete. */
enum err dump_write_end(struct dump_writer *w, struct fault *f) MUST_CHECK;

/* --- reading ---------------------------------------------------------------------------------- */

enum dump_item_kind {
	DUMP_TOPIC,   /* `topic` begins */
	DUMP_BATCHES, /* events of `topic`; borrowed until the next call */
	DUMP_END,     /* that was all */
	DUMP_CUT,     /* it ends early: all before `good_at` was handed out */
};

struct dump_item {
	enum dump_item_kind kind;
	uint32_t topic; /* its number in the reader's topics */
	uint32_t partition;
	/* Whole batches, each with the offsets it had, gaps between and in them. */
	struct slice batches;
	int64_t event_count;
};

/* Memory is the caller's, zeroed before. */
struct dump_reader {
	const struct dump_format *format; /* NULL: not known yet */
	int fd;                           /* borrowed */
	const char *name;                 /* borrowed: of the file, for messages */
	bool unchecked;                   /* lines: checksums are not looked at */
	struct buf in;                    /* read; from file offset `in_at` on */
	size_t used;                      /* so many bytes of it were handed out */
	int64_t in_at;
	bool eof;
	bool ended;                 /* END or CUT was handed out */
	int64_t good_at;            /* all before this byte is whole and was handed out */
	struct dump_topic **topics; /* owned, as they came */
	uint32_t topic_count;
	uint32_t topic_cap;
	bool unsorted;       /* they do not rise by name, as ours do */
	int64_t event_count; /* handed out */

	/* lines: */
	int64_t line;       /* the next one's number, from 1 */
	size_t chunk_end;   /* bytes of `in` that are under a right checksum … */
	size_t chunk_next;  /* … and where the line with the checksum ends */
	struct buf decoded; /* of one event */
	struct buf headers; /* of one event, encoded */
	struct buf batches; /* what is handed out */
};

void dump_reader_init(struct dump_reader *r, int fd, const char *name);
void dump_reader_fini(struct dump_reader *r);

/* The next item. The first call finds out the format. After END or CUT it is not called again.
 *
 * Errors: ERR_INPUT: damaged, of a newer version, or no dump at all: `f` names the file, the line
 *         or byte, and what to do. ERR_SHUTTING_DOWN: a signal came. ERR_NO_MEMORY. */
enum err dump_read(struct dump_reader *r, struct dump_item *out, struct fault *f) MUST_CHECK;

/* Does the regular file `fd` end with an end? It stays where it stands. */
bool dump_has_end(int fd);

/* Does it begin as a dump does? */
bool dump_is_one(int fd);

/* --- for formats ------------------------------------------------------------------------------ */

struct dump_format {
	struct slice magic; /* what each file begins with */
	/* All append to w->out. */
	void (*begin)(struct dump_writer *w, int64_t created_at_ms);
	void (*topic)(struct dump_writer *w, const struct dump_topic *t);
	void (*batches)(struct dump_writer *w, uint32_t partition, struct slice batches);
	void (*check)(struct dump_writer *w); /* what is not under a checksum yet */
	void (*end)(struct dump_writer *w);
	/* Of the last bytes of a file: they are an end. */
	bool (*has_end)(struct slice tail);
	enum err (*next)(struct dump_reader *r, struct dump_item *out, struct fault *f);
};

/* More bytes into r->in: `more` of them beyond r->used, if there are so many (see r->in.len). */
enum err dump_fill(struct dump_reader *r, size_t more, struct fault *f) MUST_CHECK;

/* A topic that came: becomes the reader's; refused when it came before. */
enum err dump_add_topic(struct dump_reader *r, struct slice json, struct dump_item *out,
                        struct fault *f) MUST_CHECK;

static inline struct slice dump_unread(const struct dump_reader *r)
{
	return slice_of(r->in.ptr + r->used, r->in.len - r->used);
}

#endif
