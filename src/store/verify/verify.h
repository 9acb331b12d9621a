/* verify: reads a data directory from end to end, as a start would, and says what is not right. It
 * changes nothing, and holds the directory's lock meanwhile, so that no broker does.
 *
 *   marker     of this kind, version and id
 *   manifest   and the one before; of the second one the checksum only, unless the first is damaged
 *   catalog    snapshot, every change, and whether it knows every topic that has bytes somewhere
 *   WAL        file headers, every frame behind the last checkpoint, every batch in it, in order
 *   segments   header, every batch up to the bytes that count: checksum, offsets, epoch
 *   indexes    those that lie beside segments: a bad one is worth knowing, and no damage
 *   database   in the place of manifest, WAL and segments under the engine `rocksdb`: every block
 *              that RocksDB has, every row, every batch in it, and that offsets have no hole
 *
 * Damage is what fails a checksum, is missing or does not fit: what a start would fence or refuse,
 * or pass over because nothing needs it any more (the finding says so). A torn tail of the WAL is
 * none: it was never acknowledged. What no start reads is not looked at: WAL frames that are in
 * segments, what an interrupted checkpoint left behind.
 *
 * Blocking; any thread. */
#ifndef BOURN_STORE_VERIFY_VERIFY_H
#define BOURN_STORE_VERIFY_VERIFY_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct clock;
struct disk;
struct verify_plan;

struct verify_finding {
	bool is_damage;    /* else worth knowing */
	const char *file;  /* path */
	int64_t at;        /* byte in it; -1: no single one */
	const char *topic; /* its name, or its UUID; NULL: of none, or not known of which */
	uint32_t partition;
	int64_t from; /* first offset that cannot be read; -1: none, or not known */
	int64_t to;   /* the one behind the last; `from`: not known how many */
	const char *what;
	const char *remedy;
};

struct verify_config {
	const char *path;
	struct disk *disk;
	struct clock *clock;
	/* All it hands over is borrowed until it returns. */
	void (*found)(void *arg, const struct verify_finding *finding);
	/* After some MiB each. False: stop here. */
	bool (*progress)(void *arg, int64_t done_bytes, int64_t all_bytes);
	void *arg;
	struct verify_plan *plan; /* to be filled, for cut.h; NULL: none is wanted */
};

/* What was read and is right. */
struct verify_totals {
	uint64_t topics;
	uint64_t partitions;
	uint64_t segments;      /* files of the database, under the engine `rocksdb` */
	uint64_t segment_bytes; /* that count */
	uint64_t wal_frames;    /* of the data, not yet in segments */
	uint64_t wal_bytes;     /* of those frames */
	uint64_t torn_bytes;
	uint64_t events; /* in segments, and in frames that are not */
	uint64_t damages;
};

/* `out` is filled as far as it came.
 *
 * Errors: ERR_DIR_LOCKED, ERR_DIR_NEWER, ERR_DIR_FOREIGN, ERR_NOT_FOUND (no data directory there),
 *         ERR_NOT_IMPLEMENTED (another engine's), ERR_CONFIG (its library is missing), ERR_IO (a
 *         directory cannot be listed), ERR_SHUTTING_DOWN (progress said to stop). Damage is none:
 *         see `damages`. */
enum err verify_run(const struct verify_config *config, struct verify_totals *out,
                    struct fault *f) MUST_CHECK;

#endif
