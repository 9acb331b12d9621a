/* position: where a reader is to begin, as clients write it; the same on every front. */
#ifndef BOURN_FRONT_POSITION_H
#define BOURN_FRONT_POSITION_H

#include "broker/reader.h"
#include "wire/cursor.h"

/* `cursor` beats `offset`; both may be NONE: then `fallback`.
 *
 *   cursor  the text that a reader was given; of a topic of one partition a plain number, the next
 *           offset
 *   offset  a number, "earliest", "last", "end" or "latest", an RFC 3339 time, or "-10m": that long
 *           before `now_ms` (with a unit)
 *
 * Of an opaque cursor `out` borrows its entries from `decoded`: keep the two side by side. Without
 * `cursor` it is not touched, and may be NULL.
 *
 * Errors: ERR_BAD_CURSOR, ERR_BAD_PARAMETER; `f` says what was wrong. */
enum err position_parse(struct slice offset, struct slice cursor, enum position_kind fallback,
                        int64_t now_ms, struct position *out, struct cursor *decoded,
                        struct fault *f) MUST_CHECK;

/* A cursor of a partition that was read alone goes on with that one: `*partition`, -1 when none was
 * asked for. ERR_BAD_CURSOR: another one was. */
enum err position_partition(const struct position *position, const struct cursor *decoded,
                            int32_t *partition, struct fault *f) MUST_CHECK;

#endif
