#include "store/chunklog/engine.h"
#include "store/rocksdb/engine.h"
#include "store/store.h"

const struct store_registry *store_registry_default(void)
{
	static const struct store_ops *const engines[] = {&store_memory, &store_log,
	                                                  &store_rocksdb};
	static const struct store_registry registry = {engines, ARRAY_COUNT(engines)};

	return &registry;
}

const struct store_ops *store_registry_find(const struct store_registry *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->engines[i]->name, name) == 0)
			return r->engines[i];
	return NULL;
}
