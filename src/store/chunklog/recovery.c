/* Recovery: what a start finds on disk becomes topics in memory.
 *
 *   manifest   which segments hold what; when it cannot be read, the one before, and then what
 *              segments hold beyond it is found by reading them to their ends
 *   catalog    which topics there are
 *   segments   read and verified batch by batch into chunks; under `log` taken as the manifest
 *              says, unread: each is verified when it is read
 *   WAL        what came after, in order; a partition's frames must continue at its log end. Under
 *              `log` what memory may not hold goes on to segments
 *   damage     what is missing fences the partition it is missing from, and no other
 *   marker     of this engine and format from here on
 *   manifest   written anew, no longer clean; after an unclean end with the next leader epoch
 *
 * Bytes of a topic that the catalog neither knows nor deleted mean that the catalog lost something:
 * the start is refused, before anything is modified but a torn tail of the catalog's own WAL. */
#include "base/buf.h"
#include "io/disk.h"
#include "io/log.h"
#include "store/chunklog/budget.h"
#include "store/chunklog/chunklog.h"
#include "store/chunklog/engine.h"
#include "store/chunklog/expiry.h"
#include "store/chunklog/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	WAL_FILE_BYTES = 64 << 20,
	WAL_RESERVE_BYTES = 1 << 20,
};

struct recovery {
	struct chunklog *log;
	struct manifest manifest;
	bool has_manifest;
	bool fallback; /* the manifest is the one before the last: segments may hold more */
	int32_t leader_epoch_max; /* seen anywhere */
	struct wal_recovery wal;
	bool keeps_all; /* a spill failed: all that is replayed stays in memory */
};

/* --- whose bytes are these? ------------------------------------------------------------------- */

/* NULL and OK: a deleted topic's. */
static enum err find_partition(struct recovery *r, const struct uuid *uuid, uint32_t index,
                               const char *where, struct partition **out, struct fault *f)
{
	char text[UUID_TEXT_LEN + 1];
	struct topic *t = chunklog_topic_find(r->log, uuid);

	*out = NULL;
	if (t && index < t->now->spec.partition_count) {
		*out = topic_partition(t, index);
		return OK;
	}
	if (!t && catalog_state(r->log->catalog, uuid) == CATALOG_DELETED)
		return OK;
	return fault_set(
		f, ERR_CORRUPT, 0,
		"%s/catalog: it does not know %s/%u, which is in %s; restore catalog/ from "
		"a backup",
		r->log->dir.path, uuid_format(uuid, text), index, where);
}

/* --- manifest --------------------------------------------------------------------------------- */

/* Into `bytes`, whole and checked. */
static enum err read_manifest(struct recovery *r, const char *name, struct buf *bytes,
                              struct fault *f)
{
	char path[DATADIR_FILE_BYTES_MAX];
	struct fault why = {0};
	enum err err;

	snprintf(path, sizeof(path), "%s/%s", r->log->dir.path, name);
	buf_clear(bytes);
	err = disk_read_file(r->log->config.disk, path, bytes, &why);
	if (!err) {
		err = manifest_check(buf_slice(bytes), &r->log->dir.id, &r->manifest, &why);
		if (err)
			return fault_set(f, err, 0, "%s: %s", path, why.where);
	}
	if (err)
		*f = why;
	return err;
}

static int any_name(void *arg, const char *name __attribute__((unused)))
{
	*(bool *)arg = true;
	return 0;
}

static bool has_topic_files(const struct chunklog *log)
{
	char path[DATADIR_FILE_BYTES_MAX];
	bool any = false;

	snprintf(path, sizeof(path), "%s/topics", log->dir.path);
	return log->config.disk->ops->list(log->config.disk, path, any_name, &any) >= 0 && any;
}

static enum err find_manifest(struct recovery *r, struct buf *bytes, struct fault *f)
{
	struct log *g = r->log->config.log;
	struct fault before = {0};
	char text[320];
	enum err err = read_manifest(r, "manifest", bytes, f);

	r->has_manifest = true;
	if (err != ERR_CORRUPT && err != ERR_NOT_FOUND)
		return err;
	if (!read_manifest(r, "manifest.prev", bytes, &before)) {
		/* Missing, it was just being replaced; nothing was freed for the new one yet. */
		r->fallback = err == ERR_CORRUPT;
		if (r->fallback)
			log_line(g, LOG_WARN, "store",
			         "%s; going by manifest.prev and what segments hold beyond it",
			         fault_text(f, text, sizeof(text)));
		return OK;
	}
	/* Never a checkpoint with data in it: the WAL holds all there is, and says so if not. */
	if (!has_topic_files(r->log)) {
		r->has_manifest = false;
		r->manifest = (struct manifest){0};
		buf_clear(bytes);
		return OK;
	}
	return fault_set(f, ERR_CORRUPT, 0,
	                 "%s/manifest and manifest.prev; restore the directory from a backup",
	                 r->log->dir.path);
}

static enum err adopt_partition(void *arg, const struct uuid *topic, uint32_t index,
                                const struct saved *s, struct fault *f)
{
	struct recovery *r = arg;
	struct partition *p;
	enum err err = find_partition(r, topic, index, "manifest", &p, f);

	if (err || !p)
		return err;
	p->saved = *s;
	p->saved.segments = NULL;
	if (s->segment_count > 0) {
		p->saved.segments = calloc(s->segment_count, sizeof(struct segment));
		CHECK(p->saved.segments);
		memcpy(p->saved.segments, s->segments, s->segment_count * sizeof(struct segment));
	}
	return OK;
}

/* --- catalog ---------------------------------------------------------------------------------- */

struct adoption {
	struct recovery *recovery;
	struct fault *fault;
	enum err err;
};

static void adopt_topic(void *arg, const struct topic_spec *spec)
{
	struct adoption *a = arg;
	struct chunklog *log = a->recovery->log;
	const char *engine = log->base.ops->name;
	struct topic_spec served = *spec;
	struct topic *t;

	if (a->err)
		return;
	/* What `memory` made `log` serves as its own: so it is called from here on. The catalog
	 * goes on saying who made it, until its settings are changed; the marker of the directory,
	 * not the catalog, keeps `memory` from opening it again. */
	if (chunklog_is_tiered(log) && strcmp(spec->engine, store_memory.name) == 0)
		snprintf(served.engine, sizeof(served.engine), "%s", engine);
	if (strcmp(served.engine, engine) != 0) {
		a->err =
			fault_set(a->fault, ERR_CONFIG, 0,
		                  "topic %s is kept by engine \"%s\", not \"%s\"; dump it and load "
		                  "it into another storage.path",
		                  spec->name, spec->engine, engine);
		return;
	}
	t = chunklog_topic_new(log, &served);
	CHECK(t);
	for (unsigned i = 0; i < log->config.shard_count; i++)
		chunklog_topic_attach(t, &log->shards[i]);
}

static enum err open_catalog(struct recovery *r, struct fault *f)
{
	struct chunklog *log = r->log;
	char dir[DATADIR_FILE_BYTES_MAX];
	const struct catalog_config config = {
		.dir = dir,
		.store_id = log->dir.id,
		.disk = log->config.disk,
		.clock = log->config.clock,
		.entropy = log->config.entropy,
		.log = log->config.log,
		.loop = log->shards[0].loop,
	};
	struct adoption a = {.recovery = r, .fault = f};
	enum err err;

	snprintf(dir, sizeof(dir), "%s/catalog", log->dir.path);
	err = catalog_open(&config, &log->catalog, f);
	if (err)
		return err;
	catalog_each(log->catalog, CATALOG_LIVE, adopt_topic, &a);
	return a.err;
}

/* A directory of a topic that is not in the catalog. */
static int check_topic_dir(void *arg, const char *name)
{
	struct adoption *a = arg;
	struct partition *p;
	struct uuid uuid;

	if (!uuid_parse(slice_str(name), &uuid))
		return 0;
	a->err = find_partition(a->recovery, &uuid, 0, "topics/", &p, a->fault);
	return a->err ? -ECANCELED : 0;
}

static enum err check_topic_dirs(struct recovery *r, struct fault *f)
{
	struct chunklog *log = r->log;
	struct adoption a = {.recovery = r, .fault = f};
	char path[DATADIR_FILE_BYTES_MAX];
	int got;

	snprintf(path, sizeof(path), "%s/topics", log->dir.path);
	got = log->config.disk->ops->list(log->config.disk, path, check_topic_dir, &a);
	if (got < 0 && got != -ECANCELED && got != -ENOENT)
		return fault_set(f, ERR_IO, -got, "list %s", path);
	return a.err;
}

/* --- WAL -------------------------------------------------------------------------------------- */

static void replay_batches(struct partition *p, const struct wal_frame *frame)
{
	struct partition_state *state = &p->base.state;
	struct slice rest = frame->payload;
	int64_t next = frame->base_offset;
	struct batch b;

	partition_go_on_at(p, frame->base_offset);
	while (rest.len > 0 && !chunk_accept(rest, next, &b, NULL)) {
		rest = slice_of(rest.ptr + b.bytes.len, rest.len - b.bytes.len);
		next = b.last_offset + 1;
		if (b.base_offset >= state->log_end) /* else a checkpoint has it */
			partition_take(p, b.bytes, frame->leader_epoch, rest.len);
	}
	partition_go_on_at(p, frame->log_end);
	partition_retain(p);
	partition_thin(p);
}

static void spill(struct recovery *r)
{
	struct fault f;
	char text[320];

	if (!spill_replayed(r->log, &f))
		return;
	r->keeps_all = true;
	log_line(r->log->config.log, LOG_WARN, "store",
	         "what is replayed stays in memory, beyond storage.memory: %s",
	         fault_text(&f, text, sizeof(text)));
}

static void replay_trim(struct partition *p, const struct wal_frame *frame)
{
	int64_t upto = frame->base_offset;

	partition_go_on_at(p, frame->log_end);
	if (upto > p->base.state.high_watermark)
		upto = p->base.state.high_watermark;
	partition_move_start(p, upto);
}

static enum err replay(void *arg, const struct wal_frame *frame, struct fault *f)
{
	struct recovery *r = arg;
	struct partition *p;
	enum err err = find_partition(r, &frame->topic, frame->partition, "wal/", &p, f);

	if (err || !p)
		return err;
	if (frame->leader_epoch > r->leader_epoch_max)
		r->leader_epoch_max = frame->leader_epoch;
	if (frame->type == WAL_TRIM)
		replay_trim(p, frame);
	else if (frame->log_end > p->base.state.log_end)
		replay_batches(p, frame);
	p->replayed_through = frame->sequence;
	if (budget_is_spent(r->log) && !r->keeps_all)
		spill(r);
	return OK;
}

static enum err open_wal(struct recovery *r, struct fault *f)
{
	struct chunklog *log = r->log;
	char dir[DATADIR_FILE_BYTES_MAX];
	const struct wal_config config = {
		.dir = dir,
		.kind = "data",
		.store_id = log->dir.id,
		.checkpointed = r->manifest.checkpointed,
		.disk = log->config.disk,
		.clock = log->config.clock,
		.entropy = log->config.entropy,
		.log = log->config.log,
		.file_bytes =
			log->config.wal_file_bytes ? log->config.wal_file_bytes : WAL_FILE_BYTES,
		.reserve_bytes = WAL_RESERVE_BYTES,
		.flush_ms = log->config.flush_ms,
	};

	snprintf(dir, sizeof(dir), "%s/wal", log->dir.path);
	return wal_open(&config, replay, r, &r->wal, &log->wal, f);
}

/* --- damage ----------------------------------------------------------------------------------- */

/* A frame of nobody knows which partition is lost: it may be the last of any that no later frame
 * confirms. Class `none` writes no frames. */
static void fence_unconfirmed(struct recovery *r, const struct wal_damage *d)
{
	struct topic *t, *after;

	HASH_ITER (hh, r->log->topics, t, after) {
		for (uint32_t i = 0; i < t->now->spec.partition_count; i++) {
			struct partition *p = topic_partition(t, i);
			int64_t log_end = p->base.state.log_end;

			if (p->replayed_through < d->sequence &&
			    t->now->spec.settings.durability != DURABILITY_NONE)
				partition_set_damage(p, (struct damage){log_end, log_end});
		}
	}
}

static void fence_damaged(struct recovery *r)
{
	for (size_t i = 0; i < r->wal.damage_count; i++) {
		const struct wal_damage *d = &r->wal.damages[i];
		struct partition *p;
		struct fault unused;

		/* With an old manifest the first frames it asks for were freed by a newer one. */
		if (r->fallback && d->sequence == r->manifest.checkpointed + 1 &&
		    !d->partition_known)
			continue;
		if (!d->partition_known)
			fence_unconfirmed(r, d);
		else if (!find_partition(r, &d->topic, d->partition, "wal/", &p, &unused) && p)
			partition_go_on_at(p, d->log_end);
	}
	free(r->wal.damages);
	r->wal.damages = NULL;
}

/* --- the new run ------------------------------------------------------------------------------ */

static bool was_unclean(const struct recovery *r)
{
	if (!r->has_manifest)
		return r->wal.frame_count > 0 || r->wal.damage_count > 0;
	return r->fallback || !r->manifest.clean || r->wal.frame_count > 0 ||
	       r->wal.damage_count > 0;
}

/* Cursors remember the epoch they were made in; where a crash may have cut the log a new one
 * begins. A lost manifest may itself have begun one. */
static void set_epoch(struct recovery *r)
{
	struct chunklog *log = r->log;
	struct topic *t, *after;

	log->leader_epoch = r->manifest.leader_epoch;
	if (r->leader_epoch_max > log->leader_epoch)
		log->leader_epoch = r->leader_epoch_max;
	if (was_unclean(r))
		log->leader_epoch += r->fallback ? 2 : 1;
	HASH_ITER (hh, log->topics, t, after) {
		for (uint32_t i = 0; i < t->now->spec.partition_count; i++) {
			struct partition *p = topic_partition(t, i);

			p->base.state.leader_epoch = log->leader_epoch;
			partition_seal(p);
			partition_retain(p);
			expiry_settle(p);
		}
	}
}

static void remove_deleted(void *arg, const struct topic_spec *spec)
{
	struct chunklog *log = arg;

	struct tomb *tomb;

	if (!chunklog_topic_remove_files(log, &spec->uuid))
		return;
	tomb = calloc(1, sizeof(*tomb));
	CHECK(tomb);
	tomb_add(log, tomb, &spec->uuid);
}

static enum err make_topics_dir(struct chunklog *log, struct fault *f)
{
	char path[DATADIR_FILE_BYTES_MAX];
	enum err err;

	snprintf(path, sizeof(path), "%s/topics", log->dir.path);
	err = disk_make_dir(log->config.disk, path, f);
	return err ? err : disk_sync_dir(log->config.disk, log->dir.path, f);
}

static void say_recovered(const struct recovery *r)
{
	const struct chunklog *log = r->log;

	if (was_unclean(r))
		log_line(log->config.log, LOG_INFO, "store",
		         "%s was not closed: %llu frames replayed, %lld torn bytes cut; epoch %d",
		         log->dir.path, (unsigned long long)r->wal.frame_count,
		         (long long)r->wal.cut_bytes, log->leader_epoch);
}

enum err chunklog_recover(struct chunklog *log, struct fault *f)
{
	struct recovery r = {.log = log};
	struct buf manifest = BUF_INIT(MANIFEST_BYTES_MAX);
	enum err err = find_manifest(&r, &manifest, f);

	if (!err)
		err = open_catalog(&r, f);
	if (!err && r.has_manifest)
		err = manifest_decode(buf_slice(&manifest), &log->dir.id, &r.manifest,
		                      adopt_partition, &r, f);
	buf_fini(&manifest);
	if (!err)
		err = check_topic_dirs(&r, f);
	if (!err)
		err = segments_load(log, r.fallback, &r.leader_epoch_max, f);
	if (!err)
		err = open_wal(&r, f);
	if (err)
		return err;

	fence_damaged(&r);
	set_epoch(&r);
	say_recovered(&r);
	err = datadir_claim(&log->dir, log->base.ops->name, f);
	if (!err)
		err = make_topics_dir(log, f);
	/* Whether what it found by reading was ever flushed is not known, and the next manifest has
	 * it. */
	if (!err && r.fallback)
		err = disk_sync_all(log->config.disk, log->dir.lock_fd, log->dir.path, f);
	if (!err)
		err = spill_flush_replayed(log, f);
	if (!err)
		err = checkpoint_write_manifest(log, r.manifest.checkpointed, f);
	/* A new directory gets a previous one too: its space is what a full disk needs. */
	if (!err && !r.has_manifest)
		err = checkpoint_write_manifest(log, r.manifest.checkpointed, f);
	/* What no manifest has any more. */
	if (!err && !r.fallback && !r.manifest.clean)
		err = segments_tidy(log, f);
	if (!err)
		catalog_each(log->catalog, CATALOG_DELETED, remove_deleted, log);
	if (!err)
		log->checkpoint.published = r.manifest.checkpointed;
	return err;
}
