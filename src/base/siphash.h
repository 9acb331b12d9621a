/* siphash: SipHash-2-4 with a result of 128 bits, a keyed hash of short strings (Aumasson and
 * Bernstein, 2012). Who does not know the key cannot make two strings that share one, which is what
 * a plain checksum would not give. */
#ifndef BOURN_BASE_SIPHASH_H
#define BOURN_BASE_SIPHASH_H

#include "base/slice.h"

struct siphash_key {
	uint64_t words[2]; /* random */
};

struct siphash {
	uint64_t words[2];
};

struct siphash siphash(const struct siphash_key *key, struct slice s);

#endif
