/* subscription: what one connection is subscribed to: topics by name and by pattern, from where,
 * and in which form. What WebSockets, Server-Sent Events and streams of lines have in common.
 *
 * Each topic is a `source`. It begins with a reader of its own (broker/reader.h), which finds the
 * position and catches up; then each of its partitions becomes a member of a feed (feed.h) and the
 * reader goes. A member that is thrown out begins with a reader again, at its places. The change is
 * made by offsets alone: nothing is missed and nothing comes twice.
 *
 *	new → open ─ ready → run ─ events … (lost, gone) … ─ failed / close
 *
 * Whoever is subscribed holds at most limits.output_bytes here: events are appended to the
 * connection's output while there is room, and sent from feeds while the socket takes them. */
#ifndef BOURN_FRONT_SUBSCRIPTION_H
#define BOURN_FRONT_SUBSCRIPTION_H

#include "broker/reader.h"
#include "broker/topic_match.h"
#include "front/connection.h"
#include "front/feed.h"

enum {
	SUBSCRIPTION_NAMES_MAX = 64,
	SUBSCRIPTION_PLACES_MAX = CURSOR_ENTRIES_MAX, /* partitions, where cursors are sent */
	SUBSCRIPTION_FRAMES_PLACES_MAX = 1024,        /* … where none are */
};

/* What was asked for. */
struct subscription_request {
	struct slice names[SUBSCRIPTION_NAMES_MAX]; /* topics and patterns, checked; borrowed */
	size_t name_count;
	int32_t partition;         /* -1: all; else there is one name and it is no pattern */
	struct position position;  /* where to begin; of a cursor the entries are in `cursor` */
	struct position otherwise; /* where to go on when that is unknown */
	struct cursor cursor;
	char requested[CURSOR_TEXT_BYTES_MAX + 1]; /* the cursor as given; "": by position */
};

/* One topic by its name: events need not say of which they are. */
bool subscription_request_is_alone(const struct subscription_request *r);

struct subscription;
struct source;

/* `ready`, `gone` and `failed` come from the loop; the owner may close the subscription inside
 * them, and free it. The others are called in between, and only say or write something. */
struct subscription_ops {
	/* Once: where the first events are is known (or that there is no such topic yet), and
	 * subscription_cursor tells; or, with a fault, it cannot begin: close it. Else
	 * subscription_run is owed. */
	void (*ready)(struct subscription *s, const struct fault *why);

	/* What follows the asked or reached place is gone: TRIMMED, TRUNCATED, or the place is none
	 * of the topic's. True: it goes on where it can, `resumed` follows. False: it fails. */
	bool (*lost)(struct subscription *s, const struct fault *why);

	/* subscription_cursor is the place where it goes on. `why` is the fault's code. */
	void (*resumed)(struct subscription *s, enum err why, const char *requested);

	/* A topic was deleted; `last`: no other is left, close it. */
	void (*gone)(struct subscription *s, struct slice topic, bool last);

	/* For good: close it. */
	void (*failed)(struct subscription *s, const struct fault *why);
};

/* Part of the owner's struct. */
struct subscription {
	const struct subscription_ops *ops;
	struct connection *connection; /* borrowed; NULL before open and after close */
	struct form form;
	int32_t partition; /* -1: all */
	bool alone;        /* one topic by its name */
	bool numbered;     /* … of one partition: its places are numbers */
	bool is_ready;
	bool runs;
	bool slow;             /* thrown out of a feed since it last had caught up */
	uint32_t unheard;      /* sources and patterns that `ready` waits for */
	uint32_t source_count; /* in `sources` */
	uint32_t place_count;  /* in all of them */
	uint32_t match_count;
	struct list sources;
	struct topic_match **matches;       /* owned; NULL: there are no patterns */
	struct subscription_request *asked; /* owned; until `ready` */
	struct fault *fault;                /* owned; to be told. NULL: none */
	struct task tell;                   /* LOOP_WORK: ready, gone, failed */
};

/* Copies the request. False: no memory. */
bool subscription_init(struct subscription *s, const struct subscription_ops *ops,
                       const struct subscription_request *request, struct form form);

/* Begin; `ready` follows, later. */
void subscription_open(struct subscription *s, struct connection *c);

/* The owner has written its head: let the events flow. */
void subscription_run(struct subscription *s);

/* The socket took something, there may be room. */
void subscription_room(struct subscription *s);

/* No callback after this, nothing is owned any more. Also without open, and twice. */
void subscription_close(struct subscription *s);

/* Append the place after the last event: a number or a cursor. False when there is none: no topic
 * is there yet, or they have too many partitions. */
bool subscription_cursor(const struct subscription *s, struct buf *out);

/* The only source's bounds, as far as known; `*count` 0: there are several, or none is known. */
const struct reader_bounds *subscription_bounds(const struct subscription *s, uint32_t *count);

/* Elements of a JSON array: topic, partition, next offset and lag of each place. */
void subscription_describe(const struct subscription *s, struct buf *json);

/* front->catch_up: lets those of a shard that have something to read do so, a bounded amount a
 * turn. */
void sources_catch_up(struct task *t);

#endif
