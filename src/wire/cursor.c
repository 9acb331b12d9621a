#include "wire/cursor.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/varint.h"
#include "wire/base64.h"

enum {
	CURSOR_VERSION = 1,
	CURSOR_VERSION_ALONE = 2,
	CURSOR_CRC_BYTES = 4,
	CURSOR_BYTES_MAX = CURSOR_TEXT_BYTES_MAX / 4 * 3,
};

static void append_varint(struct buf *to, int64_t value)
{
	uint8_t bytes[VARINT_BYTES_MAX];

	buf_append(to, bytes, varint_write(bytes, value));
}

static void append_entry(struct buf *to, const struct cursor_entry *entry)
{
	CHECK(entry->partition <= INT32_MAX);
	CHECK(entry->leader_epoch >= 0);
	CHECK(entry->next_offset >= 0);
	buf_append(to, entry->topic, sizeof(entry->topic));
	append_varint(to, entry->partition);
	append_varint(to, entry->leader_epoch);
	append_varint(to, entry->next_offset);
}

bool cursor_encode(const struct cursor_entry *entries, size_t count, bool is_alone, struct buf *out)
{
	uint8_t version = is_alone ? CURSOR_VERSION_ALONE : CURSOR_VERSION;
	uint8_t memory[CURSOR_BYTES_MAX];
	struct buf bytes = BUF_IN(memory);
	uint8_t crc[CURSOR_CRC_BYTES];

	if (count == 0 || count > CURSOR_ENTRIES_MAX)
		return false;
	CHECK(!is_alone || count == 1);
	buf_append(&bytes, &version, 1);
	for (size_t i = 0; i < count; i++)
		append_entry(&bytes, &entries[i]);
	store_be32(crc, crc32c(0, bytes.ptr, bytes.len));
	buf_append(&bytes, crc, sizeof(crc));
	if (bytes.failed)
		return false;
	base64_encode(BASE64_URL, buf_slice(&bytes), out);
	return !out->failed;
}

/* Take a number of 0 to `max` from the front, in its shortest form. */
static bool take_number(struct slice *from, int64_t max, int64_t *out)
{
	size_t before = from->len;

	return varint_read(from, out) && *out >= 0 && *out <= max &&
	       before - from->len == varint_size(*out);
}

static bool take_entry(struct slice *from, struct cursor_entry *entry)
{
	int64_t partition, epoch;

	if (from->len < sizeof(entry->topic))
		return false;
	memcpy(entry->topic, from->ptr, sizeof(entry->topic));
	*from = slice_of(from->ptr + sizeof(entry->topic), from->len - sizeof(entry->topic));
	if (!take_number(from, INT32_MAX, &partition) || !take_number(from, INT32_MAX, &epoch) ||
	    !take_number(from, INT64_MAX, &entry->next_offset))
		return false;
	entry->partition = (uint32_t)partition;
	entry->leader_epoch = (int32_t)epoch;
	return true;
}

static enum err decode_bytes(struct slice bytes, struct cursor *out)
{
	struct slice rest;

	if (bytes.len < 1 + CURSOR_CRC_BYTES ||
	    (bytes.ptr[0] != CURSOR_VERSION && bytes.ptr[0] != CURSOR_VERSION_ALONE))
		return ERR_BAD_CURSOR;
	out->is_alone = bytes.ptr[0] == CURSOR_VERSION_ALONE;
	bytes.len -= CURSOR_CRC_BYTES;
	if (load_be32(bytes.ptr + bytes.len) != crc32c(0, bytes.ptr, bytes.len))
		return ERR_BAD_CURSOR;
	rest = slice_of(bytes.ptr + 1, bytes.len - 1);
	out->count = 0;
	while (rest.len > 0) {
		if (out->count == CURSOR_ENTRIES_MAX ||
		    !take_entry(&rest, &out->entries[out->count]))
			return ERR_BAD_CURSOR;
		out->count++;
	}
	return out->count == 1 || (out->count > 1 && !out->is_alone) ? OK : ERR_BAD_CURSOR;
}

enum err cursor_decode(struct slice text, struct cursor *out)
{
	uint8_t memory[CURSOR_BYTES_MAX];
	struct buf bytes = BUF_IN(memory);

	if (text.len > CURSOR_TEXT_BYTES_MAX || !base64_decode(BASE64_URL, text, &bytes))
		return ERR_BAD_CURSOR;
	return decode_bytes(buf_slice(&bytes), out);
}

const struct cursor_entry *cursor_find(const struct cursor *c, const uint8_t topic[8],
                                       uint32_t partition)
{
	for (size_t i = 0; i < c->count; i++)
		if (c->entries[i].partition == partition &&
		    memcmp(c->entries[i].topic, topic, sizeof(c->entries[i].topic)) == 0)
			return &c->entries[i];
	return NULL;
}
