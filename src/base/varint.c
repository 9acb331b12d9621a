#include "base/varint.h"

size_t varint_write_long(uint8_t *at, uint64_t zigzag)
{
	size_t len = 0;

	while (zigzag >= 0x80) {
		at[len++] = (uint8_t)(zigzag | 0x80);
		zigzag >>= 7;
	}
	at[len++] = (uint8_t)zigzag;
	return len;
}

bool varint_read_long(struct slice *from, int64_t *out)
{
	uint64_t value = 0;

	for (size_t i = 0; i < from->len && i < VARINT_BYTES_MAX; i++) {
		uint8_t byte = from->ptr[i];

		if (i == VARINT_BYTES_MAX - 1 && byte > 1)
			return false;
		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (!(byte & 0x80)) {
			*from = slice_of(from->ptr + i + 1, from->len - i - 1);
			*out = varint_unzigzag(value);
			return true;
		}
	}
	return false;
}
