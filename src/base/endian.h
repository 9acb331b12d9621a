/* Numbers at unaligned addresses: big-endian as in the record batch, little-endian as on disk. */
#ifndef BOURN_BASE_ENDIAN_H
#define BOURN_BASE_ENDIAN_H

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bourn runs on little-endian machines");

#define ENDIAN_PAIR(name, type, convert)                                                           \
	static inline type load_##name(const uint8_t *at)                                          \
	{                                                                                          \
		type value;                                                                        \
                                                                                                   \
		memcpy(&value, at, sizeof(value));                                                 \
		return (type)convert(value);                                                       \
	}                                                                                          \
	static inline void store_##name(uint8_t *at, type value)                                   \
	{                                                                                          \
		value = (type)convert(value);                                                      \
		memcpy(at, &value, sizeof(value));                                                 \
	}

ENDIAN_PAIR(be16, uint16_t, __builtin_bswap16)
ENDIAN_PAIR(be32, uint32_t, __builtin_bswap32)
ENDIAN_PAIR(be64, uint64_t, __builtin_bswap64)
ENDIAN_PAIR(le16, uint16_t, )
ENDIAN_PAIR(le32, uint32_t, )
ENDIAN_PAIR(le64, uint64_t, )

#undef ENDIAN_PAIR

#endif
