/* spec: one hook as the configuration has it. */
#ifndef BOURN_HOOK_SPEC_H
#define BOURN_HOOK_SPEC_H

#include "base/err.h"
#include "hook/point.h"

enum { HOOK_NAME_BYTES_MAX = 64, HOOKS_MAX = 64, HOOK_TOPICS_MAX = 64 };

enum hook_type { HOOK_SO, HOOK_LUA, HOOK_HTTP, HOOK_TYPE_COUNT };

struct hook_spec {
	char *name; /* owned, as every pointer here */
	enum hook_type type;
	char *path;      /* a file, or the URL; as the configuration has it */
	unsigned points; /* 1 << enum bourn_point; 0: all that it has functions for */
	unsigned fronts; /* 1 << enum bourn_front; 0: all */
	char **topics;   /* names and patterns; none: all, and what is of no topic */
	size_t topic_count;
	char *options; /* a JSON object */
	bool open;     /* on_failure: go on as if it were not there; else refuse */

	int64_t timeout_ms; /* HOOK_LUA: of one call; HOOK_HTTP: of one try; 0: its type's default */

	/* HOOK_LUA */
	int64_t instructions; /* of one call */
	int64_t memory_bytes; /* of a shard's state */

	/* HOOK_HTTP */
	int64_t retries;      /* tries after the first */
	int64_t in_flight;    /* calls at a time, of one shard */
	int64_t failures_max; /* calls in a row, of one shard: then it is not asked for a while; 0: it
	                         always is */
};

enum {
	HOOK_INSTRUCTIONS_DEFAULT = 1000000,
	HOOK_INSTRUCTIONS_MAX = 1000000000,
	HOOK_MEMORY_BYTES_DEFAULT = 16 << 20,
	HOOK_MEMORY_BYTES_MIN = 128 << 10,
	HOOK_MEMORY_BYTES_MAX = 1 << 30,
	HOOK_LUA_TIMEOUT_MS_DEFAULT = 250,
	HOOK_HTTP_TIMEOUT_MS_DEFAULT = 1000,
	HOOK_TIMEOUT_MS_MAX = 60000,
	HOOK_RETRIES_DEFAULT = 1,
	HOOK_RETRIES_MAX = 10,
	HOOK_IN_FLIGHT_DEFAULT = 16,
	HOOK_IN_FLIGHT_MAX = 1024,
	HOOK_FAILURES_DEFAULT = 5,
	HOOK_FAILURES_MAX = 1000,
};

/* Points that may wait for an answer that comes later: 1 << enum bourn_point. */
extern const unsigned hook_points_that_wait;

/* All defaults; no name, type or path yet. */
void hook_spec_init(struct hook_spec *spec);

const char *hook_type_name(enum hook_type type);
/* HOOK_TYPE_COUNT: there is none of that name. */
enum hook_type hook_type_parse(struct slice name);

int64_t hook_spec_timeout_ms(const struct hook_spec *spec);

/* `[a-z0-9_-]{1,64}`: it is a label of metrics. */
bool hook_name_ok(struct slice name);

/* What no row of the configuration can tell alone. ERR_CONFIG says what is wrong, without the
 * hook's name. */
enum err hook_spec_check(const struct hook_spec *spec, struct fault *f) MUST_CHECK;

/* Can it serve these points? `points` are those it would be called at. ERR_CONFIG likewise. */
enum err hook_spec_check_points(const struct hook_spec *spec, unsigned points,
                                struct fault *f) MUST_CHECK;

/* Is it asked about this topic? `topic` NONE: only if it is asked about all. */
bool hook_spec_wants_topic(const struct hook_spec *spec, struct slice topic);

void hook_spec_fini(struct hook_spec *spec);

#endif
