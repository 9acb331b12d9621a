#include "store/rocksdb/wal_mark.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "io/disk.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	BLOCK_BYTES = 32 << 10,
	HEAD_BYTES = 7, /* of a fragment */
	KIND_WHOLE = 1,
	KIND_FIRST = 2,
	KIND_LAST = 4,
	RECORD_HEAD_BYTES = 12,
	TAG_BLOB = 3,
	MARK_AT = RECORD_HEAD_BYTES + 2,
	PATH_BYTES = 4096,
};

struct reading {
	struct disk *disk;
	const char *dir;
	const struct uuid *store;
	struct wal_marks *found;
	struct fault *fault;
	bool is_damaged; /* the file, further up */
	uint8_t block[BLOCK_BYTES];
};

void wal_mark_encode(const struct uuid *store, uint64_t number, uint8_t into[WAL_MARK_BYTES])
{
	memcpy(into, store->bytes, sizeof(store->bytes));
	store_le64(into + sizeof(store->bytes), number);
}

/* --- a block --------------------------------------------------------------------------------- */

static uint32_t masked(uint32_t crc)
{
	return ((crc >> 15) | (crc << 17)) + 0xa282ead8;
}

/* Bytes of the fragment at the front of `rest`; 0: there is none that is whole. */
static size_t fragment_bytes(struct slice rest)
{
	size_t len;

	if (rest.len < HEAD_BYTES || rest.ptr[6] < KIND_WHOLE || rest.ptr[6] > KIND_LAST)
		return 0;
	len = load_le16(rest.ptr + 4);
	if (len > rest.len - HEAD_BYTES)
		return 0;
	if (load_le32(rest.ptr) != masked(crc32c(0, rest.ptr + 6, len + 1)))
		return 0;
	return HEAD_BYTES + len;
}

static void look_at_record(struct reading *r, struct slice front)
{
	const struct uuid *store = r->store;
	uint64_t last, flushed;

	if (front.len < RECORD_HEAD_BYTES)
		return;
	last = load_le64(front.ptr) + load_le32(front.ptr + 8) - 1;
	if (last > r->found->last)
		r->found->last = last;
	if (front.len < MARK_AT + WAL_MARK_BYTES || front.ptr[RECORD_HEAD_BYTES] != TAG_BLOB ||
	    front.ptr[RECORD_HEAD_BYTES + 1] != WAL_MARK_BYTES ||
	    memcmp(front.ptr + MARK_AT, store->bytes, sizeof(store->bytes)) != 0)
		return;
	flushed = load_le64(front.ptr + MARK_AT + sizeof(store->bytes));
	if (flushed > r->found->flushed)
		r->found->flushed = flushed;
}

/* After damage the next fragment may begin anywhere. */
static void look_at_block(struct reading *r, struct slice rest)
{
	while (rest.len > 0) {
		size_t len = fragment_bytes(rest);

		r->found->goes_on = r->found->goes_on || (len && r->is_damaged);
		r->is_damaged = r->is_damaged || (!len && rest.len >= HEAD_BYTES);
		if (len && (rest.ptr[6] == KIND_WHOLE || rest.ptr[6] == KIND_FIRST))
			look_at_record(r, slice_of(rest.ptr + HEAD_BYTES, len - HEAD_BYTES));
		len = len ? len : 1;
		rest = slice_of(rest.ptr + len, rest.len - len);
	}
}

/* --- files ----------------------------------------------------------------------------------- */

static bool is_wal(const char *name)
{
	size_t len = strlen(name);

	return len > 4 && strcmp(name + len - 4, ".log") == 0;
}

static enum err read_block(struct reading *r, int fd, int64_t at, size_t *len)
{
	*len = 0;
	while (*len < BLOCK_BYTES) {
		ssize_t got = r->disk->ops->pread(r->disk, fd, r->block + *len, BLOCK_BYTES - *len,
		                                  at + (int64_t)*len);

		if (got < 0)
			return fault_set(r->fault, ERR_IO, (int)-got, "reading the WAL in %s",
			                 r->dir);
		if (got == 0)
			return OK;
		*len += (size_t)got;
	}
	return OK;
}

static int read_file(void *arg, const char *name)
{
	struct reading *r = arg;
	char path[PATH_BYTES];
	enum err err;
	int fd;
	size_t len = BLOCK_BYTES;

	if (!is_wal(name))
		return 0;
	snprintf(path, sizeof(path), "%s/%s", r->dir, name);
	err = disk_open(r->disk, path, O_RDONLY, &fd, r->fault);
	if (err)
		return -1;
	r->is_damaged = false;
	for (int64_t at = 0; !err && len == BLOCK_BYTES; at += BLOCK_BYTES) {
		err = read_block(r, fd, at, &len);
		if (!err)
			look_at_block(r, slice_of(r->block, len));
	}
	r->disk->ops->close(r->disk, fd);
	return err ? -1 : 0;
}

enum err wal_marks_read(struct disk *disk, const char *dir, const struct uuid *store,
                        struct wal_marks *out, struct fault *f)
{
	struct reading *r = calloc(1, sizeof(*r));
	struct fault why = {0};
	int listed;

	if (!r)
		return fault_set(f, ERR_NO_MEMORY, 0, "reading %s", dir);
	*out = (struct wal_marks){0};
	*r = (struct reading){
		.disk = disk, .dir = dir, .store = store, .found = out, .fault = &why};
	listed = disk->ops->list(disk, dir, read_file, r);
	free(r);
	if (why.code) {
		*f = why;
		return why.code;
	}
	return listed < 0 ? fault_set(f, ERR_IO, -listed, "reading %s", dir) : OK;
}

static int count(void *arg, const char *name)
{
	unsigned *files = arg;

	*files += is_wal(name);
	return 0;
}

unsigned wal_file_count(struct disk *disk, const char *dir)
{
	unsigned files = 0;

	return disk->ops->list(disk, dir, count, &files) < 0 ? UINT_MAX : files;
}
