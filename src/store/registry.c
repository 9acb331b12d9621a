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

enum err store_registry_choose(const struct store_registry *r, const char *name,
                               const struct store_ops **out, struct fault *f)
{
	const struct store_ops *found = store_registry_find(r, name);
	uint8_t memory[128];
	struct buf names = BUF_IN(memory);

	if (found) {
		*out = found;
		return OK;
	}
	for (size_t i = 0; i < r->count; i++)
		buf_printf(&names, "%s%s", i ? ", " : "", r->engines[i]->name);
	return fault_set(f, ERR_CONFIG, 0,
	                 "storage.type: there is no engine '%.40s'; there are %.*s", name,
	                 SLICE_FMT(buf_slice(&names)));
}
