#include "store/wal_files.h"

#include "base/check.h"
#include "io/disk.h"
#include "io/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	UNFLUSHED_MAX = 16, /* sealed files; mostly a checkpoint frees them before */
	SPARES_ALWAYS = 2,
	SPARES_MAX = 14, /* more than the WAL may grow to at the defaults */
	SPARES_SHARE =
		20, /* beyond SPARES_ALWAYS: one part in so many of the free space, all in all */
	ZEROS_BYTES = 64 << 10,
	ZEROS_AT_ONCE = 16,
};

static const char ahead_name[] = "next.tmp";

bool wal_files_init(struct wal_files *fs, const struct wal_config *config)
{
	*fs = (struct wal_files){
		.config = config, .next_number = 1, .fd = -1, .direct_fd = -1, .ahead_fd = -1};
	list_init(&fs->sealed);
	list_init(&fs->spares);
	fs->zeros = aligned_alloc(WAL_BLOCK_BYTES, ZEROS_BYTES);
	if (fs->zeros)
		memset(fs->zeros, 0, ZEROS_BYTES);
	return fs->zeros != NULL;
}

static void free_all(struct list *files)
{
	struct list *node;

	while ((node = list_take_first(files)))
		free(LIST_ENTRY(node, struct wal_file, node));
}

static void close_direct(struct wal_files *fs)
{
	if (fs->direct_fd >= 0)
		fs->config->disk->ops->close(fs->config->disk, fs->direct_fd);
	fs->direct_fd = -1;
}

static void close_active(struct wal_files *fs)
{
	close_direct(fs);
	if (fs->fd >= 0)
		fs->config->disk->ops->close(fs->config->disk, fs->fd);
	fs->fd = -1;
}

/* Flushed, or not needed any more: an error of writing it would say nothing to anybody. */
static void close_sealed(struct wal_files *fs, struct wal_file *file)
{
	if (file->fd < 0)
		return;
	fs->config->disk->ops->close(fs->config->disk, file->fd);
	file->fd = -1;
	fs->unflushed_count--;
}

/* One that is not flushed stays open: what goes wrong while it is written back is heard then. */
static void seal_active(struct wal_files *fs, bool flushed)
{
	struct wal_file *file = fs->active;

	if (file && !flushed) {
		file->fd = fs->fd;
		fs->fd = -1;
		fs->unflushed_count++;
	}
	close_active(fs);
	if (file)
		list_append(&fs->sealed, &file->node);
	fs->active = NULL;
}

void wal_files_fini(struct wal_files *fs)
{
	wal_files_drop_ahead(fs);
	close_active(fs);
	free(fs->active);
	LIST_EACH (node, &fs->sealed)
		close_sealed(fs, LIST_ENTRY(node, struct wal_file, node));
	free_all(&fs->sealed);
	free_all(&fs->spares);
	free(fs->zeros);
}

static void file_path(const struct wal_files *fs, uint64_t number, char *path, size_t cap)
{
	char name[WAL_NAME_BYTES_MAX];

	snprintf(path, cap, "%s/%s", fs->config->dir, wal_name(number, name));
}

static enum err sync_dir(struct wal_files *fs, struct fault *f)
{
	int rc = fs->config->disk->ops->sync_dir(fs->config->disk, fs->config->dir);

	if (rc == -ENOSPC || rc == -EDQUOT)
		return fault_set(f, ERR_DISK_FULL, -rc, "wal sync %s", fs->config->dir);
	if (rc < 0)
		return fault_set(f, ERR_IO, -rc, "wal sync %s", fs->config->dir);
	return OK;
}

/* A file that stays is read over by the next recovery: only worth a word. */
static void remove_file(struct wal_files *fs, uint64_t number)
{
	char path[PATH_MAX];
	int rc;

	file_path(fs, number, path, sizeof(path));
	rc = fs->config->disk->ops->unlink(fs->config->disk, path);
	if (rc < 0)
		log_line(fs->config->log, LOG_WARN, "wal", "cannot remove %s: %s", path,
		         strerror(-rc));
	fs->names_unflushed = true;
}

/* Under steady load every file that a checkpoint frees is wanted again soon: growing a new one
 * instead writes each byte twice and flushes on the way of the groups. */
static bool is_worth_keeping(const struct wal_files *fs, const struct wal_file *file)
{
	struct disk *disk = fs->config->disk;

	if (file->size <= WAL_BLOCK_BYTES || fs->spare_count >= SPARES_MAX)
		return false;
	if (fs->spare_count < SPARES_ALWAYS)
		return true;
	return (fs->spare_count + 1) * file->size <=
	       disk->ops->space(disk, fs->config->dir) / SPARES_SHARE;
}

static void spare_or_remove(struct wal_files *fs, struct wal_file *file)
{
	if (is_worth_keeping(fs, file)) {
		if (file->size >= fs->config->file_bytes)
			list_prepend(&fs->spares, &file->node);
		else
			list_append(&fs->spares, &file->node);
		fs->spare_count++;
		return;
	}
	remove_file(fs, file->number);
	free(file);
}

void wal_files_free_through(struct wal_files *fs, uint64_t sequence)
{
	LIST_EACH_SAFE (node, after, &fs->sealed) {
		struct wal_file *file = LIST_ENTRY(node, struct wal_file, node);

		if (file->last_sequence > sequence)
			continue;
		list_remove(node);
		close_sealed(fs, file);
		spare_or_remove(fs, file);
	}
}

static void ahead_path(const struct wal_files *fs, char *path, size_t cap)
{
	snprintf(path, cap, "%s/%s", fs->config->dir, ahead_name);
}

/* There may be none. */
static void remove_ahead(struct wal_files *fs)
{
	char path[PATH_MAX];

	ahead_path(fs, path, sizeof(path));
	fs->config->disk->ops->unlink(fs->config->disk, path);
}

/* --- after recovery --------------------------------------------------------------------------- */

/* Every file that counts is synced, even when nothing is cut: what a killed process wrote may be in
 * the page cache only, and all that comes after will rely on it. */
static enum err make_found_last(struct wal_files *fs, const struct wal_found_file *file,
                                int64_t size, struct fault *f)
{
	struct disk *disk = fs->config->disk;
	char path[PATH_MAX];
	enum err err;
	int fd;
	int rc;

	file_path(fs, file->number, path, sizeof(path));
	err = disk_open(disk, path, O_RDWR, &fd, f);
	if (err)
		return err;
	rc = size < file->size ? disk->ops->truncate(disk, fd, size) : 0;
	if (rc < 0)
		err = fault_set(f, ERR_IO, -rc, "wal cut %s", path);
	else
		err = disk_sync(disk, fd, path, f);
	disk->ops->close(disk, fd);
	return err;
}

static enum err adopt_file(struct wal_files *fs, const struct wal_found_file *found, int64_t size,
                           struct fault *f)
{
	struct wal_file *file;

	if (found->last_sequence > 0 || size < found->size) {
		enum err err = make_found_last(fs, found, size, f);

		if (err)
			return err;
	}
	file = calloc(1, sizeof(*file));
	if (!file)
		return fault_set(f, ERR_NO_MEMORY, 0, "wal open %s", fs->config->dir);
	file->fd = -1;
	file->number = found->number;
	file->last_sequence = found->last_sequence;
	file->bytes = found->frame_bytes;
	/* One that holds nothing stays until the next one is there: a directory without any file is
	 * what a lost WAL looks like. Then it goes: there may be frames in it of a log that a crash
	 * cut off, which were never seen, and must not be where a header could get lost. */
	if (file->last_sequence > 0) {
		file->size = size;
		file->since_ms = fs->config->clock->now(fs->config->clock).wall_ms;
	}
	list_append(&fs->sealed, &file->node);
	return OK;
}

enum err wal_files_adopt(struct wal_files *fs, const struct wal_found *found, struct fault *f)
{
	enum err err;

	if (found->file_count == 0)
		return OK;
	remove_ahead(fs);
	fs->next_number = found->files[found->file_count - 1].number + 1;
	for (size_t i = 0; i < found->file_count; i++) {
		const struct wal_found_file *file = &found->files[i];
		int64_t size = file->size;

		if (i == found->end_file && found->end_at < size)
			size = found->end_at;
		if (i > found->end_file) {
			remove_file(fs, file->number);
			continue;
		}
		err = adopt_file(fs, file, size, f);
		if (err)
			return err;
	}
	return sync_dir(fs, f);
}

/* --- the active file -------------------------------------------------------------------------- */

/* Some file systems open for O_DIRECT and refuse the write then; nothing of it is written. */
enum err wal_files_write(struct wal_files *fs, const struct iovec *iov, int count, int64_t at,
                         bool direct, struct fault *f)
{
	struct disk *disk = fs->config->disk;
	enum err err;

	if (direct && fs->direct_fd >= 0) {
		err = disk_write_all(disk, fs->direct_fd, iov, count, at, fs->path, f);
		if (!err || f->os_errno != EINVAL)
			return err;
		close_direct(fs);
	}
	return disk_write_all(disk, fs->fd, iov, count, at, fs->path, f);
}

/* Of the zeros from `from` to `to` as many as one write takes. Returns where they end. */
static int64_t lay_out_zeros(const struct wal_files *fs, int64_t from, int64_t to,
                             struct iovec iov[ZEROS_AT_ONCE], int *count)
{
	for (*count = 0; *count < ZEROS_AT_ONCE && from < to; ++*count) {
		int64_t len = to - from < ZEROS_BYTES ? to - from : ZEROS_BYTES;

		iov[*count] = (struct iovec){fs->zeros, (size_t)len};
		from += len;
	}
	return from;
}

static enum err write_zeros(struct wal_files *fs, int64_t from, int64_t to, bool direct,
                            struct fault *f)
{
	struct iovec iov[ZEROS_AT_ONCE];
	enum err err = OK;

	while (from < to && !err) {
		int count;
		int64_t end = lay_out_zeros(fs, from, to, iov, &count);

		err = wal_files_write(fs, iov, count, from, direct, f);
		from = end;
	}
	return err;
}

enum err wal_files_grow(struct wal_files *fs, int64_t to, bool lasting, struct fault *f)
{
	struct disk *disk = fs->config->disk;
	int64_t space = disk->ops->space(disk, fs->config->dir);
	enum err err;

	CHECK(fs->active);
	CHECK(to > fs->grown);
	if (space >= 0 && to - fs->grown > space)
		return fault_set(f, ERR_DISK_FULL, ENOSPC, "wal grow %s", fs->path);
	err = write_zeros(fs, fs->grown, to, lasting, f);
	if (!err && lasting)
		err = disk_sync(disk, fs->fd, fs->path, f);
	if (err == ERR_DISK_FULL)
		disk->ops->truncate(disk, fs->fd, fs->grown);
	if (err)
		return err;
	fs->grown = to;
	fs->active->size = to;
	return OK;
}

/* What could not be flushed is lost, whatever the reason. */
static enum err flush_sealed(struct wal_files *fs, struct wal_file *file, struct fault *f)
{
	char path[PATH_MAX];
	enum err err;

	file_path(fs, file->number, path, sizeof(path));
	err = disk_sync(fs->config->disk, file->fd, path, f);
	if (err)
		return f->code = ERR_IO;
	close_sealed(fs, file);
	return OK;
}

enum err wal_files_flush(struct wal_files *fs, struct fault *f)
{
	enum err err = OK;

	LIST_EACH (node, &fs->sealed) {
		struct wal_file *file = LIST_ENTRY(node, struct wal_file, node);

		if (file->fd >= 0 && !err)
			err = flush_sealed(fs, file, f);
	}
	if (!err)
		err = disk_sync(fs->config->disk, fs->fd, fs->path, f);
	if (!err && fs->names_unflushed)
		err = sync_dir(fs, f);
	if (!err)
		fs->names_unflushed = false;
	return err;
}

/* So the disk sets the pace in the end, a file at a time. */
static enum err make_room_unflushed(struct wal_files *fs, struct fault *f)
{
	if (fs->unflushed_count < UNFLUSHED_MAX)
		return OK;
	LIST_EACH (node, &fs->sealed) {
		struct wal_file *file = LIST_ENTRY(node, struct wal_file, node);

		if (file->fd >= 0)
			return flush_sealed(fs, file, f);
	}
	return OK;
}

enum err wal_files_trim(struct wal_files *fs, struct fault *f)
{
	struct disk *disk = fs->config->disk;
	int rc = disk->ops->truncate(disk, fs->fd, fs->at);

	if (rc < 0)
		return fault_set(f, ERR_IO, -rc, "wal trim %s", fs->path);
	fs->grown = fs->at;
	fs->active->size = fs->at;
	return disk_sync(disk, fs->fd, fs->path, f);
}

/* --- the next file ---------------------------------------------------------------------------- */

static enum err rename_as(struct wal_files *fs, const char *from, const char *to, struct fault *f)
{
	int rc = fs->config->disk->ops->rename(fs->config->disk, from, to);

	if (rc == -ENOSPC || rc == -EDQUOT)
		return fault_set(f, ERR_DISK_FULL, -rc, "wal recycle %s as %s", from, to);
	if (rc < 0)
		return fault_set(f, ERR_IO, -rc, "wal recycle %s as %s", from, to);
	return OK;
}

bool wal_files_drop_ahead(struct wal_files *fs)
{
	if (fs->ahead_fd < 0)
		return false;
	fs->config->disk->ops->close(fs->config->disk, fs->ahead_fd);
	fs->ahead_fd = -1;
	fs->ahead_ready = false;
	remove_ahead(fs);
	return true;
}

static enum err open_ahead(struct wal_files *fs, struct fault *f)
{
	int direct = fs->direct_fd >= 0 ? O_DIRECT : 0;
	char path[PATH_MAX];

	ahead_path(fs, path, sizeof(path));
	fs->ahead_size = 0;
	return disk_open(fs->config->disk, path, O_RDWR | O_CREAT | O_TRUNC | direct, &fs->ahead_fd,
	                 f);
}

static enum err grow_ahead(struct wal_files *fs, int64_t to, struct fault *f)
{
	struct iovec iov[ZEROS_AT_ONCE];
	enum err err = fs->ahead_fd < 0 ? open_ahead(fs, f) : OK;

	while (!err && fs->ahead_size < to) {
		int count;
		int64_t end = lay_out_zeros(fs, fs->ahead_size, to, iov, &count);

		err = disk_write_all(fs->config->disk, fs->ahead_fd, iov, count, fs->ahead_size,
		                     ahead_name, f);
		fs->ahead_size = end;
	}
	return err;
}

enum err wal_files_make_ahead(struct wal_files *fs, int64_t bytes, struct fault *f)
{
	int64_t full = wal_block_round(fs->config->file_bytes + fs->config->reserve_bytes);
	int64_t to = fs->ahead_fd < 0 ? bytes : fs->ahead_size + bytes;
	enum err err;

	CHECK(!fs->ahead_ready);
	err = grow_ahead(fs, to < full ? to : full, f);
	if (!err && fs->ahead_size == full) {
		err = disk_sync(fs->config->disk, fs->ahead_fd, ahead_name, f);
		fs->ahead_ready = !err;
	}
	if (err != ERR_DISK_FULL)
		return err;
	wal_files_drop_ahead(fs);
	fs->ahead_failed = true;
	return OK;
}

int64_t wal_files_next_size(const struct wal_files *fs)
{
	if (fs->ahead_ready)
		return fs->ahead_size;
	return list_is_empty(&fs->spares)
	               ? 0
	               : LIST_ENTRY(fs->spares.next, struct wal_file, node)->size;
}

static enum err open_ready(struct wal_files *fs, const char *path, int *fd, int64_t *size,
                           struct fault *f)
{
	char from[PATH_MAX];
	enum err err;

	ahead_path(fs, from, sizeof(from));
	err = rename_as(fs, from, path, f);
	if (err)
		return err;
	*size = fs->ahead_size;
	fs->config->disk->ops->close(fs->config->disk, fs->ahead_fd);
	fs->ahead_fd = -1;
	fs->ahead_ready = false;
	return disk_open(fs->config->disk, path, O_RDWR, fd, f);
}

/* One made ahead or a spare file under the new name, else a new one. `size` is what it has
 * already. */
static enum err open_next(struct wal_files *fs, const char *path, int *fd, int64_t *size,
                          struct fault *f)
{
	struct disk *disk = fs->config->disk;
	struct wal_file *spare;
	char from[PATH_MAX];
	enum err err;

	*size = 0;
	if (fs->ahead_ready)
		return open_ready(fs, path, fd, size, f);
	if (list_is_empty(&fs->spares))
		return disk_open(disk, path, O_RDWR | O_CREAT | O_EXCL, fd, f);
	spare = LIST_ENTRY(fs->spares.next, struct wal_file, node);
	file_path(fs, spare->number, from, sizeof(from));
	err = rename_as(fs, from, path, f);
	if (err)
		return err;
	*size = spare->size;
	list_remove(&spare->node);
	fs->spare_count--;
	free(spare);
	return disk_open(disk, path, O_RDWR, fd, f);
}

static enum err write_header(struct wal_files *fs, const struct wal_file_header *h, int fd,
                             const char *path, struct fault *f)
{
	uint8_t block[WAL_BLOCK_BYTES] = {0};
	struct iovec iov = {block, sizeof(block)};

	wal_file_header_encode(h, block);
	return disk_write_all(fs->config->disk, fd, &iov, 1, 0, path, f);
}

static enum err make_lasting(struct wal_files *fs, int fd, const char *path, struct fault *f)
{
	enum err err = disk_sync(fs->config->disk, fd, path, f);

	return err ? err : sync_dir(fs, f);
}

static enum err begin_file(struct wal_files *fs, struct wal_file *file, uint64_t first_sequence,
                           uint64_t durable_through, struct fault *f)
{
	bool lasting = durable_through + 1 == first_sequence;
	const struct wal_config *config = fs->config;
	struct wal_file_header h = {
		.version = WAL_VERSION,
		.number = fs->next_number,
		.first_sequence = first_sequence,
		.store_id = config->store_id,
		.durable_through = durable_through,
	};
	char path[PATH_MAX];
	int64_t size;
	enum err err;
	int fd;

	memcpy(h.kind, config->kind, sizeof(h.kind));
	config->entropy->fill(config->entropy, &h.generation, sizeof(h.generation));
	file_path(fs, h.number, path, sizeof(path));
	fs->next_number++;
	err = open_next(fs, path, &fd, &size, f);
	if (err)
		return err;
	err = write_header(fs, &h, fd, path, f);
	if (!err && lasting)
		err = make_lasting(fs, fd, path, f);
	if (err) {
		config->disk->ops->close(config->disk, fd);
		remove_file(fs, h.number);
		return err;
	}
	seal_active(fs, lasting);
	fs->names_unflushed = !lasting;
	fs->fd = fd;
	fs->direct_fd = config->disk->ops->open(config->disk, path, O_RDWR | O_DIRECT);
	file_path(fs, h.number, fs->path, sizeof(fs->path));
	fs->generation = h.generation;
	fs->at = WAL_BLOCK_BYTES;
	fs->grown =
		size > WAL_BLOCK_BYTES ? size & ~(int64_t)(WAL_BLOCK_BYTES - 1) : WAL_BLOCK_BYTES;
	*file = (struct wal_file){.number = h.number, .size = fs->grown, .fd = -1};
	fs->active = file;
	return OK;
}

/* As much of the reserve as there is space for: whoever needs more asks for it again. */
static enum err grow_reserve(struct wal_files *fs, bool lasting, struct fault *f)
{
	struct disk *disk = fs->config->disk;
	int64_t space = disk->ops->space(disk, fs->config->dir) & ~(int64_t)(WAL_BLOCK_BYTES - 1);
	int64_t want = fs->at + fs->config->reserve_bytes - fs->grown;
	enum err err;

	if (space >= 0 && want > space)
		want = space;
	if (want <= 0)
		return OK;
	err = wal_files_grow(fs, fs->grown + want, lasting, f);
	return err == ERR_DISK_FULL ? OK : err;
}

/* The old file's reserve is what the new one lives on. */
static enum err pass_on_reserve(struct wal_files *fs, struct fault *f)
{
	struct disk *disk = fs->config->disk;
	int64_t need = WAL_BLOCK_BYTES + fs->config->reserve_bytes;
	int64_t space = disk->ops->space(disk, fs->config->dir);

	if (!fs->active || fs->grown == fs->at || wal_files_next_size(fs) >= need || space < 0 ||
	    space >= need)
		return OK;
	return wal_files_trim(fs, f);
}

enum err wal_files_begin(struct wal_files *fs, uint64_t first_sequence, uint64_t durable_through,
                         struct fault *f)
{
	struct wal_file *file = calloc(1, sizeof(*file));
	enum err err;

	if (!file)
		return fault_set(f, ERR_NO_MEMORY, 0, "wal begin a file in %s", fs->config->dir);
	err = make_room_unflushed(fs, f);
	if (!err)
		err = pass_on_reserve(fs, f);
	if (!err)
		err = begin_file(fs, file, first_sequence, durable_through, f);
	if (err == ERR_DISK_FULL && fs->active && fs->grown > fs->at) {
		err = wal_files_trim(fs, f);
		if (!err)
			err = begin_file(fs, file, first_sequence, durable_through, f);
	}
	if (err) {
		free(file);
		return err;
	}
	fs->ahead_failed = false;
	return grow_reserve(fs, durable_through + 1 == first_sequence, f);
}
