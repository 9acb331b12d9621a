/* reader: a cursor into one topic that events flow from: the heart of consume and of every
 * subscription. It is a place, not a queue: at most one run of batches per partition is held
 * (shared with everybody who reads there), so a reader that nobody takes from costs nothing and
 * slows nobody.
 *
 *   reader_open → wake … reader_take, reader_take, … READER_CAUGHT_UP → wake → … → reader_close
 *
 * Pull: `wake` says that reader_take has news; the owner takes as long as it has room for more and
 * comes back when it has again. Partitions are read in turn, a run at a time; order holds within a
 * partition. Partitions of other shards are asked by message: one question under way each. */
#ifndef BOURN_BROKER_READER_H
#define BOURN_BROKER_READER_H

#include "broker/broker.h"
#include "record/batch.h"
#include "wire/cursor.h"

enum position_kind {
	POSITION_EARLIEST,
	POSITION_LAST,   /* the last event there is */
	POSITION_END,    /* only what comes */
	POSITION_OFFSET, /* value: an offset; topics of several partitions need `partition` */
	POSITION_TIME,   /* value: ms since 1970: the first event at or after */
	POSITION_CURSOR, /* entries */
	POSITION_NUMBER, /* value: the cursor of a topic that had one partition: an offset in its
			    first, and the beginning of any that were added since */
};

struct position {
	enum position_kind kind;
	int64_t value;
	/* CURSOR: of any topics, a partition once; borrowed. Those of other topics are passed over.
	 * From a text (wire/cursor.h), or from the bounds of another reader. */
	const struct cursor_entry *entries;
	size_t entry_count;
};

struct reader_options {
	const struct caller *caller; /* borrowed until close */
	enum operation operation;    /* CONSUME or SUBSCRIBE */
	struct slice topic;          /* borrowed during the call */
	int32_t partition;           /* -1: all */
	struct position position;    /* its entries are borrowed during the call */
	/* Where to begin when `position` is a cursor that names no partition of this topic; no
	 * cursor itself. Borrowed during the call; NULL: that is TOPIC_GONE. */
	const struct position *otherwise;
	/* An unknown topic is waited for (subscribe), else TOPIC_UNKNOWN. When it comes, END and
	 * LAST (also of `otherwise`) mean from its first event. */
	bool wait_for_topic;
	/* After catching up wait for more; false: one look is all (consume without wait). */
	bool follow;
};

enum reader_take {
	READER_WAIT,      /* answers are still under way: wake follows */
	READER_EVENT,     /* one event in `out` */
	READER_CAUGHT_UP, /* nothing more now: every partition was at its high watermark when last
			     asked; wake follows when there is more (if `follow`). Also while an
			     unknown topic is waited for: then there are no bounds yet */
	READER_GREW, /* the topic has more partitions than before (if `follow`; once each time). This
			reader does not read them, and goes on with its own: take on. One that is
			opened at its bounds reads all, the new ones from their beginning */
	READER_FAILED, /* for good: see reader_fault */
};

struct delivery {
	uint32_t partition;
	struct record record; /* borrowed until the next call on this reader */
};

/* One partition as last heard of; -1: never heard of it. */
struct reader_bounds {
	uint32_t partition;
	int64_t earliest;
	int64_t high_watermark;
	int64_t next_offset;  /* where this reader stands: the place after the last event taken */
	int32_t leader_epoch; /* that a cursor made now carries */
	/* After TRIMMED or TRUNCATED, of the partition it is about: where what was lost ends. */
	int64_t resume_offset;
};

struct reader;

/* The handle is owned by the caller until reader_close; NULL when memory ends. `wake(owner)` runs
 * on the caller's loop, never from inside a call, once after the open and once after each take
 * that answered WAIT or CAUGHT_UP, however much came meanwhile. The events that are at hand are
 * taken before a failure is told. Errors (also of the options) come by READER_FAILED: BAD_TOPIC
 * TOPIC_UNKNOWN PARTITION_UNKNOWN PARTITION_REQUIRED BAD_CURSOR DENIED NO_MEMORY; TRIMMED
 * (`earliest` in the bounds), TRUNCATED, OUT_OF_RANGE, CORRUPT, TOPIC_GONE, IO.
 *
 * A cursor reads all partitions (with `partition`, that one only); those that it does not name were
 * added since it was made, and are read from their beginning. One that names other topics only is
 * taken for one of a deleted topic of this name: TOPIC_GONE, unless the
 * options say where to begin `otherwise`. */
struct reader *reader_open(struct broker *b, const struct reader_options *options,
                           void (*wake)(void *owner), void *owner);

enum reader_take reader_take(struct reader *r, struct delivery *out);

/* The same, with READER_EVENT for a run of whole batches as they are stored, of the only partition
 * read (several: PARTITION_REQUIRED); the first one may begin before the place. Borrowed until the
 * next call on this reader. Of one reader either events are taken or batches. */
enum reader_take reader_take_batches(struct reader *r, struct slice *batches);

const struct fault *reader_fault(const struct reader *r);

/* Known once the first take was not READER_WAIT; one row a partition read, in rising order. The
 * rows are the reader's. */
const struct reader_bounds *reader_bounds(const struct reader *r, uint32_t *count);

/* Partitions of the topic in all (not only those read); 0: not known yet. */
uint32_t reader_topic_partitions(const struct reader *r);

/* The topic as cursors name it (struct cursor_entry.topic, 8 bytes), the reader's; NULL: not known
 * yet. */
const uint8_t *reader_topic_prefix(const struct reader *r);

/* The cursor after the last event taken, as text: the plain number for a topic of one partition,
 * else opaque (wire/cursor.h). ERR_BAD_CURSOR when it does not fit 1 KiB. */
enum err reader_cursor(const struct reader *r, struct buf *out) MUST_CHECK;

/* No wake after this. Frees itself when its questions have come home. */
void reader_close(struct reader *r);

#endif
