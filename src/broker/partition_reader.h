/* partition_reader: one reader's view of one partition: a question to the shard that owns it, and
 * the run of batches that was the last answer. Private to broker/.
 *
 * A question is "what stands at this offset?" (the first one: at this position). The owner answers
 * with a run, with nothing (the offset is the high watermark) or with a fault; asked to wait, it
 * watches the partition until there is something to say. At most one question is out; while it is,
 * the fields under "the question" belong to the owner.
 *
 *	home                                owner
 *	ask ───────── message ────────────> LOCATE → LOOK → READ ─┐
 *	                                            ↑ └──→ WATCH   │
 *	answered <─── message ──────────────────────┴── ANSWER <──┘
 *	cancel ────── message ────────────> a watch ends, a read runs out
 *	cancelled <── message ──────────────
 *
 * On one shard the messages are deferred tasks and plain calls. Questions take no credit: the
 * reader that holds this struct is their bound. */
#ifndef BOURN_BROKER_PARTITION_READER_H
#define BOURN_BROKER_PARTITION_READER_H

#include "broker/reader.h"
#include "broker/shard.h"

enum { READ_RUN_BYTES = 256 << 10 }; /* a run is whole batches up to this, or one larger batch */

enum question_state {
	QUESTION_LOCATE, /* position → offset */
	QUESTION_TIME,   /* … by timestamp: a lookup is under way */
	QUESTION_LAST,   /* … of the last event: reads from `probe` up to the high watermark */
	QUESTION_LOOK,   /* is there something at `offset`? */
	QUESTION_READ,
	QUESTION_WATCH,
	QUESTION_ANSWER,
};

struct partition_reader {
	/* fixed */
	struct reader *reader;
	struct broker *home;
	struct topic *topic; /* used while a question is out */
	struct store_partition *partition;
	/* At home, later, once per question. */
	void (*answered)(struct partition_reader *pr);
	/* At home: after partition_reader_cancel, when nothing of it is abroad any more. */
	void (*cancelled)(struct partition_reader *pr);

	/* home's */
	struct list node; /* in the reader's list of those with a run in hand */
	bool out;         /* the question is */
	bool cancelling;  /* until `cancelled` */
	bool cancel_out;  /* the cancel message is */
	bool is_known;    /* answered once: the position is an offset now */
	struct slice run; /* what is left of it, whole batches; kept alive by `holder` */
	struct shared *holder;
	struct batch_iter iter;
	bool in_batch;
	struct message cancel;

	/* the question */
	union {
		struct message message; /* between shards */
		struct task task;       /* on one */
	};
	enum question_state state;
	enum position_kind kind; /* LOCATE: of `value`; CURSOR is an offset read in `epoch` */
	int64_t value;
	int32_t epoch;
	bool wait;      /* answer only when there is something */
	bool stop;      /* cancelled: answer at the next step. Written by the owner only */
	int64_t offset; /* in: where to read. out: the place before the run */
	int64_t end;    /* READ, LAST: the high watermark before the read */
	int64_t probe;  /* LAST: where its scan began */
	int64_t found;  /* LAST: offset of the last record seen; -1 */
	union {
		struct store_read read; /* `fault`, `batches`, `holder` are the answer */
		struct store_time_lookup lookup;
	};
	struct store_watch watch;

	/* the answer, besides */
	int64_t log_start;
	int64_t high_watermark;
	int32_t leader_epoch;
	int64_t resume_offset; /* TRIMMED, TRUNCATED: where what is lost ends; else -1 */
};

/* Zeroed before, with `reader`, `answered`, `cancelled`, `kind`, `value` and `epoch` filled in. */
void partition_reader_init(struct partition_reader *pr, struct broker *home, struct topic *topic,
                           uint32_t partition);

/* The first question asks for the position, later ones for `offset`. */
void partition_reader_ask(struct partition_reader *pr, int64_t offset, bool wait);

/* No `answered` any more. True: nothing is abroad now; false: `cancelled` follows, later, once. */
bool partition_reader_cancel(struct partition_reader *pr) MUST_CHECK;

enum run_next { RUN_EVENT, RUN_END, RUN_CORRUPT };

/* The next record of the run at or after `*next_offset`, which moves to the place after it (at the
 * run's end: after its last batch). */
enum run_next partition_reader_next(struct partition_reader *pr, struct record *out,
                                    int64_t *next_offset);

/* All that is left of the run (RUN_EVENT), which stays until it is dropped; `*next_offset` moves to
 * the place after it. */
enum run_next partition_reader_take_run(struct partition_reader *pr, struct slice *out,
                                        int64_t *next_offset);

/* Let go of the run. */
void partition_reader_drop_run(struct partition_reader *pr);

#endif
