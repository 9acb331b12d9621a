#include "store/chunklog/manifest.h"

#include "base/crc32c.h"
#include "base/endian.h"
#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	FORMAT_VERSION = 3,
	FLAG_CLEAN = 1,
	HEADER_BYTES = 48,
	COUNT_AT = 44,
	PARTITION_BYTES_2 = 56, /* in versions 1 and 2 */
	PARTITION_BYTES = 64,
	SEGMENT_ENTRY_BYTES_1 = 32, /* in version 1 */
	SEGMENT_ENTRY_BYTES = 56,
	CRC_BYTES = 4,
};

static const char magic[8] = "bournman";

/* --- writing ---------------------------------------------------------------------------------- */

void manifest_begin(struct buf *out, const struct manifest *m, const struct uuid *store_id)
{
	uint8_t header[HEADER_BYTES] = {0};

	CHECK(out->len == 0);
	memcpy(header, magic, sizeof(magic));
	store_le32(header + 8, FORMAT_VERSION);
	store_le32(header + 12, m->clean ? FLAG_CLEAN : 0);
	memcpy(header + 16, store_id->bytes, 16);
	store_le64(header + 32, m->checkpointed);
	store_le32(header + 40, (uint32_t)m->leader_epoch);
	buf_append(out, header, sizeof(header));
}

static void segment_add(struct buf *out, const struct segment *s)
{
	uint8_t entry[SEGMENT_ENTRY_BYTES] = {0};

	store_le64(entry, (uint64_t)s->base_offset);
	store_le64(entry + 8, (uint64_t)s->end_offset);
	store_le64(entry + 16, (uint64_t)s->bytes);
	store_le32(entry + 24, (uint32_t)s->leader_epoch);
	store_le32(entry + 28, s->generation);
	store_le64(entry + 32, (uint64_t)s->created_ms);
	store_le64(entry + 40, (uint64_t)s->min_timestamp);
	store_le64(entry + 48, (uint64_t)s->max_timestamp);
	buf_append(out, entry, sizeof(entry));
}

void manifest_add(struct buf *out, const struct uuid *topic, uint32_t partition,
                  const struct saved *s)
{
	uint8_t entry[PARTITION_BYTES];

	memcpy(entry, topic->bytes, 16);
	store_le32(entry + 16, partition);
	store_le32(entry + 20, s->segment_count);
	store_le64(entry + 24, (uint64_t)s->log_start);
	store_le64(entry + 32, (uint64_t)s->end_offset);
	store_le64(entry + 40, (uint64_t)s->damage.from);
	store_le64(entry + 48, (uint64_t)s->damage.to);
	store_le64(entry + 56, (uint64_t)s->compacted);
	buf_append(out, entry, sizeof(entry));
	for (uint32_t i = 0; i < s->segment_count; i++)
		segment_add(out, &s->segments[i]);
	if (!out->failed)
		store_le32(out->ptr + COUNT_AT, load_le32(out->ptr + COUNT_AT) + 1);
}

void manifest_finish(struct buf *out)
{
	uint8_t crc[CRC_BYTES];

	store_le32(crc, crc32c(0, out->ptr, out->len));
	buf_append(out, crc, sizeof(crc));
}

/* What the file held is written over, so that the space it has is used again. */
static enum err write_over(struct disk *d, const char *path, struct slice bytes, struct fault *f)
{
	struct iovec iov = {(void *)(uintptr_t)bytes.ptr, bytes.len};
	enum err err;
	int fd, got;

	err = disk_open(d, path, O_WRONLY | O_CREAT, &fd, f);
	if (err)
		return err;
	err = disk_write_all(d, fd, &iov, 1, 0, path, f);
	if (!err && (got = d->ops->truncate(d, fd, (int64_t)bytes.len)) < 0)
		err = fault_set(f, ERR_IO, -got, "cut %s", path);
	if (!err)
		err = disk_sync(d, fd, path, f);
	got = d->ops->close(d, fd);
	if (!err && got < 0)
		err = fault_set(f, ERR_IO, -got, "close %s", path);
	return err;
}

static enum err move(struct disk *d, const char *root, const char *from, const char *to,
                     struct fault *f)
{
	int got = d->ops->rename(d, from, to);

	if (got < 0 && got != -ENOENT)
		return fault_set(f, ERR_IO, -got, "rename to %s", to);
	return disk_sync_dir(d, root, f);
}

enum err manifest_write(struct disk *d, const char *root, struct slice bytes, struct fault *f)
{
	char now[SEGMENT_PATH_BYTES], before[SEGMENT_PATH_BYTES], next[SEGMENT_PATH_BYTES];
	enum err err;

	snprintf(now, sizeof(now), "%s/manifest", root);
	snprintf(before, sizeof(before), "%s/manifest.prev", root);
	snprintf(next, sizeof(next), "%s/manifest.next", root);
	err = write_over(d, next, bytes, f);
	/* A full disk: only the end of a checkpoint gives space back, so it must not need any. */
	if (err == ERR_DISK_FULL && d->ops->rename(d, before, next) >= 0)
		err = write_over(d, next, bytes, f);
	/* From here on one of `now` and `before` stands for a whole manifest at every moment. */
	if (!err)
		err = move(d, root, now, before, f);
	if (!err)
		err = move(d, root, next, now, f);
	return err;
}

/* --- reading ---------------------------------------------------------------------------------- */

static size_t entry_bytes(uint32_t version)
{
	return version == 1 ? SEGMENT_ENTRY_BYTES_1 : SEGMENT_ENTRY_BYTES;
}

static struct segment segment_decode(const uint8_t *at, uint32_t version)
{
	struct segment s = {
		.base_offset = (int64_t)load_le64(at),
		.end_offset = (int64_t)load_le64(at + 8),
		.bytes = (int64_t)load_le64(at + 16),
		.leader_epoch = (int32_t)load_le32(at + 24),
	};

	if (version > 1) {
		s.created_ms = (int64_t)load_le64(at + 32);
		s.min_timestamp = (int64_t)load_le64(at + 40);
		s.max_timestamp = (int64_t)load_le64(at + 48);
	}
	if (version > 2)
		s.generation = load_le32(at + 28);
	return s;
}

static bool segment_ok(const struct segment *s, int64_t after)
{
	return s->base_offset >= after && s->end_offset > s->base_offset &&
	       s->bytes > SEGMENT_HEADER_BYTES && s->leader_epoch >= 0 && s->created_ms >= 0;
}

static bool saved_ok(const struct saved *s)
{
	int64_t after = 0;

	if (s->log_start < 0 || s->end_offset < s->log_start || s->damage.from < -1 ||
	    s->damage.to < s->damage.from || s->compacted < 0 || s->compacted > s->end_offset)
		return false;
	for (uint32_t i = 0; i < s->segment_count; i++) {
		if (!segment_ok(&s->segments[i], after))
			return false;
		after = s->segments[i].end_offset;
	}
	return after <= s->end_offset;
}

/* Take one partition from the front of `*rest`; its segments go to `*segments`, which grows. */
static enum err saved_decode(uint32_t version, struct slice *rest, struct segment **segments,
                             struct saved *out, struct fault *f)
{
	size_t head = version < 3 ? PARTITION_BYTES_2 : PARTITION_BYTES;
	size_t each = entry_bytes(version), bytes;
	const uint8_t *at = rest->ptr;
	struct segment *grown;

	if (rest->len < head)
		return fault_set(f, ERR_CORRUPT, 0, "it ends early");
	*out = (struct saved){
		.segment_count = load_le32(at + 20),
		.log_start = (int64_t)load_le64(at + 24),
		.end_offset = (int64_t)load_le64(at + 32),
		.compacted = version < 3 ? 0 : (int64_t)load_le64(at + 56),
		.damage = {(int64_t)load_le64(at + 40), (int64_t)load_le64(at + 48)},
	};
	if (out->segment_count > (rest->len - head) / each)
		return fault_set(f, ERR_CORRUPT, 0, "it ends early");
	bytes = head + (size_t)out->segment_count * each;
	if (out->segment_count > 0) {
		grown = reallocarray(*segments, out->segment_count, sizeof(**segments));
		if (!grown)
			return fault_set(f, ERR_NO_MEMORY, 0, "%u segments", out->segment_count);
		*segments = grown;
	}
	for (uint32_t i = 0; i < out->segment_count; i++)
		(*segments)[i] = segment_decode(at + head + i * each, version);
	out->segments = *segments;
	*rest = slice_of(at + bytes, rest->len - bytes);
	if (!saved_ok(out))
		return fault_set(f, ERR_CORRUPT, 0, "impossible offsets");
	return OK;
}

static enum err partitions_decode(uint32_t version, struct slice rest, uint32_t count,
                                  manifest_partition_cb *each, void *arg, struct fault *f)
{
	struct segment *segments = NULL;
	enum err err = OK;

	for (; count > 0 && !err; count--) {
		const uint8_t *at = rest.ptr;
		struct uuid topic;
		struct saved saved;

		err = saved_decode(version, &rest, &segments, &saved, f);
		if (err)
			break;
		memcpy(topic.bytes, at, sizeof(topic.bytes));
		err = each(arg, &topic, load_le32(at + 16), &saved, f);
	}
	if (!err && rest.len > 0)
		err = fault_set(f, ERR_CORRUPT, 0, "%zu bytes too many", rest.len);
	free(segments);
	return err;
}

enum err manifest_decode(struct slice bytes, const struct uuid *store_id, struct manifest *out,
                         manifest_partition_cb *each, void *arg, struct fault *f)
{
	const uint8_t *at = bytes.ptr;
	struct manifest m;
	uint32_t version;

	if (bytes.len < HEADER_BYTES + CRC_BYTES || memcmp(at, magic, sizeof(magic)) != 0)
		return fault_set(f, ERR_CORRUPT, 0, "not a manifest");
	if (crc32c(0, at, bytes.len - CRC_BYTES) != load_le32(at + bytes.len - CRC_BYTES))
		return fault_set(f, ERR_CORRUPT, 0, "wrong checksum");
	version = load_le32(at + 8);
	if (version > FORMAT_VERSION)
		return fault_set(f, ERR_DIR_NEWER, 0, "format %u", version);
	if (memcmp(at + 16, store_id->bytes, 16) != 0)
		return fault_set(f, ERR_DIR_FOREIGN, 0, "it belongs to another data directory");
	m = (struct manifest){
		.clean = load_le32(at + 12) & FLAG_CLEAN,
		.checkpointed = load_le64(at + 32),
		.leader_epoch = (int32_t)load_le32(at + 40),
	};
	if (m.leader_epoch < 0)
		return fault_set(f, ERR_CORRUPT, 0, "impossible leader epoch");
	*out = m;
	return partitions_decode(version,
	                         slice_of(at + HEADER_BYTES, bytes.len - HEADER_BYTES - CRC_BYTES),
	                         load_le32(at + COUNT_AT), each, arg, f);
}

static enum err ignore_partition(void *arg __attribute__((unused)),
                                 const struct uuid *topic __attribute__((unused)),
                                 uint32_t partition __attribute__((unused)),
                                 const struct saved *s __attribute__((unused)),
                                 struct fault *f __attribute__((unused)))
{
	return OK;
}

enum err manifest_check(struct slice bytes, const struct uuid *store_id, struct manifest *out,
                        struct fault *f)
{
	return manifest_decode(bytes, store_id, out, ignore_partition, NULL, f);
}
