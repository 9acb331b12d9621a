/* backup_dir: the directories of backups, as backup.h makes them. Blocking; any thread.
 *
 *   backups/<name>/       a data directory, and beside what every one has:
 *     backup.txt          what it is, for whoever finds it, and for the list
 *   backups/<name>.tmp/   being made, or removed; counts for nothing
 *
 * backup.txt, lines ending in LF:
 *
 *   bourn backup; serve it as a data directory, or copy it to where one shall be
 *   created 2026-11-22T03:45:00.000Z
 *   bytes 1048576
 *   files 12
 *   topics 3 */
#ifndef BOURN_STORE_BACKUP_DIR_H
#define BOURN_STORE_BACKUP_DIR_H

#include "base/slice.h"
#include "base/uuid.h"
#include "store/datadir.h"
#include "store/store.h"

/* What a backup is made of. All borrowed. */
struct backup_source {
	const struct store_config *config; /* path: the data directory */
	const struct uuid *store_id;
	const char *engine;
	struct slice catalog; /* catalog_copy */

	/* Of `memory` and `log`. */
	struct slice manifest;
	uint64_t sequence; /* that it has as checkpointed */

	/* Of others: put what they keep into the directory `dir`, to last, and count it in `out`;
	 * NULL: it is of those two. */
	enum err (*fill)(void *arg, const char *dir, struct store_backup *out, struct fault *f);
	void *arg;
};

/* ERR_BAD_PARAMETER: no backup has such a name. */
enum err backup_name_check(const char *root, const char *name, struct fault *f) MUST_CHECK;

/* Remove `<root>/<name>.tmp`, of whatever name. OK without a root. */
enum err backup_dir_tidy(struct disk *d, const char *root, struct fault *f) MUST_CHECK;

/* Make the root; ERR_BACKUP_EXISTS: the name is taken. */
enum err backup_dir_prepare(struct disk *d, const char *root, const char *name,
                            struct fault *f) MUST_CHECK;

/* The directory in which it is made, after it was prepared. */
void backup_dir_path(const char *root, const char *name, char into[DATADIR_FILE_BYTES_MAX]);

/* Make `<root>/<name>`; it lasts when this returns. `out` has name and time, the rest is filled. On
 * an error there is none. ERR_CORRUPT: a segment of the manifest is missing. */
enum err backup_dir_make(const struct backup_source *from, const char *root,
                         struct store_backup *out, struct fault *f) MUST_CHECK;

/* ERR_BACKUP_UNKNOWN. */
enum err backup_dir_remove(struct disk *d, const char *root, const char *name,
                           struct fault *f) MUST_CHECK;

/* All of them, by name; owned by the caller. What has no readable backup.txt is none. */
enum err backup_dir_list(struct disk *d, const char *root, struct store_backup **out, size_t *count,
                         struct fault *f) MUST_CHECK;

#endif
