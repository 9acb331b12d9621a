/* utf8: is it UTF-8 (RFC 3629: shortest form, no surrogates, ≤ U+10FFFF)? Whole or in pieces. */
#ifndef BOURN_WIRE_UTF8_H
#define BOURN_WIRE_UTF8_H

#include "base/slice.h"

bool utf8_valid(struct slice text);

/* A zeroed one stands at the start of a text. */
struct utf8_state {
	uint8_t left; /* continuation bytes that are missing */
	uint8_t low;  /* range of the next one, when left > 0 */
	uint8_t high;
};

/* Look at the next piece. False as soon as no continuation could make the text valid; the state is
 * then of no use any more. */
bool utf8_feed(struct utf8_state *state, struct slice piece);

/* True when the text may end here: no character is cut off. */
static inline bool utf8_complete(const struct utf8_state *state)
{
	return state->left == 0;
}

/* Write the character `code` (≤ 0x10ffff, no surrogate) at `at`; returns its 1 to 4 bytes. */
size_t utf8_encode(uint32_t code, uint8_t at[4]);

#endif
