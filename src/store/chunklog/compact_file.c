#include "store/chunklog/compact_file.h"

#include "base/check.h"
#include "io/disk.h"
#include "store/chunklog/segment_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

enum { BUFFER_BYTES = 1 << 20 };
_Static_assert(BUFFER_BYTES % SEGMENT_BLOCK_BYTES == 0, "whole blocks");

static void close_file(struct compact_file *c)
{
	c->home.disk->ops->close(c->home.disk, c->fd);
	segment_index_fini(&c->index);
	free(c->buffer);
	c->buffer = NULL;
}

enum err compact_file_open(struct compact_file *c, const struct segment_home *h,
                           const struct segment *s, struct fault *f)
{
	const int flags = O_WRONLY | O_CREAT | O_TRUNC;
	enum err err;

	*c = (struct compact_file){.home = *h, .segment = *s};
	segment_unfinished_path(h, s, c->path);
	err = disk_open(h->disk, c->path, flags | O_DIRECT, &c->fd, f);
	if (err && f->os_errno == EINVAL) /* a file system that knows no O_DIRECT */
		err = disk_open(h->disk, c->path, flags, &c->fd, f);
	if (err)
		return err;
	segment_index_init(&c->index, s->base_offset, SEGMENT_HEADER_BYTES);
	c->buffer = aligned_alloc(SEGMENT_BLOCK_BYTES, BUFFER_BYTES);
	if (!c->buffer) {
		close_file(c);
		return fault_set(f, ERR_NO_MEMORY, 0, "%d bytes to write %s", BUFFER_BYTES,
		                 c->path);
	}
	segment_header_encode(h, s, c->buffer);
	c->len = SEGMENT_HEADER_BYTES;
	c->segment.bytes = SEGMENT_HEADER_BYTES;
	return OK;
}

/* Zeros fill up the last block. */
static enum err flush(struct compact_file *c, struct fault *f)
{
	struct iovec iov = {c->buffer, (size_t)segment_block_round((int64_t)c->len)};
	enum err err;

	memset(c->buffer + c->len, 0, iov.iov_len - c->len);
	err = disk_write_all(c->home.disk, c->fd, &iov, 1, c->at, c->path, f);
	c->at += (int64_t)iov.iov_len;
	c->len = 0;
	return err;
}

enum err compact_file_put(struct compact_file *c, struct slice batches, int64_t end_offset,
                          struct fault *f)
{
	struct iovec iov = {(void *)(uintptr_t)batches.ptr, batches.len};
	enum err err = OK;

	segment_note_times(&c->segment, batches);
	segment_index_add_run(&c->index, &iov, 1);
	c->segment.bytes += (int64_t)batches.len;
	c->segment.end_offset = end_offset;
	CHECK(c->index.at == c->segment.bytes);
	CHECK(c->index.next_offset == end_offset);
	while (batches.len > 0 && !err) {
		size_t room = BUFFER_BYTES - c->len;
		size_t part = batches.len < room ? batches.len : room;

		memcpy(c->buffer + c->len, batches.ptr, part);
		c->len += part;
		batches = slice_of(batches.ptr + part, batches.len - part);
		if (c->len == BUFFER_BYTES)
			err = flush(c, f);
	}
	return err;
}

static enum err flush_all(struct compact_file *c, struct fault *f)
{
	struct disk *disk = c->home.disk;
	enum err err = c->len > 0 ? flush(c, f) : OK;
	int got;

	if (err)
		return err;
	got = disk->ops->truncate(disk, c->fd, c->segment.bytes);
	if (got < 0)
		return fault_set(f, ERR_IO, -got, "truncate %s", c->path);
	return disk_sync(disk, c->fd, c->path, f);
}

enum err compact_file_finish(struct compact_file *c, struct fault *f)
{
	char name[SEGMENT_PATH_BYTES];
	struct fault unused;
	enum err err = flush_all(c, f);

	segment_path(&c->home, &c->segment, name);
	if (!err)
		err = disk_rename(c->home.disk, c->path, name, f);
	if (err)
		return err;
	memcpy(c->path, name, sizeof(name));
	err = segment_sync_dir(&c->home, f);
	if (err)
		return err;
	(void)!segment_index_write(&c->home, &c->segment, &c->index, &unused);
	close_file(c);
	return OK;
}

void compact_file_drop(struct compact_file *c)
{
	if (!c->buffer)
		return;
	close_file(c);
	c->home.disk->ops->unlink(c->home.disk, c->path);
}
