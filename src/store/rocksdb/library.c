#include "store/rocksdb/library.h"

#include <dlfcn.h>

static const char *const names[] = {
#define X(name) "rocksdb_" #name,
	ROCKSDB_FUNCTIONS(X)
#undef X
};

enum err library_load(struct library *out, struct fault *f)
{
	void *handle = dlopen(BOURN_ROCKSDB_SONAME, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	struct library lib;
	const char *const *name = names;

	if (!handle)
		return fault_set(f, ERR_CONFIG, 0,
		                 "storage.type rocksdb needs " BOURN_ROCKSDB_SONAME
		                 "; install " BOURN_ROCKSDB_PACKAGE " (%s)",
		                 dlerror());
#define X(function)                                                                                \
	lib.function = (__typeof__(lib.function))dlsym(handle, *name);                             \
	if (!lib.function)                                                                         \
		return fault_set(f, ERR_CONFIG, 0, BOURN_ROCKSDB_SONAME " has no %s", *name);      \
	name++;
	ROCKSDB_FUNCTIONS(X)
#undef X
	*out = lib;
	return OK;
}

#ifdef BOURN_SANITIZED
/* Neither the library nor C++'s, which only it uses, is instrumented: ThreadSanitizer sees their
 * calls into libc but not the atomics that order them. What we do with each other around it stays
 * watched. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "called_from_lib:" BOURN_ROCKSDB_SONAME "\ncalled_from_lib:libstdc++.so\n";
}
#endif
