#include "store/wal.h"

#include "base/check.h"
#include "io/disk.h"
#include "store/wal_writer.h"

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* --- opening ---------------------------------------------------------------------------------- */

static struct wal *wal_new(const struct wal_config *config)
{
	struct wal *w = aligned_alloc(WAL_BLOCK_BYTES, (sizeof(*w) + WAL_BLOCK_BYTES - 1) /
	                                                       WAL_BLOCK_BYTES * WAL_BLOCK_BYTES);

	CHECK(w);
	memset(w, 0, sizeof(*w));
	w->dir = strdup(config->dir);
	w->buffer = aligned_alloc(WAL_BLOCK_BYTES, WAL_GROUP_BYTES_MAX);
	CHECK(w->dir);
	CHECK(w->buffer);
	w->config = *config;
	w->config.dir = w->dir;
	w->config.reserve_bytes = wal_block_round(config->reserve_bytes);
	w->pending_end = &w->pending;
	w->refused_end = &w->refused;
	CHECK(wal_files_init(&w->files, &w->config));
	return w;
}

static void wal_free(struct wal *w)
{
	wal_files_fini(&w->files);
	free(w->buffer);
	free(w->dir);
	free(w);
}

/* A directory that is new lasts only when its parent is synced. */
static enum err make_dir(const struct wal_config *config, struct fault *f)
{
	const char *slash = strrchr(config->dir, '/');
	char parent[PATH_MAX];
	enum err err;
	int rc;

	err = disk_make_dir(config->disk, config->dir, f);
	if (err)
		return err;
	if (!slash)
		snprintf(parent, sizeof(parent), ".");
	else if (slash == config->dir)
		snprintf(parent, sizeof(parent), "/");
	else
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - config->dir), config->dir);
	rc = config->disk->ops->sync_dir(config->disk, parent);
	if (rc < 0)
		return fault_set(f, ERR_IO, -rc, "wal sync %s", parent);
	return OK;
}

enum err wal_make(const struct wal_config *config, struct fault *f)
{
	struct wal_files files;
	enum err err = make_dir(config, f);

	if (err)
		return err;
	if (!wal_files_init(&files, config))
		return fault_set(f, ERR_NO_MEMORY, 0, "wal make %s", config->dir);
	err = wal_files_begin(&files, config->checkpointed + 1, config->checkpointed, f);
	wal_files_fini(&files);
	return err;
}

static void say_what_was_found(const struct wal *w, const struct wal_found *found)
{
	const struct wal_recovery *report = &found->report;

	if (report->cut_bytes)
		log_line(w->config.log, LOG_WARN, "wal",
		         "%s: cut a torn tail of %" PRId64 " bytes after frame %" PRIu64, w->dir,
		         report->cut_bytes, report->last_sequence);
	for (size_t i = found->freed_count; i < found->file_count; i++)
		if (!found->files[i].header_good && found->files[i].last_sequence)
			log_line(w->config.log, LOG_WARN, "wal",
			         "%s/%" PRIu64 ".wal: no whole file header; its frames are "
			         "whole and were used",
			         w->dir, found->files[i].number);
	for (size_t i = 0; i < report->damage_count; i++) {
		const struct wal_damage *d = &report->damages[i];

		log_line(w->config.log, LOG_ERROR, "wal",
		         "%s/%" PRIu64 ".wal: damaged at byte %" PRId64 ": %" PRIu64
		         " frame(s) from %" PRIu64 " are lost",
		         w->dir, d->file, d->at, d->frame_count, d->sequence);
	}
}

/* Everything that is modified at a start; before it nothing was. A full disk is no reason not to
 * start: reads go on, and the first write asks for space again. */
static enum err wal_prepare(struct wal *w, const struct wal_found *found, struct fault *f)
{
	enum err err;

	w->last_sequence = found->report.last_sequence;
	w->last_content = w->last_sequence;
	w->durable_through = w->last_sequence;
	w->marked_through = w->last_sequence;
	w->freed_through = w->config.checkpointed;
	atomic_store(&w->free_through, w->config.checkpointed);
	err = wal_files_adopt(&w->files, found, f);
	if (err)
		return err;
	err = wal_files_begin(&w->files, w->last_sequence + 1, w->durable_through, f);
	if (!err) {
		wal_files_free_through(&w->files, 0); /* those that hold nothing */
		err = wal_files_flush(&w->files, f);  /* … and are not to come back */
	}
	if (err == ERR_DISK_FULL) {
		char text[320];

		log_line(w->config.log, LOG_WARN, "wal", "%s", fault_text(f, text, sizeof(text)));
		return OK;
	}
	return err;
}

/* Signals are for the other threads. */
static enum err wal_start(struct wal *w, struct fault *f)
{
	sigset_t all;
	sigset_t before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&w->thread, NULL, wal_writer_run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc)
		return fault_set(f, ERR_NO_MEMORY, rc, "wal writer thread");
	return OK;
}

enum err wal_open(const struct wal_config *config, wal_replay_cb *replay, void *arg,
                  struct wal_recovery *report, struct wal **out, struct fault *f)
{
	struct wal *w = wal_new(config);
	struct wal_found found;
	enum err err;

	err = make_dir(&w->config, f);
	if (err)
		goto free_wal;
	err = wal_recover(&w->config, replay, arg, &found, f);
	if (err)
		goto free_wal;
	say_what_was_found(w, &found);
	err = wal_prepare(w, &found, f);
	if (err)
		goto fini_found;
	err = wal_start(w, f);
	if (err)
		goto fini_found;
	*report = found.report;
	found.report.damages = NULL;
	wal_found_fini(&found);
	*out = w;
	return OK;

fini_found:
	wal_found_fini(&found);
free_wal:
	wal_free(w);
	return err;
}

/* --- closing ---------------------------------------------------------------------------------- */

/* Leave nothing in doubt for the next start: all flushed, marked, the unused end given back. */
static enum err wal_finish(struct wal *w, struct fault *f)
{
	enum err err;

	if (w->failure.code || !w->files.active)
		return OK;
	err = wal_writer_flush(w, f);
	if (!err && w->last_content > w->marked_through)
		err = wal_writer_mark(w, f);
	if (!err || err == ERR_DISK_FULL)
		err = wal_writer_flush(w, f);
	return err ? err : wal_files_trim(&w->files, f);
}

void wal_close(struct wal *w)
{
	struct fault f = {0};
	char text[320];

	atomic_store(&w->stopping, true);
	wakeup_signal(&w->wakeup);
	pthread_join(w->thread, NULL);
	CHECK(!atomic_load(&w->inbox));
	CHECK(!atomic_load(&w->rolls_inbox));
	if (wal_finish(w, &f))
		log_line(w->config.log, LOG_WARN, "wal", "closing %s: %s", w->dir,
		         fault_text(&f, text, sizeof(text)));
	wal_free(w);
}

/* --- any thread ------------------------------------------------------------------------------- */

void wal_write(struct wal *w, struct wal_write *ww)
{
	struct wal_write *newest = atomic_load_explicit(&w->inbox, memory_order_relaxed);
	unsigned lane = loop_index(ww->loop);

	CHECK(lane < WAL_LANES_MAX);
	CHECK(ww->frame.payload.len <= WAL_PAYLOAD_BYTES_MAX);
	CHECK(ww->frame.type != WAL_MARK);
	CHECK(!ww->after || ww->after->reserved == ww->reserved);
	ww->wal = w;
	ww->heard = ww->after ? ww->after->heard : w->lanes[lane].heard[ww->reserved];
	do
		ww->next = newest;
	while (!atomic_compare_exchange_weak(&w->inbox, &newest, ww));
	wakeup_signal(&w->wakeup);
}

void wal_roll(struct wal *w, struct wal_roll *r)
{
	struct wal_roll *newest = atomic_load_explicit(&w->rolls_inbox, memory_order_relaxed);

	do
		r->next = newest;
	while (!atomic_compare_exchange_weak(&w->rolls_inbox, &newest, r));
	wakeup_signal(&w->wakeup);
}

void wal_free_through(struct wal *w, uint64_t sequence)
{
	uint64_t before = atomic_load(&w->free_through);

	while (before < sequence &&
	       !atomic_compare_exchange_weak(&w->free_through, &before, sequence))
		;
	wakeup_signal(&w->wakeup);
}

struct wal_stats wal_stats(struct wal *w)
{
	return (struct wal_stats){
		.bytes = atomic_load(&w->stat_bytes),
		.oldest_ms = atomic_load(&w->stat_oldest_ms),
		.group_count = atomic_load(&w->stat_group_count),
		.written_bytes = atomic_load(&w->stat_written_bytes),
		.flush_count = atomic_load(&w->stat_flush_count),
		.failed = atomic_load(&w->stat_failed),
	};
}
