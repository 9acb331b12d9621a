#include "store/chunklog/segment_index.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "io/disk.h"
#include "store/chunklog/segment_reader.h"

#include <fcntl.h>
#include <stdlib.h>

enum {
	FORMAT_VERSION = 2,
	HEADER_BYTES = 80,
	MARK_BYTES = 32,
	CRC_BYTES = 4,
	CAP_FIRST = 1, /* marks */
};

static const char magic[8] = "bournidx";

void segment_index_init(struct segment_index *x, int64_t base_offset, int64_t at)
{
	*x = (struct segment_index){.at = at, .next_offset = base_offset};
}

void segment_index_fini(struct segment_index *x)
{
	free(x->marks);
}

static struct segment_mark frontier(const struct segment_index *x)
{
	return (struct segment_mark){.base_offset = x->next_offset, .at = x->at};
}

/* How many stretches begin at or below `offset`. */
static uint32_t count_upto(const struct segment_index *x, int64_t offset)
{
	uint32_t low = 0, high = x->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (x->marks[middle].base_offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct segment_mark segment_index_place(const struct segment_index *x, int64_t offset)
{
	uint32_t count = count_upto(x, offset);

	if (offset >= x->next_offset || count == 0)
		return frontier(x);
	return x->marks[count - 1];
}

struct segment_mark segment_index_time(const struct segment_index *x, int64_t from, int64_t time_ms)
{
	uint32_t i = count_upto(x, from);

	if (from >= x->next_offset)
		return frontier(x);
	for (i = i > 0 ? i - 1 : 0; i < x->count; i++)
		if (x->marks[i].max_timestamp >= time_ms)
			return x->marks[i];
	return frontier(x);
}

/* Where the batch behind stretch `i` begins. */
static int64_t end_offset(const struct segment_index *x, uint32_t i)
{
	return i + 1 < x->count ? x->marks[i + 1].base_offset : x->next_offset;
}

bool segment_index_span(const struct segment_index *x, int64_t offset, int64_t limit,
                        int64_t bytes_max, struct segment_span *out)
{
	uint32_t i = count_upto(x, offset);

	if (offset >= x->next_offset || i == 0)
		return false;
	i--;
	*out = (struct segment_span){.at = x->marks[i].at, .base_offset = x->marks[i].base_offset};
	for (; i < x->count && x->marks[i].at == out->at + out->bytes; i++) {
		if (out->bytes + x->marks[i].bytes > bytes_max || end_offset(x, i) > limit)
			break;
		out->bytes += x->marks[i].bytes;
		out->next_offset = end_offset(x, i);
	}
	out->next_at = i < x->count ? x->marks[i].at : 0;
	return out->bytes > 0;
}

/* --- growing ---------------------------------------------------------------------------------- */

bool segment_stretch_takes(const struct segment_stretch *s, int64_t at)
{
	return s->mark.bytes == 0 || s->mark.at + s->mark.bytes == at;
}

void segment_stretch_put(struct segment_stretch *s, const struct batch *b, int64_t at)
{
	if (s->mark.bytes == 0)
		s->mark = (struct segment_mark){b->base_offset, at, 0, b->max_timestamp};
	if (b->max_timestamp > s->mark.max_timestamp)
		s->mark.max_timestamp = b->max_timestamp;
	s->mark.bytes += (int64_t)b->bytes.len;
	s->end_offset = b->last_offset + 1;
}

bool segment_stretch_is_full(const struct segment_stretch *s)
{
	return s->mark.bytes >= SEGMENT_STRETCH_BYTES;
}

/* Without memory the index ends where it did, and what comes later does not follow on it. */
static void add_mark(struct segment_index *x, const struct segment_mark *m, int64_t next_offset)
{
	uint32_t cap = x->cap ? x->cap * 2 : CAP_FIRST;
	struct segment_mark *grown;

	if (m->base_offset != x->next_offset)
		return;
	if (x->count == x->cap) {
		grown = reallocarray(x->marks, cap, sizeof(*x->marks));
		if (!grown)
			return;
		x->marks = grown;
		x->cap = cap;
	}
	x->marks[x->count++] = *m;
	x->at = m->at + m->bytes;
	x->next_offset = next_offset;
}

void segment_index_add(struct segment_index *x, struct segment_stretch *s)
{
	if (s->mark.bytes > 0)
		add_mark(x, &s->mark, s->end_offset);
	*s = (struct segment_stretch){0};
}

void segment_index_add_run(struct segment_index *x, const struct iovec *iov, int count)
{
	struct segment_stretch s = {0};
	int64_t at = x->at;

	for (int i = 0; i < count; i++) {
		struct slice rest = slice_of(iov[i].iov_base, iov[i].iov_len);

		while (rest.len > 0) {
			struct batch b;
			enum err err = batch_parse(rest, &b, NULL);

			CHECK(err == OK);
			segment_stretch_put(&s, &b, at);
			at += (int64_t)b.bytes.len;
			rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
			if (segment_stretch_is_full(&s))
				segment_index_add(x, &s);
		}
	}
	segment_index_add(x, &s);
}

void segment_index_join(struct segment_index *x, const struct segment_index *more)
{
	for (uint32_t i = 0; i < more->count; i++)
		add_mark(x, &more->marks[i], end_offset(more, i));
}

/* --- the file --------------------------------------------------------------------------------- */

/* Whose index it is: the header but for its count. */
static void header_encode(const struct segment_home *h, const struct segment *s, uint32_t count,
                          uint8_t into[HEADER_BYTES])
{
	memcpy(into, magic, sizeof(magic));
	store_le32(into + 8, FORMAT_VERSION);
	store_le32(into + 12, h->partition);
	memcpy(into + 16, h->store_id->bytes, 16);
	memcpy(into + 32, h->topic->bytes, 16);
	store_le64(into + 48, (uint64_t)s->base_offset);
	store_le64(into + 56, (uint64_t)s->end_offset);
	store_le64(into + 64, (uint64_t)s->bytes);
	store_le32(into + 72, (uint32_t)s->leader_epoch);
	store_le32(into + 76, count);
}

static void index_encode(const struct segment_home *h, const struct segment *s,
                         const struct segment_index *x, struct buf *out)
{
	uint8_t header[HEADER_BYTES], mark[MARK_BYTES], crc[CRC_BYTES];

	header_encode(h, s, x->count, header);
	buf_append(out, header, sizeof(header));
	for (uint32_t i = 0; i < x->count; i++) {
		store_le64(mark, (uint64_t)x->marks[i].base_offset);
		store_le64(mark + 8, (uint64_t)x->marks[i].at);
		store_le64(mark + 16, (uint64_t)x->marks[i].bytes);
		store_le64(mark + 24, (uint64_t)x->marks[i].max_timestamp);
		buf_append(out, mark, sizeof(mark));
	}
	store_le32(crc, crc32c(0, out->ptr, out->len));
	buf_append(out, crc, sizeof(crc));
}

enum err segment_index_write(const struct segment_home *h, const struct segment *s,
                             const struct segment_index *x, struct fault *f)
{
	struct buf bytes = BUF_INIT(SEGMENT_INDEX_BYTES_MAX);
	char path[SEGMENT_PATH_BYTES];
	struct iovec iov;
	enum err err;
	int fd;

	CHECK(x->next_offset == s->end_offset);
	index_encode(h, s, x, &bytes);
	segment_index_path(h, s, path);
	if (bytes.failed)
		err = fault_set(f, ERR_TOO_LARGE, 0, "%s: %u marks", path, x->count);
	else {
		h->disk->ops->unlink(h->disk, path); /* what is there may have another name too */
		err = disk_open(h->disk, path, O_WRONLY | O_CREAT | O_TRUNC, &fd, f);
	}
	if (!err) {
		iov = (struct iovec){bytes.ptr, bytes.len};
		err = disk_write_all(h->disk, fd, &iov, 1, 0, path, f);
		h->disk->ops->close(h->disk, fd);
	}
	buf_fini(&bytes);
	return err;
}

/* Behind the mark before it: at once, or where the next block begins. */
static bool mark_ok(const struct segment_mark *m, const struct segment_mark *before)
{
	int64_t end = before->at + before->bytes;

	return m->base_offset > before->base_offset && m->bytes > 0 &&
	       (m->at == end || m->at == segment_block_round(end));
}

static bool marks_decode(const uint8_t *at, uint32_t count, const struct segment *s,
                         struct segment_index *out)
{
	struct segment_mark before = {s->base_offset - 1, SEGMENT_HEADER_BYTES, 0, 0};

	for (out->count = 0; out->count < count; out->count++, at += MARK_BYTES) {
		struct segment_mark m = {(int64_t)load_le64(at), (int64_t)load_le64(at + 8),
		                         (int64_t)load_le64(at + 16), (int64_t)load_le64(at + 24)};

		if (!mark_ok(&m, &before) || m.bytes > s->bytes - m.at)
			return false;
		out->marks[out->count] = m;
		before = m;
	}
	return out->marks[0].base_offset == s->base_offset && before.base_offset < s->end_offset &&
	       before.at + before.bytes == s->bytes;
}

static enum err index_decode(const struct segment_home *h, const struct segment *s,
                             struct slice bytes, struct segment_index *out, struct fault *f)
{
	uint8_t header[HEADER_BYTES];
	size_t count;

	if (bytes.len < HEADER_BYTES + MARK_BYTES + CRC_BYTES ||
	    (bytes.len - HEADER_BYTES - CRC_BYTES) % MARK_BYTES != 0)
		return fault_set(f, ERR_CORRUPT, 0, "an index of %zu bytes", bytes.len);
	count = (bytes.len - HEADER_BYTES - CRC_BYTES) / MARK_BYTES;
	header_encode(h, s, (uint32_t)count, header);
	if (memcmp(header, bytes.ptr, HEADER_BYTES) != 0)
		return fault_set(f, ERR_CORRUPT, 0,
		                 "an index of something else, or of another version");
	if (crc32c(0, bytes.ptr, bytes.len - CRC_BYTES) !=
	    load_le32((const uint8_t *)bytes.ptr + bytes.len - CRC_BYTES))
		return fault_set(f, ERR_CORRUPT, 0, "wrong checksum");
	*out = (struct segment_index){
		.cap = (uint32_t)count, .at = s->bytes, .next_offset = s->end_offset};
	out->marks = calloc(count, sizeof(*out->marks));
	if (!out->marks)
		return fault_set(f, ERR_NO_MEMORY, 0, "an index of %zu marks", count);
	if (marks_decode((const uint8_t *)bytes.ptr + HEADER_BYTES, (uint32_t)count, s, out))
		return OK;
	free(out->marks);
	return fault_set(f, ERR_CORRUPT, 0, "impossible marks");
}

enum err segment_index_read(const struct segment_home *h, const struct segment *s,
                            struct segment_index *x, struct fault *f)
{
	struct buf bytes = BUF_INIT(SEGMENT_INDEX_BYTES_MAX);
	char path[SEGMENT_PATH_BYTES];
	struct segment_index found;
	enum err err;

	segment_index_path(h, s, path);
	err = disk_read_file(h->disk, path, &bytes, f);
	if (!err)
		err = index_decode(h, s, buf_slice(&bytes), &found, f);
	buf_fini(&bytes);
	if (err)
		return err;
	segment_index_fini(x);
	*x = found;
	return OK;
}
