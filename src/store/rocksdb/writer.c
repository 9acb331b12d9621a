#include "store/rocksdb/writer.h"

#include "base/check.h"
#include "io/disk.h"
#include "io/log.h"
#include "io/wakeup.h"
#include "store/rocksdb/wal_mark.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
	GROUP_WRITES_MAX = 1024,
	GROUP_BYTES_MAX = 4 << 20,
	BATCH_BYTES_KEPT = 8 << 20, /* one that grew larger is not used again */
	RESERVE_BYTES = 8 << 20,    /* beside what is in memory */
	LOOK_BYTES = 1 << 20,       /* the disk's space is looked at after so much was written */
	STALL_US = 1000000,         /* of RocksDB that is waited for */
	STALL_LOOK_US = 5000,
	MARK_US = 50000,  /* from a flush until a mark tells of it, at most */
	LOOK_US = 100000, /* … or time has passed */
};

struct writer {
	const struct database *d;
	const char *path; /* borrowed */
	struct uuid store;
	struct store_config config;

	_Atomic(struct writer_write *) inbox; /* newest first */
	atomic_bool stopping;
	struct wakeup wakeup;
	pthread_t thread;

	/* the thread's own */
	struct writer_write *pending; /* oldest first */
	struct writer_write **pending_end;
	struct writer_write *group[GROUP_WRITES_MAX];
	size_t group_count;
	rocksdb_writebatch_t *batch;
	int64_t flush_due_mono; /* us; 0: not due, as the next */
	int64_t mark_due_mono;
	uint64_t flushed;      /* the last write that is, as RocksDB counts */
	uint64_t marked;       /* … that a mark tells of */
	bool dirty;            /* written, not flushed */
	bool full;             /* as of the last look at the disk */
	int64_t looked_mono;   /* us; when that was */
	size_t unlooked_bytes; /* written since */
	struct log_limiter limiter;

	_Atomic uint64_t stat_group_count;
	_Atomic uint64_t stat_written_bytes;
	_Atomic uint64_t stat_flush_count;
	atomic_bool stat_failed;
};

static int64_t mono_us(const struct writer *w)
{
	return w->config.clock->now(w->config.clock).mono_us;
}

/* --- completion ------------------------------------------------------------------------------ */

static void deliver(struct message *m)
{
	struct writer_write *ww = CONTAINER_OF(m, struct writer_write, message);

	ww->done(ww);
}

static void complete(struct writer_write *ww)
{
	ww->message.deliver = deliver;
	loop_post(ww->loop, &ww->message);
}

static void fail(struct writer_write *ww, const struct fault *fault, bool untouched)
{
	ww->fault = *fault;
	ww->untouched = untouched;
	complete(ww);
}

/* What is left of the group. A stall is told before anything is written. */
static void fail_group(struct writer *w, struct fault *f)
{
	char text[320];

	if (f->code == ERR_CORRUPT) /* of the database: nobody's batch is to blame */
		f->code = ERR_IO;
	if (f->code != ERR_BUSY && f->code != ERR_DISK_FULL) {
		f->code = ERR_IO;
		atomic_store(&w->stat_failed, true);
	}
	log_limited(w->config.log, &w->limiter, f->code == ERR_IO ? LOG_ERROR : LOG_WARN, "store",
	            "%s", fault_text(f, text, sizeof(text)));
	for (size_t i = 0; i < w->group_count; i++)
		fail(w->group[i], f, f->code == ERR_BUSY);
	w->group_count = 0;
}

/* --- what comes ------------------------------------------------------------------------------ */

static void gather(struct writer *w)
{
	struct writer_write *newest = atomic_exchange(&w->inbox, NULL);
	struct writer_write *first = NULL;

	if (!newest)
		return;
	for (struct writer_write *ww = newest; ww;) {
		struct writer_write *older = ww->next;

		ww->next = first;
		first = ww;
		ww = older;
	}
	*w->pending_end = first;
	w->pending_end = &newest->next;
}

/* --- space ----------------------------------------------------------------------------------- */

static int64_t space_wanted(const struct writer *w)
{
	return RESERVE_BYTES + database_number(w->d, "rocksdb.cur-size-all-mem-tables");
}

static bool is_full(struct writer *w)
{
	int64_t now = mono_us(w);
	int64_t space;

	if (w->unlooked_bytes < LOOK_BYTES && w->looked_mono && now - w->looked_mono < LOOK_US)
		return w->full;
	w->looked_mono = now;
	w->unlooked_bytes = 0;
	space = w->config.disk->ops->space(w->config.disk, w->path);
	w->full = space >= 0 && space < space_wanted(w);
	return w->full;
}

static void refuse_full(struct writer *w, struct writer_write *ww)
{
	struct fault f;
	char text[320];

	fault_set(&f, ERR_DISK_FULL, 0, "%s: less than %lld bytes are free", w->path,
	          (long long)space_wanted(w));
	log_limited(w->config.log, &w->limiter, LOG_WARN, "store", "%s",
	            fault_text(&f, text, sizeof(text)));
	fail(ww, &f, true);
}

/* --- one group ------------------------------------------------------------------------------- */

/* Bounded, in order, one member at least if there is one that may be written. */
static size_t take_group(struct writer *w)
{
	bool full = is_full(w);
	size_t bytes = 0;

	w->group_count = 0;
	while (w->pending && w->group_count < GROUP_WRITES_MAX) {
		struct writer_write *ww = w->pending;

		if (w->group_count > 0 && bytes + ww->bytes > GROUP_BYTES_MAX)
			break;
		w->pending = ww->next;
		if (full && !ww->reserved) {
			refuse_full(w, ww);
			continue;
		}
		w->group[w->group_count++] = ww;
		bytes += ww->bytes;
	}
	if (!w->pending)
		w->pending_end = &w->pending;
	return bytes;
}

/* A stall passes, most often within some milliseconds: it is waited for, but not for long. */
static enum err write_batch(struct writer *w, struct fault *f)
{
	int64_t give_up = 0;

	for (;;) {
		char *text = NULL;
		enum err err;

		w->d->lib.write(w->d->db, w->d->writing, w->batch, &text);
		err = database_check(w->d, text, "rocksdb write", f);
		if (err != ERR_BUSY)
			return err;
		if (!give_up)
			give_up = mono_us(w) + STALL_US;
		if (mono_us(w) >= give_up)
			return err;
		wakeup_wait(&w->wakeup, STALL_LOOK_US);
	}
}

static bool is_due(const struct writer *w, int64_t due_mono)
{
	return due_mono && due_mono <= mono_us(w);
}

/* In front of all else, where it is looked for. */
static void put_mark(struct writer *w)
{
	uint8_t mark[WAL_MARK_BYTES];

	w->mark_due_mono = 0;
	if (w->marked == w->flushed)
		return;
	wal_mark_encode(&w->store, w->flushed, mark);
	w->d->lib.writebatch_put_log_data(w->batch, (const char *)mark, sizeof(mark));
	w->marked = w->flushed;
}

static enum err write_group(struct writer *w, size_t bytes, struct fault *f)
{
	const struct library *lib = &w->d->lib;
	enum err err;
	size_t used;

	put_mark(w);
	for (size_t i = 0; i < w->group_count; i++)
		w->group[i]->put(w->group[i], w->d, w->batch);
	err = write_batch(w, f);
	lib->writebatch_data(w->batch, &used);
	lib->writebatch_clear(w->batch);
	if (used > BATCH_BYTES_KEPT) {
		lib->writebatch_destroy(w->batch);
		w->batch = lib->writebatch_create();
	}
	if (err)
		return err;
	w->dirty = true;
	w->unlooked_bytes += bytes;
	atomic_fetch_add(&w->stat_group_count, 1);
	atomic_fetch_add(&w->stat_written_bytes, used);
	return OK;
}

/* Every file of RocksDB's WAL that is not flushed yet, also those that it has ended meanwhile, and
 * the directory if one of them is new: as a write with its option `sync` does, but who needs no
 * flush was answered before. */
static enum err flush(struct writer *w, struct fault *f)
{
	uint64_t last = database_last_write(w->d);
	char *text = NULL;

	if (!w->dirty)
		return OK;
	w->flush_due_mono = 0;
	w->d->lib.flush_wal(w->d->db, 1, &text);
	if (text)
		return database_check(w->d, text, "rocksdb flush WAL", f);
	w->dirty = false;
	w->flushed = last;
	if (!w->mark_due_mono)
		w->mark_due_mono = mono_us(w) + MARK_US;
	atomic_fetch_add(&w->stat_flush_count, 1);
	return OK;
}

/* Complete those that need no flush; the others stay in the group. */
static void complete_written(struct writer *w)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->group_count; i++) {
		struct writer_write *ww = w->group[i];

		if (ww->durability == DURABILITY_INTERVAL && !w->flush_due_mono)
			w->flush_due_mono = mono_us(w) + w->config.flush_ms * 1000;
		if (ww->durability == DURABILITY_COMMIT)
			w->group[kept++] = ww;
		else
			complete(ww);
	}
	w->group_count = kept;
}

static void commit_next(struct writer *w)
{
	struct fault f = {0};
	size_t bytes = take_group(w);
	enum err err = OK;

	if (w->group_count > 0 || is_due(w, w->mark_due_mono))
		err = write_group(w, bytes, &f);
	if (!err) {
		complete_written(w);
		if (w->group_count > 0)
			err = flush(w, &f);
	}
	if (err)
		fail_group(w, &f);
	for (size_t i = 0; i < w->group_count; i++)
		complete(w->group[i]);
	w->group_count = 0;
}

/* --- the thread ------------------------------------------------------------------------------ */

/* Nobody waits for it: a failure is told to the next group, which meets it too. */
static void flush_if_due(struct writer *w)
{
	struct fault f = {0};

	if (!is_due(w, w->flush_due_mono))
		return;
	if (flush(w, &f))
		fail_group(w, &f);
}

static void sleep_until_due(struct writer *w)
{
	int64_t due = w->flush_due_mono;
	int64_t left;

	if (!due || (w->mark_due_mono && w->mark_due_mono < due))
		due = w->mark_due_mono;
	left = due ? due - mono_us(w) : -1;
	if (!due || left > 0)
		wakeup_wait(&w->wakeup, left);
}

static void *run(void *arg)
{
	struct writer *w = arg;

	for (;;) {
		bool stopping = atomic_load(&w->stopping);

		gather(w);
		flush_if_due(w);
		if (w->pending || is_due(w, w->mark_due_mono))
			commit_next(w);
		else if (stopping)
			return NULL;
		else
			sleep_until_due(w);
	}
}

struct writer *writer_start(const struct database *d, const char *path, const struct uuid *store,
                            const struct store_config *config)
{
	struct writer *w = calloc(1, sizeof(*w));

	CHECK(w);
	w->d = d;
	w->path = path;
	w->store = *store;
	w->config = *config;
	w->pending_end = &w->pending;
	w->batch = d->lib.writebatch_create();
	CHECK(pthread_create(&w->thread, NULL, run, w) == 0);
	return w;
}

void writer_stop(struct writer *w)
{
	struct fault f = {0};

	atomic_store(&w->stopping, true);
	wakeup_signal(&w->wakeup);
	pthread_join(w->thread, NULL);
	CHECK(!atomic_load(&w->inbox));
	if (flush(w, &f))
		fail_group(w, &f);
	w->d->lib.writebatch_destroy(w->batch);
	free(w);
}

/* --- any thread ------------------------------------------------------------------------------ */

void writer_write(struct writer *w, struct writer_write *ww)
{
	struct writer_write *newest = atomic_load_explicit(&w->inbox, memory_order_relaxed);

	ww->fault = (struct fault){0};
	ww->untouched = false;
	do
		ww->next = newest;
	while (!atomic_compare_exchange_weak(&w->inbox, &newest, ww));
	wakeup_signal(&w->wakeup);
}

struct writer_stats writer_stats(struct writer *w)
{
	return (struct writer_stats){
		.group_count = atomic_load(&w->stat_group_count),
		.written_bytes = atomic_load(&w->stat_written_bytes),
		.flush_count = atomic_load(&w->stat_flush_count),
		.failed = atomic_load(&w->stat_failed),
	};
}
