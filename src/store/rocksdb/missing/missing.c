/* In the place of the engine, where it could not be built. */
#include "store/rocksdb/engine.h"

static enum err refuse(const struct store_config *config __attribute__((unused)),
                       struct store **out __attribute__((unused)), struct fault *f)
{
	return fault_set(f, ERR_CONFIG, 0,
	                 "bourn was built without rocksdb: install librocksdb-dev and build again");
}

const struct store_ops store_rocksdb = {.name = "rocksdb", .open = refuse};
