/* feed: the newest events of one partition in one form, made once for all connections of a shard
 * that read there.
 *
 * A feed follows the partition with one reader, also where another shard owns it, and keeps what it
 * read as bytes ready to be sent, in blocks behind each other. Its members are places in these
 * blocks: bytes go from a block to the socket of each, uncopied and many events at a time.
 *
 *	   oldest block                    newest block
 *	  [e5 e6 e7 e8 e9] [e10 e11 … e20] [e21 e22 e23]← reader
 *	        ↑ a member whose                       ↑ members that have
 *	          socket is full                         all there is
 *
 * Members are in one of three lists: `idle` has all there is, `due` waits for its turn, `blocked`
 * for its socket. New events make all idle ones due, at once; a bounded number of turns is given
 * between two looks at the kernel. So one event leaves immediately when little goes on; under load
 * more events have come when a member's turn does, and they leave together.
 *
 * What nobody needs any more is dropped. A feed is a cursor in the log: when its blocks are full it
 * waits for the members that are due; those that are blocked are thrown out (`left`), go on with
 * readers of their own, and join again when they have caught up.
 *
 * Loop thread only. Nothing here is called from inside feed_join. */
#ifndef BOURN_FRONT_FEED_H
#define BOURN_FRONT_FEED_H

#include "base/hash.h"
#include "broker/reader.h"
#include "front/form.h"

#include <sys/uio.h>

struct feed;
struct feed_member;
struct front;

/* All feeds of a shard. */
struct feeds {
	struct front *front;
	struct feed *by_key; /* uthash */
	struct list ready;   /* struct feed: those with members that are due */
	struct list spare;   /* struct feed_block */
	uint32_t spare_count;
	size_t bytes;     /* in blocks that are in use */
	struct task pump; /* LOOP_WRITE */
	struct caller
		caller; /* the broker's own: members were allowed to read before they joined */
};

struct feed_key {
	uint8_t topic[8]; /* as cursors have it */
	uint32_t partition;
	struct form form;
};

struct feed_member_ops {
	/* It is due: take what follows (feed_spans … feed_sent, or feed_next). False: the socket
	 * takes no more; say feed_resume when it does. May leave, but the member's memory stays. */
	bool (*turn)(struct feed_member *m);

	/* It must leave: feed_leave is owed. `why` NULL: its socket was blocked for too long; else
	 * why the feed ended. What feed_next still gives may be taken before. */
	void (*left)(struct feed_member *m, const struct fault *why);

	/* The topic has more partitions than before. May leave. */
	void (*grew)(struct feed_member *m);
};

/* Part of who reads. */
struct feed_member {
	const struct feed_member_ops *ops;
	struct list node;    /* in one of the feed's lists */
	struct feed *feed;   /* NULL: no member */
	uint64_t next_event; /* counted from the feed's beginning */
	int64_t next_offset; /* the place after the last event taken; events before it are passed */
};

void feeds_init(struct feeds *fs, struct front *f);
/* No member is left. Lets go of the broker and of all memory. */
void feeds_close(struct feeds *fs);

/* Make `m` (ops and next_offset filled in) a member; the feed begins there if it is a new one.
 * False, and nothing changed: what stands there is not in its blocks any more, or memory ends. */
bool feed_join(struct feeds *fs, const struct feed_key *key, struct slice topic, int32_t epoch,
               struct feed_member *m);

/* Does nothing when it is no member. */
void feed_leave(struct feed_member *m);

/* The socket takes bytes again. */
void feed_resume(struct feed_member *m);

/* The events that follow, as spans, in order; none: it has all there is. Borrowed until the next
 * call on this feed. */
int feed_spans(struct feed_member *m, struct iovec *iov, int max);

/* `bytes` of the spans were sent: pass them. Of an event of which only a part was, the rest is
 * returned (borrowed likewise); it counts as sent. `*events` grows by the number of events. */
struct slice feed_sent(struct feed_member *m, size_t bytes, uint64_t *events);

/* Take one event; false: it has all there is. */
bool feed_next(struct feed_member *m, struct slice *event);

/* As last heard of the partition; NULL: its reader had no memory to begin with. */
const struct reader_bounds *feed_bounds(const struct feed_member *m);

#endif
