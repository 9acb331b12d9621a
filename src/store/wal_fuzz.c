/* Arbitrary bytes as one or two WAL files: recovery must neither crash nor believe a length. The
 * checksums are put right here and there, or nothing would get past them. */
#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "io/disk.h"
#include "io/log.h"
#include "store/wal_recover.h"

#include <fcntl.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { FILE_BYTES_MAX = 32 << 10 };

static enum err count_payload(void *arg, const struct wal_frame *frame, struct fault *f)
{
	size_t *sum = arg;

	(void)f;
	CHECK(frame->payload.len <= FILE_BYTES_MAX);
	for (size_t i = 0; i < frame->payload.len; i++)
		*sum += frame->payload.ptr[i];
	return OK;
}

/* A header for file `number`, then the fuzzer's bytes from the first block on. */
static size_t build(uint8_t *file, uint64_t number, struct slice bytes, bool with_header)
{
	struct wal_file_header h = {
		.version = WAL_VERSION,
		.kind = "data",
		.number = number,
		.generation = 0x6161616161616161,
		.first_sequence = number,
	};
	size_t len = bytes.len < FILE_BYTES_MAX - WAL_BLOCK_BYTES
	                     ? bytes.len
	                     : FILE_BYTES_MAX - WAL_BLOCK_BYTES;

	memset(file, 0, WAL_BLOCK_BYTES);
	if (with_header)
		wal_file_header_encode(&h, file);
	if (len)
		memcpy(file + WAL_BLOCK_BYTES, bytes.ptr, len);
	return WAL_BLOCK_BYTES + len;
}

/* Where a frame seems to begin, its checksums are made right, and its rarer limits kept. */
static void mend(uint8_t *file, size_t len)
{
	struct wal_frame_header h;

	for (size_t at = WAL_BLOCK_BYTES; at + WAL_FRAME_HEADER_BYTES <= len; at += 8) {
		uint8_t *frame = file + at;
		uint32_t payload_len = load_le32(frame + 4);

		if (memcmp(frame, "bWAL", 4) != 0)
			continue;
		if (payload_len <= len - at - WAL_FRAME_HEADER_BYTES && frame[80] == 0)
			store_le32(frame + 76,
			           crc32c(0, frame + WAL_FRAME_HEADER_BYTES, payload_len));
		store_le32(frame + 84, crc32c(0, frame, 84));
		if (wal_frame_header_decode(frame, &h))
			at += (size_t)wal_frame_bytes(0) - 8;
	}
}

static void save(struct disk *d, const char *path, uint8_t *file, size_t len)
{
	struct iovec iov = {file, len};
	int fd = d->ops->open(d, path, O_RDWR | O_CREAT);

	CHECK(fd >= 0);
	CHECK(d->ops->pwritev(d, fd, &iov, 1, 0) == (ssize_t)len);
	d->ops->close(d, fd);
}

/* What is said of damages must lie within what was there. */
static void check_found(const struct wal_found *found, uint64_t checkpointed)
{
	uint64_t before = checkpointed;

	for (size_t i = 0; i < found->report.damage_count; i++) {
		const struct wal_damage *d = &found->report.damages[i];

		CHECK(d->sequence > before);
		CHECK(d->frame_count > 0);
		before = d->sequence + d->frame_count - 1;
	}
	CHECK(found->report.last_sequence >= before);
	CHECK(found->end_file <= found->file_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static uint8_t file[FILE_BYTES_MAX];
	struct disk_sim *sim = disk_sim_new(1, 1 << 20);
	struct wal_config config = {
		.dir = "/wal",
		.kind = "data",
		.disk = disk_sim_disk(sim),
		.clock = clock_system(),
	};
	uint8_t how = len ? bytes[0] : 0;
	struct slice rest = slice_of(bytes + (len > 0), len - (len > 0));
	struct wal_found found;
	struct fault f;
	size_t sum = 0;

	config.checkpointed = how >> 5;
	config.log = log_new(2, LOG_OFF, false, config.clock);
	CHECK(disk_make_dir(config.disk, "/wal", &f) == OK);
	for (uint64_t number = 1; number <= 1 + (how & 1); number++) {
		struct slice part = how & 1 ? slice_of(rest.ptr, rest.len / 2) : rest;
		size_t file_len;

		if (number == 2)
			part = slice_of(rest.ptr + rest.len / 2, rest.len - rest.len / 2);
		file_len = build(file, number, part, how & 2);
		if (how & 4)
			mend(file, file_len);
		save(config.disk, number == 1 ? "/wal/1.wal" : "/wal/2.wal", file, file_len);
	}
	if (wal_recover(&config, count_payload, &sum, &found, &f) == OK) {
		check_found(&found, config.checkpointed);
		wal_found_fini(&found);
	}
	log_free(config.log);
	disk_sim_free(sim);
	return 0;
}
