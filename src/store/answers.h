/* answers: what any engine answers in the same words, and how it ends a request. For engines.
 *
 * A request is never answered within its own call: what is known at once is said in LOOP_WORK of
 * the same turn. All of it on the shard that owns the partition. `topic` is the topic's name. */
#ifndef BOURN_STORE_ANSWERS_H
#define BOURN_STORE_ANSWERS_H

#include "io/loop.h"
#include "store/store.h"

/* --- what is refused -------------------------------------------------------------------------- */

/* May it be read from `offset` on? TOPIC_GONE, TRIMMED or OUT_OF_RANGE; of damage the engine
 * knows. */
MUST_CHECK enum err store_read_check(const struct store_partition *p, const char *topic,
                                     int64_t offset, struct fault *f);

/* May the log start move to `upto`? TOPIC_GONE or OUT_OF_RANGE. */
MUST_CHECK enum err store_trim_check(const struct store_partition *p, const char *topic,
                                     int64_t upto, struct fault *f);

/* An append is given: sets what it says when it is done, with a fault (TOO_LARGE, BUSY) when its
 * batches are more than max.message.bytes or `bytes_max`, or more than `waiting_max` bytes wait
 * already. */
void store_append_begin(struct store_append *a, size_t bytes_max, size_t waiting_bytes,
                        size_t waiting_max);

/* Its turn has come: may it be written behind log_end? The fault of store_append_begin, TOPIC_GONE,
 * FENCED or OFFSET_MISMATCH, in `a` too. */
MUST_CHECK enum err store_append_check(const struct store_partition *p, const char *topic,
                                       struct store_append *a);

/* They get `cause`, whatever they had; counts them when the disk is full. `appends`: struct
 * store_append, by `node`. */
void store_appends_fail(struct list *appends, const struct fault *cause, struct metrics *m);

/* --- done ------------------------------------------------------------------------------------- */

/* done() of all, in order; the list is empty afterwards, but for what done() adds. */
void store_appends_answer(struct list *appends);

/* Later in this turn of `l`; in the request's `engine` words. */
void store_read_answer(struct store_read *r, struct loop *l);
void store_lookup_answer(struct store_time_lookup *t, struct loop *l);
void store_trim_answer(struct store_trim *t, struct loop *l);
void store_topic_answer(struct store_topic_op *o, struct loop *l);
void store_backup_answer(struct store_backup_op *o, struct loop *l);

#endif
