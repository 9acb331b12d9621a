#include "base/uuid.h"

static const char hex_digits[] = "0123456789abcdef";

static bool is_dash_position(size_t at)
{
	return at == 8 || at == 13 || at == 18 || at == 23;
}

const char *uuid_format(const struct uuid *uuid, char text[UUID_TEXT_LEN + 1])
{
	size_t at = 0;

	for (size_t i = 0; i < sizeof(uuid->bytes); i++) {
		if (is_dash_position(at))
			text[at++] = '-';
		text[at++] = hex_digits[uuid->bytes[i] >> 4];
		text[at++] = hex_digits[uuid->bytes[i] & 15];
	}
	text[at] = '\0';
	return text;
}

static int hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool uuid_parse(struct slice text, struct uuid *out)
{
	struct uuid parsed;
	size_t at = 0;

	if (text.len != UUID_TEXT_LEN)
		return false;
	for (size_t i = 0; i < sizeof(parsed.bytes); i++) {
		int high, low;

		if (is_dash_position(at) && text.ptr[at++] != '-')
			return false;
		high = hex_value(text.ptr[at++]);
		low = hex_value(text.ptr[at++]);
		if (high < 0 || low < 0)
			return false;
		parsed.bytes[i] = (uint8_t)(high << 4 | low);
	}
	*out = parsed;
	return true;
}

void uuid_from_random(struct uuid *uuid, const uint8_t random[16])
{
	memcpy(uuid->bytes, random, sizeof(uuid->bytes));
	uuid->bytes[6] = (uint8_t)((uuid->bytes[6] & 0x0f) | 0x40);
	uuid->bytes[8] = (uint8_t)((uuid->bytes[8] & 0x3f) | 0x80);
}
