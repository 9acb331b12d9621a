/* curl: libcurl's functions, loaded when the first HTTP hook is. Linked, it and the 30 libraries
 * that it needs would be part of every broker that has none. Private to hook/. */
#ifndef BOURN_HOOK_CURL_H
#define BOURN_HOOK_CURL_H

#include "base/err.h"

#include <curl/curl.h>

#define CURL_FUNCTIONS(X)                                                                          \
	X(global_init)                                                                             \
	X(easy_init)                                                                               \
	X(easy_setopt)                                                                             \
	X(easy_getinfo)                                                                            \
	X(easy_cleanup)                                                                            \
	X(easy_strerror)                                                                           \
	X(slist_append)                                                                            \
	X(slist_free_all)                                                                          \
	X(multi_init)                                                                              \
	X(multi_cleanup)                                                                           \
	X(multi_setopt)                                                                            \
	X(multi_assign)                                                                            \
	X(multi_add_handle)                                                                        \
	X(multi_remove_handle)                                                                     \
	X(multi_socket_action)                                                                     \
	X(multi_info_read)

struct curl {
#define X(name) __typeof__(curl_##name) *name;
	CURL_FUNCTIONS(X)
#undef X
};

/* On the main thread, before there are others. ERR_CONFIG: no libcurl here, with the remedy. It
 * stays loaded. */
enum err curl_load(struct curl *curl, struct fault *f) MUST_CHECK;

#endif
