#include "store/rocksdb/row.h"

#include "base/check.h"
#include "base/endian.h"

enum {
	PARTITION_AT = 16,
	OFFSET_AT = 20,
	META_TOPIC_AT = 1,
	META_PARTITION_AT = 17,
	META_KIND_AT = 21,
	META_OFFSET_AT = 22,
};

struct row_key row_key(const struct row_home *home, int64_t offset)
{
	struct row_key key;

	CHECK(offset >= 0);
	memcpy(key.bytes, home->topic.bytes, sizeof(home->topic.bytes));
	store_be32(key.bytes + PARTITION_AT, home->partition);
	store_be64(key.bytes + OFFSET_AT, (uint64_t)offset);
	return key;
}

bool row_key_offset(struct slice key, const struct row_home *home, int64_t *offset)
{
	if (key.len != sizeof(struct row_key) ||
	    memcmp(key.ptr, home->topic.bytes, sizeof(home->topic.bytes)) != 0 ||
	    load_be32(key.ptr + PARTITION_AT) != home->partition)
		return false;
	*offset = (int64_t)load_be64(key.ptr + OFFSET_AT);
	return true;
}

bool row_key_topic(struct slice key, struct uuid *topic)
{
	if (key.len != sizeof(struct row_key))
		return false;
	memcpy(topic->bytes, key.ptr, sizeof(topic->bytes));
	return true;
}

struct row_meta_key row_meta_key(const struct row_home *home, enum row_kind kind)
{
	struct row_meta_key key = {.len = META_OFFSET_AT};

	key.bytes[0] = 't';
	memcpy(key.bytes + META_TOPIC_AT, home->topic.bytes, sizeof(home->topic.bytes));
	store_be32(key.bytes + META_PARTITION_AT, home->partition);
	key.bytes[META_KIND_AT] = (uint8_t)kind;
	return key;
}

struct row_meta_key row_mark_key(const struct row_home *home, int64_t end_offset)
{
	struct row_meta_key key = row_meta_key(home, ROW_MARK);

	store_be64(key.bytes + META_OFFSET_AT, (uint64_t)end_offset);
	key.len = sizeof(key.bytes);
	return key;
}

bool row_mark_key_offset(struct slice key, const struct row_home *home, int64_t *end_offset)
{
	struct row_meta_key front = row_meta_key(home, ROW_MARK);

	if (key.len != sizeof(front.bytes) || memcmp(key.ptr, front.bytes, front.len) != 0)
		return false;
	*end_offset = (int64_t)load_be64(key.ptr + META_OFFSET_AT);
	return true;
}

/* The least key that does not begin with the `len` bytes at `at`. */
static void step_over(uint8_t *at, size_t len)
{
	while (len > 0 && ++at[len - 1] == 0)
		len--;
	CHECK(len > 0);
}

struct row_topic_range row_topic_range(const struct uuid *topic)
{
	struct row_topic_range r = {.len = sizeof(topic->bytes)};

	memcpy(r.from, topic->bytes, r.len);
	memcpy(r.to, topic->bytes, r.len);
	step_over(r.to, r.len);
	return r;
}

struct row_topic_range row_meta_topic_range(const struct uuid *topic)
{
	struct row_topic_range r = {.from = "t", .to = "t", .len = sizeof(r.from)};

	memcpy(r.from + META_TOPIC_AT, topic->bytes, sizeof(topic->bytes));
	memcpy(r.to + META_TOPIC_AT, topic->bytes, sizeof(topic->bytes));
	step_over(r.to, r.len);
	return r;
}

void row_store_encode(const struct row_store *s, uint8_t into[ROW_STORE_BYTES])
{
	store_le32(into, ROW_VERSION);
	store_le32(into + 4, (uint32_t)s->leader_epoch);
	into[8] = s->clean;
	memcpy(into + 9, s->id.bytes, sizeof(s->id.bytes));
}

bool row_store_decode(struct slice value, struct row_store *out, uint32_t *version)
{
	*version = value.len >= 4 ? load_le32(value.ptr) : 0;
	if (*version != ROW_VERSION || value.len != ROW_STORE_BYTES)
		return false;
	out->leader_epoch = (int32_t)load_le32(value.ptr + 4);
	out->clean = value.ptr[8] == 1;
	memcpy(out->id.bytes, value.ptr + 9, sizeof(out->id.bytes));
	return out->leader_epoch >= 0;
}

void row_compacted_encode(const struct row_compacted *c, uint8_t into[ROW_COMPACTED_BYTES])
{
	store_le64(into, (uint64_t)c->clean);
	store_le64(into + 8, (uint64_t)c->upto);
	store_le64(into + 16, (uint64_t)c->total);
	store_le64(into + 24, (uint64_t)c->gone);
}

bool row_compacted_decode(struct slice value, struct row_compacted *out)
{
	if (value.len != ROW_COMPACTED_BYTES)
		return false;
	out->clean = (int64_t)load_le64(value.ptr);
	out->upto = (int64_t)load_le64(value.ptr + 8);
	out->total = (int64_t)load_le64(value.ptr + 16);
	out->gone = (int64_t)load_le64(value.ptr + 24);
	return out->clean >= 0 && out->clean <= out->upto && out->total >= 0 && out->gone >= 0;
}

void row_range_encode(int64_t first, int64_t second, uint8_t into[ROW_RANGE_BYTES])
{
	store_le64(into, (uint64_t)first);
	store_le64(into + 8, (uint64_t)second);
}

bool row_range_decode(struct slice value, int64_t *first, int64_t *second)
{
	if (value.len != ROW_RANGE_BYTES)
		return false;
	*first = (int64_t)load_le64(value.ptr);
	*second = (int64_t)load_le64(value.ptr + 8);
	return true;
}
