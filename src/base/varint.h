/* Kafka's varints: base-128, least significant group first, zigzag for signed numbers. */
#ifndef BOURN_BASE_VARINT_H
#define BOURN_BASE_VARINT_H

#include "base/slice.h"

enum { VARINT_BYTES_MAX = 10 };

/* Bytes that `value` takes, 1 to 10. */
size_t varint_size(int64_t value);

/* Write `value` at `at`, which has room for varint_size(value); returns the bytes written. */
size_t varint_write(uint8_t *at, int64_t value);

/* Take one number from the front of `*from`. False when it is cut off or longer than 64 bits;
 * `*from` is then untouched. */
bool varint_read(struct slice *from, int64_t *out);

#endif
