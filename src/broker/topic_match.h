/* topic_match: the topics of a pattern, those there are and those to come, as one shard sees them.
 *
 *   topic_match_open → found(old)… , found(new)… as topics are created → topic_match_close
 *
 * It tells names and no more: readers are its owner's, and so is what becomes of them when a topic
 * is deleted (READER_FAILED, TOPIC_GONE). A name that is created again after that is told again. */
#ifndef BOURN_BROKER_TOPIC_MATCH_H
#define BOURN_BROKER_TOPIC_MATCH_H

#include "broker/broker.h"
#include "core/topic_pattern.h"

struct topic_match;

/* The handle is owned by the caller until topic_match_close; NULL when memory ends. `pattern` must
 * have passed topic_pattern_check and is copied; `caller` is borrowed until close. Names that the
 * caller may not subscribe to are passed over.
 *
 * `found` runs on this shard's loop, never from inside open:
 *   is_new false   once for each topic there was at open, by name, some 1,000 names looked at a
 *                  turn. One that is deleted before its turn comes is not told.
 *                  After the last one `name` is NONE, once.
 *   is_new true    for each topic that enters this shard's table after open, at that moment; also
 *                  while the others are still being told. One that was being deleted, but could
 *                  not be, enters anew.
 * `name` is borrowed during the call. It may open readers, and open and close any match, itself
 * too. A reader of a new topic that begins at POSITION_EARLIEST, opened inside `found` or later,
 * gives all its events, also those that other shards took before this one heard of the topic; what
 * retention or a purge took meanwhile counts as any trimmed events do. */
struct topic_match *topic_match_open(struct broker *b, const struct caller *caller,
                                     struct slice pattern,
                                     void (*found)(void *owner, struct slice name, bool is_new),
                                     void *owner);

/* Nothing is told after this. At once: a drain need not wait for it, but the group is freed only
 * when all are closed. */
void topic_match_close(struct topic_match *m);

#endif
