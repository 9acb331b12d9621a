/* verify_pass: what the parts of one verify_run share; private to them. */
#ifndef BOURN_STORE_VERIFY_VERIFY_PASS_H
#define BOURN_STORE_VERIFY_VERIFY_PASS_H

#include "base/hash.h"
#include "store/catalog.h"
#include "store/chunklog/manifest.h"
#include "store/datadir.h"
#include "store/verify/cut.h"
#include "store/verify/verify.h"

struct log;

enum { VERIFY_TEXT_BYTES = 320 };

struct checked_partition {
	struct checked_topic *topic; /* borrowed */
	uint32_t index;
	struct saved saved; /* as the manifest says; owned */
	int64_t log_start;  /* after the WAL's trims */
	int64_t log_end;
	uint64_t replayed_through; /* the last WAL frame of this partition */
	int64_t cut_at;            /* the first offset that is damaged; -1: none is */
};

struct checked_topic {
	char name[TOPIC_NAME_BYTES_MAX + 1]; /* of a stranger: its UUID */
	struct uuid uuid;
	bool is_stranger; /* bytes of it are there, but the catalog does not know it: it was said */
	enum durability durability;
	uint32_t partition_count;
	struct checked_partition *partitions; /* owned; of a stranger NULL */
	UT_hash_handle hh;
};

struct verify_pass {
	const struct verify_config *config; /* borrowed */
	struct verify_totals *totals;       /* borrowed */
	struct log *log;                    /* says nothing: findings do */
	struct datadir dir;
	struct catalog *catalog;
	struct checked_topic *topics; /* owned; by UUID */
	struct manifest manifest;
	bool has_manifest;
	bool fallback; /* the manifest is the one before: segments may hold more */
	int64_t done_bytes;
	int64_t all_bytes;
	int64_t shown_bytes; /* when progress was called last */
};

/* One of `finding`'s texts made here: `what` from a format. */
void verify_say(struct verify_pass *v, struct verify_finding finding, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* So much more is read. ERR_SHUTTING_DOWN: stop. */
enum err verify_progress(struct verify_pass *v, int64_t bytes, struct fault *f) MUST_CHECK;

/* Whose bytes are in `file` at byte `at`? NULL: a deleted topic's, or one that the catalog does not
 * know, which is then said once. */
struct checked_partition *verify_partition(struct verify_pass *v, const struct uuid *topic,
                                           uint32_t partition, const char *file, int64_t at);

/* "<data directory>/<name>" */
const char *verify_path(const struct verify_pass *v, const char *name,
                        char into[DATADIR_FILE_BYTES_MAX]);

/* What to do about damage that ends at `to` (INT64_MAX: nobody knows where). */
const char *verify_remedy(const struct checked_partition *p, int64_t to,
                          char into[VERIFY_TEXT_BYTES]);

/* A cut of `p` at `from` repairs it, unless `to` is below the log start. */
void verify_plan_cut(struct checked_partition *p, int64_t from, int64_t to);

/* No cut repairs this. */
void verify_plan_impossible(struct verify_pass *v, const char *why);

/* --- verify_segments.c ------------------------------------------------------------------- */

/* With an old manifest: which files there are and how far they go, into every `saved`. */
enum err verify_segments_rescan(struct verify_pass *v, struct fault *f) MUST_CHECK;

/* Read every one that the manifest names. */
enum err verify_segments(struct verify_pass *v, struct fault *f) MUST_CHECK;

/* --- verify_wal.c ------------------------------------------------------------------------ */

/* The catalog's: into v->catalog, NULL when it cannot be read (which is then said), or is missing,
 * which is said where it is `needed`. */
enum err verify_catalog(struct verify_pass *v, bool needed, struct fault *f) MUST_CHECK;

/* The data WAL, on top of what is saved. */
enum err verify_wal(struct verify_pass *v, struct fault *f) MUST_CHECK;

#endif
