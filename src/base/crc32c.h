/* CRC-32C (Castagnoli), as in the record batch, iSCSI and ext4; by the CPU's own instruction where
 * it has one. */
#ifndef BOURN_BASE_CRC32C_H
#define BOURN_BASE_CRC32C_H

#include "base/slice.h"

/* The checksum of `len` bytes that follow bytes whose checksum is `crc` (0: none before). */
uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

/* The same without the instruction: for other CPUs, and as the other's oracle. */
uint32_t crc32c_portable(uint32_t crc, const void *bytes, size_t len);

/* The checksum of bytes that are in two parts, from those of the parts: `second` is of the `len`
 * bytes (below 2^32) that follow what has `first`. */
uint32_t crc32c_join(uint32_t first, uint32_t second, size_t len);
uint32_t crc32c_join_portable(uint32_t first, uint32_t second, size_t len);

#endif
