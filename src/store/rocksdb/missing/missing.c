/* In the place of the engine, where it could not be built. */
#include "store/rocksdb/engine.h"
#include "store/rocksdb/verify_rocksdb.h"

enum err verify_rocksdb_can(struct fault *f)
{
	return fault_set(f, ERR_CONFIG, 0,
	                 "bourn was built without rocksdb: install librocksdb-dev and build again");
}

enum err verify_rocksdb(struct verify_pass *v __attribute__((unused)), struct fault *f)
{
	return verify_rocksdb_can(f);
}

static enum err refuse(const struct store_config *config __attribute__((unused)),
                       struct store **out __attribute__((unused)), struct fault *f)
{
	return verify_rocksdb_can(f);
}

const struct store_ops store_rocksdb = {.name = "rocksdb", .open = refuse};
