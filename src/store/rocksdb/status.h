/* status: what RocksDB says of a failure becomes a fault of ours.
 *
 * Its C interface gives a text only; what kind it is stands at its front. */
#ifndef BOURN_STORE_ROCKSDB_STATUS_H
#define BOURN_STORE_ROCKSDB_STATUS_H

#include "base/err.h"
#include "base/slice.h"

/*   IO error: No space left …   ERR_DISK_FULL      Result incomplete …   ERR_BUSY (a write stall)
 *   IO error: …                 ERR_IO             Invalid argument …    ERR_CONFIG
 *   Corruption: …               ERR_CORRUPT        all else              ERR_IO */
enum err status_code(const char *text);

/* Fill `f` from `text`, as RocksDB gave it, but for the directories of files, which leave no room
 * for the rest; `step` says what was done, as in "rocksdb write". */
enum err status_fault(struct fault *f, const char *step, const char *text);

/* The file that such a text names, borrowed from it, and the byte in it, -1 where it names none. */
bool status_place(const char *text, struct slice *file, int64_t *at);

#endif
