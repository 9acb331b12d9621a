#include "base/crc32c.h"

/* Reflected Castagnoli polynomial. The table is for one nibble at a time: 64 bytes that stay in
 * the cache; speed comes from the instruction. */
static const uint32_t nibble_table[16] = {
	0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
	0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
	0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	crc = ~crc;
	for (; len; len--) {
		crc ^= *at++;
		crc = nibble_table[crc & 15] ^ (crc >> 4);
		crc = nibble_table[crc & 15] ^ (crc >> 4);
	}
	return ~crc;
}

#if defined(__x86_64__)

#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const uint8_t *at,
                                                               size_t len)
{
	uint64_t state = (uint32_t)~crc;

	for (; len >= 8; len -= 8, at += 8) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		state = _mm_crc32_u64(state, word);
	}
	for (; len; len--)
		state = _mm_crc32_u8((uint32_t)state, *at++);
	return ~(uint32_t)state;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
	if (__builtin_cpu_supports("sse4.2"))
		return crc32c_sse42(crc, bytes, len);
	return crc32c_portable(crc, bytes, len);
}

#else

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
	return crc32c_portable(crc, bytes, len);
}

#endif
