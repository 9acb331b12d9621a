/* wal_recover: what a directory's WAL files hold, and where the log ends; the WAL's own. Reads
 * only: what has to be cut or removed is said, and done by wal_files.
 *
 * One pass in the good case. A gap in the sequence is remembered; before anything beyond it is
 * replayed, a second cursor looks ahead for proof that what is missing had been flushed. */
#ifndef BOURN_STORE_WAL_RECOVER_H
#define BOURN_STORE_WAL_RECOVER_H

#include "store/wal_cursor.h"

struct wal_found {
	struct wal_found_file *files; /* owned; by number */
	size_t file_count;
	size_t freed_count; /* so many of the first hold nothing beyond `checkpointed` */
	size_t end_file;    /* the log ends in this one; file_count: there is none. Later ones hold
			       nothing that counts */
	int64_t end_at;     /* and there; what follows is cut */
	struct wal_recovery report; /* owned */
};

/* `out` is for wal_found_fini when OK. Errors as wal_open. */
enum err wal_recover(const struct wal_config *config, wal_replay_cb *replay, void *arg,
                     struct wal_found *out, struct fault *f) MUST_CHECK;

void wal_found_fini(struct wal_found *found);

#endif
