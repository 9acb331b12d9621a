/* disk_poke: a hand on the files of a disk, behind the back of who uses it. What it is told to do
 * must succeed (CHECK). Not thread safe; only for tests. */
#ifndef BOURN_IO_TESTING_DISK_POKE_H
#define BOURN_IO_TESTING_DISK_POKE_H

#include <stdbool.h>
#include <stdint.h>

struct disk;

bool disk_poke_exists(struct disk *d, const char *path);

/* In bytes. */
int64_t disk_poke_size(struct disk *d, const char *path);

/* Turn over bit `bit` % 8 of byte `bit` / 8, for good: the file is flushed. Twice is as never. */
void disk_poke_flip(struct disk *d, const char *path, int64_t bit);

#endif
