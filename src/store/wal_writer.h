/* wal_writer: the one thread that writes the WAL; the WAL's own.
 *
 * A turn: take over what came, flush or mark if that is due, then write one group, or roll, or free
 * and grow ahead, or sleep. All state but the inboxes is the thread's own. */
#ifndef BOURN_STORE_WAL_WRITER_H
#define BOURN_STORE_WAL_WRITER_H

#include "io/log.h"
#include "io/wakeup.h"
#include "store/wal_files.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
	WAL_GROUP_BYTES_MAX = 4 << 20,
	WAL_GROUP_FRAMES_MAX = 1024,
	WAL_LANES_MAX = 256, /* loops that may write to one WAL */
};

/* What keeps the order of one loop's frames when there is no space: frames that were submitted
 * before the loop heard of a refusal are refused as well, and those that come after them, so that
 * what is written has no hole. Apart for normal and `reserved` frames. */
struct wal_lane {
	uint32_t refused[2]; /* the writer's: how many refusals there were */
	uint32_t heard[2];   /* the loop's: how many of them it has been told */
};

struct wal {
	struct wal_config config;
	char *dir; /* owned; config.dir */

	_Atomic(struct wal_write *) inbox; /* newest first, as is the next */
	_Atomic(struct wal_roll *) rolls_inbox;
	_Atomic uint64_t free_through;
	atomic_bool stopping;
	struct wakeup wakeup;
	pthread_t thread;
	struct wal_lane lanes[WAL_LANES_MAX];

	struct wal_write *pending; /* oldest first */
	struct wal_write **pending_end;
	struct wal_write *refused; /* to be completed, oldest first */
	struct wal_write **refused_end;
	struct wal_roll *rolls;
	struct wal_write *group[WAL_GROUP_FRAMES_MAX];
	size_t group_count;
	struct mailbag completed; /* their loops are not told yet */
	uint8_t *buffer;          /* owned, aligned: a group's bytes */

	struct wal_files files;
	uint64_t last_sequence;   /* given to a frame */
	uint64_t last_content;    /* the same, of one that is no mark */
	uint64_t durable_through; /* flushed */
	uint64_t marked_through;  /* said to be flushed by what is in the files */
	uint64_t freed_through;
	int64_t flush_due_mono; /* us; 0: not due; as is the next */
	int64_t mark_due_mono;
	int64_t ahead_at; /* where the active file was when the last piece of the next was made */
	struct fault failure; /* OK, or why it is failed for good */
	struct log_limiter full_limiter;

	_Atomic int64_t stat_bytes;
	_Atomic int64_t stat_oldest_ms;
	_Atomic uint64_t stat_group_count;
	_Atomic uint64_t stat_written_bytes;
	_Atomic uint64_t stat_flush_count;
	atomic_bool stat_failed;
};

/* The thread's body; `arg` is the wal. Returns when it is stopping and all came to its end. */
void *wal_writer_run(void *arg);

/* Flush what is written; nothing when there is nothing. An error is final: the WAL has failed. */
enum err wal_writer_flush(struct wal *w, struct fault *f) MUST_CHECK;

/* An empty frame that carries durable_through; errors are final but ERR_DISK_FULL. */
enum err wal_writer_mark(struct wal *w, struct fault *f) MUST_CHECK;

/* --- wal_space.c ------------------------------------------------------------------------ */

/* Bytes that the active file has for normal, or for `reserved`, frames; may be negative. */
int64_t wal_space_left(const struct wal *w, bool reserved);

/* Room for a group of `bytes`, whole blocks: grows the file, or begins the next. ERR_DISK_FULL:
 * there may still be some, see wal_space_left; other errors are final. */
enum err wal_space_make(struct wal *w, int64_t bytes, bool reserved, struct fault *f) MUST_CHECK;

/* Flush the active file and begin the next. Errors as wal_space_make. */
enum err wal_space_next_file(struct wal *w, struct fault *f) MUST_CHECK;

/* When nobody waits: have space before it is needed. Errors are final. */
enum err wal_space_grow_ahead(struct wal *w, struct fault *f) MUST_CHECK;

/* Under load: a piece of the next file, so that nobody waits for one to grow. Errors are final. */
enum err wal_space_make_ahead(struct wal *w, struct fault *f) MUST_CHECK;

#endif
