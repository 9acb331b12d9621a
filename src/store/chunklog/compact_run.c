#include "store/chunklog/compact_run.h"

#include "base/check.h"
#include "io/disk.h"
#include "store/compact/compact_pace.h"

#include <stdlib.h>

enum { WINDOW_BYTES = 256 << 10, DRAIN_BYTES = 1 << 20 };

/* --- life ------------------------------------------------------------------------------------- */

/* As many keys as there may be in what is not compacted. */
static uint64_t keys_max(const struct compact_run *r)
{
	int64_t end = r->segments[r->count - 1].end_offset;

	return (uint64_t)(end - r->job.compacted);
}

static void skip_compacted(struct compact_run *r)
{
	while (r->at < r->count && r->segments[r->at].end_offset <= r->job.compacted)
		r->at++;
}

struct compact_run *compact_run_new(const struct compact_job *job, const struct segment *segments,
                                    uint32_t count)
{
	struct compact_run *r = calloc(1, sizeof(*r));

	CHECK(count > 0);
	CHECK(segments[count - 1].end_offset > job->compacted);
	if (!r)
		return NULL;
	r->job = *job;
	r->upto = job->compacted;
	r->count = count;
	r->segments = calloc(count, sizeof(*segments));
	if (!r->segments) {
		free(r);
		return NULL;
	}
	memcpy(r->segments, segments, count * sizeof(*segments));
	if (!compact_map_init(&r->map, &job->key, keys_max(r), job->map_bytes)) {
		free(r->segments);
		free(r);
		return NULL;
	}
	skip_compacted(r);
	return r;
}

static void source_close(struct compact_run *r)
{
	if (!r->source.is_open)
		return;
	segment_reader_fini(&r->source.reader);
	r->job.home.disk->ops->close(r->job.home.disk, r->source.fd);
	r->source.is_open = false;
}

static void drop_chunks(struct compact_run *r)
{
	for (uint32_t i = 0; i < r->chunk_count; i++)
		chunk_put(r->chunks[i]);
	free(r->chunks);
	r->chunks = NULL;
	r->chunk_count = 0;
}

void compact_run_free(struct compact_run *r)
{
	struct fault unused;

	source_close(r);
	if (r->in_group)
		compact_rewrite_fini(&r->rewrite);
	compact_file_drop(&r->file);
	if (r->has_made)
		(void)!segment_remove(&r->job.home, &r->made, &unused);
	drop_chunks(r);
	compact_map_fini(&r->map);
	free(r->segments);
	free(r);
}

/* --- reading ---------------------------------------------------------------------------------- */

static enum err source_open(struct compact_run *r, struct fault *f)
{
	struct segment s = r->segments[r->at];
	struct compact_source *source = &r->source;
	int64_t size;
	enum err err;

	segment_path(&r->job.home, &s, source->path);
	err = segment_open(&r->job.home, &s, &source->fd, &size, f);
	if (err)
		return err;
	source->is_open = true;
	segment_reader_init(&source->reader, r->job.home.disk, source->fd, source->path,
	                    WINDOW_BYTES);
	segment_reader_place(&source->reader, SEGMENT_HEADER_BYTES, s.base_offset,
	                     size < s.bytes ? size : s.bytes);
	return OK;
}

static bool source_is_through(const struct compact_run *r)
{
	return r->source.is_open && r->source.reader.next_offset >= r->segments[r->at].end_offset;
}

/* The next batch of segment `at`, which it is not through with. */
static enum err source_next(struct compact_run *r, struct batch *b, struct fault *f)
{
	enum err err = r->source.is_open ? OK : source_open(r, f);

	if (err)
		return err;
	if (r->source.reader.at >= r->source.reader.end)
		return fault_set(f, ERR_CORRUPT, 0, "%s is cut off at byte %lld", r->source.path,
		                 (long long)r->source.reader.at);
	return segment_reader_next(&r->source.reader, b, f);
}

/* --- mapping ---------------------------------------------------------------------------------- */

static enum err map_batch(struct compact_run *r, const struct batch *b, bool *full, struct fault *f)
{
	enum err err;

	if (b->last_offset < r->upto)
		return OK;
	err = compact_map_note(&r->map, b, &r->upto, f);
	*full = r->upto <= b->last_offset;
	return err;
}

/* Then rewriting begins with the first segment. */
static void map_end(struct compact_run *r)
{
	source_close(r);
	r->at = 0;
}

enum err compact_run_map(struct compact_run *r, bool *done, struct fault *f)
{
	int64_t left = COMPACT_SLICE_BYTES;
	bool full = false;

	while (left > 0 && r->at < r->count && !full) {
		struct batch b;
		enum err err = source_next(r, &b, f);

		if (!err)
			err = map_batch(r, &b, &full, f);
		if (err)
			return err;
		left -= (int64_t)b.bytes.len;
		if (source_is_through(r)) {
			source_close(r);
			r->at++;
		}
	}
	*done = full || r->at == r->count;
	if (*done)
		map_end(r);
	return OK;
}

/* --- rewriting -------------------------------------------------------------------------------- */

bool compact_run_has_group(const struct compact_run *r)
{
	return r->at < r->count && r->segments[r->at].base_offset < r->upto;
}

static enum err group_begin(struct compact_run *r, struct fault *f)
{
	const struct segment *first = &r->segments[r->at];
	const struct compact_rules rules = {
		.map = &r->map,
		.leader_epoch = first->leader_epoch,
		.log_start = r->job.log_start,
		.upto = r->upto,
		.now_ms = r->job.now_ms,
		.horizon_ms = r->job.horizon_ms,
	};
	struct segment s = segment_new(first->base_offset, first->leader_epoch,
	                               r->job.now_ms > 0 ? r->job.now_ms : 1);
	enum err err;

	s.generation = first->generation + 1;
	err = compact_file_open(&r->file, &r->job.home, &s, f);
	if (err)
		return err;
	compact_rewrite_init(&r->rewrite, &rules, first->base_offset);
	r->first = r->at;
	r->group_bytes = first->bytes;
	r->in_group = true;
	return OK;
}

/* Does segment `at` go into the group that ends before it? */
static bool group_takes(const struct compact_run *r)
{
	const struct segment *s = &r->segments[r->at], *before = s - 1;
	int64_t made = r->file.segment.bytes + (int64_t)r->rewrite.out.len;
	int64_t limit = COMPACT_GROUP_BYTES_MAX;

	if (limit < r->job.segment_bytes)
		limit = r->job.segment_bytes;
	return s->leader_epoch == before->leader_epoch && s->base_offset == before->end_offset &&
	       made + s->bytes <= r->job.segment_bytes && r->group_bytes + s->bytes <= limit;
}

/* What came out goes into one chunk. */
static enum err keep_chunk(struct compact_run *r, struct slice rest, struct fault *f)
{
	struct chunk **chunks = reallocarray(r->chunks, r->chunk_count + 1, sizeof(struct chunk *));
	struct chunk *c;

	if (!chunks)
		return fault_set(f, ERR_NO_MEMORY, 0, "%u chunks", r->chunk_count + 1);
	r->chunks = chunks;
	c = chunk_new(NULL, r->file.segment.end_offset, r->file.segment.leader_epoch, rest.len);
	if (!c)
		return fault_set(f, ERR_NO_MEMORY, 0, "a chunk of %zu bytes", rest.len);
	while (rest.len > 0) {
		struct batch b;
		enum err err = batch_parse(rest, &b, NULL);

		CHECK(err == OK);
		chunk_fill(c, b.bytes, b.base_offset);
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
	}
	chunk_show(c, c->filled);
	r->chunks[r->chunk_count++] = c;
	return OK;
}

/* The rewrite's open batch begins where what is in `out` ends. */
static enum err drain(struct compact_run *r, struct fault *f)
{
	struct slice out = buf_slice(&r->rewrite.out);
	enum err err = OK;

	if (out.len == 0)
		return OK;
	if (r->job.in_memory)
		err = keep_chunk(r, out, f);
	if (!err)
		err = compact_file_put(&r->file, out, r->rewrite.open_base, f);
	r->bytes_out += (int64_t)out.len;
	buf_clear(&r->rewrite.out);
	return err;
}

static enum err group_end(struct compact_run *r, struct fault *f)
{
	enum err err = compact_rewrite_end(&r->rewrite, f);

	if (!err)
		err = drain(r, f);
	if (!err)
		err = compact_file_finish(&r->file, f);
	if (err)
		return err;
	CHECK(r->file.segment.end_offset == r->segments[r->at - 1].end_offset);
	compact_rewrite_fini(&r->rewrite);
	r->in_group = false;
	r->made = r->file.segment;
	r->has_made = true;
	return OK;
}

/* On to the next segment, in this group or no more. */
static bool group_is_through(struct compact_run *r)
{
	if (!source_is_through(r))
		return false;
	source_close(r);
	r->at++;
	if (!compact_run_has_group(r) || !group_takes(r))
		return true;
	r->group_bytes += r->segments[r->at].bytes;
	return false;
}

enum err compact_run_rewrite(struct compact_run *r, bool *done, struct fault *f)
{
	int64_t left = COMPACT_SLICE_BYTES;
	enum err err = r->in_group ? OK : group_begin(r, f);

	*done = false;
	while (left > 0 && !err && !*done) {
		struct batch b;

		err = source_next(r, &b, f);
		if (!err)
			err = compact_rewrite_put(&r->rewrite, &b, f);
		if (err)
			break;
		left -= (int64_t)b.bytes.len;
		r->bytes_in += (int64_t)b.bytes.len;
		if (r->rewrite.out.len >= DRAIN_BYTES)
			err = drain(r, f);
		*done = group_is_through(r);
	}
	return !err && *done ? group_end(r, f) : err;
}

int64_t compact_run_compacted(const struct compact_run *r)
{
	return r->made.end_offset < r->upto ? r->made.end_offset : r->upto;
}
