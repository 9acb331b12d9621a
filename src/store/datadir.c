#include "store/datadir.h"

#include "base/buf.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "io/clock.h"
#include "io/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define MARKER_NAME  "bourn.dir"
#define LOCK_NAME    "lock"
#define MARKER_TITLE "bourn data directory; do not edit"

enum {
	MARKER_BYTES_MAX = 4096,
	PATH_BYTES_SAID = 56, /* of a path, where more has to be said */
};

/* --- the marker ------------------------------------------------------------------------------- */

struct marker {
	int64_t format; /* read: 1 to DATADIR_FORMAT */
	struct uuid id;
	char engine[DATADIR_ENGINE_BYTES];
};

static void marker_encode(const struct marker *m, struct buf *out)
{
	char id[UUID_TEXT_LEN + 1];

	buf_printf(out, MARKER_TITLE "\nformat %d\nid %s\nengine %s\n", DATADIR_FORMAT,
	           uuid_format(&m->id, id), m->engine);
	buf_printf(out, "crc %08x\n", crc32c(0, out->ptr, out->len));
}

/* The value of the line "<name> <value>" at the front of `*rest`, which goes on to the next one. */
static bool line_take(struct slice *rest, const char *name, struct slice *value)
{
	struct slice line = slice_cut(rest, '\n');
	struct slice got = slice_cut(&line, ' ');

	*value = line;
	return line.ptr && slice_eq(got, slice_str(name));
}

static enum err marker_damaged(const char *path, struct fault *f)
{
	return fault_set(f, ERR_CORRUPT, 0, "%s; restore this file from a backup", path);
}

static enum err marker_decode(struct slice text, const char *path, struct marker *out,
                              struct fault *f)
{
	struct slice rest = text, value;
	struct marker m = {0};
	char crc[16];

	if (!slice_eq(slice_cut(&rest, '\n'), SLICE_LIT(MARKER_TITLE)))
		return fault_set(f, ERR_DIR_FOREIGN, 0, "%s; choose another storage.path", path);
	if (!line_take(&rest, "format", &value) || !slice_to_int64(value, &m.format) ||
	    m.format < 1)
		return marker_damaged(path, f);
	if (m.format > DATADIR_FORMAT)
		return fault_set(f, ERR_DIR_NEWER, 0,
		                 "%s has format %lld, this program knows %d; use a newer bourn",
		                 path, (long long)m.format, DATADIR_FORMAT);
	if (!line_take(&rest, "id", &value) || !uuid_parse(value, &m.id))
		return marker_damaged(path, f);
	if (!line_take(&rest, "engine", &value) || value.len == 0 || value.len >= sizeof(m.engine))
		return marker_damaged(path, f);
	memcpy(m.engine, value.ptr, value.len);
	if (!rest.ptr)
		return marker_damaged(path, f);
	snprintf(crc, sizeof(crc), "%08x", crc32c(0, text.ptr, (size_t)(rest.ptr - text.ptr)));
	if (!line_take(&rest, "crc", &value) || !slice_eq(value, slice_str(crc)))
		return marker_damaged(path, f);
	*out = m;
	return OK;
}

static enum err marker_read(struct disk *disk, const char *path, struct marker *out,
                            struct fault *f)
{
	struct buf text = BUF_INIT(MARKER_BYTES_MAX);
	enum err err = disk_read_file(disk, path, &text, f);

	if (err == ERR_TOO_LARGE)
		err = marker_damaged(path, f);
	if (!err)
		err = marker_decode(buf_slice(&text), path, out, f);
	buf_fini(&text);
	return err;
}

/* --- the directory ---------------------------------------------------------------------------- */

/* What a crash during the first start, or mkfs, may leave behind counts as empty. */
static int list_stranger(void *arg, const char *name)
{
	char *stranger = arg;

	if (strcmp(name, LOCK_NAME) == 0 || strcmp(name, MARKER_NAME ".tmp") == 0 ||
	    strcmp(name, "lost+found") == 0)
		return 0;
	snprintf(stranger, DATADIR_PATH_BYTES_MAX, "%s", name);
	return -ECANCELED;
}

/* There is no marker: may we make one here? */
static enum err check_is_empty(struct disk *disk, const char *path, struct fault *f)
{
	char stranger[DATADIR_PATH_BYTES_MAX] = "";
	int got = disk->ops->list(disk, path, list_stranger, stranger);

	if (got == -ENOENT)
		return OK;
	if (stranger[0])
		return fault_set(f, ERR_DIR_FOREIGN, 0,
		                 "%s holds \"%.40s\" but no " MARKER_NAME
		                 "; choose an empty or new directory as storage.path",
		                 path, stranger);
	if (got < 0)
		return fault_set(f, ERR_IO, -got, "list %s", path);
	return OK;
}

/* As much of it as leaves room for what is said of it. */
static const char *path_end(const char *path)
{
	size_t len = strlen(path);

	return len > PATH_BYTES_SAID ? path + len - PATH_BYTES_SAID : path;
}

static enum err check_engine(const struct marker *m, const char *path, const char *engine,
                             const char *heir_of, struct fault *f)
{
	if (strcmp(m->engine, engine) == 0 || (heir_of && strcmp(m->engine, heir_of) == 0))
		return OK;
	return fault_set(
		f, ERR_CONFIG, 0,
		"%s: kept by engine \"%s\", not \"%s\"; set storage.type: %s, or 'bourn dump "
		"--all --data' it and 'bourn load' into another",
		path_end(path), m->engine, engine, m->engine);
}

static enum err make_root(struct disk *disk, const char *path, struct fault *f)
{
	const char *slash = strrchr(path, '/');
	char parent[DATADIR_PATH_BYTES_MAX];
	int got = disk->ops->mkdir(disk, path);

	if (got == -EEXIST)
		return OK;
	if (got < 0)
		return fault_set(f, ERR_IO, -got, "make directory %s%s", path,
		                 got == -ENOENT ? ": the one above it has to be there" : "");
	if (!slash)
		return disk_sync_dir(disk, ".", f);
	snprintf(parent, sizeof(parent), "%.*s", slash == path ? 1 : (int)(slash - path), path);
	return disk_sync_dir(disk, parent, f);
}

static enum err lock_hold(struct disk *disk, const char *file, int fd, struct fault *f)
{
	int got = disk->ops->lock(disk, fd);

	if (got >= 0)
		return OK;
	disk->ops->close(disk, fd);
	if (got != -EWOULDBLOCK)
		return fault_set(f, ERR_IO, -got, "lock %s", file);
	return fault_set(f, ERR_DIR_LOCKED, 0,
	                 "%s; stop the other process or choose another storage.path", file);
}

static enum err lock_take(struct disk *disk, const char *path, int *out, struct fault *f)
{
	char file[DATADIR_FILE_BYTES_MAX];
	enum err err;
	int fd;

	snprintf(file, sizeof(file), "%s/" LOCK_NAME, path);
	fd = disk->ops->open(disk, file, O_RDWR | O_CREAT);
	if (fd == -EROFS || fd == -EACCES)
		return fault_set(f, ERR_IO, -fd,
		                 "%s: the directory is read-only for us; make it writable or "
		                 "choose another storage.path",
		                 file);
	if (fd < 0)
		return fault_set(f, ERR_IO, -fd, "open %s", file);
	err = lock_hold(disk, file, fd, f);
	if (!err)
		*out = fd;
	return err;
}

/* The same lock, and nothing is made or written: flock asks for no right to write. */
static enum err lock_borrow(struct disk *disk, const char *path, int *out, struct fault *f)
{
	char file[DATADIR_FILE_BYTES_MAX];
	enum err err;
	int fd;

	snprintf(file, sizeof(file), "%s/" LOCK_NAME, path);
	*out = -1;
	fd = disk->ops->open(disk, file, O_RDONLY);
	if (fd == -ENOENT)
		return OK;
	if (fd < 0)
		return fault_set(f, ERR_IO, -fd, "open %s", file);
	err = lock_hold(disk, file, fd, f);
	if (!err)
		*out = fd;
	return err;
}

enum err datadir_mark(const char *path, const struct uuid *id, const char *engine,
                      struct disk *disk, struct fault *f)
{
	uint8_t memory[MARKER_BYTES_MAX];
	struct buf text = BUF_IN(memory);
	struct marker marker = {.id = *id};

	CHECK(strlen(engine) < sizeof(marker.engine));
	memcpy(marker.engine, engine, strlen(engine));
	marker_encode(&marker, &text);
	CHECK(!text.failed);
	return disk_replace_file(disk, path, MARKER_NAME, buf_slice(&text), f);
}

static bool is_ours(const struct marker *m, const char *engine)
{
	return m->format == DATADIR_FORMAT && strcmp(m->engine, engine) == 0;
}

static enum err marker_write(struct datadir *dir, const char *engine, struct fault *f)
{
	return datadir_mark(dir->path, &dir->id, engine, dir->disk, f);
}

static enum err marker_make(struct datadir *dir, const char *engine, struct entropy *entropy,
                            struct fault *f)
{
	uint8_t random[16];

	entropy->fill(entropy, random, sizeof(random));
	uuid_from_random(&dir->id, random);
	dir->is_claimed = true;
	return marker_write(dir, engine, f);
}

enum err datadir_claim(struct datadir *dir, const char *engine, struct fault *f)
{
	enum err err = dir->is_claimed ? OK : marker_write(dir, engine, f);

	dir->is_claimed = !err;
	return err;
}

enum err datadir_open(const char *path, const char *engine, const char *heir_of, struct disk *disk,
                      struct entropy *entropy, struct datadir *out, struct fault *f)
{
	struct datadir dir = {.disk = disk};
	char file[DATADIR_FILE_BYTES_MAX];
	struct marker marker;
	enum err err;

	if (path[0] == '\0' || strlen(path) >= DATADIR_PATH_BYTES_MAX)
		return fault_set(f, ERR_CONFIG, 0, "storage.path has 1 to %d bytes",
		                 DATADIR_PATH_BYTES_MAX - 1);
	snprintf(file, sizeof(file), "%s/" MARKER_NAME, path);

	/* Looked at before the lock file may be made: nothing is touched that is not ours. */
	err = marker_read(disk, file, &marker, f);
	if (err == ERR_NOT_FOUND)
		err = check_is_empty(disk, path, f);
	else if (!err)
		err = check_engine(&marker, file, engine, heir_of, f);
	if (!err)
		err = make_root(disk, path, f);
	if (!err)
		err = lock_take(disk, path, &dir.lock_fd, f);
	if (err)
		return err;

	dir.path = strdup(path);
	CHECK(dir.path);
	/* Once more under the lock: another process may have made it meanwhile. */
	err = marker_read(disk, file, &marker, f);
	if (err == ERR_NOT_FOUND) {
		err = marker_make(&dir, engine, entropy, f);
	} else if (!err) {
		err = check_engine(&marker, file, engine, heir_of, f);
		dir.id = marker.id;
		dir.is_claimed = is_ours(&marker, engine);
	}
	if (err) {
		datadir_close(&dir);
		return err;
	}
	*out = dir;
	return OK;
}

enum err datadir_examine(const char *path, struct disk *disk, struct datadir *out,
                         char engine[DATADIR_ENGINE_BYTES], struct fault *f)
{
	struct datadir dir = {.disk = disk};
	char file[DATADIR_FILE_BYTES_MAX];
	struct marker marker;
	enum err err;

	if (path[0] == '\0' || strlen(path) >= DATADIR_PATH_BYTES_MAX)
		return fault_set(f, ERR_CONFIG, 0, "a path has 1 to %d bytes",
		                 DATADIR_PATH_BYTES_MAX - 1);
	snprintf(file, sizeof(file), "%s/" MARKER_NAME, path);
	err = marker_read(disk, file, &marker, f);
	if (err == ERR_NOT_FOUND) {
		err = check_is_empty(disk, path, f);
		return err ? err : fault_set(f, ERR_NOT_FOUND, 0, "%s", file);
	}
	if (!err)
		err = lock_borrow(disk, path, &dir.lock_fd, f);
	if (err)
		return err;
	dir.path = strdup(path);
	CHECK(dir.path);
	dir.id = marker.id;
	dir.is_claimed = is_ours(&marker, marker.engine);
	memcpy(engine, marker.engine, sizeof(marker.engine));
	*out = dir;
	return OK;
}

void datadir_close(struct datadir *dir)
{
	if (dir->lock_fd >= 0)
		dir->disk->ops->close(dir->disk, dir->lock_fd);
	free(dir->path);
	*dir = (struct datadir){0};
}
