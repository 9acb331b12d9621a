#include "store/chunklog/segment_reader.h"

#include "base/check.h"
#include "base/endian.h"
#include "io/disk.h"
#include "store/chunk.h"
#include "store/wal.h"

#include <stdlib.h>

void segment_reader_init(struct segment_reader *r, struct disk *disk, int fd, const char *path,
                         size_t window)
{
	*r = (struct segment_reader){.disk = disk, .fd = fd, .path = path, .window = window};
}

void segment_reader_fini(struct segment_reader *r)
{
	free(r->buffer);
}

void segment_reader_place(struct segment_reader *r, int64_t at, int64_t offset, int64_t end)
{
	r->at = at;
	r->next_offset = offset;
	r->end = end;
	r->skip = r->kept_at + r->kept;
	r->have = r->skip;
}

static enum err corrupt(const struct segment_reader *r, const char *what, struct fault *f)
{
	return fault_set(f, ERR_CORRUPT, 0, "%s: %s at byte %lld", r->path, what, (long long)r->at);
}

static enum err make_room(struct segment_reader *r, size_t cap, struct fault *f)
{
	uint8_t *buffer;

	if (cap <= r->cap)
		return OK;
	buffer = realloc(r->buffer, cap);
	if (!buffer)
		return fault_set(f, ERR_NO_MEMORY, 0, "%zu bytes to read %s", cap, r->path);
	r->buffer = buffer;
	r->cap = cap;
	return OK;
}

/* What was kept to the front, what is held behind it. */
static void move_up(struct segment_reader *r)
{
	size_t held = r->have - r->skip;

	if (r->kept > 0)
		memmove(r->buffer, r->buffer + r->kept_at, r->kept);
	if (held > 0)
		memmove(r->buffer + r->kept, r->buffer + r->skip, held);
	r->kept_at = 0;
	r->skip = r->kept;
	r->have = r->kept + held;
}

/* So much is read at once: with what is kept, a window. */
static size_t bytes_to_have(const struct segment_reader *r, size_t need)
{
	size_t want = r->kept < r->window ? r->window - r->kept : 0;

	if ((int64_t)want > r->end - r->at)
		want = (size_t)(r->end - r->at);
	return want < need ? need : want;
}

/* Have at least `need` bytes of what is left in the buffer; there are so many. */
static enum err have_bytes(struct segment_reader *r, size_t need, struct fault *f)
{
	size_t held = r->have - r->skip, want;
	enum err err;

	if (held >= need)
		return OK;
	move_up(r);
	want = bytes_to_have(r, need);
	err = make_room(r, r->kept + want, f);
	if (err)
		return err;
	err = disk_read_all(r->disk, r->fd, r->buffer + r->have, want - held, r->at + (int64_t)held,
	                    r->path, f);
	if (!err)
		r->have = r->skip + want;
	return err;
}

static void step(struct segment_reader *r, size_t bytes)
{
	r->at += (int64_t)bytes;
	r->skip += bytes;
}

/* What is not the batch that must follow may be the zeros before a new run. */
static enum err skip_padding(struct segment_reader *r, struct fault *f)
{
	size_t bytes = (size_t)(segment_block_round(r->at) - r->at);
	enum err err;

	if (bytes == 0 || (int64_t)bytes >= r->end - r->at)
		return corrupt(r, "no batch", f);
	err = have_bytes(r, bytes, f);
	for (size_t i = 0; i < bytes && !err; i++)
		if (r->buffer[r->skip + i] != 0)
			err = corrupt(r, "no batch", f);
	if (!err)
		step(r, bytes);
	return err;
}

/* Is the batch that must follow here? Else there are zeros, which are passed. */
static enum err find_batch(struct segment_reader *r, bool *found, struct fault *f)
{
	enum err err;

	if (r->end - r->at < BATCH_HEADER_BYTES)
		return corrupt(r, "a batch is cut off", f);
	err = have_bytes(r, BATCH_HEADER_BYTES, f);
	if (err)
		return err;
	*found = (int64_t)load_be64(r->buffer + r->skip) == r->next_offset;
	return *found ? OK : skip_padding(r, f);
}

enum err segment_reader_next(struct segment_reader *r, struct batch *out, struct fault *f)
{
	bool found = false;
	size_t size = 0;
	enum err err = OK;

	while (!found && !err)
		err = find_batch(r, &found, f);
	if (err)
		return err;
	if (!batch_peek_size(slice_of(r->buffer + r->skip, r->have - r->skip),
	                     WAL_PAYLOAD_BYTES_MAX, &size))
		return corrupt(r, "impossible length", f);
	if ((int64_t)size > r->end - r->at)
		return corrupt(r, "a batch is cut off", f);
	err = have_bytes(r, size, f);
	if (!err)
		err = chunk_accept(slice_of(r->buffer + r->skip, size), r->next_offset, out, f);
	if (err)
		return err;
	step(r, size);
	r->next_offset = out->last_offset + 1;
	return OK;
}

uint8_t *segment_reader_keep(struct segment_reader *r, const struct batch *b)
{
	size_t len = b->bytes.len, at = r->skip - len;

	CHECK(b->bytes.ptr == r->buffer + at);
	if (r->kept == 0)
		r->kept_at = at;
	CHECK(at >= r->kept_at + r->kept);
	if (at > r->kept_at + r->kept)
		memmove(r->buffer + r->kept_at + r->kept, r->buffer + at, len);
	r->kept += len;
	return r->buffer + r->kept_at + r->kept - len;
}

void *segment_reader_give(struct segment_reader *r, struct slice *kept)
{
	void *buffer = r->kept > 0 ? r->buffer : NULL;

	*kept = buffer ? slice_of(r->buffer + r->kept_at, r->kept) : SLICE_NONE;
	if (buffer)
		*r = (struct segment_reader){.disk = r->disk, .fd = r->fd, .path = r->path};
	return buffer;
}
