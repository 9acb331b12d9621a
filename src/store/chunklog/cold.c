#include "store/chunklog/cold.h"

#include "io/disk.h"
#include "store/chunklog/cold_files.h"
#include "store/chunklog/segment_reader.h"

#include <stdlib.h>

/* --- a walk through one segment --------------------------------------------------------------- */

struct walk {
	struct cold_file *file;
	const struct cold_source *source;
	char path[SEGMENT_PATH_BYTES];
	struct segment_reader reader;
	struct segment_stretch stretch;
	bool from_start; /* it did not trust the index */
};

static enum err no_memory(const struct cold_source *s, struct fault *f)
{
	return fault_set(f, ERR_NO_MEMORY, 0, "to read the segment of offset %lld",
	                 (long long)s->segment.base_offset);
}

static enum err walk_begin(struct walk *w, struct cold_file *file, const struct cold_source *s,
                           size_t window, struct fault *f)
{
	enum err err;

	w->file = file;
	w->source = s;
	w->stretch = (struct segment_stretch){0};
	w->from_start = false;
	segment_path(&s->home, &s->segment, w->path);
	pthread_mutex_lock(&file->lock);
	err = cold_file_open(file, s, f);
	pthread_mutex_unlock(&file->lock);
	segment_reader_init(&w->reader, s->home.disk, file->fd, w->path, window);
	w->reader.next_offset = s->segment.base_offset;
	return err;
}

static void walk_end(struct walk *w)
{
	segment_reader_fini(&w->reader);
}

/* What counts may be cut off: then that is damage, but not before it is reached. */
static enum err walk_place(struct walk *w, struct segment_mark to, struct fault *f)
{
	struct disk *disk = w->source->home.disk;
	int64_t end = w->source->segment.bytes;
	int64_t size = disk->ops->size(disk, w->file->fd);

	if (size < 0)
		return fault_set(f, ERR_IO, (int)-size, "measure %s", w->path);
	segment_reader_place(&w->reader, to.at, to.base_offset, size < end ? size : end);
	w->stretch = (struct segment_stretch){0};
	return OK;
}

static struct segment_mark start_of(const struct cold_source *s)
{
	return (struct segment_mark){.base_offset = s->segment.base_offset,
	                             .at = SEGMENT_HEADER_BYTES};
}

static void note_stretch(struct walk *w)
{
	pthread_mutex_lock(&w->file->lock);
	segment_index_add(&w->file->index, &w->stretch);
	pthread_mutex_unlock(&w->file->lock);
}

/* The end, which is one of a run too; of a finished segment all may be known now. */
static void note_end(struct walk *w)
{
	const struct cold_source *s = w->source;

	pthread_mutex_lock(&w->file->lock);
	segment_index_add(&w->file->index, &w->stretch);
	if (s->finished)
		cold_file_keep_index(w->file, s);
	pthread_mutex_unlock(&w->file->lock);
}

/* The next batch; the walk is not at the segment's end. */
static enum err walk_next(struct walk *w, struct batch *b, struct fault *f)
{
	struct segment_reader *r = &w->reader;
	int64_t at;
	enum err err;

	if (r->at >= r->end)
		return fault_set(f, ERR_CORRUPT, 0, "%s is cut off at byte %lld", w->path,
		                 (long long)r->at);
	err = segment_reader_next(r, b, f);
	if (err)
		return err;
	at = r->at - (int64_t)b->bytes.len;
	if (!segment_stretch_takes(&w->stretch, at))
		note_stretch(w);
	segment_stretch_put(&w->stretch, b, at);
	if (r->next_offset >= w->source->segment.end_offset)
		note_end(w);
	else if (segment_stretch_is_full(&w->stretch))
		note_stretch(w);
	return OK;
}

/* Is it the index that was wrong? Then it is made anew, by reading from the start. */
static bool walk_doubts(struct walk *w, enum err err)
{
	if (err != ERR_CORRUPT || w->from_start)
		return false;
	w->from_start = true;
	pthread_mutex_lock(&w->file->lock);
	segment_index_fini(&w->file->index);
	segment_index_init(&w->file->index, w->source->segment.base_offset, SEGMENT_HEADER_BYTES);
	w->file->has_index_file = false;
	pthread_mutex_unlock(&w->file->lock);
	return true;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct cold_batches {
	struct shared shared; /* first */
	void *bytes;          /* owned */
};

static void batches_free(struct shared *s)
{
	struct cold_batches *b = CONTAINER_OF(s, struct cold_batches, shared);

	free(b->bytes);
	free(b);
}

/* They stay in the reader's buffer: no copy of what is read. */
static enum err take_batches(struct walk *w, int64_t offset, int64_t limit, size_t bytes_max,
                             struct fault *f)
{
	struct segment_reader *r = &w->reader;
	enum err err = OK;

	while (r->next_offset < limit && !err) {
		struct batch b;

		err = walk_next(w, &b, f);
		if (err || b.last_offset < offset)
			continue;
		if (r->kept > 0 && r->kept + b.bytes.len > bytes_max)
			break;
		batch_assign(segment_reader_keep(r, &b), b.base_offset, w->file->leader_epoch);
	}
	return r->kept > 0 ? OK : err; /* what is bad is told to who reads on */
}

static enum err read_from(struct walk *w, int64_t offset, int64_t limit, size_t bytes_max,
                          struct fault *f)
{
	struct segment_mark place;
	enum err err;

	do {
		pthread_mutex_lock(&w->file->lock);
		place = segment_index_place(&w->file->index, offset);
		pthread_mutex_unlock(&w->file->lock);
		err = walk_place(w, w->from_start ? start_of(w->source) : place, f);
		if (!err)
			err = take_batches(w, offset, limit, bytes_max, f);
	} while (walk_doubts(w, err));
	return err;
}

enum err cold_read(struct cold *c, const struct cold_source *s, int64_t offset, int64_t limit,
                   size_t bytes_max, struct slice *batches, struct shared **holder, int64_t *bad_at,
                   struct fault *f)
{
	size_t most = bytes_max < COLD_READ_BYTES_MAX ? bytes_max : COLD_READ_BYTES_MAX;
	struct cold_batches *out = malloc(sizeof(*out));
	struct cold_file *file = out ? cold_file_get(c, s) : NULL;
	struct walk w;
	enum err err;

	if (!file) {
		free(out);
		return no_memory(s, f);
	}
	shared_init(&out->shared, batches_free);
	out->bytes = NULL;
	if (limit > s->segment.end_offset)
		limit = s->segment.end_offset;
	err = walk_begin(&w, file, s, most + SEGMENT_STRETCH_BYTES, f);
	if (!err)
		err = read_from(&w, offset, limit, most, f);
	if (!err)
		out->bytes = segment_reader_give(&w.reader, batches);
	*bad_at = w.reader.next_offset;
	walk_end(&w);
	cold_file_put(c, file);
	if (err) {
		shared_put(&out->shared);
		return err;
	}
	*holder = &out->shared;
	return OK;
}

/* --- times ------------------------------------------------------------------------------------ */

enum { TIME_WINDOW_BYTES = 256 << 10 };

/* Go on at the first stretch that may have it; the reader is behind all before `from`. */
static enum err skip_to_time(struct walk *w, int64_t from, int64_t time_ms, struct fault *f)
{
	struct segment_mark place;

	pthread_mutex_lock(&w->file->lock);
	place = segment_index_time(&w->file->index, from, time_ms);
	pthread_mutex_unlock(&w->file->lock);
	if (w->reader.at > 0 && place.base_offset <= w->reader.next_offset)
		return OK;
	return walk_place(w, place, f);
}

static enum err scan_for_time(struct walk *w, int64_t from, int64_t limit, int64_t time_ms,
                              int64_t *offset, struct fault *f)
{
	enum err err;

	w->reader.at = 0;
	err = w->from_start ? walk_place(w, start_of(w->source), f)
	                    : skip_to_time(w, from, time_ms, f);
	while (!err && w->reader.next_offset < limit) {
		struct batch b;

		err = walk_next(w, &b, f);
		if (err)
			break;
		if (b.max_timestamp >= time_ms && chunk_batch_time(&b, from, time_ms, offset))
			break;
		if (w->stretch.mark.bytes == 0 && !w->from_start && w->reader.next_offset < limit)
			err = skip_to_time(w, w->reader.next_offset, time_ms, f);
	}
	return err;
}

enum err cold_find_time(struct cold *c, const struct cold_source *s, int64_t from, int64_t limit,
                        int64_t time_ms, int64_t *offset, int64_t *bad_at, struct fault *f)
{
	struct cold_file *file = cold_file_get(c, s);
	struct walk w;
	enum err err;

	*offset = -1;
	if (!file)
		return no_memory(s, f);
	if (limit > s->segment.end_offset)
		limit = s->segment.end_offset;
	err = walk_begin(&w, file, s, TIME_WINDOW_BYTES, f);
	if (!err) {
		do
			err = scan_for_time(&w, from, limit, time_ms, offset, f);
		while (walk_doubts(&w, err));
	}
	*bad_at = w.reader.next_offset;
	walk_end(&w);
	cold_file_put(c, file);
	return err;
}
