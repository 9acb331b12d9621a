#include "wire/base64.h"

static const char digits[2][65] = {
	[BASE64_STD] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
	[BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

size_t base64_encoded_size(enum base64_alphabet alphabet, size_t len)
{
	size_t tail = len % 3;

	if (tail == 0)
		return len / 3 * 4;
	return len / 3 * 4 + (alphabet == BASE64_STD ? 4 : tail + 1);
}

/* The last one or two bytes. */
static void encode_tail(enum base64_alphabet alphabet, const uint8_t *in, size_t len, uint8_t *out)
{
	const char *digit = digits[alphabet];
	uint32_t word = (uint32_t)in[0] << 16 | (len > 1 ? (uint32_t)in[1] << 8 : 0);

	out[0] = (uint8_t)digit[word >> 18];
	out[1] = (uint8_t)digit[word >> 12 & 63];
	if (len > 1)
		out[2] = (uint8_t)digit[word >> 6 & 63];
	if (alphabet == BASE64_STD) {
		out[3] = '=';
		if (len == 1)
			out[2] = '=';
	}
}

void base64_encode(enum base64_alphabet alphabet, struct slice bytes, struct buf *out)
{
	const char *digit = digits[alphabet];
	size_t size = base64_encoded_size(alphabet, bytes.len);
	uint8_t *at;
	size_t i;

	if (size == 0 || !buf_reserve(out, size))
		return;
	at = out->ptr + out->len;
	for (i = 0; i + 3 <= bytes.len; i += 3, at += 4) {
		uint32_t word = (uint32_t)bytes.ptr[i] << 16 | (uint32_t)bytes.ptr[i + 1] << 8 |
		                bytes.ptr[i + 2];

		at[0] = (uint8_t)digit[word >> 18];
		at[1] = (uint8_t)digit[word >> 12 & 63];
		at[2] = (uint8_t)digit[word >> 6 & 63];
		at[3] = (uint8_t)digit[word & 63];
	}
	if (i < bytes.len)
		encode_tail(alphabet, bytes.ptr + i, bytes.len - i, at);
	out->len += size;
}

/* 0 to 63; -1 for a character of neither or the other alphabet. */
static int value_of(enum base64_alphabet alphabet, uint8_t c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == (uint8_t)digits[alphabet][62])
		return 62;
	if (c == (uint8_t)digits[alphabet][63])
		return 63;
	return -1;
}

/* Decode 2 to 4 characters into 1 to 3 bytes at `out`. */
static bool decode_group(enum base64_alphabet alphabet, const uint8_t *in, size_t len, uint8_t *out)
{
	uint32_t word = 0;

	for (size_t i = 0; i < len; i++) {
		int value = value_of(alphabet, in[i]);

		if (value < 0)
			return false;
		word |= (uint32_t)value << (18 - 6 * i);
	}
	if (word & (0xffffffu >> (8 * (len - 1)))) /* bits that no byte takes */
		return false;
	for (size_t i = 0; i + 1 < len; i++)
		out[i] = (uint8_t)(word >> (16 - 8 * i));
	return true;
}

bool base64_decode(enum base64_alphabet alphabet, struct slice text, struct buf *out)
{
	size_t len = text.len;
	uint8_t *at;
	size_t i;

	if (alphabet == BASE64_STD) {
		if (len % 4)
			return false;
		if (len && text.ptr[len - 1] == '=')
			len -= text.ptr[len - 2] == '=' ? 2 : 1;
	}
	if (len == 0)
		return true;
	if (len % 4 == 1 || !buf_reserve(out, len / 4 * 3 + (len % 4 ? len % 4 - 1 : 0)))
		return false;
	at = out->ptr + out->len;
	for (i = 0; i + 4 <= len; i += 4, at += 3)
		if (!decode_group(alphabet, text.ptr + i, 4, at))
			return false;
	if (i < len) {
		if (!decode_group(alphabet, text.ptr + i, len - i, at))
			return false;
		at += len - i - 1;
	}
	out->len = (size_t)(at - out->ptr);
	return true;
}
