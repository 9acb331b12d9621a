/* load_notes: a file beside the dump, in which a load without kept offsets notes where the logs
 * ended before it, so that it can be gone on with. A line of JSON a topic:
 *
 *   {"topic":"orders","uuid":"…","ends":[12,7]} */
#ifndef BOURN_CLI_MOVING_LOAD_NOTES_H
#define BOURN_CLI_MOVING_LOAD_NOTES_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>

struct load_notes {
	char path[4096 + 8];
	struct buf text;
};

/* Of the dump at `path`. `resume`: those of an earlier run are read, if there are any; else there
 * must be none: ERR_INPUT says what to do. */
enum err load_notes_open(struct load_notes *n, const char *path, bool resume,
                         struct fault *f) MUST_CHECK;
void load_notes_fini(struct load_notes *n);

/* What is noted of the topic, for `count` partitions; false: nothing is. */
bool load_notes_find(const struct load_notes *n, const char *topic, const char *uuid, int64_t *ends,
                     uint32_t count);

/* Note it, on disk when this returns. */
enum err load_notes_add(struct load_notes *n, const char *topic, const char *uuid,
                        const int64_t *ends, uint32_t count, struct fault *f) MUST_CHECK;

/* All is loaded: the file goes. */
void load_notes_remove(struct load_notes *n);

#endif
