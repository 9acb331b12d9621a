#include "store/wal_recover.h"

#include "base/check.h"
#include "io/disk.h"
#include "io/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { PROGRESS_US = 2000000 };

/* Sequences that are not there; a wal_damage once they are proven to have been flushed. */
struct missing {
	struct wal_damage damage;
	size_t file; /* index; cut here when nothing proves them */
};

struct recovery {
	const struct wal_config *config;
	struct wal_found *found;
	struct wal_cursor cursor;
	uint64_t expected;  /* the next sequence */
	size_t resume_file; /* index; where the search for it began */
	int64_t resume_at;
	struct missing *pending; /* owned: not proven yet, by sequence */
	size_t pending_count;
	int64_t progress_mono;
};

void wal_found_fini(struct wal_found *found)
{
	free(found->files);
	free(found->report.damages);
	*found = (struct wal_found){0};
}

/* --- the files -------------------------------------------------------------------------------- */

static int found_add(void *arg, const char *name)
{
	struct wal_found *found = arg;
	struct wal_found_file *files;
	uint64_t number;

	if (!wal_name_parse(name, &number))
		return 0;
	files = reallocarray(found->files, found->file_count + 1, sizeof(*files));
	if (!files)
		return -ENOMEM;
	found->files = files;
	files[found->file_count++] = (struct wal_found_file){.number = number};
	return 0;
}

static int by_number(const void *a, const void *b)
{
	const struct wal_found_file *x = a;
	const struct wal_found_file *y = b;

	return x->number < y->number ? -1 : x->number > y->number;
}

static enum err check_header(const struct wal_config *config, const char *path,
                             const struct wal_file_header *h, struct fault *f)
{
	if (h->version > WAL_VERSION)
		return fault_set(f, ERR_DIR_NEWER, 0, "%s has WAL format %u; this version knows %d",
		                 path, h->version, WAL_VERSION);
	if (!uuid_eq(&h->store_id, &config->store_id))
		return fault_set(f, ERR_DIR_FOREIGN, 0, "%s belongs to another data directory",
		                 path);
	if (strcmp(h->kind, config->kind) != 0)
		return fault_set(f, ERR_DIR_FOREIGN, 0, "%s is a WAL of kind \"%s\", not \"%s\"",
		                 path, h->kind, config->kind);
	return OK;
}

/* A whole header with a higher number than the name's: the file was begun under that number, and
 * the crash forgot the new name. So nothing in it had been flushed, and nothing in it counts. */
static enum err read_header(const struct wal_config *config, const char *path, int fd,
                            struct wal_found_file *file, struct fault *f)
{
	uint8_t bytes[WAL_FILE_HEADER_BYTES];
	struct wal_file_header h;
	enum err err;

	file->size = config->disk->ops->size(config->disk, fd);
	if (file->size < 0)
		return fault_set(f, ERR_IO, (int)-file->size, "wal size of %s", path);
	if (file->size < WAL_FILE_HEADER_BYTES)
		return OK;
	err = disk_read_all(config->disk, fd, bytes, sizeof(bytes), 0, path, f);
	if (err)
		return err;
	if (!wal_file_header_decode(bytes, &h))
		return OK;
	err = check_header(config, path, &h, f);
	if (err)
		return err;
	if (h.number == file->number) {
		file->header_good = true;
		file->generation = h.generation;
		file->first_sequence = h.first_sequence;
		file->durable_through = h.durable_through;
	} else if (h.number > file->number) {
		file->size = 0;
	}
	return OK;
}

static enum err look_at_file(const struct wal_config *config, struct wal_found_file *file,
                             struct fault *f)
{
	char name[WAL_NAME_BYTES_MAX];
	char path[PATH_MAX];
	enum err err;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", config->dir, wal_name(file->number, name));
	err = disk_open(config->disk, path, O_RDONLY, &fd, f);
	if (err)
		return err;
	err = read_header(config, path, fd, file, f);
	config->disk->ops->close(config->disk, fd);
	return err;
}

/* All sequences of a file lie below the first of any later one. */
static size_t count_freed(const struct wal_found *found, uint64_t checkpointed)
{
	for (size_t i = found->file_count; i > 0; i--) {
		const struct wal_found_file *file = &found->files[i - 1];

		if (file->header_good && file->first_sequence <= checkpointed + 1)
			return i - 1;
	}
	return 0;
}

static enum err find_files(const struct wal_config *config, struct wal_found *found,
                           struct fault *f)
{
	enum err err;
	int rc;

	rc = config->disk->ops->list(config->disk, config->dir, found_add, found);
	if (rc < 0)
		return fault_set(f, ERR_IO, -rc, "wal list %s", config->dir);
	if (found->file_count)
		qsort(found->files, found->file_count, sizeof(found->files[0]), by_number);
	for (size_t i = 0; i < found->file_count; i++) {
		err = look_at_file(config, &found->files[i], f);
		if (err)
			return err;
	}
	found->freed_count = count_freed(found, config->checkpointed);
	return OK;
}

/* --- what is missing -------------------------------------------------------------------------- */

/* `known`: the damaged frame's readable header; NULL: nothing is known of what is missing. */
static enum err add_missing(struct recovery *r, uint64_t sequence, uint64_t count,
                            const struct wal_item *known, struct fault *f)
{
	struct missing *pending;
	struct missing m = {
		.damage = {.sequence = sequence,
	                   .frame_count = count,
	                   .file = r->found->files[r->resume_file].number,
	                   .at = r->resume_at},
		.file = r->resume_file,
	};

	if (known) {
		m.damage.partition_known = true;
		m.damage.topic = known->frame.topic;
		m.damage.partition = known->frame.partition;
		m.damage.base_offset = known->frame.base_offset;
		m.damage.log_end = known->frame.log_end;
		m.damage.file = r->found->files[known->file].number;
		m.damage.at = known->at;
		m.file = known->file;
	}
	pending = reallocarray(r->pending, r->pending_count + 1, sizeof(*pending));
	if (!pending)
		return fault_set(f, ERR_NO_MEMORY, 0, "wal recover: list of damages");
	r->pending = pending;
	pending[r->pending_count++] = m;
	return OK;
}

/* Everything up to `durable_through` had been flushed: what is missing of it is damage. */
static enum err prove_missing(struct recovery *r, uint64_t durable_through, struct fault *f)
{
	struct wal_recovery *report = &r->found->report;
	struct wal_damage *damages;
	size_t proven = 0;

	while (proven < r->pending_count && r->pending[proven].damage.sequence <= durable_through)
		proven++;
	if (proven == 0)
		return OK;
	damages = reallocarray(report->damages, report->damage_count + proven, sizeof(*damages));
	if (!damages)
		return fault_set(f, ERR_NO_MEMORY, 0, "wal recover: list of damages");
	report->damages = damages;
	for (size_t i = 0; i < proven; i++)
		damages[report->damage_count++] = r->pending[i].damage;
	r->pending_count -= proven;
	memmove(r->pending, r->pending + proven, r->pending_count * sizeof(*r->pending));
	return OK;
}

static uint64_t proof_of(const struct recovery *r, const struct wal_item *item)
{
	if (item->kind == WAL_ITEM_FILE)
		return r->found->files[item->file].durable_through;
	return item->frame.durable_through;
}

/* Does anything from here on prove what is pending? */
static enum err look_ahead(struct recovery *r, struct fault *f)
{
	uint64_t wanted = r->pending[r->pending_count - 1].damage.sequence;
	uint64_t proven = 0;
	struct wal_cursor ahead;
	struct wal_item item;
	enum err err;

	err = wal_cursor_fork(&ahead, &r->cursor, f);
	if (err)
		return err;
	do {
		err = wal_cursor_next(&ahead, r->expected, &item, f);
		if (err || item.kind == WAL_ITEM_END)
			break;
		if (proof_of(r, &item) > proven)
			proven = proof_of(r, &item);
	} while (proven < wanted);
	wal_cursor_fini(&ahead);
	if (err)
		return err;
	return prove_missing(r, proven, f);
}

/* --- the items -------------------------------------------------------------------------------- */

static void resume_after(struct recovery *r, const struct wal_item *item)
{
	r->resume_file = item->file;
	r->resume_at = item->end;
}

static enum err check_frame_known(const struct recovery *r, const struct wal_item *item,
                                  struct fault *f)
{
	const struct wal_frame *frame = &item->frame;

	if (frame->type >= WAL_MARK && frame->type <= WAL_CATALOG &&
	    frame->durability <= DURABILITY_COMMIT)
		return OK;
	return fault_set(f, ERR_DIR_NEWER, 0,
	                 "%s/%" PRIu64 ".wal has a frame of type %u, class %u at byte %" PRId64,
	                 r->config->dir, r->found->files[item->file].number, frame->type,
	                 frame->durability, item->at);
}

static void say_progress(struct recovery *r, size_t file)
{
	int64_t mono = r->config->clock->now(r->config->clock).mono_us;

	if (mono - r->progress_mono < PROGRESS_US)
		return;
	r->progress_mono = mono;
	log_line(r->config->log, LOG_INFO, "wal",
	         "recovering %s: file %zu of %zu, %" PRIu64 " frames so far", r->config->dir,
	         file + 1, r->found->file_count, r->found->report.frame_count);
}

static enum err take_file(struct recovery *r, const struct wal_item *item, struct fault *f)
{
	const struct wal_found_file *file = &r->found->files[item->file];
	uint64_t first = file->first_sequence;
	enum err err = OK;

	say_progress(r, item->file);
	if (first > r->expected) {
		err = add_missing(r, r->expected, first - r->expected, NULL, f);
		r->expected = first;
	}
	if (!err)
		err = prove_missing(r, file->durable_through, f);
	resume_after(r, item);
	return err;
}

static enum err take_damaged(struct recovery *r, const struct wal_item *item, struct fault *f)
{
	uint64_t sequence = item->frame.sequence;
	enum err err;

	if (sequence < r->expected)
		return OK;
	if (sequence > r->expected) {
		err = add_missing(r, r->expected, sequence - r->expected, NULL, f);
		if (err)
			return err;
	}
	err = prove_missing(r, item->frame.durable_through, f);
	if (err)
		return err;
	err = add_missing(r, sequence, 1, item, f);
	r->expected = sequence + 1;
	resume_after(r, item);
	return err;
}

static enum err accept_frame(struct recovery *r, const struct wal_item *item, wal_replay_cb *replay,
                             void *arg, struct fault *f)
{
	struct wal_found_file *file = &r->found->files[item->file];
	enum err err;

	err = check_frame_known(r, item, f);
	if (err)
		return err;
	if (item->frame.type != WAL_MARK) {
		r->found->report.frame_count++;
		err = replay(arg, &item->frame, f);
	}
	file->last_sequence = item->frame.sequence;
	file->frame_bytes += item->end - item->at;
	r->expected = item->frame.sequence + 1;
	resume_after(r, item);
	return err;
}

static enum err take_frame(struct recovery *r, const struct wal_item *item, wal_replay_cb *replay,
                           void *arg, struct fault *f)
{
	enum err err;

	if (item->frame.sequence < r->expected) {
		resume_after(r, item);
		return OK;
	}
	if (item->frame.sequence > r->expected) {
		err = add_missing(r, r->expected, item->frame.sequence - r->expected, NULL, f);
		if (err)
			return err;
	}
	err = prove_missing(r, item->frame.durable_through, f);
	if (!err && r->pending_count)
		err = look_ahead(r, f);
	if (err || r->pending_count)
		return err;
	return accept_frame(r, item, replay, arg, f);
}

static enum err take_item(struct recovery *r, const struct wal_item *item, wal_replay_cb *replay,
                          void *arg, struct fault *f)
{
	switch (item->kind) {
	case WAL_ITEM_FILE: return take_file(r, item, f);
	case WAL_ITEM_DAMAGED: return take_damaged(r, item, f);
	case WAL_ITEM_FRAME: return take_frame(r, item, replay, arg, f);
	case WAL_ITEM_END: break;
	}
	UNREACHABLE();
}

/* Until the end, or a frame that stands behind something neither there nor proven: a torn tail. */
static enum err take_all(struct recovery *r, wal_replay_cb *replay, void *arg, struct fault *f)
{
	struct wal_item item;
	enum err err;

	for (;;) {
		err = wal_cursor_next(&r->cursor, r->expected, &item, f);
		if (err || item.kind == WAL_ITEM_END)
			return err;
		err = take_item(r, &item, replay, arg, f);
		if (err || (item.kind == WAL_ITEM_FRAME && r->pending_count))
			return err;
	}
}

/* --- the end ---------------------------------------------------------------------------------- */

static void find_end(struct recovery *r)
{
	struct wal_found *found = r->found;

	found->end_file = r->resume_file;
	found->end_at = r->resume_at;
	found->report.last_sequence = r->expected - 1;
	if (r->pending_count) {
		found->end_file = r->pending[0].file;
		found->end_at = r->pending[0].damage.at;
		found->report.last_sequence = r->pending[0].damage.sequence - 1;
	}
	for (size_t i = found->end_file; i < found->file_count; i++) {
		int64_t from = i == found->end_file ? found->end_at : 0;

		if (found->files[i].trace_end > from)
			found->report.cut_bytes += found->files[i].trace_end - from;
	}
}

enum err wal_recover(const struct wal_config *config, wal_replay_cb *replay, void *arg,
                     struct wal_found *out, struct fault *f)
{
	struct wal_found found = {0};
	struct recovery r = {
		.config = config,
		.found = &found,
		.expected = config->checkpointed + 1,
		.progress_mono = config->clock->now(config->clock).mono_us,
	};
	enum err err;

	err = find_files(config, &found, f);
	if (err)
		goto fini_found;
	r.resume_file = found.freed_count;
	wal_cursor_init(&r.cursor, config, found.files, found.file_count, found.freed_count);
	err = take_all(&r, replay, arg, f);
	wal_cursor_fini(&r.cursor);
	if (!err)
		find_end(&r);
	free(r.pending);
	if (err)
		goto fini_found;
	*out = found;
	return OK;

fini_found:
	wal_found_fini(&found);
	return err;
}
