/* load_target: one topic that events are loaded into, and how: made if it is not there, gone on
 * with after an interruption, its events appended batch by batch, each stored once.
 *
 *   load_target_open → load_target_add, add, … → load_target_finish → load_target_free
 *
 * Once, by load_append.h.
 *
 * With kept offsets the log has to be a first part of what is loaded: then where it ends is how far
 * an interrupted load was. Without, a load notes where the logs ended when it began (load_notes);
 * nobody else must have appended to go on by that. Either way the last event there is must be the
 * one of the dump that ought to be. */
#ifndef BOURN_CLI_MOVING_LOAD_TARGET_H
#define BOURN_CLI_MOVING_LOAD_TARGET_H

#include "cli/moving/dump_topic.h"
#include "cli/retry.h"
#include "client/client.h"
#include "record/batch.h"

struct load_notes;

struct load_options {
	struct client *client; /* borrowed, as are the next two */
	struct retry *retry;
	struct load_notes *notes; /* NULL: none are kept */
	bool keep_offsets;
	bool keep_timestamps;
	bool resume;
	bool no_settings; /* the topic is made with the broker's own */
};

struct load_target;

/* Asks, or makes the topic `name` as `t` says. Both are borrowed until it is freed.
 *
 * Errors: ERR_INPUT: it has what does not let it be loaded as asked: `f` says what, and what to do;
 *         + those of the requests. */
enum err load_target_open(const struct load_options *o, const struct dump_topic *t,
                          const char *name, struct load_target **out, struct fault *f) MUST_CHECK;

/* One event of the dump, of an existing partition of the dump's topic; copied. Those that are there
 * already, by `resume`, are passed over. What was added is stored at the latest by finish. */
enum err load_target_add(struct load_target *t, uint32_t partition, const struct record *r,
                         struct fault *f) MUST_CHECK;

/* What was added is stored; it gives memory back, until more is added. */
enum err load_target_rest(struct load_target *t, struct fault *f) MUST_CHECK;

/* All came; with kept offsets the logs begin where they did. `complete`: all that there was, so
 * they end where they did too. */
enum err load_target_finish(struct load_target *t, bool complete, struct fault *f) MUST_CHECK;

/* Events that this run has stored. */
int64_t load_target_count(const struct load_target *t);

/* NULL does nothing. What was added and not stored is gone. */
void load_target_free(struct load_target *t);

#endif
