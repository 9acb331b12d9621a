/* hash: Debian's uthash, included by way of this header only. By itself it ends the process when
 * memory does; here HASH_ADD then leaves the table as it was, and the element out of it: ask
 * hash_took. */
#ifndef BOURN_BASE_HASH_H
#define BOURN_BASE_HASH_H

#define HASH_NONFATAL_OOM 1

#include <stdbool.h>
#include <uthash.h>

/* Right after HASH_ADD: is the element in the table? */
static inline bool hash_took(const UT_hash_handle *hh)
{
	return hh->tbl != NULL;
}

#endif
