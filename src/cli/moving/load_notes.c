#include "cli/moving/load_notes.h"

#include "wire/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { NOTES_BYTES_MAX = 256 << 20 };

static enum err read_all(struct load_notes *n, struct fault *f)
{
	int fd = open(n->path, O_RDONLY | O_CLOEXEC);
	ssize_t got = 1;

	if (fd < 0)
		return errno == ENOENT ? OK : fault_set(f, ERR_INPUT, errno, "%s", n->path);
	while (got > 0 && buf_reserve(&n->text, 64 << 10)) {
		got = read(fd, n->text.ptr + n->text.len, n->text.cap - n->text.len);
		n->text.len += got > 0 ? (size_t)got : 0;
	}
	if (got != 0)
		fault_set(f, ERR_INPUT, got < 0 ? errno : EFBIG, "%s", n->path);
	close(fd);
	return got == 0 ? OK : ERR_INPUT;
}

enum err load_notes_open(struct load_notes *n, const char *path, bool resume, struct fault *f)
{
	int len = snprintf(n->path, sizeof(n->path), "%s.load", path);

	n->text = BUF_INIT(NOTES_BYTES_MAX);
	if (len < 0 || (size_t)len >= sizeof(n->path))
		return fault_set(f, ERR_INPUT, ENAMETOOLONG, "%.100s", path);
	if (resume)
		return read_all(n, f);
	if (access(n->path, F_OK) == 0)
		return fault_set(
			f, ERR_INPUT, 0,
			"an earlier load was interrupted: --resume goes on with it; to begin "
			"anew, remove %.100s",
			n->path);
	return OK;
}

void load_notes_fini(struct load_notes *n)
{
	buf_fini(&n->text);
}

static bool string_is(struct json_value object, const char *member, const char *text)
{
	struct json_value value;

	return json_object_get(object, member, &value) && value.kind == JSON_STRING &&
	       json_string_is(value.raw, text);
}

static bool take_ends(struct json_value object, int64_t *ends, uint32_t count)
{
	struct json_value list, one;
	struct json_iter it;
	struct slice key;
	uint32_t i = 0;

	if (!json_object_get(object, "ends", &list) || list.kind != JSON_ARRAY)
		return false;
	json_iter_init(&it, list);
	while (i < count && json_iter_next(&it, &key, &one))
		if (!json_to_int64(one, &ends[i++]))
			return false;
	return i == count;
}

/* A line that was cut off by a crash was not acted upon. */
bool load_notes_find(const struct load_notes *n, const char *topic, const char *uuid, int64_t *ends,
                     uint32_t count)
{
	struct slice rest = buf_slice(&n->text);

	while (rest.len > 0) {
		struct slice line = slice_cut(&rest, '\n');

		if (!json_validate(line, JSON_DEPTH_MAX, NULL) ||
		    json_root(line).kind != JSON_OBJECT)
			continue;
		if (string_is(json_root(line), "topic", topic) &&
		    string_is(json_root(line), "uuid", uuid))
			return take_ends(json_root(line), ends, count);
	}
	return false;
}

static enum err append_line(const struct load_notes *n, struct slice line, struct fault *f)
{
	int fd = open(n->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	bool written;

	if (fd < 0)
		return fault_set(f, ERR_IO, errno, "open %s", n->path);
	written = write(fd, line.ptr, line.len) == (ssize_t)line.len && fdatasync(fd) == 0;
	if (!written)
		fault_set(f, ERR_IO, errno, "write %s", n->path);
	close(fd);
	return written ? OK : ERR_IO;
}

enum err load_notes_add(struct load_notes *n, const char *topic, const char *uuid,
                        const int64_t *ends, uint32_t count, struct fault *f)
{
	struct buf line = BUF_INIT(64 << 10);
	enum err err;

	/* Before it a line feed, for a line that was cut off. */
	buf_append_lit(&line, "\n{\"topic\":");
	json_append_string(&line, slice_str(topic));
	buf_append_lit(&line, ",\"uuid\":");
	json_append_string(&line, slice_str(uuid));
	buf_append_lit(&line, ",\"ends\":[");
	for (uint32_t i = 0; i < count; i++) {
		buf_append_str(&line, i ? "," : "");
		buf_append_int64(&line, ends[i]);
	}
	buf_append_lit(&line, "]}\n");
	err = line.failed ? fault_set(f, ERR_NO_MEMORY, 0, "%.100s", n->path)
	                  : append_line(n, buf_slice(&line), f);
	buf_fini(&line);
	return err;
}

void load_notes_remove(struct load_notes *n)
{
	unlink(n->path);
}
