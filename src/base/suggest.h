/* "Did you mean …?": the known name that a mistyped one was likely meant to be. */
#ifndef BOURN_BASE_SUGGEST_H
#define BOURN_BASE_SUGGEST_H

#include "base/slice.h"

/* The candidate nearest to `word`, when it is near enough to be worth saying: at most one slip
 * (a letter wrong, missing, added, or two swapped; case does not count) for every three letters of
 * `word`, and one is always allowed. The first of equals; NULL when none is near, or when `word`
 * is empty or longer than 64 bytes. */
const char *suggest(struct slice word, const char *const *candidates, size_t count);

#endif
