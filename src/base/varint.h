/* Kafka's varints: base-128, least significant group first, zigzag for signed numbers. Most are
 * one or two bytes long (lengths and deltas inside a record), so those are inline. */
#ifndef BOURN_BASE_VARINT_H
#define BOURN_BASE_VARINT_H

#include "base/slice.h"

enum { VARINT_BYTES_MAX = 10 };

static inline uint64_t varint_zigzag(int64_t value)
{
	return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

static inline int64_t varint_unzigzag(uint64_t value)
{
	return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

/* Bytes that `value` takes, 1 to 10. */
static inline size_t varint_size(int64_t value)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(varint_zigzag(value) | 1);

	return (bits * 9 + 64) / 64; /* is (bits + 6) / 7 for 1 to 64, without the division */
}

size_t varint_write_long(uint8_t *at, uint64_t zigzag);
bool varint_read_long(struct slice *from, int64_t *out);

/* Write `value` at `at`, which has room for varint_size(value); returns the bytes written. */
static inline size_t varint_write(uint8_t *at, int64_t value)
{
	uint64_t zigzag = varint_zigzag(value);

	if (zigzag < 1 << 7) {
		at[0] = (uint8_t)zigzag;
		return 1;
	}
	if (zigzag < 1 << 14) {
		at[0] = (uint8_t)(zigzag | 0x80);
		at[1] = (uint8_t)(zigzag >> 7);
		return 2;
	}
	return varint_write_long(at, zigzag);
}

/* Take one number from the front of `*from`. False when it is cut off or longer than 64 bits;
 * `*from` is then untouched. */
static inline bool varint_read(struct slice *from, int64_t *out)
{
	const uint8_t *at = from->ptr;

	if (from->len >= 1 && at[0] < 0x80) {
		*out = varint_unzigzag(at[0]);
		*from = slice_of(at + 1, from->len - 1);
		return true;
	}
	if (from->len >= 2 && at[1] < 0x80) {
		*out = varint_unzigzag((uint64_t)(at[0] & 0x7f) | (uint64_t)at[1] << 7);
		*from = slice_of(at + 2, from->len - 2);
		return true;
	}
	return varint_read_long(from, out);
}

#endif
