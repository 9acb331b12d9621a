/* load_append: batches of one topic, each stored once, whatever becomes of the broker and of
 * answers.
 *
 * A batch is sent to one place (Expected-Offset). When no answer came, or one that does not tell,
 * what stands at that place tells whether it was stored: then that is all; else it is sent
 * again. */
#ifndef BOURN_CLI_MOVING_LOAD_APPEND_H
#define BOURN_CLI_MOVING_LOAD_APPEND_H

#include "base/buf.h"
#include "base/err.h"
#include "cli/retry.h"
#include "client/client.h"

/* Memory is the caller's. */
struct load_append {
	struct client *client; /* borrowed, as is all here */
	struct retry *retry;
	const char *topic;
	bool only_there; /* where others have appended meanwhile it is refused; else it goes behind */
	struct buf there; /* owned: what stands at some place */
	struct client_response response;
};

void load_append_init(struct load_append *a, struct client *client, struct retry *retry,
                      const char *topic, bool only_there);
void load_append_fini(struct load_append *a);
/* Nothing is appended for a while: it gives memory back. */
void load_append_rest(struct load_append *a);

/* Another attempt may help, after a pause that this makes. */
bool load_try_again(const struct load_append *a, enum err err);

/* Store `batch` at `*offset`, which becomes where it is stored.
 *
 * Errors: ERR_INPUT: others have appended there, or the broker has lost what it acknowledged: `f`
 *         says what to do; + the broker's refusals: it is not stored. Any other: it is not
 *         known. */
enum err load_append(struct load_append *a, uint32_t partition, struct slice batch, int64_t *offset,
                     struct fault *f) MUST_CHECK;

/* What stands at `offset` and behind it, whole batches, into a->there; `*next` as
 * dump_source_read_whole, whose errors these are. */
enum err load_look_at(struct load_append *a, uint32_t partition, int64_t offset, int64_t *next,
                      struct fault *f) MUST_CHECK;

#endif
