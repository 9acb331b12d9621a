#include "store/wal_cursor.h"

#include "base/check.h"
#include "base/crc32c.h"
#include "io/disk.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { WINDOW_BYTES = 1 << 20 };

void wal_cursor_init(struct wal_cursor *c, const struct wal_config *config,
                     struct wal_found_file *files, size_t file_count, size_t file)
{
	*c = (struct wal_cursor){
		.config = config,
		.files = files,
		.file_count = file_count,
		.file = file,
		.asked = file,
		.fd = -1,
	};
}

static void file_path(const struct wal_cursor *c, size_t file, char path[PATH_MAX])
{
	char name[WAL_NAME_BYTES_MAX];

	snprintf(path, PATH_MAX, "%s/%s", c->config->dir, wal_name(c->files[file].number, name));
}

static void ask_for(const struct wal_cursor *c, size_t file)
{
	struct disk *disk = c->config->disk;
	struct fault unused;
	char path[PATH_MAX];
	int fd;

	file_path(c, file, path);
	if (disk_open(disk, path, O_RDONLY, &fd, &unused))
		return; /* whoever reads it will hear why */
	(void)disk->ops->will_read(disk, fd, 0, c->files[file].size);
	disk->ops->close(disk, fd);
}

/* For this file and the next: so the disk never waits until what it gave was checked. */
static void ask_ahead(struct wal_cursor *c)
{
	for (; c->asked < c->file_count && c->asked <= c->file + 1; c->asked++)
		ask_for(c, c->asked);
}

static enum err cursor_open(struct wal_cursor *c, struct fault *f)
{
	char path[PATH_MAX];

	CHECK(c->fd < 0);
	ask_ahead(c);
	file_path(c, c->file, path);
	c->window_len = 0;
	return disk_open(c->config->disk, path, O_RDONLY, &c->fd, f);
}

static void cursor_close(struct wal_cursor *c)
{
	if (c->fd >= 0)
		c->config->disk->ops->close(c->config->disk, c->fd);
	c->fd = -1;
}

enum err wal_cursor_fork(struct wal_cursor *c, const struct wal_cursor *from, struct fault *f)
{
	*c = *from;
	c->fd = -1;
	c->window = NULL;
	c->window_cap = 0;
	c->window_len = 0;
	if (from->fd < 0)
		return OK;
	return cursor_open(c, f);
}

void wal_cursor_fini(struct wal_cursor *c)
{
	cursor_close(c);
	free(c->window);
	c->window = NULL;
}

static enum err window_reserve(struct wal_cursor *c, size_t len, struct fault *f)
{
	uint8_t *window;

	if (len <= c->window_cap)
		return OK;
	window = realloc(c->window, len);
	if (!window)
		return fault_set(f, ERR_NO_MEMORY, 0, "wal recover: a frame of %zu bytes", len);
	c->window = window;
	c->window_cap = len;
	return OK;
}

/* The window begins at `at`; what it has from there on stays. */
static void window_move(struct wal_cursor *c, int64_t at)
{
	int64_t skip = at - c->window_at;
	bool held = skip >= 0 && skip < (int64_t)c->window_len;

	if (held)
		memmove(c->window, c->window + skip, c->window_len - (size_t)skip);
	c->window_len = held ? c->window_len - (size_t)skip : 0;
	c->window_at = at;
}

/* Borrow `len` bytes at `at`, which the file has. */
static enum err cursor_view(struct wal_cursor *c, int64_t at, size_t len, const uint8_t **out,
                            struct fault *f)
{
	int64_t left = c->files[c->file].size - at;
	size_t want = len > WINDOW_BYTES ? len : WINDOW_BYTES;
	char path[PATH_MAX];
	enum err err;

	CHECK((int64_t)len <= left);
	if (at >= c->window_at && at - c->window_at + (int64_t)len <= (int64_t)c->window_len) {
		*out = c->window + (at - c->window_at);
		return OK;
	}
	if ((int64_t)want > left)
		want = (size_t)left;
	window_move(c, at);
	err = window_reserve(c, want, f);
	if (err)
		return err;
	file_path(c, c->file, path);
	err = disk_read_all(c->config->disk, c->fd, c->window + c->window_len, want - c->window_len,
	                    at + (int64_t)c->window_len, path, f);
	if (err)
		return err;
	c->window_len = want;
	*out = c->window;
	return OK;
}

static void note_trace(struct wal_cursor *c, int64_t end)
{
	struct wal_found_file *file = &c->files[c->file];

	if (end > file->size)
		end = file->size;
	if (end > file->trace_end)
		file->trace_end = end;
}

/* A frame seems to begin at c->at. `item` stays END when it does not. */
static enum err cursor_try(struct wal_cursor *c, const uint8_t *bytes, uint64_t unseen,
                           struct wal_item *item, struct fault *f)
{
	int64_t size = c->files[c->file].size;
	struct wal_frame_header header;
	size_t payload_len;
	enum err err;

	if (!wal_frame_header_decode(bytes, &header)) {
		if (c->generation_known)
			note_trace(c, c->at + WAL_FRAME_HEADER_BYTES);
		return OK;
	}
	if (!c->generation_known && header.frame.sequence < unseen)
		return OK;
	c->generation_known = true;
	c->generation = header.generation;
	payload_len = header.frame.payload.len;
	item->kind = WAL_ITEM_DAMAGED;
	item->file = c->file;
	item->at = c->at;
	item->end = c->at + wal_frame_bytes(payload_len);
	item->frame = header.frame;
	item->frame.file = c->files[c->file].number;
	item->frame.at = c->at;
	note_trace(c, item->end);
	if (c->at + WAL_FRAME_HEADER_BYTES + (int64_t)payload_len > size)
		return OK;
	err = cursor_view(c, c->at, WAL_FRAME_HEADER_BYTES + payload_len, &bytes, f);
	if (err)
		return err;
	item->frame.payload = slice_of(bytes + WAL_FRAME_HEADER_BYTES, payload_len);
	if (crc32c(0, item->frame.payload.ptr, payload_len) == header.payload_crc)
		item->kind = WAL_ITEM_FRAME;
	return OK;
}

/* On to the next place in the window that looks like a frame's beginning, or to its end: most of a
 * scan is over zeros that were written ahead of use. */
static void cursor_step(struct wal_cursor *c)
{
	int64_t window_end = c->window_at + (int64_t)c->window_len;

	c->at += 8;
	if (c->at < window_end)
		c->at += (int64_t)wal_frame_search(c->window + (c->at - c->window_at),
		                                   (size_t)(window_end - c->at));
}

/* The next item in the open file; END when there is none. */
static enum err cursor_search(struct wal_cursor *c, uint64_t unseen, struct wal_item *item,
                              struct fault *f)
{
	int64_t size = c->files[c->file].size;
	const uint8_t *bytes;
	enum err err;

	for (; c->at + WAL_FRAME_HEADER_BYTES <= size; cursor_step(c)) {
		err = cursor_view(c, c->at, WAL_FRAME_HEADER_BYTES, &bytes, f);
		if (err)
			return err;
		if (!wal_frame_begins(bytes, c->generation_known ? &c->generation : NULL))
			continue;
		err = cursor_try(c, bytes, unseen, item, f);
		if (err)
			return err;
		if (item->kind != WAL_ITEM_END) {
			c->at = item->end;
			return OK;
		}
	}
	return OK;
}

static enum err cursor_begin_file(struct wal_cursor *c, struct wal_item *item, struct fault *f)
{
	const struct wal_found_file *file = &c->files[c->file];
	enum err err;

	err = cursor_open(c, f);
	if (err)
		return err;
	c->at = WAL_BLOCK_BYTES;
	c->generation_known = file->header_good;
	c->generation = file->generation;
	if (file->header_good) {
		item->kind = WAL_ITEM_FILE;
		item->file = c->file;
		item->end = WAL_BLOCK_BYTES;
	}
	return OK;
}

enum err wal_cursor_next(struct wal_cursor *c, uint64_t unseen, struct wal_item *item,
                         struct fault *f)
{
	enum err err;

	*item = (struct wal_item){.kind = WAL_ITEM_END, .file = c->file_count};
	while (c->file < c->file_count) {
		if (c->fd < 0)
			err = cursor_begin_file(c, item, f);
		else
			err = cursor_search(c, unseen, item, f);
		if (err || item->kind != WAL_ITEM_END)
			return err;
		if (c->at + WAL_FRAME_HEADER_BYTES > c->files[c->file].size) {
			cursor_close(c);
			c->file++;
		}
	}
	return OK;
}
