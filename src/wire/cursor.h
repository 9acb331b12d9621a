/* cursor: where a reader stands, as one opaque text that a client keeps and gives back.
 *
 *	base64url( version | entries… | CRC-32C of all before, 4 bytes )
 *	entry: topic (8 bytes) | partition, leader epoch, next offset (varints)
 *
 * Version 1: partitions that it does not name were added to their topics since. Version 2 has one
 * entry: its partition was read alone.
 *
 * A topic is the first 8 bytes of its UUID. The checksum tells a damaged or invented cursor from a
 * real one; it is no secret, and nobody gains anything by forging one. */
#ifndef BOURN_WIRE_CURSOR_H
#define BOURN_WIRE_CURSOR_H

#include "base/buf.h"
#include "base/err.h"

enum {
	CURSOR_TEXT_BYTES_MAX = 1 << 10,
	CURSOR_ENTRIES_MAX = 64,
};

struct cursor_entry {
	uint8_t topic[8];     /* the first bytes of the topic's UUID */
	uint32_t partition;   /* ≤ INT32_MAX */
	int32_t leader_epoch; /* in which the position was read; ≥ 0 */
	int64_t next_offset;  /* the first record at or after it is next; ≥ 0 */
};

struct cursor {
	bool is_alone; /* of one partition that was read by itself */
	size_t count;
	struct cursor_entry entries[CURSOR_ENTRIES_MAX];
};

/* Append the text; `is_alone` with one entry only. False, and nothing appended, when it would be
 * longer than CURSOR_TEXT_BYTES_MAX or there is no entry or more than CURSOR_ENTRIES_MAX; false too
 * when `out` is full (out->failed).
 */
bool cursor_encode(const struct cursor_entry *entries, size_t count, bool is_alone,
                   struct buf *out);

/* ERR_BAD_CURSOR for all that cursor_encode did not write; `out` is then undefined. */
enum err cursor_decode(struct slice text, struct cursor *out) MUST_CHECK;

/* The entry for (topic, partition); NULL when the cursor has none. */
const struct cursor_entry *cursor_find(const struct cursor *c, const uint8_t topic[8],
                                       uint32_t partition);

#endif
