/* slice: bytes borrowed from someone; the owner and the moment they end is said where one is
 * handed over. A NULL pointer is "none" (a record without a key), distinct from empty. */
#ifndef BOURN_BASE_SLICE_H
#define BOURN_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
	const uint8_t *ptr; /* NULL: none; then len is 0 */
	size_t len;
};

#define SLICE_NONE      ((struct slice){NULL, 0})
#define SLICE_LIT(text) ((struct slice){(const uint8_t *)(text), sizeof(text) - 1})

/* For printf's "%.*s". */
#define SLICE_FMT(s) (int)(s).len, (const char *)(s).ptr

static inline struct slice slice_of(const void *ptr, size_t len)
{
	return (struct slice){ptr, len};
}

static inline struct slice slice_str(const char *text)
{
	return (struct slice){(const uint8_t *)text, strlen(text)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII letters without regard to case: HTTP header names and tokens. */
bool slice_eq_nocase(struct slice a, struct slice b);

bool slice_starts_with(struct slice s, struct slice prefix);

/* Without spaces and tabs at either end. */
struct slice slice_trim(struct slice s);

/* Cut `*rest` at the first `at`: returns what stands before it, leaves what stands after it.
 * Without one, returns all and leaves SLICE_NONE. */
struct slice slice_cut(struct slice *rest, uint8_t at);

/* A decimal number that is the whole slice; false when it is not one or does not fit. */
bool slice_to_int64(struct slice s, int64_t *out);

#endif
