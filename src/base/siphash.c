#include "base/siphash.h"

#include "base/endian.h"

struct sip {
	uint64_t v[4];
};

static uint64_t rotate(uint64_t word, unsigned by)
{
	return word << by | word >> (64 - by);
}

static void sip_round(struct sip *s)
{
	uint64_t *v = s->v;

	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static void sip_take(struct sip *s, uint64_t word)
{
	s->v[3] ^= word;
	sip_round(s);
	sip_round(s);
	s->v[0] ^= word;
}

/* `mark` tells the two halves of the result from each other, and from the input. */
static uint64_t sip_end(struct sip *s, unsigned at, uint64_t mark)
{
	s->v[at] ^= mark;
	for (int i = 0; i < 4; i++)
		sip_round(s);
	return s->v[0] ^ s->v[1] ^ s->v[2] ^ s->v[3];
}

/* What is left after whole words, and the length in the highest byte. */
static uint64_t last_word(struct slice s)
{
	uint64_t word = (uint64_t)s.len << 56;

	for (size_t i = 0; i < s.len % 8; i++)
		word |= (uint64_t)s.ptr[s.len - s.len % 8 + i] << 8 * i;
	return word;
}

struct siphash siphash(const struct siphash_key *key, struct slice s)
{
	uint64_t k0 = key->words[0], k1 = key->words[1];
	struct sip sip = {{
		k0 ^ 0x736f6d6570736575,
		k1 ^ 0x646f72616e646f6d ^ 0xee,
		k0 ^ 0x6c7967656e657261,
		k1 ^ 0x7465646279746573,
	}};
	struct siphash out;

	for (size_t at = 0; at + 8 <= s.len; at += 8)
		sip_take(&sip, load_le64(s.ptr + at));
	sip_take(&sip, last_word(s));
	out.words[0] = sip_end(&sip, 2, 0xee);
	out.words[1] = sip_end(&sip, 1, 0xdd);
	return out;
}
