/* memory: blocks so large that the system's large pages hold them: one fault and one zeroing a block
 * instead of five hundred. Where the system has none to give (or is told not to) they are as any. */
#ifndef BOURN_IO_MEMORY_H
#define BOURN_IO_MEMORY_H

enum { MEMORY_LARGE_BYTES = 2 << 20 };

/* That many bytes, zeros, on such a boundary; NULL when there is no memory. Any thread. */
void *memory_large_new(void);
void memory_large_free(void *block);

#endif
