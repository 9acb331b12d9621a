/* The engine `rocksdb`: every batch is a row of a RocksDB database; README.md says how.
 *
 * Built without its headers, or started without its library, the name is there and `open` says
 * which package to install (ERR_CONFIG). */
#ifndef BOURN_STORE_ROCKSDB_ENGINE_H
#define BOURN_STORE_ROCKSDB_ENGINE_H

#include "store/store.h"

extern const struct store_ops store_rocksdb;

#endif
