/* topic pattern: names of topics with '*' in them. Pure. */
#ifndef BOURN_CORE_TOPIC_PATTERN_H
#define BOURN_CORE_TOPIC_PATTERN_H

#include "base/err.h"
#include "base/slice.h"

/* It holds a '*', which no topic's name does. */
bool topic_pattern_is(struct slice text);

/* 1 to 249 of `[A-Za-z0-9._*-]`, else ERR_BAD_TOPIC; `f` says which rule. */
enum err topic_pattern_check(struct slice text, struct fault *f) MUST_CHECK;

/* Case counts; each '*' stands for any run of characters, also for none. One pass over the name,
 * whatever the number of stars. */
bool topic_pattern_matches(struct slice pattern, struct slice name);

#endif
