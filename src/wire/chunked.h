/* chunked: the body coding of HTTP/1.1 (RFC 9112, 7.1), undone in place.
 *
 *   5;ext=1\r\n hello \r\n 0\r\n Trailer: x\r\n \r\n   ->   hello
 *
 * Stricter than the RFC asks: lines end in CRLF only, sizes have at most 16 hex digits, a size line
 * is at most CHUNKED_LINE_BYTES_MAX with its extensions, all trailers together at most
 * CHUNKED_TRAILER_BYTES_MAX. Extensions and trailers are dropped.
 * llhttp 8 is not used for this: it takes folded trailers, bare LFs and endless leading zeros, and
 * refuses a second extension. */
#ifndef BOURN_WIRE_CHUNKED_H
#define BOURN_WIRE_CHUNKED_H

#include "base/err.h"
#include "base/slice.h"

enum {
	CHUNKED_LINE_BYTES_MAX = 1 << 10,
	CHUNKED_TRAILER_BYTES_MAX = 8 << 10,
};

struct chunked {
	enum { CHUNKED_SIZE, CHUNKED_BODY, CHUNKED_BODY_END, CHUNKED_TRAILER, CHUNKED_DONE } state;
	uint64_t left; /* bytes of the current chunk that are still to come */
	/* of the body so far, the current chunk's announced rest excluded */
	uint64_t decoded_bytes;
	size_t trailer_bytes;
	const char *detail; /* why it was refused; static text */
};

void chunked_init(struct chunked *c);

/* Decode from `in`, of which `*len` bytes are at hand; all decoded bytes are moved to its front.
 *
 * Shape:   afterwards in[0, *decoded) is body; in[*decoded, *len) is what was not understood yet
 * (part of a line) or, when c->state is CHUNKED_DONE, what follows the message. For the next call
 * `in` is where that rest begins (then more bytes behind it). Units:   `bytes_max`: for the whole
 * body, counted over all calls. Errors:  ERR_TOO_LARGE: beyond bytes_max, as soon as a chunk
 * announces it; ERR_BAD_REQUEST: detail. */
enum err chunked_decode(struct chunked *c, uint8_t *in, size_t *len, uint64_t bytes_max,
                        size_t *decoded) MUST_CHECK;

#endif
