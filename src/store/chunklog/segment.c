#include "store/chunklog/segment.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "io/disk.h"
#include "store/chunklog/segment_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	FORMAT_VERSION = 1,
	CRC_AT = SEGMENT_HEADER_BYTES - 4,
	BASE_DIGITS = 20,
	LOAD_BYTES = 1 << 20, /* read at once by a load */
	RUN_BYTES = 1 << 20,  /* a write's */
};

#define UNFINISHED "seg.new"

static const char magic[8] = "bournseg";

/* --- names ------------------------------------------------------------------------------------ */

static void topic_dir(const struct segment_home *h, char into[SEGMENT_PATH_BYTES])
{
	char topic[UUID_TEXT_LEN + 1];

	snprintf(into, SEGMENT_PATH_BYTES, "%s/topics/%s", h->root, uuid_format(h->topic, topic));
}

void segment_dir(const struct segment_home *h, char into[SEGMENT_PATH_BYTES])
{
	char topic[UUID_TEXT_LEN + 1];

	snprintf(into, SEGMENT_PATH_BYTES, "%s/topics/%s/%u", h->root, uuid_format(h->topic, topic),
	         h->partition);
}

static void file_path(const struct segment_home *h, const struct segment *s, const char *suffix,
                      char into[SEGMENT_PATH_BYTES])
{
	char topic[UUID_TEXT_LEN + 1], generation[16] = "";

	if (s->generation > 0)
		snprintf(generation, sizeof(generation), "-%u", s->generation);
	snprintf(into, SEGMENT_PATH_BYTES, "%s/topics/%s/%u/%0*lld%s.%s", h->root,
	         uuid_format(h->topic, topic), h->partition, BASE_DIGITS, (long long)s->base_offset,
	         generation, suffix);
}

void segment_path(const struct segment_home *h, const struct segment *s,
                  char into[SEGMENT_PATH_BYTES])
{
	file_path(h, s, "seg", into);
}

void segment_unfinished_path(const struct segment_home *h, const struct segment *s,
                             char into[SEGMENT_PATH_BYTES])
{
	file_path(h, s, UNFINISHED, into);
}

void segment_index_path(const struct segment_home *h, const struct segment *s,
                        char into[SEGMENT_PATH_BYTES])
{
	file_path(h, s, "idx", into);
}

enum err segment_make_dir(const struct segment_home *h, struct fault *f)
{
	char path[SEGMENT_PATH_BYTES];
	enum err err;

	topic_dir(h, path);
	err = disk_make_dir(h->disk, path, f);
	if (err)
		return err;
	segment_dir(h, path);
	return disk_make_dir(h->disk, path, f);
}

enum err segment_sync_dir(const struct segment_home *h, struct fault *f)
{
	char path[SEGMENT_PATH_BYTES];

	segment_dir(h, path);
	return disk_sync_dir(h->disk, path, f);
}

enum err segment_sync_topic_dir(const struct segment_home *h, struct fault *f)
{
	char path[SEGMENT_PATH_BYTES];

	topic_dir(h, path);
	return disk_sync_dir(h->disk, path, f);
}

/* --- the header ------------------------------------------------------------------------------- */

void segment_header_encode(const struct segment_home *h, const struct segment *s, uint8_t *into)
{
	memset(into, 0, SEGMENT_HEADER_BYTES);
	memcpy(into, magic, sizeof(magic));
	store_le32(into + 8, FORMAT_VERSION);
	store_le32(into + 12, h->partition);
	memcpy(into + 16, h->store_id->bytes, 16);
	memcpy(into + 32, h->topic->bytes, 16);
	store_le64(into + 48, (uint64_t)s->base_offset);
	store_le32(into + 56, (uint32_t)s->leader_epoch);
	store_le32(into + 60, s->generation);
	store_le32(into + CRC_AT, crc32c(0, into, CRC_AT));
}

static enum err header_check(const struct segment_home *h, const uint8_t *at, struct segment *s,
                             const char *path, struct fault *f)
{
	if (crc32c(0, at, CRC_AT) != load_le32(at + CRC_AT) || memcmp(at, magic, 8) != 0 ||
	    load_le32(at + 8) != FORMAT_VERSION)
		return fault_set(f, ERR_CORRUPT, 0, "%s: bad header", path);
	if (load_le32(at + 12) != h->partition || memcmp(at + 16, h->store_id->bytes, 16) != 0 ||
	    memcmp(at + 32, h->topic->bytes, 16) != 0 ||
	    load_le64(at + 48) != (uint64_t)s->base_offset || load_le32(at + 60) != s->generation)
		return fault_set(f, ERR_CORRUPT, 0, "%s: it is of another partition", path);
	s->leader_epoch = (int32_t)load_le32(at + 56);
	return OK;
}

/* --- times ------------------------------------------------------------------------------------ */

struct segment segment_new(int64_t base_offset, int32_t leader_epoch, int64_t created_ms)
{
	return (struct segment){
		.base_offset = base_offset,
		.end_offset = base_offset,
		.leader_epoch = leader_epoch,
		.created_ms = created_ms,
		.min_timestamp = INT64_MAX,
		.max_timestamp = INT64_MIN,
	};
}

static void time_batch(struct segment *s, const struct batch *b)
{
	int64_t begins =
		b->attributes & BATCH_DELETE_HORIZON ? b->max_timestamp : b->base_timestamp;

	if (begins < s->min_timestamp)
		s->min_timestamp = begins;
	if (b->max_timestamp > s->max_timestamp)
		s->max_timestamp = b->max_timestamp;
}

void segment_note_times(struct segment *s, struct slice rest)
{
	while (rest.len > 0) {
		struct batch b;
		enum err err = batch_parse(rest, &b, NULL);

		CHECK(err == OK);
		time_batch(s, &b);
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
}

/* --- writing ---------------------------------------------------------------------------------- */

/* What is appended, and to which file. */
struct run {
	const struct segment_home *home;
	const char *path;
	int fd;
	int64_t at; /* byte in the file at which the batches begin */
	const uint8_t
		*header; /* of a new file, SEGMENT_HEADER_BYTES before them; NULL: it has one */
	const struct iovec *iov; /* the batches */
	int count;
	size_t bytes;
};

/* Bytes on their way past the page cache, in whole blocks. */
struct blocks {
	const struct run *run;
	int64_t at;      /* in the file, of the buffer's first byte */
	uint8_t *buffer; /* owned, on a block boundary as O_DIRECT wants it */
	size_t len;
	size_t cap;
};

/* Zeros fill up the last block. */
static enum err blocks_flush(struct blocks *b, struct fault *f)
{
	struct iovec iov = {b->buffer, (size_t)segment_block_round((int64_t)b->len)};
	int64_t at = b->at;

	memset(b->buffer + b->len, 0, iov.iov_len - b->len);
	b->at += (int64_t)iov.iov_len;
	b->len = 0;
	return disk_write_all(b->run->home->disk, b->run->fd, &iov, 1, at, b->run->path, f);
}

static enum err blocks_put(struct blocks *b, const uint8_t *bytes, size_t len, struct fault *f)
{
	enum err err = OK;

	while (len > 0 && !err) {
		size_t part = len < b->cap - b->len ? len : b->cap - b->len;

		memcpy(b->buffer + b->len, bytes, part);
		b->len += part;
		bytes += part;
		len -= part;
		if (b->len == b->cap)
			err = blocks_flush(b, f);
	}
	return err;
}

static enum err write_direct(const struct run *r, struct fault *f)
{
	struct blocks b = {
		.run = r,
		.at = r->header ? 0 : r->at,
		.cap = r->bytes < RUN_BYTES ? (size_t)segment_block_round((int64_t)r->bytes)
	                                    : RUN_BYTES,
	};
	enum err err = OK;

	b.buffer = aligned_alloc(SEGMENT_BLOCK_BYTES, b.cap);
	if (!b.buffer)
		return fault_set(f, ERR_NO_MEMORY, 0, "%zu bytes to write %s", b.cap, r->path);
	if (r->header)
		err = blocks_put(&b, r->header, SEGMENT_HEADER_BYTES, f);
	for (int i = 0; i < r->count && !err; i++)
		err = blocks_put(&b, r->iov[i].iov_base, r->iov[i].iov_len, f);
	if (!err && b.len > 0)
		err = blocks_flush(&b, f);
	free(b.buffer);
	return err;
}

static enum err write_cached(const struct run *r, struct fault *f)
{
	struct disk *disk = r->home->disk;
	struct iovec header = {(void *)(uintptr_t)r->header, SEGMENT_HEADER_BYTES};
	enum err err = r->header ? disk_write_all(disk, r->fd, &header, 1, 0, r->path, f) : OK;

	return err ? err : disk_write_all(disk, r->fd, r->iov, r->count, r->at, r->path, f);
}

/* The file then ends with the last byte of the batches. */
static enum err run_write(struct run *r, int flags, struct fault *f)
{
	struct disk *disk = r->home->disk;
	enum err err;
	int got;

	err = disk_open(disk, r->path, flags | O_WRONLY | O_CREAT | (r->header ? O_TRUNC : 0),
	                &r->fd, f);
	if (err)
		return err;
	err = flags & O_DIRECT ? write_direct(r, f) : write_cached(r, f);
	if (!err) {
		got = disk->ops->truncate(disk, r->fd, r->at + (int64_t)r->bytes);
		if (got < 0)
			err = fault_set(f, ERR_IO, -got, "truncate %s", r->path);
	}
	if (err) /* what it wrote is nothing yet: so is an error of writing it back */
		disk->ops->close(disk, r->fd);
	return err;
}

int64_t segment_next_at(const struct segment *s)
{
	return s->bytes == 0 ? SEGMENT_HEADER_BYTES : segment_block_round(s->bytes);
}

static enum err remove_file(struct disk *disk, const char *path, struct fault *f)
{
	int got = disk->ops->unlink(disk, path);

	if (got < 0 && got != -ENOENT)
		return fault_set(f, ERR_IO, -got, "unlink %s", path);
	return OK;
}

enum err segment_append(const struct segment_home *h, struct segment *s, bool direct,
                        const struct iovec *iov, int count, int64_t end_offset, int *fd,
                        struct fault *f)
{
	uint8_t header[SEGMENT_HEADER_BYTES];
	char path[SEGMENT_PATH_BYTES];
	struct run r = {
		.home = h, .path = path, .at = segment_next_at(s), .iov = iov, .count = count};
	enum err err = OK;

	CHECK(end_offset > s->end_offset);
	for (int i = 0; i < count; i++)
		r.bytes += iov[i].iov_len;
	segment_path(h, s, path);
	if (s->bytes == 0) {
		segment_header_encode(h, s, header);
		r.header = header;
		err = remove_file(h->disk, path,
		                  f); /* left over; under another name it may count */
	}
	if (!err)
		err = run_write(&r, direct ? O_DIRECT : 0, f);
	if (err && direct && f->os_errno == EINVAL) /* a file system that knows no O_DIRECT */
		err = run_write(&r, 0, f);
	if (err)
		return err;
	for (int i = 0; i < count; i++)
		segment_note_times(s, slice_of(iov[i].iov_base, iov[i].iov_len));
	s->bytes = r.at + (int64_t)r.bytes;
	s->end_offset = end_offset;
	*fd = r.fd;
	return OK;
}

bool segment_is_shared(const struct segment_home *h, const struct segment *s)
{
	char path[SEGMENT_PATH_BYTES];
	int fd, links;

	segment_path(h, s, path);
	fd = h->disk->ops->open(h->disk, path, O_RDONLY);
	if (fd < 0)
		return false;
	links = h->disk->ops->links(h->disk, fd);
	h->disk->ops->close(h->disk, fd);
	return links != 1;
}

enum err segment_remove(const struct segment_home *h, const struct segment *s, struct fault *f)
{
	char path[SEGMENT_PATH_BYTES];
	enum err err;

	segment_index_path(h, s, path);
	err = remove_file(h->disk, path, f);
	if (err)
		return err;
	segment_path(h, s, path);
	return remove_file(h->disk, path, f);
}

/* --- reading ---------------------------------------------------------------------------------- */

enum err segment_open(const struct segment_home *h, struct segment *s, int *fd, int64_t *size,
                      struct fault *f)
{
	uint8_t header[SEGMENT_HEADER_BYTES];
	char path[SEGMENT_PATH_BYTES];
	enum err err;

	segment_path(h, s, path);
	err = disk_open(h->disk, path, O_RDONLY, fd, f);
	if (err)
		return err;
	*size = h->disk->ops->size(h->disk, *fd);
	if (*size < 0)
		err = fault_set(f, ERR_IO, (int)-*size, "measure %s", path);
	if (!err)
		err = disk_read_all(h->disk, *fd, header, sizeof(header), 0, path, f);
	if (!err)
		err = header_check(h, header, s, path, f);
	if (err)
		h->disk->ops->close(h->disk, *fd);
	return err;
}

static enum err load_all(struct segment_reader *r, struct segment *s, int64_t end_offset,
                         segment_batch_cb *each, void *arg, struct fault *f)
{
	enum err err = OK;

	while (r->at < r->end && r->next_offset < end_offset && !err) {
		struct batch b;

		err = segment_reader_next(r, &b, f);
		if (err)
			break;
		time_batch(s, &b);
		each(arg, b.bytes, s->leader_epoch, (size_t)(r->end - r->at));
	}
	s->end_offset = r->next_offset;
	s->bytes = r->at;
	return err;
}

enum err segment_load(const struct segment_home *h, struct segment *s, segment_batch_cb *each,
                      void *arg, struct fault *f)
{
	char path[SEGMENT_PATH_BYTES];
	struct segment asked = *s;
	struct segment_reader r;
	bool cut_off = false;
	int64_t size;
	enum err err;
	int fd;

	segment_path(h, s, path);
	*s = segment_new(asked.base_offset, asked.leader_epoch, asked.created_ms);
	s->generation = asked.generation;
	s->bytes = SEGMENT_HEADER_BYTES;
	err = segment_open(h, s, &fd, &size, f);
	if (err)
		return err;
	if (asked.bytes > size) {
		cut_off = asked.bytes != INT64_MAX;
		asked.bytes = size;
	}
	(void)h->disk->ops->will_read(h->disk, fd, 0, asked.bytes);
	segment_reader_init(&r, h->disk, fd, path, LOAD_BYTES);
	segment_reader_place(&r, SEGMENT_HEADER_BYTES, s->base_offset, asked.bytes);
	err = load_all(&r, s, asked.end_offset, each, arg, f);
	segment_reader_fini(&r);
	h->disk->ops->close(h->disk, fd);
	if (!err && cut_off)
		err = fault_set(f, ERR_CORRUPT, 0, "%s is cut off at byte %lld", path,
		                (long long)size);
	return err;
}

static void ignore_batch(void *arg __attribute__((unused)),
                         struct slice batch __attribute__((unused)),
                         int32_t leader_epoch __attribute__((unused)),
                         size_t more_bytes __attribute__((unused)))
{
}

enum err segment_check(const struct segment_home *h, struct segment *s, struct fault *f)
{
	return segment_load(h, s, ignore_batch, NULL, f);
}

/* --- listing ---------------------------------------------------------------------------------- */

struct listing {
	bool all;              /* also what is not finished: … */
	struct segment *found; /* … bytes < 0 */
	size_t count;
	size_t cap;
};

/* What file_path() made. */
static bool name_parse(struct slice name, struct segment *s)
{
	struct slice stem = slice_cut(&name, '.'), base = slice_cut(&stem, '-');
	int64_t generation = 0;

	s->bytes = slice_eq(name, SLICE_LIT(UNFINISHED)) ? -1 : 0;
	if ((s->bytes == 0 && !slice_eq(name, SLICE_LIT("seg"))) || base.len != BASE_DIGITS ||
	    !slice_to_int64(base, &s->base_offset) || s->base_offset < 0)
		return false;
	if (stem.len > 0 &&
	    (!slice_to_int64(stem, &generation) || generation <= 0 || generation > UINT32_MAX))
		return false;
	s->generation = (uint32_t)generation;
	return true;
}

static int list_segment(void *arg, const char *name)
{
	struct listing *l = arg;
	struct segment s = {0};

	if (!name_parse(slice_str(name), &s) || (s.bytes < 0 && !l->all))
		return 0;
	if (l->count == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 16;
		l->found = reallocarray(l->found, l->cap, sizeof(*l->found));
		CHECK(l->found);
	}
	l->found[l->count++] = s;
	return 0;
}

static int segment_compare(const void *a, const void *b)
{
	const struct segment *left = a, *right = b;

	if (left->base_offset != right->base_offset)
		return left->base_offset > right->base_offset ? 1 : -1;
	return (left->generation < right->generation) - (left->generation > right->generation);
}

static enum err list_files(const struct segment_home *h, bool all, struct segment **found,
                           size_t *count, struct fault *f)
{
	struct listing l = {.all = all};
	char path[SEGMENT_PATH_BYTES];
	int got;

	segment_dir(h, path);
	got = h->disk->ops->list(h->disk, path, list_segment, &l);
	if (got < 0 && got != -ENOENT) {
		free(l.found);
		return fault_set(f, ERR_IO, -got, "list %s", path);
	}
	if (l.count > 1)
		qsort(l.found, l.count, sizeof(*l.found), segment_compare);
	*found = l.found;
	*count = l.count;
	return OK;
}

enum err segment_list(const struct segment_home *h, struct segment **found, size_t *count,
                      struct fault *f)
{
	return list_files(h, false, found, count, f);
}

bool segment_counts(struct segment *found, size_t count, size_t i, int64_t reached)
{
	struct segment *s = &found[i];

	if (s->base_offset < reached)
		return false;
	s->bytes = INT64_MAX;
	s->end_offset = INT64_MAX;
	if (s->generation == 0 && i + 1 < count)
		s->end_offset = found[i + 1].base_offset;
	return true;
}

/* --- tidying ------------------------------------------------------------------------- */

static enum err cut(const struct segment_home *h, const struct segment *s, struct fault *f)
{
	char path[SEGMENT_PATH_BYTES];
	enum err err;
	int fd;

	segment_path(h, s, path);
	err = disk_open(h->disk, path, O_RDWR, &fd, f);
	if (err)
		return OK; /* it is missing or unreadable: that was said when it was loaded */
	if (h->disk->ops->size(h->disk, fd) > s->bytes)
		err = disk_cut(h->disk, fd, path, s->bytes, f);
	h->disk->ops->close(h->disk, fd);
	return err;
}

static enum err tidy_file(const struct segment_home *h, const struct segment *known, uint32_t count,
                          const struct segment *s, struct fault *f)
{
	char path[SEGMENT_PATH_BYTES];

	if (s->bytes < 0) {
		segment_unfinished_path(h, s, path);
		return remove_file(h->disk, path, f);
	}
	for (uint32_t i = 0; i < count; i++)
		if (segment_same(&known[i], s))
			return cut(h, &known[i], f);
	return segment_remove(h, s, f);
}

enum err segment_tidy(const struct segment_home *h, const struct segment *known, uint32_t count,
                      struct fault *f)
{
	struct segment *found;
	size_t found_count;
	enum err err = list_files(h, true, &found, &found_count, f);

	if (err)
		return err;
	for (size_t i = 0; i < found_count && !err; i++)
		err = tidy_file(h, known, count, &found[i], f);
	free(found);
	return err;
}
