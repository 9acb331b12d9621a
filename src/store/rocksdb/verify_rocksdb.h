/* verify_rocksdb: the part of verify (verify/verify.h) that reads a database of the engine
 * `rocksdb`. */
#ifndef BOURN_STORE_ROCKSDB_VERIFY_ROCKSDB_H
#define BOURN_STORE_ROCKSDB_VERIFY_ROCKSDB_H

#include "base/err.h"

struct verify_pass;

/* ERR_CONFIG, which says what to install, where it cannot be read here. */
enum err verify_rocksdb_can(struct fault *f) MUST_CHECK;

/* All rows of all partitions of the pass, and every block of every file. Changes nothing. Errors
 * are those of verify_run; damage is said, and is none. Blocking. */
enum err verify_rocksdb(struct verify_pass *v, struct fault *f) MUST_CHECK;

#endif
