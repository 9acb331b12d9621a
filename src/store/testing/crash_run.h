/* crash_run: a short run of a store on a traced disk, and a ledger of what was asked of it and what
 * it answered; each line of the ledger is a mark in the trace. crash_oracle holds what a crash left
 * against it. Everything on the calling thread; only for tests. */
#ifndef BOURN_STORE_TESTING_CRASH_RUN_H
#define BOURN_STORE_TESTING_CRASH_RUN_H

#include "io/clock.h"
#include "io/testing/disk_trace.h"
#include "store/testing/store_rig.h"

enum {
	RUN_TOPICS = 4,
	RUN_PARTITIONS = 2,
	RUN_BACKUPS = 2,
	RUN_EVENTS_MAX = 192, /* a partition; the last number is the oracle's own */
	RUN_EVENT_BYTES_MAX = 16 << 10,
	RUN_KEYS = 5, /* of the events of a compacted topic, one after the other */
};

enum ledger_kind {
	RUN_CREATE_ASKED,
	RUN_CREATE_DONE,
	RUN_GROW_ASKED,
	RUN_GROW_DONE,
	RUN_DELETE_ASKED,
	RUN_DELETE_DONE,
	RUN_APPEND_ASKED,
	RUN_APPEND_DONE,
	RUN_APPEND_REFUSED, /* it did not happen: the disk was full */
	RUN_TRIM_ASKED,
	RUN_TRIM_DONE,
	RUN_SAVE_ASKED, /* a checkpoint, or a clean stop */
	RUN_SAVE_DONE,
	RUN_BACKUP_ASKED,
	RUN_BACKUP_DONE,
	RUN_BACKUP_REMOVED, /* asked for */
};

struct ledger_line {
	enum ledger_kind kind;
	unsigned topic;
	uint32_t partition;
	int64_t number; /* APPEND: of the first event; BACKUP: which */
	int64_t count;  /* APPEND: of events; CREATE, GROW: of partitions */
	int64_t offset; /* APPEND_DONE: of the first event; TRIM: the new log start */
};

struct run_topic {
	struct topic_spec spec;          /* no name: never asked for */
	const struct store_topic *topic; /* NULL: not there */
	struct {
		int64_t asked; /* events, so the next one's number */
		size_t bytes[RUN_EVENTS_MAX];
	} partitions[RUN_PARTITIONS];
};

/* The system's, its wall clock so much ahead. */
struct run_clock {
	struct clock base;
	_Atomic int64_t ahead_ms;
};

struct crash_run {
	uint64_t seed;
	struct run_clock clock;
	struct disk_sim *sim;
	struct disk_fault *faults; /* between the two */
	struct disk_trace trace;
	struct store_rig rig;
	struct run_topic topics[RUN_TOPICS];
	struct ledger_line *ledger; /* owned */
	size_t line_count, line_cap;
	unsigned pending; /* appends */
	bool settled;
	int64_t acked; /* events */
	unsigned backup_count;
	size_t explore_from; /* lines before which crashes are not looked at: set by a script */
};

/* On an empty disk of its own; the store is not open yet. */
void crash_run_init(struct crash_run *r, const struct store_ops *ops, uint64_t seed,
                    int64_t capacity_bytes);
void crash_run_fini(struct crash_run *r);

void run_open(struct crash_run *r);
void run_close(struct crash_run *r);
/* kill -9; nothing is under way. */
void run_die(struct crash_run *r);
/* The same, and a start on what it left. What is there then is on the disk: it counts as saved. */
void run_kill(struct crash_run *r);

/* Topics have RUN_PARTITIONS partitions, or fewer until they grow; each index is created once,
 * under any name. */
void run_create(struct crash_run *r, unsigned topic, const char *name, enum durability durability);
void run_create_small(struct crash_run *r, unsigned topic, const char *name,
                      enum durability durability, uint32_t partitions);
/* With keys, and cleanup.policy=compact. */
void run_create_compacted(struct crash_run *r, unsigned topic, const char *name,
                          enum durability durability);
void run_grow(struct crash_run *r, unsigned topic);
void run_delete(struct crash_run *r, unsigned topic);
/* Settings that change nothing; not in the ledger. */
void run_alter(struct crash_run *r, unsigned topic);
/* Starts; `count` events of `bytes` each in one batch. */
void run_append(struct crash_run *r, unsigned topic, uint32_t partition, int64_t count,
                size_t bytes);
/* Until all appends are done. */
void run_settle(struct crash_run *r);
void run_trim(struct crash_run *r, unsigned topic, uint32_t partition, int64_t upto);
/* The next checkpoint begins new segments: the last ones are old. */
void run_age_segments(struct crash_run *r);
/* What it answered; a full disk is one that a script may want. */
enum err run_checkpoint(struct crash_run *r);
/* Time for what goes on by itself: compaction. Returns how often that was since the run began. */
int64_t run_compact(struct crash_run *r);

/* Its name is "b<backup_count>". */
void run_backup(struct crash_run *r);
void run_backup_remove(struct crash_run *r, unsigned backup);

unsigned run_roll(struct crash_run *r, unsigned below);

/* The key of one event; SLICE_NONE in a topic that is not compacted. */
struct slice run_key(const struct crash_run *r, unsigned topic, int64_t number);

/* The value of one event: says whose it is. In `into`, which is cleared first. */
struct slice run_event(struct buf *into, unsigned topic, uint32_t partition, int64_t number,
                       size_t bytes);

#endif
