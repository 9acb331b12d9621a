/* The two WALs' part of verify: the catalog's and the data's. */
#include "base/buf.h"
#include "io/disk.h"
#include "store/chunk.h"
#include "store/verify/verify_pass.h"
#include "store/wal_recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

static void wal_path(const char *dir, uint64_t number, char into[DATADIR_FILE_BYTES_MAX])
{
	char name[WAL_NAME_BYTES_MAX];

	snprintf(into, DATADIR_FILE_BYTES_MAX, "%.*s/%s", DATADIR_PATH_BYTES_MAX + 16, dir,
	         wal_name(number, name));
}

static bool exists(const struct verify_pass *v, const char *path)
{
	struct disk *disk = v->config->disk;
	int fd = disk->ops->open(disk, path, O_RDONLY);

	if (fd >= 0)
		disk->ops->close(disk, fd);
	return fd != -ENOENT;
}

/* --- file headers ----------------------------------------------------------------------------- */

/* One that was not flushed before a power cut, nor then the frames behind it, is zeros, or was
 * there before. */
static bool header_is_torn(const struct verify_pass *v, const char *path)
{
	static const uint8_t zeros[WAL_FILE_HEADER_BYTES];
	uint8_t bytes[WAL_FILE_HEADER_BYTES];
	struct wal_file_header h;
	struct fault unused;
	enum err err;
	int fd;

	err = disk_open(v->config->disk, path, O_RDONLY, &fd, &unused);
	if (err)
		return false;
	err = disk_read_all(v->config->disk, fd, bytes, sizeof(bytes), 0, path, &unused);
	v->config->disk->ops->close(v->config->disk, fd);
	if (err) /* shorter than a header */
		return true;
	return wal_file_header_decode(bytes, &h) || memcmp(bytes, zeros, sizeof(zeros)) == 0;
}

static void check_headers(struct verify_pass *v, const char *dir, const struct wal_found *found)
{
	char path[DATADIR_FILE_BYTES_MAX];

	for (size_t i = 0; i < found->file_count; i++) {
		const struct wal_found_file *file = &found->files[i];

		wal_path(dir, file->number, path);
		if (file->header_good || header_is_torn(v, path))
			continue;
		verify_say(v,
		           (struct verify_finding){.is_damage = true,
		                                   .file = path,
		                                   .at = 0,
		                                   .from = -1,
		                                   .remedy = "none is needed: its frames say what "
		                                             "it said"},
		           "the file's header fails its checksum");
	}
}

static void say_torn(struct verify_pass *v, const char *dir, const struct wal_found *found)
{
	char path[DATADIR_FILE_BYTES_MAX];

	if (found->report.cut_bytes == 0)
		return;
	wal_path(dir, found->files[found->end_file].number, path);
	v->totals->torn_bytes += (uint64_t)found->report.cut_bytes;
	verify_say(v,
	           (struct verify_finding){.file = path,
	                                   .at = found->end_at,
	                                   .from = -1,
	                                   .remedy = "none is needed: the next start cuts it"},
	           "a torn tail of %lld bytes: appends that were not acknowledged as flushed",
	           (long long)found->report.cut_bytes);
}

/* --- the catalog ------------------------------------------------------------------------------ */

#define CATALOG_REMEDY "restore catalog/ from a backup; the broker does not start like this"

static void say_catalog(struct verify_pass *v, const char *file, int64_t at, const char *what)
{
	verify_say(v,
	           (struct verify_finding){.is_damage = true,
	                                   .file = file,
	                                   .at = at,
	                                   .from = -1,
	                                   .remedy = CATALOG_REMEDY},
	           "%s", what);
	verify_plan_impossible(v, "the catalog is damaged; restore it from a backup");
}

static void check_catalog_wal(struct verify_pass *v, const char *dir, const struct wal_found *found)
{
	char path[DATADIR_FILE_BYTES_MAX];

	for (size_t i = 0; i < found->report.damage_count; i++) {
		const struct wal_damage *d = &found->report.damages[i];

		wal_path(dir, d->file, path);
		say_catalog(v, path, d->at, "a change of the catalog is damaged or missing");
	}
	check_headers(v, dir, found);
	say_torn(v, dir, found);
}

enum err verify_catalog(struct verify_pass *v, bool needed, struct fault *f)
{
	char dir[DATADIR_FILE_BYTES_MAX];
	const struct catalog_config config = {
		.dir = verify_path(v, "catalog", dir),
		.store_id = v->dir.id,
		.disk = v->config->disk,
		.clock = v->config->clock,
		.log = v->log,
	};
	struct wal_found found = {0};
	char text[VERIFY_TEXT_BYTES];
	enum err err;

	if (!exists(v, dir)) {
		if (needed)
			say_catalog(v, dir, -1, "it is missing");
		return OK;
	}
	err = catalog_examine(&config, &v->catalog, &found, f);
	if (err == ERR_CORRUPT || err == ERR_DIR_FOREIGN) {
		say_catalog(v, dir, -1, fault_text(f, text, sizeof(text)));
		return OK;
	}
	if (err)
		return err;
	check_catalog_wal(v, dir, &found);
	wal_found_fini(&found);
	return OK;
}

/* --- the data's frames ------------------------------------------------------------------------ */

/* Offsets that no frame has, found when a later frame came. */
struct hole {
	struct checked_partition *p;
	uint64_t file;
	int64_t at;
	int64_t from;
	int64_t to;
};

struct replay {
	struct verify_pass *v;
	char dir[DATADIR_FILE_BYTES_MAX];
	struct hole *holes; /* owned */
	size_t hole_count;
};

static void go_on_at(struct replay *r, struct checked_partition *p, const struct wal_frame *frame,
                     int64_t offset)
{
	if (offset <= p->log_end)
		return;
	r->holes = reallocarray(r->holes, r->hole_count + 1, sizeof(*r->holes));
	CHECK(r->holes);
	r->holes[r->hole_count++] = (struct hole){p, frame->file, frame->at, p->log_end, offset};
	p->log_end = offset;
}

static void replay_batches(struct replay *r, struct checked_partition *p,
                           const struct wal_frame *frame)
{
	struct slice rest = frame->payload;
	int64_t next = frame->base_offset;
	struct batch b;

	go_on_at(r, p, frame, frame->base_offset);
	while (rest.len > 0 && !chunk_accept(rest, next, &b, NULL)) {
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
		next = b.last_offset + 1;
		if (b.base_offset < p->log_end)
			continue;
		p->log_end = next;
		r->v->totals->events += b.record_count;
	}
	go_on_at(r, p, frame, frame->log_end);
}

static void replay_trim(struct replay *r, struct checked_partition *p,
                        const struct wal_frame *frame)
{
	int64_t upto = frame->base_offset;

	go_on_at(r, p, frame, frame->log_end);
	if (upto > p->log_end)
		upto = p->log_end;
	if (upto > p->log_start)
		p->log_start = upto;
}

static enum err replay(void *arg, const struct wal_frame *frame, struct fault *f)
{
	struct replay *r = arg;
	int64_t bytes = wal_frame_bytes(frame->payload.len);
	char path[DATADIR_FILE_BYTES_MAX];
	struct checked_partition *p;

	r->v->totals->wal_frames++;
	r->v->totals->wal_bytes += (uint64_t)bytes;
	wal_path(r->dir, frame->file, path);
	p = verify_partition(r->v, &frame->topic, frame->partition, path, frame->at);
	if (p) {
		if (frame->type == WAL_TRIM)
			replay_trim(r, p, frame);
		else if (frame->log_end > p->log_end)
			replay_batches(r, p, frame);
		p->replayed_through = frame->sequence;
	}
	return verify_progress(r->v, bytes, f);
}

/* --- what is damaged -------------------------------------------------------------------------- */

static void say_frame(struct replay *r, const char *path, int64_t at, struct checked_partition *p,
                      int64_t from, int64_t to, const char *what)
{
	char remedy[VERIFY_TEXT_BYTES];

	verify_plan_cut(p, from, to);
	snprintf(remedy, sizeof(remedy),
	         "restore the directory from a backup, or start the broker and purge this "
	         "partition up to %lld: what is below is lost then",
	         (long long)to);
	verify_say(r->v,
	           (struct verify_finding){.is_damage = true,
	                                   .file = path,
	                                   .at = at,
	                                   .topic = p->topic->name,
	                                   .partition = p->index,
	                                   .from = from,
	                                   .to = to,
	                                   .remedy = to <= p->log_start
	                                                     ? "none is needed: it lies below "
	                                                       "the log start"
	                                                     : remedy},
	           "%s", what);
}

static bool is_damaged_frame(const struct wal_recovery *report, const struct hole *h)
{
	for (size_t i = 0; i < report->damage_count; i++) {
		const struct wal_damage *d = &report->damages[i];

		if (d->partition_known && uuid_eq(&d->topic, &h->p->topic->uuid) &&
		    d->partition == h->p->index && h->from >= d->base_offset && h->to <= d->log_end)
			return true;
	}
	return false;
}

/* Partitions whose last frame may be the one that is lost: a start fences them. */
static uint64_t count_unconfirmed(const struct verify_pass *v, uint64_t sequence)
{
	struct checked_topic *t, *after;
	uint64_t count = 0;

	HASH_ITER (hh, v->topics, t, after)
		for (uint32_t i = 0; t->partitions && i < t->partition_count; i++)
			if (t->partitions[i].replayed_through < sequence &&
			    t->durability != DURABILITY_NONE)
				count++;
	return count;
}

/* Marks in the place of what is missing repair it. */
static void plan_gap(struct replay *r, const struct wal_damage *d)
{
	struct verify_plan *plan = r->v->config->plan;

	if (!plan)
		return;
	plan->gaps = reallocarray(plan->gaps, plan->gap_count + 1, sizeof(*plan->gaps));
	CHECK(plan->gaps);
	plan->gaps[plan->gap_count++] =
		(struct cut_gap){d->file, d->at, d->sequence, d->frame_count};
}

static void say_unknown(struct replay *r, const char *path, const struct wal_damage *d)
{
	plan_gap(r, d);
	verify_say(r->v,
	           (struct verify_finding){.is_damage = true,
	                                   .file = path,
	                                   .at = d->at,
	                                   .from = -1,
	                                   .remedy =
	                                           "restore the directory from a backup, or start "
	                                           "the broker, see what it fences (/v1/info) and "
	                                           "purge that"},
	           "%llu frames from %llu on are damaged or missing, of a partition that is not "
	           "known: the start fences %llu, whose newest events it may be",
	           (unsigned long long)d->frame_count, (unsigned long long)d->sequence,
	           (unsigned long long)count_unconfirmed(r->v, d->sequence));
}

static void say_damage(struct replay *r, const struct wal_damage *d)
{
	struct checked_partition *p;
	char path[DATADIR_FILE_BYTES_MAX];

	/* By an old manifest the first frames were freed by a newer one. */
	if (r->v->fallback && d->sequence == r->v->manifest.checkpointed + 1 && !d->partition_known)
		return;
	wal_path(r->dir, d->file, path);
	if (!d->partition_known) {
		say_unknown(r, path, d);
		return;
	}
	p = verify_partition(r->v, &d->topic, d->partition, path, d->at);
	if (p)
		say_frame(r, path, d->at, p, d->base_offset, d->log_end,
		          "a frame's payload fails its checksum");
}

static void say_all(struct replay *r, const struct wal_found *found)
{
	char path[DATADIR_FILE_BYTES_MAX];

	for (size_t i = 0; i < found->report.damage_count; i++)
		say_damage(r, &found->report.damages[i]);
	for (size_t i = 0; i < r->hole_count; i++) {
		const struct hole *h = &r->holes[i];

		if (is_damaged_frame(&found->report, h))
			continue;
		wal_path(r->dir, h->file, path);
		say_frame(r, path, h->at, h->p, h->from, h->to,
		          "these offsets are missing before or in this frame");
	}
	check_headers(r->v, r->dir, found);
	say_torn(r->v, r->dir, found);
}

/* --- the data WAL ----------------------------------------------------------------------------- */

static int add_size(void *arg, const char *name)
{
	struct replay *r = arg;
	struct disk *disk = r->v->config->disk;
	char path[DATADIR_FILE_BYTES_MAX];
	uint64_t number;
	int fd;

	if (!wal_name_parse(name, &number))
		return 0;
	wal_path(r->dir, number, path);
	fd = disk->ops->open(disk, path, O_RDONLY);
	if (fd < 0)
		return 0; /* the pass will say it */
	r->v->all_bytes += disk->ops->size(disk, fd);
	disk->ops->close(disk, fd);
	return 0;
}

static void say_no_wal(struct replay *r)
{
	if (!r->v->has_manifest) /* not before the first start was through */
		return;
	verify_say(r->v,
	           (struct verify_finding){.is_damage = true,
	                                   .file = r->dir,
	                                   .at = -1,
	                                   .from = -1,
	                                   .remedy = "restore the directory from a backup"},
	           "there is no WAL: what came after the last checkpoint is lost");
}

enum err verify_wal(struct verify_pass *v, struct fault *f)
{
	struct replay r = {.v = v};
	const struct wal_config config = {
		.dir = r.dir,
		.kind = "data",
		.store_id = v->dir.id,
		.checkpointed = v->manifest.checkpointed,
		.disk = v->config->disk,
		.clock = v->config->clock,
		.log = v->log,
	};
	struct wal_found found = {0};
	enum err err;
	int64_t before;

	verify_path(v, "wal", r.dir);
	before = v->all_bytes;
	if (v->config->disk->ops->list(v->config->disk, r.dir, add_size, &r) < 0 ||
	    v->all_bytes == before) {
		say_no_wal(&r);
		return OK;
	}
	err = wal_recover(&config, replay, &r, &found, f);
	if (!err) {
		say_all(&r, &found);
		wal_found_fini(&found);
	}
	free(r.holes);
	return err;
}
