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
	if (!grown)
		goto failed;
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
	uint8_t digits[20];
	uint8_t *at = digits + sizeof(digits);
	uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

	do {
		*--at = (uint8_t)('0' + rest % 10);
		rest /= 10;
	} while (rest);
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
