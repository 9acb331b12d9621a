/* The bytes of a WAL file (drawn in wal.h): headers and frames, to and from structs. Pure; the
 * WAL's own. */
#ifndef BOURN_STORE_WAL_FORMAT_H
#define BOURN_STORE_WAL_FORMAT_H

#include "store/wal.h"

enum {
	WAL_VERSION = 2,
	WAL_FILE_HEADER_BYTES = 72,
	WAL_NAME_BYTES_MAX = 32,
};

struct wal_file_header {
	uint32_t version;
	char kind[5]; /* NUL-terminated */
	uint64_t number;
	uint64_t generation;
	uint64_t first_sequence;
	struct uuid store_id;
	uint64_t durable_through; /* < first_sequence */
};

void wal_file_header_encode(const struct wal_file_header *h, uint8_t out[WAL_FILE_HEADER_BYTES]);

/* False: this is no header, or a damaged one. The magic, the version and the checksum keep their
 * place in every version, so a newer one is told from a damaged one; of it only the version is
 * filled. */
bool wal_file_header_decode(const uint8_t in[WAL_FILE_HEADER_BYTES], struct wal_file_header *out);

/* What a frame's header says. */
struct wal_frame_header {
	struct wal_frame frame; /* payload: no address yet, only its length */
	uint64_t generation;
	uint32_t payload_crc;
};

/* All of the frame before its payload. */
void wal_frame_encode(const struct wal_frame *frame, uint64_t generation,
                      uint8_t out[WAL_FRAME_HEADER_BYTES]);

/* Quick look before a decode: may a frame of this generation (NULL: of any) begin here? */
bool wal_frame_begins(const uint8_t *at, const uint64_t *generation);

/* How far the first multiple of 8 is at which one of any generation may begin; without one, the
 * last multiple within `len`. */
size_t wal_frame_search(const uint8_t *at, size_t len);

/* False: the checksum is wrong, or no writer makes such a header. Types and classes that this
 * version does not know are let through, for the caller to refuse. */
bool wal_frame_header_decode(const uint8_t in[WAL_FRAME_HEADER_BYTES],
                             struct wal_frame_header *out);

/* Bytes that a frame takes in the file: header, payload, zeros to a multiple of 8. */
static inline int64_t wal_frame_bytes(size_t payload_len)
{
	return (int64_t)((WAL_FRAME_HEADER_BYTES + payload_len + 7) & ~(size_t)7);
}

static inline int64_t wal_block_round(int64_t bytes)
{
	return (bytes + WAL_BLOCK_BYTES - 1) & ~(int64_t)(WAL_BLOCK_BYTES - 1);
}

/* "<number>.wal", and back; false for any other name. */
const char *wal_name(uint64_t number, char into[WAL_NAME_BYTES_MAX]);
bool wal_name_parse(const char *name, uint64_t *number);

#endif
