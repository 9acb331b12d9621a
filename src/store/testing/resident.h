/* resident: how much memory this process has. The heap alone does not tell: chunks are no part of
 * it. */
#ifndef BOURN_STORE_TESTING_RESIDENT_H
#define BOURN_STORE_TESTING_RESIDENT_H

#include <stdint.h>

/* In bytes. 0 under a sanitizer: what was freed stays with those for long, so nothing would be
 * said. */
int64_t resident_bytes(void);

#endif
