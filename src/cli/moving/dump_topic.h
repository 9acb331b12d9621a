/* dump_topic: a topic as a dump says it, one line of JSON in either format:
 *
 *   {"topic":"orders","uuid":"…","partitions":[{"earliest":2,"high_watermark":5}],"settings":{…}}
 *
 * and as a broker describes it, from which the line is made. */
#ifndef BOURN_CLI_MOVING_DUMP_TOPIC_H
#define BOURN_CLI_MOVING_DUMP_TOPIC_H

#include "base/buf.h"
#include "base/err.h"
#include "core/topic.h"

enum { DUMP_TOPIC_BYTES_MAX = 256 << 10 }; /* of the line: 1024 partitions and the settings */

struct dump_span {
	int64_t earliest;       /* the log start … */
	int64_t high_watermark; /* … and its end, when the dump was begun */
};

struct dump_topic {
	char name[TOPIC_NAME_BYTES_MAX + 1];
	char uuid[UUID_TEXT_LEN + 1];
	uint32_t partition_count;
	struct dump_span *spans; /* owned; of each partition */
	int64_t bytes;           /* of its events, as a broker says; 0 in a dump */
	struct buf settings;     /* owned: a JSON object */
};

/* NULL: no memory. */
struct dump_topic *dump_topic_new(void);
void dump_topic_free(struct dump_topic *t);

/* The number of `setting` in its settings; `otherwise` when it has none. */
int64_t dump_topic_setting(const struct dump_topic *t, const char *setting, int64_t otherwise);

/* Append the line, with its line feed. */
void dump_topic_append(const struct dump_topic *t, struct buf *out);

/* Fill in from such a line, or from a broker's description (where `name_member` is "name"). `json`
 * is valid JSON. ERR_INPUT says which member is missing or wrong. */
enum err dump_topic_parse(struct slice json, const char *name_member, struct dump_topic *t,
                          struct fault *f) MUST_CHECK;

#endif
