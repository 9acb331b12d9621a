/* partition: the log of one partition, and the way appends take into it.
 *
 *   chunks:  | head chunk … | … | … | tail chunk       |
 *                  ^ head_at: the batch that holds log_start
 *
 * Under `memory` that is all of it. Under `log` what lies below the first chunk is in segments only
 * ("cold"; what the chunks hold is "warm"): a chunk goes when all of it was written to segments and
 * it is not among the newest that the store's budget keeps.
 *
 * An append waits until the turn's COMMIT stage, is copied into the tail chunk there with all
 * others that wait, and goes to the WAL as one frame. Some frames may be in flight, of one class
 * and in one chunk; the WAL makes one group of those that it finds, and acknowledges them in their
 * order. Then a frame's batches are shown, the high watermark moves, its appends are answered in
 * their order.
 *
 *   chunk:   | visible     | frame | frame | filled, but in no frame yet
 *                          ^ the high watermark                         ^ the log end
 *   waiting --submit--> framed --WAL--> answered --answer--> done()
 *
 * No space: the WAL refuses a frame and all that were behind it. Their appends fail; when the last
 * of them is back their batches are taken back as well, and the next frame is tried: so there is
 * never a hole. A failed WAL: the same, and the partition takes no more writes until a restart.
 * Class `none`: no frame.
 *
 * Retention: after each move of the high watermark log_start goes to the first batch boundary at
 * which what is left is within both limits (bytes, records); the newest batch always stays. Memory
 * is freed by whole chunks. It needs no WAL frame: a restart comes to the same result. What is cold
 * goes by the same count, but by bytes only in whole segments and only while what is left is not
 * below the limit (as Apache Kafka does it); and `bytes` of a segment that log_start stands in is
 * reckoned, not measured: retention reads no files.
 * Retention by age is expiry.h's.
 *
 * Damage: offsets [from, to) were acknowledged and cannot be read. Reads in it are refused, others
 * go on; no writes until a trim passes it.
 *
 * Owning shard only, or any one thread while no loop runs. */
#ifndef BOURN_STORE_CHUNKLOG_PARTITION_H
#define BOURN_STORE_CHUNKLOG_PARTITION_H

#include "core/age.h"
#include "store/chunk.h"
#include "store/chunklog/manifest.h"
#include "store/store.h"
#include "store/wal.h"

struct shard;
struct topic;

enum {
	PARTITION_EPOCHS_MAX = 64,
	PARTITION_WAITING_BYTES_MAX = 32 << 20, /* of appends; beyond: BUSY */
};

/* The segments of a partition, as far as they were written. Never changed, only exchanged. */
struct sealed {
	struct shared shared; /* first */
	uint32_t count;
	struct segment segments[]; /* rising */
};

/* `offset` is the first one that was written under `epoch`. */
struct epoch_start {
	int32_t epoch;
	int64_t offset;
};

struct partition {
	struct store_partition base; /* first */
	struct topic *topic;         /* borrowed */
	struct shard *shard;         /* borrowed */
	struct list node;            /* in the shard's partitions */

	struct chunk **chunks; /* owned, each one reference; rising; NULL when there are none */
	uint32_t chunk_count;
	uint32_t chunk_cap;
	size_t head_at;             /* byte in chunks[0] */
	int64_t warm_bytes;         /* of the chunks' visible batches from head_at on */
	struct sealed *sealed;      /* shared, a reference; NULL: none, and always under `memory` */
	int64_t sealed_end;         /* all below is in segments */
	unsigned cold_reads;        /* under way */
	struct epoch_start *epochs; /* owned; rising; only epochs that have batches */
	uint32_t epoch_count;
	struct damage damage;
	bool damage_may_pass; /* reading failed: the next start looks again, so it is not saved */

	struct list waiting;  /* store_append: not looked at yet */
	struct list framed;   /* for the next frame, or refused since the last one */
	struct list answered; /* done() is due */
	struct list frames;   /* append.c's; in flight, so the WAL's for now; oldest first */
	size_t waiting_bytes;
	size_t in_flight_bytes; /* of the tail chunk, behind what is visible: in frames */
	uint32_t frame_count;
	bool refused; /* a frame was, so those in flight will be; then all is taken back */
	struct task submit;
	struct task answer;
	bool is_uncompactable; /* home: its segments cannot be read; not tried again in this run */
	bool held;             /* no frame is begun: the class is being raised */
	struct age age;        /* of what is visible; expiry.h's, as is the next */
	bool expiring;         /* a trim of what is too old is under way */
	unsigned trims;        /* frames of trims in flight */
	void (*quiet)(struct partition *p); /* deleted: what to call when nothing is under way */
	void *quiet_context;                /* the caller's */
	struct task went_quiet;

	struct saved saved; /* as of the last spill or checkpoint, which it belongs to (spill.h) */
	uint64_t replayed_through; /* recovery: the last WAL frame of this partition */
};

/* The checked down-cast. */
static inline struct partition *partition_of(struct store_partition *base)
{
	return CONTAINER_OF(base, struct partition, base);
}

/* What is below is cold. */
static inline int64_t partition_warm_start(const struct partition *p)
{
	return p->chunk_count > 0 ? p->chunks[0]->base_offset : p->base.state.log_end;
}

void partition_init(struct partition *p, struct topic *topic, const struct topic_spec *spec,
                    uint32_t index, struct shard *shard);
void partition_init_tasks(struct partition *p); /* append.c's part of it */
void partition_fini(struct partition *p);

/* --- the log (partition.c) -------------------------------------------------------------------- */

/* Recovery: append one valid batch, whose offset is the log end, as it stands. No retention. */
void partition_take(struct partition *p, struct slice batch, int32_t leader_epoch,
                    size_t more_bytes);

/* Recovery: what this segment holds comes next, and stays there. */
void partition_take_cold(struct partition *p, const struct segment *s);

/* Recovery: what comes next begins at `offset`; what is missing before it is lost, and fences. */
void partition_go_on_at(struct partition *p, int64_t offset);

/* Takes no more writes, and why; not told to watchers. */
void partition_fence(struct partition *p, const char *why);
void partition_lift_fence(struct partition *p);

/* Recovery: these offsets are lost (from == to: an unknown number of them); fences. Nothing happens
 * when they lie below log_start. */
void partition_set_damage(struct partition *p, struct damage d);

/* Copy one valid batch behind the log end, invisible. False when it does not fit beside what is
 * filled already; true with a fault (BUSY) when there is no memory. `more_bytes`: what else waits,
 * to size a new chunk. */
bool partition_fill(struct partition *p, struct slice batch, size_t more_bytes, struct fault *f);

/* What is filled and in no frame yet. */
struct slice partition_filled(const struct partition *p);

/* Show `bytes` more of what is filled: the high watermark moves behind them; retention follows, and
 * under `log` the oldest chunks make room. */
void partition_show(struct partition *p, size_t bytes);

/* Take back what is not shown: the log end moves to the high watermark. */
void partition_unfill(struct partition *p);

/* Nothing more goes into the tail chunk. */
void partition_seal(struct partition *p);

/* `count` of the first chunks go. */
void partition_drop_chunks(struct partition *p, uint32_t count);

/* Recovery: log_start was set by hand; find the head, drop the chunks below. */
void partition_settle(struct partition *p);

/* Move log_start up, at most to the high watermark; frees chunks, lifts a fence that is passed. */
void partition_move_start(struct partition *p, int64_t upto);

void partition_retain(struct partition *p);

/* May `offset` be read? As struct store_read says. */
enum err partition_read_check(const struct partition *p, int64_t offset,
                              struct fault *f) MUST_CHECK;

/* From the chunks: below the high watermark, not cold, not lost. */
void partition_read_warm(struct partition *p, int64_t offset, size_t bytes_max,
                         struct slice *batches, struct shared **holder);

/* As struct store_time_lookup says, in the chunks, from offset `from` on. */
enum err partition_find_time(struct partition *p, int64_t from, int64_t time_ms, int64_t *offset,
                             struct fault *f) MUST_CHECK;
int64_t partition_epoch_end(const struct partition *p, int32_t epoch);

/* Do offsets from `damage.from` on miss? */
static inline bool partition_has_hole(const struct partition *p)
{
	return p->damage.from < p->damage.to;
}

/* The chunk that holds the first batch at or after `offset`; chunk_count when there is none. */
uint32_t partition_chunk_at(const struct partition *p, int64_t offset);

/* --- what is cold (sealed.c); only under `log` ------------------------------------------------ */

/* `s` of it was written to segments (borrowed). False: there is no memory, and nothing was done. */
bool partition_seal_upto(struct partition *p, const struct saved *s);

/* `saved` has changed. It is home's, but home does not touch it before the visit has ended that
 * calls this. Under `memory` too. False: there is no memory; it has to be called again. */
bool partition_heed_saved(struct partition *p) MUST_CHECK;

/* Let go of chunks that are in segments whole, but for the newest that `storage.memory` holds. */
void partition_thin(struct partition *p);

/* Of what is cold, from log_start on; about. */
int64_t partition_cold_bytes(const struct partition *p);

/* Move log_start through what is cold; true: nothing of it is left. */
bool partition_retain_cold(struct partition *p);

/* The segment that holds the first batch at or after `offset`; NULL: none. */
const struct segment *partition_segment_at(const struct partition *p, int64_t offset);

/* Is it one of them still? Compaction may have put another in its place. */
bool partition_has_segment(const struct partition *p, const struct segment *s);

/* Behind those segments from `offset` on of which is known that they hold nothing so late. */
int64_t partition_skip_older(const struct partition *p, int64_t offset, int64_t time_ms);

/* Reading it found its bytes bad from offset `bad_at` on: fences. */
void partition_cold_damage(struct partition *p, const struct segment *s, int64_t bad_at,
                           const struct fault *why);

/* --- compaction (compacted.c) ----------------------------------------------------------------- */

/* Segments from offset `from` to `to` were compacted and are in force. `chunks`, with what is left
 * of them, take the place of what memory has of them; none, under `log`: it goes. False: a frame in
 * flight is in the way, nothing has changed; it is asked again later. Else the references are
 * taken. */
bool partition_take_compacted(struct partition *p, int64_t from, int64_t to, struct chunk **chunks,
                              uint32_t count) MUST_CHECK;

/* --- the way out (reading.c) ------------------------------------------------------------------ */

void partition_read(struct partition *p, struct store_read *r);
void partition_lookup_time(struct partition *p, struct store_time_lookup *l);

/* --- the way in (append.c) -------------------------------------------------------------------- */

void partition_append(struct partition *p, struct store_append *a);
void partition_trim(struct partition *p, struct store_trim *t);

/* No frame is begun until released; what waits keeps waiting. */
void partition_hold(struct partition *p);
void partition_release(struct partition *p);

/* Memory has been made, or cannot be: what waited for it looks again. */
void partition_resume(struct partition *p);

/* One thing less is under way. */
void partition_check_quiet(struct partition *p);

/* The topic is gone: watchers are told, all that waits is answered; when nothing is under way any
 * more `quiet` runs, once, in a WRITE stage, so after every answer. */
void partition_drop(struct partition *p, void (*quiet)(struct partition *p), void *context);

#endif
