#include "base/suggest.h"

enum { WORD_BYTES_MAX = 64 };

static uint8_t fold(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

static unsigned min(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

/* Edit distance with swapped neighbours as one slip ("optimal string alignment"): three rows of
 * the usual matrix are enough. Neither is longer than WORD_BYTES_MAX. */
static unsigned distance(struct slice a, struct slice b)
{
	unsigned rows[3][WORD_BYTES_MAX + 1];
	unsigned *before = rows[0];
	unsigned *above = rows[1];
	unsigned *row = rows[2];

	for (unsigned j = 0; j <= b.len; j++)
		row[j] = j;
	for (unsigned i = 1; i <= a.len; i++) {
		unsigned *reused = before;

		before = above;
		above = row;
		row = reused;
		row[0] = i;
		for (unsigned j = 1; j <= b.len; j++) {
			uint8_t x = fold(a.ptr[i - 1]);
			uint8_t y = fold(b.ptr[j - 1]);

			row[j] = min(above[j - 1] + (x != y), min(above[j], row[j - 1]) + 1);
			if (i > 1 && j > 1 && x == fold(b.ptr[j - 2]) && y == fold(a.ptr[i - 2]))
				row[j] = min(row[j], before[j - 2] + 1);
		}
	}
	return row[b.len];
}

const char *suggest(struct slice word, const char *const *candidates, size_t count)
{
	const char *nearest = NULL;
	unsigned allowed = word.len < 3 ? 1 : (unsigned)(word.len / 3);

	if (word.len == 0 || word.len > WORD_BYTES_MAX)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		struct slice candidate = slice_str(candidates[i]);
		unsigned slips;

		if (candidate.len > WORD_BYTES_MAX)
			continue;
		slips = distance(word, candidate);
		if (slips <= allowed && slips < candidate.len) {
			nearest = candidates[i];
			if (slips == 0)
				break;
			allowed = slips - 1;
		}
	}
	return nearest;
}
