/* 16 random bytes that name a topic for ever; the all-zero one is none. */
#ifndef BOURN_BASE_UUID_H
#define BOURN_BASE_UUID_H

#include "base/slice.h"

struct uuid {
	uint8_t bytes[16];
};

enum { UUID_TEXT_LEN = 36 };

/* "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx", lower case, NUL-terminated; returns `text`. */
const char *uuid_format(const struct uuid *uuid, char text[UUID_TEXT_LEN + 1]);

/* False unless `text` is exactly such a form (any case). */
bool uuid_parse(struct slice text, struct uuid *out);

/* Turn 16 random bytes into a version 4 UUID (RFC 9562). */
void uuid_from_random(struct uuid *uuid, const uint8_t random[16]);

static inline bool uuid_eq(const struct uuid *a, const struct uuid *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static inline bool uuid_is_none(const struct uuid *uuid)
{
	static const struct uuid none;

	return uuid_eq(uuid, &none);
}

#endif
