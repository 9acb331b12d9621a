/* compact_rewrite: batches in, in order and without a hole; batches out that cover the same offsets
 * and hold the records that stay.
 *
 *   in    | 0:a 1:b 2:a | 3:c 4:a 5:b | 6:- | 7:d 8:c |        keys; 6 has none
 *   out   | 4:a 5:b 6:- 7:d 8:c |  base offset 0, last offset 8
 *
 * A record stays if it has no key (nothing can be newer), if its offset is not below `upto`, or if
 * no record below `upto` that the map knows has its key and a higher offset. A tombstone that stays
 * for the first time gets a horizon, kept as Apache Kafka keeps it (BATCH_DELETE_HORIZON); when
 * that has passed it goes. So whoever read an older value of its key has as long to read the
 * tombstone.
 *
 * Small batches become larger ones, up to COMPACT_BATCH_BYTES or what one record takes. Where
 * records went the batch before covers their offsets; where there is none, one without records.
 * Producer ids and sequences are not kept.
 *
 * Records keep offset, timestamp, key, value and headers byte for byte. */
#ifndef BOURN_STORE_COMPACT_COMPACT_REWRITE_H
#define BOURN_STORE_COMPACT_COMPACT_REWRITE_H

#include "store/compact/compact_map.h"

enum { COMPACT_BATCH_BYTES = 16 << 10 };

struct compact_rules {
	const struct compact_map *map; /* borrowed */
	int32_t leader_epoch;          /* of all batches */
	int64_t log_start;             /* records below it go */
	int64_t upto;                  /* those from here on stay */
	int64_t now_ms;                /* wall clock; tombstones whose horizon it is go */
	int64_t horizon_ms;            /* of a tombstone that has none yet */
};

struct compact_rewrite {
	struct compact_rules rules;
	struct buf out;  /* whole batches that are done; the caller's to take, and to clear */
	struct buf open; /* the one being built */
	struct batch_builder builder;
	int64_t open_base;     /* its base offset; all below it is in `out`, now or taken before */
	int64_t open_end;      /* … and where it ends so far */
	int64_t next_offset;   /* of what comes in */
	int64_t max_timestamp; /* that came in */
	uint64_t records_in;
	uint64_t records_out;
};

/* The first batch begins at `base_offset`. */
void compact_rewrite_init(struct compact_rewrite *w, const struct compact_rules *rules,
                          int64_t base_offset);
void compact_rewrite_fini(struct compact_rewrite *w);

/* Take the next batch. ERR_CORRUPT: its records cannot be read; ERR_NO_MEMORY. */
enum err compact_rewrite_put(struct compact_rewrite *w, const struct batch *b,
                             struct fault *f) MUST_CHECK;

/* There is no more: what came in is covered by what is in `out`, now or taken before. */
enum err compact_rewrite_end(struct compact_rewrite *w, struct fault *f) MUST_CHECK;

#endif
