#include "store/catalog_snapshot.h"

#include "base/crc32c.h"
#include "base/endian.h"

enum {
	FORMAT_VERSION = 1,
	SNAPSHOT_HEADER_BYTES = 48,
	TOPICS_AT = 12,
	TOMBSTONES_AT = 40,
};

static const char snapshot_magic[8] = "bournctl";

/* --- writing --------------------------------------------------------------------------------- */

struct encoding {
	struct buf *out;
	uint32_t count;
};

static void put_spec(void *arg, const struct topic_spec *spec)
{
	struct encoding *e = arg;

	topic_spec_encode(spec, e->out);
	e->count++;
}

static void put_uuid(void *arg, const struct topic_spec *spec)
{
	struct encoding *e = arg;

	buf_append(e->out, spec->uuid.bytes, sizeof(spec->uuid.bytes));
	e->count++;
}

void catalog_snapshot_encode(const struct catalog *c, const struct uuid *store_id,
                             uint64_t sequence, struct buf *out)
{
	uint8_t header[SNAPSHOT_HEADER_BYTES] = {0};
	struct encoding live = {.out = out}, deleted = {.out = out};
	uint8_t crc[4];

	memcpy(header, snapshot_magic, sizeof(snapshot_magic));
	store_le32(header + 8, FORMAT_VERSION);
	memcpy(header + 16, store_id->bytes, sizeof(store_id->bytes));
	store_le64(header + 32, sequence);
	buf_append(out, header, sizeof(header));
	catalog_each(c, CATALOG_LIVE, put_spec, &live);
	catalog_each(c, CATALOG_DELETED, put_uuid, &deleted);
	if (out->failed)
		return;
	store_le32(out->ptr + TOPICS_AT, live.count);
	store_le32(out->ptr + TOMBSTONES_AT, deleted.count);
	store_le32(crc, crc32c(0, out->ptr, out->len));
	buf_append(out, crc, sizeof(crc));
}

/* --- reading --------------------------------------------------------------------------------- */

static bool take_uuid(struct slice *from, struct uuid *out)
{
	if (from->len < sizeof(out->bytes))
		return false;
	memcpy(out->bytes, from->ptr, sizeof(out->bytes));
	*from = slice_of(from->ptr + sizeof(out->bytes), from->len - sizeof(out->bytes));
	return true;
}

enum err catalog_snapshot_decode(struct slice bytes, const struct uuid *store_id,
                                 uint64_t *sequence, catalog_topic_cb *each, void *arg,
                                 struct fault *f)
{
	const uint8_t *at = bytes.ptr;
	struct slice rest;
	struct topic_spec spec;
	enum err err;

	if (bytes.len < SNAPSHOT_HEADER_BYTES + 4 ||
	    memcmp(at, snapshot_magic, sizeof(snapshot_magic)) != 0)
		return fault_set(f, ERR_CORRUPT, 0, "not a catalog snapshot");
	if (load_le32(at + 8) > FORMAT_VERSION)
		return fault_set(f, ERR_DIR_NEWER, 0, "format %u", load_le32(at + 8));
	if (crc32c(0, at, bytes.len - 4) != load_le32(at + bytes.len - 4))
		return fault_set(f, ERR_CORRUPT, 0, "wrong checksum");
	if (memcmp(at + 16, store_id->bytes, sizeof(store_id->bytes)) != 0)
		return fault_set(f, ERR_DIR_FOREIGN, 0, "it belongs to another data directory");

	rest = slice_of(at + SNAPSHOT_HEADER_BYTES, bytes.len - SNAPSHOT_HEADER_BYTES - 4);
	for (uint32_t i = load_le32(at + TOPICS_AT); i > 0; i--) {
		err = topic_spec_decode(&rest, &spec, f);
		if (!err)
			err = each(arg, &spec, false, f);
		if (err)
			return err;
	}
	spec = (struct topic_spec){0};
	for (uint32_t i = load_le32(at + TOMBSTONES_AT); i > 0; i--) {
		if (!take_uuid(&rest, &spec.uuid))
			return fault_set(f, ERR_CORRUPT, 0, "it ends early");
		err = each(arg, &spec, true, f);
		if (err)
			return err;
	}
	if (rest.len > 0)
		return fault_set(f, ERR_CORRUPT, 0, "%zu bytes too many", rest.len);
	*sequence = load_le64(at + 32);
	return OK;
}
