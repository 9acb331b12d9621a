/* Where a group goes: room in the active file, which grows ahead of use, or in the next file. */
#include "store/wal_writer.h"

#include "io/disk.h"

#include <errno.h>

enum {
	GROW_BYTES_MIN = 1 << 20,
	GROW_BYTES_MAX = 2 << 20, /* somebody waits for it: 1 to 2 ms */
	GROW_BYTES_LEFT =
		GROW_BYTES_MIN / 2, /* ahead, when less is left; at MIN each group would */
	GROW_SHARE = 20, /* growing ahead takes at most one part in so many of the free space */
	AHEAD_FROM = 16, /* the next file is made when one has grown to one part in so many … */
	AHEAD_BYTES = 256 << 10, /* … in pieces of this … */
	AHEAD_EVERY =
		64 << 10, /* … each time so much was written: it is there long before the end */
};

int64_t wal_space_left(const struct wal *w, bool reserved)
{
	const struct wal_files *fs = &w->files;

	if (!fs->active)
		return 0;
	return fs->grown - fs->at - (reserved ? 0 : w->config.reserve_bytes);
}

enum err wal_space_next_file(struct wal *w, struct fault *f)
{
	enum err err = wal_files_begin(&w->files, w->last_sequence + 1, w->durable_through, f);

	if (err)
		return err;
	w->marked_through = w->durable_through; /* the new header says so */
	w->mark_due_mono = 0;
	return OK;
}

/* How far to grow so that there are `bytes` and the reserve, and some more if space is plenty. As
 * much again as is used: a busy file grows in few steps, an idle one stays small. */
static int64_t growth_target(const struct wal *w, int64_t bytes, bool reserved)
{
	const struct wal_files *fs = &w->files;
	struct disk *disk = w->config.disk;
	int64_t reserve = w->config.reserve_bytes;
	int64_t need = fs->at + bytes + (reserved ? 0 : reserve);
	int64_t most = wal_block_round(w->config.file_bytes + reserve);
	int64_t ahead = fs->at < GROW_BYTES_MIN ? GROW_BYTES_MIN : wal_block_round(fs->at);
	int64_t space = disk->ops->space(disk, w->config.dir);

	if (ahead > GROW_BYTES_MAX)
		ahead = GROW_BYTES_MAX;
	if (reserved || ahead > space / GROW_SHARE || need >= most)
		return need;
	return need + ahead < most ? need + ahead : most;
}

static bool is_flushed(const struct wal *w)
{
	return w->durable_through == w->last_sequence;
}

static enum err grow_for(struct wal *w, int64_t bytes, bool reserved, struct fault *f)
{
	return wal_files_grow(&w->files, growth_target(w, bytes, reserved), is_flushed(w), f);
}

/* A file of full size that waits is better than growing. */
static bool has_next(const struct wal *w)
{
	return wal_files_next_size(&w->files) >= w->config.file_bytes;
}

/* With what is made ahead given back, if need be. */
static enum err grow_at_all_costs(struct wal *w, int64_t bytes, bool reserved, struct fault *f)
{
	enum err err = grow_for(w, bytes, reserved, f);

	if (err == ERR_DISK_FULL && wal_files_drop_ahead(&w->files))
		err = grow_for(w, bytes, reserved, f);
	return err;
}

enum err wal_space_make(struct wal *w, int64_t bytes, bool reserved, struct fault *f)
{
	struct wal_files *fs = &w->files;
	bool is_full =
		!fs->active || (fs->at > WAL_BLOCK_BYTES && fs->at + bytes > w->config.file_bytes);
	enum err err;

	if (!is_full && wal_space_left(w, reserved) < bytes && has_next(w))
		is_full = true;
	if (is_full) {
		err = wal_space_next_file(w, f);
		if (err && !(err == ERR_NO_MEMORY && fs->active)) /* then this one grows on */
			return err;
	}
	if (wal_space_left(w, reserved) >= bytes)
		return OK;
	err = grow_at_all_costs(w, bytes, reserved, f);
	if (err != ERR_DISK_FULL || list_is_empty(&fs->spares))
		return err;
	err = wal_space_next_file(w, f);
	if (err == ERR_NO_MEMORY) /* as full as it was */
		return fault_set(f, ERR_DISK_FULL, ENOSPC, "wal grow %s", fs->path);
	if (!err && wal_space_left(w, reserved) < bytes)
		err = grow_for(w, bytes, reserved, f);
	return err;
}

/* Off the hot path: nobody waits. Space that there is not, is asked for again when it is needed. */
enum err wal_space_grow_ahead(struct wal *w, struct fault *f)
{
	struct wal_files *fs = &w->files;
	int64_t to;
	enum err err;

	if (!fs->active || wal_space_left(w, false) >= GROW_BYTES_LEFT ||
	    fs->at >= w->config.file_bytes || has_next(w))
		return OK;
	to = growth_target(w, 0, false);
	if (to <= fs->grown)
		return OK;
	err = wal_files_grow(fs, to, is_flushed(w), f);
	return err == ERR_DISK_FULL ? OK : err;
}

static bool wants_ahead(const struct wal *w)
{
	const struct wal_files *fs = &w->files;
	struct disk *disk = w->config.disk;
	int64_t full = w->config.file_bytes + w->config.reserve_bytes;

	if (!fs->active || fs->ahead_failed || fs->grown < w->config.file_bytes / AHEAD_FROM ||
	    has_next(w))
		return false;
	return fs->ahead_fd >= 0 || full <= disk->ops->space(disk, w->config.dir) / GROW_SHARE;
}

/* Only where each group is flushed: what is done with the page cache is done sooner than this. */
enum err wal_space_make_ahead(struct wal *w, struct fault *f)
{
	const struct wal_files *fs = &w->files;

	if (!is_flushed(w))
		return OK;
	if (fs->at >= w->ahead_at && fs->at - w->ahead_at < AHEAD_EVERY)
		return OK;
	w->ahead_at = fs->at;
	return wants_ahead(w) ? wal_files_make_ahead(&w->files, AHEAD_BYTES, f) : OK;
}
