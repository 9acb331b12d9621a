#include "hook/curl.h"

#include <dlfcn.h>

enum err curl_load(struct curl *curl, struct fault *f)
{
	void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);

	if (!library)
		return fault_set(f, ERR_CONFIG, 0,
		                 "%.80s; hooks over HTTP need the Debian package libcurl4",
		                 dlerror());
#define X(name) *(void **)&curl->name = dlsym(library, "curl_" #name);
	CURL_FUNCTIONS(X)
#undef X
	dlclose(library); /* it stays: RTLD_NODELETE */
#define X(name)                                                                                    \
	if (!curl->name)                                                                           \
		return fault_set(f, ERR_CONFIG, 0, "libcurl.so.4 has no curl_" #name);
	CURL_FUNCTIONS(X)
#undef X
	if (curl->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return fault_set(f, ERR_CONFIG, 0, "libcurl does not start");
	return OK;
}
