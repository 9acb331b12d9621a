#include "wire/utf8.h"

static const uint64_t high_bits = 0x8080808080808080;

/* What must follow a lead byte: how many bytes, and the range of the first of them, which is
 * narrower where a longer form than needed, a surrogate or more than U+10FFFF would begin. */
static bool begin_character(struct utf8_state *state, uint8_t lead)
{
	state->low = 0x80;
	state->high = 0xbf;
	if (lead >= 0xc2 && lead <= 0xdf) {
		state->left = 1;
	} else if (lead >= 0xe0 && lead <= 0xef) {
		state->left = 2;
		if (lead == 0xe0)
			state->low = 0xa0;
		if (lead == 0xed)
			state->high = 0x9f;
	} else if (lead >= 0xf0 && lead <= 0xf4) {
		state->left = 3;
		if (lead == 0xf0)
			state->low = 0x90;
		if (lead == 0xf4)
			state->high = 0x8f;
	} else {
		return false;
	}
	return true;
}

static bool go_on(struct utf8_state *state, uint8_t byte)
{
	if (byte < state->low || byte > state->high)
		return false;
	state->left--;
	state->low = 0x80;
	state->high = 0xbf;
	return true;
}

/* Past the ASCII at the front, eight bytes at a time. */
static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
	while (end - at >= 8) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		if (word & high_bits)
			return at + __builtin_ctzll(word & high_bits) / 8;
		at += 8;
	}
	while (at < end && *at < 0x80)
		at++;
	return at;
}

bool utf8_feed(struct utf8_state *state, struct slice piece)
{
	const uint8_t *at, *end;

	if (piece.len == 0)
		return true;
	at = piece.ptr;
	end = at + piece.len;
	while (at < end) {
		if (state->left > 0) {
			if (!go_on(state, *at++))
				return false;
		} else if (*at < 0x80) {
			at = skip_ascii(at, end);
		} else if (!begin_character(state, *at++)) {
			return false;
		}
	}
	return true;
}

bool utf8_valid(struct slice text)
{
	struct utf8_state state = {0};

	return utf8_feed(&state, text) && utf8_complete(&state);
}

size_t utf8_encode(uint32_t code, uint8_t at[4])
{
	if (code < 0x80) {
		at[0] = (uint8_t)code;
		return 1;
	}
	if (code < 0x800) {
		at[0] = (uint8_t)(0xc0 | code >> 6);
		at[1] = (uint8_t)(0x80 | (code & 0x3f));
		return 2;
	}
	if (code < 0x10000) {
		at[0] = (uint8_t)(0xe0 | code >> 12);
		at[1] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
		at[2] = (uint8_t)(0x80 | (code & 0x3f));
		return 3;
	}
	at[0] = (uint8_t)(0xf0 | code >> 18);
	at[1] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
	at[2] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
	at[3] = (uint8_t)(0x80 | (code & 0x3f));
	return 4;
}
