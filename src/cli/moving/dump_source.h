/* dump_source: a broker's topics, and their events as whole batches: what is dumped. */
#ifndef BOURN_CLI_MOVING_DUMP_SOURCE_H
#define BOURN_CLI_MOVING_DUMP_SOURCE_H

#include "cli/moving/dump_topic.h"
#include "client/client.h"

/* Names, sorted, each once. */
struct name_list {
	char (*names)[TOPIC_NAME_BYTES_MAX + 1]; /* owned */
	size_t count;
	size_t cap;
};
void name_list_fini(struct name_list *list);

/* The topics that are meant by `words` (names, and patterns with '*'); none of them: all topics.
 * ERR_TOPIC_UNKNOWN: a word that stands for none; ERR_BAD_TOPIC; + remote_call's. */
enum err dump_source_list(struct client *c, const char *const *words, size_t word_count,
                          struct name_list *out, struct fault *f) MUST_CHECK;

/* As the broker has it now. + remote_call's. */
enum err dump_source_describe(struct client *c, const char *name, struct dump_topic *out,
                              struct fault *f) MUST_CHECK;

/* The batches from the one that contains `offset`, into `out`, which is cleared first; `*next`: the
 * offset behind them. Each is checked; none reaches below `offset`, or up to `end` and beyond: a
 * part is cut off then. Without a batch and with `*next` = `offset` it was the high watermark.
 *
 * Errors: ERR_TRIMMED, with the log start as `*next`; ERR_CORRUPT, also of what is on its way, or
 *         nothing that can be dumped (`f` says); + remote_call's. */
enum err dump_source_read(struct client *c, const char *name, uint32_t partition, int64_t offset,
                          int64_t end, struct buf *out, int64_t *next, struct fault *f) MUST_CHECK;

/* The same, whole as they came, gaps too; the first one may begin before `offset`. */
enum err dump_source_read_whole(struct client *c, const char *name, uint32_t partition,
                                int64_t offset, struct buf *out, int64_t *next,
                                struct fault *f) MUST_CHECK;

#endif
