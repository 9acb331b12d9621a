/* source: one topic of a subscription: a reader that catches up, or members of feeds that have.
 * Private to subscription.c and source.c.
 *
 *	 source_open ──> reader ── caught up ──> members of feeds
 *	                   ↑ ↑                     │
 *	       lost: where ┘ └── thrown out ───────┘ */
#ifndef BOURN_FRONT_SOURCE_H
#define BOURN_FRONT_SOURCE_H

#include "front/subscription.h"

struct place {
	struct feed_member member;
	struct source *source;
	uint32_t partition;
	int32_t epoch; /* in which its offset was read */
	bool blocked;  /* the socket is waited for */
};

/* Why a gap is to be told, when it is known where it ends. */
struct lost {
	enum err why;
	char requested[CURSOR_TEXT_BYTES_MAX + 1];
};

struct source {
	struct list node;        /* in subscription->sources */
	struct list catching_up; /* in front->catching_up while it has something to read */
	struct subscription *subscription;
	struct reader *reader; /* NULL: its places are members of feeds */
	struct lost *lost;     /* owned; NULL: nothing to tell */
	bool heard;            /* the reader woke for the first time */
	bool gone;             /* the topic was deleted; no reader, no member */
	bool known;            /* the topic is there, and where its partitions are read; so … */
	uint8_t prefix[8];     /* … the topic as cursors have it, */
	uint32_t place_count;  /* … the partitions, */
	struct place *places; /* … owned, by partition; while there is a reader: where it began */
	size_t name_len;
	char name[];
};

/* In no list yet; NULL: no memory. */
struct source *source_new(struct subscription *s, struct slice name);
/* The reader; false: no memory. `otherwise` may be NULL. */
bool source_open(struct source *src, const struct position *position,
                 const struct position *otherwise) MUST_CHECK;
void source_free(struct source *src);

/* Append what there is, as far as there is room, soon. */
void source_pull(struct source *src);

/* The socket takes bytes again. */
void source_room(struct source *src);

/* Its places, as cursors have them; returns how many (<= max), -1: not known, or too many. */
int source_entries(const struct source *src, struct cursor_entry *entries, uint32_t max);

void source_describe(const struct source *src, struct buf *json);

static inline struct slice source_name(const struct source *src)
{
	return slice_of(src->name, src->name_len);
}

/* --- subscription.c, which tells its owner later ---------------------------------------------- */

/* A reader was heard of for the first time. */
void subscription_heard(struct subscription *s);

/* A source cannot go on, and so cannot the subscription. */
void subscription_failed(struct subscription *s, const struct fault *why);

/* A source is `gone`. */
void subscription_gone(struct subscription *s);

/* `src` is known now, or reads more partitions: so many more places count. */
void subscription_grew(struct subscription *s, const struct source *src, uint32_t places);

#endif
