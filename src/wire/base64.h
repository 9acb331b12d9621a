/* base64: RFC 4648, both alphabets. `std` pads with "=", `url` does not. */
#ifndef BOURN_WIRE_BASE64_H
#define BOURN_WIRE_BASE64_H

#include "base/buf.h"

enum base64_alphabet {
	BASE64_STD, /* "+/", padded */
	BASE64_URL, /* "-_", not padded */
};

/* Characters that `len` bytes become. */
size_t base64_encoded_size(enum base64_alphabet alphabet, size_t len);

void base64_encode(enum base64_alphabet alphabet, struct slice bytes, struct buf *out);

/* Append the bytes that `text` stands for. False when it is not exactly what base64_encode would
 * have written for them (foreign characters, white space, wrong padding, unused bits set); nothing
 * is then appended. False too, with out->failed, when `out` is full. */
bool base64_decode(enum base64_alphabet alphabet, struct slice text, struct buf *out);

#endif
