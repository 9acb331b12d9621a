/* Ranges of segment files. The index says where batches begin; that it is right is looked at in the
 * file at both ends, and nowhere between. */
#include "base/check.h"
#include "base/endian.h"
#include "io/disk.h"
#include "store/chunklog/cold_files.h"
#include "store/chunklog/segment_reader.h"

#include <stdlib.h>

struct range_holder {
	struct shared shared;   /* first */
	struct cold *cold;      /* borrowed */
	struct cold_file *file; /* a use of it */
};

static void holder_free(struct shared *s)
{
	struct range_holder *h = CONTAINER_OF(s, struct range_holder, shared);

	cold_file_put(h->cold, h->file);
	free(h);
}

static struct shared *holder_new(struct cold *c, struct cold_file *file)
{
	struct range_holder *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	shared_init(&h->shared, holder_free);
	h->cold = c;
	h->file = file;
	return &h->shared;
}

/* Where what the index knows of it lies. */
static bool find_span(struct cold_file *file, const struct cold_source *s, int64_t offset,
                      int64_t limit, int64_t bytes_max, struct segment_span *span)
{
	struct fault unused;
	bool found;

	pthread_mutex_lock(&file->lock);
	found = !cold_file_open(file, s, &unused) &&
	        segment_index_span(&file->index, offset, limit, bytes_max, span);
	pthread_mutex_unlock(&file->lock);
	return found;
}

/* Batches before the one that contains `offset` are left out. */
static bool skip_to(const struct cold_file *file, int64_t offset, struct segment_span *span)
{
	struct segment_reader r;
	struct fault unused;
	struct batch b;
	enum err err;

	segment_reader_init(&r, file->disk, file->fd, "", SEGMENT_STRETCH_BYTES);
	segment_reader_place(&r, span->at, span->base_offset, span->at + span->bytes);
	do
		err = segment_reader_next(&r, &b, &unused);
	while (!err && b.last_offset < offset);
	if (!err) {
		int64_t at = r.at - (int64_t)b.bytes.len;

		span->bytes -= at - span->at;
		span->at = at;
		span->base_offset = b.base_offset;
	}
	segment_reader_fini(&r);
	return !err;
}

/* Does a batch with this base offset begin there? */
static bool begins_at(const struct cold_file *file, int64_t at, int64_t base_offset)
{
	uint8_t bytes[8]; /* a batch begins with it */
	struct fault unused;

	return !disk_read_all(file->disk, file->fd, bytes, sizeof(bytes), at, "", &unused) &&
	       (int64_t)load_be64(bytes) == base_offset;
}

static bool ends_hold(const struct cold_file *file, const struct segment_span *span)
{
	int64_t size = file->disk->ops->size(file->disk, file->fd);

	return span->at + span->bytes <= size && begins_at(file, span->at, span->base_offset) &&
	       (span->next_at == 0 || begins_at(file, span->next_at, span->next_offset));
}

bool cold_range(struct cold *c, const struct cold_source *s, int64_t offset, int64_t limit,
                int64_t bytes_max, struct store_range *range, struct shared **holder)
{
	struct cold_file *file = cold_file_get(c, s);
	struct segment_span span;

	if (!file)
		return false;
	if (limit > s->segment.end_offset)
		limit = s->segment.end_offset;
	if (!find_span(file, s, offset, limit, bytes_max, &span) ||
	    (span.base_offset < offset && !skip_to(file, offset, &span)) || !ends_hold(file, &span))
		goto put_file;
	*holder = holder_new(c, file);
	if (!*holder)
		goto put_file;
	*range = (struct store_range){
		.fd = file->fd,
		.at = span.at,
		.bytes = span.bytes,
		.base_offset = span.base_offset,
		.next_offset = span.next_offset,
	};
	return true;

put_file:
	cold_file_put(c, file);
	return false;
}
