/* In the place of store_rocksdb.c, where the engine could not be built. */
#include "store_rocksdb.h"

bool store_rocksdb_run(const struct store_rocksdb_options *o __attribute__((unused)),
                       struct store_rocksdb_result *result __attribute__((unused)),
                       struct failure *f)
{
	return bench_fail(f, "built without rocksdb: install librocksdb-dev and build again");
}
