#include "store/verify/cut.h"

#include "base/buf.h"
#include "base/endian.h"
#include "io/disk.h"
#include "io/log.h"
#include "store/chunklog/manifest.h"
#include "store/datadir.h"
#include "store/wal_recover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ASIDE_MAX = 10000 };

/* A frame's header to be written; or a new one, a mark. */
struct patch {
	uint64_t file;
	int64_t at;
	uint8_t bytes[WAL_FRAME_HEADER_BYTES];
};

struct cutting {
	const struct verify_plan *plan;
	struct disk *disk;
	struct datadir dir;
	char engine[DATADIR_ENGINE_BYTES];
	struct log *log;
	struct buf manifest;
	struct manifest head;
	struct buf rewritten;  /* the manifest as it will be */
	struct patch *patches; /* owned */
	size_t patch_count;
};

/* Its own: a checksum over that as well would be the same for all. */
uint32_t verify_plan_crc(struct slice manifest)
{
	CHECK(manifest.len > 4);
	return load_le32(manifest.ptr + manifest.len - 4);
}

void verify_plan_fini(struct verify_plan *plan)
{
	free(plan->partitions);
	free(plan->gaps);
	*plan = (struct verify_plan){0};
}

static const struct cut_partition *planned(const struct verify_plan *plan, const struct uuid *topic,
                                           uint32_t index)
{
	for (size_t i = 0; i < plan->partition_count; i++)
		if (plan->partitions[i].index == index &&
		    uuid_eq(&plan->partitions[i].topic, topic))
			return &plan->partitions[i];
	return NULL;
}

/* --- copies ----------------------------------------------------------------------------------- */

static bool exists(struct disk *d, const char *path)
{
	int fd = d->ops->open(d, path, O_RDONLY);

	if (fd >= 0)
		d->ops->close(d, fd);
	return fd != -ENOENT;
}

/* "<path>.cut-<n>", which is not there yet. */
static void aside(struct disk *d, const char *path, char into[SEGMENT_PATH_BYTES])
{
	for (int n = 1; n < ASIDE_MAX; n++) {
		snprintf(into, SEGMENT_PATH_BYTES, "%.*s.cut-%d", SEGMENT_PATH_BYTES - 20, path, n);
		if (!exists(d, into))
			return;
	}
}

/* What `path` holds from byte `at` on goes to a file beside it, for good once its directory is
 * synced. */
static enum err copy_aside(struct disk *d, const char *path, int64_t at, struct fault *f)
{
	char beside[SEGMENT_PATH_BYTES];
	int64_t size;
	enum err err;
	int from, to;

	aside(d, path, beside);
	err = disk_open(d, path, O_RDONLY, &from, f);
	if (err)
		return err;
	size = d->ops->size(d, from);
	err = size < 0 ? fault_set(f, ERR_IO, (int)-size, "measure %s", path)
	               : disk_open(d, beside, O_RDWR | O_CREAT | O_EXCL, &to, f);
	if (!err) {
		err = disk_copy(d, from, to, at, size - at, beside, f);
		d->ops->close(d, to);
	}
	d->ops->close(d, from);
	return err;
}

/* --- WAL -------------------------------------------------------------------------------------- */

static void add_patch(struct cutting *c, uint64_t file, int64_t at, const struct wal_frame *frame,
                      uint64_t generation)
{
	struct patch *p;

	c->patches = reallocarray(c->patches, c->patch_count + 1, sizeof(*c->patches));
	CHECK(c->patches);
	p = &c->patches[c->patch_count++];
	p->file = file;
	p->at = at;
	wal_frame_encode(frame, generation, p->bytes);
}

static enum err skip_frame(void *arg __attribute__((unused)),
                           const struct wal_frame *frame __attribute__((unused)),
                           struct fault *f __attribute__((unused)))
{
	return OK;
}

/* A frame of a partition that ends before it: its sequence stays, its events go. */
static void patch_item(struct cutting *c, const struct wal_item *item, uint64_t generation)
{
	struct wal_frame frame = item->frame;
	const struct cut_partition *cut = planned(c->plan, &frame.topic, frame.partition);

	if (!cut || frame.log_end <= cut->from || frame.type == WAL_MARK)
		return;
	if (frame.type == WAL_TRIM)
		frame.log_end = cut->from;
	else
		frame.type = WAL_MARK;
	add_patch(c, frame.file, item->at, &frame, generation);
}

static enum err patch_frames(struct cutting *c, const struct wal_config *config,
                             const struct wal_found *found, struct fault *f)
{
	struct wal_cursor cursor;
	struct wal_item item;
	enum err err;

	wal_cursor_init(&cursor, config, found->files, found->file_count, found->freed_count);
	for (;;) {
		err = wal_cursor_next(&cursor, config->checkpointed + 1, &item, f);
		if (err || item.kind == WAL_ITEM_END)
			break;
		if (item.file > found->end_file ||
		    (item.file == found->end_file && item.at >= found->end_at))
			break;
		if (item.kind != WAL_ITEM_FILE && item.frame.sequence > config->checkpointed &&
		    item.frame.payload.ptr)
			patch_item(c, &item, cursor.generation);
	}
	wal_cursor_fini(&cursor);
	return err;
}

/* Every frame that is missing had the room of a mark at least. */
static enum err patch_gap(struct cutting *c, const struct wal_found *found,
                          const struct cut_gap *gap, struct fault *f)
{
	const struct wal_found_file *file = NULL;

	for (size_t i = 0; i < found->file_count; i++)
		if (found->files[i].number == gap->file)
			file = &found->files[i];
	if (!file || !file->header_good ||
	    gap->count > (uint64_t)(file->size - gap->at) / WAL_FRAME_HEADER_BYTES)
		return fault_set(f, ERR_NOT_IMPLEMENTED, 0,
		                 "%s/wal/%" PRIu64 ".wal has no room for what is missing",
		                 c->dir.path, gap->file);
	for (uint64_t i = 0; i < gap->count; i++) {
		const struct wal_frame mark = {.type = WAL_MARK, .sequence = gap->sequence + i};

		add_patch(c, gap->file, gap->at + (int64_t)i * WAL_FRAME_HEADER_BYTES, &mark,
		          file->generation);
	}
	return OK;
}

static enum err plan_wal(struct cutting *c, struct clock *clock, const char *dir, struct fault *f)
{
	const struct wal_config config = {
		.dir = dir,
		.kind = "data",
		.store_id = c->dir.id,
		.checkpointed = c->head.checkpointed,
		.disk = c->disk,
		.clock = clock,
		.log = c->log,
	};
	struct wal_found found = {0};
	enum err err = wal_recover(&config, skip_frame, NULL, &found, f);

	if (err)
		return err;
	for (size_t i = 0; i < c->plan->gap_count && !err; i++)
		err = patch_gap(c, &found, &c->plan->gaps[i], f);
	if (!err)
		err = patch_frames(c, &config, &found, f);
	wal_found_fini(&found);
	return err;
}

static enum err write_patches(struct cutting *c, uint64_t file, const char *path, struct fault *f)
{
	enum err err;
	int fd;

	err = disk_open(c->disk, path, O_RDWR, &fd, f);
	if (err)
		return err;
	for (size_t i = 0; i < c->patch_count && !err; i++) {
		struct patch *p = &c->patches[i];
		struct iovec iov = {p->bytes, sizeof(p->bytes)};

		if (p->file == file)
			err = disk_write_all(c->disk, fd, &iov, 1, p->at, path, f);
	}
	if (!err)
		err = disk_sync(c->disk, fd, path, f);
	c->disk->ops->close(c->disk, fd);
	return err;
}

static bool is_first_of_file(const struct cutting *c, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (c->patches[k].file == c->patches[i].file)
			return false;
	return true;
}

static enum err each_patched_file(struct cutting *c, const char *dir, bool write, struct fault *f)
{
	char name[WAL_NAME_BYTES_MAX], path[SEGMENT_PATH_BYTES];
	enum err err = OK;

	for (size_t i = 0; i < c->patch_count && !err; i++) {
		if (!is_first_of_file(c, i))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, wal_name(c->patches[i].file, name));
		err = write ? write_patches(c, c->patches[i].file, path, f)
		            : copy_aside(c->disk, path, 0, f);
	}
	return err ? err : disk_sync_dir(c->disk, dir, f);
}

/* --- segments --------------------------------------------------------------------------------- */

static struct segment_home home_of(const struct cutting *c, const struct cut_partition *p)
{
	return (struct segment_home){
		.disk = c->disk,
		.root = c->dir.path,
		.store_id = &c->dir.id,
		.topic = &p->topic,
		.partition = p->index,
	};
}

/* What is whole of `s` below the cut; `end_offset` is its base offset when that is nothing. */
static struct segment part_below(const struct cutting *c, const struct cut_partition *p,
                                 const struct segment *s)
{
	struct segment_home home = home_of(c, p);
	struct segment part = *s;
	struct fault unused;

	if (s->end_offset <= p->from)
		return part;
	if (s->base_offset >= p->from) {
		part.end_offset = part.base_offset;
		return part;
	}
	part.end_offset = p->from;
	if (segment_check(&home, &part, &unused))
		part.end_offset = part.end_offset < p->from ? part.end_offset : p->from;
	return part;
}

/* The same with the cut made. */
static struct saved saved_cut(const struct cutting *c, const struct cut_partition *p,
                              const struct saved *now, struct segment *segments)
{
	struct saved cut = *now;

	cut.segments = segments;
	cut.segment_count = 0;
	cut.damage = (struct damage){-1, -1};
	if (cut.end_offset > p->from)
		cut.end_offset = p->from;
	if (cut.compacted > p->from)
		cut.compacted = p->from;
	for (uint32_t i = 0; i < now->segment_count; i++) {
		struct segment part = part_below(c, p, &now->segments[i]);

		if (part.end_offset > part.base_offset)
			segments[cut.segment_count++] = part;
	}
	return cut;
}

static enum err rewrite_partition(void *arg, const struct uuid *topic, uint32_t index,
                                  const struct saved *s, struct fault *f __attribute__((unused)))
{
	struct cutting *c = arg;
	const struct cut_partition *p = planned(c->plan, topic, index);
	struct segment *segments;
	struct saved cut;

	if (!p) {
		manifest_add(&c->rewritten, topic, index, s);
		return OK;
	}
	segments = calloc(s->segment_count + 1, sizeof(*segments));
	CHECK(segments);
	cut = saved_cut(c, p, s, segments);
	manifest_add(&c->rewritten, topic, index, &cut);
	free(segments);
	return OK;
}

/* For each segment of a cut partition that loses something: `keep` bytes of it stay, 0: none. */
typedef enum err lose_cb(struct cutting *c, const char *path, int64_t keep, struct fault *f);

struct losing {
	struct cutting *c;
	lose_cb *lose;
};

static enum err lose_segments(void *arg, const struct uuid *topic, uint32_t index,
                              const struct saved *s, struct fault *f)
{
	struct losing *l = arg;
	const struct cut_partition *p = planned(l->c->plan, topic, index);
	struct segment_home home;
	char path[SEGMENT_PATH_BYTES];
	bool any = false;
	enum err err = OK;

	if (!p)
		return OK;
	home = home_of(l->c, p);
	for (uint32_t i = 0; i < s->segment_count && !err; i++) {
		struct segment part = part_below(l->c, p, &s->segments[i]);

		if (part.end_offset == s->segments[i].end_offset)
			continue;
		segment_path(&home, &part, path);
		if (!exists(l->c->disk, path))
			continue;
		any = true;
		err = l->lose(l->c, path, part.end_offset > part.base_offset ? part.bytes : 0, f);
	}
	return err || !any ? err : segment_sync_dir(&home, f);
}

static enum err keep_copy(struct cutting *c, const char *path, int64_t keep, struct fault *f)
{
	return keep > 0 ? copy_aside(c->disk, path, keep, f) : OK;
}

/* It tells of a segment that is no more. One that stays does not match what there is. */
static void drop_index(struct disk *disk, const char *segment)
{
	char path[SEGMENT_PATH_BYTES];

	snprintf(path, sizeof(path), "%.*sidx", (int)(strlen(segment) - strlen("seg")), segment);
	(void)!disk->ops->unlink(disk, path);
}

static enum err cut_file(struct cutting *c, const char *path, int64_t keep, struct fault *f)
{
	char beside[SEGMENT_PATH_BYTES];
	enum err err;
	int fd, got;

	drop_index(c->disk, path);
	if (keep == 0) {
		aside(c->disk, path, beside);
		got = c->disk->ops->rename(c->disk, path, beside);
		return got < 0 ? fault_set(f, ERR_IO, -got, "rename %s", path) : OK;
	}
	err = disk_open(c->disk, path, O_RDWR, &fd, f);
	if (err)
		return err;
	err = disk_cut(c->disk, fd, path, keep, f);
	c->disk->ops->close(c->disk, fd);
	return err;
}

static enum err each_lost_segment(struct cutting *c, lose_cb *lose, struct fault *f)
{
	struct losing l = {c, lose};
	struct manifest unused;

	return manifest_decode(buf_slice(&c->manifest), &c->dir.id, &unused, lose_segments, &l, f);
}

/* --- all of it -------------------------------------------------------------------------------- */

/* The one that verify went by: the one before, when a replacement was cut short. */
static enum err read_manifest(struct cutting *c, struct fault *f)
{
	char path[DATADIR_FILE_BYTES_MAX];
	enum err err;

	snprintf(path, sizeof(path), "%s/manifest", c->dir.path);
	err = disk_read_file(c->disk, path, &c->manifest, f);
	if (err == ERR_NOT_FOUND) {
		snprintf(path, sizeof(path), "%s/manifest.prev", c->dir.path);
		err = disk_read_file(c->disk, path, &c->manifest, f);
	}
	if (err)
		return err;
	if (c->manifest.len <= 4 ||
	    verify_plan_crc(buf_slice(&c->manifest)) != c->plan->manifest_crc)
		return fault_set(f, ERR_BUSY, 0, "%s was changed meanwhile; verify it again",
		                 c->dir.path);
	return OK;
}

static enum err rewrite_manifest(struct cutting *c, struct fault *f)
{
	struct manifest unclean;
	enum err err = manifest_decode(buf_slice(&c->manifest), &c->dir.id, &c->head, lose_segments,
	                               &(struct losing){c, keep_copy}, f);

	if (err)
		return err;
	unclean = c->head;
	unclean.clean = false;
	manifest_begin(&c->rewritten, &unclean, &c->dir.id);
	err = manifest_decode(buf_slice(&c->manifest), &c->dir.id, &c->head, rewrite_partition, c,
	                      f);
	manifest_finish(&c->rewritten);
	return err;
}

static enum err carry_out(struct cutting *c, struct clock *clock, struct fault *f)
{
	char wal[DATADIR_FILE_BYTES_MAX];
	enum err err = read_manifest(c, f);

	snprintf(wal, sizeof(wal), "%s/wal", c->dir.path);
	if (!err)
		err = rewrite_manifest(c, f);
	if (!err)
		err = plan_wal(c, clock, wal, f);
	if (!err)
		err = each_patched_file(c, wal, false, f);
	if (!err)
		err = each_patched_file(c, wal, true, f);
	if (!err)
		err = datadir_claim(&c->dir, c->engine, f);
	if (!err)
		err = manifest_write(c->disk, c->dir.path, buf_slice(&c->rewritten), f);
	if (!err)
		err = each_lost_segment(c, cut_file, f);
	return err;
}

enum err verify_cut(const struct verify_config *config, const struct verify_plan *plan,
                    struct fault *f)
{
	struct cutting c = {
		.plan = plan,
		.disk = config->disk,
		.manifest = BUF_INIT(MANIFEST_BYTES_MAX),
		.rewritten = BUF_INIT(MANIFEST_BYTES_MAX),
	};
	enum err err = datadir_examine(config->path, config->disk, &c.dir, c.engine, f);

	if (err)
		return err;
	c.log = log_new(STDERR_FILENO, LOG_OFF, false, config->clock);
	err = carry_out(&c, config->clock, f);
	free(c.patches);
	buf_fini(&c.manifest);
	buf_fini(&c.rewritten);
	log_free(c.log);
	datadir_close(&c.dir);
	return err;
}
