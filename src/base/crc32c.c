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

/* --- joining ---------------------------------------------------------------------------------- */

/* A sum moves over n bytes by a product with x^(8n) modulo the polynomial. This is x^(8 * 2^n -
 * 33), reflected as sums are; both ways of taking the product put in the x^33 that is missing. */
static const uint32_t moves[32] = {
	0xbf818109, 0x780d5a4d, 0x05ec76f1, 0x00000001, 0x493c7d27, 0xba4fc28e, 0x9e4addf8,
	0x0d3b6092, 0xb9e02b86, 0xdd7e3b0c, 0x170076fa, 0xa51b6135, 0x82f89c77, 0x54a86326,
	0x1dc403cc, 0x5ae703ab, 0xc5013a36, 0xac2ac6dd, 0x9b4615a9, 0x688d1c61, 0xf6af14e6,
	0xb6ffe386, 0xb717425b, 0x478b0d30, 0x54cc62e5, 0x7b2102ee, 0x8a99adef, 0xa7568c8f,
	0xd610d67e, 0x6b086b3f, 0xd94f3c0b, 0xbf818109,
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

uint32_t crc32c_join_portable(uint32_t first, uint32_t second, size_t len)
{
	const uint32_t x33 = 0x417b1dbc;

	for (size_t n = 0; len >> n; n++)
		if (len >> n & 1)
			first = multiply(x33, multiply(moves[n], first));
	return first ^ second;
}

/* --- by the instruction ----------------------------------------------------------------------- */

#if defined(__x86_64__)

#include <immintrin.h>

/* The instruction takes three cycles, but one can be begun each cycle: so three neighbouring lanes
 * are summed at once, and then moved to where they stand. */
enum { LANE_BYTES_LOG = 8, LANE_BYTES = 1 << LANE_BYTES_LOG };

/* A sum over 2^n bytes: a product without carries, and the instruction, given that, adds x^33. */
__attribute__((target("sse4.2,pclmul"))) static uint64_t moved(uint64_t sum, unsigned n)
{
	__m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)sum),
	                                       _mm_cvtsi64_si128((long long)moves[n]), 0);

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
	return moved(first, LANE_BYTES_LOG + 1) ^ moved(second, LANE_BYTES_LOG) ^ third;
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

__attribute__((target("sse4.2,pclmul"))) static uint32_t join_x86(uint32_t first, uint32_t second,
                                                                  size_t len)
{
	uint64_t sum = first;

	for (unsigned n = 0; len >> n; n++)
		if (len >> n & 1)
			sum = moved(sum, n);
	return (uint32_t)sum ^ second;
}

static bool has_instructions(void)
{
	return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
	return has_instructions() ? crc32c_x86(crc, bytes, len) : crc32c_portable(crc, bytes, len);
}

uint32_t crc32c_join(uint32_t first, uint32_t second, size_t len)
{
	return has_instructions() ? join_x86(first, second, len)
	                          : crc32c_join_portable(first, second, len);
}

#else

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
	return crc32c_portable(crc, bytes, len);
}

uint32_t crc32c_join(uint32_t first, uint32_t second, size_t len)
{
	return crc32c_join_portable(first, second, len);
}

#endif
