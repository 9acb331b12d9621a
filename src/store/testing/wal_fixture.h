/* wal_fixture: a WAL under test, and frames whose content follows from a number, so that whatever a
 * recovery replays can be told right from wrong. Only for tests. */
#ifndef BOURN_STORE_TESTING_WAL_FIXTURE_H
#define BOURN_STORE_TESTING_WAL_FIXTURE_H

#include "store/wal.h"

/* One frame on its way, and what became of it. */
struct wal_probe {
	struct wal_write ww;
	struct wal_fixture *fixture;
	int64_t id;
	size_t done_order;    /* from 1, over all probes; 0: under way */
	uint64_t flush_count; /* of the WAL, when it was done */
	uint8_t *payload;     /* owned */
};

struct wal_fixture {
	struct wal_config config; /* may be changed before an open */
	char dir[64];
	struct loop *loop;
	struct log *log;
	struct wal *wal; /* NULL: closed */
	struct wal_recovery report;
	struct wal_probe **probes; /* owned, by order of submission, since the last forget */
	size_t probe_count;
	size_t done_count;
	bool all_done;       /* of the probes */
	int64_t *replayed;   /* ids, in the order replayed by the last open */
	uint64_t *sequences; /* theirs */
	size_t replayed_count;
	bool replayed_wrong; /* a frame was not what its id says */
};

/* Small files (64 KiB, reserve 8 KiB) so that much happens; `disk` borrowed. */
void wal_fixture_init(struct wal_fixture *fx, struct disk *disk, const char *dir);
void wal_fixture_fini(struct wal_fixture *fx); /* closes; the directory stays */

enum err wal_fixture_open(struct wal_fixture *fx, struct fault *f) MUST_CHECK;
void wal_fixture_close(struct wal_fixture *fx);

/* The frame of an id: its payload, owned by the caller, 0 to 3,000 bytes. */
struct wal_frame wal_fixture_frame(int64_t id, enum durability durability);
bool wal_fixture_frame_is_right(const struct wal_frame *frame);

struct wal_probe *wal_fixture_write(struct wal_fixture *fx, int64_t id, enum durability durability);
struct wal_probe *wal_fixture_write_reserved(struct wal_fixture *fx, int64_t id);
/* Behind one that is not done. */
struct wal_probe *wal_fixture_write_after(struct wal_fixture *fx, int64_t id,
                                          const struct wal_probe *before);
/* Another payload than the id's: a replay of it counts as wrong. Borrowed until done. */
struct wal_probe *wal_fixture_write_payload(struct wal_fixture *fx, int64_t id,
                                            struct slice payload);

/* Until all probes are done; false when it takes longer than half a minute. */
bool wal_fixture_wait(struct wal_fixture *fx);

/* Begin a new file, and wait for it. */
enum err wal_fixture_roll(struct wal_fixture *fx, uint64_t *last_sequence) MUST_CHECK;

/* Free the probes, which are all done. */
void wal_fixture_forget(struct wal_fixture *fx);

#endif
