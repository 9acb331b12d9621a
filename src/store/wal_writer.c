#include "store/wal_writer.h"

#include "base/check.h"
#include "io/disk.h"

#include <errno.h>
#include <stdio.h>

enum {
	MARK_DELAY_US = 50000,
	FRAME_UNIT = 8,             /* a frame begins at a multiple of it */
	APART_BYTES_MIN = 16 << 10, /* copying such a payload costs more than one piece more */
	IOV_COUNT_MAX = 2 * (WAL_GROUP_BYTES_MAX / APART_BYTES_MIN) + 3,
};

static int64_t mono_us(const struct wal *w)
{
	return w->config.clock->now(w->config.clock).mono_us;
}

/* --- completion ------------------------------------------------------------------------------- */

static void deliver_write(struct message *m)
{
	struct wal_write *ww = CONTAINER_OF(m, struct wal_write, message);

	if (ww->fault.code == ERR_DISK_FULL)
		ww->wal->lanes[loop_index(ww->loop)].heard[ww->reserved] = ww->refusal;
	ww->done(ww);
}

static void deliver_roll(struct message *m)
{
	struct wal_roll *r = CONTAINER_OF(m, struct wal_roll, message);

	r->done(r);
}

/* Its loop hears of it by `tell`, once for all of a group: woken by the first it would take the
 * processor, and deal with that one alone. */
static void complete(struct wal *w, struct wal_write *ww, const struct fault *fault)
{
	ww->fault = *fault;
	ww->message.deliver = deliver_write;
	mailbag_put(&w->completed, ww->loop, &ww->message);
}

static void complete_ok(struct wal *w, struct wal_write *ww)
{
	static const struct fault none;

	complete(w, ww, &none);
}

static void tell(struct wal *w)
{
	mailbag_send(&w->completed);
}

static bool is_refused(const struct wal *w, const struct wal_write *ww)
{
	return ww->heard != w->lanes[loop_index(ww->loop)].refused[ww->reserved];
}

/* Completed by complete_refused, after those that came before it. */
static void refuse(struct wal *w, struct wal_write *ww, const struct fault *full)
{
	uint32_t *refused = &w->lanes[loop_index(ww->loop)].refused[ww->reserved];

	if (ww->heard == *refused)
		++*refused;
	ww->refusal = *refused;
	ww->fault = *full;
	ww->next = NULL;
	*w->refused_end = ww;
	w->refused_end = &ww->next;
}

static void complete_refused(struct wal *w)
{
	struct wal_write *ww = w->refused;

	w->refused = NULL;
	w->refused_end = &w->refused;
	while (ww) {
		struct wal_write *after = ww->next;
		struct fault full = ww->fault;

		complete(w, ww, &full);
		ww = after;
	}
}

/* For good: what waits and all that comes is answered with it. */
static enum err fail(struct wal *w, struct fault *f)
{
	char text[320];

	if (w->failure.code)
		return ERR_IO;
	f->code = ERR_IO;
	w->failure = *f;
	w->flush_due_mono = 0;
	w->mark_due_mono = 0;
	atomic_store(&w->stat_failed, true);
	log_line(w->config.log, LOG_ERROR, "wal", "failed; nothing is written until a restart: %s",
	         fault_text(f, text, sizeof(text)));
	return ERR_IO;
}

/* --- what comes ------------------------------------------------------------------------------- */

static void take_rolls(struct wal *w)
{
	struct wal_roll *r = atomic_exchange(&w->rolls_inbox, NULL);

	while (r) {
		struct wal_roll *older = r->next;

		r->next = w->rolls;
		w->rolls = r;
		r = older;
	}
}

static void take_writes(struct wal *w)
{
	struct wal_write *newest = atomic_exchange(&w->inbox, NULL);
	struct wal_write *ww = newest;
	struct wal_write *first = NULL;

	if (!newest)
		return;
	while (ww) {
		struct wal_write *older = ww->next;

		ww->next = first;
		first = ww;
		ww = older;
	}
	*w->pending_end = first;
	w->pending_end = &newest->next;
}

/* What comes after a roll waits for it. The rolls first: what was written before them is then in
 * the other inbox already. */
static void gather(struct wal *w)
{
	if (w->rolls)
		return;
	take_rolls(w);
	take_writes(w);
}

static struct wal_write *take_pending(struct wal *w)
{
	struct wal_write *ww = w->pending;

	w->pending = ww->next;
	if (!w->pending)
		w->pending_end = &w->pending;
	return ww;
}

/* Refuse those at the front that their loop submitted before it heard of a refusal. */
static void refuse_unheard(struct wal *w)
{
	static const struct fault full = {
		.code = ERR_DISK_FULL,
		.where = "wal: a write before this one was refused",
	};

	while (w->pending && is_refused(w, w->pending))
		refuse(w, take_pending(w), &full);
	complete_refused(w);
	tell(w);
}

/* Move the next group out of what is pending: bounded, in order, one frame at least if there is
 * one. Returns its bytes. */
static int64_t take_group(struct wal *w)
{
	int64_t bytes = 0;

	w->group_count = 0;
	refuse_unheard(w);
	while (w->pending && w->group_count < WAL_GROUP_FRAMES_MAX && !is_refused(w, w->pending)) {
		int64_t more = wal_frame_bytes(w->pending->frame.payload.len);

		if (w->group_count && bytes + more > WAL_GROUP_BYTES_MAX)
			break;
		w->group[w->group_count++] = take_pending(w);
		bytes += more;
	}
	return bytes;
}

/* --- space ------------------------------------------------------------------------------------ */

/* Keep what fits into the space there is, refuse the rest. Returns the bytes that are left. */
static int64_t shrink_group(struct wal *w, const struct fault *full)
{
	size_t kept = 0;
	int64_t bytes = 0;
	char text[320];

	log_limited(w->config.log, &w->full_limiter, LOG_WARN, "wal", "%s",
	            fault_text(full, text, sizeof(text)));
	for (size_t i = 0; i < w->group_count; i++) {
		struct wal_write *ww = w->group[i];
		int64_t more = wal_frame_bytes(ww->frame.payload.len);

		if (is_refused(w, ww) || bytes + more > wal_space_left(w, ww->reserved)) {
			refuse(w, ww, full);
			continue;
		}
		w->group[kept++] = ww;
		bytes += more;
	}
	w->group_count = kept;
	return bytes;
}

static bool group_is_reserved(const struct wal *w)
{
	for (size_t i = 0; i < w->group_count; i++)
		if (!w->group[i]->reserved)
			return false;
	return true;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Its header into the buffer, of which `at` bytes are used; how many then are. */
static size_t put_header(struct wal *w, struct wal_frame *frame, size_t at)
{
	frame->sequence = ++w->last_sequence;
	frame->durable_through = w->durable_through;
	wal_frame_encode(frame, w->files.generation, w->buffer + at);
	return at + WAL_FRAME_HEADER_BYTES;
}

/* Zeros up to where `bytes` of the write are a multiple of `unit`; how much of the buffer is used
 * then. */
static size_t put_zeros(struct wal *w, size_t at, int64_t bytes, int64_t unit)
{
	size_t zeros = (size_t)((unit - bytes % unit) % unit);

	memset(w->buffer + at, 0, zeros);
	return at + zeros;
}

/* The iov is whole blocks, in one piece of aligned memory if `direct`; `bytes` of it are frames. */
static enum err write_blocks(struct wal *w, const struct iovec *iov, int count, int64_t bytes,
                             bool direct, struct fault *f)
{
	struct wal_files *fs = &w->files;
	struct wal_file *file = fs->active;
	enum err err;

	CHECK(fs->at + wal_block_round(bytes) <= fs->grown);
	err = wal_files_write(fs, iov, count, fs->at, direct, f);
	if (err)
		return fail(w, f);
	fs->at += wal_block_round(bytes);
	file->last_sequence = w->last_sequence;
	w->marked_through = w->durable_through;
	w->mark_due_mono = 0;
	atomic_fetch_add(&w->stat_written_bytes, (uint64_t)wal_block_round(bytes));
	atomic_fetch_add(&w->stat_group_count, 1);
	return OK;
}

/* What a checkpoint would have to free, which is whole blocks; marks are nothing to it. */
static void count_content(struct wal *w, int64_t bytes)
{
	struct wal_file *file = w->files.active;

	file->bytes += wal_block_round(bytes);
	if (!file->since_ms)
		file->since_ms = w->config.clock->now(w->config.clock).wall_ms;
}

/* What is flushed at once need not be in the page cache on its way, if it fits in the buffer: that
 * is half the processor time of a small group, and a sixth of its flush. All else is done when the
 * page cache has it. */
static bool goes_direct(const struct wal *w, int64_t group_bytes)
{
	if (group_bytes > WAL_GROUP_BYTES_MAX)
		return false;
	for (size_t i = 0; i < w->group_count; i++)
		if (w->group[i]->frame.durability == DURABILITY_COMMIT)
			return true;
	return false;
}

/* The frames of the group behind each other: from the buffer, but large payloads that may be
 * `apart` from where they lie. Returns how many pieces that are. */
static int lay_out_group(struct wal *w, int64_t group_bytes, bool apart, struct iovec *iov)
{
	size_t at = 0, piece = 0; /* in the buffer: what is used, what the open piece begins with */
	int64_t bytes = 0;
	int count = 0;

	for (size_t i = 0; i < w->group_count; i++) {
		struct slice payload = w->group[i]->frame.payload;

		at = put_header(w, &w->group[i]->frame, at);
		bytes += WAL_FRAME_HEADER_BYTES + (int64_t)payload.len;
		if (apart && payload.len >= APART_BYTES_MIN) {
			iov[count++] = (struct iovec){w->buffer + piece, at - piece};
			iov[count++] = (struct iovec){(void *)(uintptr_t)payload.ptr, payload.len};
			piece = at;
		} else if (payload.len > 0) {
			memcpy(w->buffer + at, payload.ptr, payload.len);
			at += payload.len;
		}
		at = put_zeros(w, at, (int64_t)payload.len, FRAME_UNIT);
		bytes = (bytes + FRAME_UNIT - 1) / FRAME_UNIT * FRAME_UNIT;
	}
	CHECK(bytes == group_bytes);
	at = put_zeros(w, at, bytes, WAL_BLOCK_BYTES);
	if (at > piece)
		iov[count++] = (struct iovec){w->buffer + piece, at - piece};
	return count;
}

static enum err write_group(struct wal *w, int64_t bytes, struct fault *f)
{
	struct iovec iov[IOV_COUNT_MAX];
	bool direct = goes_direct(w, bytes);
	int count = lay_out_group(w, bytes, !direct, iov);
	enum err err = write_blocks(w, iov, count, bytes, direct, f);

	if (!err)
		count_content(w, bytes);
	return err;
}

enum err wal_writer_flush(struct wal *w, struct fault *f)
{
	enum err err;

	if (w->durable_through == w->last_sequence)
		return OK;
	err = wal_files_flush(&w->files, f);
	if (err)
		return fail(w, f);
	w->durable_through = w->last_sequence;
	w->flush_due_mono = 0;
	if (w->last_content > w->marked_through)
		w->mark_due_mono = mono_us(w) + MARK_DELAY_US;
	atomic_fetch_add(&w->stat_flush_count, 1);
	return OK;
}

enum err wal_writer_mark(struct wal *w, struct fault *f)
{
	struct wal_frame mark = {.type = WAL_MARK};
	struct iovec iov = {w->buffer, WAL_BLOCK_BYTES};
	enum err err;
	size_t len;

	w->mark_due_mono = 0;
	err = wal_space_make(w, WAL_BLOCK_BYTES, true, f);
	if (err == ERR_DISK_FULL)
		return err;
	if (err)
		return fail(w, f);
	len = put_header(w, &mark, 0);
	put_zeros(w, len, (int64_t)len, WAL_BLOCK_BYTES);
	return write_blocks(w, &iov, 1, (int64_t)len, true, f);
}

/* --- one group -------------------------------------------------------------------------------- */

/* Complete those that need no flush; the others stay in the group. */
static void complete_written(struct wal *w)
{
	size_t kept = 0;

	for (size_t i = 0; i < w->group_count; i++) {
		struct wal_write *ww = w->group[i];

		if (ww->frame.durability == DURABILITY_INTERVAL && !w->flush_due_mono)
			w->flush_due_mono = mono_us(w) + w->config.flush_ms * 1000;
		if (ww->frame.durability == DURABILITY_COMMIT)
			w->group[kept++] = ww;
		else
			complete_ok(w, ww);
	}
	w->group_count = kept;
	tell(w);
}

/* A mark that must stand on disk before the answer: without space for it, what it would protect is
 * as safe as without a mark, so the answer goes out. */
static enum err flush_group(struct wal *w, struct fault *f)
{
	enum err err = wal_writer_flush(w, f);

	if (err || !w->config.mark_before_ack)
		return err;
	err = wal_writer_mark(w, f);
	if (err == ERR_DISK_FULL)
		return OK;
	return err ? err : wal_writer_flush(w, f);
}

static enum err commit(struct wal *w, int64_t bytes, struct fault *f)
{
	enum err err = write_group(w, bytes, f);

	if (err)
		return err;
	w->last_content = w->last_sequence;
	complete_written(w);
	if (w->group_count == 0)
		return OK;
	err = flush_group(w, f);
	if (err)
		return err;
	for (size_t i = 0; i < w->group_count; i++)
		complete_ok(w, w->group[i]);
	w->group_count = 0;
	return OK;
}

static void commit_next(struct wal *w)
{
	struct fault f = {0};
	int64_t bytes = take_group(w);
	enum err err;

	if (w->group_count == 0)
		return;
	err = wal_space_make(w, wal_block_round(bytes), group_is_reserved(w), &f);
	if (err == ERR_DISK_FULL) {
		bytes = shrink_group(w, &f);
		err = OK;
	} else if (err) {
		err = fail(w, &f);
	}
	if (!err && w->group_count)
		err = commit(w, bytes, &f);
	if (err)
		for (size_t i = 0; i < w->group_count; i++)
			complete(w, w->group[i], &w->failure);
	complete_refused(w);
	tell(w);
}

/* --- the thread ------------------------------------------------------------------------------- */

static enum err roll_file(struct wal *w, struct fault *f)
{
	enum err err;

	if (w->failure.code) {
		*f = w->failure;
		return f->code;
	}
	if (w->files.active && w->files.at == WAL_BLOCK_BYTES)
		return OK;
	err = wal_space_next_file(w, f);
	if (err && err != ERR_DISK_FULL && err != ERR_NO_MEMORY)
		err = fail(w, f);
	return err;
}

static void update_stats(struct wal *w)
{
	const struct wal_files *fs = &w->files;
	int64_t oldest = 0;
	int64_t bytes = 0;

	LIST_EACH (node, &fs->sealed) {
		const struct wal_file *file = LIST_ENTRY(node, struct wal_file, node);

		bytes += file->bytes;
		if (!oldest)
			oldest = file->since_ms;
	}
	if (fs->active) {
		bytes += fs->active->bytes;
		if (!oldest)
			oldest = fs->active->since_ms;
	}
	atomic_store(&w->stat_bytes, bytes);
	atomic_store(&w->stat_oldest_ms, oldest);
}

static void roll_next(struct wal *w)
{
	struct wal_roll *r = w->rolls;

	w->rolls = r->next;
	r->fault = (struct fault){0};
	r->last_sequence = w->last_sequence;
	if (roll_file(w, &r->fault) == OK)
		r->fault = (struct fault){0};
	r->message.deliver = deliver_roll;
	update_stats(w); /* before whoever rolls can ask for them */
	loop_post(r->loop, &r->message);
}

static void fail_pending(struct wal *w)
{
	while (w->pending) {
		struct wal_write *ww = w->pending;

		w->pending = ww->next;
		complete(w, ww, &w->failure);
	}
	w->pending_end = &w->pending;
	tell(w);
}

static void do_what_is_due(struct wal *w)
{
	struct fault f;
	int64_t now;

	if (!w->flush_due_mono && !w->mark_due_mono)
		return;
	now = mono_us(w);
	if (w->flush_due_mono && w->flush_due_mono <= now && wal_writer_flush(w, &f))
		return;
	if (w->mark_due_mono && w->mark_due_mono <= now && wal_writer_mark(w, &f))
		return; /* without space the next group, or close, says it */
}

/* Until something is due, or signalled. */
static void sleep_until_due(struct wal *w)
{
	int64_t due = w->flush_due_mono;
	int64_t left;

	if (w->mark_due_mono && (!due || w->mark_due_mono < due))
		due = w->mark_due_mono;
	left = due ? due - mono_us(w) : -1;
	if (!due || left > 0)
		wakeup_wait(&w->wakeup, left);
}

static void free_files(struct wal *w)
{
	uint64_t through = atomic_load(&w->free_through);

	if (w->failure.code || through == w->freed_through)
		return;
	w->freed_through = through;
	wal_files_free_through(&w->files, through);
	update_stats(w); /* before a roll asked for later is answered */
}

void *wal_writer_run(void *arg)
{
	struct wal *w = arg;
	struct fault f;

	for (;;) {
		bool stopping = atomic_load(&w->stopping);

		gather(w);
		if (w->failure.code)
			fail_pending(w);
		else
			do_what_is_due(w);
		free_files(w);
		if (w->pending) {
			commit_next(w);
			if (!w->failure.code && wal_space_make_ahead(w, &f))
				fail(w, &f);
		} else if (w->rolls) {
			roll_next(w);
		} else if (stopping) {
			return NULL;
		} else {
			if (!w->failure.code && wal_space_grow_ahead(w, &f))
				fail(w, &f);
			update_stats(w);
			sleep_until_due(w);
		}
		update_stats(w);
	}
}
