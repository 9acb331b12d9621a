/* body: the small JSON document of an admin request. Members that are not known are refused, as is
 * one given twice; an empty body is an empty object. */
#ifndef BOURN_FRONT_HTTP_BODY_H
#define BOURN_FRONT_HTTP_BODY_H

#include "base/err.h"
#include "wire/json.h"

/* `*root` is an object, borrowed from `body`. ERR_BAD_JSON says where; ERR_BAD_REQUEST names the
 * member that is not known. */
enum err body_parse(struct slice body, const char *const *known, size_t known_count,
                    struct json_value *root, struct fault *f) MUST_CHECK;

/* An integer in [min, max]; left as it is when there is none. ERR_BAD_REQUEST. */
enum err body_int(struct json_value root, const char *name, int64_t min, int64_t max,
                  int64_t *value, struct fault *f) MUST_CHECK;

#endif
