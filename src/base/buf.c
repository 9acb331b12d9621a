#include "base/buf.h"

#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUF_BYTES_MIN = 256 };

void buf_fini(struct buf *b)
{
	free(b->ptr);
	*b = (struct buf){.limit = b->limit};
}

bool buf_reserve(struct buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : BUF_BYTES_MIN;
	uint8_t *grown;

	if (b->failed)
		return false;
	if (more <= b->cap - b->len)
		return true;
	if (more > b->limit || b->len > b->limit - more)
		goto failed;
	while (cap < b->len + more)
		cap *= 2;
	if (cap > b->limit)
		cap = b->limit;
	grown = realloc(b->ptr, cap);
	if (!grown) {
		b->starved = true;
		goto failed;
	}
	b->ptr = grown;
	b->cap = cap;
	return true;

failed:
	b->failed = true;
	return false;
}

void buf_append_grow(struct buf *b, const void *bytes, size_t len)
{
	if (!buf_reserve(b, len))
		return;
	memcpy(b->ptr + b->len, bytes, len);
	b->len += len;
}

void buf_printf(struct buf *b, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(NULL, 0, format, args);
	va_end(args);
	CHECK(len >= 0);
	if (!buf_reserve(b, (size_t)len + 1)) /* vsnprintf writes a NUL after the text */
		return;
	va_start(args, format);
	vsnprintf((char *)b->ptr + b->len, (size_t)len + 1, format, args);
	va_end(args);
	b->len += (size_t)len;
}

void buf_append_int64(struct buf *b, int64_t value)
{
	static const char pairs[] = "00010203040506070809101112131415161718192021222324"
				    "25262728293031323334353637383940414243444546474849"
				    "50515253545556575859606162636465666768697071727374"
				    "75767778798081828384858687888990919293949596979899";
	uint8_t digits[20];
	uint8_t *at = digits + sizeof(digits);
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	for (; rest >= 10; rest /= 100) {
		const char *pair = &pairs[rest % 100 * 2];

		*--at = (uint8_t)pair[1];
		*--at = (uint8_t)pair[0];
	}
	if (rest > 0 || at == digits + sizeof(digits))
		*--at = (uint8_t)('0' + rest);
	if (value < 0)
		*--at = '-';
	buf_append(b, at, (size_t)(digits + sizeof(digits) - at));
}

void buf_consume(struct buf *b, size_t len)
{
	CHECK(len <= b->len);
	if (len == 0)
		return;
	memmove(b->ptr, b->ptr + len, b->len - len);
	b->len -= len;
}
