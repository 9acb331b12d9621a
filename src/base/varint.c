#include "base/varint.h"

static uint64_t zigzag(int64_t value)
{
	return ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
}

size_t varint_size(int64_t value)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(zigzag(value) | 1);

	return (bits + 6) / 7;
}

size_t varint_write(uint8_t *at, int64_t value)
{
	uint64_t rest = zigzag(value);
	size_t len = 0;

	while (rest >= 0x80) {
		at[len++] = (uint8_t)(rest | 0x80);
		rest >>= 7;
	}
	at[len++] = (uint8_t)rest;
	return len;
}

bool varint_read(struct slice *from, int64_t *out)
{
	uint64_t value = 0;

	for (size_t i = 0; i < from->len && i < VARINT_BYTES_MAX; i++) {
		uint8_t byte = from->ptr[i];

		if (i == VARINT_BYTES_MAX - 1 && byte > 1)
			return false;
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80)) {
			*from = slice_of(from->ptr + i + 1, from->len - i - 1);
			*out = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
			return true;
		}
	}
	return false;
}
