/* datadir: a data directory is ours, ours alone, and of a version we know; or it is refused.
 *
 *   bourn.dir    the marker: what this is, format version, id, which engine keeps its data here
 *   lock         held (flock) by the process that uses it
 *   catalog/     catalog.h
 *   wal/         wal.h
 *   topics/ …    the engine's own
 *
 * The marker is text, for whoever finds the directory:
 *
 *   bourn data directory; do not edit
 *   format 2
 *   id 4f8c2d0e-…
 *   engine memory
 *   crc 89abcdef            CRC-32C of all before this line */
#ifndef BOURN_STORE_DATADIR_H
#define BOURN_STORE_DATADIR_H

#include "base/err.h"
#include "base/uuid.h"

struct disk;
struct entropy;

enum {
	DATADIR_FORMAT = 2,
	DATADIR_ENGINE_BYTES = 16, /* of an engine's name, with its NUL */
	DATADIR_PATH_BYTES_MAX = 3072,
	DATADIR_FILE_BYTES_MAX = DATADIR_PATH_BYTES_MAX + 256, /* for the path of any file in it */
};

struct datadir {
	struct disk *disk; /* borrowed */
	char *path;        /* owned */
	struct uuid id;    /* random, made once; every file bears it */
	int lock_fd;       /* -1: none is held */
	bool is_claimed;   /* the marker names our engine and the present format */
};

/* Take `path` for the engine of that name; of an earlier format, or when it holds data of the
 * engine `heir_of` (NULL: none), until datadir_claim only for a look. Made when it is not there
 * (its parent must be) or empty.
 *
 * Errors: nothing was modified. Each says the file, the reason and the remedy.
 *         ERR_DIR_LOCKED, ERR_DIR_NEWER; ERR_DIR_FOREIGN: it holds files but no marker of ours;
 *         ERR_CONFIG: another engine's data; ERR_CORRUPT: the marker is damaged;
 *         ERR_IO with EROFS or EACCES: read-only; ERR_IO, ERR_DISK_FULL. */
enum err datadir_open(const char *path, const char *engine, const char *heir_of, struct disk *disk,
                      struct entropy *entropy, struct datadir *out, struct fault *f) MUST_CHECK;

/* Make the marker of the directory at `path`, which its owner has filled and nobody else uses. It
 * lasts when this returns. Blocking. */
enum err datadir_mark(const char *path, const struct uuid *id, const char *engine,
                      struct disk *disk, struct fault *f) MUST_CHECK;

/* Look at the directory at `path`, which stays as it is. Its lock is held until datadir_close,
 * where there is a lock file (a copy may lack one): no broker starts on it meanwhile. `engine`: of
 * the marker.
 *
 * Errors: ERR_NOT_FOUND: there is no directory, or it is empty; else as datadir_open. */
enum err datadir_examine(const char *path, struct disk *disk, struct datadir *out,
                         char engine[DATADIR_ENGINE_BYTES], struct fault *f) MUST_CHECK;

/* Its data was understood: it is this engine's, and of the present format, from now on. Before
 * anything is written to it that an earlier format does not have. Blocking. */
enum err datadir_claim(struct datadir *dir, const char *engine, struct fault *f) MUST_CHECK;

/* Gives the lock back. */
void datadir_close(struct datadir *dir);

#endif
