#include "cli/moving/dump_file.h"

#include "base/check.h"
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	READ_BYTES = 256 << 10,
	FRONT_BYTES = 64, /* enough to tell formats apart */
	TAIL_BYTES = 4096,
};

static const struct dump_format *const formats[] = {&dump_lines, &dump_frames};

/* --- writing ---------------------------------------------------------------------------------- */

void dump_writer_init(struct dump_writer *w, const struct dump_format *format, int fd,
                      const char *name)
{
	w->format = format;
	w->fd = fd;
	w->name = name;
	w->out = BUF_INIT(DUMP_CHUNK_BYTES_MAX);
}

void dump_writer_fini(struct dump_writer *w)
{
	buf_fini(&w->out);
}

static enum err write_failed(const struct dump_writer *w, struct fault *f)
{
	enum err code = errno == ENOSPC || errno == EDQUOT ? ERR_DISK_FULL : ERR_IO;

	return fault_set(f, code, errno, "write %s", w->name);
}

static enum err write_out(struct dump_writer *w, struct fault *f)
{
	size_t len = w->out.len, done = 0;

	if (w->out.failed)
		return fault_set(f, ERR_NO_MEMORY, 0, "%s", w->name);
	while (done < len) {
		ssize_t got = write(w->fd, w->out.ptr + done, len - done);

		if (got < 0 && errno == EINTR)
			continue; /* what was begun is written: it is little, and then it is whole */
		if (got < 0)
			return write_failed(w, f);
		done += (size_t)got;
	}
	buf_clear(&w->out);
	w->checked = 0;
	w->byte_count += (int64_t)len;
	return OK;
}

enum err dump_write_flush(struct dump_writer *w, struct fault *f)
{
	w->format->check(w);
	return write_out(w, f);
}

static enum err write_some(struct dump_writer *w, struct fault *f)
{
	if (w->out.failed)
		return fault_set(f, ERR_NO_MEMORY, 0, "%s", w->name);
	return w->out.len >= DUMP_CHUNK_BYTES ? dump_write_flush(w, f) : OK;
}

enum err dump_write_begin(struct dump_writer *w, int64_t created_at_ms, struct fault *f)
{
	w->format->begin(w, created_at_ms);
	return dump_write_flush(w, f);
}

enum err dump_write_topic(struct dump_writer *w, const struct dump_topic *t, uint32_t index,
                          struct fault *f)
{
	CHECK(index <= w->topic_count);
	memcpy(w->topic, t->name, sizeof(w->topic));
	w->topic_index = index;
	if (index < w->topic_count)
		return OK;
	w->format->topic(w, t);
	w->topic_count++;
	return dump_write_flush(w, f);
}

enum err dump_write_batches(struct dump_writer *w, uint32_t partition, struct slice batches,
                            struct fault *f)
{
	w->format->batches(w, partition, batches);
	return write_some(w, f);
}

enum err dump_write_end(struct dump_writer *w, struct fault *f)
{
	w->format->end(w);
	return dump_write_flush(w, f);
}

/* --- reading ---------------------------------------------------------------------------------- */

void dump_reader_init(struct dump_reader *r, int fd, const char *name)
{
	const char *slash = strrchr(name, '/');

	r->fd = fd;
	r->name = slash ? slash + 1 : name; /* messages are short */
	r->in = BUF_INIT(DUMP_CHUNK_BYTES_MAX + READ_BYTES);
	r->line = 1;
	r->decoded = BUF_INIT(DUMP_BATCHES_BYTES_MAX);
	r->headers = BUF_INIT(DUMP_BATCHES_BYTES_MAX);
	r->batches = BUF_INIT(DUMP_BATCHES_BYTES_MAX);
}

void dump_reader_fini(struct dump_reader *r)
{
	for (uint32_t i = 0; i < r->topic_count; i++)
		dump_topic_free(r->topics[i]);
	free(r->topics);
	buf_fini(&r->in);
	buf_fini(&r->decoded);
	buf_fini(&r->headers);
	buf_fini(&r->batches);
}

static enum err read_some(struct dump_reader *r, struct fault *f)
{
	ssize_t got;

	if (!buf_reserve(&r->in, READ_BYTES))
		return fault_set(f, ERR_INPUT, 0,
		                 "%.60s: from byte %lld on there is no checksum: it is damaged",
		                 r->name, (long long)r->good_at);
	do {
		if (atomic_load(cli_stopped()))
			return fault_set(f, ERR_SHUTTING_DOWN, 0, "stopped");
		got = read(r->fd, r->in.ptr + r->in.len, r->in.cap - r->in.len);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return fault_set(f, ERR_INPUT, errno, "%.60s", r->name);
	r->in.len += (size_t)got;
	r->eof = got == 0;
	return OK;
}

enum err dump_fill(struct dump_reader *r, size_t more, struct fault *f)
{
	enum err err = OK;

	if (r->used > 0 && r->in.len - r->used < more) {
		buf_consume(&r->in, r->used);
		r->in_at += (int64_t)r->used;
		r->used = 0;
	}
	while (!err && !r->eof && r->in.len - r->used < more)
		err = read_some(r, f);
	return err;
}

/* By one look where they rise by name. */
static bool has_topic(struct dump_reader *r, const char *name)
{
	if (r->topic_count == 0)
		return false;
	r->unsorted = r->unsorted || strcmp(r->topics[r->topic_count - 1]->name, name) >= 0;
	if (!r->unsorted)
		return false;
	for (uint32_t i = 0; i < r->topic_count; i++)
		if (strcmp(r->topics[i]->name, name) == 0)
			return true;
	return false;
}

static bool grow(struct dump_reader *r)
{
	uint32_t cap = r->topic_cap ? r->topic_cap * 2 : 16;
	struct dump_topic **topics;

	if (r->topic_count < r->topic_cap)
		return true;
	topics = realloc(r->topics, cap * sizeof(struct dump_topic *));
	if (!topics)
		return false;
	r->topics = topics;
	r->topic_cap = cap;
	return true;
}

enum err dump_add_topic(struct dump_reader *r, struct slice json, struct dump_item *out,
                        struct fault *f)
{
	struct dump_topic *t = grow(r) ? dump_topic_new() : NULL;
	enum err err;

	if (!t)
		return fault_set(f, ERR_NO_MEMORY, 0, "topics of %.60s", r->name);
	err = dump_topic_parse(json, "topic", t, f);
	if (!err && (has_topic(r, t->name) || r->topic_count == TOPIC_COUNT_MAX))
		err = fault_set(f, ERR_INPUT, 0, "topic '%.100s' is there twice", t->name);
	if (err) {
		dump_topic_free(t);
		return err;
	}
	*out = (struct dump_item){.kind = DUMP_TOPIC, .topic = r->topic_count};
	r->topics[r->topic_count++] = t;
	return OK;
}

/* `*begun`: so few bytes that they may become one. */
static const struct dump_format *format_of(struct slice front, bool *begun)
{
	*begun = false;
	for (size_t i = 0; i < ARRAY_COUNT(formats); i++) {
		if (slice_starts_with(front, formats[i]->magic))
			return formats[i];
		*begun = *begun || (front.len > 0 && slice_starts_with(formats[i]->magic, front));
	}
	return NULL;
}

/* NULL stays where the file ends before it says what it is. */
static enum err find_format(struct dump_reader *r, struct fault *f)
{
	bool begun;
	enum err err = dump_fill(r, FRONT_BYTES, f);

	if (err)
		return err;
	r->format = format_of(dump_unread(r), &begun);
	if (r->format || begun)
		return OK;
	if (r->in.len == 0)
		return fault_set(f, ERR_INPUT, 0, "%.60s is empty: no dump", r->name);
	return fault_set(
		f, ERR_INPUT, 0,
		"%.60s is no dump of bourn's, from its first byte on; 'bourn produce --lines' "
		"takes plain lines",
		r->name);
}

enum err dump_read(struct dump_reader *r, struct dump_item *out, struct fault *f)
{
	enum err err = r->format ? OK : find_format(r, f);

	CHECK(!r->ended);
	if (!err && r->format)
		err = r->format->next(r, out, f);
	else if (!err)
		*out = (struct dump_item){.kind = DUMP_CUT};
	if (err)
		return err;
	r->event_count += out->kind == DUMP_BATCHES ? out->event_count : 0;
	r->ended = out->kind == DUMP_END || out->kind == DUMP_CUT;
	return OK;
}

bool dump_has_end(int fd)
{
	uint8_t tail[TAIL_BYTES];
	struct stat st;
	size_t len;
	off_t from;
	ssize_t got;

	if (fstat(fd, &st) != 0 || st.st_size == 0)
		return false;
	len = st.st_size < TAIL_BYTES ? (size_t)st.st_size : TAIL_BYTES;
	from = st.st_size - (off_t)len;
	got = pread(fd, tail, len, from);
	if (got < 0 || (size_t)got != len)
		return false;
	for (size_t i = 0; i < ARRAY_COUNT(formats); i++)
		if (formats[i]->has_end(slice_of(tail, len)))
			return true;
	return false;
}

bool dump_is_one(int fd)
{
	uint8_t front[FRONT_BYTES];
	ssize_t got = pread(fd, front, sizeof(front), 0);
	bool begun = false;

	return got > 0 && (format_of(slice_of(front, (size_t)got), &begun) || begun);
}
