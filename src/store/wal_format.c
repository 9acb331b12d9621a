#include "store/wal_format.h"

#include "base/crc32c.h"
#include "base/endian.h"

#include <inttypes.h>
#include <stdio.h>

static const char file_magic[8] = {'b', 'o', 'u', 'r', 'n', 'w', 'a', 'l'};
static const char frame_magic[4] = {'b', 'W', 'A', 'L'};

enum {
	FILE_VERSION_AT = 8,
	FILE_KIND_AT = 12,
	FILE_NUMBER_AT = 16,
	FILE_GENERATION_AT = 24,
	FILE_FIRST_AT = 32,
	FILE_STORE_AT = 40,
	FILE_CRC_AT = 56, /* of what every version has */
	FILE_DURABLE_AT = 60,
	FILE_CRC_ALL_AT = 68,

	FRAME_LENGTH_AT = 4,
	FRAME_GENERATION_AT = 8,
	FRAME_SEQUENCE_AT = 16,
	FRAME_DURABLE_AT = 24,
	FRAME_TOPIC_AT = 32,
	FRAME_PARTITION_AT = 48,
	FRAME_TYPE_AT = 52,
	FRAME_CLASS_AT = 53,
	FRAME_BASE_AT = 56,
	FRAME_END_AT = 64,
	FRAME_EPOCH_AT = 72,
	FRAME_PAYLOAD_CRC_AT = 76,
	FRAME_CRC_AT = 84,
};

_Static_assert(FILE_CRC_ALL_AT + 4 == WAL_FILE_HEADER_BYTES, "file header ends with its checksum");
_Static_assert(FRAME_CRC_AT + 4 == WAL_FRAME_HEADER_BYTES, "frame header ends with its checksum");
_Static_assert(WAL_FRAME_HEADER_BYTES % 8 == 0, "payloads are aligned");

void wal_file_header_encode(const struct wal_file_header *h, uint8_t out[WAL_FILE_HEADER_BYTES])
{
	memcpy(out, file_magic, sizeof(file_magic));
	store_le32(out + FILE_VERSION_AT, h->version);
	memcpy(out + FILE_KIND_AT, h->kind, 4);
	store_le64(out + FILE_NUMBER_AT, h->number);
	store_le64(out + FILE_GENERATION_AT, h->generation);
	store_le64(out + FILE_FIRST_AT, h->first_sequence);
	memcpy(out + FILE_STORE_AT, h->store_id.bytes, sizeof(h->store_id.bytes));
	store_le32(out + FILE_CRC_AT, crc32c(0, out, FILE_CRC_AT));
	store_le64(out + FILE_DURABLE_AT, h->durable_through);
	store_le32(out + FILE_CRC_ALL_AT, crc32c(0, out, FILE_CRC_ALL_AT));
}

/* Version 1 began a file only when all before it was flushed. */
static bool decode_durable(const uint8_t in[WAL_FILE_HEADER_BYTES], struct wal_file_header *h)
{
	if (h->version == 1) {
		h->durable_through = h->first_sequence - 1;
		return true;
	}
	h->durable_through = load_le64(in + FILE_DURABLE_AT);
	return load_le32(in + FILE_CRC_ALL_AT) == crc32c(0, in, FILE_CRC_ALL_AT) &&
	       h->durable_through < h->first_sequence;
}

bool wal_file_header_decode(const uint8_t in[WAL_FILE_HEADER_BYTES], struct wal_file_header *out)
{
	if (memcmp(in, file_magic, sizeof(file_magic)) != 0)
		return false;
	if (load_le32(in + FILE_CRC_AT) != crc32c(0, in, FILE_CRC_AT))
		return false;
	*out = (struct wal_file_header){.version = load_le32(in + FILE_VERSION_AT)};
	if (out->version > WAL_VERSION)
		return true;
	memcpy(out->kind, in + FILE_KIND_AT, 4);
	out->number = load_le64(in + FILE_NUMBER_AT);
	out->generation = load_le64(in + FILE_GENERATION_AT);
	out->first_sequence = load_le64(in + FILE_FIRST_AT);
	memcpy(out->store_id.bytes, in + FILE_STORE_AT, sizeof(out->store_id.bytes));
	if (out->first_sequence == 0 || out->first_sequence > INT64_MAX)
		return false;
	return decode_durable(in, out);
}

void wal_frame_encode(const struct wal_frame *frame, uint64_t generation,
                      uint8_t out[WAL_FRAME_HEADER_BYTES])
{
	memset(out, 0, WAL_FRAME_HEADER_BYTES);
	memcpy(out, frame_magic, sizeof(frame_magic));
	store_le32(out + FRAME_LENGTH_AT, (uint32_t)frame->payload.len);
	store_le64(out + FRAME_GENERATION_AT, generation);
	store_le64(out + FRAME_SEQUENCE_AT, frame->sequence);
	store_le64(out + FRAME_DURABLE_AT, frame->durable_through);
	memcpy(out + FRAME_TOPIC_AT, frame->topic.bytes, sizeof(frame->topic.bytes));
	store_le32(out + FRAME_PARTITION_AT, frame->partition);
	out[FRAME_TYPE_AT] = (uint8_t)frame->type;
	out[FRAME_CLASS_AT] = (uint8_t)frame->durability;
	store_le64(out + FRAME_BASE_AT, (uint64_t)frame->base_offset);
	store_le64(out + FRAME_END_AT, (uint64_t)frame->log_end);
	store_le32(out + FRAME_EPOCH_AT, (uint32_t)frame->leader_epoch);
	store_le32(out + FRAME_PAYLOAD_CRC_AT,
	           frame->payload_crc ? frame->payload_crc
	                              : crc32c(0, frame->payload.ptr, frame->payload.len));
	store_le32(out + FRAME_CRC_AT, crc32c(0, out, FRAME_CRC_AT));
}

bool wal_frame_begins(const uint8_t *at, const uint64_t *generation)
{
	if (memcmp(at, frame_magic, sizeof(frame_magic)) != 0)
		return false;
	return !generation || load_le64(at + FRAME_GENERATION_AT) == *generation;
}

size_t wal_frame_search(const uint8_t *at, size_t len)
{
	uint32_t magic;
	size_t n = 0;

	memcpy(&magic, frame_magic, sizeof(magic));
	for (; n + 8 <= len; n += 8) {
		uint32_t word;

		memcpy(&word, at + n, sizeof(word));
		if (word == magic)
			break;
	}
	return n;
}

bool wal_frame_header_decode(const uint8_t in[WAL_FRAME_HEADER_BYTES], struct wal_frame_header *out)
{
	struct wal_frame *frame = &out->frame;

	if (memcmp(in, frame_magic, sizeof(frame_magic)) != 0)
		return false;
	if (load_le32(in + FRAME_CRC_AT) != crc32c(0, in, FRAME_CRC_AT))
		return false;
	frame->payload = slice_of(NULL, load_le32(in + FRAME_LENGTH_AT));
	frame->payload_crc = 0; /* who writes it again may change it before */
	frame->sequence = load_le64(in + FRAME_SEQUENCE_AT);
	frame->durable_through = load_le64(in + FRAME_DURABLE_AT);
	memcpy(frame->topic.bytes, in + FRAME_TOPIC_AT, sizeof(frame->topic.bytes));
	frame->partition = load_le32(in + FRAME_PARTITION_AT);
	frame->type = in[FRAME_TYPE_AT];
	frame->durability = in[FRAME_CLASS_AT];
	frame->base_offset = (int64_t)load_le64(in + FRAME_BASE_AT);
	frame->log_end = (int64_t)load_le64(in + FRAME_END_AT);
	frame->leader_epoch = (int32_t)load_le32(in + FRAME_EPOCH_AT);
	out->generation = load_le64(in + FRAME_GENERATION_AT);
	out->payload_crc = load_le32(in + FRAME_PAYLOAD_CRC_AT);
	return frame->payload.len <= WAL_PAYLOAD_BYTES_MAX && frame->sequence > 0 &&
	       frame->sequence <= INT64_MAX && frame->durable_through < frame->sequence;
}

const char *wal_name(uint64_t number, char into[WAL_NAME_BYTES_MAX])
{
	snprintf(into, WAL_NAME_BYTES_MAX, "%" PRIu64 ".wal", number);
	return into;
}

bool wal_name_parse(const char *name, uint64_t *number)
{
	struct slice rest = slice_str(name);
	struct slice digits = slice_cut(&rest, '.');
	char again[WAL_NAME_BYTES_MAX];
	int64_t value;

	if (!slice_to_int64(digits, &value) || value <= 0)
		return false;
	*number = (uint64_t)value;
	return strcmp(wal_name(*number, again), name) == 0;
}
