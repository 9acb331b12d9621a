/* load: what the manifest says of every partition, brought from segments into memory, or under
 * `log` left there; a part of recovery. Blocking, no shard at work. */
#ifndef BOURN_STORE_CHUNKLOG_LOAD_H
#define BOURN_STORE_CHUNKLOG_LOAD_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct chunklog;

/* Every partition has what the manifest says in `saved`; what is not there, or not right, fences
 * it. `rescan`: the manifest is an old one; first see which files there are and how far each goes.
 * Raises `*leader_epoch_max` to the highest one met. ERR_IO: a directory could not be listed. */
enum err segments_load(struct chunklog *log, bool rescan, int32_t *leader_epoch_max,
                       struct fault *f) MUST_CHECK;

/* Take away what an interrupted checkpoint left beyond the manifest, so that no later start, going
 * by an older one, finds what a start before it did not have. */
enum err segments_tidy(struct chunklog *log, struct fault *f) MUST_CHECK;

#endif
