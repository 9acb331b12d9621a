/* buf: bytes owned, growable, with a ceiling.
 *
 * Appending beyond the ceiling, or when memory ends, marks the buffer `failed` and drops the rest:
 * write a whole message, then look once. A zeroed buf with a `limit` is ready to use, and so is one
 * of memory that is not its own, with `ptr` and as much `cap` as `limit`; it is not to be freed. */
#ifndef BOURN_BASE_BUF_H
#define BOURN_BASE_BUF_H

#include "base/err.h"
#include "base/slice.h"

struct buf {
	uint8_t *ptr; /* owned */
	size_t len;
	size_t cap;
	size_t limit; /* never grows beyond this many bytes */
	bool failed;  /* an append was dropped; sticky until buf_clear */
	bool starved; /* … for want of memory, not of room */
};

#define BUF_INIT(limit_bytes) ((struct buf){.limit = (limit_bytes)})

/* Of memory that is an array's, for as long as that is there. */
#define BUF_IN(array) ((struct buf){.ptr = (array), .cap = sizeof(array), .limit = sizeof(array)})

void buf_fini(struct buf *b);

/* Make room for `more` bytes after len. False (and failed) when that is beyond the limit. */
bool buf_reserve(struct buf *b, size_t more);

/* Out of line: when there is no room yet. */
void buf_append_grow(struct buf *b, const void *bytes, size_t len);

/* On the path of every event, many times. */
static inline void buf_append(struct buf *b, const void *bytes, size_t len)
{
	if (len == 0)
		return;
	if (b->failed || len > b->cap - b->len) {
		buf_append_grow(b, bytes, len);
		return;
	}
	memcpy(b->ptr + b->len, bytes, len);
	b->len += len;
}

void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Decimal, without going through printf: on the hot path of every answer. */
void buf_append_int64(struct buf *b, int64_t value);

/* Drop `len` bytes from the front (moves the rest down). */
void buf_consume(struct buf *b, size_t len);

static inline void buf_clear(struct buf *b)
{
	b->len = 0;
	b->failed = false;
	b->starved = false;
}

/* Of what was to be in `b`, `part` lacks something. */
static inline void buf_lack(struct buf *b, const struct buf *part)
{
	b->failed |= part->failed;
	b->starved |= part->starved;
}

/* OK, or why it lacks something: TOO_LARGE or NO_MEMORY. */
static inline enum err buf_err(const struct buf *b)
{
	if (!b->failed)
		return OK;
	return b->starved ? ERR_NO_MEMORY : ERR_TOO_LARGE;
}

static inline struct slice buf_slice(const struct buf *b)
{
	return slice_of(b->ptr, b->len);
}

static inline void buf_append_slice(struct buf *b, struct slice s)
{
	buf_append(b, s.ptr, s.len);
}

static inline void buf_append_str(struct buf *b, const char *text)
{
	buf_append(b, text, strlen(text));
}

#define buf_append_lit(b, text) buf_append((b), (text), sizeof(text) - 1)

#endif
