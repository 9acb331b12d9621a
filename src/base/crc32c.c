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

/* --- joining ---------------------------------------------------------------------------------------- */

/* x^(8 * 2^n) modulo the polynomial, reflected: what moves a sum over 2^n bytes. */
static const uint32_t moves[32] = {
	0x00800000, 0x00008000, 0x82f63b78, 0x6ea2d55c, 0x18b8ea18, 0x510ac59a, 0xb82be955,
	0xb8fdb1e7, 0x88e56f72, 0x74c360a4, 0xe4172b16, 0x0d65762a, 0x35d73a62, 0x28461564,
	0xbf455269, 0xe2ea32dc, 0xfe7740e6, 0xf946610b, 0x3c204f8f, 0x538586e3, 0x59726915,
	0x734d5309, 0xbc1ac763, 0x7d0722cc, 0xd289cabe, 0xe94ca9bc, 0x05b74f3f, 0xa51e1f42,
	0x40000000, 0x20000000, 0x08000000, 0x00800000,
};

/* The product of two polynomials, reflected as sums are, modulo ours. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (; a; a <<= 1) {
		if (a & UINT32_C(0x80000000))
			product ^= b;
		b = (b >> 1) ^ (b & 1 ? UINT32_C(0x82f63b78) : 0);
	}
	return product;
}

uint32_t crc32c_join(uint32_t first, uint32_t second, size_t len)
{
	for (size_t n = 0; len >> n; n++)
		if (len >> n & 1)
			first = multiply(moves[n], first);
	return first ^ second;
}

/* --- by the instruction ----------------------------------------------------------------------------- */

#if defined(__x86_64__)

#include <immintrin.h>

/* The instruction takes three cycles, but one can be begun each cycle: so three neighbouring lanes
 * are summed at once, and then moved to where they stand. A sum moves over n bytes by a product with
 * x^(8n): without carries by x^(8n - 33), and the instruction, given the product, adds x^33. */
enum { LANE_BYTES = 256 };
static const uint32_t move_one_lane = 0xb9e02b86;  /* x^(8 * 256 - 33), reduced and reflected */
static const uint32_t move_two_lanes = 0xdd7e3b0c; /* x^(8 * 512 - 33) */

__attribute__((target("sse4.2,pclmul"))) static uint64_t moved(uint64_t sum, uint32_t by)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)sum),
	                                       _mm_cvtsi64_si128((long long)by), 0);

	return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

static uint64_t load_word(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return word;
}

__attribute__((target("sse4.2,pclmul"))) static uint64_t three_lanes(uint64_t first,
                                                                     const uint8_t *at)
{
	uint64_t second = 0;
	uint64_t third = 0;

	for (const uint8_t *end = at + LANE_BYTES; at < end; at += 8) {
		first = _mm_crc32_u64(first, load_word(at));
		second = _mm_crc32_u64(second, load_word(at + LANE_BYTES));
		third = _mm_crc32_u64(third, load_word(at + 2 * LANE_BYTES));
	}
	return moved(first, move_two_lanes) ^ moved(second, move_one_lane) ^ third;
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t crc32c_x86(uint32_t crc, const uint8_t *at,
                                                                    size_t len)
{
	uint64_t sum = (uint32_t)~crc;

	for (; len >= 3 * LANE_BYTES; len -= 3 * LANE_BYTES, at += 3 * LANE_BYTES)
		sum = three_lanes(sum, at);
	for (; len >= 8; len -= 8, at += 8)
		sum = _mm_crc32_u64(sum, load_word(at));
	for (; len; len--)
		sum = _mm_crc32_u8((uint32_t)sum, *at++);
	return ~(uint32_t)sum;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
		return crc32c_x86(crc, bytes, len);
	return crc32c_portable(crc, bytes, len);
}

#else

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
	return crc32c_portable(crc, bytes, len);
}

#endif
