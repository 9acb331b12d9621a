/* params: the query of a request. A name that the handler does not know is refused, as is one given
 * twice (but for `topic`): what is not understood is never ignored. */
#ifndef BOURN_FRONT_HTTP_PARAMS_H
#define BOURN_FRONT_HTTP_PARAMS_H

#include "wire/url.h"

struct params {
	struct url_query query;
};

/* `known`: names that are allowed. On error (ERR_BAD_PARAMETER, ERR_NOT_IMPLEMENTED for names of
 * what is not built yet) nothing is owned. */
enum err params_parse(struct slice query, const char *const *known, size_t known_count,
                      struct params *p, struct fault *f) MUST_CHECK;
void params_fini(struct params *p);

/* Of an address that takes no parameters: any is refused. */
enum err params_none(struct slice query, struct fault *f) MUST_CHECK;

/* NONE when it is not given. Borrowed from `p` or the request. */
struct slice params_text(const struct params *p, const char *name);

/* Left as it is when not given. ERR_BAD_PARAMETER when malformed or outside [min, max]. */
enum err params_int(const struct params *p, const char *name, int64_t min, int64_t max,
                    int64_t *value, struct fault *f) MUST_CHECK;
enum err params_bytes(const struct params *p, const char *name, int64_t *value,
                      struct fault *f) MUST_CHECK;
enum err params_duration(const struct params *p, const char *name, int64_t *ms,
                         struct fault *f) MUST_CHECK;

/* ?partition=; -1 when not given. */
enum err params_partition(const struct params *p, int32_t *partition, struct fault *f) MUST_CHECK;

#endif
